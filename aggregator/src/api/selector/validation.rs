//! What may be a label's key or value.
//!
//! Source: apimachinery `pkg/util/validation/validation.go`;
//! `pkg/labels/selector.go: validateLabelKey, validateLabelValue`.

use crate::decode::quote::quote;

const NAME_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start \
    and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex \
    used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

const VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric \
    characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
    'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case \
    alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character \
    (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

const MAX_NAME: usize = 63;
const MAX_SUBDOMAIN: usize = 253;

/// Refuses what cannot be a label's key. The field that the original names in
/// its error is a nil pointer, printed.
pub(super) fn check_key(key: &str) -> Result<(), String> {
    let problems = key_problems(key);
    if problems.is_empty() {
        return Ok(());
    }
    let key = quote(key.as_bytes());
    Err(format!(
        "<nil>: Invalid value: {key}: {}",
        problems.join("; ")
    ))
}

/// Refuses what cannot be a label's value; `at` is its place in the sorted set.
pub(super) fn check_value(key: &str, at: usize, value: &str) -> Result<(), String> {
    let mut problems = Vec::new();
    if value.len() > MAX_NAME {
        problems.push(format!("must be no more than {MAX_NAME} characters"));
    }
    if !value.is_empty() && !is_name(value) {
        problems.push(VALUE_RULE.to_owned());
    }
    if problems.is_empty() {
        return Ok(());
    }
    let value = quote(value.as_bytes());
    Err(format!(
        "values[{at}][{key}]: Invalid value: {value}: {}",
        problems.join("; ")
    ))
}

/// Refuses what `>` and `<` cannot compare with.
pub(super) fn check_integer(key: &str, value: &str) -> Result<i64, String> {
    let number = value.parse().map_err(|_| {
        let value = quote(value.as_bytes());
        format!("values[0]: Invalid value: {value}: for 'Gt', 'Lt' operators, the value must be an integer")
    })?;
    check_value(key, 0, value)?;
    Ok(number)
}

fn key_problems(key: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let name = match key.split('/').collect::<Vec<_>>()[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                problems.push("prefix part must be non-empty".to_owned());
            } else {
                if prefix.len() > MAX_SUBDOMAIN {
                    problems.push(format!(
                        "prefix part must be no more than {MAX_SUBDOMAIN} characters"
                    ));
                }
                if !is_subdomain(prefix) {
                    problems.push(format!("prefix part {SUBDOMAIN_RULE}"));
                }
            }
            name
        }
        _ => {
            return vec![format!(
                "a qualified name {NAME_RULE} with an optional DNS subdomain prefix and '/' \
                 (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > MAX_NAME {
        problems.push(format!(
            "name part must be no more than {MAX_NAME} characters"
        ));
    }
    if !is_name(name) {
        problems.push(format!("name part {NAME_RULE}"));
    }
    problems
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    let inside = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() && bytes.iter().all(inside)
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(|label| {
        let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = label.as_bytes();
        bytes.first().is_some_and(|b| lower(*b))
            && bytes.last().is_some_and(|b| lower(*b))
            && bytes.iter().all(|b| lower(*b) || *b == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_qualified_names() {
        for key in ["a", "A.b_c-1", "example.com/role", "kubernetes.io/os"] {
            assert_eq!(check_key(key), Ok(()), "{key}");
        }
        for (key, problem) in [
            ("-a", "name part must consist of"),
            ("/a", "prefix part must be non-empty"),
            (
                "a/",
                "name part must be non-empty; name part must consist of",
            ),
            ("A/b", "prefix part a lowercase RFC 1123 subdomain must"),
            ("a/b/c", "a qualified name must consist of"),
        ] {
            let error = check_key(key).expect_err(key);
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn values_are_names_or_empty() {
        assert_eq!(check_value("a", 0, ""), Ok(()));
        let error = check_value("app", 1, "x?").expect_err("a question mark is not allowed");
        assert!(error.starts_with(r#"values[1][app]: Invalid value: "x?": a valid label must be"#));
        assert!(check_value("a", 0, &"x".repeat(64)).is_err());
        assert_eq!(check_integer("a", "12"), Ok(12));
        assert!(check_integer("a", "x").is_err());
    }
}
