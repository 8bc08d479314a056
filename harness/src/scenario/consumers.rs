//! `consumers`: who uses the metrics API.

use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::{Awaited, Consumer, ConsumerKind};
use super::shape::{Key, Kind, Shape, Word};
use super::suggest::{choice, nearest};
use super::tree::Node;
use super::vocabulary::{OBSERVERS, names};

/// `consumers`: who uses the metrics API, by name.
pub(crate) const CONSUMERS: Kind =
    Kind::Named("a name for the consumer", &Kind::Mapping(&CONSUMER));

static CONSUMER: Shape = Shape::new(
    "Consumer",
    "Somebody who asks again and again.",
    &[
        Key::optional(
            "kind",
            Kind::Word(&KIND_WORDS),
            "discovery",
            "What it does. Default: its name says so.",
        ),
        Key::optional(
            "from",
            Kind::Duration,
            "20s",
            "When it asks first. Default: 0s.",
        ),
        Key::optional(
            "until",
            Kind::Duration,
            "50s",
            "When it stops. Missing: never.",
        ),
        Key::optional(
            "every",
            Kind::Duration,
            "5s",
            "How often it asks, from a millisecond upwards. Default for a `kubectl-wait`: 1s, for a `helm-install`: 2s; the others need it.",
        ),
        Key::optional(
            "resource",
            Kind::Word(&[
                ("nodes", "`kubectl top nodes`"),
                ("pods", "`kubectl top pods`"),
            ]),
            "pods",
            "What a `kubectl-top` asks for. Default: `nodes`.",
        )
        .within("consumers: {hpa: {kind: kubectl-top}}"),
        Key::optional(
            "namespace",
            Kind::Text,
            "kube-system",
            "Whose pods a `kubectl-top` asks for. Missing: all.",
        )
        .within("consumers: {hpa: {kind: kubectl-top, resource: pods}}"),
        Key::optional(
            "for",
            Kind::Word(&[
                ("Available", "the APIService's condition"),
                ("Ready", "the pod's condition"),
            ]),
            "Available",
            "What a `kubectl-wait` waits for; it needs one.",
        )
        .within("consumers: {hpa: {kind: kubectl-wait, for: Ready}}"),
        Key::optional(
            "timeout",
            Kind::Duration,
            "90s",
            "After how long a `helm-install` fails: its `--timeout`, counted from `from`. If it fails, so does the run: `INSTALL_FAILED`. Default: 5m.",
        )
        .within("consumers: {hpa: {kind: helm-install}}"),
        Key::optional(
            "apiServer",
            Kind::Text,
            "a",
            "The key in `apiServers` of the one that it asks. Missing: each in turn.",
        )
        .within("apiServers: {a: {}, b: {}}"),
    ],
);

static KIND_WORDS: [Word; 7] = [
    (
        "kubectl-top",
        "a person who runs `kubectl top`, with its discovery",
    ),
    ("hpa", "the horizontal pod autoscaler"),
    (
        "discovery",
        "a discovery client: the API groups and the group's resources",
    ),
    (
        "namespace-controller",
        "the namespace controller, which needs discovery to delete a namespace",
    ),
    (
        "controller-manager",
        "a controller manager that starts its controllers, that of endpoints among them, only once discovery is complete",
    ),
    ("kubectl-wait", "a person who waits for a condition"),
    (
        "helm-install",
        "a person who installs the chart with `helm install --wait`",
    ),
];

/// What a consumer may do; the first words of `consumers` and values of
/// `kind`.
const KINDS: [(&str, Task); 7] = [
    ("kubectl-top", Task::Top),
    ("hpa", Task::Hpa),
    ("discovery", Task::Discovery),
    ("namespace-controller", Task::Namespace),
    ("controller-manager", Task::Manager),
    ("kubectl-wait", Task::Wait),
    ("helm-install", Task::Install),
];

/// Source: Helm `pkg/kube/wait.go waitForResources`.
const HELM_LOOKS: Duration = Duration::from_secs(2);
/// Source: Helm `cmd/helm/install.go`, `--timeout`.
const HELM_TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Top,
    Hpa,
    Discovery,
    Namespace,
    Manager,
    Wait,
    Install,
}

/// What the reader of consumers has to know of the rest.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    /// Keys of `apiServers`; empty if there is one.
    pub(crate) api_servers: &'a [String],
    pub(crate) until: Option<Duration>,
}

/// The names of all consumers, also of those that come later.
pub(crate) fn all_names(scenario: &Node) -> Vec<String> {
    let changes = scenario.entry("changes");
    let changes = changes.map_or(&[][..], |changes| changes.value.items());
    let layers = std::iter::once(scenario).chain(changes.iter().map(|change| &**change));
    let consumers = layers.filter_map(|layer| layer.entry("consumers"));
    let entries = consumers.flat_map(|consumers| consumers.value.entries());
    entries.map(|entry| entry.key.to_string()).collect()
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
        let mut object = decoder.object(item, &CONSUMER)?;
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
            Task::Wait => object.or(decoder, "every", Duration::from_secs(1), interval),
            Task::Install => object.or(decoder, "every", HELM_LOOKS, interval),
            _ => object.needed(decoder, "every", interval),
        };
        if kind != Task::Top {
            for key in ["resource", "namespace"] {
                object.exclude(decoder, key, "only a `kubectl-top` has it");
            }
        }
        match kind {
            Task::Install => {
                object.exclude(decoder, "until", "its `timeout` ends a `helm-install`")
            }
            _ => object.exclude(decoder, "timeout", "only a `helm-install` has it"),
        }
        if kind != Task::Wait {
            object.exclude(decoder, "for", "only a `kubectl-wait` has it");
        }
        let what = match kind {
            Task::Top => {
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
            Task::Hpa => ConsumerKind::Hpa,
            Task::Discovery => ConsumerKind::Discovery,
            Task::Namespace => ConsumerKind::NamespaceController,
            Task::Manager => ConsumerKind::ControllerManager,
            Task::Install => ConsumerKind::HelmInstall(object.or(
                decoder,
                "timeout",
                HELM_TIMEOUT,
                Decoder::duration,
            )?),
            Task::Wait => {
                ConsumerKind::KubectlWait(object.needed(decoder, "for", |decoder, item| {
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
    let is_kind = |name: &str| KINDS.iter().any(|(kind, _)| *kind == name);
    if names(&OBSERVERS).any(|name| name == item.name && !is_kind(name)) {
        decoder.note(Diagnostic::at(
            Code::BadValue,
            item.key_span(),
            format!("a consumer cannot be called `{}`", item.name),
            "that observer is part of every cluster: choose another name",
        ));
    }
}
