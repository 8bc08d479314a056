//! Request → authentication → status → body.
//!
//! Source: pkg/kubelet/server/server.go, `InstallAuthFilter`;
//! pkg/kubelet/server/auth.go, `GetRequestAttributes`.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::{self, LocalBoxStream, StreamExt};
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, StatusCode};
use seam::{Host, Random};

use crate::event::{Event, Recorder};
use crate::exposition::{self, Include, Samples};
use crate::http_server::{Handler, Request, Response};

use super::sampling::Sampler;
use super::{KubeletConfig, KubeletState, Payload, elapsed_ns};

/// The one path that is modelled.
const PATH: &str = "/metrics/resource";

/// What else a kubelet serves. Asking for it is no mistake of the client's.
const OTHER_PATHS: [&str; 12] = [
    "/attach",
    "/checkpoint",
    "/configz",
    "/containerLogs",
    "/debug",
    "/exec",
    "/healthz",
    "/logs",
    "/metrics",
    "/pods",
    "/portForward",
    "/stats",
];

/// Source: client_golang prometheus/promhttp, `HandlerFor`; common/expfmt.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

const PROCESS_START: HeaderName = HeaderName::from_static("process-start-time-unix");

/// Who metrics-server is to a kubelet.
const USER: &str = "system:serviceaccount:kube-system:metrics-server";

/// One life of a kubelet's process, as seen by requests.
pub(super) struct Scrapes(Rc<Inner>);

struct Inner {
    host: Host,
    config: KubeletConfig,
    recorder: Rc<dyn Recorder>,
    /// What the node's clock showed when the process started, in seconds.
    started_seconds: i64,
    sampler: RefCell<Sampler>,
    garbage: RefCell<Box<dyn Random>>,
    /// Length of the last body: the next is about as long.
    last_length: Cell<usize>,
}

impl Scrapes {
    pub(super) fn new(host: Host, config: KubeletConfig, recorder: Rc<dyn Recorder>) -> Self {
        let since_ns = elapsed_ns(config.start);
        let seed = host.random("kubelet/housekeeping").next_u64();
        let sampler = Sampler::new(&config.load, &config.wall_at, since_ns, seed);
        Self(Rc::new(Inner {
            started_seconds: host.now().as_seconds(),
            sampler: RefCell::new(sampler),
            garbage: RefCell::new(host.random("kubelet/garbage")),
            last_length: Cell::new(0),
            host,
            config,
            recorder,
        }))
    }
}

impl Handler for Scrapes {
    fn handle(&self, request: Request) -> LocalBoxFuture<'static, Response> {
        Rc::clone(&self.0).answer(request).boxed_local()
    }
}

impl Inner {
    async fn answer(self: Rc<Self>, request: Request) -> Response {
        let behaviour = self.config.behaviour.current();
        if matches!(
            behaviour.state,
            KubeletState::HangHttp | KubeletState::HangTls
        ) {
            self.record(Event::KubeletServed { status: 0 });
            return std::future::pending().await;
        }
        if request.path != PATH {
            return self.answer_elsewhere(&request);
        }
        tokio::time::sleep((behaviour.latency)()).await;
        let response = self.scrape(&request);
        self.record(Event::KubeletServed {
            status: response.status,
        });
        response
    }

