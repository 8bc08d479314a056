//! `metricsServer`: the container, its probes and what its start costs.

use std::time::Duration;

use aggregator::version::known_lines;

use super::args::last_value;
use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::fleet::Fleet;
use super::model::{MetricsServer, PodStart, StartCost, Version};
use super::probe::{self, PROBE, ProbeKind};
use super::scalars::DISTRIBUTION;
use super::shape::{Key, Kind, Shape};

pub(crate) static METRICS_SERVER: Shape = Shape::new(
    "MetricsServer",
    "metrics-server's container, the pod around it, and what its start costs.",
    &[
        Key::given(
            "version",
            Kind::Form("a release", "^v?0\\.[0-9]+(\\.[0-9]+)?$"),
            "v0.8.1",
            "The release whose rules and defaults apply.",
        ),
        Key::given(
            "args",
            Kind::List(&Kind::Text),
            "[--metric-resolution=30s]",
            "Arguments of the container, added after those of the preset: where a flag is given twice, the last one wins.",
        ),
        Key::optional(
            "node",
            Kind::Text,
            "node-1",
            "The node that the pod runs on. Default: the first one.",
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
        ),
        Key::optional(
            "restartJitter",
            Kind::Boolean,
            "false",
            "Whether the kubelet notices an end at a random point of its period and prolongs waits at random, as it does. Default: true.",
        ),
        Key::optional(
            "progressDeadlineSeconds",
            Kind::Integer(1, 86_400),
            "600",
            "Whole seconds from the pod's creation after which whoever waits for the installation gives up. Missing: nobody waits.",
        ),
    ],
);

static POD_START: Shape = Shape::new(
    "PodStart",
    "From the pod's creation to its container's start, one after the other.",
    &[
        Key::given(
            "createdAt",
            Kind::Duration,
            "10s",
            "Time at which the pod is created.",
        ),
        Key::given(
            "scheduling",
            DISTRIBUTION,
            "50ms",
            "From creation until it is bound to its node.",
        ),
        Key::given(
            "imagePull",
            DISTRIBUTION,
            "{uniform: [5s, 40s]}",
            "Time to pull the image; 0 where it is there already.",
        ),
        Key::given(
            "sandbox",
            DISTRIBUTION,
            "2s",
            "Sandbox, network and volumes.",
        ),
    ],
);

static START_COST: Shape = Shape::new(
    "StartCost",
    "What a process costs from exec to its first answer, apart from waiting for others: four parts, one after the other.",
    &[
        Key::given(
            "exec",
            DISTRIBUTION,
            "25ms",
            "Exec until the serving certificate is looked for.",
        ),
        Key::given(
            "certificate",
            DISTRIBUTION,
            "{uniform: [1s, 4s]}",
            "Generating the serving certificate; the port is bound right after. Not spent on a restart in the same pod.",
        ),
        Key::given(
            "configure",
            DISTRIBUTION,
            "140ms",
            "Bound until the first request to the API server.",
        ),
        Key::given(
            "serve",
            DISTRIBUTION,
            "15ms",
            "First tick until the server answers.",
        ),
    ],
);

/// Reads `metricsServer`.
pub(crate) fn metrics_server(
    decoder: &mut Decoder,
    item: Item<'_>,
    fleet: &Fleet,
    until: Option<Duration>,
) -> Option<MetricsServer> {
    let secure_port = item
        .node
        .path(&["args"])
        .and_then(|args| last_value(args.value.items(), "--secure-port"));
    // Source: apiserver `pkg/server/options/serving.go`, default of the flag.
    let secure_port = secure_port.map_or("443", |(port, _)| port);

    let mut object = decoder.object(item, &METRICS_SERVER)?;
    let version = object.required(decoder, "version", version);
    let args = object.required(decoder, "args", |decoder, item| {
        decoder.list(item, |decoder, arg| decoder.text(arg).map(str::to_owned))
    });
    let node = object.or(decoder, "node", 0, |decoder, item| {
        fleet.member(decoder, item)
    });
    let pod = object.required(decoder, "pod", |decoder, item| {
        pod_start(decoder, item, until)
    });
    let start_cost = object.required(decoder, "startCost", start_cost);
    let mut one = |key, kind| {
        object.optional(decoder, key, |decoder, item| {
            probe::probe(decoder, item, kind, secure_port)
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
    object.finish(decoder);
    Some(MetricsServer {
        version: version?,
        args: args?,
        replicas: 1,
        nodes: vec![node?],
        strategy: mocks::deployment::Strategy::DEFAULT,
        budget: None,
        anti_affinity: false,
        per_replica: std::collections::BTreeMap::new(),
        container_port: None,
        cpu: None,
        memory: None,
        memory_limit: None,
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

fn pod_start(decoder: &mut Decoder, item: Item<'_>, until: Option<Duration>) -> Option<PodStart> {
    let mut object = decoder.object(item, &POD_START)?;
    let created_at = object.required(decoder, "createdAt", |decoder, item| {
        decoder.time(item, until)
    });
    let scheduling = object.required(decoder, "scheduling", Decoder::distribution);
    let image_pull = object.required(decoder, "imagePull", Decoder::distribution);
    let sandbox = object.required(decoder, "sandbox", Decoder::distribution);
    object.finish(decoder);
    Some(PodStart {
        created_at: created_at?,
        scheduling: scheduling?,
        image_pull: image_pull?,
        sandbox: sandbox?,
        network_available: super::model::Availability::Always,
        image_available: super::model::Availability::Always,
        init_containers: Vec::new(),
    })
}

fn start_cost(decoder: &mut Decoder, item: Item<'_>) -> Option<StartCost> {
    let mut object = decoder.object(item, &START_COST)?;
    let exec = object.required(decoder, "exec", Decoder::distribution);
    let certificate = object.required(decoder, "certificate", Decoder::distribution);
    let configure = object.required(decoder, "configure", Decoder::distribution);
    let serve = object.required(decoder, "serve", Decoder::distribution);
    object.finish(decoder);
    Some(StartCost {
        exec: exec?,
        certificate: certificate?,
        configure: configure?,
        serve: serve?,
    })
}
