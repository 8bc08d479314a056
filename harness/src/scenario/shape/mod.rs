//! What every mapping of the language looks like: the one description that
//! the decoder obeys, and from which the JSON Schema and the reference page
//! are made.
//!
//! A mapping is a [`Shape`], written beside the function that decodes it; a
//! key is one line in it. To add a key, add that line and ask for the key in
//! the function. The decoder takes no key that the shape lacks, and notices
//! in every test a key of the shape that nobody asked for, a kind that is read
//! as another one, and a key taken for optional that is not.

pub mod examples;
pub mod reference;
pub mod schema;

/// A mapping of the language.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Unique; the name of its definition in the JSON Schema.
    pub(crate) name: &'static str,
    /// One or more sentences.
    pub(crate) doc: &'static str,
    pub(crate) keys: &'static [Key],
    pub(crate) choice: Choice,
    /// A second choice, between other keys.
    pub(crate) also: Choice,
    /// An entry that an example of this mapping needs besides the required
    /// keys, as YAML; usually none.
    pub(crate) needs: &'static str,
}

/// Which of a mapping's optional keys belong together.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Choice {
    /// Each stands for itself.
    Free,
    /// Exactly one of these.
    One(&'static [&'static str]),
    /// At least one of these.
    Some(&'static [&'static str]),
}

/// A key of a mapping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// A value as it would be written, in YAML's flow style.
    pub(crate) example: &'static str,
    /// Sentences: what it means, its unit, what holds where it is missing.
    pub(crate) doc: &'static str,
    pub(crate) presence: Presence,
    /// If it holds for the whole run: what to use instead of a change.
    pub(crate) fixed: Option<&'static str>,
    /// An entry that the example needs beside it, as YAML; usually none.
    pub(crate) beside: &'static str,
    /// What the rest of a scenario must say for the example to make sense, as
    /// YAML.
    pub(crate) context: &'static str,
}

/// Who must give a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The scenario.
    Required,
    /// Every preset does; a scenario may refine it and cannot remove it.
    Given,
    /// Nobody; `null` removes what a preset says.
    Optional,
}

/// A word of a fixed choice, and what it means.
pub(crate) type Word = (&'static str, &'static str);

/// What a value looks like.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// A text of a certain form: what it is called, and a regular expression
    /// that it matches whole.
    Form(&'static str, &'static str),
    Word(&'static [Word]),
    Boolean,
    /// A whole number, both ends included.
    Integer(u64, u64),
    /// A duration with a unit.
    Duration,
    /// A duration that may be negative.
    SignedDuration,
    /// CPU in Kubernetes' notation.
    Cpu,
    /// Memory in Kubernetes' notation.
    Memory,
    /// A share in per cent.
    Share,
    /// Parts per million or billion.
    Drift,
    /// A date and time.
    Instant,
    /// A seed, a range of seeds, or a list of both.
    Seeds,
    /// An IP address.
    Ip,
    /// A name as Kubernetes allows for objects.
    ObjectName,
    /// The name of a preset.
    Preset,
    /// A status code, or the word for a request without one.
    Outcome,
    List(&'static Kind),
    Mapping(&'static Shape),
    /// A mapping with freely chosen keys: what a key is, and the values.
    Named(&'static str, &'static Kind),
    /// A mapping with the keys of the first shape and, each optional and at
    /// any depth, those of the second that can change during a run.
    Change(&'static Shape, &'static Shape),
    OneOf(&'static [Kind]),
}

impl Shape {
    pub(crate) const fn new(name: &'static str, doc: &'static str, keys: &'static [Key]) -> Self {
        Self {
            name,
            doc,
            keys,
            choice: Choice::Free,
            also: Choice::Free,
            needs: "",
        }
    }

    /// An example of this mapping needs `entry` as well.
    pub(crate) const fn needs(mut self, entry: &'static str) -> Self {
        self.needs = entry;
        self
    }

    pub(crate) const fn choice(mut self, choice: Choice) -> Self {
        self.choice = choice;
        self
    }

    pub(crate) const fn also(mut self, choice: Choice) -> Self {
        self.also = choice;
        self
    }

    pub(crate) fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.keys.iter().map(|key| key.name)
    }
}

impl Key {
    const fn new(
        presence: Presence,
        name: &'static str,
        kind: Kind,
        example: &'static str,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            example,
            doc,
            presence,
            fixed: None,
            beside: "",
            context: "",
        }
    }

    /// A key that the scenario must have.
    pub(crate) const fn required(
        name: &'static str,
        kind: Kind,
        example: &'static str,
        doc: &'static str,
    ) -> Self {
        Self::new(Presence::Required, name, kind, example, doc)
    }

    /// A key that every preset has.
    pub(crate) const fn given(
        name: &'static str,
        kind: Kind,
        example: &'static str,
        doc: &'static str,
    ) -> Self {
        Self::new(Presence::Given, name, kind, example, doc)
    }

    /// A key that may be missing.
    pub(crate) const fn optional(
        name: &'static str,
        kind: Kind,
        example: &'static str,
        doc: &'static str,
    ) -> Self {
        Self::new(Presence::Optional, name, kind, example, doc)
    }

    /// It cannot change while the scenario runs; `instead` says what to do.
    pub(crate) const fn fixed(mut self, instead: &'static str) -> Self {
        self.fixed = Some(instead);
        self
    }

    /// The example needs `entry` beside it.
    pub(crate) const fn beside(mut self, entry: &'static str) -> Self {
        self.beside = entry;
        self
    }

    /// The example needs `context`.
    pub(crate) const fn within(mut self, context: &'static str) -> Self {
        self.context = context;
        self
    }
}

impl Kind {
    /// The kinds that a value may be of.
    pub(crate) fn alternatives(&'static self) -> Vec<&'static Kind> {
        match self {
            Self::OneOf(kinds) => kinds.iter().flat_map(Kind::alternatives).collect(),
            kind => vec![kind],
        }
    }

    /// Whether one of the alternatives is such a kind.
    pub(crate) fn is(&'static self, such: impl Fn(&Kind) -> bool) -> bool {
        self.alternatives().into_iter().any(such)
    }

    /// Whether it is a mapping of this shape.
    pub(crate) fn has_shape(&'static self, shape: &'static Shape) -> bool {
        self.is(|kind| match kind {
            Self::Mapping(own) | Self::Change(own, _) => std::ptr::eq(*own, shape),
            _ => false,
        })
    }

    /// What the elements of a list are.
    pub(crate) fn element(&'static self) -> Option<&'static Kind> {
        let kinds = self.alternatives().into_iter();
        kinds.into_iter().find_map(|kind| match kind {
            Self::List(element) => Some(*element),
            Self::Seeds => Some(kind),
            _ => None,
        })
    }

    /// What stands under freely chosen keys.
    pub(crate) fn named(&'static self) -> Option<&'static Kind> {
        let kinds = self.alternatives().into_iter();
        kinds.into_iter().find_map(|kind| match kind {
            Self::Named(_, value) => Some(*value),
            _ => None,
        })
    }
}

/// One key for each of `words`, all of one kind: for mappings whose keys are
/// a vocabulary.
pub(crate) const fn keys_of<const N: usize>(
    words: &[Word; N],
    kind: Kind,
    example: &'static str,
) -> [Key; N] {
    let mut keys = [Key::optional("", kind, example, ""); N];
    let mut index = 0;
    while index < N {
        keys[index].name = words[index].0;
        keys[index].doc = words[index].1;
        index += 1;
    }
    keys
}
