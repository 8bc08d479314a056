//! The texts that a scenario is made of, and places in them.

use std::sync::Arc;

/// Which text, twice its number and one more if it is a preset's. The scenario
/// file itself is always [`SourceId::FILE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceId(u32);

impl SourceId {
    /// The scenario file.
    pub(crate) const FILE: Self = Self(0);
}

/// Whose text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Author {
    /// The user's: the scenario or its manifest.
    User,
    /// Ours: a preset.
    Preset,
}

/// A range of bytes in one of the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) source: SourceId,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    /// The empty place at the beginning of `source`.
    pub(crate) fn beginning(source: SourceId) -> Self {
        Self {
            source,
            start: 0,
            end: 0,
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether the place lies in the scenario file, where its author can
    /// change something, rather than in a preset.
    pub(crate) fn is_in_file(self) -> bool {
        self.source == SourceId::FILE
    }

    /// Whether it is we who wrote it.
    pub(crate) fn is_in_preset(self) -> bool {
        self.source.0 % 2 == 1
    }
}

/// The texts, each with the name that messages use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources(Vec<Source>);

#[derive(Debug, Clone)]
struct Source {
    name: String,
    text: Arc<str>,
    author: Author,
}

impl Sources {
    /// Adds a text of ours; the first one is the scenario file.
    pub(crate) fn add(&mut self, name: &str, text: &str) -> SourceId {
        let author = match self.0.is_empty() {
            true => Author::User,
            false => Author::Preset,
        };
        self.add_by(author, name, text)
    }

    /// Adds another file of the user's.
    pub(crate) fn add_file(&mut self, name: &str, text: &str) -> SourceId {
        self.add_by(Author::User, name, text)
    }

    fn add_by(&mut self, author: Author, name: &str, text: &str) -> SourceId {
        let id =
            u32::try_from(self.0.len()).expect("a scenario, its manifest and its presets are few");
        self.0.push(Source {
            name: name.to_owned(),
            text: text.into(),
            author,
        });
        SourceId(2 * id + u32::from(author == Author::Preset))
    }

    pub(crate) fn name(&self, id: SourceId) -> &str {
        self.get(id).map_or("", |source| &source.name)
    }

    pub(crate) fn text(&self, id: SourceId) -> &str {
        self.get(id).map_or("", |source| &source.text)
    }

    /// Line and column of the span's beginning, from 1; columns count
    /// characters.
    pub(crate) fn position(&self, span: Span) -> (u32, u32) {
        let before = self.text(span.source).get(..span.start).unwrap_or("");
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let small = |value: usize| u32::try_from(value).expect("texts are below 1 MiB");
        (small(line), small(column))
    }

    /// Where a setting comes from: the preset's name, or `file:line`.
    pub(crate) fn origin(&self, span: Span) -> String {
        let name = self.name(span.source);
        match self.get(span.source).map(|source| source.author) {
            Some(Author::User) => format!("{name}:{}", self.position(span).0),
            _ => name.to_owned(),
        }
    }

    fn get(&self, id: SourceId) -> Option<&Source> {
        self.0.get(id.0 as usize / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let mut sources = Sources::default();
        let file = sources.add("a.yaml", "é: 1\nab: 2\n");
        let at = |start| {
            sources.position(Span {
                source: file,
                start,
                end: start,
            })
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(4), (1, 4), "é is one character of two bytes");
        assert_eq!(at(6), (2, 1));
        assert_eq!(at(10), (2, 5));
    }

    #[test]
    fn an_origin_is_a_line_of_the_file_or_the_name_of_the_preset() {
        let mut sources = Sources::default();
        sources.add("a.yaml", "a: 1\nb: 2\n");
        let preset = sources.add("k3s-1.36", "a: 1\n");
        let span = |source, start| Span {
            source,
            start,
            end: start,
        };
        assert_eq!(sources.origin(span(SourceId::FILE, 5)), "a.yaml:2");
        assert_eq!(sources.origin(span(preset, 0)), "k3s-1.36");
    }
}
