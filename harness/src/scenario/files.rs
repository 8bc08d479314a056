//! `metricsServer.files`: what the pod's volumes put where arguments look.

use std::collections::BTreeMap;

use super::certificate::issuer;
use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::{FileContent, Issuer, PodCertificate};
use super::shape::{Choice, Key, Kind, Shape};
use super::validity::{NOT_AFTER, NOT_BEFORE, validity};

/// `files`
pub(crate) const FILES: Kind = Kind::Named("an absolute path", &Kind::Mapping(&FILE));

pub(crate) static FILE: Shape = Shape::new(
    "File",
    "What a ConfigMap or Secret puts into the container, for arguments such as `--kubelet-certificate-authority`, `--tls-cert-file` and `--tls-private-key-file`.",
    &[
        Key::optional(
            "authority",
            Kind::Word(&[
                (
                    "cluster",
                    "the cluster's, which signs kubelets' certificates",
                ),
                ("front-proxy", "the front proxy's"),
                ("unknown", "the one of everything whose `issuer` is `unknown`"),
            ]),
            "cluster",
            "An authority's certificate.",
        ),
        Key::optional(
            "servingCertificate",
            Kind::Mapping(&POD_CERTIFICATE),
            "{issuer: cluster, notAfter: 40s}",
            "A serving certificate for metrics-server.",
        ),
        Key::optional(
            "privateKey",
            Kind::Word(&[
                ("own", "that of the certificates among the files"),
                ("other", "that of another certificate"),
            ]),
            "own",
            "A private key.",
        ),
        Key::optional(
            "contents",
            Kind::Text,
            "not a certificate",
            "Anything else, as it is.",
        ),
    ],
)
.choice(Choice::One(&CONTENTS));

const CONTENTS: [&str; 4] = ["authority", "servingCertificate", "privateKey", "contents"];

static POD_CERTIFICATE: Shape = Shape::new(
    "PodCertificate",
    "A serving certificate of metrics-server. Times count from the start of the run, in true time.",
    &[
        Key::optional(
            "issuer",
            Kind::Word(&[
                (
                    "cluster",
                    "the authority that `aggregation.caBundle` is by default",
                ),
                ("self-signed", "itself"),
                ("unknown", "another authority"),
            ]),
            "unknown",
            "Who signed it. Default: `cluster`.",
        ),
        NOT_BEFORE,
        NOT_AFTER,
        Key::optional(
            "dns",
            Kind::List(&Kind::Text),
            "[metrics-server.monitoring.svc]",
            "The host names it is good for. Default: `[metrics-server.kube-system.svc]`, by which API servers call the Service.",
        ),
        Key::optional(
            "ips",
            Kind::List(&Kind::Ip),
            "[10.0.0.1]",
            "The addresses it is good for. Default: none.",
        ),
    ],
);

/// What API servers verify, whatever `--tls-cert-file` says.
///
/// Source: `kube-aggregator pkg/apiserver/handler_proxy.go
/// updateAPIService`, `ServerName`.
const SERVICE_NAME: &str = "metrics-server.kube-system.svc";

/// Where a pod finds its service account. Source: `rest.InClusterConfig`.
pub(crate) const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/";

/// Reads `files`; nothing takes a file of the same path away.
pub(crate) fn files(
    decoder: &mut Decoder,
    item: Item<'_>,
) -> Option<BTreeMap<String, FileContent>> {
    let read: Vec<Option<(String, FileContent)>> = decoder
        .named(item)?
        .into_iter()
        .filter(|file| !file.node.is_null())
        .map(|file| {
            let path = is_path(decoder, file);
            let content = content(decoder, file)?;
            path.then(|| (file.name.to_owned(), content))
        })
        .collect();
    read.into_iter().collect()
}

fn is_path(decoder: &mut Decoder, file: Item<'_>) -> bool {
    let (message, help) = if file.name.starts_with(SERVICE_ACCOUNT) {
        (
            format!("`{}` belongs to the service account", file.name),
            "every pod is given these files: choose a path of a volume, such as `/ca/ca.crt`",
        )
    } else if !file.name.starts_with('/') || file.name.ends_with('/') {
        (
            format!("`{}` is not the path of a file", file.name),
            "write the whole path, such as `/ca/ca.crt`, as the argument has it",
        )
    } else {
        return true;
    };
    decoder.note(Diagnostic::at(
        Code::BadValue,
        file.key_span(),
        message,
        help,
    ));
    false
}

fn content(decoder: &mut Decoder, item: Item<'_>) -> Option<FileContent> {
    let mut object = decoder.object(item, &FILE)?;
    let authority = object.optional(decoder, "authority", |decoder, item| {
        decoder.word(
            item,
            &[
                ("cluster", FileContent::ClusterAuthority),
                ("front-proxy", FileContent::FrontProxyAuthority),
                ("unknown", FileContent::UnknownAuthority),
            ],
        )
    });
    let certificate = object.optional(decoder, "servingCertificate", |decoder, item| {
        certificate(decoder, item).map(FileContent::Certificate)
    });
    let private_key = object.optional(decoder, "privateKey", |decoder, item| {
        decoder.word(
            item,
            &[
                ("own", FileContent::OwnKey),
                ("other", FileContent::OtherKey),
            ],
        )
    });
    let contents = object.optional(decoder, "contents", |decoder, item| {
        decoder
            .text(item)
            .map(|text| FileContent::Text(text.to_owned()))
    });
    object.finish(decoder);
    let found = [authority?, certificate?, private_key?, contents?];
    let mut found = found.into_iter().flatten();
    match (found.next(), found.next()) {
        (Some(content), None) => Some(content),
        _ => {
            decoder.note(Diagnostic::at(
                Code::Contradiction,
                item.key_span(),
                "a file holds exactly one thing",
                "keep one of `authority`, `servingCertificate`, `privateKey` and `contents`",
            ));
            None
        }
    }
}

fn certificate(decoder: &mut Decoder, item: Item<'_>) -> Option<PodCertificate> {
    let mut object = decoder.object(item, &POD_CERTIFICATE)?;
    let issuer = object.or(decoder, "issuer", Issuer::Cluster, issuer);
    let dates = validity(decoder, &mut object, item);
    let usual = vec![SERVICE_NAME.to_owned()];
    let dns = object.or(decoder, "dns", usual, |decoder, item| {
        decoder.list(item, |decoder, item| {
            let name = decoder.text(item)?;
            decoder
                .object_name(name, item.span())
                .then(|| name.to_owned())
        })
    });
    let ips = object.or(decoder, "ips", Vec::new(), |decoder, item| {
        decoder.list(item, Decoder::ip)
    });
    object.finish(decoder);
    let (not_before_ns, not_after_ns) = dates?;
    Some(PodCertificate {
        issuer: issuer?,
        not_before_ns,
        not_after_ns,
        dns: dns?,
        ips: ips?,
    })
}
