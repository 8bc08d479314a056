//! The set of nodes: groups written once with `count`, their members, and
//! references to both.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::code::Code;
use super::decoder::{Decoder, Item, MAPPING};
use super::diagnostic::Diagnostic;
use super::shape::Kind;
use super::source::Span;
use super::suggest::{choice, nearest};
use super::tree::{Node, Value, overlay};

/// More nodes than Kubernetes supports twice over.
/// Source: kubernetes.io "Considerations for large clusters": 5,000 nodes.
const MOST_NODES: u64 = 10_000;

/// How many nodes one entry may stand for.
pub(crate) const COUNT: Kind = Kind::Integer(1, MOST_NODES);

/// Names of other parties, which no node may have.
pub(crate) const RESERVED: [&str; 6] = [
    "metrics-server",
    "apiserver",
    "clients",
    "nodes",
    "service",
    "world",
];

/// One node before decoding.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// `worker-3`
    pub(crate) name: Rc<str>,
    /// The key it was written under: `worker`, or its own name.
    pub(crate) group: Rc<str>,
    pub(crate) key_span: Span,
    /// Its number in its group, from 0.
    pub(crate) ordinal: u32,
    /// What the scenario says of it, without `nodeDefaults`.
    pub(crate) own: Rc<Node>,
}

/// All nodes, in the order of the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fleet {
    members: Vec<Member>,
    by_name: BTreeMap<Rc<str>, usize>,
    by_group: BTreeMap<Rc<str>, Vec<usize>>,
    /// Names of API servers as parties, where there are several.
    api_servers: Vec<String>,
}

impl Fleet {
    /// Reads `nodes`: `worker: {count: 3}` becomes `worker-1` to `worker-3`,
    /// and an entry `worker-2` beside it refines that member.
    pub(crate) fn read(decoder: &mut Decoder, item: Item<'_>) -> Option<Self> {
        let named = decoder.named(item)?;
        let before = decoder.count();
        let mut fleet = Self::default();
        let mut singles = Vec::new();
        for entry in named {
            if !valid_name(decoder, entry) {
                continue;
            }
            match entry.node.path(&["count"]) {
                Some(count) => {
                    let count = decoder
                        .integer(Item::of(count), 1..=MOST_NODES)
                        .unwrap_or(1);
                    for number in 1..=count {
                        fleet.add(&format!("{}-{number}", entry.name), entry);
                    }
                }
                None => singles.push((entry, fleet.members.len())),
            }
        }
        fleet.add_singles(&singles);
        // Where names were refused, those nodes are missing for that reason.
        if decoder.count() > before && fleet.members.is_empty() {
            return None;
        }
        fleet.check_size(decoder, item)?;
        Some(fleet)
    }

    fn add(&mut self, name: &str, entry: Item<'_>) {
        let index = self.members.len();
        let ordinal = self.by_group.get(entry.name).map_or(0, Vec::len);
        self.members.push(Member {
            name: name.into(),
            group: entry.name.into(),
            ordinal: u32::try_from(ordinal).unwrap_or(u32::MAX),
            key_span: entry.key_span(),
            own: Rc::clone(entry.node),
        });
        self.by_name.insert(name.into(), index);
        self.by_group
            .entry(entry.name.into())
            .or_default()
            .push(index);
    }

