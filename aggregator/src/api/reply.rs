//! An HTTP answer, before anything is sent.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// `Content-Type` of API answers.
pub const JSON: &str = "application/json";

/// `Content-Type` of health checks.
pub const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// Bodies larger than this are compressed for clients that accept it.
///
/// Source: apiserver `endpoints/handlers/responsewriters/writers.go:
/// defaultGzipThresholdBytes`.
const GZIP_THRESHOLD: usize = 128 * 1024;

/// An HTTP answer, before anything is sent. `Content-Length`,
/// `Cache-Control: no-cache, private` (unless `headers` has another) and
/// `Audit-Id` are the server's to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The whole body.
    pub body: Bytes,
}

impl Reply {
    /// An answer without further headers.
    #[must_use]
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Compresses a large body if the client accepts gzip by that very word,
    /// without weights.
    ///
    /// Source: the same file, `negotiateContentEncoding`.
    pub(super) fn compressed_for(self, accept_encoding: Option<&str>) -> Self {
        let mut accepted = accept_encoding.unwrap_or_default().split(',');
        if self.body.len() <= GZIP_THRESHOLD || !accepted.any(|token| token.trim() == "gzip") {
            return self;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder
            .write_all(&self.body)
            .expect("writing to memory does not fail");
        let body = encoder
            .finish()
            .expect("writing to memory does not fail")
            .into();
        Self { body, ..self }
            .with_header("Content-Encoding", "gzip")
            .with_header("Vary", "Accept-Encoding")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn only_large_bodies_are_compressed_and_only_for_who_asks() {
        let large = Reply::new(200, JSON, vec![b'x'; GZIP_THRESHOLD + 1]);
        let small = Reply::new(200, JSON, vec![b'x'; GZIP_THRESHOLD]);
        assert_eq!(small.clone().compressed_for(Some("gzip")), small);
        for accept in [None, Some(""), Some("br"), Some("gzip;q=1")] {
            assert_eq!(large.clone().compressed_for(accept), large, "{accept:?}");
        }
        let compressed = large.clone().compressed_for(Some("br, gzip"));
        assert_eq!(
            compressed.headers[0],
            ("Content-Encoding", "gzip".to_owned())
        );
        let mut body = Vec::new();
        flate2::read::GzDecoder::new(&*compressed.body)
            .read_to_end(&mut body)
            .expect("it was compressed just now");
        assert_eq!(body, large.body);
    }
}
