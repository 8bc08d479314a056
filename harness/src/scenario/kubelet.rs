//! `nodes.*.kubelet`: the serving side of a kubelet.

use std::net::IpAddr;
use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::{Certificate, Issuer, Kubelet, KubeletState, Payload, Timeline};
use super::scalars::{DISTRIBUTION, PORT};
use super::shape::{Choice, Key, Kind, Shape};

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
        Key::given(
            "latency",
            DISTRIBUTION,
            "{quantiles: {p0: 10ms, p50: 40ms, p99: 2s, p100: 9s}}",
            "How long it takes to answer a scrape.",
        ),
        Key::given(
            "status",
            Kind::Integer(100, 599),
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
            "housekeeping",
            Kind::Duration,
            "10s",
            "How often usage is read, hence how old a sample may be. `null`: at each scrape.",
        ),
        Key::given(
            "timestamps",
            Kind::Boolean,
            "false",
            "Whether samples carry timestamps.",
        ),
        Key::given(
            "certificate",
            Kind::Mapping(&CERTIFICATE),
            "{availableAfter: 25s}",
            "The certificate it serves with.",
        ),
    ],
);

const PAYLOAD: Kind = Kind::OneOf(&PAYLOADS);

static PAYLOADS: [Kind; 2] = [
    Kind::Word(&[
        ("Healthy", "nothing"),
        ("NoNodeSeries", "no `node_*` series"),
        ("NoContainerSeries", "no `container_*` series"),
        ("ZeroNode", "CPU and memory of the node are zero"),
        ("NoContainerCpu", "every container lacks its CPU series"),
        (
            "NoContainerMemory",
            "every container lacks its memory series",
        ),
        ("ScrapeError", "nothing but `resource_scrape_error 1`"),
        ("Empty", "an empty body"),
        ("Garbage", "random bytes"),
        ("Endless", "a body without an end"),
    ]),
    Kind::Mapping(&PAYLOAD_SHAPE),
];

static PAYLOAD_SHAPE: Shape = Shape::new(
    "Payload",
    "A body of one's own.",
    &[
        Key::optional("raw", Kind::Text, r#""node_cpu_usage_seconds_total {CPU} {TS}\n""#, "This text; `{CPU}` and `{TS}` stand for the node's CPU seconds and the sample's time in milliseconds."),
        Key::optional("truncated", Kind::Integer(0, 1_000_000), "100", "The body breaks off after this many bytes."),
    ],
)
.choice(Choice::One(&["raw", "truncated"]));

static CERTIFICATE: Shape = Shape::new(
    "Certificate",
    "A kubelet's serving certificate. Times count from the start of the run, in true time.",
    &[
        Key::given(
            "issuer",
            Kind::Word(&[
                (
                    "cluster",
                    "the cluster's authority, which metrics-server trusts",
                ),
                ("self-signed", "the kubelet itself"),
                ("unknown", "another authority"),
            ]),
            "self-signed",
            "Who signed it.",
        ),
        Key::optional(
            "availableAfter",
            Kind::Duration,
            "25s",
            "When the kubelet has it. Default: 0s.",
        ),
        Key::given(
            "untilThen",
            Kind::Word(&[
                ("Closed", "the port is closed"),
                ("NoCertificate", "the port is open and TLS handshakes fail"),
            ]),
            "Closed",
            "What a dial meets before `availableAfter`.",
        ),
        Key::given(
            "notBefore",
            Kind::SignedDuration,
            "-1h",
            "Beginning of its validity.",
        ),
        Key::given(
            "notAfter",
            Kind::SignedDuration,
            "8759h",
            "End of its validity.",
        ),
        Key::optional(
            "sans",
            Kind::Mapping(&SANS),
            "{dns: [node-1]}",
            "The names it is good for. Missing: the node's addresses; the node's name if self-signed.",
        ),
    ],
);

static SANS: Shape = Shape::new(
    "Sans",
    "Subject alternative names.",
    &[
        Key::optional(
            "ips",
            Kind::List(&Kind::Ip),
            "[10.0.0.1]",
            "Addresses. Missing: those of the node.",
        ),
        Key::optional(
            "dns",
            Kind::List(&Kind::Text),
            "[node-1]",
            "Host names. Missing: those of the node.",
        ),
    ],
);

/// What a kubelet is between two changes of the scenario. Its certificate may
/// become available in between.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// What it is once it has its certificate.
    kubelet: Kubelet,
    /// Virtual time at which the certificate is there.
    available_after: Duration,
    /// What a dial meets before.
    until_then: KubeletState,
}

