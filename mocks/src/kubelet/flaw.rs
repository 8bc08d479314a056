//! What is wrong with the series of single pods and containers.

use crate::exposition::{Exposition, Marks, Samples};
use crate::load::Load;

/// What is wrong with the series of one pod's containers, or one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The pod's namespace; any if absent.
    pub namespace: Option<String>,
    /// The pod's name.
    pub pod: String,
    /// The container; all of them if absent.
    pub container: Option<String>,
    /// What is wrong.
    pub kind: FlawKind,
}

/// What is wrong with series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlawKind {
    /// There are none.
    Missing,
    /// No CPU series.
    NoCpu,
    /// No memory series.
    NoMemory,
    /// No start time.
    NoStartTime,
    /// CPU and memory are zero.
    Zero,
    /// CPU and memory are `NaN`.
    Nan,
    /// Each sample stands twice.
    Duplicate,
    /// The samples carry no labels.
    Unlabelled,
}

impl Flaw {
    fn concerns(&self, load: &Load, pod: usize, container: Option<usize>) -> bool {
        let pod = &load.pods[pod];
        let name_fits = self.pod == pod.name
            && self
                .namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == pod.namespace);
        let container_fits = match (&self.container, container) {
            (None, _) => true,
            (Some(wanted), Some(index)) => *wanted == pod.containers[index].name,
            (Some(_), None) => false,
        };
        name_fits && container_fits
    }
}

/// Puts the flaws into samples. Returns whether any had something to spoil.
pub(super) fn spoil(
    flaws: &[Flaw],
    load: &Load,
    exposition: &Exposition,
    samples: &mut Samples,
) -> bool {
    let mut any = false;
    for flaw in flaws {
        let containers = exposition.containers().zip(&mut samples.containers);
        for ((pod, container), sample) in containers {
            if flaw.concerns(load, pod, Some(container)) && sample.is_some() {
                any = true;
                spoil_one(flaw.kind, sample);
            }
        }
        // The pod's own series, which metrics-server does not read, go only
        // when all of the pod goes.
        if flaw.kind == FlawKind::Missing {
            for (pod, sample) in exposition.pods().zip(&mut samples.pods) {
                if flaw.concerns(load, pod, None) {
                    *sample = None;
                }
            }
        }
    }
    any
}

fn spoil_one(kind: FlawKind, sample: &mut Option<crate::exposition::Sample>) {
    let Some(present) = sample else {
        return;
    };
    match kind {
        FlawKind::Missing => *sample = None,
        FlawKind::NoCpu => present.marks.insert(Marks::NO_CPU),
        FlawKind::NoMemory => present.marks.insert(Marks::NO_MEMORY),
        FlawKind::NoStartTime => present.marks.insert(Marks::NO_START_TIME),
        FlawKind::Zero => (present.cpu_ns, present.memory_bytes) = (0, 0),
        FlawKind::Nan => present.marks.insert(Marks::NAN),
        FlawKind::Duplicate => present.marks.insert(Marks::TWICE),
        FlawKind::Unlabelled => present.marks.insert(Marks::UNLABELLED),
    }
}
