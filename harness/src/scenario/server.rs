//! `metricsServer`: the container, its probes and what its start costs.

use std::collections::BTreeMap;
use std::time::Duration;

use aggregator::options;
use aggregator::version::known_lines;
use mocks::deployment::Strategy;
use mocks::deployment::placement::Placement;

use super::args::{Argument, arguments, flag_name, last_value};
use super::code::Code;
use super::decoder::{Decoder, Item};
use super::deployment::{self, BUDGET, REPLICA, STRATEGY};
use super::diagnostic::Diagnostic;
use super::files::{FILES, files};
use super::fleet::Fleet;
use super::layers::{ARGS, WITHOUT_ARGS};
use super::model::{DnsRefinement, Limits, MetricsServer, SecurityContext, Version};
use super::placement::{NODE_SELECTOR, TOLERATIONS, node_selector, tolerations};
use super::pod_start::{POD_START, START_COST, pod_start, start_cost};
use super::probe::{self, PROBE, ProbeKind};
use super::resources::{self, CPU, MEMORY, RESOURCES};
use super::security::{SECURITY_CONTEXT, security_context};
use super::service::object_name;
use super::shape::{Key, Kind, Shape};
use super::tree::Value;

pub(crate) static METRICS_SERVER: Shape = Shape::new(
    "MetricsServer",
    "metrics-server's container, the pod around it, and what its start costs.",
    &[
        Key::given(
            "version",
            Kind::Form("a release", "^v?0\\.[0-9]+(\\.[0-9]+)?$"),
            "v0.8.1",
            "The release whose rules and defaults apply. Flags of the preset that it does not have are left out.",
        ),
        Key::given(
            "image",
            Kind::Text,
            "rancher/mirrored-metrics-server",
            "The container's image without its tag, which is the version.",
        ),
        Key::given(
            "args",
            Kind::List(&Kind::Text),
            "[--metric-resolution=30s]",
            "Arguments of the container, as one edits a Deployment: a flag replaces the same flag of the preset where it stands, others are added at the end. A flag that stands here twice is given twice: lists such as `--kubelet-preferred-address-types` add up, of others the last one wins.",
        ),
        Key::optional(
            WITHOUT_ARGS,
            Kind::List(&FLAG),
            "[--kubelet-use-node-status-port]",
            "Flags of the preset to leave out, by their names.",
        ),
        Key::optional(
            "securityContext",
            Kind::Mapping(&SECURITY_CONTEXT),
            "{runAsUser: 1000, readOnlyRootFilesystem: true}",
            "What the container may do. Missing: all that metrics-server needs.",
        ),
        Key::optional(
            "files",
            FILES,
            "{/ca/ca.crt: {authority: cluster}}",
            "What volumes put into the container, by path: each is for an argument to name. A change holds for containers that run too, as a ConfigMap or Secret does. Default: nothing but the service account's token and `ca.crt`.",
        ),
        Key::optional(
            "node",
            Kind::OneOf(&[Kind::Text, Kind::List(&Kind::Text)]),
            "node-1",
            "The node that the pod is created for, or for several pods a list of nodes that take turns. Default: the first node; for several pods, all of them.",
        )
        .fixed("`drain` in `actions` moves pods"),
        Key::optional(
            "replicas",
            Kind::Integer(1, 20),
            "2",
            "How many pods. Where a run can have several they are called `metrics-server-1`, `metrics-server-2` and so on, in order of creation. Default: 1.",
        ),
        Key::optional(
            "strategy",
            Kind::Mapping(&STRATEGY),
            "{type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}",
            "How a change of the pod template is rolled out. Default: that of Kubernetes.",
        ),
        Key::optional(
            "podDisruptionBudget",
            Kind::Mapping(&BUDGET),
            "{minAvailable: 1}",
            "What a drain must leave alone. Missing: nothing.",
        ),
        Key::optional(
            "podAntiAffinity",
            Kind::Word(&[("required", "no two pods share a node, by host name")]),
            "required",
            "Whether pods keep each other away from their nodes. Missing: they do not.",
        ),
        Key::optional(
            "priorityClassName",
            Kind::ObjectName,
            "system-cluster-critical",
            "The pods' priority class. Kubelets do not evict those of `system-cluster-critical` and `system-node-critical`. Missing: none.",
        ),
        Key::optional(
            "nodeSelector",
            NODE_SELECTOR,
            "{kubernetes.io/os: linux}",
            "The labels that a node must have for the pods to run there. Default: none.",
        ),
        Key::optional(
            "tolerations",
            TOLERATIONS,
            "[{key: CriticalAddonsOnly, operator: Exists}]",
            "The taints that do not keep the pods from a node. Default: none but those that every pod is given.",
        ),
        Key::optional(
            "perReplica",
            Kind::Named("a pod, as `metrics-server-2`", &Kind::Mapping(&REPLICA)),
            "{metrics-server-2: {cpu: {request: 6s}}}",
            "What holds for single pods only.",
        ),
        Key::optional(
            "containerPort",
            Kind::Integer(1, 65_535),
            "4443",
            "The number of the container's port `https`, to which probes and the Service lead. Default: what `--secure-port` says.",
        ),
        Key::optional(
            "resources",
            Kind::Mapping(&RESOURCES),
            "{limits: {memory: 200Mi}}",
            "Requests and limits of the container.",
        ),
        Key::optional(
            "cpu",
            Kind::Mapping(&CPU),
            "{request: 500ms}",
            "What a starved processor adds to the process's work. Missing: nothing.",
        ),
        Key::optional(
            "memory",
            Kind::Mapping(&MEMORY),
            "{base: 40Mi, perNode: 2Mi}",
            "What the process uses of its memory. Missing: it never runs out.",
        ),
        Key::given(
            "pod",
            Kind::Mapping(&POD_START),
            "{imagePull: 7s}",
            "What the pod waits for before its container starts.",
        ),
        Key::given(
            "startCost",
            Kind::Mapping(&START_COST),
            "{serve: 15ms}",
            "What the process itself costs before it serves.",
        ),
        Key::optional(
            "readinessProbe",
            Kind::Mapping(&PROBE),
            "{periodSeconds: 2}",
            "When the pod is Ready.",
        ),
        Key::optional(
            "livenessProbe",
            Kind::Mapping(&PROBE),
            "{failureThreshold: 6}",
            "When the container is restarted.",
        ),
        Key::optional(
            "startupProbe",
            Kind::Mapping(&PROBE),
            "{failureThreshold: 30}",
            "What the other two probes wait for.",
        ),
        Key::given(
            "terminationGracePeriodSeconds",
            Kind::Integer(1, 3600),
            "30",
            "Whole seconds from SIGTERM to SIGKILL.",
        ),
        Key::given(
            "hostNetwork",
            Kind::Boolean,
            "true",
            "Whether the container uses the node's network and address.",
        ),
        Key::given(
            "restartPolicy",
            Kind::Word(&[
                ("Always", "the kubelet restarts the container"),
                ("Never", "it stays down until an action starts it"),
            ]),
            "Never",
            "What follows when the process ends.",
        )
        .fixed("it belongs to the whole run"),
        Key::optional(
            "restartJitter",
            Kind::Boolean,
            "false",
            "Whether the kubelet notices an end at a random point of its period and prolongs waits at random, as it does. Default: true.",
        )
        .fixed("it belongs to the whole run"),
        Key::optional(
            "progressDeadlineSeconds",
            Kind::Integer(1, 86_400),
            "600",
            "Whole seconds from the pod's creation after which whoever waits for the installation gives up. Missing: nobody waits.",
        )
        .fixed("it belongs to the whole run"),
    ],
);

