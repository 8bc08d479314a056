//! What a pod asks of its node, and what keeps it away from one: labels,
//! taints and tolerations.
//!
//! Source: `k8s.io/api/core/v1/toleration.go ToleratesTaint`,
//! `pkg/scheduler/framework/plugins/{nodeaffinity,tainttoleration}`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::quantity::nanos;

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// None is scheduled there.
    NoSchedule,
    /// Other nodes are better.
    PreferNoSchedule,
    /// None is scheduled there, and those that run there are evicted.
    NoExecute,
}

impl Effect {
    /// As it stands in objects.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// A taint of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// `key`
    pub key: String,
    /// `value`; may be empty.
    pub value: String,
    /// `effect`
    pub effect: Effect,
}

impl Taint {
    /// As an entry of `spec.taints`.
    #[must_use]
    pub fn object(&self) -> Value {
        let mut object = json!({"key": self.key, "effect": self.effect.word()});
        if !self.value.is_empty() {
            object["value"] = json!(self.value);
        }
        object
    }
}

/// A toleration of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toleration {
    /// `key`; any if absent.
    pub key: Option<String>,
    /// `value`, with the operator `Equal`; with `Exists` absent: any.
    pub value: Option<String>,
    /// `effect`; any if absent.
    pub effect: Option<Effect>,
    /// `tolerationSeconds`: how long a `NoExecute` taint is tolerated; for ever
    /// if absent.
    pub lasts: Option<Duration>,
}

impl Toleration {
    fn tolerates(&self, taint: &Value) -> bool {
        let is = |key: &str, value: &str| taint[key].as_str().unwrap_or("") == value;
        self.effect.is_none_or(|effect| is("effect", effect.word()))
            && self.key.as_ref().is_none_or(|key| is("key", key))
            && self.value.as_ref().is_none_or(|value| is("value", value))
    }

    fn object(&self) -> Value {
        let mut object = json!({});
        if let Some(key) = &self.key {
            object["key"] = json!(key);
        }
        match &self.value {
            Some(value) => object["value"] = json!(value),
            None => object["operator"] = json!("Exists"),
        }
        if let Some(effect) = self.effect {
            object["effect"] = json!(effect.word());
        }
        if let Some(lasts) = self.lasts {
            object["tolerationSeconds"] = json!(lasts.as_secs());
        }
        object
    }
}

/// What a pod says of nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// `spec.nodeSelector`
    pub node_selector: Vec<(String, String)>,
    /// `spec.tolerations`, besides those that every pod is given.
    pub tolerations: Vec<Toleration>,
    /// The container's `resources.requests`.
    pub requests: Amounts,
    /// Whether no other pod of the Deployment may be on its node
    /// (`requiredDuringScheduling…` pod anti-affinity on
    /// `kubernetes.io/hostname`).
    pub anti_affinity: bool,
}

/// Amounts of what pods share on a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// In thousandths of a core.
    pub cpu_millis: u64,
    /// In bytes.
    pub memory_bytes: u64,
}

impl Amounts {
    /// As they stand in objects; nothing of what is zero.
    #[must_use]
    pub fn object(self) -> Value {
        let mut object = json!({});
        if self.cpu_millis > 0 {
            object["cpu"] = json!(format!("{}m", self.cpu_millis));
        }
        if self.memory_bytes > 0 {
            object["memory"] = json!(self.memory_bytes.to_string());
        }
        object
    }

    /// What pods may request on a node.
    pub(super) fn allocatable(node: &Value) -> Self {
        let allocatable = &node["status"]["allocatable"];
        let billionths = |key: &str| allocatable[key].as_str().map_or(0, nanos);
        Self {
            cpu_millis: u64::try_from(billionths("cpu") / 1_000_000).unwrap_or(0),
            memory_bytes: u64::try_from(billionths("memory") / 1_000_000_000).unwrap_or(0),
        }
    }
}

/// Taints that the control plane itself sets; those of a node that is not Ready
/// are tolerated for five minutes.
/// Source: `plugin/pkg/admission/defaulttolerationseconds`.
const GIVEN: [&str; 2] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
];

impl Placement {
    /// Whether a node has the labels that the pod asks for.
    pub(super) fn selects(&self, node: &Value) -> bool {
        let labels = &node["metadata"]["labels"];
        let mut wanted = self.node_selector.iter();
        wanted.all(|(key, value)| labels[key.as_str()].as_str() == Some(value))
    }

    /// Whether a taint of the node keeps the pod from being scheduled there.
    /// Of a pod that is `bound_before`, those that say only how the node is do
    /// not.
    pub(super) fn is_kept_away(&self, node: &Value, bound_before: bool) -> bool {
        let is_given = |taint: &Value| GIVEN.iter().any(|key| taint["key"] == *key);
        taints(node)
            .filter(|taint| taint["effect"] != Effect::PreferNoSchedule.word())
            .filter(|taint| !(bound_before && is_given(taint)))
            .any(|taint| self.tolerations.iter().all(|one| !one.tolerates(taint)))
    }

