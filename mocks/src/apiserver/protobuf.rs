//! Review requests in Kubernetes' protobuf form: what typed Go clients send
//! whatever the server would like.
//!
//! Only what a review asks is read; the rest is skipped, as protobuf means it
//! to be. Nothing is ever answered in this form.
//!
//! Source: apimachinery `pkg/runtime/serializer/protobuf/protobuf.go` for the
//! envelope; the numbers of fields are those of `generated.proto` in
//! `k8s.io/api/{authentication,authorization}/v1`.

use serde_json::{Map, Value};

/// Media type of the form.
pub(crate) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// What every message begins with.
const MAGIC: &[u8] = b"k8s\0";

/// A field that is read: its number, its name in JSON and what it holds.
struct Field(u64, &'static str, Holds);

enum Holds {
    /// A text.
    Text,
    /// Texts, one field each.
    Texts,
    /// A message of these fields.
    Message(&'static [Field]),
}

const RESOURCE: &[Field] = &[
    Field(1, "namespace", Holds::Text),
    Field(2, "verb", Holds::Text),
    Field(3, "group", Holds::Text),
    Field(4, "version", Holds::Text),
    Field(5, "resource", Holds::Text),
    Field(6, "subresource", Holds::Text),
    Field(7, "name", Holds::Text),
];

const PATH: &[Field] = &[Field(1, "path", Holds::Text), Field(2, "verb", Holds::Text)];

const SELF_ACCESS: &[Field] = &[
    Field(1, "resourceAttributes", Holds::Message(RESOURCE)),
    Field(2, "nonResourceAttributes", Holds::Message(PATH)),
];

const ACCESS: &[Field] = &[
    Field(1, "resourceAttributes", Holds::Message(RESOURCE)),
    Field(2, "nonResourceAttributes", Holds::Message(PATH)),
    Field(3, "user", Holds::Text),
    Field(4, "groups", Holds::Texts),
    Field(6, "uid", Holds::Text),
];

const TOKEN: &[Field] = &[
    Field(1, "token", Holds::Text),
    Field(2, "audiences", Holds::Texts),
];

const RULES: &[Field] = &[Field(1, "namespace", Holds::Text)];

/// Where the object itself is within the envelope.
const RAW: u64 = 2;
/// Where a review's `spec` is.
const SPEC: u64 = 2;

/// The review in JSON: `{"spec": …}`. `None` if these are not the bytes of
/// one.
pub(crate) fn review(resource: &str, body: &[u8]) -> Option<Value> {
    let fields = match resource {
        "selfsubjectaccessreviews" => SELF_ACCESS,
        "selfsubjectrulesreviews" => RULES,
        "subjectaccessreviews" => ACCESS,
        "tokenreviews" => TOKEN,
        _ => &[],
    };
    let envelope = body.strip_prefix(MAGIC)?;
    let raw = bytes_of(envelope, RAW)?.unwrap_or_default();
    let spec = bytes_of(raw, SPEC)?.unwrap_or_default();
    let mut review = Map::new();
    review.insert("spec".to_owned(), message(spec, fields)?);
    Some(Value::Object(review))
}

fn message(bytes: &[u8], fields: &[Field]) -> Option<Value> {
    let mut object = Map::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (number, payload) = next(&mut rest)?;
        let known = fields.iter().find(|field| field.0 == number);
        let (Some(Field(_, name, holds)), Some(payload)) = (known, payload) else {
            continue;
        };
        let text = || Some(Value::String(String::from_utf8(payload.to_vec()).ok()?));
        match holds {
            Holds::Text => {
                object.insert((*name).to_owned(), text()?);
            }
            Holds::Texts => {
                let texts = object
                    .entry(*name)
                    .or_insert_with(|| Value::Array(Vec::new()));
                texts.as_array_mut()?.push(text()?);
            }
            Holds::Message(fields) => {
                object.insert((*name).to_owned(), message(payload, fields)?);
            }
        }
    }
    Some(Value::Object(object))
}

/// The bytes of the last field of that number, if there is one.
fn bytes_of(bytes: &[u8], number: u64) -> Option<Option<&[u8]>> {
    let mut rest = bytes;
    let mut found = None;
    while !rest.is_empty() {
        let (at, payload) = next(&mut rest)?;
        if at == number {
            found = payload;
        }
    }
    Some(found)
}

/// Takes the next field: its number, and its bytes if it has a length.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let tag = varint(rest)?;
    let payload = match tag & 7 {
        0 => {
            varint(rest)?;
            None
        }
        1 => {
            take(rest, 8)?;
            None
        }
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Some(take(rest, length)?)
        }
        5 => {
            take(rest, 4)?;
            None
        }
        _ => return None,
    };
    Some((tag >> 3, payload))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, left) = rest.split_first()?;
        *rest = left;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A field with a length.
    fn field(number: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("tests are short");
        [&[number << 3 | 2, length], payload].concat()
    }

    fn envelope(spec: &[u8]) -> Vec<u8> {
        let raw = [field(1, b""), field(2, spec)].concat();
        let kind = [field(1, b"v1"), field(2, b"Review")].concat();
        [
            MAGIC,
            &field(1, &kind),
            &field(2, &raw),
            &field(3, b""),
            &field(4, b""),
        ]
        .concat()
    }

    #[test]
    fn what_is_asked_is_read_and_the_rest_is_skipped() {
        let attributes = [
            field(1, b"default"),
            field(2, b"list"),
            field(5, b"pods"),
            field(9, b"x"),
        ];
        let spec = [
            field(1, &attributes.concat()),
            field(3, b"jo"),
            field(4, b"staff"),
            field(4, b"more"),
            vec![7 << 3, 5],
        ];
        let body = envelope(&spec.concat());
        assert_eq!(
            review("subjectaccessreviews", &body),
            Some(json!({"spec": {
                "resourceAttributes": {"namespace": "default", "verb": "list", "resource": "pods"},
                "user": "jo",
                "groups": ["staff", "more"],
            }}))
        );
        assert_eq!(
            review("tokenreviews", &envelope(&field(1, b"t"))),
            Some(json!({"spec": {"token": "t"}}))
        );
    }

    #[test]
    fn what_is_no_message_is_none() {
        assert_eq!(review("tokenreviews", b"{}"), None);
        assert_eq!(review("tokenreviews", b"k8s\0\x12\xff"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let body = [MAGIC, &bytes].concat();
            let _ = review("subjectaccessreviews", &body);
        }
    }
}
