//! The aggregation layer against a backend that can be stopped.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::FutureExt;
use http::HeaderMap;
use seam::Host;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Routing;
use crate::apiserver::State;
use crate::apiserver::objects::{BackendTrust, Service, metrics_api_service, service};
use crate::apiserver::testing::{Answers, Cluster, VIEWER, address, authority, leaf, script};
use crate::event::{Event, Observer, Outcome};
use crate::http_client::testing::paused;
use crate::http_server::{Response, TlsChoice, serve};
use crate::pki::Usage;
use crate::store::Store;
use crate::tls::{ClientAuth, server_config};

const BACKEND: &str = "10.42.0.9:10250";
const PATH: &str = "/apis/metrics.k8s.io/v1beta1";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// What the backend does with a request.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Answer,
    Refuse(u16),
    /// Four in five requests are refused.
    Moody,
    Hang,
    Redirect,
}

struct Backend {
    process: Host,
    mood: Rc<Cell<Mood>>,
    requests: Rc<RefCell<Vec<Asked>>>,
}

/// A request as the backend saw it.
struct Asked {
    path: String,
    headers: HeaderMap,
    /// Of the client's certificate.
    subject: Option<String>,
}

impl Backend {
    async fn start(cluster: &Cluster) -> Self {
        let process = cluster.pipes.host("metrics-server", &cluster.clock);
        let now = process.now();
        let name = ["metrics-server.kube-system.svc"];
        let identity = authority("backend", now).issue(&leaf("ms", &name, Usage::Server, now));
        let tls = server_config(&identity, process.clock(), ClientAuth::Request);
        let backend = Self {
            process: process.clone(),
            mood: Rc::new(Cell::new(Mood::Answer)),
            requests: Rc::default(),
        };
        let listener = process.listen(address(BACKEND)).await.expect("free");
        let (mood, requests) = (Rc::clone(&backend.mood), Rc::clone(&backend.requests));
        let answers = Answers(move |request: crate::http_server::Request| {
            let subject = request.client_certificate.as_ref().map(|certificate| {
                let parsed = x509_parser::parse_x509_certificate(certificate);
                parsed.expect("a certificate").1.subject().to_string()
            });
            requests.borrow_mut().push(Asked {
                path: request.path.clone(),
                headers: request.headers.clone(),
                subject,
            });
            let index = requests.borrow().len();
            let mood = mood.get();
            async move { answer(mood, index, &request.path).await }.boxed_local()
        });
        process.spawn(serve(
            process.clone(),
            listener,
            Rc::new(move || TlsChoice::Serve(tls.clone())),
            Rc::new(answers),
        ));
        backend
    }

    fn kill(&self) {
        self.process.tasks().kill();
    }
}

