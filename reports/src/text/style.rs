//! Colour and symbols, and doing without them.

use anstyle::{AnsiColor, Style as Ansi};

use crate::expectation::Outcome;
use crate::verdict::Verdict;

/// How a report is dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether to write ANSI colours.
    pub colour: bool,
    /// Whether to draw with characters beyond ASCII. The texts of others are
    /// shown as they are all the same.
    pub unicode: bool,
}

impl Style {
    /// No colour; symbols and bars in Unicode.
    pub const PLAIN: Self = Self {
        colour: false,
        unicode: true,
    };
    /// No colour, ASCII only.
    pub const ASCII: Self = Self {
        colour: false,
        unicode: false,
    };
    /// Colour and Unicode.
    pub const COLOUR: Self = Self {
        colour: true,
        unicode: true,
    };

    /// `text` in `ink`, if colour is on.
    pub(super) fn paint(self, ink: Ink, text: &str) -> String {
        let ansi = ink.ansi();
        if self.colour && !text.is_empty() && ansi != Ansi::new() {
            format!("{ansi}{text}{ansi:#}")
        } else {
            text.to_owned()
        }
    }

    /// The title of a block.
    pub(super) fn title(self, text: &str) -> String {
        self.paint(Ink::Title, text)
    }

    /// `unicode` or, where that is not wanted, `ascii`.
    pub(super) fn pick<T>(self, unicode: T, ascii: T) -> T {
        if self.unicode { unicode } else { ascii }
    }
}

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Title,
    Good,
    Warning,
    Bad,
    Faint,
}

impl Ink {
    fn ansi(self) -> Ansi {
        match self {
            Self::Plain => Ansi::new(),
            Self::Title => Ansi::new().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Faint => Ansi::new().dimmed(),
        }
    }

    pub(super) fn of_verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Ready => Self::Good,
            Verdict::ReadyLate | Verdict::ReadyDegraded => Self::Warning,
            _ => Self::Bad,
        }
    }

    pub(super) fn of_outcome(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Pass => Self::Good,
            Outcome::Fail => Self::Bad,
            Outcome::Inconclusive => Self::Warning,
        }
    }
}

/// The word for an outcome.
pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "PASS",
        Outcome::Fail => "FAIL",
        Outcome::Inconclusive => "INCONCLUSIVE",
    }
}

/// The symbol beside a verdict.
pub(super) fn symbol(verdict: Verdict, style: Style) -> &'static str {
    match Ink::of_verdict(verdict) {
        Ink::Good => style.pick("✓", "+"),
        Ink::Warning => "!",
        _ => style.pick("✗", "x"),
    }
}
