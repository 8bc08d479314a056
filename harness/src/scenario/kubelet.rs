//! `nodes.*.kubelet`: the serving side of a kubelet.

use std::time::Duration;

use super::attempts::{ATTEMPT, script};
use super::certificate::{CERTIFICATE, certificate};
use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::latency::{LATENCY, latency};
use super::model::{Access, Endpoint, Kubelet, KubeletPlan, KubeletState, Timestamps};
use super::payload::{PAYLOAD, payload, whole_payload};
use super::scalars::PORT;
use super::shape::{Key, Kind, Shape};

pub(crate) static KUBELET: Shape = Shape::new(
    "Kubelet",
    "The serving side of a kubelet, which metrics-server scrapes.",
    &[
        Key::given(
            "port",
            PORT,
            "10250",
            "The port it serves on, which its Node object names too.",
        ),
        Key::given(
            "state",
            Kind::Word(&[
                ("Open", "it serves"),
                ("Closed", "nobody listens: connection refused"),
                ("HangTls", "TCP connects, the TLS handshake gets no answer"),
                ("HangHttp", "TLS answers, HTTP does not"),
                (
                    "NoCertificate",
                    "TLS handshakes end with the alert `internal_error`",
                ),
            ]),
            "Closed",
            "What a dial to its port meets.",
        ),
        Key::optional(
            "version",
            VERSION,
            "v1.17.9",
            "Its Kubernetes version, which decides what it serves: before v1.18 there is no `/metrics/resource` (404). Default: v1.36.",
        ),
        Key::given(
            "latency",
            LATENCY,
            "{quantiles: {p0: 10ms, p50: 40ms, p99: 2s, p100: 9s}}",
            "How long it takes to answer a scrape.",
        ),
        Key::optional(
            "authentication",
            Kind::Mapping(&AUTHENTICATION),
            "{webhook: {enabled: false}}",
            "Whose credentials it looks at, as in `KubeletConfiguration`.",
        ),
        Key::optional(
            "authorization",
            Kind::Mapping(&AUTHORIZATION),
            "{mode: AlwaysAllow}",
            "Who may read its metrics, as in `KubeletConfiguration`.",
        ),
        Key::given(
            "status",
            STATUS,
            "401",
            "The HTTP status it answers scrapes with.",
        ),
        Key::given(
            "payload",
            PAYLOAD,
            "NoNodeSeries",
            "What is wrong with the metrics in its answer, if anything.",
        ),
        Key::optional(
            "endpoints",
            Kind::Named("a path such as `/metrics/resource`", &ENDPOINT_KIND),
            "{/metrics/resource: {status: 404}}",
            "What differs at single paths.",
        ),
        Key::optional(
            "script",
            Kind::List(&ATTEMPT),
            "[refused x4, 503 x2, ok]",
            "What the next attempts to scrape meet, one after the other, where the port is open: `refused`, `tls` (no certificate), `timeout` (no answer), a status, an answer that takes so much longer, or `ok`. The last one stays.",
        ),
        Key::optional(
            "housekeeping",
            HOUSEKEEPING,
            "10s",
            "How often usage is read, hence how old a sample may be; up to twice as long passes between two readings. `null`: at each scrape.",
        ),
        Key::given(
            "timestamps",
            TIMESTAMPS,
            "false",
            "Whether samples say when they were taken, and how that is wrong.",
        ),
        Key::given(
            "certificate",
            Kind::Mapping(&CERTIFICATE),
            "{availableAfter: 25s}",
            "Its serving certificate.",
        ),
    ],
);

const HOUSEKEEPING: Kind = Kind::OneOf(&HOUSEKEEPING_KINDS);

static HOUSEKEEPING_KINDS: [Kind; 2] = [Kind::Duration, Kind::Mapping(&HOUSEKEEPING_SHAPE)];

static HOUSEKEEPING_SHAPE: Shape = Shape::new(
    "Housekeeping",
    "How often usage is read, where that differs.",
    &[
        Key::optional(
            "node",
            Kind::Duration,
            "10s",
            "That of the node. Missing: at each scrape.",
        ),
        Key::optional(
            "containers",
            Kind::Duration,
            "5m",
            "That of pods and containers. Missing: at each scrape.",
        ),
    ],
);

const STATUS: Kind = Kind::Integer(100, 599);

const VERSION: Kind = Kind::Form(
    "a Kubernetes version such as `v1.36`",
    r"^v?1\.[0-9]+(\..+)?$",
);

