//! Usage → the text of a kubelet's `/metrics/resource`.
//!
//! [`Exposition`] holds everything about a node's text that does not change
//! between scrapes; [`Exposition::render`] adds values and timestamps. It is
//! on the hot path of simulations with thousands of nodes, so that a line is
//! three copies and two integers to format, and nothing is allocated.
//!
//! Source: pkg/kubelet/metrics/collectors/resource_metrics.go
//! (Kubernetes 1.36); the text format is prometheus/common's
//! expfmt/text_create.go, `MetricFamilyToText`.

use crate::load::Load;

mod family;
mod number;

pub use family::SCRAPE_ERROR;
use family::{
    CONTAINER_CPU, CONTAINER_MEMORY, CONTAINER_START, CONTAINER_SWAP, Family, NO_SCRAPE_ERROR,
    NODE_CPU, NODE_MEMORY, NODE_SWAP, POD_CPU, POD_MEMORY, POD_SWAP,
};

/// What was measured at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Cumulative CPU time in core-nanoseconds.
    pub cpu_ns: u64,
    /// Working set in bytes.
    pub memory_bytes: u64,
    /// When, on the node's wall clock: milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// What is wrong with how it is written.
    pub marks: Marks,
}

/// What is wrong with how one sample is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks(u8);

impl Marks {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// It has no CPU series.
    pub const NO_CPU: Self = Self(1);
    /// It has no memory series.
    pub const NO_MEMORY: Self = Self(2);
    /// It has no start time.
    pub const NO_START_TIME: Self = Self(4);
    /// Each of its samples stands twice.
    pub const TWICE: Self = Self(8);
    /// Its CPU and memory are `NaN`.
    pub const NAN: Self = Self(16);
    /// Its samples carry no labels.
    pub const UNLABELLED: Self = Self(32);

    /// Adds what is wrong in `other`.
    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether anything of `other` is wrong.
    #[must_use]
    pub fn contain(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// One reading of a node. A sample is missing where nothing runs.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    /// The node.
    pub node: Option<Sample>,
    /// The pods, in the order of [`Exposition::pods`].
    pub pods: Vec<Option<Sample>>,
    /// The containers, in the order of [`Exposition::containers`].
    pub containers: Vec<Option<Sample>>,
}

/// Which series to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Include {
    /// `node_*`
    pub node: bool,
    /// `container_cpu_usage_seconds_total`
    pub container_cpu: bool,
    /// `container_memory_working_set_bytes`
    pub container_memory: bool,
    /// The other `container_*`.
    pub container_rest: bool,
    /// Timestamps, where Kubernetes has them.
    pub timestamps: bool,
    /// Each CPU sample of a node or a container twice.
    pub twice: bool,
}

impl Include {
    /// What a healthy kubelet writes.
    pub const ALL: Self = Self {
        node: true,
        container_cpu: true,
        container_memory: true,
        container_rest: true,
        timestamps: true,
        twice: false,
    };
}

/// CPU time in core-seconds as an exposition has it: `512345000` as
/// `0.512345`.
#[must_use]
pub fn seconds(cpu_ns: u64) -> String {
    let mut out = Vec::new();
    number::push_billionths(&mut out, cpu_ns);
    String::from_utf8(out).expect("numbers are ASCII")
}

/// The part of a node's exposition that does not change between scrapes.
///
/// DIFFERENCE: swap is always zero, and `container_swap_limit_bytes` never
/// appears, as on a node without swap.
#[derive(Debug)]
pub struct Exposition {
    containers: Vec<Subject>,
    pods: Vec<Subject>,
    /// `{container="…",namespace="…",pod="…"} ` of every subject, in order.
    labels: Vec<u8>,
    /// The values of `container_start_time_seconds`, in order.
    starts: Vec<u8>,
}

/// A pod or container: where it is in the [`Load`], and where its constant
/// text ends. It begins where that of the one before ends.
#[derive(Debug, Clone, Copy)]
struct Subject {
    pod: u32,
    container: u32,
    labels_end: u32,
    start_end: u32,
}

