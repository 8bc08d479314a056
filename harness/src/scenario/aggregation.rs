//! `aggregation` and `authentication`: the objects that make the metrics API
//! part of the cluster's.

use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::{Aggregation, Authentication, CaBundle, FrontProxy, FrontProxyIssuer};
use super::service::{
    Existence, SERVICE_REFERENCE, existence, object_name, reference, usual_reference,
};
use super::shape::{Key, Kind, Shape};
use super::tree::Value;
use super::validity::{NOT_AFTER, NOT_BEFORE, USUAL, validity};

/// The availability controller looks at every APIService this often.
/// Source: `kube-aggregator/pkg/controllers/status/remote/
/// remote_available_controller.go NewAvailableConditionController`.
const RESYNC: Duration = Duration::from_secs(30);

/// Both priorities of its APIService. Source: metrics-server
/// `manifests/base/apiservice.yaml`.
const PRIORITY: u32 = 100;

/// The common name of the aggregation layer's certificate, and the one that
/// extension servers let through. Source: kubeadm
/// `app/constants FrontProxyClientCertCommonName`.
const FRONT_PROXY_CLIENT: &str = "front-proxy-client";

/// An authority of certificates.
const AUTHORITY: Kind = Kind::Word(&[
    ("cluster", "the right one"),
    ("unknown", "another one"),
    ("none", "none at all"),
]);

/// What to do instead of changing when the APIService is there.
const A_TIME: &str = "it is a time already: set it for the whole run, or change `registered`";

pub(crate) static AGGREGATION: Shape = Shape::new(
    "Aggregation",
    "The APIService, and the API server's way to metrics-server.",
    &[
        Key::optional("registeredAt", Kind::Duration, "36s", "When the APIService is created. Default: 0s, before the run.").fixed(A_TIME),
        Key::optional("deletedAt", Kind::Duration, "50s", "When the APIService is deleted. Missing: never.").fixed(A_TIME),
        Key::optional("registered", Kind::Boolean, "false", "Whether the APIService is there: in a change, it is created or deleted. Missing: as `registeredAt` and `deletedAt` say."),
        Key::optional("available", Kind::Boolean, "true", "Whether the APIService was Available when the run began, as one that outlived its backend. Default: false.").fixed("it says what held before the run"),
        Key::given("insecureSkipTLSVerify", Kind::Boolean, "true", "`spec.insecureSkipTLSVerify` of the APIService."),
        Key::optional("caBundle", AUTHORITY, "unknown", "`spec.caBundle` of the APIService: which authority it trusts. Default: `cluster`.").within("aggregation: {insecureSkipTLSVerify: false}"),
        Key::optional("service", Kind::Mapping(&SERVICE_REFERENCE), "{port: 443}", "`spec.service` of the APIService. Default: metrics-server's."),
        Key::optional("groupPriorityMinimum", Kind::Integer(1, 20_000), "100", "`spec.groupPriorityMinimum` of the APIService. Default: 100."),
        Key::optional("versionPriority", Kind::Integer(1, 1000), "100", "`spec.versionPriority` of the APIService. Default: 100."),
        Key::given(
            "routing",
            ROUTING,
            "endpoint",
            "How API servers reach metrics-server, unless they say otherwise.",
        ),
        Key::optional("resyncPhase", Kind::Duration, "12s", "When the availability controller's check of every 30 s comes first, below 30 s. Missing: drawn from the seed.").fixed("the controller's timer runs on: set it for the whole run"),
        Key::optional("frontProxy", Kind::Mapping(&FRONT_PROXY), "{issuer: unknown}", "The certificate by which API servers name their users to metrics-server, unless they say otherwise. Default: a good one."),
    ],
);

/// `--enable-aggregator-routing`
pub(crate) const ROUTING: Kind = Kind::Word(&[
    ("clusterIP", "by the Service's address"),
    (
        "endpoint",
        "straight to a ready endpoint: `--enable-aggregator-routing`",
    ),
]);

