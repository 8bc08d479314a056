//! `consumers`: who uses the metrics API.

use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::{Awaited, Consumer, ConsumerKind};
use super::suggest::{choice, nearest};
use super::vocabulary::OBSERVERS;

/// What a consumer may do; the first words of `consumers` and values of
/// `kind`.
const KINDS: [(&str, Kind); 6] = [
    ("kubectl-top", Kind::Top),
    ("hpa", Kind::Hpa),
    ("discovery", Kind::Discovery),
    ("namespace-controller", Kind::Namespace),
    ("controller-manager", Kind::Manager),
    ("kubectl-wait", Kind::Wait),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Top,
    Hpa,
    Discovery,
    Namespace,
    Manager,
    Wait,
}

/// What the reader of consumers has to know of the rest.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    /// Keys of `apiServers`; empty if there is one.
    pub(crate) api_servers: &'a [String],
    pub(crate) until: Option<Duration>,
}

impl Reader<'_> {
    /// Reads `consumers`, without those that are null.
    pub(crate) fn consumers(self, decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Consumer>> {
        let named = decoder.named(item)?;
        let read: Vec<Option<Consumer>> = named
            .into_iter()
            .filter(|consumer| !consumer.node.is_null())
            .map(|consumer| self.consumer(decoder, consumer))
            .collect();
        read.into_iter().collect()
    }

    fn consumer(self, decoder: &mut Decoder, item: Item<'_>) -> Option<Consumer> {
        let mut object = decoder.object(item)?;
        let own = KINDS.iter().find(|(name, _)| *name == item.name);
        let kind = match (own, object.item("kind")) {
            (_, Some(kind)) => decoder.word(kind, &KINDS),
            (Some((_, kind)), None) => Some(*kind),
            (None, None) => {
                note_unknown_kind(decoder, item);
                return None;
            }
        };
        let kind = kind?;
        check_name(decoder, item);
        let until = self.until;
        let from = object.or(decoder, "from", Duration::ZERO, |decoder, item| {
            decoder.time(item, until)
        });
        let end = object.optional(decoder, "until", Decoder::duration);
        let every = match kind {
            Kind::Wait => object.or(decoder, "every", Duration::from_secs(1), interval),
            _ => object.required(decoder, "every", interval),
        };
        let what = match kind {
            Kind::Top => {
                let pods = object.or(decoder, "resource", false, |decoder, item| {
                    decoder.word(item, &[("nodes", false), ("pods", true)])
                });
                let namespace = object.optional(decoder, "namespace", |decoder, item| {
                    decoder.text(item).map(str::to_owned)
                });
                match (pods?, namespace?) {
                    (false, _) => ConsumerKind::KubectlTop,
                    (true, namespace) => ConsumerKind::KubectlTopPods(namespace),
                }
            }
            Kind::Hpa => ConsumerKind::Hpa,
            Kind::Discovery => ConsumerKind::Discovery,
            Kind::Namespace => ConsumerKind::NamespaceController,
            Kind::Manager => ConsumerKind::ControllerManager,
            Kind::Wait => {
                ConsumerKind::KubectlWait(object.required(decoder, "for", |decoder, item| {
                    decoder.word(
                        item,
                        &[
                            ("Available", Awaited::ApiServiceAvailable),
                            ("Ready", Awaited::PodReady),
                        ],
                    )
                })?)
            }
        };
        let api_server = object.optional(decoder, "apiServer", |decoder, item| {
            self.api_server(decoder, item)
        });
        object.finish(decoder);
        Some(Consumer {
            name: item.name.to_owned(),
            kind: what,
            from: from?,
            until: end?,
            every: every?,
            api_server: api_server?,
        })
    }

    fn api_server(self, decoder: &mut Decoder, item: Item<'_>) -> Option<usize> {
        let name = decoder.text(item)?;
        if let Some(index) = self.api_servers.iter().position(|known| known == name) {
            return Some(index);
        }
        if self.api_servers.is_empty() {
            decoder.note(Diagnostic::at(
                Code::UnknownName,
                item.span(),
                "there is only one API server",
                "remove the key, or name several under `apiServers`",
            ));
            return None;
        }
        let names = self.api_servers.iter().map(String::as_str);
        decoder.unknown(Code::UnknownName, item, "an API server", names);
        None
    }
}

fn interval(decoder: &mut Decoder, item: Item<'_>) -> Option<Duration> {
    let every = decoder.duration(item)?;
    if every >= Duration::from_millis(1) {
        return Some(every);
    }
    decoder.note(Diagnostic::at(
        Code::BadValue,
        item.span(),
        "nobody asks more often than every millisecond",
        "write an interval such as `5s`, or `null` instead of the consumer to remove it",
    ));
    None
}

fn note_unknown_kind(decoder: &mut Decoder, item: Item<'_>) {
    let kinds = || KINDS.iter().map(|(name, _)| *name);
    let message = format!("`{}` does not say what the consumer does", item.name);
    let diagnostic = match nearest(item.name, kinds()) {
        Some(right) => {
            let help = format!("did you mean `{right}`? Under another name it needs a `kind`");
            Diagnostic::at(Code::UnknownKey, item.key_span(), message, help).replacement(right)
        }
        None => {
            let help = format!("add `kind:` with {}", choice(kinds()));
            Diagnostic::at(Code::UnknownKey, item.key_span(), message, help)
        }
    };
    decoder.note(diagnostic);
}

/// A consumer's name is its observer's: not that of somebody else.
fn check_name(decoder: &mut Decoder, item: Item<'_>) {
    let of_others = OBSERVERS
        .iter()
        .filter(|name| KINDS.iter().all(|(kind, _)| kind != *name));
    if of_others.into_iter().any(|name| *name == item.name) {
        decoder.note(Diagnostic::at(
            Code::BadValue,
            item.key_span(),
            format!("a consumer cannot be called `{}`", item.name),
            "that observer is part of every cluster: choose another name",
        ));
    }
}
