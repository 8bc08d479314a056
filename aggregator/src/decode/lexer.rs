//! The classic text exposition format, exactly as Prometheus reads it.
//!
//! The grammar is that of a generated lexer with a state per position in a
//! line, quirks included: a newline may stand in a label value, a comma between
//! labels may be missing, NUL ends the text at some places and is skipped at
//! others. The parser appends a newline to what it is given, which here is a
//! virtual one, one past the last byte.
//!
//! Source: prometheus `model/textparse/promlex.l`, `promparse.go: PromParser`.

use memchr::memchr2;

use super::error::DecodeError;
use super::labels::{Labels, Origin};
use super::number::{parse_float, parse_timestamp};
use super::quote::quote;
use super::text::{Text, Token, is_blank, is_name_byte, is_name_start};

/// One line that carries a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample<'a> {
    /// The metric's name, if the line starts with it and labels or nothing
    /// follow directly; else empty.
    pub(super) name: &'a [u8],
    pub(super) labels: Labels<'a>,
    pub(super) value: f64,
    pub(super) timestamp_ms: Option<i64>,
}

pub(super) struct Lexer<'a> {
    text: Text<'a>,
    at: usize,
    /// The last metric name: the next line mostly has the same.
    name: &'a [u8],
}

impl<'a> Lexer<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self {
            text: Text::new(body),
            at: 0,
            name: &[],
        }
    }

    /// The next sample, or `None` at the end of the text or at a NUL in front
    /// of a line. `expected` is a label block that [`Lexer`] returned before:
    /// where it comes again it is not read again.
    pub(super) fn next_sample(
        &mut self,
        expected: Option<&[u8]>,
    ) -> Result<Option<Sample<'a>>, DecodeError> {
        while self.at <= self.text.body.len() {
            let entry = self.at;
            let start = self.text.skip_blanks(entry);
            match self.text.byte(start) {
                b'\n' => self.at = start + 1,
                0 => return Ok(None),
                b'#' => {
                    if !self.comment(entry, start)? {
                        return Ok(None);
                    }
                }
                b'{' => return self.nameless_series(entry, start).map(Some),
                first if is_name_start(first) => {
                    return self.series(entry, start, expected).map(Some);
                }
                _ => {
                    let token = Token::invalid(start, start);
                    return Err(self.text.unexpected(
                        "expected a valid start token",
                        entry,
                        &token,
                    ));
                }
            }
        }
        Ok(None)
    }

    fn series(
        &mut self,
        entry: usize,
        start: usize,
        expected: Option<&[u8]>,
    ) -> Result<Sample<'a>, DecodeError> {
        let name_end = self.metric_name(start);
        let mut at = self.text.skip_blanks(name_end);
        let mut name = &self.text.body[start..name_end];
        self.name = name;
        let mut labels = Labels {
            text: &[],
            origin: Origin::Lexed,
        };
        if self.text.byte(at) == b'{' {
            let (end, origin) = self.text.label_block(entry, at, expected)?;
            labels = Labels {
                text: &self.text.body[at..end],
                origin,
            };
            if at != name_end {
                name = &[];
            }
            at = self.text.skip_blanks(end);
        }
        if start != entry {
            name = &[];
        }
        let (value, timestamp_ms) = self.value_and_timestamp(entry, at)?;
        Ok(Sample {
            name,
            labels,
            value,
            timestamp_ms,
        })
    }

    /// `{"metric name",label="value"} 1`
    fn nameless_series(&mut self, entry: usize, open: usize) -> Result<Sample<'a>, DecodeError> {
        let mut name_set = false;
        let end = self.text.labels(entry, open, &mut name_set)?;
        let at = self.text.skip_blanks(end);
        if !name_set {
            let token_end = match self.text.byte(at) {
                b'{' => at + 1,
                _ => self.text.value_end(at),
            };
            return Err(DecodeError::NameMissing(quote(
                &self.text.piece(entry, token_end),
            )));
        }
        let (value, timestamp_ms) = self.value_and_timestamp(entry, at)?;
        let labels = Labels {
            text: &self.text.body[open..end],
            origin: Origin::Lexed,
        };
        Ok(Sample {
            name: &[],
            labels,
            value,
            timestamp_ms,
        })
    }

    fn metric_name(&self, start: usize) -> usize {
        let guess = start + self.name.len();
        if self.text.body[start..].starts_with(self.name) && !is_name_byte(self.text.byte(guess)) {
            return guess;
        }
        self.text.name_end(start)
    }

    /// What stands behind name and labels. Moves to the next line.
    fn value_and_timestamp(
        &mut self,
        entry: usize,
        start: usize,
    ) -> Result<(f64, Option<i64>), DecodeError> {
        let end = self.text.value_end(start);
        if end == start {
            let token = match self.text.byte(start) {
                b'{' => Token {
                    kind: "BOPEN",
                    start,
                    end: start + 1,
                },
                _ => Token::invalid(start, start),
            };
            return Err(self
                .text
                .unexpected("expected value after metric", entry, &token));
        }
        let number = |problem, end| DecodeError::Number {
            problem,
            parsing: quote(&self.text.piece(entry, end)),
        };
        let value =
            parse_float(&self.text.body[start..end]).map_err(|problem| number(problem, end))?;
        let at = self.text.skip_blanks(end);
        let digits_end = self.text.digits_end(at);
        if digits_end == at {
            if self.text.byte(at) != b'\n' {
                let token = Token::invalid(at, at);
                return Err(self.text.unexpected(
                    "expected timestamp or new record",
                    entry,
                    &token,
                ));
            }
            self.at = at + 1;
            return Ok((value, None));
        }
        let timestamp = parse_timestamp(&self.text.body[at..digits_end])
            .map_err(|problem| number(problem, digits_end))?;
        let at = self.text.skip_blanks(digits_end);
        if self.text.byte(at) != b'\n' {
            let token = match self.text.digits_end(at) {
                stuck if stuck == at => Token::invalid(at, at),
                end => Token {
                    kind: "TIMESTAMP",
                    start: at,
                    end,
                },
            };
            return Err(self
                .text
                .unexpected("expected next entry after timestamp", entry, &token));
        }
        self.at = at + 1;
        Ok((value, Some(timestamp)))
    }

    /// Reads a comment from its `#` to the end of its line. `false`: a NUL
    /// ended the text.
    fn comment(&mut self, entry: usize, hash: usize) -> Result<bool, DecodeError> {
        let word = self.text.skip_blanks(hash + 1);
        if word == hash + 1 {
            let rest = self.text.body.get(word..).unwrap_or_default();
            return match memchr2(b'\n', 0, rest) {
                Some(found) if rest[found] == 0 => Ok(false),
                found => {
                    self.at = word + found.unwrap_or(rest.len()) + 1;
                    Ok(true)
                }
            };
        }
        if self.text.byte(word) == 0 {
            return Ok(false);
        }
        if let Some(at) = self.keyword(word, b"HELP") {
            self.metadata(entry, at, "expected metric name after HELP", |text| {
                match std::str::from_utf8(text) {
                    Ok(_) => Ok(()),
                    Err(_) => Err(DecodeError::HelpText(quote(text))),
                }
            })?;
        } else if let Some(at) = self.keyword(word, b"TYPE") {
            self.metadata(
                entry,
                at,
                "expected metric name after TYPE",
                |text| match text {
                    b"counter" | b"gauge" | b"histogram" | b"summary" | b"untyped" => Ok(()),
                    _ => Err(DecodeError::MetricType(quote(text))),
                },
            )?;
        } else {
            self.at = self.text.line_end(word) + 1;
        }
        Ok(true)
    }

    /// Where the text goes on if `word` and blanks stand at `at`. NUL bytes
    /// between the letters are skipped.
    fn keyword(&self, at: usize, word: &[u8; 4]) -> Option<usize> {
        let mut at = at;
        for letter in word {
            if self.text.byte(at) != *letter {
                return None;
            }
            at = self.text.step_over_nul(at);
        }
        if !is_blank(self.text.byte(at)) {
            return None;
        }
        while is_blank(self.text.byte(at)) {
            at = self.text.step_over_nul(at);
        }
        Some(at)
    }

    /// The metric name and text of a HELP or TYPE line.
    fn metadata(
        &mut self,
        entry: usize,
        start: usize,
        expected: &'static str,
        check: impl FnOnce(&[u8]) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let name_end = match self.text.byte(start) {
            b'"' => self.text.quoted_end(start),
            first if is_name_start(first) => Ok(self.text.name_end(start)),
            _ => Err(start),
        };
        let name_end = name_end.map_err(|stuck| {
            self.text
                .unexpected(expected, entry, &Token::invalid(start, stuck))
        })?;
        let text_end = match self.text.byte(name_end) {
            0 => name_end,
            _ => self.text.line_end(name_end),
        };
        let mut text = &self.text.body[name_end..text_end];
        if text.iter().all(|b| is_blank(*b) || *b == 0) {
            // Read as white space, which is no text.
            text = &[];
        }
        check(text.get(1..).unwrap_or_default())?;
        if self.text.byte(text_end) == 0 {
            let token = Token {
                kind: "EOF",
                start: text_end,
                end: text_end + 1,
            };
            return Err(self
                .text
                .unexpected("linebreak expected after metadata", entry, &token));
        }
        self.at = text_end + 1;
        Ok(())
    }
}
