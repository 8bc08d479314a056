//! Go's `%q`: text from outside, made safe for a log line.

use std::fmt::Write as _;

/// Quotes bytes as `strconv.Quote` does: printable Unicode stays, control
/// characters are escaped, bytes that are not UTF-8 become `\xNN`.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_escaped(&mut quoted, character);
        }
        for byte in chunk.invalid() {
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted.push('"');
    quoted
}

fn push_escaped(quoted: &mut String, character: char) {
    match character {
        '"' => quoted.push_str("\\\""),
        '\\' => quoted.push_str("\\\\"),
        '\x07' => quoted.push_str("\\a"),
        '\x08' => quoted.push_str("\\b"),
        '\x0c' => quoted.push_str("\\f"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\x0b' => quoted.push_str("\\v"),
        ' '..='~' => quoted.push(character),
        '\0'..='\x7f' => {
            let _ = write!(quoted, "\\x{:02x}", u32::from(character));
        }
        _ if is_printable(character) => quoted.push(character),
        '\u{80}'..='\u{ffff}' => {
            let _ = write!(quoted, "\\u{:04x}", u32::from(character));
        }
        _ => {
            let _ = write!(quoted, "\\U{:08x}", u32::from(character));
        }
    }
}

/// Whether a character beyond ASCII is a letter, mark, number, punctuation or
/// symbol. The standard library knows, but only tells through its escaping;
/// behind another character it leaves combining marks alone, as Go does.
fn is_printable(character: char) -> bool {
    let pair: String = ['a', character].into_iter().collect();
    pair.escape_debug().nth(1) != Some('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_go_quotes_them() {
        let cases: [(&[u8], &str); 8] = [
            (b"x 1\0", r#""x 1\x00""#),
            (b"a\"b\\c\n\r\t", r#""a\"b\\c\n\r\t""#),
            (b"\x07\x08\x0b\x0c\x1b\x7f", r#""\a\b\v\f\x1b\x7f""#),
            (b"\xef", r#""\xef""#),
            (b"\xef\xbb\xbf", r#""\ufeff""#),
            ("ü€😀".as_bytes(), "\"ü€😀\""),
            ("e\u{301}".as_bytes(), "\"e\u{301}\""),
            ("\u{a0}\u{e0001}".as_bytes(), r#""\u00a0\U000e0001""#),
        ];
        for (bytes, expected) in cases {
            assert_eq!(quote(bytes), expected);
        }
    }
}
