//! Usage → the JSON of a kubelet's `/stats/summary`, as far as CPU and memory
//! go.
//!
//! The values are those of the exposition at the same moment. Times are whole
//! seconds, as in all of Kubernetes' JSON.
//!
//! DIFFERENCE: what an exposition can hold and JSON cannot, values that are no
//! numbers and series without labels or in duplicate, is left out here. The
//! rate that cAdvisor works out over its last readings is the true one.
//!
//! Source: k8s.io/kubelet pkg/apis/stats/v1alpha1/types.go;
//! pkg/kubelet/server/stats/handler.go, `handleSummary`.

use std::collections::BTreeMap;

use seam::Timestamp;
use serde_json::{Map, Value, json};

use crate::apiserver::objects::rfc3339;
use crate::exposition::{Exposition, Include, Marks, Sample, Samples};
use crate::load::Load;

use super::WallAt;

/// What a summary is made of.
pub(super) struct Reading<'a> {
    pub(super) node: &'a str,
    pub(super) load: &'a Load,
    pub(super) exposition: &'a Exposition,
    pub(super) samples: &'a Samples,
    pub(super) wall_at: &'a WallAt,
    pub(super) include: Include,
    /// What the node says about when it started, if that is not when it did:
    /// nanoseconds before its sample.
    pub(super) node_age_ns: Option<i64>,
}

impl Reading<'_> {
    /// The body.
    pub(super) fn render(&self) -> Vec<u8> {
        let document = json!({ "node": self.node(), "pods": self.pods() });
        document.to_string().into_bytes()
    }

    fn node(&self) -> Value {
        let mut node = Map::new();
        node.insert("nodeName".to_owned(), self.node.into());
        let booted = (self.wall_at)(self.load.booted_ns());
        let started = match (self.node_age_ns, self.samples.node) {
            (Some(age_ns), Some(sample)) => time(sample).offset(-age_ns),
            _ => booted,
        };
        node.insert("startTime".to_owned(), rfc3339(started).into());
        if let Some(sample) = self.samples.node.filter(|_| self.include.node) {
            self.insert_usage(&mut node, sample, self.load.cpu_nanocores, true, true);
        }
        node.into()
    }

    fn pods(&self) -> Vec<Value> {
        let mut containers: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
        let readings = self.exposition.containers().zip(&self.samples.containers);
        for ((pod, container), sample) in readings {
            let of_pod = containers.entry(pod).or_default();
            if let Some(sample) = sample {
                of_pod.push(self.container(pod, container, *sample));
            }
        }
        let pods = containers.into_iter().filter(|(pod, _)| self.runs(*pod));
        pods.map(|(pod, containers)| {
            let pod = &self.load.pods[pod];
            json!({
                "podRef": { "name": pod.name, "namespace": pod.namespace },
                "containers": containers,
            })
        })
        .collect()
    }

    /// Whether the pod has a reading of its own.
    fn runs(&self, pod: usize) -> bool {
        let mut readings = self.exposition.pods().zip(&self.samples.pods);
        readings.any(|(index, sample)| index == pod && sample.is_some())
    }

    fn container(&self, pod: usize, container: usize, sample: Sample) -> Value {
        let container = &self.load.pods[pod].containers[container];
        let mut stats = Map::new();
        stats.insert("name".to_owned(), container.name.as_str().into());
        let started = match sample.marks.contain(Marks::NO_START_TIME) {
            true => Value::Null,
            false => rfc3339((self.wall_at)(container.started_ns)).into(),
        };
        stats.insert("startTime".to_owned(), started);
        let cpu = self.include.container_cpu && !sample.marks.contain(Marks::NO_CPU);
        let memory = self.include.container_memory && !sample.marks.contain(Marks::NO_MEMORY);
        self.insert_usage(&mut stats, sample, container.cpu_nanocores, cpu, memory);
        stats.into()
    }

    fn insert_usage(
        &self,
        stats: &mut Map<String, Value>,
        sample: Sample,
        nanocores: u64,
        cpu: bool,
        memory: bool,
    ) {
        if sample.marks.contain(Marks::NAN) {
            return;
        }
        let mut insert = |name: &str, mut values: Value| {
            if self.include.timestamps {
                values["time"] = rfc3339(time(sample)).into();
            } else {
                values["time"] = Value::Null;
            }
            stats.insert(name.to_owned(), values);
        };
        if cpu {
            // What has used nothing uses nothing.
            let rate = if sample.cpu_ns == 0 { 0 } else { nanocores };
            insert(
                "cpu",
                json!({ "usageNanoCores": rate, "usageCoreNanoSeconds": sample.cpu_ns }),
            );
        }
        if memory {
            let bytes = sample.memory_bytes;
            insert("memory", json!({ "workingSetBytes": bytes }));
        }
    }
}

fn time(sample: Sample) -> Timestamp {
    Timestamp::from_nanos(sample.time_ms.saturating_mul(1_000_000))
}
