//! Who may what, and the words of a denial.

use super::*;

fn resource<'a>(verb: &'a str, group: &'a str, resource: &'a str) -> Attempt<'a> {
    Attempt {
        verb,
        group,
        resource,
        ..Attempt::default()
    }
}

fn allowed(user: &User, attempt: &Attempt<'_>) -> bool {
    Policy::new().authorize(user, attempt) != Decision::Denied
}

#[test]
fn metrics_server_may_what_its_manifests_say() {
    let server = User::service_account("kube-system", "metrics-server");
    for (verb, group, name, expected) in [
        ("list", "", "nodes", true),
        ("watch", "", "pods", true),
        ("create", "authentication.k8s.io", "tokenreviews", true),
        (
            "create",
            "authorization.k8s.io",
            "subjectaccessreviews",
            true,
        ),
        ("delete", "", "pods", false),
        ("list", "", "secrets", false),
    ] {
        assert_eq!(
            allowed(&server, &resource(verb, group, name)),
            expected,
            "{verb} {name}"
        );
    }
    let metrics = Attempt {
        subresource: "metrics",
        ..resource("get", "", "nodes")
    };
    assert!(allowed(&server, &metrics));
}

#[test]
fn the_authentication_config_map_is_readable_by_name_only() {
    let server = User::service_account("kube-system", "metrics-server");
    let attempt = |namespace, name| Attempt {
        namespace,
        name,
        ..resource("get", "", "configmaps")
    };
    let name = "extension-apiserver-authentication";
    assert!(allowed(&server, &attempt("kube-system", name)));
    assert!(!allowed(&server, &attempt("kube-system", "")));
    assert!(!allowed(&server, &attempt("default", name)));
    let mut policy = Policy::new();
    policy.unbind("metrics-server-auth-reader");
    let decision = policy.authorize(&server, &attempt("kube-system", name));
    assert_eq!(decision, Decision::Denied);
}

#[test]
fn viewers_read_metrics_but_not_nodes() {
    let mut policy = Policy::new();
    policy.bind("viewers", None, "view", Subject::User("jo".into()));
    let jo = User::new("jo", &[]);
    let metrics = policy.authorize(&jo, &resource("list", "metrics.k8s.io", "nodes"));
    let expected =
        "RBAC: allowed by ClusterRoleBinding \"viewers\" of ClusterRole \"view\" to User \"jo\"";
    assert_eq!(
        metrics,
        Decision::Allowed {
            reason: expected.into()
        }
    );
    let nodes = policy.authorize(&jo, &resource("list", "", "nodes"));
    assert_eq!(nodes, Decision::Denied);
}

#[test]
fn masters_may_do_anything_and_strangers_see_only_health_and_version() {
    let admin = User::new("admin", &["system:masters"]);
    assert!(allowed(&admin, &resource("delete", "x", "y")));
    let path = |path| Attempt {
        verb: "get",
        path,
        ..Attempt::default()
    };
    assert!(allowed(&User::anonymous(), &path("/readyz")));
    assert!(!allowed(&User::anonymous(), &path("/apis")));
    assert!(allowed(
        &User::new("jo", &[]),
        &path("/apis/metrics.k8s.io/v1beta1")
    ));
}

#[tokio::test(start_paused = true)]
async fn grants_decide_before_roles_and_change_over_time() {
    let account = Subject::ServiceAccount {
        namespace: "kube-system".to_owned(),
        name: "metrics-server".to_owned(),
    };
    let grant = |subresource: &str, allowed| Grant {
        subject: account.clone(),
        what: What::Resource {
            group: String::new(),
            resource: "nodes".to_owned(),
            subresource: subresource.to_owned(),
        },
        allowed,
    };
    let path = Grant {
        subject: Subject::User("system:anonymous".to_owned()),
        what: What::Path("/livez".to_owned()),
        allowed: false,
    };
    let denied = vec![grant("metrics", false), grant("stats", true), path];
    let later = tokio::time::Duration::from_secs(40);
    let mut policy = Policy::new();
    let over_time = vec![(tokio::time::Duration::ZERO, denied), (later, Vec::new())];
    let over_time = Script::new(tokio::time::Instant::now(), over_time);
    let decided = Rc::new(std::cell::Cell::new(0));
    let told = Rc::clone(&decided);
    policy.refine(over_time, move |_| told.set(told.get() + 1));
    let may = |policy: &Policy, what| policy.may_get_nodes("kube-system", "metrics-server", what);
    assert_eq!(
        (may(&policy, "metrics"), may(&policy, "stats")),
        (false, true)
    );
    let livez = Attempt {
        verb: "get",
        path: "/livez",
        ..Attempt::default()
    };
    let anonymous = User::anonymous();
    assert_eq!(policy.authorize(&anonymous, &livez), Decision::Denied);
    tokio::time::advance(later).await;
    assert!(may(&policy, "metrics"), "the role has it again");
    assert_ne!(policy.authorize(&anonymous, &livez), Decision::Denied);
    assert_eq!(decided.get(), 3, "roles decided the rest");
}

#[test]
fn denials_read_as_the_real_ones() {
    let user = User::anonymous();
    assert_eq!(
        denial(&user, &resource("list", "metrics.k8s.io", "nodes")),
        "User \"system:anonymous\" cannot list resource \"nodes\" in API group \
         \"metrics.k8s.io\" at the cluster scope"
    );
    let namespaced = Attempt {
        namespace: "ns1",
        subresource: "log",
        ..resource("get", "", "pods")
    };
    assert_eq!(
        denial(&user, &namespaced),
        "User \"system:anonymous\" cannot get resource \"pods/log\" in API group \"\" in the \
         namespace \"ns1\""
    );
    let path = Attempt {
        verb: "get",
        path: "/metrics",
        ..Attempt::default()
    };
    assert_eq!(
        denial(&user, &path),
        "User \"system:anonymous\" cannot get path \"/metrics\""
    );
}
