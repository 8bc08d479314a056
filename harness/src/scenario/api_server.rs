//! `apiServer` and `apiServers`.

use std::time::Duration;

use super::aggregation::{FRONT_PROXY, ROUTING, endpoint_routing, front_proxy};
use super::clock::{self, CLOCK};
use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::{
    ApiServer, ApiServerState, Clock, Distribution, ServingCertificate, Trouble, Watches,
};
use super::scalars::DISTRIBUTION;
use super::shape::{Key, Kind, Shape};
use super::validity::{NOT_AFTER, NOT_BEFORE, USUAL, validity};

pub(crate) static API_SERVER: Shape = Shape::new(
    "ApiServer",
    "An API server, for metrics-server and for clients alike.",
    &[
        Key::given(
            "state",
            Kind::Word(&[
                ("Up", "it serves"),
                ("Down", "nobody listens: connection refused"),
                ("Hang", "TCP connects, nothing answers"),
                (
                    "Starting",
                    "it listens, and paths of aggregated APIs are not installed yet: 503",
                ),
            ]),
            "Down",
            "What a dial to it meets.",
        ),
        Key::given(
            "latency",
            DISTRIBUTION,
            "{uniform: [5ms, 50ms]}",
            "How long it takes to answer a request.",
        ),
        Key::optional(
            "writeLatency",
            DISTRIBUTION,
            "200ms",
            "How much longer it takes to answer one that writes. Default: 0.",
        ),
        Key::optional(
            "watches",
            Kind::Word(&[
                ("Served", "they bring every change"),
                ("Silent", "they stay open and bring nothing"),
                ("Initializing", "the storage is not ready for them: 429"),
            ]),
            "Silent",
            "What becomes of watches. Default: `Served`.",
        ),
        Key::optional(
            "status",
            Kind::Integer(100, 599),
            "500",
            "The HTTP status it answers with. 200: it serves; 429: API priority and fairness rejects the request, `Retry-After: 1`; 500: `etcdserver: request timed out`, whatever is asked for; 503: what stands in front of it has no server to pass the request to. Health endpoints still answer, watches that are open go on, and kubelets and controllers wait. Default: 200.",
        ),
        Key::optional(
            "routing",
            ROUTING,
            "endpoint",
            "How it reaches metrics-server. Missing: as `aggregation.routing` says.",
        ),
        Key::optional(
            "frontProxy",
            Kind::Mapping(&FRONT_PROXY),
            "{issuer: unknown}",
            "The certificate by which it names its users to metrics-server. Missing: as `aggregation.frontProxy` says.",
        ),
        Key::optional(
            "certificate",
            Kind::Mapping(&SERVING_CERTIFICATE),
            "{issuer: unknown}",
            "The certificate it serves with. Default: a good one.",
        ),
        Key::optional(
            "clock",
            Kind::Mapping(&CLOCK),
            "{offset: -10m}",
            "The wall clock of its machine. Missing: right.",
        ),
    ],
);

static SERVING_CERTIFICATE: Shape = Shape::new(
    "ServingCertificate",
    "A certificate of the control plane. Times count from the start of the run, in true time.",
    &[
        Key::optional(
            "issuer",
            Kind::Word(&[
                ("cluster", "the cluster's authority"),
                ("unknown", "another one"),
            ]),
            "unknown",
            "Who signed it. Default: `cluster`.",
        ),
        NOT_BEFORE,
        NOT_AFTER,
        Key::optional(
            "ips",
            Kind::List(&Kind::Ip),
            "[10.96.0.1]",
            "The addresses it is good for. Missing: those it is reached by.",
        ),
    ],
);

/// Reads one API server; the clock is that of its machine.
pub(crate) fn api_server(
    decoder: &mut Decoder,
    item: Item<'_>,
    until: Option<Duration>,
) -> Option<(ApiServer, Clock)> {
    let mut object = decoder.object(item, &API_SERVER)?;
    let state = object.required(decoder, "state", |decoder, item| {
        decoder.word(
            item,
            &[
                ("Up", ApiServerState::Up),
                ("Down", ApiServerState::Down),
                ("Hang", ApiServerState::Hang),
                ("Starting", ApiServerState::Starting),
            ],
        )
    });
    let latency = object.required(decoder, "latency", Decoder::distribution);
    let immediate = Distribution::Constant(Duration::ZERO);
    let write_latency = object.or(decoder, "writeLatency", immediate, Decoder::distribution);
    let watches = object.or(decoder, "watches", Watches::Served, |decoder, item| {
        decoder.word(
            item,
            &[
                ("Served", Watches::Served),
                ("Silent", Watches::Silent),
                ("Initializing", Watches::Initializing),
            ],
        )
    });
    let trouble = object.or(decoder, "status", None, trouble);
    let endpoint_routing = object.optional(decoder, "routing", endpoint_routing);
    let front_proxy = object.optional(decoder, "frontProxy", front_proxy);
    let certificate = object.or(decoder, "certificate", usual_certificate(), certificate);
    let clock = object.or(decoder, "clock", Clock::default(), |decoder, item| {
        clock::clock(decoder, item, until)
    });
    object.finish(decoder);
    let server = ApiServer {
        state: state?,
        latency: latency?,
        write_latency: write_latency?,
        watches: watches?,
        certificate: certificate?,
        trouble: trouble?,
        endpoint_routing: endpoint_routing?,
        front_proxy: front_proxy?,
    };
    Some((server, clock?))
}

/// A status whose answer is known to the letter.
fn trouble(decoder: &mut Decoder, item: Item<'_>) -> Option<Option<Trouble>> {
    let status = decoder.integer(item, 100..=599)?;
    match status {
        200 => Some(None),
        429 => Some(Some(Trouble::TooManyRequests)),
        500 => Some(Some(Trouble::Datastore)),
        503 => Some(Some(Trouble::Unavailable)),
        _ => {
            decoder.note(Diagnostic::at(
                Code::BadValue,
                item.span(),
                format!("what an API server says with the status {status} is not modelled"),
                "write 200, 429, 500 or 503; `rbac` has it answer 403",
            ));
            None
        }
    }
}

fn usual_certificate() -> ServingCertificate {
    ServingCertificate {
        trusted: true,
        not_before_ns: USUAL.0,
        not_after_ns: USUAL.1,
        ips: None,
    }
}

fn certificate(decoder: &mut Decoder, item: Item<'_>) -> Option<ServingCertificate> {
    let mut object = decoder.object(item, &SERVING_CERTIFICATE)?;
    let trusted = object.or(decoder, "issuer", true, |decoder, item| {
        decoder.word(item, &[("cluster", true), ("unknown", false)])
    });
    let dates = validity(decoder, &mut object, item);
    let ips = object.optional(decoder, "ips", |decoder, item| {
        decoder.list(item, Decoder::ip)
    });
    object.finish(decoder);
    let (not_before_ns, not_after_ns) = dates?;
    Some(ServingCertificate {
        trusted: trusted?,
        not_before_ns,
        not_after_ns,
        ips: ips?,
    })
}
