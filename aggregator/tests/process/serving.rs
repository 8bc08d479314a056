//! Who is let in, over which protocol, and until when.

use super::*;

#[test]
fn a_proxy_speaks_for_others_only_with_a_certificate_of_its_authority() {
    run(async || {
        let world = World::running().await;
        world.until(2_000).await;
        world.api.allowed.replace(vec!["ada".to_owned()]);
        let path = "/apis/metrics.k8s.io/v1beta1/nodes";
        let user = |name| [("x-remote-user", name)];
        let check = async |name, identity, status, text: &str| {
            let (found, body) = world.get(path, &user(name), identity).await;
            assert_eq!(found, status, "{body}");
            assert!(body.contains(text), "{body}");
        };
        let proxy = || Some(world.proxy_ca.issue("front-proxy-client", &[]));
        check("ada", proxy(), 200, "\"items\":[]").await;
        check(
            "bob",
            proxy(),
            403,
            "User \\\"bob\\\" cannot list resource \\\"nodes\\\"",
        )
        .await;
        check(
            "ada",
            None,
            403,
            "User \\\"system:anonymous\\\" cannot list",
        )
        .await;
        check(
            "ada",
            Some(world.proxy_ca.issue("stranger", &[])),
            401,
            "\"Unauthorized\"",
        )
        .await;
        check(
            "ada",
            Some(Authority::new("foreign").issue("front-proxy-client", &[])),
            401,
            "\"Unauthorized\"",
        )
        .await;
        // A client's own certificate counts for itself.
        check("bob", Some(world.ca.issue("ada", &[])), 200, "\"items\":[]").await;
        let refusals = world.seen.all("Unable to authenticate the request");
        assert!(
            refusals[1].contains(
                "err=\"[x509: certificate signed by unknown authority, verifying certificate SN="
            ),
            "{refusals:?}"
        );
        let (status, _) = world
            .get("/livez", &[("authorization", "Bearer nobody")], None)
            .await;
        assert_eq!(status, 401);
    });
}

#[test]
fn access_is_asked_for_once_in_ten_seconds() {
    run(async || {
        let world = World::running().await;
        world.until(2_000).await;
        let reviews = || {
            let requests = world.api.requests.borrow();
            requests
                .iter()
                .filter(|request| request.contains("subjectaccessreviews?timeout=10s"))
                .count()
        };
        let path = "/apis/metrics.k8s.io/v1beta1/nodes";
        for _ in 0..5 {
            assert_eq!(world.get(path, &[], None).await.0, 200);
        }
        assert_eq!(reviews(), 1);
        sleep(Duration::from_secs(11)).await;
        assert_eq!(world.get(path, &[], None).await.0, 200);
        assert_eq!(reviews(), 2);
        // Probes never ask.
        assert_eq!(world.get("/livez?verbose", &[], None).await.0, 200);
        assert_eq!(reviews(), 2);
    });
}

#[test]
fn plain_http_is_told_that_this_is_https() {
    run(async || {
        let world = World::running().await;
        world.until(2_000).await;
        let client = world.wires.machine("10.42.0.1");
        let address = ([10, 42, 0, 5], 10250).into();
        let mut stream = client.dial(address).await.expect("a listener");
        let request = b"GET /readyz HTTP/1.1\r\nHost: 10.42.0.5:10250\r\n\r\n";
        stream.write_all(request).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert_eq!(
            answer,
            "HTTP/1.0 400 Bad Request\r\n\r\n\
             Client sent an HTTP request to an HTTPS server.\n"
        );
    });
}

#[test]
fn http_2_is_served() {
    run(async || {
        let world = World::running().await;
        world.until(2_000).await;
        let mut config = world.tls.client(Trust::Anyone, None).expect("no key");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let client = world.wires.machine("10.42.0.1");
        let stream = client
            .dial(([10, 42, 0, 5], 10250).into())
            .await
            .expect("a listener");
        let name = SERVER.try_into().expect("an address");
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .expect("a handshake");
        let (mut sender, connection) =
            http2::handshake(Spawner(client.clone()), TokioIo::new(stream))
                .await
                .expect("a handshake");
        client.spawn(connection);
        for _ in 0..3 {
            let request =
                Request::get("https://10.42.0.5:10250/livez").body(Full::<Bytes>::default());
            let response = sender
                .send_request(request.expect("a valid request"))
                .await
                .expect("an answer");
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["cache-control"], "no-cache, private");
            assert_eq!(response.headers()["audit-id"].len(), 36);
            assert!(!response.headers().contains_key("date"));
        }
        // An idle connection is closed after ninety seconds.
        sleep(Duration::from_secs(89)).await;
        assert!(!sender.is_closed());
        sleep(Duration::from_secs(7)).await;
        assert!(sender.is_closed());
    });
}

#[derive(Clone)]
struct Spawner(Host);

impl<F: Future + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, future: F) {
        self.0.spawn(async move {
            future.await;
        });
    }
}

#[test]
fn requests_in_flight_are_answered_before_the_process_ends() {
    run(async || {
        let world = Rc::new(World::new());
        world.start_api_server().await;
        world.start_kubelet().await;
        let process = world.start(Version::V0_8, ARGUMENTS);
        world.until(2_000).await;
        world.api.review_takes.set(Duration::from_secs(3));
        let asking = Rc::clone(&world);
        let request = world
            .host
            .spawn(async move { asking.get("/metrics", &[], None).await });
        world.until(3_000).await;
        world.shutdown.request();
        assert_eq!(process.await.expect("it ends").code, 0);
        assert_eq!(world.began.elapsed().as_millis(), 5_000);
        let (status, text) = request.await.expect("an answer");
        assert_eq!(status, 200);
        assert!(
            text.contains("metrics_server_kubelet_request_total{success=\"true\"} 1"),
            "{text}"
        );
        assert_eq!(
            world.seen.all("Stopped listening"),
            ["I] Stopped listening on 10.42.0.5:10250"]
        );
    });
}
