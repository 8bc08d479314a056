//! `service`, and the Service that an APIService names.

use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item, Object};
use super::diagnostic::Diagnostic;
use super::model::{Service, ServiceReference, TargetPort, Timeline};
use super::scalars::PORT as PORT_NUMBER;
use super::shape::{Key, Kind, Shape};

/// metrics-server's Service. Source: metrics-server
/// `manifests/base/service.yaml`.
const NAMESPACE: &str = "kube-system";
const SERVICE: &str = "metrics-server";
const PORT: u16 = 443;
const PORT_NAME: &str = "https";
const LABEL: (&str, &str) = ("k8s-app", "metrics-server");

/// What to do instead of changing when an object is there.
const A_TIME: &str = "it is a time already: set it for the whole run, or change `exists`";

const IN_NAMESPACE: Key = Key::optional(
    "namespace",
    Kind::ObjectName,
    "kube-system",
    "Its namespace. Default: `kube-system`.",
);
const NAMED: Key = Key::optional(
    "name",
    Kind::ObjectName,
    "metrics-server",
    "Its name. Default: `metrics-server`.",
);

pub(crate) static SERVICE_REFERENCE: Shape = Shape::new(
    "ServiceReference",
    "The Service that an APIService names.",
    &[
        IN_NAMESPACE,
        NAMED,
        Key::optional("port", PORT_NUMBER, "443", "Its port. Default: 443."),
    ],
);

pub(crate) static SERVICE_SHAPE: Shape = Shape::new(
    "Service",
    "The Service in front of metrics-server.",
    &[
        Key::optional(
            "createdAt",
            Kind::Duration,
            "20s",
            "When it is created. Default: 0s, before the run.",
        )
        .fixed(A_TIME),
        Key::optional(
            "deletedAt",
            Kind::Duration,
            "50s",
            "When it is deleted. Missing: never.",
        )
        .fixed(A_TIME),
        Key::optional(
            "exists",
            Kind::Boolean,
            "false",
            "Whether it is there: in a change, it is created or deleted. Missing: as `createdAt` and `deletedAt` say.",
        ),
        IN_NAMESPACE,
        NAMED,
        Key::optional(
            "port",
            PORT_NUMBER,
            "443",
            "`spec.ports[0].port`. Default: 443.",
        ),
        Key::optional(
            "portName",
            Kind::Text,
            "https",
            "`spec.ports[0].name`. Default: `https`.",
        ),
        Key::optional(
            "targetPort",
            Kind::OneOf(&[PORT_NUMBER, Kind::Text]),
            "https",
            "`spec.ports[0].targetPort`: a number, or the name of the container's port. Default: `https`.",
        ),
        Key::optional(
            "appProtocol",
            Kind::Text,
            "https",
            "`spec.ports[0].appProtocol`. Missing: none.",
        ),
        Key::optional(
            "selector",
            Kind::Named("a label's name", &Kind::Text),
            "{k8s-app: metrics-server}",
            "Which pods it leads to. Default: `{k8s-app: metrics-server}`.",
        ),
        Key::given(
            "publishNotReadyAddresses",
            Kind::Boolean,
            "true",
            "Whether a pod's address is published while the pod is unready.",
        ),
    ],
);

/// When an object is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Existence {
    created_at: Duration,
    deleted_at: Option<Duration>,
    /// What is said of it in place of the times.
    said: Option<bool>,
}

impl Existence {
    /// Whether it is there, over time, from what is said from each time on.
    pub(crate) fn over_time(said: &[(Duration, Self)]) -> Option<Timeline<bool>> {
        let (_, first) = said.first()?;
        let words = said.iter().map(|(at, existence)| (*at, existence.said));
        let words = Timeline::of_changes(words.collect());
        Some(words.or_between(first.created_at, first.deleted_at))
    }
}

