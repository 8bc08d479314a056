//! `nodes.*.kubelet.certificate`: a serving certificate, and how the kubelet
//! comes by it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::kubelet::Owner;
use super::model::{Certificate, Csr, CsrVerdict, Distribution, Issuance, Issuer, KubeletState};
use super::scalars::DISTRIBUTION;
use super::shape::{Key, Kind, Shape};

pub(crate) static CERTIFICATE: Shape = Shape::new(
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
            DISTRIBUTION,
            "25s",
            "When the kubelet has it. Default: 0s. Not beside `csr`.",
        ),
        Key::optional(
            "csr",
            Kind::Mapping(&CSR),
            "{approvedAfter: 25s}",
            "The kubelet asks the cluster for it (`serverTLSBootstrap`) and serves with it once somebody has approved the request; once it has expired there is none. Its dates are those of the issuance unless `notBefore` or `notAfter` stand beside it. Missing: it has it from files.",
        ),
        Key::given(
            "untilThen",
            Kind::Word(&[
                ("Closed", "the port is closed"),
                ("NoCertificate", "the port is open and TLS handshakes fail"),
            ]),
            "Closed",
            "What a dial meets before the kubelet has it. A kubelet with `csr` always has its port open.",
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
            "The names it is good for. Missing: the addresses that the node has at the start; the node's name if self-signed.",
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
        Key::optional(
            "withLoopback",
            Kind::Boolean,
            "true",
            "Whether what stands here for a missing `ips` and `dns` begins with 127.0.0.1 and `localhost`, as K3s has it. Default: false.",
        ),
    ],
);

static CSR: Shape = Shape::new(
    "CertificateSigningRequest",
    "The life of a kubelet's requests for a serving certificate. Whether one is denied is decided by what holds when it is made; an approver that a change brings finds what is pending.",
    &[
        Key::optional(
            "requestedAt",
            DISTRIBUTION,
            "5s",
            "When the first one is made. Missing: when the node joins.",
        ),
        Key::optional(
            "approvedAfter",
            APPROVED_AFTER,
            "{uniform: [20s, 40s]}",
            "How long an approver takes for each request, or `never`. Default: 0s.",
        ),
        Key::optional(
            "outcomes",
            Kind::List(&VERDICT),
            "[Denied, Denied, Approved]",
            "What becomes of the first, second, … request; the last one stays. Default: `[Approved]`.",
        ),
        Key::optional(
            "approverRuns",
            Kind::List(&Kind::Duration),
            "[30s, 5m]",
            "An approver that runs at these times only and approves what is pending then: a job, or `kubectl certificate approve`. Missing: one that always runs.",
        ),
        Key::optional(
            "retryEvery",
            Kind::Duration,
            "17m",
            "Time from a request that came to nothing to the next. Default: 15m, for which a kubelet waits.",
        ),
        Key::optional(
            "validity",
            Kind::Duration,
            "1h",
            "From issuance to expiry. The kubelet asks for the next one when 70 to 90 % of it have passed. Default: 8760h.",
        ),
    ],
);

const APPROVED_AFTER: Kind = Kind::OneOf(&APPROVED_AFTER_KINDS);

static APPROVED_AFTER_KINDS: [Kind; 2] =
    [Kind::Word(&[("never", "nobody approves")]), DISTRIBUTION];

static VERDICT: Kind = Kind::Word(&[
    ("Approved", "the certificate is issued"),
    ("Denied", "the kubelet asks again"),
    ("Pending", "nobody looks at it, and the kubelet asks again"),
]);

/// How long a kubelet waits for a request.
/// Source: `client-go/util/certificate/certificate_manager.go
/// certificateWaitTimeout`.
const WAIT: Duration = Duration::from_secs(15 * 60);
/// Source: `--cluster-signing-duration`,
/// `pkg/controller/certificates/signer/config/v1alpha1/defaults.go`.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

/// Reads `issuer`.
pub(crate) fn issuer(decoder: &mut Decoder, item: Item<'_>) -> Option<Issuer> {
    decoder.word(
        item,
        &[
            ("cluster", Issuer::Cluster),
            ("self-signed", Issuer::SelfSigned),
            ("unknown", Issuer::Unknown),
        ],
    )
}

/// A certificate, how it comes about, and what a dial meets until then.
pub(crate) type Issued = (Certificate, Issuance, KubeletState);

/// Reads `certificate`.
pub(crate) fn certificate(
    decoder: &mut Decoder,
    item: Item<'_>,
    owner: &Owner<'_>,
) -> Option<Issued> {
    let mut object = decoder.object(item, &CERTIFICATE)?;
    let issuer = object.required(decoder, "issuer", issuer);
    let available_after = object.optional(decoder, "availableAfter", Decoder::distribution);
    let csr = object.optional(decoder, "csr", csr);
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
    let sans = object.or(
        decoder,
        "sans",
        default_names(issuer, owner),
        |decoder, item| sans(decoder, item, default_names(issuer, owner)),
    );
    if let (Some(from), Some(to)) = (not_before, not_after)
        && from >= to
        && let (Some(from), Some(to)) = (object.item("notBefore"), object.item("notAfter"))
    {
        note_never_valid(decoder, from, to);
    }
    if let (Some(after), Some(csr)) = (object.item("availableAfter"), object.item("csr"))
        && !after.node.is_null()
        && !csr.node.is_null()
    {
        note_two_ways(decoder, after, csr);
    }
    let dates = [object.item("notBefore"), object.item("notAfter")];
    let own_dates = dates
        .into_iter()
        .flatten()
        .any(|date| date.span().is_in_file());
    let has_own_names = object.item("sans").is_some_and(|sans| {
        let own = ["ips", "dns"];
        own.iter().any(|key| sans.node.entry(key).is_some())
    });
    object.finish(decoder);
    let (ips, dns) = sans?;
    let csr = csr?;
    let certificate = Certificate {
        issuer: issuer?,
        not_before_ns: not_before?,
        not_after_ns: not_after?,
        ips,
        dns,
        managed: csr.is_some(),
    };
    let available_after = available_after?.unwrap_or(Distribution::Constant(Duration::ZERO));
    Some(match csr {
        Some(csr) => {
            let csr = Csr {
                keeps_dates: own_dates,
                follows_addresses: !has_own_names,
                ..csr
            };
            (
                certificate,
                Issuance::Request(csr),
                KubeletState::NoCertificate,
            )
        }
        None => (certificate, Issuance::After(available_after), until_then?),
    })
}

