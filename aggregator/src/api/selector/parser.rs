//! The text of label selectors.
//!
//! Source: apimachinery `pkg/labels/selector.go: Lexer, Parser`.

use std::iter::Peekable;
use std::str::CharIndices;

use super::validation::{check_integer, check_key, check_value};
use super::{Condition, Requirement};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Error,
    End,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Identifier,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    text: String,
}

/// `in` and `notin` are operators only where one is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    KeyAndOperator,
    Values,
}

pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, String> {
    let mut parser = Parser {
        tokens: tokens(text),
        at: 0,
    };
    let mut requirements = Vec::new();
    loop {
        let token = parser.peek(Context::Values);
        match token.kind {
            Kind::Identifier | Kind::Not => {
                let requirement = parser
                    .requirement()
                    .map_err(|error| format!("unable to parse requirement: {error}"))?;
                requirements.push(requirement);
                let token = parser.next(Context::Values);
                match token.kind {
                    Kind::End => return Ok(requirements),
                    Kind::Comma => {
                        let next = parser.peek(Context::Values);
                        if !matches!(next.kind, Kind::Identifier | Kind::Not) {
                            return Err(found(&next.text, "identifier after ','"));
                        }
                    }
                    _ => return Err(found(&token.text, "',' or 'end of string'")),
                }
            }
            Kind::End => return Ok(requirements),
            _ => return Err(found(&token.text, "!, identifier, or 'end of string'")),
        }
    }
}

fn found(text: &str, expected: &str) -> String {
    format!("found '{text}', expected: {expected}")
}

/// Splits the text; the last token is the end, again and again.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.char_indices().peekable();
    while let Some((start, first)) = rest.next() {
        if is_blank(first) {
            continue;
        }
        let token = if is_symbol(first) {
            symbol(text, start, &mut rest)
        } else {
            word(text, start, &mut rest)
        };
        tokens.push(token);
    }
    tokens.push(Token {
        kind: Kind::End,
        text: String::new(),
    });
    tokens
}

fn word(text: &str, start: usize, rest: &mut Peekable<CharIndices<'_>>) -> Token {
    while rest
        .next_if(|(_, c)| !is_symbol(*c) && !is_blank(*c))
        .is_some()
    {}
    let end = rest.peek().map_or(text.len(), |(at, _)| *at);
    let kind = match &text[start..end] {
        "in" => Kind::In,
        "notin" => Kind::NotIn,
        _ => Kind::Identifier,
    };
    Token {
        kind,
        text: text[start..end].to_owned(),
    }
}

