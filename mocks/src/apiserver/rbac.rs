//! Who may do what: the roles of a cluster, as far as its metrics need them.
//!
//! DIFFERENCE: kubelets are allowed by a role here, where the Node authorizer
//! would look at each object; the roles hold what metrics-server, its users
//! and the kubelets ask for, not everything that the real ones grant.

use std::fmt;
use std::rc::Rc;

use serde_json::{Value, json};

use super::roles::{ROLES, Role, Told};
use crate::script::Script;

/// A user, as authentication found them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// `system:serviceaccount:kube-system:metrics-server`
    pub name: String,
    /// A ServiceAccount's UID; empty for others.
    pub uid: String,
    /// Groups, including `system:authenticated`.
    pub groups: Vec<String>,
    /// Further attributes.
    pub extra: Vec<(String, Vec<String>)>,
}

impl User {
    /// An authenticated user with these groups and `system:authenticated`.
    #[must_use]
    pub fn new(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().copied().chain(["system:authenticated"]);
        Self {
            name: name.to_owned(),
            groups: groups.map(str::to_owned).collect(),
            ..Self::default()
        }
    }

    /// A ServiceAccount, with the groups that its tokens give.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self::new(
            &format!("system:serviceaccount:{namespace}:{name}"),
            &[
                "system:serviceaccounts",
                &format!("system:serviceaccounts:{namespace}"),
            ],
        )
    }

    /// Nobody in particular.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: "system:anonymous".to_owned(),
            groups: vec!["system:unauthenticated".to_owned()],
            ..Self::default()
        }
    }
}

/// What somebody wants to do. A path that names no resource has no `resource`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Attempt<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) path: &'a str,
}

/// Whether they may. A reason is given where RBAC gives one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    Allowed { reason: String },
    Denied,
}

/// The bindings in force.
#[derive(Debug, Clone)]
pub struct Policy {
    bindings: Vec<Binding>,
    /// What differs from the bindings' roles, over time.
    grants: Option<Grants>,
}

/// Grants over time, and who is told of each that decides.
#[derive(Clone)]
struct Grants {
    over_time: Script<Vec<Grant>>,
    decided: Rc<dyn Fn(&Grant)>,
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Grants")
            .field(self.over_time.current())
            .finish()
    }
}

/// Something that a subject may or may not do, whatever roles say: as if a
/// role had a rule more or less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub subject: Subject,
    /// What.
    pub what: What,
    /// Whether they may.
    pub allowed: bool,
}

/// What a [`Grant`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Every verb on a resource.
    Resource {
        /// Its API group.
        group: String,
        /// Its plural.
        resource: String,
        /// Its subresource, or empty.
        subresource: String,
    },
    /// Every verb on a path that names no resource.
    Path(String),
}

impl What {
    fn covers(&self, attempt: &Attempt<'_>) -> bool {
        match self {
            Self::Resource {
                group,
                resource,
                subresource,
            } => {
                !attempt.resource.is_empty()
                    && group == attempt.group
                    && resource == attempt.resource
                    && subresource == attempt.subresource
            }
            Self::Path(path) => attempt.resource.is_empty() && path == attempt.path,
        }
    }
}

/// A RoleBinding or ClusterRoleBinding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// `metadata.name`
    pub name: String,
    /// Where the role holds; everywhere if `None`.
    pub namespace: Option<String>,
    /// One of the roles known here: see [`Policy::bind`].
    pub role: String,
    /// Who gets it.
    pub subject: Subject,
}