fn sans(
    decoder: &mut Decoder,
    item: Item<'_>,
    (mut ips, mut dns): (Vec<IpAddr>, Vec<String>),
) -> Option<(Vec<IpAddr>, Vec<String>)> {
    let mut object = decoder.object(item, &SANS)?;
    let with_loopback = object.or(decoder, "withLoopback", false, Decoder::boolean);
    if with_loopback == Some(true) {
        ips.insert(0, IpAddr::V4(Ipv4Addr::LOCALHOST));
        dns.insert(0, "localhost".to_owned());
    }
    let ips = object.or(decoder, "ips", ips, |decoder, item| {
        decoder.list(item, Decoder::ip)
    });
    let dns = object.or(decoder, "dns", dns, |decoder, item| {
        decoder.list(item, |decoder, item| decoder.text(item).map(str::to_owned))
    });
    object.finish(decoder);
    Some((ips?, dns?))
}

fn csr(decoder: &mut Decoder, item: Item<'_>) -> Option<Csr> {
    let mut object = decoder.object(item, &CSR)?;
    let requested_at = object.optional(decoder, "requestedAt", Decoder::distribution);
    let at_once = Some(Distribution::Constant(Duration::ZERO));
    let approved_after = object.or(decoder, "approvedAfter", at_once, |decoder, item| {
        if item.node.text() == Some("never") {
            return Some(None);
        }
        decoder.distribution(item).map(Some)
    });
    let verdicts = object.or(
        decoder,
        "outcomes",
        vec![CsrVerdict::Approved],
        |decoder, item| not_empty(decoder, item, decoder_verdict),
    );
    let approver_runs = object.or(decoder, "approverRuns", Vec::new(), |decoder, item| {
        let mut runs = not_empty(decoder, item, Decoder::duration)?;
        runs.sort_unstable();
        Some(runs)
    });
    let retry_every = object.or(decoder, "retryEvery", WAIT, positive);
    let validity = object.or(decoder, "validity", VALIDITY, positive);
    object.finish(decoder);
    Some(Csr {
        requested_at: requested_at?,
        approved_after: approved_after?,
        verdicts: verdicts?,
        approver_runs: approver_runs?,
        retry_every: retry_every?,
        validity: validity?,
        keeps_dates: false,
        follows_addresses: false,
    })
}

fn decoder_verdict(decoder: &mut Decoder, item: Item<'_>) -> Option<CsrVerdict> {
    decoder.word(
        item,
        &[
            ("Approved", CsrVerdict::Approved),
            ("Denied", CsrVerdict::Denied),
            ("Pending", CsrVerdict::Ignored),
        ],
    )
}

/// A list with at least one element.
fn not_empty<T>(
    decoder: &mut Decoder,
    item: Item<'_>,
    read: impl FnMut(&mut Decoder, Item<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let list = decoder.list(item, read)?;
    if !list.is_empty() {
        return Some(list);
    }
    decoder.note(Diagnostic::at(
        Code::SaysNothing,
        item.span(),
        format!("`{}` is empty", item.name),
        "write at least one entry, or remove the line",
    ));
    None
}

fn positive(decoder: &mut Decoder, item: Item<'_>) -> Option<Duration> {
    let duration = decoder.duration(item)?;
    if duration >= Duration::from_secs(1) {
        return Some(duration);
    }
    decoder.note(Diagnostic::at(
        Code::BadValue,
        item.span(),
        format!("`{}` is shorter than a second", item.name),
        "write a second or more: a kubelet looks once per second whether it needs a certificate",
    ));
    None
}

fn note_two_ways(decoder: &mut Decoder, after: Item<'_>, csr: Item<'_>) {
    decoder.note(
        Diagnostic::at(
            Code::Contradiction,
            after.span(),
            "the kubelet cannot both ask for its certificate and be given it at a time",
            "keep `csr` for a request that somebody approves, or `availableAfter` for a file that appears",
        )
        .related(csr.key_span(), "it is asked for here"),
    );
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
    alternative_names(owner.addresses)
}

/// What a certificate for these addresses names.
///
/// Source: `pkg/kubelet/certificate/kubelet.go addressesToHostnamesAndIPs`.
pub(crate) fn alternative_names(addresses: &[(String, String)]) -> (Vec<IpAddr>, Vec<String>) {
    let (mut ips, mut dns) = (Vec::new(), Vec::new());
    for (_, address) in addresses {
        match address.parse() {
            Ok(ip) => ips.push(ip),
            Err(_) => dns.push(address.clone()),
        }
    }
    (ips, dns)
}
