//! `readinessProbe`, `livenessProbe` and `startupProbe`, as a Kubernetes
//! manifest has them.
//!
//! Defaults and limits. Source: `pkg/apis/core/v1/defaults.go
//! SetDefaults_Probe`, `pkg/apis/core/validation/validation.go validateProbe`.

use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item, Object};
use super::diagnostic::Diagnostic;
use super::model::Probe;
use super::shape::{Key, Kind, Shape};

/// A day: probes that wait longer are a mistake.
const SECONDS: Kind = Kind::Integer(0, 86_400);
const POSITIVE_SECONDS: Kind = Kind::Integer(1, 86_400);

pub(crate) static PROBE: Shape = Shape::new(
    "Probe",
    "An HTTP probe of the kubelet, with the fields of a Kubernetes manifest. A probe that is `null` does not exist.",
    &[
        Key::optional(
            "httpGet",
            Kind::Mapping(&HTTP_GET),
            "{path: /readyz, port: https, scheme: HTTPS}",
            "What the probe asks for.",
        ),
        Key::optional(
            "initialDelaySeconds",
            SECONDS,
            "20",
            "Whole seconds from the container's start to the first probe that counts. Default: 0.",
        ),
        Key::optional(
            "periodSeconds",
            POSITIVE_SECONDS,
            "10",
            "Whole seconds between probes. Default: 10.",
        ),
        Key::optional(
            "timeoutSeconds",
            POSITIVE_SECONDS,
            "1",
            "Whole seconds after which an unanswered probe has failed. Default: 1.",
        ),
        Key::optional(
            "successThreshold",
            POSITIVE_SECONDS,
            "1",
            "Successes in a row after which the container is Ready. Must be 1 for `livenessProbe` and `startupProbe`. Default: 1.",
        ),
        Key::optional(
            "failureThreshold",
            POSITIVE_SECONDS,
            "3",
            "Failures in a row after which the container is unready, or is restarted. Default: 3.",
        ),
        Key::optional(
            "phase",
            Kind::Duration,
            "1.44s",
            "Not in Kubernetes: time from the container's first start to the first tick of the probe's ticker, below one period. Missing: drawn from the seed, as the kubelet does at random.",
        ),
    ],
);

static HTTP_GET: Shape = Shape::new(
    "HttpGet",
    "The request of a probe.",
    &[
        Key::optional(
            "path",
            Kind::Form("a path", "^/.*"),
            "/readyz",
            "Default: `/readyz` for `readinessProbe`, else `/livez`.",
        ),
        Key::optional(
            "port",
            Kind::Text,
            "https",
            "`https`, or the number that `--secure-port` has; where `containerPort` is given, any number. Default: `https`.",
        ),
        Key::optional(
            "scheme",
            Kind::Word(&[
                ("HTTPS", "what metrics-server speaks"),
                ("HTTP", "which it answers 400"),
            ]),
            "HTTPS",
            "Default: `HTTPS`.",
        ),
    ],
);

/// `httpGet`
struct HttpGet {
    path: String,
    port: Option<u16>,
    tls: bool,
}

/// Which of the three probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeKind {
    Readiness,
    Liveness,
    Startup,
}

impl ProbeKind {
    fn key(self) -> &'static str {
        match self {
            Self::Readiness => "readinessProbe",
            Self::Liveness => "livenessProbe",
            Self::Startup => "startupProbe",
        }
    }

    fn default_path(self) -> &'static str {
        match self {
            Self::Readiness => "/readyz",
            Self::Liveness | Self::Startup => "/livez",
        }
    }
}

/// Reads one probe. `secure_port` is what metrics-server listens on, and the
/// named port `https` stands for, unless `container_port` is given.
pub(crate) fn probe(
    decoder: &mut Decoder,
    item: Item<'_>,
    kind: ProbeKind,
    secure_port: &str,
    container_port: Option<u16>,
) -> Option<Probe> {
    let mut object = decoder.object(item, &PROBE)?;
    let usual = HttpGet {
        path: kind.default_path().to_owned(),
        port: None,
        tls: true,
    };
    let target = object.or(decoder, "httpGet", usual, |decoder, item| {
        http_get(decoder, item, kind, secure_port, container_port)
    });
    let initial_delay = object.or(decoder, "initialDelaySeconds", 0, |decoder, item| {
        decoder.integer(item, 0..=86_400)
    });
    let period = positive(decoder, &mut object, "periodSeconds", 10);
    let timeout = positive(decoder, &mut object, "timeoutSeconds", 1);
    let success_threshold = positive(decoder, &mut object, "successThreshold", 1);
    let failure_threshold = positive(decoder, &mut object, "failureThreshold", 3);
    let phase = object.optional(decoder, "phase", Decoder::duration);

    check_phase(decoder, &mut object, period, phase);
    check_success_threshold(decoder, &mut object, kind, success_threshold);
    object.finish(decoder);
    let target = target?;
    Some(Probe {
        path: target.path,
        port: target.port,
        tls: target.tls,
        initial_delay: Duration::from_secs(initial_delay?),
        period: Duration::from_secs(period?),
        timeout: Duration::from_secs(timeout?),
        success_threshold: u32::try_from(success_threshold?).ok()?,
        failure_threshold: u32::try_from(failure_threshold?).ok()?,
        phase: phase?,
    })
}

