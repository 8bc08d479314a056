//! One scrape of one kubelet.
//!
//! - `refusal`: what is said about an answer other than 200;
//! - `notes`: what is logged about incomplete answers.

mod notes;
mod refusal;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use seam::{Host, Timestamp};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use crate::decode::{self, Incomplete};
use crate::environment::{ClusterConfig, Credentials};
use crate::informer::Node;
use crate::klog::{Log, Quoted};
use crate::options::KubeletOptions;
use crate::sample::MetricsBatch;
use crate::summary::{self, Skipped};
use crate::transport::connect::Security;
use crate::transport::credentials::HeaderSource;
use crate::transport::error::errno_text;
use crate::transport::tls::{Identity, Tls, Trust, certificates};
use crate::transport::x509::Authorities;
use crate::transport::{Authority, ErrorKind, HttpClient, Response, TransportError};
use crate::version::{KubeletEndpoint, Version};

/// Where a kubelet shows its metrics, from 0.6 on.
const RESOURCE: &str = "/metrics/resource";

/// The same up to 0.5.
const SUMMARY: &str = "/stats/summary?only_cpu_and_memory=true";

/// DIFFERENCE: Go reads bodies of any size.
const MAX_BODY: usize = 64 << 20;

/// A buffer that grew beyond this is given back to the system: a kubelet with
/// 250 pods says less.
const MAX_SPARE_BUFFER: usize = 1 << 20;

/// Buffers kept for the next tick; more were in use only if kubelets answered
/// at the same instant.
const MAX_SPARE_BUFFERS: usize = 64;

/// Asks kubelets for their metrics.
///
/// DIFFERENCE: redirects are not followed: they are failures with their
/// status.
///
/// Source: `pkg/scraper/client/resource/client.go: kubeletClient`.
pub struct KubeletClient {
    host: Host,
    http: Rc<HttpClient>,
    scheme: &'static str,
    authorization: HeaderSource,
    user_agent: HeaderValue,
    options: KubeletOptions,
    version: Version,
    log: Log,
    spare_buffers: RefCell<Vec<Vec<u8>>>,
}

/// Why a kubelet gave no metrics. `Display` is the text that is logged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct ScrapeError {
    /// One word, as in [`crate::environment::Event::Scraped`].
    pub outcome: String,
    /// The text that is logged.
    pub text: String,
    /// Whether Go's error wraps `context.DeadlineExceeded`.
    pub deadline_exceeded: bool,
    /// The address that was asked, if the node has one.
    pub address: Option<String>,
}

impl ScrapeError {
    fn new(outcome: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            outcome: outcome.into(),
            text: text.into(),
            deadline_exceeded: false,
            address: None,
        }
    }
}

impl KubeletClient {
    /// A client with the credentials and trust of `cluster`, as far as the
    /// options do not say otherwise.
    ///
    /// Source: `cmd/metrics-server/app/options/kubelet_client.go:
    /// KubeletClientOptions.Config`.
    ///
    /// # Errors
    ///
    /// The text after `unable to construct a client to connect to the
    /// kubelets: `.
    pub fn new(
        host: &Host,
        tls: &Tls,
        cluster: &ClusterConfig,
        options: &KubeletOptions,
        version: Version,
        user_agent: &str,
        log: Log,
    ) -> Result<Self, String> {
        let (security, credentials) = if options.completely_insecure {
            (None, &Credentials::Anonymous)
        } else {
            (
                Some(security(host, tls, cluster, options)?),
                &cluster.credentials,
            )
        };
        Ok(Self {
            scheme: if security.is_some() { "https" } else { "http" },
            http: HttpClient::new(host.clone(), security),
            authorization: HeaderSource::new(host.clone(), credentials),
            user_agent: HeaderValue::from_str(user_agent).map_err(|error| error.to_string())?,
            options: options.clone(),
            version,
            log,
            spare_buffers: RefCell::default(),
            host: host.clone(),
        })
    }

    /// Scrapes a node, until `deadline` at the latest.
    ///
    /// Source: `client.go: (*kubeletClient).GetMetrics, getMetrics`.
    ///
    /// # Errors
    ///
    /// [`ScrapeError`], with Go's text.
    pub async fn get_metrics(
        &self,
        node: &Node,
        deadline: Instant,
    ) -> Result<MetricsBatch, ScrapeError> {
        let authority = self.authority(node)?;
        let told = |error: ScrapeError| ScrapeError {
            address: Some(authority.host.to_string()),
            ..error
        };
        let target = match self.version.kubelet_endpoint() {
            KubeletEndpoint::Summary(_) => SUMMARY.to_owned(),
            KubeletEndpoint::Resource => {
                encode_path(node.metrics_path.as_deref().unwrap_or(RESOURCE))
            }
        };
        let request_time = self.host.now();
        let response = self.exchange(&authority, &target, deadline).await;
        let response = response.map_err(told)?;
        let status = response.status;
        let mut body = self.spare_buffers.borrow_mut().pop().unwrap_or_default();
        let result = match self.read(response, &mut body, deadline).await {
            Ok(()) if status != StatusCode::OK => {
                let url = self.url(&authority, &target);
                Err(refusal::status(self.version, &url, status, &body))
            }
            Ok(()) => self.decode(&body, request_time, node, &authority),
            Err(error) => Err(error),
        };
        let mut spare = self.spare_buffers.borrow_mut();
        if spare.len() < MAX_SPARE_BUFFERS && body.capacity() <= MAX_SPARE_BUFFER {
            spare.push(body);
        }
        result.map_err(told)
    }

