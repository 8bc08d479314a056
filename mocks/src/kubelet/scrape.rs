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
use tokio::time::Instant;

use crate::event::{Event, Recorder};
use crate::exposition::{self, Include, Marks, Samples};
use crate::http_server::{Handler, Request, Response};

use super::attempts::Attempt;
use super::authorization::Authorization;
use super::flaw;
use super::sampling::Sampler;
use super::summary::Reading;
use super::{
    Fault, KubeletBehaviour, KubeletConfig, KubeletState, Payload, Timestamps, elapsed_ns,
};

/// What metrics-server asks for from 0.6 on.
const RESOURCE: &str = "/metrics/resource";

/// What it asked for up to 0.5.
const SUMMARY: &str = "/stats/summary";

/// The first minor of Kubernetes that has [`RESOURCE`].
///
/// Source: kubernetes CHANGELOG-1.18.md: before, it was
/// `/metrics/resource/v1alpha1`.
const FIRST_MINOR: u32 = 18;

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

/// Who shows no credentials that anybody looks at.
const ANONYMOUS: &str = "system:anonymous";

/// One life of a kubelet's process, as seen by requests.
pub(super) struct Scrapes(Rc<Inner>);

struct Inner {
    host: Host,
    config: KubeletConfig,
    recorder: Rc<dyn Recorder>,
    authorization: Authorization,
    /// What the node's clock showed when the process started, in seconds.
    started_seconds: i64,
    sampler: RefCell<Sampler>,
    garbage: RefCell<Box<dyn Random>>,
    /// Length of the last body: the next is about as long.
    last_length: Cell<usize>,
    /// When the answers that are being worked on will be ready.
    busy_until: RefCell<Vec<Instant>>,
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
            busy_until: RefCell::default(),
            authorization: Authorization::new(Rc::clone(&config.authorizer), USER),
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
            behaviour.met(Fault::State);
            self.record(Event::KubeletServed { status: 0 });
            return std::future::pending().await;
        }
        if ![RESOURCE, SUMMARY].contains(&request.path.as_str()) {
            return self.answer_elsewhere(&request);
        }
        let (attempt, closes) = match &behaviour.attempts {
            Some(attempts) => attempts.request(),
            None => (Attempt::Ok, false),
        };
        if attempt != Attempt::Ok {
            behaviour.met(Fault::Script);
        }
        let extra = match attempt {
            Attempt::Hang => {
                self.record(Event::KubeletServed { status: 0 });
                return std::future::pending().await;
            }
            Attempt::Slow(extra) => extra,
            _ => Duration::ZERO,
        };
        let response = match (self.unauthorized(behaviour, &request).await, attempt) {
            (Some(refused), _) => refused,
            (None, attempt) => {
                tokio::time::sleep(self.duration(behaviour, &request.path) + extra).await;
                match attempt {
                    Attempt::Status(status) => refusal(status, USER, &request.path),
                    _ => self.scrape(&request),
                }
            }
        };
        self.record(Event::KubeletServed {
            status: response.status,
        });
        if closes {
            return response.with_header(header::CONNECTION, "close");
        }
        response
    }

    /// The refusal that the API server's answer about metrics-server's rights
    /// makes of a request.
    async fn unauthorized(
        &self,
        behaviour: &KubeletBehaviour,
        request: &Request,
    ) -> Option<Response> {
        let access = behaviour.access;
        let shown = bearer_token(&request.headers);
        let is_known = shown.is_some_and(|token| *token == *self.config.token);
        if !access.webhook || !is_known {
            return None;
        }
        if let Err(refusal) = self.authorization.review_token().await {
            return Some(refusal);
        }
        if access.always_allow {
            return None;
        }
        self.authorization
            .check(subresource(&request.path))
            .await
            .err()
    }

    /// How long the answer to a request that has just come takes.
    fn duration(&self, behaviour: &KubeletBehaviour, path: &str) -> Duration {
        let latency = behaviour.latency_at(path);
        behaviour.met(Fault::Latency);
        let mut duration = (latency.base)();
        if !latency.per_pod.is_zero() || !latency.per_container.is_zero() {
            let (pods, containers) = self
                .config
                .load
                .get()
                .running(elapsed_ns(self.config.start));
            duration += latency.per_pod * pods + latency.per_container * containers;
        }
        if !latency.per_concurrent.is_zero() {
            let now = Instant::now();
            let mut busy = self.busy_until.borrow_mut();
            busy.retain(|until| *until > now);
            duration += latency.per_concurrent * u32::try_from(busy.len()).unwrap_or(u32::MAX);
            busy.push(now + duration);
        }
        duration
    }

    /// Authentication comes before everything, so that nobody learns which
    /// paths there are.
    fn answer_elsewhere(&self, request: &Request) -> Response {
        if let Err(refusal) = self.authenticate(&request.headers) {
            return refusal;
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
        let user = match self.authenticate(&request.headers) {
            Ok(user) => user,
            Err(refusal) => return refusal,
        };
        // The behaviour when the answer is ready: a script may have moved on
        // while it was being made.
        let behaviour = self.config.behaviour.current();
        if user == ANONYMOUS && !behaviour.access.always_allow {
            behaviour.met(Fault::Authentication);
            return refusal(403, user, &request.path);
        }
        match behaviour.status_at(&request.path) {
            _ if request.method != Method::GET => {
                Response::plain(405, "405: Method Not Allowed").with_header(header::ALLOW, "GET")
            }
            200 if behaviour.minor < FIRST_MINOR && request.path == RESOURCE => {
                behaviour.met(Fault::Status);
                refusal(404, user, &request.path)
            }
            200 => self.metrics(behaviour, &request.path),
            status => {
                behaviour.met(Fault::Status);
                refusal(status, user, &request.path)
            }
        }
    }

    /// Who asks.
    ///
    /// Source: pkg/kubelet/server/auth.go and apiserver/pkg/authentication/
    /// authenticatorfactory/delegating.go, `DelegatingAuthenticatorConfig.New`:
    /// a token that was looked at and not known is an error, which anonymous
    /// access does not cure.
    fn authenticate(&self, headers: &HeaderMap) -> Result<&'static str, Response> {
        let behaviour = self.config.behaviour.current();
        let access = behaviour.access;
        let shown = bearer_token(headers);
        if access.webhook && shown.is_some_and(|token| *token == *self.config.token) {
            return Ok(USER);
        }
        if access.anonymous && (shown.is_none() || !access.webhook) {
            return Ok(ANONYMOUS);
        }
        behaviour.met(Fault::Authentication);
        Err(unauthorized())
    }

    /// DIFFERENCE: never compressed, and always text, whatever the client
    /// accepts.
    fn metrics(&self, behaviour: &KubeletBehaviour, path: &str) -> Response {
        let payload = behaviour.payload_at(path);
        let include = Include {
            timestamps: behaviour.timestamps != Timestamps::Missing,
            ..include(payload)
        };
        if payload != &Payload::Healthy {
            behaviour.met(Fault::Payload);
        }
        if behaviour.timestamps != Timestamps::Read {
            behaviour.met(Fault::Timestamps);
        }
        let healthy = || match path {
            SUMMARY => self.summary(behaviour, payload, include),
            _ => self.text(behaviour, payload, include),
        };
        let response = match payload {
            // A summary has no other way to tell.
            Payload::ScrapeError if path == SUMMARY => return refusal(500, USER, path),
            Payload::ScrapeError => Response::new(200, exposition::SCRAPE_ERROR),
            Payload::Empty => Response::new(200, Bytes::new()),
            Payload::Raw(text) => Response::new(200, self.fill_in(text, behaviour)),
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
            | Payload::DuplicateSeries
            | Payload::Nan
            | Payload::Unlabelled
            | Payload::NodeStarted(_) => Response::new(200, healthy()),
        };
        if path == SUMMARY {
            return response.with_header(header::CONTENT_TYPE, "application/json");
        }
        response
            .with_header(header::CONTENT_TYPE, CONTENT_TYPE)
            .with_header(PROCESS_START, &self.started_seconds.to_string())
    }

    /// Calls `with` on what was last read.
    fn read<T>(
        &self,
        behaviour: &KubeletBehaviour,
        with: impl FnOnce(&exposition::Exposition, &Samples) -> T,
    ) -> T {
        let mut sampler = self.sampler.borrow_mut();
        sampler.follow(&self.config.load, &self.config.wall_at);
        let now_ns = elapsed_ns(self.config.start);
        let read_until = match behaviour.timestamps {
            Timestamps::FrozenSince(since_ns) => now_ns.min(since_ns),
            _ => now_ns,
        };
        let (exposition, samples) =
            sampler.read(read_until, behaviour.housekeeping, &self.config.wall_at);
        with(exposition, samples)
    }

    fn text(&self, behaviour: &KubeletBehaviour, payload: &Payload, include: Include) -> Vec<u8> {
        // Room for values that have grown by a digit.
        let expected = self.last_length.get();
        let mut body = Vec::with_capacity(expected + expected / 16);
        self.read(behaviour, |exposition, samples| {
            if is_as_read(behaviour, payload) {
                exposition.render(samples, include, &mut body);
            } else {
                let mut samples = samples.clone();
                self.spoil(behaviour, payload, exposition, &mut samples);
                exposition.render(&samples, include, &mut body);
            }
        });
        self.last_length.set(body.len());
        body
    }

    fn summary(
        &self,
        behaviour: &KubeletBehaviour,
        payload: &Payload,
        include: Include,
    ) -> Vec<u8> {
        self.read(behaviour, |exposition, samples| {
            let mut samples = samples.clone();
            self.spoil(behaviour, payload, exposition, &mut samples);
            let node_age_ns = match payload {
                Payload::NodeStarted(age) => i64::try_from(age.as_nanos()).ok(),
                _ => None,
            };
            let reading = Reading {
                node: &self.config.node,
                load: &self.config.load.get(),
                exposition,
                samples: &samples,
                wall_at: &self.config.wall_at,
                include,
                node_age_ns,
            };
            reading.render()
        })
    }

    /// Puts into samples what is wrong with values, times and labels.
    fn spoil(
        &self,
        behaviour: &KubeletBehaviour,
        payload: &Payload,
        exposition: &exposition::Exposition,
        samples: &mut Samples,
    ) {
        if flaw::spoil(
            &behaviour.flaws,
            &self.config.load.get(),
            exposition,
            samples,
        ) {
            behaviour.met(Fault::Payload);
        }
        if let (Payload::ZeroNode, Some(node)) = (payload, &mut samples.node) {
            (node.cpu_ns, node.memory_bytes) = (0, 0);
        }
        let marks = match payload {
            Payload::Nan => Marks::NAN,
            Payload::Unlabelled => Marks::UNLABELLED,
            _ => Marks::NONE,
        };
        let shift_ms = match behaviour.timestamps {
            Timestamps::Shifted(ns) => ns / 1_000_000,
            _ => 0,
        };
        let node = samples
            .node
            .iter_mut()
            .chain(samples.pods.iter_mut().flatten());
        for sample in node.chain(samples.containers.iter_mut().flatten()) {
            sample.marks.insert(marks);
            sample.time_ms = sample.time_ms.saturating_add(shift_ms);
        }
    }

    fn fill_in(&self, text: &str, behaviour: &KubeletBehaviour) -> String {
        let node = self.read(behaviour, |_, samples| samples.node);
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

/// Whether samples are written just as they were read.
fn is_as_read(behaviour: &KubeletBehaviour, payload: &Payload) -> bool {
    let shifted = matches!(behaviour.timestamps, Timestamps::Shifted(_));
    let spoilt = matches!(
        payload,
        Payload::ZeroNode | Payload::Nan | Payload::Unlabelled
    );
    !shifted && !spoilt && behaviour.flaws.is_empty()
}

/// The token that a request shows.
///
/// Source: apiserver/pkg/authentication/request/bearertoken,
/// `Authenticator.AuthenticateRequest`.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let mut parts = value?.trim().splitn(3, ' ');
    let scheme = parts.next()?;
    let token = parts.next().unwrap_or_default();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
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

/// What of a node a path is.
///
/// Source: pkg/kubelet/server/auth.go, `GetRequestAttributes`.
fn subresource(path: &str) -> &'static str {
    match path {
        SUMMARY => "stats",
        _ => "metrics",
    }
}

pub(super) fn unauthorized() -> Response {
    Response::plain(401, "Unauthorized")
}

/// What a kubelet says instead of answering `user`.
fn refusal(status: u16, user: &str, path: &str) -> Response {
    let resource = subresource(path);
    let text = match status {
        401 => return unauthorized(),
        403 => {
            format!(
                "Forbidden (user={user}, verb=get, resource=nodes, subresource(s)=[{resource}])"
            )
        }
        404 => return Response::text(404, "404 page not found"),
        500 => format!(
            "Authorization error (user={user}, verb=get, resource=nodes, subresource={resource})"
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
