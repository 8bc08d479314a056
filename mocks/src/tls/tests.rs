use std::io;
use std::net::IpAddr;

use seam::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::pki::{Authority, Leaf, Usage};

#[derive(Debug)]
struct Stopped(Timestamp);

impl WallClock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// 2026-01-01T12:00:00Z
const NOON: Timestamp = Timestamp::from_seconds(1_767_268_800);
const HOUR: i64 = 3_600_000_000_000;

fn clock(at: Timestamp) -> Arc<dyn WallClock> {
    Arc::new(Stopped(at))
}

fn authority(seed: &str) -> Authority {
    Authority::new(seed, seed, NOON.offset(-24 * HOUR), NOON.offset(24 * HOUR))
}

fn leaf() -> Leaf {
    Leaf {
        seed: "leaf".to_owned(),
        common_name: "system:node:pi".to_owned(),
        organizations: Vec::new(),
        dns: vec!["pi".to_owned()],
        ips: vec![IpAddr::from([10, 0, 0, 5])],
        not_before: NOON.offset(-HOUR),
        not_after: NOON.offset(HOUR),
        usage: Usage::Server,
    }
}

/// Shakes hands and exchanges a byte each way; the server's result is whether
/// the client showed a certificate.
async fn handshake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &str,
) -> (io::Result<bool>, io::Result<()>) {
    let (near, far): (DuplexStream, DuplexStream) = tokio::io::duplex(1 << 16);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let server = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        stream.write_all(b"x").await?;
        stream.flush().await?;
        Ok(stream.get_ref().1.peer_certificates().is_some())
    };
    let client = async {
        let mut stream = TlsConnector::from(client).connect(name, near).await?;
        stream.read_u8().await.map(drop)
    };
    tokio::join!(server, client)
}

/// What a client that trusts the authority `cluster`, at noon unless `now`
/// says otherwise, makes of `identity`.
async fn verdict(identity: &Identity, name: &str, now: Timestamp) -> String {
    let roots = Verify::Roots(vec![authority("cluster").certificate()]);
    let server = server_config(identity, clock(NOON), ClientAuth::None);
    let (_, result) = handshake(server, client_config(&roots, None, clock(now)), name).await;
    match result {
        Ok(()) => "ok".to_owned(),
        Err(error) => go_text(&error).expect("the failure is one of TLS"),
    }
}

#[tokio::test]
async fn each_defect_is_refused_in_gos_words() {
    const PREFIX: &str = "tls: failed to verify certificate: x509: ";
    let cluster = authority("cluster");
    let wrong_key = Authority::new("other", "cluster", NOON.offset(-HOUR), NOON.offset(HOUR));
    let no_sans = Leaf {
        dns: vec![],
        ips: vec![],
        ..leaf()
    };
    let named = Leaf {
        common_name: "pi".to_owned(),
        ..no_sans.clone()
    };
    let for_clients = Leaf {
        usage: Usage::Client,
        ..leaf()
    };
    let cases = [
        (cluster.issue(&leaf()), "10.0.0.5", "ok"),
        (cluster.issue(&leaf()), "PI", "ok"),
        (
            cluster.issue(&leaf()),
            "10.0.0.6",
            "certificate is valid for 10.0.0.5, not 10.0.0.6",
        ),
        (
            cluster.issue(&leaf()),
            "pie",
            "certificate is valid for pi, not pie",
        ),
        (
            cluster.issue(&no_sans),
            "10.0.0.5",
            "cannot validate certificate for 10.0.0.5 because it doesn't contain any IP SANs",
        ),
        (
            cluster.issue(&no_sans),
            "pi",
            "certificate is not valid for any names, but wanted to match pi",
        ),
        (
            cluster.issue(&named),
            "pi",
            "certificate relies on legacy Common Name field, use SANs instead",
        ),
        (
            authority("other").issue(&leaf()),
            "pi",
            "certificate signed by unknown authority",
        ),
        (
            Identity::self_signed(&leaf()),
            "pi",
            "certificate signed by unknown authority",
        ),
        (
            wrong_key.issue(&leaf()),
            "pi",
            "certificate signed by unknown authority (possibly because of \"x509: Ed25519 \
             verification failure\" while trying to verify candidate authority certificate \
             \"cluster\")",
        ),
        (
            cluster.issue(&for_clients),
            "pi",
            "certificate specifies an incompatible key usage",
        ),
    ];
    for (identity, name, expected) in cases {
        let got = verdict(&identity, name, NOON).await;
        assert_eq!(got.strip_prefix(PREFIX).unwrap_or(&got), expected);
    }
}

