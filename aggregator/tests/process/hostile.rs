//! Kubelets that answer badly: it costs their node the tick and nothing else.

use std::sync::Arc;
use std::time::Duration;

use aggregator::version::Version;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::{ARGUMENTS, NODE, World, run};

/// What is written after each request, and then again and again with this
/// pause, or nothing more: the connection ends.
#[derive(Clone)]
struct Answer {
    first: Vec<u8>,
    again: Option<(Vec<u8>, Duration)>,
}

fn once(first: impl Into<Vec<u8>>) -> Answer {
    Answer {
        first: first.into(),
        again: None,
    }
}

fn ok(headers: &str, body: &[u8]) -> Answer {
    let mut first = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n").into_bytes();
    first.extend_from_slice(body);
    once(first)
}

fn whole(body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref();
    ok(&format!("Content-Length: {}", body.len()), body)
}

/// A kubelet that speaks TLS, reads a request and writes these bytes.
async fn start_kubelet(world: &World, answer: Answer) {
    let identity = world.ca.issue("kubelet", &[NODE]);
    let config = ServerConfig::builder_with_provider(Arc::clone(world.tls.provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has suitable algorithms")
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .expect("a matching key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let host = world.wires.machine(NODE);
    let mut listener = host
        .listen(([0, 0, 0, 0], 10250).into())
        .await
        .expect("a free port");
    let own = host.clone();
    host.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answer) = (acceptor.clone(), answer.clone());
            own.spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let mut written = stream.write_all(&answer.first).await;
                while let (Ok(()), Some((bytes, pause))) = (&written, &answer.again) {
                    if !pause.is_zero() {
                        sleep(*pause).await;
                    }
                    written = stream.write_all(bytes).await;
                }
                let _ = stream.shutdown().await;
            });
        }
    });
}

/// Runs a process beside that kubelet and returns the outcome and text of the
/// first scrape, and whether it still lives and scrapes afterwards.
async fn first_scrape(answer: Answer) -> String {
    let world = World::new();
    world.start_api_server().await;
    start_kubelet(&world, answer).await;
    world.start(Version::V0_8, ARGUMENTS);
    // A request may last ten seconds, and the second tick is at 15.5.
    world.until(26_000).await;
    assert_eq!(world.get("/livez", &[], None).await.0, 200);
    let scraped = world.seen.all("Scraped {");
    assert!(scraped.len() >= 2, "it goes on: {scraped:?}");
    scraped[0].clone()
}

#[test]
fn every_bad_answer_is_an_error_of_its_own_and_of_that_node_only() {
    let series = "container_cpu_usage_seconds_total{container=\"c\",namespace=\"n\",pod=\"p\"} 1\n";
    let mut not_utf8 = b"container_cpu_usage_seconds_total{container=\"".to_vec();
    not_utf8.extend_from_slice(b"\xff\xfe\",namespace=\"n\",pod=\"p\"} 1\n");
    let cases = [
        (
            "a body shorter than it says",
            ok("Content-Length: 100", b"node_"),
            "failed to read response body - unexpected EOF",
        ),
        (
            "a chunk shorter than it says",
            ok("Transfer-Encoding: chunked", b"40\r\nnode_"),
            "failed to read response body - unexpected EOF",
        ),
        (
            "a chunk without a length",
            ok("Transfer-Encoding: chunked", b"zz\r\nnode_"),
            "failed to read response body - ",
        ),
        ("no HTTP at all", once("hello\r\n\r\n"), "Get \\\""),
        ("nothing", once(""), "EOF"),
        (
            "a head without an end",
            once([b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'a'; 4 << 20]].concat()),
            "Get \\\"",
        ),
        ("random bytes", whole(b"\x00\x01\x7f\xff\xfe{{{\"\n"), ""),
        (
            "a page",
            whole("<html><body>not found</body></html>"),
            "failed parsing metrics: expected a valid start token",
        ),
        (
            "a name that is not UTF-8",
            whole(not_utf8),
            "failed parsing metrics: invalid UTF-8 label value",
        ),
        (
            "a container without labels",
            whole("container_cpu_usage_seconds_total 1\n"),
            "failed parsing metrics: container series without the labels",
        ),
        (
            "a body that grows when it is unpacked",
            {
                let level = flate2::Compression::best();
                let mut packed = flate2::write::GzEncoder::new(Vec::new(), level);
                std::io::Write::write_all(&mut packed, &vec![b'\n'; 65 << 20])
                    .expect("writing to memory");
                let body = packed.finish().expect("writing to memory");
                let length = body.len();
                let headers = format!("Content-Encoding: gzip\r\nContent-Length: {length}");
                ok(&headers, &body)
            },
            "response body is larger than 64 MiB",
        ),
        (
            "the same series twice",
            whole(format!("{series}{series}")),
            "outcome: \"200\"",
        ),
        ("an empty body", whole(""), "outcome: \"200\""),
    ];
    run(async || {
        for (case, answer, expected) in cases {
            let scraped = first_scrape(answer).await;
            assert!(scraped.contains(expected), "{case}: {scraped}");
        }
    });
}

#[test]
fn a_body_without_an_end_is_cut_by_its_size_or_by_the_deadline() {
    let comment = b"# there is more\n".repeat(1_000);
    let endless = |pause| Answer {
        first: b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        again: Some((comment.clone(), pause)),
    };
    run(async || {
        let fast = first_scrape(endless(Duration::ZERO)).await;
        assert!(
            fast.contains("response body is larger than 64 MiB"),
            "{fast}"
        );
        let slow = first_scrape(endless(Duration::from_millis(100))).await;
        assert!(
            slow.contains("failed to read response body - context deadline exceeded"),
            "{slow}"
        );
        assert!(slow.contains("duration: 10"), "{slow}");
    });
}
