//! What is wrong with a scenario file, where, and what would be right.

use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};

pub use super::code::Code;
use super::source::{Sources, Span};

/// How many mistakes are rendered; the rest is counted.
const SHOWN: usize = 50;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    code: Code,
    message: String,
    place: Option<Span>,
    label: String,
    help: String,
    replacement: Option<String>,
    related: Option<(Span, String)>,
}

impl Diagnostic {
    /// A mistake at a place, with what to do about it.
    pub(crate) fn at(
        code: Code,
        place: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            place: Some(place),
            ..Self::without_place(code, message, help)
        }
    }

    /// A mistake that concerns the file as a whole.
    pub(crate) fn without_place(
        code: Code,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            code,
            message: message.into(),
            place: None,
            label: String::new(),
            help: help.into(),
            replacement: None,
            related: None,
        }
    }

    /// A few words under the underlined text.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The text that would be right in place of the underlined one.
    pub(crate) fn replacement(mut self, text: impl Into<String>) -> Self {
        self.replacement = Some(text.into());
        self
    }

    /// Another place that the mistake has to do with.
    pub(crate) fn related(mut self, place: Span, label: impl Into<String>) -> Self {
        self.related = Some((place, label.into()));
        self
    }

    /// The kind of mistake.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// What is wrong, in one sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What would be right, in one sentence. Never empty.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }
}

/// Where a mistake is, for tools. Lines and columns count from 1, columns in
/// characters; the end is the place after the last character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The file's name, or the preset's.
    pub file: &'a str,
    /// Line of the first character.
    pub line: u32,
    /// Its column.
    pub column: u32,
    /// Line of the end.
    pub end_line: u32,
    /// Column of the end.
    pub end_column: u32,
}

/// Everything that is wrong with a scenario file, in the order of the file.
/// Never empty.
#[derive(Debug, Clone)]
pub struct Diagnostics {
    sources: Sources,
    list: Vec<Diagnostic>,
}

impl std::error::Error for Diagnostics {}

impl Diagnostics {
    /// Sorts the mistakes by position and drops repetitions.
    pub(crate) fn new(sources: Sources, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by(|a, b| {
            (a.place, a.code)
                .cmp(&(b.place, b.code))
                .then_with(|| a.message.cmp(&b.message))
        });
        list.dedup();
        Self { sources, list }
    }

    /// The mistakes.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Line and column of a mistake, from 1; columns count characters. `None`
    /// if it concerns the whole file.
    #[must_use]
    pub fn position(&self, diagnostic: &Diagnostic) -> Option<(u32, u32)> {
        diagnostic.place.map(|place| self.sources.position(place))
    }

    /// Where a mistake is. `None` if it concerns the whole file.
    #[must_use]
    pub fn place(&self, diagnostic: &Diagnostic) -> Option<Place<'_>> {
        let span = diagnostic.place?;
        let (line, column) = self.sources.position(span);
        let (end_line, end_column) = self.sources.position(Span {
            start: span.end,
            ..span
        });
        Some(Place {
            file: self.sources.name(span.source),
            line,
            column,
            end_line,
            end_column,
        })
    }

    /// The mistakes in rustc's look: the line, the token underlined, and what
    /// would be right.
    #[must_use]
    pub fn render(&self) -> String {
        self.render_by(&Renderer::plain())
    }

    /// As [`Diagnostics::render`], with the escape sequences of a terminal.
    #[must_use]
    pub fn render_coloured(&self) -> String {
        self.render_by(&Renderer::styled())
    }

    fn render_by(&self, renderer: &Renderer) -> String {
        let mut text = String::new();
        for diagnostic in self.list.iter().take(SHOWN) {
            text.push_str(&renderer.render(&self.groups(diagnostic)));
            text.push_str("\n\n");
        }
        if self.list.len() > SHOWN {
            text.push_str(&format!("… and {} more\n\n", self.list.len() - SHOWN));
        }
        text
    }

    /// One line per mistake: `file:line:column: error[S0101]: message; help`.
    #[must_use]
    pub fn render_short(&self) -> String {
        let mut text = String::new();
        for diagnostic in &self.list {
            let place = match diagnostic.place {
                Some(place) => {
                    let (line, column) = self.sources.position(place);
                    format!("{}:{line}:{column}: ", self.sources.name(place.source))
                }
                None => String::new(),
            };
            let Diagnostic {
                code,
                message,
                help,
                ..
            } = diagnostic;
            text.push_str(&format!(
                "{place}error[{}]: {message}; {help}\n",
                code.as_str()
            ));
        }
        text
    }

    fn groups<'a>(&'a self, diagnostic: &'a Diagnostic) -> Vec<Group<'a>> {
        let title = Level::ERROR
            .primary_title(diagnostic.message.as_str())
            .id(diagnostic.code.as_str());
        let mut error = Group::with_title(title);
        let Some(place) = diagnostic.place else {
            return vec![error.element(Level::HELP.message(diagnostic.help.as_str()))];
        };
        let label = Some(diagnostic.label.as_str()).filter(|label| !label.is_empty());
        let mut primary = self.snippet(place).annotation(
            AnnotationKind::Primary
                .span(place.start..place.end)
                .label(label),
        );
        let mut elsewhere = None;
        if let Some((span, label)) = &diagnostic.related {
            let annotation = AnnotationKind::Context
                .span(span.start..span.end)
                .label(Some(label.as_str()));
            if span.source == place.source {
                primary = primary.annotation(annotation);
            } else {
                elsewhere = Some(self.snippet(*span).annotation(annotation));
            }
        }
        error = error.element(primary);
        if let Some(snippet) = elsewhere {
            error = error.element(snippet);
        }
        let Some(replacement) = &diagnostic.replacement else {
            return vec![error.element(Level::HELP.message(diagnostic.help.as_str()))];
        };
        let fix = Snippet::source(self.sources.text(place.source))
            .path(self.sources.name(place.source))
            .patch(Patch::new(place.start..place.end, replacement.as_str()));
        let help = Level::HELP
            .secondary_title(diagnostic.help.as_str())
            .element(fix);
        vec![error, help]
    }

    fn snippet<'a>(&'a self, place: Span) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        Snippet::source(self.sources.text(place.source)).path(self.sources.name(place.source))
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render())
    }
}