    /// Entries without `count`: those that name a group's member refine it,
    /// the others become nodes where they stand in the file.
    fn add_singles(&mut self, singles: &[(Item<'_>, usize)]) {
        let mut groups = std::mem::take(self);
        for (entry, _) in singles {
            if let Some(index) = groups.by_name.get(entry.name) {
                let member = &mut groups.members[*index];
                member.own = overlay(&member.own, entry.node);
            }
        }
        let mut new = singles
            .iter()
            .filter(|(entry, _)| !groups.by_name.contains_key(entry.name))
            .peekable();
        for (index, member) in groups.members.into_iter().enumerate() {
            while let Some((entry, _)) = new.next_if(|(_, before)| *before <= index) {
                self.add(entry.name, *entry);
            }
            let index = self.members.len();
            self.by_name.insert(Rc::clone(&member.name), index);
            self.by_group
                .entry(Rc::clone(&member.group))
                .or_default()
                .push(index);
            self.members.push(member);
        }
        for (entry, _) in new {
            self.add(entry.name, *entry);
        }
    }

    fn check_size(&self, decoder: &mut Decoder, item: Item<'_>) -> Option<()> {
        let (code, message, help) = if self.members.is_empty() {
            let help = "add one, such as `nodes: {node-1: {}}`: the preset says the rest about it";
            (
                Code::MissingKey,
                "a scenario needs at least one node".to_owned(),
                help,
            )
        } else if self.members.len() as u64 > MOST_NODES {
            let message = format!("{} nodes are more than {MOST_NODES}", self.members.len());
            (Code::BadNumber, message, "lower `count`")
        } else {
            return Some(());
        };
        decoder.note(Diagnostic::at(code, item.key_span(), message, help));
        None
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.members.iter().map(|member| &*member.name)
    }

    /// A reference to one node.
    pub(crate) fn member(&self, decoder: &mut Decoder, item: Item<'_>) -> Option<usize> {
        let name = decoder.text(item)?;
        if let Some(index) = self.by_name.get(name) {
            return Some(*index);
        }
        self.note_unknown(decoder, name, item.span());
        None
    }

    /// The member of this name, or all of the group of this name.
    pub(crate) fn called(&self, name: &str) -> Option<Vec<usize>> {
        let member = self.by_name.get(name).map(|index| vec![*index]);
        member.or_else(|| self.by_group.get(name).cloned())
    }

    /// Takes note of the names of several API servers.
    pub(crate) fn with_api_servers(mut self, names: &[String]) -> Self {
        let party = |name: &String| format!("apiserver-{name}");
        self.api_servers = names.iter().map(party).collect();
        self
    }

    /// The API server of this name.
    pub(crate) fn api_server(&self, name: &str) -> Option<usize> {
        self.api_servers.iter().position(|known| known == name)
    }

    /// Names of the API servers where there are several.
    pub(crate) fn api_servers(&self) -> impl Iterator<Item = &str> + Clone {
        self.api_servers.iter().map(String::as_str)
    }

    /// The nodes that a key of `changes` means: one member, or a whole group.
    pub(crate) fn meant_by(&self, decoder: &mut Decoder, item: Item<'_>) -> Vec<usize> {
        if let Some(nodes) = self.called(item.name) {
            return nodes;
        }
        self.note_unknown(decoder, item.name, item.key_span());
        Vec::new()
    }

    /// Lays `node` over what is said of a member.
    pub(crate) fn refine(&mut self, index: usize, node: &Rc<Node>) {
        let member = &mut self.members[index];
        member.own = overlay(&member.own, node);
    }

    fn note_unknown(&self, decoder: &mut Decoder, name: &str, place: Span) {
        if self.members.is_empty() {
            // Then what is wrong with the nodes has been noted already.
            return;
        }
        let message = format!("no node is called `{name}`");
        let groups = self.by_group.keys().map(|group| &**group);
        let diagnostic = match nearest(name, self.names().chain(groups)) {
            Some(right) => Diagnostic::at(
                Code::UnknownName,
                place,
                message,
                format!("did you mean `{right}`?"),
            )
            .replacement(right),
            None => {
                let shown = self.names().take(5);
                let more = if self.members.len() > 5 { ", …" } else { "" };
                let help = format!("the nodes are {}{more}", choice(shown));
                Diagnostic::at(Code::UnknownName, place, message, help)
            }
        };
        decoder.note(diagnostic);
    }
}

/// The name of an API server becomes a part of a party's name.
pub(crate) fn valid_party_name(decoder: &mut Decoder, entry: Item<'_>) -> bool {
    decoder.object_name(entry.name, entry.key_span()) && is_mapping_or_null(decoder, entry)
}

fn valid_name(decoder: &mut Decoder, entry: Item<'_>) -> bool {
    let is_api_server = entry.name.starts_with("apiserver-");
    if is_api_server || RESERVED.contains(&entry.name) {
        decoder.note(Diagnostic::at(
            Code::BadValue,
            entry.key_span(),
            format!("a node cannot be called `{}`", entry.name),
            "that word means something else in rules and reports: choose another name",
        ));
        return false;
    }
    decoder.object_name(entry.name, entry.key_span()) && is_mapping_or_null(decoder, entry)
}

fn is_mapping_or_null(decoder: &mut Decoder, entry: Item<'_>) -> bool {
    match entry.node.value {
        Value::Map(_) | Value::Null => true,
        _ => decoder.wrong_type::<()>(entry, MAPPING).is_some(),
    }
}
