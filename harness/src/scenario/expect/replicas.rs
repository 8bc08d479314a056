//! `perReplica`: what must hold of single pods of metrics-server.

use reports::expectation::{Claim, Expectation, Mode};

use super::{EXPECT, Found, Reader, says_nothing};
use crate::scenario::decoder::{Decoder, Item};
use crate::scenario::deployment::{note_no_pod, ordinal};
use crate::scenario::shape::{Key, Kind, Shape};

pub(super) static REPLICA: Kind = Kind::Mapping(&EXPECTED);

static EXPECTED: Shape = Shape::new(
    "ReplicaExpect",
    "What must hold of one pod, as if there were no other.",
    &KEYS,
);

/// What is claimed of a pod is claimed as of the whole run.
static KEYS: [Key; NAMES.len()] = {
    let mut keys = [EXPECT.keys[0]; NAMES.len()];
    let mut index = 0;
    while index < NAMES.len() {
        keys[index] = EXPECT.keys[position(NAMES[index])];
        index += 1;
    }
    keys
};

const NAMES: [&str; 11] = [
    "verdict",
    "timeToReady",
    "milestones",
    "responses",
    "outcomes",
    "logs",
    "events",
    "exits",
    "restarts",
    "always",
    "never",
];

/// The place of a key among those of `expect`, which has it.
const fn position(name: &str) -> usize {
    let mut index = 0;
    while !is_same(EXPECT.keys[index].name, name) {
        index += 1;
    }
    index
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

impl Reader<'_> {
    /// `perReplica`
    pub(super) fn replicas(
        &self,
        decoder: &mut Decoder,
        item: Item<'_>,
    ) -> Option<Vec<Expectation>> {
        let pods = decoder.named(item)?;
        let read: Vec<Option<Vec<Expectation>>> = pods
            .into_iter()
            .map(|pod| self.replica(decoder, pod))
            .collect();
        let read: Option<Vec<_>> = read.into_iter().collect();
        Some(read?.concat())
    }

    fn replica(&self, decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Expectation>> {
        let Some(ordinal) = ordinal(item.name) else {
            let name = Item::named(item.name, item.key_span(), item.node);
            note_no_pod(decoder, name, item.name);
            return None;
        };
        let mut object = decoder.object(item, &EXPECTED)?;
        let mut found = Found::default();
        self.times(decoder, &mut object, &["timeToReady"], &mut found);
        self.happenings(decoder, &mut object, &mut found);
        let modes = [("always", Mode::Always), ("never", Mode::Never)];
        self.conditions_over_time(decoder, &mut object, &modes, &mut found);
        object.finish(decoder);
        if found.expectations.is_empty() && !found.mistaken {
            let help = "write what must hold of it, such as `{timeToReady: {max: 60s}}`";
            return says_nothing(decoder, item, help);
        }
        let of_pod = |expectation: Expectation| Expectation {
            claim: Claim::OfReplica {
                ordinal,
                claim: Box::new(expectation.claim),
            },
            ..expectation
        };
        let expectations = found.expectations.into_iter().map(of_pod);
        (!found.mistaken).then(|| expectations.collect())
    }
}