/// Who gets a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A user by name.
    User(String),
    /// Everybody in a group.
    Group(String),
    /// A ServiceAccount.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl Policy {
    /// The bindings of a cluster with metrics-server's manifests applied, its
    /// ServiceAccount in `kube-system`.
    #[must_use]
    pub fn new() -> Self {
        let mut policy = Self {
            bindings: Vec::new(),
            grants: None,
        };
        let group = |name: &str| Subject::Group(name.to_owned());
        let account = |name: &str| Subject::ServiceAccount {
            namespace: "kube-system".to_owned(),
            name: name.to_owned(),
        };
        let everyone = ["system:authenticated", "system:unauthenticated"];
        for (name, role, subject) in [
            ("system:basic-user", "system:basic-user", group(everyone[0])),
            ("system:discovery", "system:discovery", group(everyone[0])),
            (
                "system:public-info-viewer",
                "system:public-info-viewer",
                group(everyone[0]),
            ),
            (
                "system:public-info-viewer",
                "system:public-info-viewer",
                group(everyone[1]),
            ),
            ("system:node", "system:node", group("system:nodes")),
            (
                "system:node-proxier",
                "system:node-proxier",
                Subject::User("system:kube-proxy".to_owned()),
            ),
            (
                "system:controller:horizontal-pod-autoscaler",
                "system:controller:horizontal-pod-autoscaler",
                account("horizontal-pod-autoscaler"),
            ),
            (
                "system:metrics-server",
                "system:metrics-server",
                account("metrics-server"),
            ),
            (
                "metrics-server:system:auth-delegator",
                "system:auth-delegator",
                account("metrics-server"),
            ),
        ] {
            policy.bind(name, None, role, subject);
        }
        policy.bind(
            "metrics-server-auth-reader",
            Some("kube-system"),
            "extension-apiserver-authentication-reader",
            account("metrics-server"),
        );
        policy
    }

    /// Adds a binding: a RoleBinding in `namespace`, else a
    /// ClusterRoleBinding.
    ///
    /// # Panics
    ///
    /// If there is no such role. There are `view`, `system:basic-user`,
    /// `system:discovery`,
    /// `system:public-info-viewer`, `system:auth-delegator`, `system:node`,
    /// `system:node-proxier`, `system:metrics-server`,
    /// `extension-apiserver-authentication-reader` and
    /// `system:controller:horizontal-pod-autoscaler`.
    pub fn bind(&mut self, name: &str, namespace: Option<&str>, role: &str, subject: Subject) {
        assert!(
            ROLES.iter().any(|known| known.name == role),
            "a binding names a role that exists, not {role}"
        );
        self.bindings.push(Binding {
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
            role: role.to_owned(),
            subject,
        });
    }

    /// Removes the bindings of that name, as a manifest that lacks them.
    pub fn unbind(&mut self, name: &str) {
        self.bindings.retain(|binding| binding.name != name);
    }

    /// Has `grants` decide before the roles do: of several about the same the
    /// last one. `decided` is told each time that one does.
    pub fn refine(&mut self, grants: Script<Vec<Grant>>, decided: impl Fn(&Grant) + 'static) {
        self.grants = Some(Grants {
            over_time: grants,
            decided: Rc::new(decided),
        });
    }

    /// Whether a ServiceAccount may get a subresource of nodes: what a kubelet
    /// asks with a SubjectAccessReview.
    #[must_use]
    pub fn may_get_nodes(&self, namespace: &str, name: &str, subresource: &str) -> bool {
        let attempt = Attempt {
            verb: "get",
            resource: "nodes",
            subresource,
            ..Attempt::default()
        };
        self.authorize(&User::service_account(namespace, name), &attempt) != Decision::Denied
    }

    /// Decides. Members of `system:masters` may do anything.
    ///
    /// Source: `plugin/pkg/auth/authorizer/rbac/rbac.go: Authorize`.
    pub(crate) fn authorize(&self, user: &User, attempt: &Attempt<'_>) -> Decision {
        if user.groups.iter().any(|group| group == "system:masters") {
            return Decision::Allowed {
                reason: String::new(),
            };
        }
        if let Some(grant) = self.granted(user, attempt) {
            return match grant.allowed {
                true => Decision::Allowed {
                    reason: String::new(),
                },
                false => Decision::Denied,
            };
        }
        let granting = self
            .bindings
            .iter()
            .find(|binding| binding.subject.is(user) && binding.grants(attempt));
        match granting {
            Some(binding) => Decision::Allowed {
                reason: format!("RBAC: allowed by {}", binding.describe()),
            },
            None => Decision::Denied,
        }
    }

    fn granted(&self, user: &User, attempt: &Attempt<'_>) -> Option<&Grant> {
        let grants = self.grants.as_ref()?;
        let mut latest = grants.over_time.current().iter().rev();
        let found = latest.find(|grant| grant.subject.is(user) && grant.what.covers(attempt))?;
        (grants.decided)(found);
        Some(found)
    }
}