impl Plan {
    fn at(&self, time: Duration) -> Kubelet {
        let mut kubelet = self.kubelet.clone();
        if time < self.available_after {
            kubelet.state = self.until_then;
        }
        kubelet
    }

    /// The kubelet over time, from the plans in force from each time on; the
    /// first one from zero.
    pub(crate) fn timeline(plans: &[(Duration, Plan)]) -> Timeline<Kubelet> {
        let mut entries: Vec<(Duration, Kubelet)> = Vec::new();
        for (index, (from, plan)) in plans.iter().enumerate() {
            entries.push((*from, plan.at(*from)));
            if plan.becomes_available(*from, plans.get(index + 1)) {
                entries.push((plan.available_after, plan.at(plan.available_after)));
            }
        }
        Timeline::of_changes(entries)
    }

    /// Whether the certificate comes between `from` and the next plan.
    fn becomes_available(&self, from: Duration, next: Option<&(Duration, Plan)>) -> bool {
        from < self.available_after && next.is_none_or(|(end, _)| self.available_after < *end)
    }
}

/// Who the kubelet belongs to; its certificate names it.
pub(crate) struct Owner<'a> {
    pub(crate) name: &'a str,
    /// `status.addresses`
    pub(crate) addresses: &'a [(String, String)],
}

