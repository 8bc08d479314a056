//! Users that a trusted proxy vouches for.

use http::HeaderMap;

use super::User;
use super::configuration::HeaderNames;
use crate::api::query::unescape;

/// Whom the headers name; `None` if nobody.
///
/// Source: lib: apiserver `pkg/authentication/request/headerrequest/
/// requestheader.go: (*requestHeaderAuthRequestHandler).AuthenticateRequest`.
#[must_use]
pub fn user(headers: &HeaderMap, names: &HeaderNames) -> Option<User> {
    let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
    let first = |names: &[String]| {
        let mut values = names
            .iter()
            .filter_map(|name| text(headers.get(name.as_str())?));
        values.find(|value| !value.is_empty())
    };
    let name = first(&names.username)?;
    let mut user = User {
        name,
        uid: first(&names.uid).unwrap_or_default(),
        ..User::default()
    };
    for header in &names.group {
        user.groups
            .extend(headers.get_all(header.as_str()).iter().filter_map(text));
    }
    for prefix in &names.extra_prefix {
        let prefix = prefix.to_lowercase();
        for (header, value) in headers {
            if let (Some(key), Some(value)) = (header.as_str().strip_prefix(&prefix), text(value)) {
                let key =
                    unescape(key).map_or_else(|| key.to_owned(), std::borrow::Cow::into_owned);
                user.extra.entry(key).or_default().push(value);
            }
        }
    }
    Some(user)
}

/// Whether a proxy with this common name may speak for others.
///
/// Source: lib: apiserver `pkg/authentication/request/x509/x509.go:
/// (*Verifier).verifySubject`.
///
/// # Errors
///
/// Go's text if it may not.
pub fn check_proxy(common_name: &str, names: &HeaderNames) -> Result<(), String> {
    if names.allowed_names.is_empty()
        || names
            .allowed_names
            .iter()
            .any(|allowed| allowed == common_name)
    {
        return Ok(());
    }
    Err(format!(
        "x509: subject with cn={common_name} is not in the allowed list"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn names() -> HeaderNames {
        let one = |name: &str| vec![name.to_owned()];
        HeaderNames {
            username: one("X-Remote-User"),
            uid: one("X-Remote-Uid"),
            group: one("X-Remote-Group"),
            extra_prefix: one("X-Remote-Extra-"),
            allowed_names: one("front-proxy-client"),
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|&(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn a_user_is_read_from_the_configured_headers() {
        let headers = headers(&[
            ("x-remote-user", "ada"),
            ("x-remote-group", "dev"),
            ("x-remote-group", "ops"),
            ("x-remote-extra-example.org%2fscope", "all"),
        ]);
        let user = user(&headers, &names()).expect("a user is named");
        assert_eq!(user.name, "ada");
        assert_eq!(user.groups, ["dev", "ops"]);
        assert_eq!(user.extra["example.org/scope"], ["all"]);
    }

    #[test]
    fn without_a_name_nobody_is_named() {
        assert_eq!(user(&headers(&[("x-remote-group", "dev")]), &names()), None);
        assert_eq!(user(&headers(&[("x-remote-user", "")]), &names()), None);
        assert_eq!(
            user(
                &headers(&[("x-remote-user", "ada")]),
                &HeaderNames::default()
            ),
            None
        );
    }

    #[test]
    fn only_proxies_on_the_list_may_speak_for_others() {
        assert_eq!(check_proxy("front-proxy-client", &names()), Ok(()));
        assert_eq!(check_proxy("anyone", &HeaderNames::default()), Ok(()));
        assert_eq!(
            check_proxy("kubelet", &names()),
            Err("x509: subject with cn=kubelet is not in the allowed list".to_owned())
        );
    }
}