impl Policy {
    /// All that a user may do in a namespace: rules about resources, and rules
    /// about paths.
    ///
    /// DIFFERENCE: what [`Policy::refine`] adds or takes is left out.
    ///
    /// Source: `pkg/registry/authorization/selfsubjectrulesreview/rest.go`.
    pub(crate) fn rules(&self, user: &User, namespace: &str) -> (Vec<Value>, Vec<Value>) {
        let (mut resources, mut paths) = (Vec::new(), Vec::new());
        if user.groups.iter().any(|group| group == "system:masters") {
            resources.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
            paths.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
        }
        let granted = self.bindings.iter().filter(|binding| {
            let holds = binding
                .namespace
                .as_deref()
                .is_none_or(|it| it == namespace);
            holds && binding.subject.is(user)
        });
        for rule in granted.flat_map(|binding| binding.role().rules) {
            match rule.told() {
                Told::Resources(rule) => resources.push(rule),
                Told::Paths(rule) => paths.push(rule),
            }
        }
        (resources, paths)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}

impl Binding {
    fn role(&self) -> &'static Role {
        ROLES
            .iter()
            .find(|known| known.name == self.role)
            .expect("bind refuses unknown roles")
    }

    fn grants(&self, attempt: &Attempt<'_>) -> bool {
        // A role in a namespace grants no paths and nothing elsewhere.
        let in_scope = self
            .namespace
            .as_ref()
            .is_none_or(|namespace| namespace == attempt.namespace);
        in_scope && self.role().rules.iter().any(|rule| rule.allows(attempt))
    }

    /// Source: rbac.go `clusterRoleBindingDescriber.String`.
    fn describe(&self) -> String {
        let Role {
            kind, name: role, ..
        } = self.role();
        let subject = self.subject.describe();
        match &self.namespace {
            None => format!(
                "ClusterRoleBinding \"{}\" of {kind} \"{role}\" to {subject}",
                self.name
            ),
            Some(namespace) => format!(
                "RoleBinding \"{}/{namespace}\" of {kind} \"{role}\" to {subject}",
                self.name
            ),
        }
    }
}

impl Subject {
    fn is(&self, user: &User) -> bool {
        match self {
            Self::User(name) => user.name == *name,
            Self::Group(name) => user.groups.contains(name),
            Self::ServiceAccount { namespace, name } => user
                .name
                .strip_prefix("system:serviceaccount:")
                .and_then(|rest| rest.split_once(':'))
                .is_some_and(|pair| pair == (namespace.as_str(), name.as_str())),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::User(name) => format!("User \"{name}\""),
            Self::Group(name) => format!("Group \"{name}\""),
            Self::ServiceAccount { namespace, name } => {
                format!("ServiceAccount \"{name}/{namespace}\"")
            }
        }
    }
}

/// The sentence of a denial.
///
/// Source: apiserver `pkg/endpoints/handlers/responsewriters/errors.go:
/// forbiddenMessage`.
pub(crate) fn denial(user: &User, attempt: &Attempt<'_>) -> String {
    let Attempt {
        verb,
        group,
        resource,
        subresource,
        namespace,
        path,
        ..
    } = attempt;
    let user = &user.name;
    if resource.is_empty() {
        return format!("User \"{user}\" cannot {verb} path \"{path}\"");
    }
    let resource = match *subresource {
        "" => (*resource).to_owned(),
        _ => format!("{resource}/{subresource}"),
    };
    let scope = match *namespace {
        "" => "at the cluster scope".to_owned(),
        _ => format!("in the namespace \"{namespace}\""),
    };
    format!(
        "User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {scope}"
    )
}

#[cfg(test)]
mod tests;
