//! The kinds of mistakes, each with a stable code.

/// A kind of mistake in a scenario file.
///
/// Codes beginning with `S00` are about the file and its YAML, `S01` about
/// its shape, `S02` about its meaning. A code keeps its meaning for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// S0001: the file could not be read.
    Unreadable,
    /// S0002: the file is larger than a scenario may be.
    TooLarge,
    /// S0003: the file is not UTF-8 text.
    NotUtf8,
    /// S0004: the text is not YAML.
    NotYaml,
    /// S0005: the YAML is nested or repeated beyond the limits.
    TooComplex,
    /// S0006: the file contains no scenario.
    Empty,
    /// S0007: a key stands twice in one mapping.
    DuplicateKey,
    /// S0101: a key that the language does not have.
    UnknownKey,
    /// S0102: a key that must be given is missing.
    MissingKey,
    /// S0103: a value of another kind than the key takes.
    WrongType,
    /// S0104: a word outside the fixed choice of a key.
    UnknownWord,
    /// S0105: a duration that is malformed or has no unit.
    BadDuration,
    /// S0106: a number that is malformed or out of range.
    BadNumber,
    /// S0107: a text that does not have the form its key needs.
    BadValue,
    /// S0201: a name that nothing in the scenario has.
    UnknownName,
    /// S0202: something is due after the scenario has ended.
    AfterEnd,
    /// S0203: a setting that cannot change while the scenario runs.
    CannotChange,
    /// S0204: two things share what must be unique.
    Duplicate,
    /// S0205: two settings exclude each other.
    Contradiction,
    /// S0206: an entry without any effect.
    SaysNothing,
    /// S0207: a manifest that does not say what metrics-server is.
    BadManifest,
}

impl Code {
    /// Every code, in order.
    pub const ALL: [Self; 21] = [
        Self::Unreadable,
        Self::TooLarge,
        Self::NotUtf8,
        Self::NotYaml,
        Self::TooComplex,
        Self::Empty,
        Self::DuplicateKey,
        Self::UnknownKey,
        Self::MissingKey,
        Self::WrongType,
        Self::UnknownWord,
        Self::BadDuration,
        Self::BadNumber,
        Self::BadValue,
        Self::UnknownName,
        Self::AfterEnd,
        Self::CannotChange,
        Self::Duplicate,
        Self::Contradiction,
        Self::SaysNothing,
        Self::BadManifest,
    ];

    /// `S0101`
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// One sentence on what the code means.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.row().1
    }

    fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::Unreadable => ("S0001", "the file could not be read"),
            Self::TooLarge => ("S0002", "the file is larger than a scenario may be"),
            Self::NotUtf8 => ("S0003", "the file is not UTF-8 text"),
            Self::NotYaml => ("S0004", "the text is not YAML"),
            Self::TooComplex => ("S0005", "the YAML is nested or repeated beyond the limits"),
            Self::Empty => ("S0006", "the file contains no scenario"),
            Self::DuplicateKey => ("S0007", "a key stands twice in one mapping"),
            Self::UnknownKey => ("S0101", "a key that the language does not have"),
            Self::MissingKey => ("S0102", "a key that must be given is missing"),
            Self::WrongType => ("S0103", "a value of another kind than the key takes"),
            Self::UnknownWord => ("S0104", "a word outside the fixed choice of a key"),
            Self::BadDuration => ("S0105", "a duration that is malformed or has no unit"),
            Self::BadNumber => ("S0106", "a number that is malformed or out of range"),
            Self::BadValue => ("S0107", "a text that does not have the form its key needs"),
            Self::UnknownName => ("S0201", "a name that nothing in the scenario has"),
            Self::AfterEnd => ("S0202", "something is due after the scenario has ended"),
            Self::CannotChange => (
                "S0203",
                "a setting that cannot change while the scenario runs",
            ),
            Self::Duplicate => ("S0204", "two things share what must be unique"),
            Self::Contradiction => ("S0205", "two settings exclude each other"),
            Self::SaysNothing => ("S0206", "an entry without any effect"),
            Self::BadManifest => (
                "S0207",
                "a manifest that does not say what metrics-server is",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(
            Code::ALL
                .windows(2)
                .all(|pair| pair[0].as_str() < pair[1].as_str())
        );
        assert!(Code::ALL.iter().all(|code| !code.meaning().is_empty()));
    }
}
