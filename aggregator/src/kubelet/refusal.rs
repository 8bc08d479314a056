//! What is said about an answer other than 200, or one that is no JSON.

use http::StatusCode;

use super::ScrapeError;
use crate::klog::Quoted;
use crate::version::Version;

/// The error of an answer with another status than 200. `body` is read up to
/// 0.3 only.
///
/// Source: `pkg/scraper/client/resource/client.go: getMetrics`; 0.5
/// `pkg/scraper/client/summary/client.go: makeRequestAndGetValue`; 0.4
/// `pkg/scraper/client.go`; 0.3 `pkg/sources/summary/client.go`.
pub(super) fn status(version: Version, url: &str, status: StatusCode, body: &[u8]) -> ScrapeError {
    let line = status_line(status);
    let line = Quoted(&line);
    let text = match version.minor() {
        ..=4 if status == StatusCode::NOT_FOUND => format!("{} not found", Quoted(url)),
        ..=3 => format!(
            "request failed - {line}, response: {}",
            Quoted(&String::from_utf8_lossy(body))
        ),
        4 => format!("request failed - {line}."),
        5 => format!("GET {}: bad status code {line}", Quoted(url)),
        _ => format!("request failed, status: {line}"),
    };
    ScrapeError::new(status.as_str(), text)
}

/// The error of a summary that cannot be parsed.
///
/// DIFFERENCE: the parser's words are those of another library.
pub(super) fn summary(version: Version, url: &str, body: &[u8], error: &str) -> ScrapeError {
    let text = match version.minor() {
        ..=3 => format!(
            "failed to parse output. Response: {}. Error: {error}",
            Quoted(&String::from_utf8_lossy(body))
        ),
        4 => format!("failed to parse output. Error: {error}"),
        _ => format!("GET {}: failed to parse output: {error}", Quoted(url)),
    };
    ScrapeError::new("malformed", text)
}

/// `403 Forbidden`
fn status_line(status: StatusCode) -> String {
    format!(
        "{} {}",
        status.as_u16(),
        status.canonical_reason().unwrap_or("")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_with_its_reason() {
        assert_eq!(status_line(StatusCode::FORBIDDEN), "403 Forbidden");
        assert_eq!(
            status_line(StatusCode::INTERNAL_SERVER_ERROR),
            "500 Internal Server Error"
        );
    }

    /// Source: logs of the releases in public threads.
    #[test]
    fn each_release_has_its_own_words_for_a_refusal() {
        let url = "https://10.0.0.1:10250/stats/summary?only_cpu_and_memory=true";
        let said = |version: &str, code: StatusCode| {
            let version = version.parse().expect("a known release");
            status(version, url, code, b"no\n").text
        };
        let forbidden = StatusCode::FORBIDDEN;
        assert_eq!(
            said("0.3.6", forbidden),
            r#"request failed - "403 Forbidden", response: "no\n""#
        );
        assert_eq!(
            said("0.4.4", forbidden),
            r#"request failed - "403 Forbidden"."#
        );
        assert_eq!(
            said("0.5.2", forbidden),
            format!(r#"GET "{url}": bad status code "403 Forbidden""#)
        );
        assert_eq!(
            said("0.6.1", forbidden),
            r#"request failed, status: "403 Forbidden""#
        );
        assert_eq!(
            said("0.4.4", StatusCode::NOT_FOUND),
            format!(r#""{url}" not found"#)
        );
    }
}