/// Reads `kubelet`.
pub(crate) fn plan(decoder: &mut Decoder, item: Item<'_>, owner: &Owner<'_>) -> Option<Plan> {
    let mut object = decoder.object(item, &KUBELET)?;
    let port = object.required(decoder, "port", Decoder::port);
    let state = object.required(decoder, "state", state);
    let latency = object.required(decoder, "latency", Decoder::distribution);
    let status = object.required(decoder, "status", |decoder, item| {
        decoder.integer(item, 100..=599)
    });
    let payload = object.required(decoder, "payload", payload);
    let housekeeping = object.optional(decoder, "housekeeping", |decoder, item| {
        let interval = decoder.duration(item)?;
        if interval.is_zero() {
            decoder.note(Diagnostic::at(
                Code::BadValue,
                item.span(),
                "usage cannot be read every zero seconds",
                "write an interval such as `10s`, or `null` to read it at each scrape",
            ));
            return None;
        }
        Some(interval)
    });
    let timestamps = object.required(decoder, "timestamps", Decoder::boolean);
    let certificate = object.required(decoder, "certificate", |decoder, item| {
        certificate(decoder, item, owner)
    });
    object.finish(decoder);
    let (certificate, available_after, until_then) = certificate?;
    Some(Plan {
        kubelet: Kubelet {
            port: port?,
            state: state?,
            certificate,
            latency: latency?,
            status: u16::try_from(status?).ok()?,
            payload: payload?,
            housekeeping: housekeeping?,
            timestamps: timestamps?,
        },
        available_after,
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

/// A word, or `{raw: …}` or `{truncated: …}`.
fn payload(decoder: &mut Decoder, item: Item<'_>) -> Option<Payload> {
    if item.node.entries().is_empty() {
        return decoder.word(
            item,
            &[
                ("Healthy", Payload::Healthy),
                ("NoNodeSeries", Payload::NoNodeSeries),
                ("NoContainerSeries", Payload::NoContainerSeries),
                ("ZeroNode", Payload::ZeroNode),
                ("NoContainerCpu", Payload::NoContainerCpu),
                ("NoContainerMemory", Payload::NoContainerMemory),
                ("ScrapeError", Payload::ScrapeError),
                ("Empty", Payload::Empty),
                ("Garbage", Payload::Garbage),
                ("Endless", Payload::Endless),
            ],
        );
    }
    let mut object = decoder.object(item, &PAYLOAD_SHAPE)?;
    let raw = object.optional(decoder, "raw", |decoder, item| {
        decoder.text(item).map(str::to_owned)
    });
    let truncated = object.optional(decoder, "truncated", |decoder, item| {
        decoder.integer(item, 0..=1_000_000)
    });
    object.finish(decoder);
    match (raw?, truncated?) {
        (Some(text), None) => Some(Payload::Raw(text)),
        (None, Some(bytes)) => usize::try_from(bytes).ok().map(Payload::Truncated),
        _ => {
            decoder.note(Diagnostic::at(
                Code::Contradiction,
                item.key_span(),
                "`payload` must have exactly one shape",
                "keep one of `raw` and `truncated`, or write a word such as `Healthy`",
            ));
            None
        }
    }
}

type Issued = (Certificate, Duration, KubeletState);

fn certificate(decoder: &mut Decoder, item: Item<'_>, owner: &Owner<'_>) -> Option<Issued> {
    let mut object = decoder.object(item, &CERTIFICATE)?;
    let issuer = object.required(decoder, "issuer", |decoder, item| {
        decoder.word(
            item,
            &[
                ("cluster", Issuer::Cluster),
                ("self-signed", Issuer::SelfSigned),
                ("unknown", Issuer::Unknown),
            ],
        )
    });
    let available_after = object.or(decoder, "availableAfter", Duration::ZERO, Decoder::duration);
    let until_then = object.required(decoder, "untilThen", |decoder, item| {
        decoder.word(
            item,
            &[
                ("Closed", KubeletState::Closed),
                ("NoCertificate", KubeletState::NoCertificate),
            ],
        )
    });
    let not_before = object.required(decoder, "notBefore", Decoder::signed_duration);
    let not_after = object.required(decoder, "notAfter", Decoder::signed_duration);
    let (ips, dns) = default_names(issuer, owner);
    let sans = object.or(
        decoder,
        "sans",
        (ips.clone(), dns.clone()),
        |decoder, item| {
            let mut object = decoder.object(item, &SANS)?;
            let ips = object.or(decoder, "ips", ips, |decoder, item| {
                decoder.list(item, Decoder::ip)
            });
            let dns = object.or(decoder, "dns", dns, |decoder, item| {
                decoder.list(item, |decoder, item| decoder.text(item).map(str::to_owned))
            });
            object.finish(decoder);
            Some((ips?, dns?))
        },
    );
    if let (Some(from), Some(to)) = (not_before, not_after)
        && from >= to
        && let (Some(from), Some(to)) = (object.item("notBefore"), object.item("notAfter"))
    {
        note_never_valid(decoder, from, to);
    }
    object.finish(decoder);
    let (ips, dns) = sans?;
    let certificate = Certificate {
        issuer: issuer?,
        not_before_ns: not_before?,
        not_after_ns: not_after?,
        ips,
        dns,
    };
    Some((certificate, available_after?, until_then?))
}

fn note_never_valid(decoder: &mut Decoder, from: Item<'_>, to: Item<'_>) {
    let (here, there) = if to.span().is_in_file() {
        (to, from)
    } else {
        (from, to)
    };
    decoder.note(
        Diagnostic::at(
            Code::Contradiction,
            here.span(),
            "the certificate is never valid: `notBefore` is not before `notAfter`",
            "both count from the start of the run: write `notBefore: -1h` and `notAfter: 8760h`",
        )
        .related(there.span(), "the other end"),
    );
}

/// The names that a certificate carries unless the scenario says otherwise:
/// the node's addresses. A kubelet that signs its own knows only its name.
/// Source: `client-go/util/cert/cert.go GenerateSelfSignedCertKeyWithFixtures`,
/// `pkg/kubelet/certificate/kubelet.go`.
fn default_names(issuer: Option<Issuer>, owner: &Owner<'_>) -> (Vec<IpAddr>, Vec<String>) {
    if issuer == Some(Issuer::SelfSigned) {
        return (Vec::new(), vec![owner.name.to_owned()]);
    }
    let (mut ips, mut dns) = (Vec::new(), Vec::new());
    for (_, address) in owner.addresses {
        match address.parse() {
            Ok(ip) => ips.push(ip),
            Err(_) => dns.push(address.clone()),
        }
    }
    (ips, dns)
}
