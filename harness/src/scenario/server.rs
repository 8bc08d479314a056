//! `metricsServer`: the container, its probes and what its start costs.

use std::time::Duration;

use aggregator::version::known_lines;

use super::args::last_value;
use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::fleet::Fleet;
use super::model::{MetricsServer, PodStart, StartCost, Version};
use super::probe::{self, Kind};

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

    let mut object = decoder.object(item)?;
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
    let readiness = one("readinessProbe", Kind::Readiness);
    let liveness = one("livenessProbe", Kind::Liveness);
    let startup = one("startupProbe", Kind::Startup);
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
        node: node?,
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
    let mut object = decoder.object(item)?;
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
    })
}

fn start_cost(decoder: &mut Decoder, item: Item<'_>) -> Option<StartCost> {
    let mut object = decoder.object(item)?;
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
