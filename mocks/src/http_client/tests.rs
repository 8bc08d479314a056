use super::testing::{Pipes, TestClock, answer, any_tls, paused, plain, serve};
use super::*;
use crate::event::Outcome;
use crate::pki::{Authority, Identity, Leaf, Usage};
use crate::tls::{ClientAuth, Verify, client_config, server_config};
use seam::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

const ADDRESS: &str = "10.42.0.9:10250";

fn client(host: &Host, settings: Settings) -> Client {
    Client::new(host.clone(), any_tls(host), settings)
}

fn get(target: &Rc<Target>) -> OutgoingRequest {
    OutgoingRequest::get(target, PathAndQuery::from_static("/readyz"))
}

/// Serves raw connections: each answers `answers` requests and then closes
/// when the next one has arrived.
async fn serve_raw(host: &Host, answers: usize, accepted: Rc<Cell<u32>>) {
    let address = ADDRESS.parse().expect("an address");
    let mut listener = host.listen(address).await.expect("free");
    host.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            accepted.set(accepted.get() + 1);
            let mut buffer = [0; 1024];
            for _ in 0..answers {
                let _ = stream.read(&mut buffer).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await;
            }
            let _ = stream.read(&mut buffer).await;
        }
    });
}

#[test]
fn connections_are_used_again_unless_switched_off() {
    for (keep_alive, connections) in [(true, 1), (false, 3)] {
        paused(async move {
            let host = Pipes::new().host("n", &TestClock::new());
            let accepted = Rc::new(Cell::new(0));
            serve_raw(&host, 9, Rc::clone(&accepted)).await;
            let client = client(
                &host,
                Settings {
                    keep_alive,
                    ..Settings::default()
                },
            );
            for _ in 0..3 {
                let response = client.send(get(&plain(ADDRESS))).await.expect("an answer");
                assert_eq!(response.body, "ok");
            }
            assert_eq!(accepted.get(), connections);
        });
    }
}

#[test]
fn a_request_on_a_dead_idle_connection_is_sent_again_on_a_new_one() {
    paused(async {
        let host = Pipes::new().host("n", &TestClock::new());
        let accepted = Rc::new(Cell::new(0));
        serve_raw(&host, 1, Rc::clone(&accepted)).await;
        let client = client(&host, Settings::default());
        for _ in 0..3 {
            client.send(get(&plain(ADDRESS))).await.expect("an answer");
        }
        assert_eq!(accepted.get(), 3);
    });
}

#[test]
fn a_post_is_not_sent_again_once_it_was_written() {
    paused(async {
        let host = Pipes::new().host("n", &TestClock::new());
        serve_raw(&host, 1, Rc::default()).await;
        let client = client(&host, Settings::default());
        let post = OutgoingRequest {
            method: Method::POST,
            ..get(&plain(ADDRESS))
        };
        client.send(post.clone()).await.expect("an answer");
        let error = client.send(post).await.expect_err("closed");
        assert_eq!(
            error.to_string(),
            "Post \"http://10.42.0.9:10250/readyz\": EOF"
        );
    });
}

#[test]
fn a_new_connection_that_closes_is_an_error_at_once() {
    paused(async {
        let host = Pipes::new().host("n", &TestClock::new());
        let accepted = Rc::new(Cell::new(0));
        serve_raw(&host, 0, Rc::clone(&accepted)).await;
        let error = client(&host, Settings::default())
            .send(get(&plain(ADDRESS)))
            .await
            .expect_err("closed");
        assert_eq!(
            (error.outcome, error.text.as_str()),
            (Outcome::Reset, "EOF")
        );
        assert_eq!(accepted.get(), 1);
    });
}

