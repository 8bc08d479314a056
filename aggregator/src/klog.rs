//! Log lines as klog writes them.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use jiff::tz::Offset;
use seam::Timestamp;

use crate::environment::Observer;

/// klog's severities, by their letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// `I`
    Info,
    /// `W`
    Warning,
    /// `E`
    Error,
    /// `F`: the process exits with code 255 after it.
    Fatal,
}

impl Severity {
    /// The letter that begins the line.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Info => 'I',
            Self::Warning => 'W',
            Self::Error => 'E',
            Self::Fatal => 'F',
        }
    }
}

/// One log line without the time, which the reader's clock supplies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How bad it is.
    pub severity: Severity,
    /// The Go source position that prints it, such as `scraper.go:149`.
    pub file: &'static str,
    /// Everything after `] `.
    pub message: String,
    /// The user agent of the request that it is about, where it is about one;
    /// the line itself does not tell.
    pub asked_by: Option<String>,
}

impl Line {
    /// A line of severity `I`.
    pub fn info(file: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Info, file, message)
    }

    /// A line of severity `W`.
    pub fn warning(file: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, file, message)
    }

    /// A line of severity `E`.
    pub fn error(file: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, file, message)
    }

    fn new(severity: Severity, file: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity,
            file,
            message: message.into(),
            asked_by: None,
        }
    }

    /// The line as klog's text format has it, in UTC:
    /// `E1123 09:22:05.004053       1 scraper.go:149] …`.
    ///
    /// Source: lib: klog `klog.go: formatHeader`, which pads the process
    /// number, 1 in a container, to seven columns.
    #[must_use]
    pub fn at(&self, time: Timestamp) -> String {
        let instant = jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos()))
            .expect("an i64 of nanoseconds is within jiff's years -9999 to 9999");
        let clock = Offset::UTC.to_datetime(instant);
        format!(
            "{}{:02}{:02} {:02}:{:02}:{:02}.{:06} {:7} {}] {}",
            self.severity.letter(),
            clock.month(),
            clock.day(),
            clock.hour(),
            clock.minute(),
            clock.second(),
            clock.subsec_nanosecond() / 1000,
            1,
            self.file,
            self.message
        )
    }
}

/// Where a process logs to: its observer, at its verbosity.
#[derive(Clone)]
pub struct Log {
    observer: Rc<dyn Observer>,
    verbosity: i64,
    asked_by: Rc<RefCell<Option<String>>>,
}

impl Log {
    /// A log that keeps lines of `V(verbosity)` and below.
    pub fn new(observer: Rc<dyn Observer>, verbosity: i64) -> Self {
        Self {
            observer,
            verbosity,
            asked_by: Rc::default(),
        }
    }

    /// Does something that a request of this user agent asks for.
    pub fn asked_by<T>(&self, user_agent: &str, work: impl FnOnce() -> T) -> T {
        self.asked_by.replace(Some(user_agent.to_owned()));
        let done = work();
        self.asked_by.take();
        done
    }

    fn log(&self, line: Line) {
        let asked_by = self.asked_by.borrow().clone();
        self.observer.log(&Line { asked_by, ..line });
    }

    /// Logs a line of severity `I` at `V(0)`.
    pub fn info(&self, file: &'static str, message: impl Into<String>) {
        self.log(Line::info(file, message));
    }

    /// Logs a line of severity `I` at `V(level)`; the message is made only if
    /// it is wanted.
    pub fn verbose(&self, level: i64, file: &'static str, message: impl FnOnce() -> String) {
        if self.verbosity >= level {
            self.info(file, message());
        }
    }

    /// Logs a line of severity `W`.
    pub fn warning(&self, file: &'static str, message: impl Into<String>) {
        self.log(Line::warning(file, message));
    }

    /// Logs a line of severity `E`.
    pub fn error(&self, file: &'static str, message: impl Into<String>) {
        self.log(Line::error(file, message));
    }
}

/// A string as Go's `%q` writes it, which klog uses for every string value.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\u{7}' => f.write_str("\\a")?,
                '\u{8}' => f.write_str("\\b")?,
                '\u{b}' => f.write_str("\\v")?,
                '\u{c}' => f.write_str("\\f")?,
                c if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_klogs_header() {
        let line = Line::error("scraper.go:149", "\"Failed to scrape node\"");
        let time = Timestamp::from_nanos(1_763_889_725_004_053_999);
        assert_eq!(
            line.at(time),
            "E1123 09:22:05.004053       1 scraper.go:149] \"Failed to scrape node\""
        );
    }

    #[test]
    fn strings_are_quoted_as_go_quotes_them() {
        assert_eq!(
            Quoted("a \"b\"\\\n\u{1}").to_string(),
            r#""a \"b\"\\\n\x01""#
        );
    }
}
