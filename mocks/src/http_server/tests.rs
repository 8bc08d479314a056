use std::future::ready;

use futures_util::FutureExt;
use futures_util::stream;
use tokio::time::Instant;

use super::testing::{Client, connect, get};
use super::*;
use crate::http_client::testing::{Pipes, TestClock, paused};
use crate::pki::{Identity, Leaf, Usage};
use crate::tls::{ClientAuth, Verify, client_config, server_config};

/// Answers by path.
struct Example;

impl Handler for Example {
    fn handle(&self, request: Request) -> LocalBoxFuture<'static, Response> {
        let response = match request.path.as_str() {
            "/echo" => Response::new(200, request.body),
            "/error" => Response::text(503, "service unavailable"),
            "/json" => Response::json(200, &json!({"kind": "Status"})),
            "/query" => Response::plain(200, &request.query.unwrap_or_default()),
            "/who" => Response::plain(200, &format!("{}", request.client_certificate.is_some())),
            "/pieces" => {
                let pieces = ["a", "b"].map(|piece| Ok(Bytes::from(piece)));
                Response::stream(200, stream::iter(pieces).boxed_local())
            }
            "/never" => return std::future::pending().boxed_local(),
            _ => Response::text(404, "404 page not found"),
        };
        ready(response).boxed_local()
    }
}

fn address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 443))
}

fn identity() -> Identity {
    Identity::self_signed(&Leaf {
        seed: "server".to_owned(),
        common_name: "server".to_owned(),
        organizations: Vec::new(),
        dns: Vec::new(),
        ips: vec![address().ip()],
        not_before: seam::Timestamp::EPOCH,
        not_after: seam::Timestamp::from_nanos(i64::MAX),
        usage: Usage::Both,
    })
}

/// A machine on which a server runs and meets clients with `choice`.
async fn server(choice: TlsChoice) -> Host {
    let host = Pipes::new().host("server", &TestClock::new());
    let listener = host.listen(address()).await.expect("the port is free");
    let tls = Rc::new(move || choice.clone());
    host.spawn(serve(host.clone(), listener, tls, Rc::new(Example)));
    host
}

async fn plain() -> (Host, Client) {
    let host = server(TlsChoice::Plain).await;
    let client = connect(&host, address(), None)
        .await
        .expect("the server listens");
    (host, client)
}

fn secure() -> TlsChoice {
    let clock = TestClock::new();
    TlsChoice::Serve(server_config(&identity(), clock, ClientAuth::Request))
}

#[test]
fn answers_look_like_gos() {
    paused(async {
        let (_host, mut client) = plain().await;
        for (path, status, content_type, nosniff, body) in [
            (
                "/error",
                503,
                Some("text/plain; charset=utf-8"),
                true,
                "service unavailable\n",
            ),
            (
                "/json",
                200,
                Some("application/json"),
                false,
                "{\"kind\":\"Status\"}",
            ),
            (
                "/query?a=%20b",
                200,
                Some("text/plain; charset=utf-8"),
                false,
                "a=%20b",
            ),
            ("/pieces", 200, None, false, "ab"),
        ] {
            let answer = client.get(path).await.unwrap();
            assert_eq!(answer.status, status, "{path}");
            let header = |name| {
                answer
                    .headers
                    .get(name)
                    .map(|value| value.to_str().unwrap())
            };
            assert_eq!(header("content-type"), content_type, "{path}");
            assert_eq!(
                header("x-content-type-options").is_some(),
                nosniff,
                "{path}"
            );
            assert_eq!(header("date"), None, "{path}");
            assert_eq!(answer.text(), body, "{path}");
        }
    });
}

#[test]
fn a_body_above_3_mib_is_refused() {
    paused(async {
        let (host, _client) = plain().await;
        for (length, status) in [(BODY_LIMIT, 200), (BODY_LIMIT + 1, 413)] {
            let mut client = connect(&host, address(), None).await.unwrap();
            let mut request = get("/echo");
            *request.body_mut() = Full::new(vec![b'x'; length].into());
            let answer = client.send(request).await.unwrap();
            assert_eq!(answer.status, status);
            if status == 413 {
                assert_eq!(
                    answer.text(),
                    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\
                     \"status\":\"Failure\",\"message\":\"Request entity too large: limit is \
                     3145728\",\"reason\":\"RequestEntityTooLarge\",\"code\":413}"
                );
            }
        }
    });
}

