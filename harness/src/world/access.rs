//! Who may do what: the manifests' roles, and what the scenario has changed.

use std::rc::Rc;
use std::time::Duration;

use aggregator::version::{KubeletEndpoint, Version};
use mocks::apiserver::{Grant, Policy, Subject, What};
use mocks::script::Script;

use super::Site;
use super::trust::CLIENT;
use crate::faults;
use crate::scenario::model::{RbacRule, RbacSubject};
use crate::scenario::rbac_resource;

/// The policy of the cluster over time.
#[must_use]
pub fn policy(site: &Site) -> Policy {
    let mut policy = Policy::new();
    let rbac = &site.scenario.rbac;
    let manifest = manifest(site.scenario.metrics_server.version);
    if rbac.0.iter().all(|(_, rules)| rules.is_empty()) {
        if !manifest.is_empty() {
            let always = vec![(Duration::ZERO, manifest)];
            policy.refine(Script::new(site.start, always), |_| {});
        }
        return policy;
    }
    // What the clients of a scenario may do stands in a role, because it can
    // be taken away: nothing can from `system:masters`.
    policy.bind(
        "clients",
        None,
        "cluster-viewer",
        Subject::User(CLIENT.to_owned()),
    );
    let faults: Vec<(Grant, String)> = rbac
        .0
        .iter()
        .flat_map(|(_, rules)| rules)
        .filter_map(|rule| Some((grant(rule), faults::denial(rule)?)))
        .collect();
    let recorder = Rc::clone(&site.recorder);
    let decided = move |grant: &Grant| {
        if let Some((_, fault)) = faults.iter().find(|(denied, _)| denied == grant) {
            recorder.fault("apiserver", fault);
        }
    };
    let entries = rbac.0.iter();
    let grants = entries.map(|(at, rules)| {
        let rules = rules.iter().map(grant);
        (*at, manifest.iter().cloned().chain(rules).collect())
    });
    policy.refine(Script::new(site.start, grants.collect()), decided);
    policy
}

/// What the manifest of an old release grants in place of today's: up to 0.5
/// kubelets are asked for `nodes/stats`.
///
/// Source: metrics-server `manifests/base/rbac.yaml` of the release.
fn manifest(version: Version) -> Vec<Grant> {
    if version.kubelet_endpoint() == KubeletEndpoint::Resource {
        return Vec::new();
    }
    let may = |subresource: &str, allowed| Grant {
        subject: account("metrics-server"),
        what: What::Resource {
            group: String::new(),
            resource: "nodes".to_owned(),
            subresource: subresource.to_owned(),
        },
        allowed,
    };
    vec![may("stats", true), may("metrics", false)]
}

fn account(name: &str) -> Subject {
    Subject::ServiceAccount {
        namespace: "kube-system".to_owned(),
        name: name.to_owned(),
    }
}

/// Whether the scenario ever says what its clients may do.
#[must_use]
pub fn restricts_clients(site: &Site) -> bool {
    let mut rules = site.scenario.rbac.0.iter().flat_map(|(_, rules)| rules);
    rules.any(|rule| rule.subject == RbacSubject::Clients)
}

fn grant(rule: &RbacRule) -> Grant {
    Grant {
        subject: match rule.subject {
            RbacSubject::MetricsServer => account("metrics-server"),
            RbacSubject::Hpa => account("horizontal-pod-autoscaler"),
            RbacSubject::Clients => Subject::User(CLIENT.to_owned()),
            RbacSubject::Anonymous => Subject::User("system:anonymous".to_owned()),
        },
        what: match rbac_resource(&rule.object) {
            Some((group, resource, subresource)) => What::Resource {
                group: group.to_owned(),
                resource: resource.to_owned(),
                subresource: subresource.to_owned(),
            },
            None => What::Path(rule.object.clone()),
        },
        allowed: rule.allowed,
    }
}
