//! Who somebody is, and what they may do: TokenReview, SubjectAccessReview and
//! their forms for oneself.

use serde_json::{Value, json};

use super::authentication::Authenticator;
use super::protobuf::{self, PROTOBUF};
use super::rbac::{Attempt, Decision, Policy, User};
use super::reply::{self, Failure};
use crate::http_server::Response;
use seam::Timestamp;

/// Answers `POST /apis/authentication.k8s.io/v1/tokenreviews`.
pub(crate) fn token_review(
    authenticator: &Authenticator,
    review: &Value,
    now: Timestamp,
) -> Result<Response, Failure> {
    let token = review["spec"]["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(Failure::bad_request(
            "token is required for TokenReview in authentication",
        ));
    }
    let status = match authenticator.by_token(token, now) {
        Ok(user) => json!({"authenticated": true, "user": user_info(&user)}),
        Err(rejected) => json!({"user": {}, "error": rejected.0}),
    };
    let mut spec = json!({"token": token});
    if let Some(audiences) = review["spec"].get("audiences") {
        spec["audiences"] = audiences.clone();
    }
    Ok(reviewed(
        "TokenReview",
        "authentication.k8s.io/v1",
        &spec,
        &status,
    ))
}

/// Answers `POST /apis/authorization.k8s.io/v1/subjectaccessreviews`.
pub(crate) fn subject_access_review(policy: &Policy, review: &Value) -> Response {
    let spec = &review["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let user = User {
        name: text(&spec["user"]),
        groups: spec["groups"]
            .as_array()
            .into_iter()
            .flatten()
            .map(text)
            .collect(),
        ..User::default()
    };
    let status = decide(policy, &user, spec);
    reviewed(
        "SubjectAccessReview",
        "authorization.k8s.io/v1",
        spec,
        &status,
    )
}

/// Answers `POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews`:
/// `kubectl auth can-i`.
pub(crate) fn self_subject_access_review(policy: &Policy, user: &User, review: &Value) -> Response {
    let spec = &review["spec"];
    let status = decide(policy, user, spec);
    reviewed(
        "SelfSubjectAccessReview",
        "authorization.k8s.io/v1",
        spec,
        &status,
    )
}

/// Answers `POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews`:
/// `kubectl auth can-i --list`.
pub(crate) fn self_subject_rules_review(
    policy: &Policy,
    user: &User,
    review: &Value,
) -> Result<Response, Failure> {
    let namespace = review["spec"]["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() {
        return Err(Failure::bad_request("no namespace on request"));
    }
    let (resources, paths) = policy.rules(user, namespace);
    let status = json!({
        "resourceRules": resources,
        "nonResourceRules": paths,
        "incomplete": false,
    });
    Ok(reviewed(
        "SelfSubjectRulesReview",
        "authorization.k8s.io/v1",
        &json!({}),
        &status,
    ))
}

/// Answers `POST /apis/authentication.k8s.io/v1/selfsubjectreviews`: `kubectl
/// auth whoami`.
pub(crate) fn self_subject_review(user: &User) -> Response {
    let mut review = json!({
        "kind": "SelfSubjectReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {},
    });
    review["status"] = json!({"userInfo": user_info(user)});
    reply::json(201, &review)
}

fn decide(policy: &Policy, user: &User, spec: &Value) -> Value {
    let field = |part: &'static str, name: &str| spec[part][name].as_str().unwrap_or_default();
    let about_resource = spec.get("resourceAttributes").is_some_and(Value::is_object);
    let attempt = if about_resource {
        let field = |name| field("resourceAttributes", name);
        Attempt {
            verb: field("verb"),
            group: field("group"),
            resource: field("resource"),
            subresource: field("subresource"),
            namespace: field("namespace"),
            name: field("name"),
            path: "",
        }
    } else {
        Attempt {
            verb: field("nonResourceAttributes", "verb"),
            path: field("nonResourceAttributes", "path"),
            ..Attempt::default()
        }
    };
    match policy.authorize(user, &attempt) {
        Decision::Allowed { reason } if reason.is_empty() => json!({"allowed": true}),
        Decision::Allowed { reason } => json!({"allowed": true, "reason": reason}),
        Decision::Denied => json!({"allowed": false}),
    }
}