/// When an object is there: created at the time under the key `created`,
/// deleted at another, or as the key `state` says.
pub(crate) fn existence(
    decoder: &mut Decoder,
    object: &mut Object<'_>,
    [created, state]: [&'static str; 2],
    until: Option<Duration>,
) -> Option<Existence> {
    let time = |decoder: &mut Decoder, item: Item<'_>| decoder.time(item, until);
    let created_at = object.or(decoder, created, Duration::ZERO, time);
    let deleted_at = object.optional(decoder, "deletedAt", time);
    if let (Some(from), Some(Some(to))) = (created_at, deleted_at)
        && to <= from
        && let Some(item) = object.item("deletedAt")
    {
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            item.span(),
            format!("the object is deleted before it exists: `deletedAt` is not after `{created}`"),
            format!("choose `deletedAt` later than `{created}`"),
        ));
    }
    let said = object.optional(decoder, state, Decoder::boolean);
    Some(Existence {
        created_at: created_at?,
        deleted_at: deleted_at?,
        said: said?,
    })
}

pub(crate) fn usual_reference() -> ServiceReference {
    ServiceReference {
        namespace: NAMESPACE.to_owned(),
        name: SERVICE.to_owned(),
        port: PORT,
    }
}

/// Reads the Service that an APIService names.
pub(crate) fn reference(decoder: &mut Decoder, item: Item<'_>) -> Option<ServiceReference> {
    let mut object = decoder.object(item, &SERVICE_REFERENCE)?;
    let reference = name_and_port(decoder, &mut object);
    object.finish(decoder);
    reference
}

/// The keys by which a Service and a reference to one name it.
fn name_and_port(decoder: &mut Decoder, object: &mut Object<'_>) -> Option<ServiceReference> {
    let usual = usual_reference();
    let namespace = object.or(decoder, "namespace", usual.namespace, object_name);
    let name = object.or(decoder, "name", usual.name, object_name);
    let port = object.or(decoder, "port", usual.port, Decoder::port);
    Some(ServiceReference {
        namespace: namespace?,
        name: name?,
        port: port?,
    })
}

/// A name as Kubernetes allows for objects.
pub(crate) fn object_name(decoder: &mut Decoder, item: Item<'_>) -> Option<String> {
    let name = decoder.text(item)?;
    decoder
        .object_name(name, item.span())
        .then(|| name.to_owned())
}

/// Reads `service`.
pub(crate) fn service(
    decoder: &mut Decoder,
    item: Item<'_>,
    until: Option<Duration>,
) -> Option<(Service, Existence)> {
    let mut object = decoder.object(item, &SERVICE_SHAPE)?;
    let existence = existence(decoder, &mut object, ["createdAt", "exists"], until);
    let called = name_and_port(decoder, &mut object);
    let text = |decoder: &mut Decoder, item: Item<'_>| decoder.text(item).map(str::to_owned);
    let port_name = object.or(decoder, "portName", PORT_NAME.to_owned(), text);
    let usual_target = TargetPort::Name(PORT_NAME.to_owned());
    let target_port = object.or(decoder, "targetPort", usual_target, target_port);
    let app_protocol = object.optional(decoder, "appProtocol", text);
    let usual_selector = vec![(LABEL.0.to_owned(), LABEL.1.to_owned())];
    let selector = object.or(decoder, "selector", usual_selector, |decoder, item| {
        let named = decoder.named(item)?;
        let pair = |label: Item<'_>, value: &str| (label.name.to_owned(), value.to_owned());
        let read: Vec<Option<(String, String)>> = named
            .into_iter()
            .filter(|label| !label.node.is_null())
            .map(|label| decoder.text(label).map(|value| pair(label, value)))
            .collect();
        read.into_iter().collect()
    });
    let publish = object.required(decoder, "publishNotReadyAddresses", Decoder::boolean);
    object.finish(decoder);
    let called = called?;
    let service = Service {
        namespace: called.namespace,
        name: called.name,
        port: called.port,
        port_name: port_name?,
        target_port: target_port?,
        app_protocol: app_protocol?,
        selector: selector?,
        publish_not_ready_addresses: publish?,
    };
    Some((service, existence?))
}

/// A number, or the name of a container's port.
fn target_port(decoder: &mut Decoder, item: Item<'_>) -> Option<TargetPort> {
    let text = decoder.text(item)?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return decoder.port(item).map(TargetPort::Number);
    }
    Some(TargetPort::Name(text.to_owned()))
}
