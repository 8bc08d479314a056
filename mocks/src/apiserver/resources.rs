//! The resources that the API server serves itself.

/// A kind of object and where it is served.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResourceType {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) namespaced: bool,
    pub(crate) short_names: &'static [&'static str],
    /// Groups of resources that it belongs to: `kubectl get all`.
    pub(crate) categories: &'static [&'static str],
    pub(crate) verbs: &'static [&'static str],
}

impl ResourceType {
    /// `v1`, `apps/v1`
    pub(crate) fn api_version(&self) -> String {
        group_version(self.group, self.version)
    }
}

/// `v1`, `apps/v1`
pub(crate) fn group_version(group: &str, version: &str) -> String {
    match group {
        "" => version.to_owned(),
        _ => format!("{group}/{version}"),
    }
}

/// What is kept in the store can be read; reviews can be asked for.
pub(crate) const READ: &[&str] = &["get", "list", "watch"];
const CREATE: &[&str] = &["create"];

const ALL: &[&str] = &["all"];

/// Groups in the order of discovery, core first, each with its version.
///
/// Source: `pkg/controlplane/apiserver/aggregator.go: apiVersionPriorities`;
/// the aggregator's own group leads.
pub(crate) const GROUPS: &[(&str, &str)] = &[
    ("apiregistration.k8s.io", "v1"),
    ("apps", "v1"),
    ("authentication.k8s.io", "v1"),
    ("authorization.k8s.io", "v1"),
    ("autoscaling", "v2"),
    ("coordination.k8s.io", "v1"),
    ("discovery.k8s.io", "v1"),
];

/// Groups that every cluster serves and this stand-in does not.
const ABSENT_GROUPS: &[&str] = &[
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "batch",
    "certificates.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// All resources, by group and name.
///
/// DIFFERENCE: what a cluster holds besides, and sub-resources, are not served.
pub(crate) const RESOURCES: &[ResourceType] = &[
    core("configmaps", "configmap", "ConfigMap", &["cm"]),
    core("events", "event", "Event", &["ev"]),
    // Nobody limits anything in a scenario's namespaces; `kubectl describe
    // namespace` asks.
    core("limitranges", "limitrange", "LimitRange", &["limits"]),
    ResourceType {
        namespaced: false,
        ..core("namespaces", "namespace", "Namespace", &["ns"])
    },
    ResourceType {
        namespaced: false,
        ..core("nodes", "node", "Node", &["no"])
    },
    ResourceType {
        categories: ALL,
        ..core("pods", "pod", "Pod", &["po"])
    },
    core(
        "resourcequotas",
        "resourcequota",
        "ResourceQuota",
        &["quota"],
    ),
    ResourceType {
        categories: ALL,
        ..core("services", "service", "Service", &["svc"])
    },
    ResourceType {
        group: "apiregistration.k8s.io",
        namespaced: false,
        categories: &["api-extensions"],
        ..core("apiservices", "apiservice", "APIService", &[])
    },
    ResourceType {
        group: "apps",
        categories: ALL,
        ..core("deployments", "deployment", "Deployment", &["deploy"])
    },
    ResourceType {
        group: "apps",
        categories: ALL,
        ..core("replicasets", "replicaset", "ReplicaSet", &["rs"])
    },
    review(
        "authentication.k8s.io",
        "selfsubjectreviews",
        "selfsubjectreview",
        "SelfSubjectReview",
    ),
    review(
        "authentication.k8s.io",
        "tokenreviews",
        "tokenreview",
        "TokenReview",
    ),
    review(
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        "selfsubjectaccessreview",
        "SelfSubjectAccessReview",
    ),
    review(
        "authorization.k8s.io",
        "selfsubjectrulesreviews",
        "selfsubjectrulesreview",
        "SelfSubjectRulesReview",
    ),
    review(
        "authorization.k8s.io",
        "subjectaccessreviews",
        "subjectaccessreview",
        "SubjectAccessReview",
    ),
    ResourceType {
        group: "autoscaling",
        version: "v2",
        categories: ALL,
        ..core(
            "horizontalpodautoscalers",
            "horizontalpodautoscaler",
            "HorizontalPodAutoscaler",
            &["hpa"],
        )
    },
    ResourceType {
        group: "coordination.k8s.io",
        ..core("leases", "lease", "Lease", &[])
    },
    ResourceType {
        group: "discovery.k8s.io",
        ..core("endpointslices", "endpointslice", "EndpointSlice", &[])
    },
];

const fn review(
    group: &'static str,
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
) -> ResourceType {
    ResourceType {
        group,
        namespaced: false,
        verbs: CREATE,
        ..core(plural, singular, kind, &[])
    }
}

const fn core(
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
    short_names: &'static [&'static str],
) -> ResourceType {
    ResourceType {
        group: "",
        version: "v1",
        plural,
        singular,
        kind,
        namespaced: true,
        short_names,
        categories: &[],
        verbs: READ,
    }
}

/// The resource of that name.
pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<&'static ResourceType> {
    RESOURCES.iter().find(|resource| {
        (resource.group, resource.version, resource.plural) == (group, version, plural)
    })
}

/// The resources of a group and version.
pub(crate) fn of(group: &str, version: &str) -> impl Iterator<Item = &'static ResourceType> {
    RESOURCES
        .iter()
        .filter(move |resource| resource.group == group && resource.version == version)
}

/// Whether a real API server serves the group itself.
pub(crate) fn is_built_in(group: &str) -> bool {
    group.is_empty()
        || GROUPS.iter().any(|(known, _)| *known == group)
        || ABSENT_GROUPS.contains(&group)
}
