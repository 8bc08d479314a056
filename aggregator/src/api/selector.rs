//! Label selectors: `app=web,tier in (a,b),!canary`.
//!
//! - [`parser`]: their text, with apimachinery's error texts;
//! - [`validation`]: what may be a label's key or value.
//!
//! Source: apimachinery `pkg/labels/selector.go`.

mod parser;
mod validation;

use super::caches::Labels;

/// A label selector: every requirement must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector(Vec<Requirement>);

/// One condition on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    condition: Condition,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Exists,
    DoesNotExist,
    /// Present, with one of these values.
    In(Vec<String>),
    /// Absent, or with a value other than these.
    NotIn(Vec<String>),
    /// Present, an integer, and greater.
    GreaterThan(i64),
    /// Present, an integer, and less.
    LessThan(i64),
}

/// Why a selector cannot be read, in apimachinery's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);

impl Selector {
    /// The selector that matches every object.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k`; the empty text matches
    /// everything.
    ///
    /// # Errors
    ///
    /// As `labels.Parse`, with its texts.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        parser::parse(text).map(Self).map_err(SelectorError)
    }

    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.matches(labels))
    }
}

impl Requirement {
    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.condition {
            Condition::Exists => value.is_some(),
            Condition::DoesNotExist => value.is_none(),
            Condition::In(values) => value.is_some_and(|value| values.contains(value)),
            Condition::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Condition::GreaterThan(bound) => number().is_some_and(|number| number > *bound),
            Condition::LessThan(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn objects_are_selected_by_all_requirements() {
        let object = labels("x=a,y=b,n=5,empty=");
        for (selector, selected) in [
            ("", true),
            ("x", true),
            ("!x", false),
            ("z", false),
            ("!z", true),
            ("x=a", true),
            ("x==a", true),
            ("x=b", false),
            ("x!=b", true),
            ("z!=b", true),
            ("x in (a,b)", true),
            ("x in (c)", false),
            ("z in (a)", false),
            ("x notin (c,d)", true),
            ("z notin (c)", true),
            ("x notin (a)", false),
            ("n>4", true),
            ("n>5", false),
            ("n<6", true),
            ("x>1", false),
            ("empty=", true),
            ("empty in (,a)", true),
            ("x=a,y=b,!z", true),
            ("x=a , y = c", false),
            ("in=a", false),
        ] {
            let parsed = Selector::parse(selector).expect(selector);
            assert_eq!(parsed.matches(&object), selected, "{selector}");
        }
    }
}