pub(crate) static FRONT_PROXY: Shape = Shape::new(
    "FrontProxy",
    "A client certificate of the aggregation layer. Times count from the start of the run, in true time.",
    &[
        Key::optional(
            "issuer",
            Kind::Word(&[
                ("front-proxy", "the authority that the ConfigMap names"),
                ("cluster", "the cluster's authority"),
                ("unknown", "another one"),
            ]),
            "unknown",
            "Who signed it. Default: `front-proxy`.",
        ),
        Key::optional(
            "commonName",
            Kind::ObjectName,
            "front-proxy-client",
            "The name in it. Default: `front-proxy-client`.",
        ),
        NOT_BEFORE,
        NOT_AFTER,
    ],
);

pub(crate) static AUTHENTICATION: Shape = Shape::new(
    "Authentication",
    "The ConfigMap `extension-apiserver-authentication`, by which metrics-server knows who asks.",
    &[
        Key::optional(
            "configMap",
            Kind::Word(&[("present", "it is there"), ("absent", "it is not")]),
            "absent",
            "Whether it is there. Default: `present`.",
        ),
        Key::optional(
            "clientCA",
            AUTHORITY,
            "unknown",
            "Its `client-ca-file`. Default: `cluster`.",
        ),
        Key::optional(
            "requestHeaderCA",
            AUTHORITY,
            "unknown",
            "Its `requestheader-client-ca-file`. Default: `cluster`, the front proxy's.",
        ),
        Key::optional(
            "requestHeaderAllowedNames",
            Kind::List(&Kind::ObjectName),
            "[front-proxy-client]",
            "Its `requestheader-allowed-names`. Default: `[front-proxy-client]`.",
        ),
    ],
);

/// Reads `aggregation`.
pub(crate) fn aggregation(
    decoder: &mut Decoder,
    item: Item<'_>,
    until: Option<Duration>,
) -> Option<(Aggregation, Existence)> {
    let mut object = decoder.object(item, &AGGREGATION)?;
    let existence = existence(decoder, &mut object, ["registeredAt", "registered"], until);
    let available = object.or(decoder, "available", false, Decoder::boolean);
    let insecure = object.required(decoder, "insecureSkipTLSVerify", Decoder::boolean);
    let ca_bundle = object.optional(decoder, "caBundle", authority);
    let service = object.or(decoder, "service", usual_reference(), reference);
    let group_priority = object.or(
        decoder,
        "groupPriorityMinimum",
        PRIORITY,
        |decoder, item| priority(decoder, item, 20_000),
    );
    let version_priority = object.or(decoder, "versionPriority", PRIORITY, |decoder, item| {
        priority(decoder, item, 1000)
    });
    let endpoint_routing = object.required(decoder, "routing", endpoint_routing);
    let resync_phase = object.optional(decoder, "resyncPhase", resync_phase);
    let front_proxy = object.or(decoder, "frontProxy", usual_front_proxy(), front_proxy);
    if let (Some(true), Some(Some(bundle))) = (insecure, ca_bundle)
        && bundle != CaBundle::Absent
        && let Some(item) = object.item("caBundle")
    {
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            item.span(),
            "`caBundle` decides nothing while `insecureSkipTLSVerify` is true, and Kubernetes refuses both together",
            "add `insecureSkipTLSVerify: false` beside it",
        ));
    }
    object.finish(decoder);
    let aggregation = Aggregation {
        available: available?,
        insecure_skip_tls_verify: insecure?,
        ca_bundle: ca_bundle?.unwrap_or(CaBundle::Cluster),
        service: service?,
        group_priority_minimum: group_priority?,
        version_priority: version_priority?,
        endpoint_routing: endpoint_routing?,
        resync_phase: resync_phase?,
        front_proxy: front_proxy?,
    };
    Some((aggregation, existence?))
}