/// The longest run of symbols that is an operator.
fn symbol(text: &str, start: usize, rest: &mut Peekable<CharIndices<'_>>) -> Token {
    let mut end = start + 1;
    if matches!(
        (&text[start..end], rest.peek()),
        ("=" | "!", Some((_, '=')))
    ) {
        rest.next();
        end += 1;
    }
    let kind = match &text[start..end] {
        ")" => Kind::Close,
        "," => Kind::Comma,
        "!" => Kind::Not,
        "==" => Kind::DoubleEquals,
        "=" => Kind::Equals,
        ">" => Kind::Greater,
        "<" => Kind::Less,
        "!=" => Kind::NotEquals,
        "(" => Kind::Open,
        _ => Kind::Error,
    };
    Token {
        kind,
        text: text[start..end].to_owned(),
    }
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

const fn is_symbol(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self, context: Context) -> Token {
        let mut token = self.tokens[self.at.min(self.tokens.len() - 1)].clone();
        if context == Context::Values && matches!(token.kind, Kind::In | Kind::NotIn) {
            token.kind = Kind::Identifier;
        }
        token
    }

    fn next(&mut self, context: Context) -> Token {
        let token = self.peek(context);
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let mut token = self.next(Context::Values);
        let negated = token.kind == Kind::Not;
        if negated {
            token = self.next(Context::Values);
        }
        if token.kind != Kind::Identifier {
            return Err(found(&token.text, "identifier"));
        }
        let key = token.text;
        check_key(&key)?;
        let next = self.peek(Context::Values).kind;
        let condition = if negated {
            Condition::DoesNotExist
        } else if matches!(next, Kind::End | Kind::Comma) {
            Condition::Exists
        } else {
            self.condition(&key)?
        };
        Ok(Requirement { key, condition })
    }

    fn condition(&mut self, key: &str) -> Result<Condition, String> {
        let operator = self.next(Context::KeyAndOperator);
        match operator.kind {
            Kind::In | Kind::NotIn => {
                let values = self.values()?;
                for (at, value) in values.iter().enumerate() {
                    check_value(key, at, value)?;
                }
                Ok(if operator.kind == Kind::In {
                    Condition::In(values)
                } else {
                    Condition::NotIn(values)
                })
            }
            Kind::Equals | Kind::DoubleEquals | Kind::NotEquals => {
                let value = self.exact_value()?;
                check_value(key, 0, &value)?;
                Ok(if operator.kind == Kind::NotEquals {
                    Condition::NotIn(vec![value])
                } else {
                    Condition::In(vec![value])
                })
            }
            Kind::Greater => Ok(Condition::GreaterThan(check_integer(
                key,
                &self.exact_value()?,
            )?)),
            Kind::Less => Ok(Condition::LessThan(check_integer(
                key,
                &self.exact_value()?,
            )?)),
            _ => Err(found(&operator.text, "in, notin, =, ==, !=, gt, lt")),
        }
    }

    /// The sorted set behind `in` and `notin`.
    fn values(&mut self) -> Result<Vec<String>, String> {
        let open = self.next(Context::Values);
        if open.kind != Kind::Open {
            return Err(format!("found '{}' expected: '('", open.text));
        }
        let first = self.peek(Context::Values);
        match first.kind {
            Kind::Identifier | Kind::Comma => {
                let mut values = self.identifiers()?;
                if self.next(Context::Values).kind != Kind::Close {
                    return Err(found(&first.text, "')'"));
                }
                values.sort();
                values.dedup();
                Ok(values)
            }
            // An empty set is read, and then refused for being one.
            Kind::Close => Err(
                "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
                    .into(),
            ),
            _ => Err(found(&first.text, "',', ')' or identifier")),
        }
    }

    fn identifiers(&mut self) -> Result<Vec<String>, String> {
        let mut values = Vec::new();
        loop {
            let token = self.next(Context::Values);
            let next = self.peek(Context::Values);
            match token.kind {
                Kind::Identifier => {
                    values.push(token.text);
                    match next.kind {
                        Kind::Comma => {}
                        Kind::Close => return Ok(values),
                        _ => return Err(found(&next.text, "',' or ')'")),
                    }
                }
                Kind::Comma => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    if next.kind == Kind::Close {
                        values.push(String::new());
                        return Ok(values);
                    }
                    if next.kind == Kind::Comma {
                        self.at += 1;
                        values.push(String::new());
                    }
                }
                _ => return Err(found(&token.text, "',', or identifier")),
            }
        }
    }

    fn exact_value(&mut self) -> Result<String, String> {
        if matches!(self.peek(Context::Values).kind, Kind::End | Kind::Comma) {
            return Ok(String::new());
        }
        let token = self.next(Context::Values);
        match token.kind {
            Kind::Identifier => Ok(token.text),
            _ => Err(found(&token.text, "identifier")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bad_selectors_are_refused_in_the_original_words() {
        for (text, error) in [
            (
                "a===b",
                "unable to parse requirement: found '=', expected: identifier",
            ),
            (
                "! =a",
                "unable to parse requirement: found '=', expected: identifier",
            ),
            (
                "=a",
                "found '=', expected: !, identifier, or 'end of string'",
            ),
            ("a,", "found '', expected: identifier after ','"),
            ("a=b,=c", "found '=', expected: identifier after ','"),
            (
                "a b",
                "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
            ),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("!a=b", "found '=', expected: ',' or 'end of string'"),
            (
                "a in b",
                "unable to parse requirement: found 'b' expected: '('",
            ),
            (
                "a in (b",
                "unable to parse requirement: found '', expected: ',' or ')'",
            ),
            (
                "a in (=)",
                "unable to parse requirement: found '=', expected: ',', ')' or identifier",
            ),
        ] {
            assert_eq!(parse(text).err().as_deref(), Some(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[a-c!=<>(), in\u{e4}/.-]{0,30}") {
            let _ = parse(&text);
        }
    }
}