    /// How long the pod may stay on the node; for ever if absent.
    pub(super) fn may_stay(&self, node: &Value) -> Option<Duration> {
        let driving = taints(node).filter(|taint| {
            taint["effect"] == Effect::NoExecute.word()
                && GIVEN.iter().all(|key| taint["key"] != *key)
        });
        let limits = driving.filter_map(|taint| {
            let tolerating = self.tolerations.iter().filter(|one| one.tolerates(taint));
            let lasts: Vec<Option<Duration>> = tolerating.map(|one| one.lasts).collect();
            match lasts.is_empty() {
                true => Some(Duration::ZERO),
                false => lasts.into_iter().flatten().min(),
            }
        });
        limits.min()
    }

    /// Puts it into a pod's `spec`.
    pub(crate) fn write(&self, spec: &mut Value) {
        if !self.node_selector.is_empty() {
            let labels = self.node_selector.iter();
            spec["nodeSelector"] = labels
                .map(|(key, value)| (key.clone(), json!(value)))
                .collect::<serde_json::Map<_, _>>()
                .into();
        }
        let given = GIVEN.iter().map(|key| {
            json!({
                "key": key,
                "operator": "Exists",
                "effect": Effect::NoExecute.word(),
                "tolerationSeconds": 300,
            })
        });
        let own = self.tolerations.iter().map(Toleration::object);
        spec["tolerations"] = own.chain(given).collect();
    }
}

fn taints(node: &Value) -> impl Iterator<Item = &Value> {
    node["spec"]["taints"].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(taints: &[(&str, &str, Effect)]) -> Value {
        let taints = taints.iter().map(|(key, value, effect)| {
            let (key, value) = ((*key).to_owned(), (*value).to_owned());
            let effect = *effect;
            Taint { key, value, effect }.object()
        });
        json!({
            "metadata": {"labels": {"kubernetes.io/os": "linux"}},
            "spec": {"taints": taints.collect::<Vec<_>>()},
        })
    }

    fn toleration(key: &str, value: Option<&str>, effect: Option<Effect>) -> Placement {
        let toleration = Toleration {
            key: (!key.is_empty()).then(|| key.to_owned()),
            value: value.map(str::to_owned),
            effect,
            lasts: None,
        };
        Placement {
            tolerations: vec![toleration],
            ..Placement::default()
        }
    }

    #[test]
    fn a_taint_keeps_away_whoever_does_not_tolerate_it() {
        use Effect::{NoExecute, NoSchedule, PreferNoSchedule};
        let dedicated = node(&[("dedicated", "db", NoSchedule)]);
        let kept = |placement: Placement| placement.is_kept_away(&dedicated, false);
        assert!(kept(Placement::default()));
        assert!(!kept(toleration("dedicated", Some("db"), None)));
        assert!(kept(toleration("dedicated", Some("web"), None)));
        assert!(!kept(toleration("dedicated", None, Some(NoSchedule))));
        assert!(kept(toleration("dedicated", None, Some(NoExecute))));
        // Exists without a key tolerates everything.
        assert!(!kept(toleration("", None, None)));
        let soft = node(&[("a", "", PreferNoSchedule)]);
        assert!(!Placement::default().is_kept_away(&soft, false));
    }

    #[test]
    fn a_pod_that_was_bound_before_minds_no_condition_of_its_node() {
        let unready = node(&[(GIVEN[0], "", Effect::NoSchedule)]);
        assert!(Placement::default().is_kept_away(&unready, false));
        assert!(!Placement::default().is_kept_away(&unready, true));
        let tainted = node(&[("dedicated", "", Effect::NoSchedule)]);
        assert!(Placement::default().is_kept_away(&tainted, true));
    }

    #[test]
    fn a_no_execute_taint_is_borne_as_long_as_it_is_tolerated() {
        let node = node(&[("upgrade", "", Effect::NoExecute)]);
        assert_eq!(Placement::default().may_stay(&node), Some(Duration::ZERO));
        let mut placement = toleration("upgrade", None, None);
        assert_eq!(placement.may_stay(&node), None);
        placement.tolerations[0].lasts = Some(Duration::from_secs(30));
        assert_eq!(placement.may_stay(&node), Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_selector_wants_every_label() {
        let node = node(&[]);
        let wants = |value: &str| Placement {
            node_selector: vec![("kubernetes.io/os".to_owned(), value.to_owned())],
            ..Placement::default()
        };
        assert!(wants("linux").selects(&node));
        assert!(!wants("windows").selects(&node));
        assert!(Placement::default().selects(&node));
    }
}