/// Whether the API server routes to endpoints.
pub(crate) fn endpoint_routing(decoder: &mut Decoder, item: Item<'_>) -> Option<bool> {
    decoder.word(item, &[("clusterIP", false), ("endpoint", true)])
}

fn authority(decoder: &mut Decoder, item: Item<'_>) -> Option<CaBundle> {
    decoder.word(
        item,
        &[
            ("cluster", CaBundle::Cluster),
            ("unknown", CaBundle::Unknown),
            ("none", CaBundle::Absent),
        ],
    )
}

/// Source: `kube-aggregator/pkg/apis/apiregistration/validation/validation.go
/// ValidateAPIService`.
fn priority(decoder: &mut Decoder, item: Item<'_>, most: u64) -> Option<u32> {
    let priority = decoder.integer(item, 1..=most)?;
    u32::try_from(priority).ok()
}

fn resync_phase(decoder: &mut Decoder, item: Item<'_>) -> Option<Duration> {
    let phase = decoder.duration(item)?;
    if phase < RESYNC {
        return Some(phase);
    }
    decoder.note(Diagnostic::at(
        Code::Contradiction,
        item.span(),
        "the phase of the resync is not below its period",
        "the controller looks every 30s: choose a phase below that",
    ));
    None
}

fn usual_front_proxy() -> FrontProxy {
    let (not_before_ns, not_after_ns) = USUAL;
    FrontProxy {
        issuer: FrontProxyIssuer::FrontProxy,
        common_name: FRONT_PROXY_CLIENT.to_owned(),
        not_before_ns,
        not_after_ns,
    }
}

/// Reads `frontProxy`.
pub(crate) fn front_proxy(decoder: &mut Decoder, item: Item<'_>) -> Option<FrontProxy> {
    let mut object = decoder.object(item, &FRONT_PROXY)?;
    let usual = usual_front_proxy();
    let issuer = object.or(decoder, "issuer", usual.issuer, |decoder, item| {
        decoder.word(
            item,
            &[
                ("front-proxy", FrontProxyIssuer::FrontProxy),
                ("cluster", FrontProxyIssuer::Cluster),
                ("unknown", FrontProxyIssuer::Unknown),
            ],
        )
    });
    let common_name = object.or(decoder, "commonName", usual.common_name, object_name);
    let dates = validity(decoder, &mut object, item);
    object.finish(decoder);
    let (not_before_ns, not_after_ns) = dates?;
    Some(FrontProxy {
        issuer: issuer?,
        common_name: common_name?,
        not_before_ns,
        not_after_ns,
    })
}

/// Reads `authentication`: a ConfigMap, or `{configMap: absent}`.
pub(crate) fn authentication(decoder: &mut Decoder, item: Item<'_>) -> Option<Authentication> {
    let usual = Authentication {
        present: true,
        client_ca: CaBundle::Cluster,
        request_header_ca: CaBundle::Cluster,
        allowed_names: vec![FRONT_PROXY_CLIENT.to_owned()],
    };
    let mut object = decoder.object(item, &AUTHENTICATION)?;
    let present = object.or(decoder, "configMap", true, |decoder, item| {
        decoder.word(item, &[("present", true), ("absent", false)])
    });
    let client_ca = object.or(decoder, "clientCA", usual.client_ca, authority);
    let request_header_ca = object.or(
        decoder,
        "requestHeaderCA",
        usual.request_header_ca,
        authority,
    );
    let allowed_names = object.or(
        decoder,
        "requestHeaderAllowedNames",
        usual.allowed_names,
        |decoder, item| {
            if matches!(item.node.value, Value::Null) {
                return Some(Vec::new());
            }
            decoder.list(item, object_name)
        },
    );
    object.finish(decoder);
    Some(Authentication {
        present: present?,
        client_ca: client_ca?,
        request_header_ca: request_header_ca?,
        allowed_names: allowed_names?,
    })
}
