//! What is presented in the `Authorization` header.

use std::cell::RefCell;
use std::time::Duration;

use http::HeaderValue;
use seam::Host;
use tokio::time::Instant;

use crate::environment::Credentials;

/// A token file is good for a minute, less a leeway of 10 s.
///
/// Source: lib: client-go `transport/token_source.go:
/// NewCachedFileTokenSource`.
const TOKEN_PERIOD: Duration = Duration::from_secs(50);

/// Where the value of the `Authorization` header comes from.
pub struct HeaderSource {
    host: Host,
    origin: Origin,
}

enum Origin {
    Fixed(Option<HeaderValue>),
    File {
        path: String,
        read: RefCell<Option<(Instant, HeaderValue)>>,
    },
}

impl HeaderSource {
    /// The source for these credentials. A client certificate needs no header.
    #[must_use]
    pub fn new(host: Host, credentials: &Credentials) -> Self {
        let fixed = |value: String| Origin::Fixed(sensitive(&value));
        let origin = match credentials {
            Credentials::Anonymous | Credentials::ClientCertificate { .. } => Origin::Fixed(None),
            Credentials::Token(token) => fixed(format!("Bearer {token}")),
            Credentials::TokenFile(path) => Origin::File {
                path: path.clone(),
                read: RefCell::new(None),
            },
            Credentials::Basic { username, password } => fixed(format!(
                "Basic {}",
                base64(format!("{username}:{password}").as_bytes())
            )),
        };
        Self { host, origin }
    }

    /// The header's value for a request sent now. A token file that cannot be
    /// read leaves the last token in use.
    #[must_use]
    pub fn header(&self) -> Option<HeaderValue> {
        let (path, read) = match &self.origin {
            Origin::Fixed(value) => return value.clone(),
            Origin::File { path, read } => (path, read),
        };
        let now = Instant::now();
        if let Some((since, value)) = &*read.borrow()
            && now < *since + TOKEN_PERIOD
        {
            return Some(value.clone());
        }
        let fresh = self.host.files().read(path).ok().and_then(|bytes| {
            let token = String::from_utf8(bytes).ok()?;
            sensitive(&format!("Bearer {}", token.trim()))
        });
        let mut read = read.borrow_mut();
        if let Some(value) = fresh {
            *read = Some((now, value));
        }
        read.as_ref().map(|(_, value)| value.clone())
    }
}

fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// RFC 4648 base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0u32, |group, &byte| group << 8 | u32::from(byte))
            << (8 * (3 - chunk.len()));
        for position in 0..4 {
            if position <= chunk.len() {
                let index = group >> (18 - 6 * position) & 0x3f;
                text.push(char::from(ALPHABET[index as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_to_groups_of_four() {
        // Source: RFC 4648 section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