    /// Reads an answer's body, where the release does.
    async fn read(
        &self,
        response: Response,
        body: &mut Vec<u8>,
        deadline: Instant,
    ) -> Result<(), ScrapeError> {
        let is_exposition = self.version.kubelet_endpoint() == KubeletEndpoint::Resource;
        if is_exposition && response.status != StatusCode::OK {
            return Ok(());
        }
        let read = match timeout_at(deadline, response.read_into(body, MAX_BODY)).await {
            Ok(read) => read,
            Err(_) => Err(TransportError::deadline()),
        };
        read.map_err(|error| {
            let text = match is_exposition {
                true => format!("failed to read response body - {error}"),
                false => error.to_string(),
            };
            // The cause is formatted, not wrapped: a deadline here is an
            // error like any other.
            ScrapeError::new(error.kind.outcome(), text)
        })
    }

    fn url(&self, authority: &Authority, target: &str) -> String {
        format!("{}://{authority}{target}", self.scheme)
    }

    /// Sends the request and waits for the head of the answer.
    async fn exchange(
        &self,
        authority: &Authority,
        path: &str,
        deadline: Instant,
    ) -> Result<Response, ScrapeError> {
        let failed = |error: TransportError| {
            let url = self.url(authority, path);
            let mut cause = error.to_string();
            if !self.version.names_failed_verification() {
                cause = cause.replace("tls: failed to verify certificate: ", "");
            }
            // Go quotes the URL since 1.14.
            let text = match self.version.minor() {
                ..=3 => format!("Get {url}: {cause}"),
                _ => format!("Get {}: {cause}", Quoted(&url)),
            };
            ScrapeError {
                deadline_exceeded: error.kind == ErrorKind::Deadline,
                ..ScrapeError::new(error.kind.outcome(), text)
            }
        };
        let request = self.request(authority, path).ok_or_else(|| {
            ScrapeError::new(
                "malformed",
                format!(
                    "parse {}: invalid URL",
                    Quoted(&format!("{authority}{path}"))
                ),
            )
        })?;
        match timeout_at(deadline, self.http.send(authority, request)).await {
            Ok(Ok(response)) => Ok(response),
            // A time-out of the transport that ends at the same instant as the
            // deadline: which one Go reports is a race, here the deadline wins.
            Ok(Err(error)) if error.kind == ErrorKind::Timeout && Instant::now() >= deadline => {
                Err(failed(TransportError::deadline()))
            }
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(failed(TransportError::deadline())),
        }
    }

    fn request(&self, authority: &Authority, path: &str) -> Option<Request<Full<Bytes>>> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = path.parse().ok()?;
        let headers = request.headers_mut();
        headers.insert(
            header::HOST,
            HeaderValue::from_str(&authority.to_string()).ok()?,
        );
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        if let Some(authorization) = self.authorization.header() {
            headers.insert(header::AUTHORIZATION, authorization);
        }
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        Some(request)
    }

    /// Source: `client.go: (*kubeletClient).GetMetrics`;
    /// `pkg/utils/address_resolver.go: (*prioNodeAddrResolver).NodeAddress`.
    fn authority(&self, node: &Node) -> Result<Authority, ScrapeError> {
        let own = i64::from(node.kubelet_port);
        let port = if self.options.use_node_status_port && own != 0 {
            own
        } else {
            self.options.port
        };
        let types = &self.options.address_types;
        let address = types
            .iter()
            .find_map(|wanted| node.addresses.iter().find(|(kind, _)| kind == wanted))
            .ok_or_else(|| {
                let types = types.join(" ");
                let text = match self.version.minor() {
                    ..=4 => format!(
                        "unable to extract connection information for node {}: node {} had no \
                         addresses that matched types [{types}]",
                        Quoted(&node.name),
                        node.name
                    ),
                    _ => format!("no address matched types [{types}]"),
                };
                ScrapeError::new("no-address", text)
            })?;
        let port = u16::try_from(port).map_err(|_| {
            let text = format!("dial tcp: address {port}: invalid port");
            ScrapeError::new("unreachable", text)
        })?;
        Ok(Authority {
            host: address.1.as_str().into(),
            port,
        })
    }

    fn decode(
        &self,
        body: &[u8],
        request_time: Timestamp,
        node: &Node,
        authority: &Authority,
    ) -> Result<MetricsBatch, ScrapeError> {
        match self.version.kubelet_endpoint() {
            KubeletEndpoint::Resource => {
                let mut note = |incomplete: Incomplete<'_>| self.log_incomplete(&incomplete);
                let decoded = decode::decode_noting(body, request_time, &node.name, &mut note);
                decoded.map_err(|error| {
                    ScrapeError::new("malformed", format!("failed parsing metrics: {error}"))
                })
            }
            KubeletEndpoint::Summary(rule) => {
                let mut note = |skipped: Skipped| {
                    self.log_skipped(&node.name, &authority.host, &skipped);
                };
                summary::decode(body, rule, &node.name, &mut note).map_err(|error| {
                    let url = self.url(authority, SUMMARY);
                    refusal::summary(self.version, &url, body, &error)
                })
            }
        }
    }
}

