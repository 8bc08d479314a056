//! Label blocks: `{container="c",namespace="ns",pod="p"}`.
//!
//! Three ways to read one, from cheap to general: it is the block that was
//! expected; it is exactly what kubelets write for a container; label by label.

use memchr::{memchr2, memchr3};

use super::error::DecodeError;
use super::quote::quote;
use super::text::{Text, Token, is_blank, is_name_byte, is_name_start};

/// A label block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Labels<'a> {
    /// From `{` to `}`; empty if there is none.
    pub(super) text: &'a [u8],
    pub(super) origin: Origin<'a>,
}

/// How a label block was read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin<'a> {
    /// Label by label.
    Lexed,
    /// It is the block that the caller expected.
    Expected,
    /// It is `{container="…",namespace="…",pod="…"}` and nothing more.
    Container(Names<'a>),
}

/// What identifies a container, in the order in which kubelets sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Names<'a> {
    pub(super) container: &'a [u8],
    pub(super) namespace: &'a [u8],
    pub(super) pod: &'a [u8],
}

impl<'a> Text<'a> {
    /// The label block of a named series: its end and how it was read.
    pub(super) fn label_block(
        &self,
        entry: usize,
        open: usize,
        expected: Option<&[u8]>,
    ) -> Result<(usize, Origin<'a>), DecodeError> {
        if let Some(text) = expected
            && self.body[open..].starts_with(text)
        {
            return Ok((open + text.len(), Origin::Expected));
        }
        if self.utf8
            && let Some((names, end)) = self.container_labels(open)
        {
            return Ok((end, Origin::Container(names)));
        }
        let end = self.labels(entry, open, &mut true)?;
        Ok((end, Origin::Lexed))
    }

    /// Reads the block that kubelets write for containers, if it is one and
    /// its values hold nothing that could be taken for a label or an escape.
    fn container_labels(&self, open: usize) -> Option<(Names<'a>, usize)> {
        let (container, rest) = plain_value(self.body[open..].strip_prefix(b"{container=\"")?)?;
        let (namespace, rest) = plain_value(rest.strip_prefix(b",namespace=\"")?)?;
        let (pod, rest) = plain_value(rest.strip_prefix(b",pod=\"")?)?;
        let rest = rest.strip_prefix(b"}")?;
        let end = self.body.len() - rest.len();
        Some((
            Names {
                container,
                namespace,
                pod,
            },
            end,
        ))
    }

    /// Reads any label block and returns its end. `name_set` tells whether the
    /// metric has a name already, and is set by a quoted one.
    pub(super) fn labels(
        &self,
        entry: usize,
        open: usize,
        name_set: &mut bool,
    ) -> Result<usize, DecodeError> {
        let mut at = self.skip_blanks(open + 1);
        loop {
            let quoted = self.byte(at) == b'"';
            let name_end = match self.label_token(at) {
                Token {
                    kind: "BCLOSE",
                    end,
                    ..
                } => return Ok(end),
                Token {
                    kind: "LNAME" | "QSTRING",
                    end,
                    ..
                } => end,
                token => return Err(self.unexpected("expected label name", entry, &token)),
            };
            let mut next = self.skip_blanks(name_end);
            if quoted && matches!(self.byte(next), b',' | b'}') {
                if *name_set {
                    return Err(DecodeError::NameTwice(quote(&self.piece(entry, next + 1))));
                }
                *name_set = true;
                if self.byte(next) == b'}' {
                    return Ok(next + 1);
                }
                at = self.skip_blanks(next + 1);
                continue;
            }
            if self.byte(next) != b'=' {
                let token = self.label_token(next);
                return Err(self.unexpected("expected equal", entry, &token));
            }
            next = self.skip_blanks(self.label_value(entry, next + 1)?);
            if self.byte(next) == b',' {
                next = self.skip_blanks(next + 1);
            }
            at = next;
        }
    }

    /// The token at `at` inside a label block, outside a value.
    fn label_token(&self, at: usize) -> Token {
        let (kind, end) = match self.byte(at) {
            b'}' => ("BCLOSE", at + 1),
            b',' => ("COMMA", at + 1),
            b'=' => ("EQUAL", at + 1),
            b'"' => match self.quoted_end(at) {
                Ok(end) => ("QSTRING", end),
                Err(stuck) => ("INVALID", stuck),
            },
            first if is_name_start(first) && first != b':' => {
                let rest = &self.body[at..];
                let more = |b: &u8| is_name_byte(*b) && *b != b':';
                (
                    "LNAME",
                    at + rest.iter().position(|b| !more(b)).unwrap_or(rest.len()),
                )
            }
            _ => ("INVALID", at),
        };
        Token {
            kind,
            start: at,
            end,
        }
    }

    /// Reads a label's value behind the equals sign and returns its end. NUL
    /// bytes are part of it, also behind the closing quote.
    fn label_value(&self, entry: usize, from: usize) -> Result<usize, DecodeError> {
        let mut open = from;
        while is_blank(self.byte(open)) {
            open = self.step_over_nul(open);
        }
        let invalid = |stuck| {
            let token = Token::invalid(open, stuck);
            self.unexpected("expected label value", entry, &token)
        };
        if self.byte(open) != b'"' {
            return Err(invalid(open));
        }
        let mut at = open + 1;
        let close = loop {
            let rest = self.body.get(at..).unwrap_or_default();
            let Some(found) = memchr2(b'"', b'\\', rest) else {
                return Err(invalid(self.body.len() + 1));
            };
            if rest[found] == b'"' {
                break at + found;
            }
            let escaped = self.step_over_nul(at + found);
            if self.byte(escaped) == b'\n' {
                return Err(invalid(escaped));
            }
            at = escaped + 1;
        };
        let end = self.step_over_nul(close);
        if !self.utf8 && std::str::from_utf8(&self.body[open..end]).is_err() {
            return Err(DecodeError::LabelValue(quote(&self.body[open..end])));
        }
        Ok(end)
    }
}

/// The text up to the next quote, and what follows the quote.
fn plain_value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr3(b'"', b'\\', b'=', text)?;
    (text[end] == b'"').then(|| (&text[..end], &text[end + 1..]))
}