async fn answer(mood: Mood, index: usize, path: &str) -> Response {
    match mood {
        Mood::Hang => std::future::pending().await,
        Mood::Refuse(status) => Response::new(status, ""),
        Mood::Moody if !index.is_multiple_of(5) => Response::new(500, ""),
        Mood::Redirect => {
            Response::new(302, "").with_header(http::header::LOCATION, "https://elsewhere/")
        }
        Mood::Answer | Mood::Moody => match path {
            "/apis" => Response::new(406, ""),
            PATH => Response::json(
                200,
                &json!({"kind": "APIResourceList", "resources": [
                    {"name": "nodes", "singularName": "", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get", "list"]},
                ]}),
            ),
            _ => Response::plain(200, "measured"),
        },
    }
}

fn put_service(store: &Store) {
    let selector = [("k8s-app".to_owned(), "metrics-server".to_owned())];
    let object = service(&Service {
        namespace: "kube-system",
        name: "metrics-server",
        cluster_ip: address("10.43.180.48:443").ip(),
        port_name: "https",
        port: 443,
        target_port: json!("https"),
        selector: &selector,
        publish_not_ready_addresses: false,
        created: Default::default(),
    });
    store.put("services", object);
}

fn put_slice(store: &Store, ready: bool) {
    store.put(
        "endpointslices",
        json!({
            "kind": "EndpointSlice",
            "apiVersion": "discovery.k8s.io/v1",
            "metadata": {
                "namespace": "kube-system",
                "name": "metrics-server-x",
                "labels": {"kubernetes.io/service-name": "metrics-server"},
            },
            "addressType": "IPv4",
            "endpoints": [{
                "addresses": [address(BACKEND).ip().to_string()],
                "conditions": {"ready": ready, "serving": ready, "terminating": false},
            }],
            "ports": [{"name": "https", "port": 10250, "protocol": "TCP"}],
        }),
    );
}

fn put_api_service(store: &Store, trust: &BackendTrust) {
    let object = metrics_api_service("kube-system", "metrics-server", trust, Default::default());
    store.put("apiservices", object);
}

/// A registered API whose endpoint is ready or not.
fn store(ready: bool) -> Store {
    let store = Store::new();
    put_service(&store);
    put_slice(&store, ready);
    put_api_service(&store, &BackendTrust::Insecure);
    store
}

async fn cluster(store: Store, resync_phase: u64) -> Cluster {
    let up = script(&[(0, State::Up)]);
    Cluster::start(
        store,
        up,
        Routing::Endpoint,
        Duration::from_secs(resync_phase),
    )
    .await
}

/// Condition writes: milliseconds, status and reason.
fn conditions(cluster: &Cluster) -> Vec<(u128, String)> {
    cluster.recording.picked(|event| match event {
        Event::ApiService { status, reason, .. } => Some(format!("{status} {reason}")),
        _ => None,
    })
}

/// Discovery checks: milliseconds and outcome.
fn checks(cluster: &Cluster) -> Vec<(u128, Outcome)> {
    cluster.recording.picked(|event| match event {
        Event::Response {
            observer: Observer::AggregatorCheck,
            outcome,
            ..
        } => Some(*outcome),
        _ => None,
    })
}

fn last_message(cluster: &Cluster) -> String {
    let written = cluster.recording.picked(|event| match event {
        Event::ApiService { message, .. } => Some(message.clone()),
        _ => None,
    });
    written.last().expect("something was written").1.clone()
}

fn unavailable() -> (u16, String) {
    (503, "service unavailable\n".to_owned())
}

fn refused() -> (u16, String) {
    let text =
        format!("error trying to reach service: dial tcp {BACKEND}: connect: connection refused\n");
    (503, text)
}

async fn until(begin: Instant, seconds: u64) {
    tokio::time::sleep_until(begin + Duration::from_secs(seconds)).await;
}

#[test]
fn an_api_is_available_milliseconds_after_its_endpoint_is_ready() {
    paused(async {
        let begin = Instant::now();
        let cluster = cluster(store(false), 5).await;
        let _backend = Backend::start(&cluster).await;
        until(begin, 10).await;
        let first = conditions(&cluster);
        assert_eq!(
            first.len(),
            1,
            "an unchanged condition is not written again"
        );
        assert_eq!(first[0].1, "False MissingEndpoints");
        assert!(checks(&cluster).is_empty(), "there is nobody to ask");
        assert_eq!(cluster.get(PATH).await, unavailable());

        let ready = begin.elapsed().as_millis();
        put_slice(&cluster.store, true);
        sleep(Duration::from_millis(50)).await;
        let (at, condition) = conditions(&cluster).pop().expect("written");
        assert_eq!(condition, "True Passed");
        assert!(at - ready < 10, "{} ms", at - ready);
        let nodes = format!("{PATH}/nodes");
        assert_eq!(cluster.get(&nodes).await, (200, "measured".to_owned()));
    });
}

#[test]
fn registration_turns_404_into_503_or_the_backends_answer() {
    paused(async {
        let store = Store::new();
        put_service(&store);
        put_slice(&store, true);
        let cluster = cluster(store, 0).await;
        let _backend = Backend::start(&cluster).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(
            cluster.get(PATH).await,
            (404, "404 page not found\n".to_owned())
        );
        put_api_service(&cluster.store, &BackendTrust::Insecure);
        sleep(Duration::from_millis(2)).await;
        assert_eq!(cluster.get(PATH).await, unavailable());
        sleep(Duration::from_millis(50)).await;
        assert_eq!(cluster.get(PATH).await.0, 200);
    });
}

/// The endpoint stays ready, as that of a Service with static endpoints does:
/// only the resync, here at 5, 35, 65 … s, finds out.
#[test]
fn a_lost_backend_is_noticed_at_the_resync_and_found_again_by_back_off() {
    paused(async {
        let begin = Instant::now();
        let cluster = cluster(store(true), 5).await;
        let backend = Backend::start(&cluster).await;
        until(begin, 10).await;
        assert_eq!(cluster.get(PATH).await.0, 200);
        until(begin, 20).await;
        backend.kill();
        until(begin, 21).await;
        assert_eq!(cluster.get(PATH).await, refused());
        until(begin, 34).await;
        let before = checks(&cluster).len();
        until(begin, 36).await;
        assert_eq!(cluster.get(PATH).await, unavailable());
        assert_eq!(
            last_message(&cluster),
            format!(
                "failing or missing response from https://{BACKEND}{PATH}: Get \
                 \"https://{BACKEND}{PATH}\": dial tcp {BACKEND}: connect: connection refused"
            )
        );
        until(begin, 62).await;
        let times: Vec<u128> = checks(&cluster)[before..]
            .iter()
            .map(|(at, _)| *at)
            .collect();
        assert_eq!(times[0], 35_000);
        let waits: Vec<u128> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // The first wait is the 2 ms of the status write and the 1 ms until the
        // controller sees its own write, which queues it again at once.
        assert_eq!(
            waits,
            [3, 4, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10240]
        );
        let _backend = Backend::start(&cluster).await;
        until(begin, 66).await;
        let (at, condition) = conditions(&cluster).pop().expect("written");
        assert_eq!((at / 1000, condition.as_str()), (65, "True Passed"));
    });
}

#[test]
fn one_success_of_five_suffices_and_statuses_are_reported() {
    paused(async {
        let begin = Instant::now();
        let cluster = cluster(store(false), 1).await;
        let backend = Backend::start(&cluster).await;
        until(begin, 2).await;
        backend.mood.set(Mood::Moody);
        put_slice(&cluster.store, true);
        until(begin, 3).await;
        assert_eq!(
            conditions(&cluster).pop().expect("written").1,
            "True Passed"
        );
        backend.mood.set(Mood::Refuse(403));
        until(begin, 32).await;
        assert_eq!(
            last_message(&cluster),
            format!(
                "failing or missing response from https://{BACKEND}{PATH}: bad status from \
                 https://{BACKEND}{PATH}: 403"
            )
        );
        let (_, outcome) = checks(&cluster).pop().expect("checked");
        assert_eq!(outcome, Outcome::Status(403));
    });
}

#[test]
fn a_silent_backend_costs_five_seconds_per_check_and_sixty_per_request() {
    paused(async {
        let begin = Instant::now();
        let cluster = cluster(store(true), 20).await;
        let backend = Backend::start(&cluster).await;
        until(begin, 10).await;
        backend.mood.set(Mood::Hang);
        let late = "error trying to reach service: context deadline exceeded\n";
        assert_eq!(cluster.get(PATH).await, (503, late.to_owned()));
        assert_eq!(begin.elapsed().as_secs(), 15);
        let asked = Instant::now();
        let (status, body) = cluster.get(&format!("{PATH}/nodes")).await;
        assert_eq!((status, asked.elapsed().as_secs()), (504, 60));
        let status: Value = serde_json::from_str(&body).expect("a Status");
        let message = "Timeout: request did not complete within the allotted timeout";
        assert_eq!(status["message"], message);
        let (at, condition) = conditions(&cluster).pop().expect("written");
        assert_eq!(
            (at / 1000, condition.as_str()),
            (25, "False FailedDiscoveryCheck")
        );
        assert!(last_message(&cluster).ends_with(
            "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        ));
    });
}

/// Source: `remote_available_controller.go: updateAPIServiceStatus`; apimachinery
/// `pkg/api/errors`, Conflict: the object that was looked at is written, or none.
#[test]
fn a_condition_of_what_has_changed_meanwhile_is_not_written() {
    paused(async {
        let begin = Instant::now();
        let cluster = cluster(store(true), 25).await;
        let backend = Backend::start(&cluster).await;
        until(begin, 10).await;
        backend.mood.set(Mood::Hang);
        until(begin, 27).await;
        put_api_service(&cluster.store, &BackendTrust::Insecure);
        let before = conditions(&cluster).len();
        until(begin, 34).await;
        assert_eq!(
            conditions(&cluster).len(),
            before,
            "of the check from 25 s on"
        );
        until(begin, 37).await;
        let (at, condition) = conditions(&cluster).pop().expect("written");
        assert_eq!(
            (at / 1000, condition.as_str()),
            (35, "False FailedDiscoveryCheck")
        );
    });
}

#[test]
fn redirects_are_not_passed_on() {
    paused(async {
        let cluster = cluster(store(true), 20).await;
        let backend = Backend::start(&cluster).await;
        sleep(Duration::from_secs(1)).await;
        backend.mood.set(Mood::Redirect);
        assert_eq!(
            cluster.get(PATH).await,
            (
                502,
                "the backend attempted to redirect this request, which is not permitted".to_owned()
            )
        );
    });
}

#[test]
fn discovery_is_stale_until_the_backend_was_asked_and_again_when_it_is_lost() {
    paused(async {
        let begin = Instant::now();
        let cluster = cluster(store(false), 29).await;
        let backend = Backend::start(&cluster).await;
        let version = async || {
            let document = cluster.document("/apis", AGGREGATED).await;
            let items = document["items"].as_array().expect("a list");
            let metrics = items
                .iter()
                .find(|item| item["metadata"]["name"] == "metrics.k8s.io");
            metrics.expect("registered")["versions"][0].clone()
        };
        until(begin, 10).await;
        assert_eq!(
            version().await,
            json!({"version": "v1beta1", "freshness": "Stale"})
        );
        let legacy = cluster.document("/apis", "application/json").await;
        let groups = legacy["groups"].as_array().expect("a list");
        assert!(groups.iter().any(|group| group["name"] == "metrics.k8s.io"));

        put_slice(&cluster.store, true);
        until(begin, 11).await;
        let current = version().await;
        assert_eq!(current["freshness"], "Current");
        assert_eq!(
            current["resources"][0]["responseKind"]["kind"],
            "NodeMetrics"
        );

        // The back-off of the time before, 0.5 s doubling, ends at 15.5 s and
        // makes for one more fetch; the next is due a minute later.
        until(begin, 17).await;
        backend.kill();
        until(begin, 28).await;
        assert_eq!(version().await["freshness"], "Current", "nobody has looked");
        until(begin, 30).await;
        assert_eq!(version().await["freshness"], "Stale");
    });
}

#[test]
fn backends_are_told_the_user_by_a_proxy_they_can_recognise() {
    paused(async {
        let cluster = cluster(store(true), 20).await;
        let backend = Backend::start(&cluster).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(
            cluster.get_as(VIEWER, &format!("{PATH}/nodes")).await.0,
            200
        );
        let requests = backend.requests.borrow();
        let Asked {
            headers, subject, ..
        } = requests.last().expect("asked");
        assert_eq!(headers["x-remote-user"], "jo");
        assert!(!headers.contains_key("authorization"));
        assert_eq!(subject.as_deref(), Some("CN=front-proxy-client"));
        let check = requests
            .iter()
            .find(|asked| asked.path == PATH)
            .expect("checked");
        assert_eq!(check.headers["x-remote-user"], "system:kube-aggregator");
        assert_eq!(check.headers["x-remote-group"], "system:masters");
    });
}

#[test]
fn a_bundle_is_what_the_backend_is_verified_with() {
    paused(async {
        let store = store(false);
        let cluster = cluster(store.clone(), 20).await;
        let _backend = Backend::start(&cluster).await;
        let wrong = authority("other", cluster.pipes.host("x", &cluster.clock).now()).pem();
        put_api_service(&store, &BackendTrust::Bundle(wrong));
        put_slice(&store, true);
        sleep(Duration::from_secs(1)).await;
        let unknown =
            "tls: failed to verify certificate: x509: certificate signed by unknown authority";
        assert!(
            last_message(&cluster).ends_with(unknown),
            "{}",
            last_message(&cluster)
        );
        let right = authority("backend", cluster.pipes.host("x", &cluster.clock).now()).pem();
        put_api_service(&store, &BackendTrust::Bundle(right));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(last_message(&cluster), "all checks passed");
    });
}

#[test]
fn after_a_restart_the_stored_condition_counts_until_the_first_check() {
    paused(async {
        let begin = Instant::now();
        let behaviour = script(&[(0, State::Up), (10_000, State::Down), (20_000, State::Up)]);
        let cluster =
            Cluster::start(store(true), behaviour, Routing::Endpoint, Duration::ZERO).await;
        let backend = Backend::start(&cluster).await;
        until(begin, 5).await;
        assert_eq!(
            conditions(&cluster).pop().expect("written").1,
            "True Passed"
        );
        until(begin, 15).await;
        backend.kill();
        until(begin, 21).await;
        let (at, condition) = conditions(&cluster).pop().expect("written");
        assert_eq!(
            (at / 1000, condition.as_str()),
            (20, "False FailedDiscoveryCheck")
        );
    });
}
