//! A serving certificate that changes while the process runs.

use std::rc::Rc;
use std::sync::Arc;

use aggregator::transport::connect::Security;
use aggregator::transport::tls::Trust;
use aggregator::transport::x509::Authorities;
use aggregator::transport::{Authority as Address, HttpClient};
use aggregator::version::Version;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::peers::Authority;
use super::{ARGUMENTS, SERVER, World, run};

const FILES: &str = " --tls-cert-file=/tls/tls.crt --tls-private-key-file=/tls/tls.key -v=2";

/// Whether `/livez` is served with a certificate of this authority.
async fn serves_with(world: &World, authority: &Authority) -> bool {
    let trust = Trust::Authorities(Authorities::new(std::slice::from_ref(
        &authority.certificate,
    )));
    let security = Security {
        config: Arc::new(world.tls.client(trust, None).expect("no identity")),
        server_name: None,
    };
    let client: Rc<HttpClient> = HttpClient::new(world.wires.machine("10.42.0.1"), Some(security));
    let address = Address {
        host: SERVER.into(),
        port: 10250,
    };
    let request = Request::get("/livez")
        .header("host", SERVER)
        .body(Full::<Bytes>::default())
        .expect("a valid request");
    match client.send(&address, request).await {
        Ok(response) => {
            assert_eq!(response.status, 200);
            true
        }
        Err(error) => {
            assert!(error.text.contains("unknown authority"), "{}", error.text);
            false
        }
    }
}

fn put(world: &World, pair: &(String, String)) {
    let files = world.host.files();
    files
        .write("/tls/tls.crt", pair.0.as_bytes(), false)
        .expect("room");
    files
        .write("/tls/tls.key", pair.1.as_bytes(), true)
        .expect("room");
}

#[test]
fn a_serving_certificate_that_changes_on_disk_is_served_and_a_broken_one_is_not() {
    run(async || {
        let world = World::new();
        let (first, second) = (Authority::new("first"), Authority::new("second"));
        put(&world, &first.issue_pem(&[SERVER]));
        world.start_api_server().await;
        world.start_kubelet().await;
        world.start(Version::V0_8, &format!("{ARGUMENTS}{FILES}"));
        world.until(5_000).await;
        assert!(serves_with(&world, &first).await);

        let next = second.issue_pem(&[SERVER]);
        put(&world, &next);
        world.until(7_000).await;
        assert!(serves_with(&world, &second).await && !serves_with(&world, &first).await);
        assert_eq!(
            world.seen.all("Loaded a new cert/key pair").len(),
            1,
            "told once"
        );

        // A key that is not the certificate's, then no certificate at all.
        put(&world, &(next.0.clone(), first.issue_pem(&[SERVER]).1));
        world.until(9_000).await;
        assert!(serves_with(&world, &second).await);
        put(&world, &(String::new(), next.1));
        world.until(11_000).await;
        assert!(serves_with(&world, &second).await);
        let failures = world.seen.all("key failed with");
        assert_eq!(failures.len(), 2, "{failures:?}");
        assert!(
            failures[0].contains("private key does not match public key"),
            "{failures:?}"
        );
    });
}