static AUTHENTICATION: Shape = Shape::new(
    "KubeletAuthentication",
    "Whose credentials a kubelet looks at.",
    &[
        Key::optional(
            "anonymous",
            Kind::Mapping(&ENABLED),
            "{enabled: true}",
            "Who shows no credentials, or some that nobody looks at, is `system:anonymous`. Default: off.",
        ),
        Key::optional(
            "webhook",
            Kind::Mapping(&ENABLED),
            "{enabled: false}",
            "Tokens are reviewed by the API server. Default: on. Where it is off, metrics-server's token is not looked at: 401.",
        ),
    ],
);

static ENABLED: Shape = Shape::new(
    "Enabled",
    "A switch.",
    &[Key::required(
        "enabled",
        Kind::Boolean,
        "true",
        "On or off.",
    )],
);

static AUTHORIZATION: Shape = Shape::new(
    "KubeletAuthorization",
    "Who may read a kubelet's metrics.",
    &[Key::required(
        "mode",
        Kind::Word(&[
            ("Webhook", "whom the API server allows"),
            ("AlwaysAllow", "everybody who was let in"),
        ]),
        "AlwaysAllow",
        "Who decides. Default: `Webhook`.",
    )],
);

static ENDPOINT_KIND: Kind = Kind::Mapping(&ENDPOINT);

static ENDPOINT: Shape = Shape::new(
    "KubeletEndpoint",
    "What differs at one path of a kubelet.",
    &[
        Key::optional("latency", LATENCY, "12s", "In place of the kubelet's."),
        Key::optional("status", STATUS, "404", "In place of the kubelet's."),
        Key::optional("payload", PAYLOAD, "Empty", "In place of the kubelet's."),
    ],
);

const TIMESTAMPS: Kind = Kind::OneOf(&TIMESTAMPS_KINDS);

static TIMESTAMPS_KINDS: [Kind; 3] = [
    Kind::Boolean,
    Kind::Word(&[(
        "Frozen",
        "usage is not read any more: values and times stand still",
    )]),
    Kind::Mapping(&SHIFTED),
];

pub(crate) static SHIFTED: Shape = Shape::new(
    "ShiftedTimestamps",
    "Samples that say they were taken at another time than they were.",
    &[Key::required(
        "shifted",
        Kind::SignedDuration,
        "-5m",
        "How much later (positive) or earlier they say.",
    )],
);

/// Kubernetes of a kubelet of which nothing is said.
const MINOR: u32 = 36;

/// Who the kubelet belongs to; its certificate names it.
pub(crate) struct Owner<'a> {
    pub(crate) name: &'a str,
    /// `status.addresses` at the start: a certificate does not follow them.
    pub(crate) addresses: &'a [(String, String)],
}

/// Reads `kubelet`.
pub(crate) fn plan(
    decoder: &mut Decoder,
    item: Item<'_>,
    owner: &Owner<'_>,
) -> Option<KubeletPlan> {
    let mut object = decoder.object(item, &KUBELET)?;
    let port = object.required(decoder, "port", Decoder::port);
    let state = object.required(decoder, "state", state);
    let minor = object.or(decoder, "version", MINOR, minor);
    let latency = object.required(decoder, "latency", latency);
    let access = object.or(decoder, "authentication", (false, true), authentication);
    let always_allow = object.or(decoder, "authorization", false, authorization);
    let status = object.required(decoder, "status", status);
    let payload = object.required(decoder, "payload", payload);
    let endpoints = object.or(decoder, "endpoints", Vec::new(), endpoints);
    let script = object.or(decoder, "script", Vec::new(), script);
    let none = (None, None);
    let housekeeping = object.or(decoder, "housekeeping", none, housekeeping);
    let timestamps = object.required(decoder, "timestamps", timestamps);
    let certificate = object.required(decoder, "certificate", |decoder, item| {
        certificate(decoder, item, owner)
    });
    object.finish(decoder);
    let (certificate, issuance, until_then) = certificate?;
    let (payload, flaws) = payload?;
    let (anonymous, webhook) = access?;
    let (housekeeping, container_housekeeping) = housekeeping?;
    Some(KubeletPlan {
        kubelet: Kubelet {
            port: port?,
            state: state?,
            awaits_certificate: false,
            certificate,
            latency: latency?,
            access: Access {
                anonymous,
                webhook,
                always_allow: always_allow?,
            },
            minor: minor?,
            status: status?,
            payload,
            flaws,
            endpoints: endpoints?,
            script: script?,
            housekeeping,
            container_housekeeping,
            timestamps: timestamps?,
        },
        issuance,
        until_then,
    })
}

fn state(decoder: &mut Decoder, item: Item<'_>) -> Option<KubeletState> {
    decoder.word(
        item,
        &[
            ("Open", KubeletState::Open),
            ("Closed", KubeletState::Closed),
            ("HangTls", KubeletState::HangTls),
            ("HangHttp", KubeletState::HangHttp),
            ("NoCertificate", KubeletState::NoCertificate),
        ],
    )
}