impl Exposition {
    /// Prepares the text for `load`. `started` tells what the node's wall
    /// clock showed when a container started, in nanoseconds since the Unix
    /// epoch.
    #[must_use]
    pub fn new(load: &Load, started: impl Fn(&crate::load::Container) -> i64) -> Self {
        let mut this = Self {
            containers: Vec::new(),
            pods: Vec::new(),
            labels: Vec::new(),
            starts: Vec::new(),
        };
        // Families are sorted by label values, and labels by name.
        let mut containers: Vec<(usize, usize)> = Vec::new();
        let mut pods: Vec<usize> = (0..load.pods.len()).collect();
        for (index, pod) in load.pods.iter().enumerate() {
            containers.extend((0..pod.containers.len()).map(|container| (index, container)));
        }
        containers.sort_by_key(|&(pod, container)| {
            let pod = &load.pods[pod];
            (&pod.containers[container].name, &pod.namespace, &pod.name)
        });
        pods.sort_by_key(|&pod| (&load.pods[pod].namespace, &load.pods[pod].name));

        for (index, container) in containers {
            let pod = &load.pods[index];
            let (name, start) = (
                &pod.containers[container].name,
                started(&pod.containers[container]),
            );
            this.push_labels(&[
                ("container", name),
                ("namespace", &pod.namespace),
                ("pod", &pod.name),
            ]);
            // Kubernetes omits start times that are not positive.
            if let Ok(start @ 1..) = u64::try_from(start) {
                number::push_billionths(&mut this.starts, start);
            }
            let subject = this.subject(index, container);
            this.containers.push(subject);
        }
        for index in pods {
            let pod = &load.pods[index];
            this.push_labels(&[("namespace", &pod.namespace), ("pod", &pod.name)]);
            let subject = this.subject(index, 0);
            this.pods.push(subject);
        }
        this
    }

    fn subject(&self, pod: usize, container: usize) -> Subject {
        let small = |n: usize| u32::try_from(n).expect("a node's text stays below 4 GiB");
        Subject {
            pod: small(pod),
            container: small(container),
            labels_end: small(self.labels.len()),
            start_end: small(self.starts.len()),
        }
    }

    /// Source: expfmt/text_create.go, `writeLabelPairs`, `writeEscapedString`.
    fn push_labels(&mut self, labels: &[(&str, &String)]) {
        let out = &mut self.labels;
        for (index, (name, value)) in labels.iter().enumerate() {
            out.push(if index == 0 { b'{' } else { b',' });
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"=\"");
            for &byte in value.as_bytes() {
                match byte {
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    b'\n' => out.extend_from_slice(b"\\n"),
                    b'"' => out.extend_from_slice(b"\\\""),
                    other => out.push(other),
                }
            }
            out.push(b'"');
        }
        out.extend_from_slice(b"} ");
    }

    /// The containers in the order of their lines: indices into
    /// [`Load::pods`] and its containers.
    pub fn containers(&self) -> impl ExactSizeIterator<Item = (usize, usize)> + '_ {
        self.containers
            .iter()
            .map(|subject| (subject.pod as usize, subject.container as usize))
    }

    /// The pods in the order of their lines: indices into [`Load::pods`].
    pub fn pods(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.pods.iter().map(|subject| subject.pod as usize)
    }

    /// Appends the text for one reading to `out`.
    pub fn render(&self, samples: &Samples, include: Include, out: &mut Vec<u8>) {
        let mut page = Page::new(out, include.timestamps);
        let containers = || self.lines(&self.containers, 0, &samples.containers);
        let pods = || self.lines(&self.pods, self.first_pod_label(), &samples.pods);
        let node = || samples.node.iter().map(|sample| (&b" "[..], *sample));

        if include.container_cpu {
            let with_cpu = containers().filter(|(_, sample)| !sample.marks.contain(Marks::NO_CPU));
            page.family(&CONTAINER_CPU, include.twice, with_cpu, Page::cpu);
        }
        if include.container_memory {
            let with_memory =
                containers().filter(|(_, sample)| !sample.marks.contain(Marks::NO_MEMORY));
            page.family(&CONTAINER_MEMORY, false, with_memory, Page::memory);
        }
        if include.container_rest {
            self.render_starts(&mut page, samples);
            page.family(&CONTAINER_SWAP, false, containers(), Page::zero);
        }
        if include.node {
            page.family(&NODE_CPU, include.twice, node(), Page::cpu);
            page.family(&NODE_MEMORY, false, node(), Page::memory);
            page.family(&NODE_SWAP, false, node(), Page::zero);
        }
        page.family(&POD_CPU, false, pods(), Page::cpu);
        page.family(&POD_MEMORY, false, pods(), Page::memory);
        page.family(&POD_SWAP, false, pods(), Page::zero);
        page.out.extend_from_slice(NO_SCRAPE_ERROR.as_bytes());
    }

    /// Start times come from the container runtime and carry no timestamp.
    fn render_starts(&self, page: &mut Page<'_>, samples: &Samples) {
        let mut start_from = 0;
        let mut opened = false;
        let lines = self.lines(&self.containers, 0, &samples.containers);
        let mut lines = lines.map(|(labels, _)| labels);
        for (subject, sample) in self.containers.iter().zip(&samples.containers) {
            let start = &self.starts[start_from..subject.start_end as usize];
            start_from = subject.start_end as usize;
            let Some(sample) = sample else {
                continue;
            };
            let labels = lines.next().expect("as many lines as samples");
            if start.is_empty() || sample.marks.contain(Marks::NO_START_TIME) {
                continue;
            }
            if !std::mem::replace(&mut opened, true) {
                page.out.extend_from_slice(CONTAINER_START.head.as_bytes());
            }
            page.out.extend_from_slice(CONTAINER_START.name.as_bytes());
            page.out.extend_from_slice(labels);
            page.out.extend_from_slice(start);
            page.out.push(b'\n');
        }
    }

    fn first_pod_label(&self) -> usize {
        self.containers
            .last()
            .map_or(0, |subject| subject.labels_end as usize)
    }

    /// Labels and sample of each subject that has one.
    fn lines<'a>(
        &'a self,
        subjects: &'a [Subject],
        first_label: usize,
        samples: &'a [Option<Sample>],
    ) -> impl Iterator<Item = (&'a [u8], Sample)> + 'a {
        debug_assert_eq!(subjects.len(), samples.len());
        let mut from = first_label;
        subjects
            .iter()
            .zip(samples)
            .filter_map(move |(subject, sample)| {
                let to = subject.labels_end as usize;
                let labels = &self.labels[from..to];
                from = to;
                sample.map(|sample| {
                    let unlabelled = sample.marks.contain(Marks::UNLABELLED);
                    (if unlabelled { &b" "[..] } else { labels }, sample)
                })
            })
    }
}

