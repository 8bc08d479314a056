//! The roles of a cluster, as far as its metrics need them.

use serde_json::{Value, json};

use super::rbac::Attempt;

/// A Role or ClusterRole.
pub(super) struct Role {
    pub(super) kind: &'static str,
    pub(super) name: &'static str,
    pub(super) rules: &'static [Rule],
}

/// What a role allows.
pub(super) struct Rule {
    verbs: &'static [&'static str],
    groups: &'static [&'static str],
    resources: &'static [&'static str],
    names: &'static [&'static str],
    paths: &'static [&'static str],
}

/// A rule as a review tells it.
pub(super) enum Told {
    Resources(Value),
    Paths(Value),
}

const READ: &[&str] = &["get", "list", "watch"];
const CORE: &[&str] = &[""];

const fn may(
    verbs: &'static [&'static str],
    groups: &'static [&'static str],
    resources: &'static [&'static str],
) -> Rule {
    Rule {
        verbs,
        groups,
        resources,
        names: &[],
        paths: &[],
    }
}

const fn may_get(paths: &'static [&'static str]) -> Rule {
    Rule {
        verbs: &["get"],
        groups: &[],
        resources: &[],
        names: &[],
        paths,
    }
}

/// All roles.
///
/// Source: `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/{policy,
/// controller_policy}.go`; the roles named `*metrics*` are metrics-server's
/// own, `manifests/base/rbac.yaml`.
pub(super) const ROLES: &[Role] = &[
    Role {
        kind: "ClusterRole",
        name: "system:basic-user",
        rules: &[
            may(
                &["create"],
                &["authorization.k8s.io"],
                &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            ),
            may(
                &["create"],
                &["authentication.k8s.io"],
                &["selfsubjectreviews"],
            ),
        ],
    },
    Role {
        kind: "ClusterRole",
        name: "system:discovery",
        rules: &[may_get(&[
            "/api",
            "/api/*",
            "/apis",
            "/apis/*",
            "/healthz",
            "/livez",
            "/openapi",
            "/openapi/*",
            "/readyz",
            "/version",
            "/version/",
        ])],
    },
    Role {
        kind: "ClusterRole",
        name: "system:public-info-viewer",
        rules: &[may_get(&[
            "/healthz",
            "/livez",
            "/readyz",
            "/version",
            "/version/",
        ])],
    },
    Role {
        kind: "ClusterRole",
        name: "view",
        rules: &[
            may(
                READ,
                CORE,
                &["configmaps", "endpoints", "events", "pods", "services"],
            ),
            may(READ, CORE, &["namespaces"]),
            may(READ, &["apps"], &["deployments", "replicasets"]),
            may(READ, &["autoscaling"], &["horizontalpodautoscalers"]),
            may(READ, &["discovery.k8s.io"], &["endpointslices"]),
            // Aggregated from system:aggregated-metrics-reader.
            may(READ, &["metrics.k8s.io"], &["pods", "nodes"]),
        ],
    },
    // No role of Kubernetes: somebody who may see the whole cluster, and can
    // lose a part of that.
    Role {
        kind: "ClusterRole",
        name: "cluster-viewer",
        rules: &[
            may(READ, CORE, &["nodes", "pods", "services", "configmaps"]),
            may(READ, &["apiregistration.k8s.io"], &["apiservices"]),
            may(READ, &["metrics.k8s.io"], &["pods", "nodes"]),
        ],
    },
    Role {
        kind: "ClusterRole",
        name: "system:metrics-server",
        rules: &[
            // The first from 0.6 on, the second before: a cluster here has
            // the role of the release that runs in it.
            may(&["get"], CORE, &["nodes/metrics", "nodes/stats"]),
            may(READ, CORE, &["pods", "nodes"]),
        ],
    },
    Role {
        kind: "ClusterRole",
        name: "system:auth-delegator",
        rules: &[
            may(&["create"], &["authentication.k8s.io"], &["tokenreviews"]),
            may(
                &["create"],
                &["authorization.k8s.io"],
                &["subjectaccessreviews"],
            ),
        ],
    },
    Role {
        kind: "Role",
        name: "extension-apiserver-authentication-reader",
        rules: &[Rule {
            names: &["extension-apiserver-authentication"],
            ..may(READ, CORE, &["configmaps"])
        }],
    },
    Role {
        kind: "ClusterRole",
        name: "system:controller:horizontal-pod-autoscaler",
        rules: &[
            may(READ, &["autoscaling"], &["horizontalpodautoscalers"]),
            may(&["list"], CORE, &["pods"]),
            may(&["list"], &["metrics.k8s.io"], &["pods"]),
        ],
    },
    Role {
        kind: "ClusterRole",
        name: "system:node",
        rules: &[
            may(READ, CORE, &["nodes", "pods", "services", "configmaps"]),
            may(&["create"], &["authentication.k8s.io"], &["tokenreviews"]),
            may(
                &["create"],
                &["authorization.k8s.io"],
                &["subjectaccessreviews"],
            ),
        ],
    },
    Role {
        kind: "ClusterRole",
        name: "system:node-proxier",
        rules: &[
            may(READ, CORE, &["services", "nodes"]),
            may(READ, &["discovery.k8s.io"], &["endpointslices"]),
        ],
    },
];

impl Rule {
    /// As SelfSubjectRulesReview tells it: a rule about resources, or one
    /// about paths.
    pub(super) fn told(&self) -> Told {
        if self.resources.is_empty() {
            return Told::Paths(json!({"verbs": self.verbs, "nonResourceURLs": self.paths}));
        }
        let mut rule = json!({
            "verbs": self.verbs,
            "apiGroups": self.groups,
            "resources": self.resources,
        });
        if !self.names.is_empty() {
            rule["resourceNames"] = json!(self.names);
        }
        Told::Resources(rule)
    }

    pub(super) fn allows(&self, attempt: &Attempt<'_>) -> bool {
        if !self.verbs.contains(&attempt.verb) {
            return false;
        }
        if attempt.resource.is_empty() {
            return self.paths.iter().any(|path| match path.strip_suffix('*') {
                Some(prefix) => attempt.path.starts_with(prefix),
                None => attempt.path == *path,
            });
        }
        let is_resource = |known: &&str| match known.split_once('/') {
            Some(pair) => pair == (attempt.resource, attempt.subresource),
            None => *known == attempt.resource && attempt.subresource.is_empty(),
        };
        self.groups.contains(&attempt.group)
            && self.resources.iter().any(is_resource)
            && (self.names.is_empty() || self.names.contains(&attempt.name))
    }
}
