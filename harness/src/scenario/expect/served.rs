//! `nodes` and `pods`: which are served when, or never, or lost.

use reports::expectation::{Bounds, Claim, Expectation, Listed, Service};

use super::happenings::{TIMES, times};
use super::{Reader, says_nothing};
use crate::scenario::code::Code;
use crate::scenario::decoder::{Decoder, Item};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::shape::{Choice, Key, Kind, Shape, Word};

/// What can be claimed in a word.
const WORDS: [(&str, Service); 4] = [
    (
        "served",
        Service::First(Bounds {
            min: None,
            max: None,
        }),
    ),
    ("never", Service::Never),
    ("kept", Service::Kept),
    (
        "lost",
        Service::Lost(Bounds {
            min: None,
            max: None,
        }),
    ),
];

const MEANINGS: [Word; 4] = [
    ("served", "in some answered list"),
    ("never", "in no answered list"),
    ("kept", "in some answered list, and in every one after it"),
    ("lost", "in some answered list, and not in a later one"),
];

pub(super) static SERVICE: Kind = Kind::OneOf(&[Kind::Word(&MEANINGS), Kind::Mapping(&SERVED)]);

static SERVED: Shape = Shape::new(
    "Served",
    "When a node or pod is in the lists of the metrics API. Times count from the first start of the process.",
    &[
        Key::optional("served", TIMES, "{max: 50s}", "When it is in a list for the first time."),
        Key::optional(
            "lost",
            TIMES,
            "{min: 20s}",
            "When it is missing for the first time after that.",
        ),
        Key::optional("atEnd", Kind::Boolean, "true", "Whether it is in the last list."),
    ],
)
.choice(Choice::Some(&["served", "lost", "atEnd"]));

impl Reader<'_> {
    /// `nodes`: a key may name a group, and then means each of its members.
    pub(super) fn nodes(&self, decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Expectation>> {
        let mut found = Vec::new();
        let mut all_well = true;
        for entry in decoder.named(item)? {
            let before = decoder.count();
            let indices = self.fleet.meant_by(decoder, entry);
            let services = services(decoder, entry);
            all_well &= decoder.count() == before;
            for index in indices {
                let name = &self.fleet.members()[index].name;
                let node = Listed::Node(name.to_string());
                found.extend(self.each(entry, &node, services.as_deref().unwrap_or(&[])));
            }
        }
        all_well.then_some(found)
    }

    /// `pods`: keys are `namespace/name`.
    pub(super) fn pods(&self, decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Expectation>> {
        let mut found = Vec::new();
        let mut all_well = true;
        for entry in decoder.named(item)? {
            let named = is_pod(decoder, entry);
            let services = services(decoder, entry);
            match services.filter(|_| named) {
                Some(services) => {
                    let pod = Listed::Pod(entry.name.to_owned());
                    found.extend(self.each(entry, &pod, &services));
                }
                None => all_well = false,
            }
        }
        all_well.then_some(found)
    }

    fn each(&self, entry: Item<'_>, what: &Listed, services: &[Service]) -> Vec<Expectation> {
        let claim = |service: &Service| Claim::Served {
            what: what.clone(),
            service: *service,
        };
        let services = services.iter();
        services
            .map(|service| self.at(entry, claim(service)))
            .collect()
    }
}

fn is_pod(decoder: &mut Decoder, entry: Item<'_>) -> bool {
    let parts: Vec<&str> = entry.name.split('/').collect();
    if let [namespace, name] = parts[..]
        && !namespace.is_empty()
        && !name.is_empty()
    {
        return true;
    }
    decoder.note(Diagnostic::at(
        Code::BadValue,
        entry.key_span(),
        format!("`{}` does not name a pod", entry.name),
        "write its namespace and name, such as `kube-system/coredns`",
    ));
    false
}

/// A word, or when it is served and lost, and whether it is at the end.
fn services(decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Service>> {
    if item.node.text().is_some() {
        return decoder.word(item, &WORDS).map(|service| vec![service]);
    }
    let mut object = decoder.object(item, &SERVED)?;
    let first = object.optional(decoder, "served", times);
    let lost = object.optional(decoder, "lost", times);
    let at_end = object.optional(decoder, "atEnd", |decoder, item| {
        decoder.word(item, &[("true", true), ("false", false)])
    });
    object.finish(decoder);
    let found = [
        first?.map(Service::First),
        lost?.map(Service::Lost),
        at_end?.map(Service::AtEnd),
    ];
    let found: Vec<Service> = found.into_iter().flatten().collect();
    if found.is_empty() {
        let help =
            "write `served`, `never`, `kept` or `lost`, or a time such as `{served: {max: 60s}}`";
        return says_nothing(decoder, item, help);
    }
    Some(found)
}