/// A field in which Kubernetes silently replaces zero by its default.
fn positive(
    decoder: &mut Decoder,
    object: &mut Object<'_>,
    key: &'static str,
    default: u64,
) -> Option<u64> {
    object.or(decoder, key, default, |decoder, item| {
        if item.node.text() == Some("0") {
            decoder.note(
                Diagnostic::at(
                    Code::BadNumber,
                    item.span(),
                    format!("`{key}: 0` is not zero in Kubernetes, but its default"),
                    format!("say what you mean: `{default}`"),
                )
                .replacement(default.to_string()),
            );
            return None;
        }
        decoder.integer(item, 1..=86_400)
    })
}

fn http_get(
    decoder: &mut Decoder,
    item: Item<'_>,
    kind: ProbeKind,
    secure_port: &str,
    container_port: Option<u16>,
) -> Option<HttpGet> {
    let mut object = decoder.object(item, &HTTP_GET)?;
    let path = object.or(
        decoder,
        "path",
        kind.default_path().to_owned(),
        |decoder, item| {
            let path = decoder.text(item)?;
            if path.starts_with('/') {
                return Some(path.to_owned());
            }
            decoder.note(Diagnostic::at(
                Code::BadValue,
                item.span(),
                format!("the path `{path}` does not begin with `/`"),
                "write a path such as `/readyz` or `/livez`",
            ));
            None
        },
    );
    let port = object.optional(decoder, "port", |decoder, item| {
        let port = decoder.text(item)?;
        if port == "https" {
            return Some(None);
        }
        // Whoever gives `containerPort` means what he says.
        if let (Some(_), Ok(port)) = (container_port, port.parse::<u16>()) {
            return Some(Some(port));
        }
        if port == secure_port {
            return Some(None);
        }
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            item.span(),
            format!("nothing listens on port `{port}`"),
            format!("metrics-server listens on `--secure-port`, here {secure_port}: write that or `https`; to have it so all the same, give `containerPort`"),
        ));
        None
    });
    let tls = object.or(decoder, "scheme", true, |decoder, item| {
        decoder.word(item, &[("HTTPS", true), ("HTTP", false)])
    });
    object.finish(decoder);
    Some(HttpGet {
        path: path?,
        port: port?.flatten(),
        tls: tls?,
    })
}

fn check_phase(
    decoder: &mut Decoder,
    object: &mut Object<'_>,
    period: Option<u64>,
    phase: Option<Option<Duration>>,
) {
    let (Some(period), Some(Some(phase))) = (period, phase) else {
        return;
    };
    if phase < Duration::from_secs(period) {
        return;
    }
    let Some(phase_item) = object.item("phase") else {
        return;
    };
    let period_item = object.item("periodSeconds");
    let mut diagnostic = Diagnostic::at(
        Code::Contradiction,
        phase_item.span(),
        "the probe's phase is not below its period",
        format!(
            "choose a phase below {period}s: it is the time from container start to the first tick"
        ),
    );
    if let Some(period_item) = period_item {
        diagnostic = diagnostic.related(period_item.span(), "the period");
    }
    decoder.note(diagnostic);
}

fn check_success_threshold(
    decoder: &mut Decoder,
    object: &mut Object<'_>,
    kind: ProbeKind,
    threshold: Option<u64>,
) {
    if kind == ProbeKind::Readiness || threshold.is_none_or(|threshold| threshold == 1) {
        return;
    }
    let Some(item) = object.item("successThreshold") else {
        return;
    };
    decoder.note(
        Diagnostic::at(
            Code::Contradiction,
            item.span(),
            format!("`successThreshold` of a `{}` must be 1", kind.key()),
            "Kubernetes rejects any other value: write `1` or remove the line",
        )
        .replacement("1"),
    );
}