const FLAG: Kind = Kind::Form("a flag without its value", "^--?[a-z][a-z0-9-]*$");

/// Reads `metricsServer`.
pub(crate) fn metrics_server(
    decoder: &mut Decoder,
    item: Item<'_>,
    fleet: &Fleet,
    until: Option<Duration>,
) -> Option<MetricsServer> {
    let given = item
        .node
        .entry(ARGS)
        .map_or(&[][..], |args| args.value.items());
    let secure_port = last_value(given, "--secure-port");
    // Source: apiserver `pkg/server/options/serving.go`, default of the flag.
    let secure_port = secure_port.map_or("443", |(port, _)| port);

    let before = decoder.count();
    let mut object = decoder.object(item, &METRICS_SERVER)?;
    let version = object.required(decoder, "version", version);
    let image = object.required(decoder, "image", |decoder, item| {
        decoder.text(item).map(str::to_owned)
    });
    let args = object.required(decoder, "args", |decoder, item| {
        decoder.list(item, |decoder, arg| {
            let text = decoder.text(arg)?.to_owned();
            Some((text, !arg.node.span.is_in_preset()))
        })
    });
    let without = object.optional(decoder, WITHOUT_ARGS, |decoder, item| {
        without_args(decoder, item, &arguments(given))
    });
    let usual = SecurityContext::USUAL;
    let security = object.or(decoder, "securityContext", usual, security_context);
    let files = object.or(decoder, "files", BTreeMap::new(), files);
    let replicas = object.or(decoder, "replicas", 1, |decoder, item| {
        decoder.integer(item, 1..=20)
    });
    let nodes = object.optional(decoder, "node", |decoder, item| nodes(decoder, item, fleet));
    let strategy = object.or(decoder, "strategy", Strategy::DEFAULT, deployment::strategy);
    let budget = object.optional(decoder, "podDisruptionBudget", deployment::budget);
    let anti_affinity = object.or(decoder, "podAntiAffinity", false, |decoder, item| {
        decoder.word(item, &[("required", true)])
    });
    let priority_class = object.optional(decoder, "priorityClassName", object_name);
    let node_selector = object.or(decoder, "nodeSelector", Vec::new(), node_selector);
    let tolerations = object.or(decoder, "tolerations", Vec::new(), tolerations);
    let container_port = object.optional(decoder, "containerPort", Decoder::port);
    let usual = (resources::USUAL_REQUESTS, Limits::default());
    let resources = object.or(decoder, "resources", usual, resources::resources);
    let cpu = object.optional(decoder, "cpu", resources::cpu);
    let memory = object.optional(decoder, "memory", resources::memory);
    let pod = object.required(decoder, "pod", |decoder, item| {
        pod_start(decoder, item, until)
    });
    let start_cost = object.required(decoder, "startCost", start_cost);
    let mut one = |key, kind| {
        object.optional(decoder, key, |decoder, item| {
            probe::probe(decoder, item, kind, secure_port, container_port.flatten())
        })
    };
    let readiness = one("readinessProbe", ProbeKind::Readiness);
    let liveness = one("livenessProbe", ProbeKind::Liveness);
    let startup = one("startupProbe", ProbeKind::Startup);
    let termination_grace =
        object.required(decoder, "terminationGracePeriodSeconds", |decoder, item| {
            decoder.integer(item, 1..=3600)
        });
    let host_network = object.required(decoder, "hostNetwork", Decoder::boolean);
    let restart = object.required(decoder, "restartPolicy", |decoder, item| {
        decoder.word(item, &[("Always", true), ("Never", false)])
    });
    let restart_jitter = object.or(decoder, "restartJitter", true, Decoder::boolean);
    let progress_deadline = object.optional(decoder, "progressDeadlineSeconds", |decoder, item| {
        decoder.integer(item, 1..=86_400)
    });
    let sound = decoder.count() == before;
    let per_replica = object.or(decoder, "perReplica", BTreeMap::new(), |decoder, pods| {
        // What is wrong with all pods has been noted already.
        if !sound {
            return Some(BTreeMap::new());
        }
        deployment::per_replica(decoder, pods, item.node, fleet, until)
    });
    object.finish(decoder);
    without?;
    let replicas = u32::try_from(replicas?).ok()?;
    let (requests, limits) = resources?;
    // With one pod the first node, with several all of them.
    let usual = match replicas {
        1 => vec![0],
        _ => (0..fleet.members().len().max(1)).collect(),
    };
    Some(MetricsServer {
        version: version?,
        image: image?,
        args: known_args(args?, version?),
        security: security?,
        files: files?,
        replicas,
        nodes: nodes?.unwrap_or(usual),
        strategy: strategy?,
        budget: budget?,
        priority_class: priority_class?,
        placement: Placement {
            node_selector: node_selector?,
            tolerations: tolerations?,
            anti_affinity: anti_affinity?,
            requests,
        },
        per_replica: per_replica?,
        dns: DnsRefinement::default(),
        container_port: container_port?,
        cpu: cpu?,
        memory: memory?,
        limits,
        pod: pod?,
        start_cost: start_cost?,
        readiness: readiness?,
        liveness: liveness?,
        startup: startup?,
        termination_grace: Duration::from_secs(termination_grace?),
        host_network: host_network?,
        restart: restart?,
        restart_jitter: restart_jitter?,
        progress_deadline: progress_deadline?.map(Duration::from_secs),
    })
}