fn security(
    host: &Host,
    tls: &Tls,
    cluster: &ClusterConfig,
    options: &KubeletOptions,
) -> Result<Security, String> {
    let read = |path: &str| {
        host.files().read(path).map_err(|error| {
            format!(
                "unable to construct transport: open {path}: {}",
                errno_text(&error)
            )
        })
    };
    let trust =
        if options.insecure_tls || (cluster.insecure && options.certificate_authority.is_empty()) {
            Trust::Anyone
        } else if options.certificate_authority.is_empty() {
            Trust::Authorities(Authorities::new(&cluster.ca))
        } else {
            Trust::Authorities(Authorities::new(&certificates(&read(
                &options.certificate_authority,
            )?)))
        };
    let unusable = |text: String| format!("unable to construct transport: {text}");
    let identity = if !options.client_certificate.is_empty() {
        let chain = read(&options.client_certificate)?;
        Some(Identity::from_pem(&chain, &read(&options.client_key)?).map_err(unusable)?)
    } else if let Credentials::ClientCertificate { certificate, key } = &cluster.credentials {
        Some(Identity::from_pem(certificate, key).map_err(unusable)?)
    } else {
        None
    };
    Ok(Security {
        config: Arc::new(tls.client(trust, identity).map_err(unusable)?),
        server_name: cluster.server_name.clone(),
    })
}

/// Escapes a path as Go does: a `?` in it does not begin a query.
///
/// Source: Go `net/url: (*URL).EscapedPath`.
fn encode_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        encoded.push('/');
    }
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => encoded.push(char::from(byte)),
            b'-' | b'_' | b'.' | b'~' | b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'='
            | b'@' => {
                encoded.push(char::from(byte));
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Unobserved;
    use crate::options::{self, Command};
    use crate::version::Version;

    fn client(line: &str) -> KubeletClient {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let Ok(Command::Run(options)) = options::parse(&args, Version::V0_8) else {
            panic!("{line}");
        };
        let host = seam::tokio_host::host("test");
        let cluster = ClusterConfig {
            host: "10.43.0.1".to_owned(),
            port: 443,
            ca: Vec::new(),
            insecure: false,
            credentials: Credentials::Anonymous,
            server_name: None,
        };
        let log = Log::new(Rc::new(Unobserved), 0);
        let tls = Tls::new(host.clock());
        KubeletClient::new(
            &host,
            &tls,
            &cluster,
            &options.kubelet,
            Version::V0_8,
            "metrics-server",
            log,
        )
        .expect("no files are needed")
    }

    fn check(line: &str, addresses: &[(&str, &str)], port: u16, expected: &str) {
        let node = Node {
            name: "n".into(),
            addresses: addresses
                .iter()
                .map(|&(kind, address)| (kind.to_owned(), address.to_owned()))
                .collect(),
            kubelet_port: port,
            ..Node::default()
        };
        let found = client(line).authority(&node);
        assert_eq!(
            found.map_or_else(|error| error.text, |found| found.to_string()),
            expected
        );
    }

    #[test]
    fn the_first_preferred_address_type_that_a_node_has_is_used() {
        let addresses = [
            ("InternalIP", "10.0.0.1"),
            ("InternalIP", "fd00::1"),
            ("Hostname", "node-1"),
        ];
        check("", &addresses, 0, "node-1:10250");
        check(
            "--kubelet-preferred-address-types=InternalIP,Hostname",
            &addresses,
            0,
            "10.0.0.1:10250",
        );
        check(
            "--kubelet-preferred-address-types=InternalIP",
            &addresses[1..],
            0,
            "[fd00::1]:10250",
        );
        check(
            "--kubelet-preferred-address-types=ExternalDNS,Foo",
            &addresses,
            0,
            "no address matched types [ExternalDNS Foo]",
        );
    }

    #[test]
    fn the_nodes_own_port_counts_only_if_asked_for_and_set() {
        let addresses = [("Hostname", "n")];
        check("--kubelet-port=1", &addresses, 2, "n:1");
        check(
            "--kubelet-port=1 --kubelet-use-node-status-port",
            &addresses,
            2,
            "n:2",
        );
        check(
            "--kubelet-port=1 --kubelet-use-node-status-port",
            &addresses,
            0,
            "n:1",
        );
    }

    #[test]
    fn a_question_mark_in_the_path_begins_no_query() {
        assert_eq!(encode_path("/custom/path"), "/custom/path");
        assert_eq!(encode_path("a?b=c d"), "/a%3Fb=c%20d");
    }
}