#[test]
fn refusals_and_time_outs_read_as_in_go() {
    paused(async {
        let host = Pipes::new().host("n", &TestClock::new());
        let timeouts = Timeouts {
            total: Some(Duration::from_secs(1)),
            ..Timeouts::default()
        };
        let client = client(
            &host,
            Settings {
                timeouts,
                ..Settings::default()
            },
        );
        let refused = client
            .send(get(&plain(ADDRESS)))
            .await
            .expect_err("nobody listens");
        assert_eq!(
            refused.to_string(),
            "Get \"http://10.42.0.9:10250/readyz\": dial tcp 10.42.0.9:10250: connect: connection refused"
        );
        let _silent = host
            .listen(ADDRESS.parse().expect("an address"))
            .await
            .expect("free");
        let before = Instant::now();
        let late = client
            .send(get(&plain(ADDRESS)))
            .await
            .expect_err("nobody answers");
        assert_eq!(late.outcome, Outcome::Timeout);
        assert_eq!(
            late.text,
            "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        );
        assert_eq!(before.elapsed(), Duration::from_secs(1));
    });
}

#[test]
fn a_hanging_handshake_ends_after_ten_seconds() {
    paused(async {
        let host = Pipes::new().host("n", &TestClock::new());
        let address = ADDRESS.parse().expect("an address");
        let _silent = host.listen(address).await.expect("free");
        let error = client(&host, Settings::default())
            .send(get(&Rc::new(Target::https(address))))
            .await
            .expect_err("no handshake");
        assert_eq!(
            error.to_string(),
            "Get \"https://10.42.0.9:10250/readyz\": net/http: TLS handshake timeout"
        );
    });
}

#[test]
fn a_body_is_read_up_to_the_limit() {
    paused(async {
        let host = Pipes::new().host("n", &TestClock::new());
        let long = "x".repeat(100_000);
        let address = ADDRESS.parse().expect("an address");
        serve(&host, address, Rc::new(move |_| answer(200, &long))).await;
        for (body_limit, read) in [(10_240, 10_240), (1 << 20, 100_000)] {
            let client = client(
                &host,
                Settings {
                    body_limit,
                    ..Settings::default()
                },
            );
            let response = client.send(get(&plain(ADDRESS))).await.expect("an answer");
            assert_eq!(response.body.len(), read);
        }
    });
}

/// Serves TLS with `identity`: one answer per connection, and then, when the
/// next request has arrived, the end without close_notify.
async fn serve_tls(host: &Host, identity: &Identity) {
    let acceptor = TlsAcceptor::from(server_config(identity, host.clock(), ClientAuth::None));
    let mut listener = host
        .listen(ADDRESS.parse().expect("an address"))
        .await
        .expect("free");
    host.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
            let _ = stream.flush().await;
            let _ = stream.read(&mut buffer).await;
        }
    });
}

fn leaf(host: &Host, ip: &str) -> Leaf {
    Leaf {
        seed: "metrics-server".to_owned(),
        common_name: "metrics-server".to_owned(),
        organizations: Vec::new(),
        dns: Vec::new(),
        ips: vec![ip.parse().expect("an address")],
        not_before: host.now().offset(-1_000_000_000),
        not_after: host.now().after(Duration::from_secs(3600)),
        usage: Usage::Server,
    }
}

/// What a client that trusts `authority` is told by a server with `identity`.
async fn verified(identity: &Identity, authority: &Authority, host: &Host) -> String {
    serve_tls(host, identity).await;
    let verify = Verify::Roots(vec![authority.certificate()]);
    let tls = client_config(&verify, None, host.clock());
    let client = Client::new(host.clone(), tls, Settings::default());
    let target = Rc::new(Target::https(ADDRESS.parse().expect("an address")));
    match client.send(get(&target)).await {
        Ok(response) => String::from_utf8_lossy(&response.body).into_owned(),
        Err(error) => error.text,
    }
}

#[test]
fn certificates_are_verified_in_gos_words() {
    paused(async {
        let host = Pipes::new().host("n", &TestClock::new());
        let authority = |seed| {
            let end = Timestamp::from_nanos(i64::MAX / 2);
            Authority::new(seed, seed, Timestamp::EPOCH, end)
        };
        let (known, unknown) = (authority("known"), authority("unknown"));
        let right = leaf(&host, "10.42.0.9");
        let refused = "tls: failed to verify certificate: x509: certificate";
        for (identity, text) in [
            (known.issue(&right), "ok".to_owned()),
            (
                unknown.issue(&right),
                format!("{refused} signed by unknown authority"),
            ),
            (
                known.issue(&leaf(&host, "10.42.0.1")),
                format!("{refused} is valid for 10.42.0.1, not 10.42.0.9"),
            ),
        ] {
            assert_eq!(verified(&identity, &known, &host).await, text);
        }
    });
}

#[test]
fn a_tls_connection_that_ends_without_farewell_is_replaced() {
    paused(async {
        let host = Pipes::new().host("n", &TestClock::new());
        serve_tls(&host, &Identity::self_signed(&leaf(&host, "10.42.0.9"))).await;
        let client = client(&host, Settings::default());
        let target = Rc::new(Target::https(ADDRESS.parse().expect("an address")));
        for _ in 0..3 {
            let response = client.send(get(&target)).await.expect("an answer");
            assert_eq!(response.body, "ok");
        }
    });
}