/// The arguments without those flags of the preset that the release does not
/// have yet, or not any more: whoever installs it has its own manifest.
fn known_args(args: Vec<(String, bool)>, version: Version) -> Vec<String> {
    let args = args.into_iter();
    let known = args.filter(|(arg, own)| *own || options::knows(flag_name(arg), version));
    known.map(|(arg, _)| arg).collect()
}

/// Names of flags. What they take out of the arguments is gone by now.
fn without_args(decoder: &mut Decoder, item: Item<'_>, args: &[Argument]) -> Option<Vec<()>> {
    decoder.list(item, |decoder, item| {
        let text = decoder.text(item)?;
        let name = flag_name(text);
        let (code, message, help) = if name.is_empty() || text.contains('=') {
            (
                Code::BadValue,
                format!("`{text}` is not the name of a flag"),
                "write the flag alone, such as `--kubelet-insecure-tls`",
            )
        } else if args.iter().any(|arg| arg.flag == name) {
            (
                Code::Contradiction,
                format!("`{text}` is both given and left out"),
                "keep it in one of `args` and `withoutArgs`",
            )
        } else {
            return Some(());
        };
        decoder.note(Diagnostic::at(code, item.span(), message, help));
        None
    })
}

/// `v0.8.1` and `0.8.1` are that release, `0.8` is the last one of its line.
fn version(decoder: &mut Decoder, item: Item<'_>) -> Option<Version> {
    let text = decoder.text(item)?;
    if let Ok(version) = text.parse() {
        return Some(version);
    }
    decoder.note(Diagnostic::at(
        Code::UnknownName,
        item.span(),
        format!("the behaviour of metrics-server `{text}` is not known"),
        format!(
            "write a release such as `v0.8.1`, or a line such as `0.8` for its last one; known are {}",
            known_lines()
        ),
    ));
    None
}

/// One node, or a list of them.
fn nodes(decoder: &mut Decoder, item: Item<'_>, fleet: &Fleet) -> Option<Vec<usize>> {
    let Value::List(_) = &item.node.value else {
        return fleet.member(decoder, item).map(|node| vec![node]);
    };
    let nodes = decoder.list(item, |decoder, item| fleet.member(decoder, item))?;
    if nodes.is_empty() {
        decoder.note(Diagnostic::at(
            Code::SaysNothing,
            item.key_span(),
            "the list of nodes is empty",
            "name at least one node, or remove `node`",
        ));
        return None;
    }
    Some(nodes)
}
