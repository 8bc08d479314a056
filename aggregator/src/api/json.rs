//! JSON as Go's `encoding/json` writes it.

use bytes::Bytes;
use memchr::{memchr, memchr3};
use serde::Serialize;

/// Writes a document compactly, with a newline at its end, as Go's `Encoder`
/// does; or indented by two spaces and without one, as `MarshalIndent` does.
///
/// Source: apimachinery `pkg/runtime/serializer/json/json.go: doEncode`.
pub(super) fn encode(document: &impl Serialize, pretty: bool) -> Bytes {
    const WRITABLE: &str = "what the API writes has string keys and no failing parts";
    let mut text = if pretty {
        serde_json::to_vec_pretty(document).expect(WRITABLE)
    } else {
        serde_json::to_vec(document).expect(WRITABLE)
    };
    if !pretty {
        text.push(b'\n');
    }
    escape_html(text).into()
}

/// Escapes `<`, `>`, `&` and the two Unicode line ends, so that the text could
/// be put into a web page. None of them has a meaning in JSON, so wherever one
/// stands it is in a string.
fn escape_html(text: Vec<u8>) -> Vec<u8> {
    if memchr3(b'<', b'>', b'&', &text).is_none() && memchr(0xe2, &text).is_none() {
        return text;
    }
    let mut escaped = Vec::with_capacity(text.len() + 64);
    let mut rest = text.as_slice();
    while let Some((&first, tail)) = rest.split_first() {
        let replacement: &[u8] = match rest {
            [b'<', ..] => br"\u003c",
            [b'>', ..] => br"\u003e",
            [b'&', ..] => br"\u0026",
            [0xe2, 0x80, 0xa8, ..] => br"\u2028",
            [0xe2, 0x80, 0xa9, ..] => br"\u2029",
            _ => {
                escaped.push(first);
                rest = tail;
                continue;
            }
        };
        escaped.extend_from_slice(replacement);
        rest = if first == 0xe2 { &rest[3..] } else { tail };
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_escapes_them() {
        let text = encode(&"a<b>&\u{2028}\u{2029}\"\\\n\u{1}€", false);
        assert_eq!(
            std::str::from_utf8(&text),
            Ok("\"a\\u003cb\\u003e\\u0026\\u2028\\u2029\\\"\\\\\\n\\u0001€\"\n")
        );
    }

    #[test]
    fn indented_documents_keep_empty_parts_on_one_line_and_end_without_newline() {
        let document = serde_json::json!({"a": {}, "b": [], "c": [1]});
        let text = encode(&document, true);
        let expected = "{\n  \"a\": {},\n  \"b\": [],\n  \"c\": [\n    1\n  ]\n}";
        assert_eq!(std::str::from_utf8(&text), Ok(expected));
    }
}
