//! The body as the parser sees it, and where it got stuck.

use std::borrow::Cow;

use memchr::{memchr, memchr3};

use super::error::DecodeError;
use super::quote::quote;

/// The body, with the newline that the parser appends one past its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) body: &'a [u8],
    /// The whole body is UTF-8, so that no part needs to be checked.
    pub(super) utf8: bool,
}

/// A token: its kind, where it starts, and where the lexer stood after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) kind: &'static str,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Token {
    /// What is no token, and where the lexer got stuck reading it.
    pub(super) const fn invalid(start: usize, stuck: usize) -> Self {
        Self {
            kind: "INVALID",
            start,
            end: stuck,
        }
    }
}

impl<'a> Text<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self {
            body,
            utf8: std::str::from_utf8(body).is_ok(),
        }
    }

    /// The byte at `at`, the newline that the parser appends included.
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.body.get(at).copied().unwrap_or(b'\n')
    }

    pub(super) fn skip_blanks(&self, mut at: usize) -> usize {
        while is_blank(self.byte(at)) {
            at += 1;
        }
        at
    }

    /// The next position that holds no NUL.
    pub(super) fn step_over_nul(&self, at: usize) -> usize {
        let mut at = at + 1;
        while self.byte(at) == 0 {
            at += 1;
        }
        at
    }

    pub(super) fn line_end(&self, from: usize) -> usize {
        let rest = self.body.get(from..).unwrap_or_default();
        from + memchr(b'\n', rest).unwrap_or(rest.len())
    }

    pub(super) fn value_end(&self, start: usize) -> usize {
        let rest = self.body.get(start..).unwrap_or_default();
        let ends = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'{' | 0);
        start + rest.iter().position(ends).unwrap_or(rest.len())
    }

    pub(super) fn digits_end(&self, start: usize) -> usize {
        let rest = self.body.get(start..).unwrap_or_default();
        start
            + rest
                .iter()
                .position(|b| !b.is_ascii_digit())
                .unwrap_or(rest.len())
    }

    pub(super) fn name_end(&self, start: usize) -> usize {
        let rest = &self.body[start..];
        start
            + rest
                .iter()
                .position(|b| !is_name_byte(*b))
                .unwrap_or(rest.len())
    }

    /// The end of a quoted name, or where reading it got stuck.
    pub(super) fn quoted_end(&self, open: usize) -> Result<usize, usize> {
        let mut at = open + 1;
        loop {
            let rest = self.body.get(at..).unwrap_or_default();
            let Some(found) = memchr3(b'"', b'\\', 0, rest) else {
                return Err(self.body.len() + 1);
            };
            at += found;
            match rest[found] {
                b'"' => return Ok(at + 1),
                0 => return Err(at),
                _ if matches!(self.byte(at + 1), b'\n' | 0) => return Err(at + 1),
                _ => at += 2,
            }
        }
    }

    /// A piece of the text, which may include the appended newline.
    pub(super) fn piece(&self, from: usize, to: usize) -> Cow<'a, [u8]> {
        if to <= self.body.len() {
            return Cow::Borrowed(&self.body[from..to]);
        }
        let mut text = self.body.get(from..).unwrap_or_default().to_vec();
        text.push(b'\n');
        Cow::Owned(text)
    }

    /// Source: `promparse.go: (*PromParser).parseError`: both texts reach one
    /// byte beyond the token.
    pub(super) fn unexpected(
        &self,
        expected: &'static str,
        entry: usize,
        token: &Token,
    ) -> DecodeError {
        let end = token.end + 1;
        DecodeError::Unexpected {
            expected,
            got: quote(&self.piece(token.start, end)),
            token: token.kind,
            parsing: quote(&self.piece(entry, end)),
        }
    }
}

pub(super) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

pub(super) const fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':')
}

pub(super) const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')
}