#[tokio::test]
async fn validity_is_judged_by_the_clients_clock_to_the_nanosecond() {
    let identity = authority("cluster").issue(&leaf());
    let text = |detail: &str| {
        format!(
            "tls: failed to verify certificate: x509: certificate has expired or is not yet \
             valid: current time {detail}"
        )
    };
    let at = |offset: i64| verdict(&identity, "pi", NOON.offset(offset));
    assert_eq!(at(-HOUR).await, "ok");
    assert_eq!(
        at(-HOUR - 1).await,
        text("2026-01-01T10:59:59Z is before 2026-01-01T11:00:00Z")
    );
    assert_eq!(at(HOUR).await, "ok");
    assert_eq!(
        at(HOUR + 1).await,
        text("2026-01-01T13:00:00Z is after 2026-01-01T13:00:00Z")
    );
}

#[tokio::test]
async fn of_several_defects_time_comes_first_then_name_then_authority() {
    let worst = Leaf {
        ips: vec![],
        not_after: NOON.offset(-1),
        ..leaf()
    };
    let foreign = authority("other");
    assert!(
        verdict(&foreign.issue(&worst), "10.0.0.5", NOON)
            .await
            .contains("is after")
    );
    let unnamed = Leaf {
        ips: vec![],
        ..leaf()
    };
    assert!(
        verdict(&foreign.issue(&unnamed), "10.0.0.5", NOON)
            .await
            .contains("IP SANs")
    );
    assert!(
        verdict(&foreign.issue(&leaf()), "10.0.0.5", NOON)
            .await
            .contains("authority")
    );
}

#[tokio::test]
async fn an_authority_outside_its_validity_vouches_for_nobody() {
    let long = Leaf {
        not_after: NOON.offset(100 * HOUR),
        ..leaf()
    };
    let identity = authority("cluster").issue(&long);
    let late = NOON.offset(48 * HOUR);
    assert_eq!(
        verdict(&identity, "pi", late).await,
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: \
         current time 2026-01-03T12:00:00Z is after 2026-01-02T12:00:00Z"
    );
}

#[tokio::test]
async fn an_insecure_client_takes_anything() {
    let worst = Leaf {
        ips: vec![],
        dns: vec![],
        not_after: NOON.offset(-1),
        ..leaf()
    };
    let server = server_config(
        &Identity::self_signed(&worst),
        clock(NOON),
        ClientAuth::None,
    );
    let client = client_config(&Verify::Insecure, None, clock(NOON));
    let (_, result) = handshake(server, client, "10.0.0.5").await;
    result.expect("nothing is verified");
}

#[tokio::test]
async fn a_server_that_asks_takes_any_client_certificate_or_none() {
    let identity = Identity::self_signed(&leaf());
    let server = || server_config(&identity, clock(NOON), ClientAuth::Request);
    for client_identity in [None, Some(&identity)] {
        let client = client_config(&Verify::Insecure, client_identity, clock(NOON));
        let (showed, result) = handshake(server(), client, "pi").await;
        result.expect("the handshake succeeds");
        assert_eq!(showed.unwrap(), client_identity.is_some());
    }
}

#[test]
fn failures_that_are_not_of_tls_have_no_text() {
    assert_eq!(go_text(&io::ErrorKind::ConnectionReset.into()), None);
    assert_eq!(go_text(&io::Error::other("something else")), None);
}