    /// Authentication comes before everything, so that nobody learns which
    /// paths there are.
    fn answer_elsewhere(&self, request: &Request) -> Response {
        if !self.knows(&request.headers) {
            return unauthorized();
        }
        let below = |path: &str| {
            let rest = request.path.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if OTHER_PATHS.into_iter().any(below) {
            let request = format!("{} {}", request.method, request.path);
            let answer = Response::text(501, &format!("not modelled: {request}"));
            self.record(Event::NotModelled { request });
            return answer;
        }
        Response::text(404, "404 page not found")
    }

    fn scrape(&self, request: &Request) -> Response {
        if !self.knows(&request.headers) {
            return unauthorized();
        }
        // The behaviour when the answer is ready: a script may have moved on
        // while it was being made.
        let behaviour = self.config.behaviour.current();
        match behaviour.status {
            _ if request.method != Method::GET => {
                Response::plain(405, "405: Method Not Allowed").with_header(header::ALLOW, "GET")
            }
            200 => self.exposition(
                &behaviour.payload,
                behaviour.housekeeping,
                behaviour.timestamps,
            ),
            status => refusal(status),
        }
    }

    /// Whether the request carries the token that is known.
    ///
    /// Source: apiserver/pkg/authentication/request/bearertoken,
    /// `Authenticator.AuthenticateRequest`.
    fn knows(&self, headers: &HeaderMap) -> bool {
        let value = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let mut parts = value.unwrap_or_default().trim().splitn(3, ' ');
        let scheme = parts.next().unwrap_or_default();
        let token = parts.next().unwrap_or_default();
        scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && *token == *self.config.token
    }

    /// DIFFERENCE: never compressed, and always text, whatever the client
    /// accepts.
    fn exposition(
        &self,
        payload: &Payload,
        housekeeping: Option<Duration>,
        timestamps: bool,
    ) -> Response {
        let include = Include {
            timestamps,
            ..include(payload)
        };
        let healthy = || self.text(include, payload == &Payload::ZeroNode, housekeeping);
        let response = match payload {
            Payload::ScrapeError => Response::new(200, exposition::SCRAPE_ERROR),
            Payload::Empty => Response::new(200, Bytes::new()),
            Payload::Raw(text) => Response::new(200, self.fill_in(text, housekeeping)),
            Payload::Garbage => Response::new(200, self.garbage()),
            Payload::Truncated(length) => {
                let mut body = healthy();
                let declared = body.len().max(length + 1);
                body.truncate(*length);
                Response::stream(200, broken_off(body))
                    .with_header(header::CONTENT_LENGTH, &declared.to_string())
            }
            Payload::Endless => Response::stream(200, endless(healthy())),
            Payload::InvalidUtf8 => {
                let mut body = healthy();
                body.extend_from_slice(
                    b"container_cpu_usage_seconds_total{container=\"\xff\xfe\",\
                      namespace=\"default\",pod=\"not-utf-8\"} 1\n",
                );
                Response::new(200, body)
            }
            Payload::Healthy
            | Payload::NoNodeSeries
            | Payload::NoContainerSeries
            | Payload::ZeroNode
            | Payload::NoContainerCpu
            | Payload::NoContainerMemory
            | Payload::DuplicateSeries => Response::new(200, healthy()),
        };
        response
            .with_header(header::CONTENT_TYPE, CONTENT_TYPE)
            .with_header(PROCESS_START, &self.started_seconds.to_string())
    }

    /// Calls `with` on what was last read.
    fn read<T>(
        &self,
        housekeeping: Option<Duration>,
        with: impl FnOnce(&exposition::Exposition, &Samples) -> T,
    ) -> T {
        let mut sampler = self.sampler.borrow_mut();
        sampler.follow(&self.config.load, &self.config.wall_at);
        let now_ns = elapsed_ns(self.config.start);
        let (exposition, samples) = sampler.read(now_ns, housekeeping, &self.config.wall_at);
        with(exposition, samples)
    }

    fn text(&self, include: Include, idle_node: bool, housekeeping: Option<Duration>) -> Vec<u8> {
        // Room for values that have grown by a digit.
        let expected = self.last_length.get();
        let mut body = Vec::with_capacity(expected + expected / 16);
        self.read(housekeeping, |exposition, samples| {
            if idle_node {
                let mut samples = samples.clone();
                if let Some(node) = &mut samples.node {
                    (node.cpu_ns, node.memory_bytes) = (0, 0);
                }
                exposition.render(&samples, include, &mut body);
            } else {
                exposition.render(samples, include, &mut body);
            }
        });
        self.last_length.set(body.len());
        body
    }

    fn fill_in(&self, text: &str, housekeeping: Option<Duration>) -> String {
        let node = self.read(housekeeping, |_, samples| samples.node);
        let node = node.expect("a node always has a reading");
        text.replace("{CPU}", &exposition::seconds(node.cpu_ns))
            .replace("{TS}", &node.time_ms.to_string())
    }

    fn garbage(&self) -> Vec<u8> {
        let mut random = self.garbage.borrow_mut();
        (0..512)
            .flat_map(|_| random.next_u64().to_le_bytes())
            .collect()
    }

    fn record(&self, event: Event) {
        self.recorder.record(self.host.name(), event);
    }
}

fn include(payload: &Payload) -> Include {
    let all = Include::ALL;
    match payload {
        Payload::NoNodeSeries => Include { node: false, ..all },
        Payload::NoContainerSeries => Include {
            container_cpu: false,
            container_memory: false,
            container_rest: false,
            ..all
        },
        Payload::NoContainerCpu => Include {
            container_cpu: false,
            ..all
        },
        Payload::NoContainerMemory => Include {
            container_memory: false,
            ..all
        },
        Payload::DuplicateSeries => Include { twice: true, ..all },
        _ => all,
    }
}

fn unauthorized() -> Response {
    Response::plain(401, "Unauthorized")
}

/// What a kubelet says instead of answering.
fn refusal(status: u16) -> Response {
    let text = match status {
        401 => return unauthorized(),
        403 => {
            format!("Forbidden (user={USER}, verb=get, resource=nodes, subresource(s)=[metrics])")
        }
        404 => return Response::text(404, "404 page not found"),
        500 => format!(
            "Authorization error (user={USER}, verb=get, resource=nodes, subresource=metrics)"
        ),
        204 | 304 => return Response::new(status, Bytes::new()),
        _ => {
            let reason = StatusCode::from_u16(status)
                .ok()
                .and_then(|code| code.canonical_reason());
            return Response::text(status, reason.unwrap_or("no reason"));
        }
    };
    Response::plain(status, &text)
}

/// `body`, and then the connection breaks. The pause lets the body reach the
/// network first: what is still in our own buffers then is lost.
fn broken_off(body: Vec<u8>) -> LocalBoxStream<'static, io::Result<Bytes>> {
    let broken = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Err(io::ErrorKind::ConnectionAborted.into())
    };
    stream::iter([Ok(body.into())])
        .chain(stream::once(broken))
        .boxed_local()
}

/// `body`, and then comments for ever, 4 KiB each tenth of a second.
fn endless(body: Vec<u8>) -> LocalBoxStream<'static, io::Result<Bytes>> {
    let comments =
        Bytes::from("# there is more to come, and after it there is still more\n".repeat(70));
    let more = stream::unfold(comments, |comments| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some((Ok(comments.clone()), comments))
    });
    stream::iter([Ok(body.into())]).chain(more).boxed_local()
}