/// Reads the review of a resource out of a body of a format.
pub(crate) fn read(resource: &str, format: &str, body: &[u8]) -> Result<Value, Failure> {
    match format {
        reply::JSON => parse(body),
        PROTOBUF => protobuf::review(resource, body).ok_or_else(|| {
            Failure::bad_request("provided data does not appear to be a protobuf message")
        }),
        _ => Err(Failure::unsupported_media_type()),
    }
}

fn parse(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        Failure::bad_request(format!("the object provided is unrecognized: {error}"))
    })
}

fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name});
    if !user.uid.is_empty() {
        info["uid"] = json!(user.uid);
    }
    info["groups"] = json!(user.groups);
    if !user.extra.is_empty() {
        let extra = user.extra.iter();
        info["extra"] = extra
            .map(|(key, values)| (key.clone(), json!(values)))
            .collect();
    }
    info
}

fn reviewed(kind: &str, version: &str, spec: &Value, status: &Value) -> Response {
    reply::json(
        201,
        &json!({
            "kind": kind,
            "apiVersion": version,
            "metadata": {},
            "spec": spec,
            "status": status,
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_server::Body;

    fn ask(spec: &Value) -> Value {
        let review = json!({"spec": spec});
        let response = subject_access_review(&Policy::new(), &review);
        assert_eq!(response.status, 201);
        let Body::Full(body) = response.body else {
            panic!("reviews are not streamed")
        };
        serde_json::from_slice::<Value>(&body).expect("JSON")["status"].clone()
    }

    #[test]
    fn reviews_say_which_binding_allows() {
        let status = ask(&json!({
            "user": "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
            "groups": ["system:authenticated"],
            "resourceAttributes": {
                "verb": "list", "group": "metrics.k8s.io", "version": "v1beta1",
                "resource": "pods", "namespace": "default",
            },
        }));
        assert_eq!(status["allowed"], true);
        assert_eq!(
            status["reason"],
            "RBAC: allowed by ClusterRoleBinding \"system:controller:horizontal-pod-autoscaler\" of \
             ClusterRole \"system:controller:horizontal-pod-autoscaler\" to ServiceAccount \
             \"horizontal-pod-autoscaler/kube-system\""
        );
    }

    #[test]
    fn everybody_may_ask_about_himself() {
        let admin = User::new("admin", &["system:masters"]);
        let review = json!({"spec": {"resourceAttributes": {"verb": "list", "resource": "pods"}}});
        let ask = |user: &User| status(self_subject_access_review(&Policy::new(), user, &review));
        assert_eq!(ask(&admin), json!({"allowed": true}));
        assert_eq!(ask(&User::new("jo", &[])), json!({"allowed": false}));
        let review = json!({"spec": {"namespace": "default"}});
        let rules = self_subject_rules_review(&Policy::new(), &User::new("jo", &[]), &review);
        let rules = status(rules.expect("well-formed"));
        assert_eq!(
            rules["resourceRules"][0]["resources"],
            json!(["selfsubjectaccessreviews", "selfsubjectrulesreviews"])
        );
        assert_eq!(rules["incomplete"], false);
        let me = status(self_subject_review(&admin));
        assert_eq!(me["userInfo"]["username"], "admin");
    }

    fn status(response: Response) -> Value {
        let Body::Full(body) = response.body else {
            panic!("reviews are not streamed")
        };
        serde_json::from_slice::<Value>(&body).expect("JSON")["status"].clone()
    }

    #[test]
    fn a_body_is_read_by_its_format() {
        let read = |format, body: &[u8]| read("tokenreviews", format, body).map_err(|it| it.code);
        assert_eq!(read("application/json", b"{}"), Ok(json!({})));
        assert_eq!(read("application/json", b"{"), Err(400));
        assert_eq!(read(PROTOBUF, b"{}"), Err(400));
        assert_eq!(read("text/plain", b"{}"), Err(415));
    }

    #[test]
    fn what_nothing_allows_is_denied_without_a_reason() {
        let status = ask(&json!({
            "user": "system:anonymous",
            "groups": ["system:unauthenticated"],
            "nonResourceAttributes": {"verb": "get", "path": "/metrics"},
        }));
        assert_eq!(status, json!({"allowed": false}));
    }
}
