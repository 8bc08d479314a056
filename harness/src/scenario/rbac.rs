//! `rbac`: what differs from the roles that the manifests bind.

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::{RbacRule, RbacSubject};
use super::shape::{Key, Kind, Shape};

/// What a subject may do: by resource, or by path.
const RULES: Kind = Kind::Named(
    "a resource as `kubectl auth can-i` names it, or a path",
    &Kind::Word(&[("allow", "it may"), ("deny", "403")]),
);

pub(crate) static RBAC: Shape = Shape::new(
    "Rbac",
    "What differs from the roles that the manifests bind.",
    &[
        Key::optional(
            "metrics-server",
            RULES,
            "{nodes/metrics: deny}",
            "What metrics-server may do.",
        ),
        Key::optional(
            "hpa",
            RULES,
            "{pods.metrics.k8s.io: deny}",
            "What the horizontal pod autoscaler may do.",
        ),
        Key::optional(
            "clients",
            RULES,
            "{nodes.metrics.k8s.io: deny}",
            "What other clients may do.",
        ),
        Key::optional(
            "anonymous",
            RULES,
            "{/readyz: deny}",
            "What somebody without a name may do.",
        ),
    ],
);

const SUBJECTS: [(&str, RbacSubject); 4] = [
    ("metrics-server", RbacSubject::MetricsServer),
    ("hpa", RbacSubject::Hpa),
    ("clients", RbacSubject::Clients),
    ("anonymous", RbacSubject::Anonymous),
];

/// Resources that somebody here asks for, as `kubectl auth can-i` names them.
pub(crate) const RESOURCES: [(&str, &str, &str, &str); 9] = [
    ("nodes", "", "nodes", ""),
    ("nodes/metrics", "", "nodes", "metrics"),
    ("nodes/stats", "", "nodes", "stats"),
    ("pods", "", "pods", ""),
    ("configmaps", "", "configmaps", ""),
    ("nodes.metrics.k8s.io", "metrics.k8s.io", "nodes", ""),
    ("pods.metrics.k8s.io", "metrics.k8s.io", "pods", ""),
    (
        "tokenreviews.authentication.k8s.io",
        "authentication.k8s.io",
        "tokenreviews",
        "",
    ),
    (
        "subjectaccessreviews.authorization.k8s.io",
        "authorization.k8s.io",
        "subjectaccessreviews",
        "",
    ),
];

/// Reads `rbac`: for each subject what it may (`allow`) and may not (`deny`).
pub(crate) fn rbac(decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<RbacRule>> {
    let mut object = decoder.object(item, &RBAC)?;
    let mut read = Vec::new();
    for (key, subject) in SUBJECTS {
        read.push(object.optional(decoder, key, |decoder, item| rules(decoder, item, subject)));
    }
    object.finish(decoder);
    let rules: Vec<Option<Vec<RbacRule>>> = read.into_iter().collect::<Option<_>>()?;
    Some(rules.into_iter().flatten().flatten().collect())
}

fn rules(decoder: &mut Decoder, item: Item<'_>, subject: RbacSubject) -> Option<Vec<RbacRule>> {
    let named = decoder.named(item)?;
    let read: Vec<Option<RbacRule>> = named
        .into_iter()
        .filter(|rule| !rule.node.is_null())
        .map(|rule| {
            let allowed = decoder.word(rule, &[("allow", true), ("deny", false)]);
            check_object(decoder, rule).then_some(())?;
            Some(RbacRule {
                subject,
                object: rule.name.to_owned(),
                allowed: allowed?,
            })
        })
        .collect();
    read.into_iter().collect()
}

fn check_object(decoder: &mut Decoder, rule: Item<'_>) -> bool {
    let known = || RESOURCES.iter().map(|(name, ..)| *name);
    if rule.name.starts_with('/') || known().any(|name| name == rule.name) {
        return true;
    }
    let message = format!("`{}` is no resource that anybody here asks for", rule.name);
    let diagnostic = match super::suggest::nearest(rule.name, known()) {
        Some(right) => {
            let help = format!("did you mean `{right}`?");
            Diagnostic::at(Code::UnknownName, rule.key_span(), message, help).replacement(right)
        }
        None => {
            let names = super::suggest::choice(known());
            let help = format!("write {names}, or a path such as `/readyz`");
            Diagnostic::at(Code::UnknownName, rule.key_span(), message, help)
        }
    };
    decoder.note(diagnostic);
    false
}
