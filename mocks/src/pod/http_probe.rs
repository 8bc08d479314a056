//! One HTTP probe on the wire.
//!
//! Source: `pkg/probe/http/http.go DoHTTPProbe`,
//! `pkg/kubelet/prober/prober.go runProbeWithRetries`.

use std::rc::Rc;

use http::header::{ACCEPT, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue};

use super::{Probe, Scheme, Shared};
use crate::event::Outcome;
use crate::http_client::{
    Client, IncomingResponse, OutgoingRequest, Settings, Stage, Target, Timeouts,
};

/// How much of a body is read; more is no error. Source: `maxRespBodyLength`.
const BODY_LIMIT: usize = 10 * 1024;

/// Tries within one probe, used up only by internal errors.
/// Source: `pkg/kubelet/prober/prober.go maxProbeRetries`.
const TRIES: u32 = 3;

/// A probe that can be carried out again and again. Every time is a new
/// connection from the node, and nothing is verified.
pub(super) struct HttpProbe {
    client: Client,
    request: OutgoingRequest,
}

/// What came of a probe.
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    pub(super) outcome: Outcome,
    /// The failure as events print it; the body's first line on success.
    pub(super) text: String,
}

/// How the prober judges an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Success,
    /// A redirect: counts as success and makes an event.
    Warning,
    Failure,
    /// The probe itself failed: counts for nothing.
    Error,
}

impl HttpProbe {
    pub(super) fn new(shared: &Shared, probe: &Probe) -> Self {
        let settings = Settings {
            timeouts: Timeouts {
                dial: None,
                tls: None,
                total: Some(probe.timeout),
            },
            keep_alive: false,
            body_limit: BODY_LIMIT,
        };
        let target = Rc::new(Target {
            scheme_https: probe.scheme == Scheme::Https,
            ..Target::https(shared.probed_address(probe))
        });
        let mut request = OutgoingRequest::get(&target, path_and_query(&probe.path));
        request.headers = headers();
        Self {
            client: Client::new(shared.node.clone(), shared.probe_tls.clone(), settings),
            request,
        }
    }

    /// The path that is asked for.
    pub(super) fn path(&self) -> &str {
        self.request.path.as_str()
    }

    /// Probes once; again only after an internal error.
    pub(super) async fn probe(&self) -> Answer {
        let mut answer = self.once().await;
        for _ in 1..TRIES {
            if answer.verdict != Verdict::Error {
                break;
            }
            answer = self.once().await;
        }
        answer
    }

    async fn once(&self) -> Answer {
        match self.client.send(self.request.clone()).await {
            Ok(response) => judge(&response),
            Err(error) => Answer {
                verdict: match error.stage {
                    Stage::Headers => Verdict::Failure,
                    Stage::Body => Verdict::Error,
                },
                outcome: error.outcome,
                text: error.to_string(),
            },
        }
    }
}

/// DIFFERENCE: redirects to the same host are not followed.
fn judge(response: &IncomingResponse) -> Answer {
    let code = response.status.as_u16();
    let (verdict, text) = match code {
        200..300 => (Verdict::Success, first_line(&response.body)),
        300..400 => {
            let body = String::from_utf8_lossy(&response.body);
            let text = format!("Probe terminated redirects, Response body: {body}");
            (Verdict::Warning, text)
        }
        _ => {
            let text = format!("HTTP probe failed with statuscode: {code}");
            (Verdict::Failure, text)
        }
    };
    Answer {
        verdict,
        outcome: Outcome::Status(code),
        text,
    }
}

fn first_line(body: &[u8]) -> String {
    let line = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}

/// Source: `pkg/probe/http/request.go v1ProbeToHTTPHeaders`, `userAgent`.
fn headers() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(USER_AGENT, HeaderValue::from_static("kube-probe/1.36"));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers
}

/// A path as written in a manifest; what a URL cannot hold is escaped.
fn path_and_query(path: &str) -> PathAndQuery {
    let mut escaped = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        escaped.push('/');
    }
    for byte in path.bytes() {
        match byte {
            b'!'..=b'~' if !matches!(byte, b'"' | b'<' | b'>' | b'#' | b'`' | b'{' | b'}') => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    PathAndQuery::try_from(escaped).expect("every other byte was escaped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::StatusCode;

    fn judged(code: u16, body: &'static str) -> (Verdict, String) {
        let answer = judge(&IncomingResponse {
            status: StatusCode::from_u16(code).expect("a status"),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
        });
        (answer.verdict, answer.text)
    }

    #[test]
    fn statuses_below_400_are_successes_and_no_failure_shows_the_body() {
        assert_eq!(judged(200, "ok"), (Verdict::Success, "ok".to_owned()));
        assert_eq!(judged(200, "[+]ping ok\n[+]log ok").1, "[+]ping ok");
        assert_eq!(
            judged(500, "[-]metric-storage-ready failed"),
            (
                Verdict::Failure,
                "HTTP probe failed with statuscode: 500".to_owned()
            )
        );
        assert_eq!(
            judged(302, "moved"),
            (
                Verdict::Warning,
                "Probe terminated redirects, Response body: moved".to_owned()
            )
        );
    }

    #[test]
    fn paths_become_valid_request_targets() {
        assert_eq!(
            path_and_query("/readyz?verbose").as_str(),
            "/readyz?verbose"
        );
        assert_eq!(path_and_query("livez").as_str(), "/livez");
        assert_eq!(path_and_query("/a b#ü").as_str(), "/a%20b%23%C3%BC");
    }
}