#[test]
fn an_idle_connection_is_closed_after_90_seconds_and_a_request_renews_them() {
    paused(async {
        let (_host, mut client) = plain().await;
        tokio::time::sleep(Duration::from_secs(80)).await;
        client.get("/json").await.expect("still open");
        tokio::time::sleep(Duration::from_secs(89)).await;
        assert!(client.is_open());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!client.is_open());
    });
}

#[test]
fn an_answer_that_never_comes_keeps_only_its_own_connection() {
    paused(async {
        let (host, mut stuck) = plain().await;
        assert_eq!(stuck.get("/never").await.unwrap_err(), "timeout");
        let mut other = connect(&host, address(), None).await.unwrap();
        assert_eq!(other.get("/json").await.unwrap().status, 200);
    });
}

#[test]
fn a_thousand_idle_connections_take_no_time() {
    paused(async {
        let (host, _client) = plain().await;
        let start = Instant::now();
        let mut idle = Vec::new();
        for _ in 0..1_000 {
            idle.push(connect(&host, address(), None).await.unwrap());
        }
        assert_eq!(idle[500].get("/json").await.unwrap().status, 200);
        assert_eq!(start.elapsed(), Duration::ZERO);
    });
}

#[test]
fn a_client_certificate_is_shown_to_the_handler() {
    paused(async {
        let host = server(secure()).await;
        let identity = identity();
        for shown in [None, Some(&identity)] {
            let config = client_config(&Verify::Insecure, shown, host.clock());
            let mut client = connect(&host, address(), Some(config)).await.unwrap();
            let answer = client.get("/who").await.unwrap();
            assert_eq!(answer.text(), shown.is_some().to_string());
        }
    });
}

#[test]
fn plain_http_on_a_tls_port_is_told_so() {
    paused(async {
        let host = server(secure()).await;
        let mut client = connect(&host, address(), None).await.unwrap();
        let answer = client.get("/").await.unwrap();
        assert_eq!(answer.status, 400);
        assert_eq!(
            answer.text(),
            "Client sent an HTTP request to an HTTPS server.\n"
        );
    });
}

#[test]
fn a_server_without_a_certificate_sends_internal_error() {
    paused(async {
        let host = server(TlsChoice::InternalError).await;
        let config = client_config(&Verify::Insecure, None, host.clock());
        let error = connect(&host, address(), Some(config)).await.err();
        assert_eq!(error.as_deref(), Some("remote error: tls: internal error"));
    });
}

#[test]
fn ending_the_process_ends_its_connections() {
    paused(async {
        let host = server(TlsChoice::Plain).await;
        let elsewhere = host.process();
        let client = connect(&elsewhere, address(), None).await.unwrap();
        tokio::task::yield_now().await;
        assert!(client.is_open());
        host.tasks().kill();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!client.is_open());
        let refused = connect(&elsewhere, address(), None).await.err();
        assert_eq!(refused.as_deref(), Some("ConnectionRefused"));
    });
}

#[test]
fn a_handshake_that_does_not_go_on_is_given_up() {
    paused(async {
        let host = server(secure()).await;
        let mut stream = host.dial(address()).await.unwrap();
        let begin = Instant::now();
        stream.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
        let read = stream.read(&mut [0; 16]).await.unwrap();
        assert_eq!((read, begin.elapsed().as_secs()), (0, 32));
    });
}

#[test]
fn a_body_that_does_not_arrive_is_answered_after_a_minute() {
    paused(async {
        let host = server(TlsChoice::Plain).await;
        let mut stream = host.dial(address()).await.unwrap();
        let begin = Instant::now();
        let request = "POST /echo HTTP/1.1\r\nHost: server\r\nContent-Length: 9\r\n\r\nabc";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
        assert!(answer.contains("did not complete within the allotted timeout"));
        assert_eq!(begin.elapsed().as_secs(), 60);
    });
}
