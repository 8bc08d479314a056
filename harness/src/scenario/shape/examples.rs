//! A complete scenario for every key of the language, made from the key's
//! example: that is how the examples are tested.

use std::rc::Rc;

use super::super::document::SCENARIO_SHAPE;
use super::super::source::Sources;
use super::super::tree::{Entry, Node, Value, overlay};
use super::super::yaml;
use super::{Choice, Key, Kind, Presence, Shape};

/// An example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Where the key stands: `metricsServer.readinessProbe.phase`.
    pub path: String,
    /// A scenario in which it stands.
    pub scenario: String,
}

/// An example for every key, and another one for every key that can stand in
/// `changes`.
#[must_use]
pub fn examples() -> Vec<Example> {
    places()
        .iter()
        .flat_map(|place| {
            let mut examples = vec![place.example()];
            examples.extend(place.in_changes());
            examples
        })
        .collect()
}

/// Where a key stands: the way to it from the document.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) steps: Vec<Step>,
}

/// A step on the way.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Into the value of a key of a mapping.
    Key(&'static Shape, &'static Key),
    /// Into a list's element.
    Element,
    /// Into what stands under a freely chosen key.
    Named(String),
}

/// Every key of every mapping, each mapping at the first place where it
/// stands.
pub(super) fn places() -> Vec<Place> {
    let mut walk = Walk::default();
    walk.shape(&SCENARIO_SHAPE, &mut Vec::new());
    walk.places
}

#[derive(Default)]
struct Walk {
    seen: Vec<&'static str>,
    places: Vec<Place>,
}

impl Walk {
    fn shape(&mut self, shape: &'static Shape, steps: &mut Vec<Step>) {
        if self.seen.contains(&shape.name) {
            return;
        }
        self.seen.push(shape.name);
        for key in shape.keys {
            steps.push(Step::Key(shape, key));
            self.places.push(Place {
                steps: steps.clone(),
            });
            self.kind(&key.kind, key, steps);
            steps.pop();
        }
    }

    fn kind(&mut self, kind: &'static Kind, key: &'static Key, steps: &mut Vec<Step>) {
        match kind {
            Kind::Mapping(shape) | Kind::Change(shape, _) => self.shape(shape, steps),
            Kind::OneOf(kinds) => kinds.iter().for_each(|kind| self.kind(kind, key, steps)),
            Kind::List(element) => {
                steps.push(Step::Element);
                self.kind(element, key, steps);
                steps.pop();
            }
            Kind::Named(_, value) => {
                let example = read(key.example);
                let name = example.entries().first().map(|entry| entry.key.to_string());
                steps.push(Step::Named(name.unwrap_or_default()));
                self.kind(value, key, steps);
                steps.pop();
            }
            _ => {}
        }
    }
}

impl Place {
    pub(super) fn key(&self) -> &'static Key {
        let last = self.steps.iter().rev().find_map(|step| match step {
            Step::Key(_, key) => Some(*key),
            _ => None,
        });
        last.expect("every place ends at a key")
    }

    /// `nodes.*.clock.steps[].at`
    pub(super) fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.steps {
            match step {
                Step::Key(_, key) if path.is_empty() => path.push_str(key.name),
                Step::Key(_, key) => path.push_str(&format!(".{}", key.name)),
                Step::Element => path.push_str("[]"),
                Step::Named(_) => path.push_str(".*"),
            }
        }
        path
    }

    fn example(&self) -> Example {
        Example {
            path: self.path(),
            scenario: scenario(self.key().context, &value(&self.steps, true)),
        }
    }

    /// The same within `changes`, where it can stand there: no step on the
    /// way is fixed, and none leads into a list. Mappings are left out: their
    /// keys have examples of their own.
    fn in_changes(&self) -> Option<Example> {
        let is_mapping = self
            .key()
            .kind
            .is(|kind| matches!(kind, Kind::Mapping(_) | Kind::Named(..)));
        let changeable = !is_mapping
            && self.steps.iter().all(|step| match step {
                Step::Key(_, key) => key.fixed.is_none(),
                Step::Element => false,
                Step::Named(_) => true,
            });
        let change = format!(
            "{{at: 10s, {}",
            value(&self.steps, false).strip_prefix('{')?
        );
        changeable.then(|| Example {
            path: format!("changes[].{}", self.path()),
            // What is refined must be there.
            scenario: scenario(
                &format!("{}\n{}", self.key().context, value(&self.steps[..1], true)),
                &format!("{{changes: [{change}]}}"),
            ),
        })
    }
}

/// The value that these steps lead into, with the last key's example at the
/// end. `whole` mappings have what they need besides.
fn value(steps: &[Step], whole: bool) -> String {
    let Some((step, rest)) = steps.split_first() else {
        return String::new();
    };
    match step {
        Step::Element => format!("[{}]", value(rest, whole)),
        Step::Named(name) => format!("{{{name}: {}}}", value(rest, whole)),
        Step::Key(shape, key) => {
            let inner = match rest {
                [] => key.example.to_owned(),
                rest => value(rest, whole),
            };
            let mut entries = if whole {
                siblings(shape, key)
            } else {
                Vec::new()
            };
            entries.push(format!("{}: {inner}", key.name));
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// What else a mapping needs.
fn siblings(shape: &'static Shape, key: &Key) -> Vec<String> {
    let beside = key.beside.split(':').next().unwrap_or_default();
    let given = |name: &&str| *name == key.name || *name == beside;
    let chosen = [shape.choice, shape.also].map(|choice| match choice {
        Choice::One(keys) | Choice::Some(keys) if !keys.iter().any(given) => keys.last(),
        _ => None,
    });
    let needed = |other: &&Key| {
        let required = other.presence == Presence::Required;
        !given(&other.name) && (required || chosen.contains(&Some(&other.name)))
    };
    let others = shape.keys.iter().filter(needed);
    others
        .map(|other| format!("{}: {}", other.name, other.example))
        .chain((!shape.needs.is_empty()).then(|| shape.needs.to_owned()))
        .chain((!key.beside.is_empty()).then(|| key.beside.to_owned()))
        .collect()
}

/// The least scenario with `context` and `example` laid over it.
fn scenario(context: &str, example: &str) -> String {
    let required = SCENARIO_SHAPE.keys.iter();
    let required = required.filter(|key| key.presence == Presence::Required);
    let least: Vec<String> = required
        .map(|key| format!("{}: {}", key.name, key.example))
        .collect();
    let mut tree = overlay(&read(&least.join("\n")), &read("until: 60s"));
    for layer in context.lines().chain([example]) {
        if !layer.trim().is_empty() {
            tree = overlay(&tree, &read(layer));
        }
    }
    block(&tree)
}

/// The document with one line for each of its keys.
fn block(tree: &Node) -> String {
    let lines = tree.entries().iter();
    lines
        .map(|entry: &Entry| format!("{}: {}\n", entry.key, entry.value.to_flow()))
        .collect()
}

pub(super) fn read(text: &str) -> Rc<Node> {
    let mut sources = Sources::default();
    let id = sources.add("example", text);
    match yaml::read(&sources, id) {
        Ok(tree) => tree,
        // Only a mistake in an example gets here, and the test that runs them
        // all shows it.
        Err(_) => Rc::new(Node {
            span: super::super::source::Span::beginning(id),
            value: Value::Null,
        }),
    }
}