/// `v1.17.9` is 17.
fn minor(decoder: &mut Decoder, item: Item<'_>) -> Option<u32> {
    let text = decoder.text(item)?;
    let mut numbers = text.strip_prefix('v').unwrap_or(text).split('.');
    let major = numbers.next();
    let minor = numbers.next().and_then(|minor| minor.parse().ok());
    if let (Some("1"), Some(minor)) = (major, minor) {
        return Some(minor);
    }
    decoder.note(Diagnostic::at(
        Code::BadValue,
        item.span(),
        format!("`{text}` is not a version of Kubernetes"),
        "write a version such as `v1.36` or `v1.17.9`",
    ));
    None
}

fn status(decoder: &mut Decoder, item: Item<'_>) -> Option<u16> {
    u16::try_from(decoder.integer(item, 100..=599)?).ok()
}

/// Whether anonymous requests and tokens are looked at.
fn authentication(decoder: &mut Decoder, item: Item<'_>) -> Option<(bool, bool)> {
    let mut object = decoder.object(item, &AUTHENTICATION)?;
    let anonymous = object.or(decoder, "anonymous", false, enabled);
    let webhook = object.or(decoder, "webhook", true, enabled);
    object.finish(decoder);
    Some((anonymous?, webhook?))
}

fn enabled(decoder: &mut Decoder, item: Item<'_>) -> Option<bool> {
    let mut object = decoder.object(item, &ENABLED)?;
    let enabled = object.required(decoder, "enabled", Decoder::boolean);
    object.finish(decoder);
    enabled
}

/// Whether everybody is allowed.
fn authorization(decoder: &mut Decoder, item: Item<'_>) -> Option<bool> {
    let mut object = decoder.object(item, &AUTHORIZATION)?;
    let mode = object.required(decoder, "mode", |decoder, item| {
        decoder.word(item, &[("Webhook", false), ("AlwaysAllow", true)])
    });
    object.finish(decoder);
    mode
}

fn endpoints(decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Endpoint>> {
    let read: Vec<Option<Endpoint>> = decoder
        .named(item)?
        .into_iter()
        .filter(|endpoint| !endpoint.node.is_null())
        .map(|endpoint| one_endpoint(decoder, endpoint))
        .collect();
    read.into_iter().collect()
}

fn one_endpoint(decoder: &mut Decoder, item: Item<'_>) -> Option<Endpoint> {
    if !item.name.starts_with('/') {
        decoder.note(Diagnostic::at(
            Code::BadValue,
            item.key_span(),
            format!("`{}` is not a path", item.name),
            "write a path such as `/metrics/resource`",
        ));
    }
    let mut object = decoder.object(item, &ENDPOINT)?;
    let latency = object.optional(decoder, "latency", latency);
    let status = object.optional(decoder, "status", status);
    let payload = object.optional(decoder, "payload", whole_payload);
    object.finish(decoder);
    Some(Endpoint {
        path: item.name.to_owned(),
        latency: latency?,
        status: status?,
        payload: payload?,
    })
}

/// One interval, or `{node: …, containers: …}`.
fn housekeeping(
    decoder: &mut Decoder,
    item: Item<'_>,
) -> Option<(Option<Duration>, Option<Duration>)> {
    if item.node.entries().is_empty() {
        let every = interval(decoder, item)?;
        return Some((Some(every), Some(every)));
    }
    let mut object = decoder.object(item, &HOUSEKEEPING_SHAPE)?;
    let node = object.optional(decoder, "node", interval);
    let containers = object.optional(decoder, "containers", interval);
    object.finish(decoder);
    Some((node?, containers?))
}

fn interval(decoder: &mut Decoder, item: Item<'_>) -> Option<Duration> {
    let interval = decoder.duration(item)?;
    if !interval.is_zero() {
        return Some(interval);
    }
    decoder.note(Diagnostic::at(
        Code::BadValue,
        item.span(),
        "usage cannot be read every zero seconds",
        "write an interval such as `10s`, or `null` to read it at each scrape",
    ));
    None
}

/// `true`, `false`, `Frozen` or `{shifted: …}`.
fn timestamps(decoder: &mut Decoder, item: Item<'_>) -> Option<Timestamps> {
    if !item.node.entries().is_empty() {
        let mut object = decoder.object(item, &SHIFTED)?;
        let by = object.required(decoder, "shifted", Decoder::signed_duration);
        object.finish(decoder);
        return by.map(Timestamps::Shifted);
    }
    if item.node.text() == Some("Frozen") {
        return Some(Timestamps::Frozen);
    }
    Some(match decoder.boolean(item)? {
        true => Timestamps::Read,
        false => Timestamps::Missing,
    })
}