/// The text being written.
struct Page<'a> {
    out: &'a mut Vec<u8>,
    timestamps: bool,
    /// The last sample time and the end of a line with it: most samples of a
    /// scrape share one.
    time_ms: i64,
    line_end: number::LineEnd,
}

impl<'a> Page<'a> {
    fn new(out: &'a mut Vec<u8>, timestamps: bool) -> Self {
        let line_end = if timestamps {
            number::LineEnd::with_time(0)
        } else {
            number::LineEnd::bare()
        };
        Self {
            out,
            timestamps,
            time_ms: 0,
            line_end,
        }
    }

    /// A family without samples does not appear at all.
    fn family<'b>(
        &mut self,
        family: &Family,
        twice: bool,
        lines: impl Iterator<Item = (&'b [u8], Sample)>,
        value: impl Fn(&mut Self, Sample),
    ) {
        let mut lines = lines.peekable();
        if lines.peek().is_some() {
            self.out.extend_from_slice(family.head.as_bytes());
        }
        for (labels, sample) in lines {
            for _ in 0..=usize::from(twice || sample.marks.contain(Marks::TWICE)) {
                self.out.extend_from_slice(family.name.as_bytes());
                self.out.extend_from_slice(labels);
                value(self, sample);
                self.end_line(sample.time_ms);
            }
        }
    }

    fn cpu(&mut self, sample: Sample) {
        if sample.marks.contain(Marks::NAN) {
            return self.out.extend_from_slice(b"NaN");
        }
        number::push_billionths(self.out, sample.cpu_ns);
    }

    fn memory(&mut self, sample: Sample) {
        if sample.marks.contain(Marks::NAN) {
            return self.out.extend_from_slice(b"NaN");
        }
        number::push_whole(self.out, sample.memory_bytes);
    }

    fn zero(&mut self, _: Sample) {
        self.out.push(b'0');
    }

    fn end_line(&mut self, time_ms: i64) {
        if self.timestamps && time_ms != self.time_ms {
            self.time_ms = time_ms;
            self.line_end = number::LineEnd::with_time(time_ms);
        }
        self.out.extend_from_slice(self.line_end.as_bytes());
    }
}

#[cfg(test)]
mod tests;
