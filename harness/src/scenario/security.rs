//! `metricsServer.securityContext`: what the container's user may do.

use super::decoder::{Decoder, Item};
use super::model::SecurityContext;
use super::shape::{Key, Kind, Shape};

pub(crate) static SECURITY_CONTEXT: Shape = Shape::new(
    "SecurityContext",
    "What metrics-server's container may do, as in a manifest.",
    &[
        Key::optional(
            "runAsUser",
            Kind::Integer(0, 4_294_967_295),
            "1000",
            "The user it runs as. Any but 0 writes to `/tmp` only, and binds no port below 1024: up to 0.5 the image may nevertheless, unless `allowPrivilegeEscalation` is false. Missing: one that may do both, as where the container runtime lets everybody bind every port.",
        ),
        Key::optional(
            "readOnlyRootFilesystem",
            Kind::Boolean,
            "true",
            "Whether it can write to `/tmp` only, which the manifests mount. Default: false.",
        ),
        Key::optional(
            "allowPrivilegeEscalation",
            Kind::Boolean,
            "false",
            "Whether the image's own capabilities count. Default: true.",
        ),
    ],
);

/// Reads `securityContext`.
pub(crate) fn security_context(decoder: &mut Decoder, item: Item<'_>) -> Option<SecurityContext> {
    let mut object = decoder.object(item, &SECURITY_CONTEXT)?;
    let user = object.optional(decoder, "runAsUser", |decoder, item| {
        decoder.integer(item, 0..=4_294_967_295)
    });
    let read_only = object.or(decoder, "readOnlyRootFilesystem", false, Decoder::boolean);
    let escalation = object.or(decoder, "allowPrivilegeEscalation", true, Decoder::boolean);
    object.finish(decoder);
    Some(SecurityContext {
        is_unprivileged: user?.is_some_and(|user| user != 0),
        read_only_root: read_only?,
        allows_escalation: escalation?,
    })
}
