//! From exec to the first answers, and what ends a process before them.

use super::*;

/// Source: recording E1.
#[test]
fn a_healthy_process_is_ready_after_its_second_tick() {
    run(async || {
        for version in [Version::V0_8, Version::V0_9] {
            let world = World::new();
            world.start_api_server().await;
            let kubelet = world.start_kubelet().await;
            let process = world.start(version, ARGUMENTS);
            world.until(10_000).await;
            let first = world.seen.times("TickStarted { tick: 1")[0];
            assert!((500..=551).contains(&first), "{version}: {first} ms");
            assert_eq!(world.seen.times("Serving {"), [first + 15]);
            let (status, body) = world.get("/readyz", &[], None).await;
            assert_eq!(status, 500);
            assert!(
                body.contains("[-]metric-storage-ready failed: reason withheld\n"),
                "{body}"
            );
            assert_eq!(world.get("/livez", &[], None).await, (200, "ok".to_owned()));
            world.until(16_000).await;
            assert_eq!(
                world.get("/readyz", &[], None).await,
                (200, "ok".to_owned())
            );
            let path = "/apis/metrics.k8s.io/v1beta1/nodes/node-1";
            let (status, body) = world.get(path, &[], None).await;
            assert_eq!(status, 200);
            assert!(
                body.contains("\"usage\":{\"cpu\":\"") && body.contains("\"window\":\"15"),
                "{body}"
            );
            assert_eq!(
                kubelet.authorization.borrow().as_deref(),
                Some("Bearer secret")
            );
            assert_eq!(
                world.seen.all("Failed probe"),
                ["I] \"Failed probe\" probe=\"metric-storage-ready\" err=\"no metrics to serve\""]
            );

            world.shutdown.request();
            let exit = process.await.expect("it ends in good order");
            assert_eq!((exit.code, exit.stderr.as_str()), (0, ""));
            let (status, text) = world.get("/livez", &[], None).await;
            assert_eq!(
                (status, text.as_str()),
                (0, "dial tcp 10.42.0.5:10250: connect: connection refused")
            );
        }
    });
}

#[test]
fn the_log_of_a_healthy_start_has_its_lines_in_order() {
    run(async || {
        let world = World::running().await;
        world.until(5_000).await;
        let prefix = "client-ca::kube-system::extension-apiserver-authentication::";
        let expected = [
            "I] Generated self-signed cert (/tmp/apiserver.crt, /tmp/apiserver.key)".to_owned(),
            "I] Adding GroupVersion metrics.k8s.io v1beta1 to ResourceManager".to_owned(),
            "I] Starting RequestHeaderAuthRequestController".to_owned(),
            "I] \"Waiting for caches to sync\" controller=\"RequestHeaderAuthRequestController\"".to_owned(),
            format!("I] \"Starting controller\" name=\"{prefix}client-ca-file\""),
            format!("I] \"Waiting for caches to sync\" controller=\"{prefix}client-ca-file\""),
            format!("I] \"Starting controller\" name=\"{prefix}requestheader-client-ca-file\""),
            format!("I] \"Waiting for caches to sync\" controller=\"{prefix}requestheader-client-ca-file\""),
            "I] Serving securely on 10.42.0.5:10250".to_owned(),
            "I] \"Starting controller\" name=\"serving-cert::/tmp/apiserver.crt::/tmp/apiserver.key\"".to_owned(),
            "I] \"Starting DynamicServingCertificateController\"".to_owned(),
            "I] \"Caches are synced\" controller=\"RequestHeaderAuthRequestController\"".to_owned(),
            format!("I] \"Caches are synced\" controller=\"{prefix}client-ca-file\""),
            format!("I] \"Caches are synced\" controller=\"{prefix}requestheader-client-ca-file\""),
        ];
        assert_eq!(world.seen.all("] "), expected);
    });
}

#[test]
fn the_port_refuses_then_hangs_then_answers() {
    run(async || {
        let world = World::running().await;
        world.until(399).await;
        let (status, text) = world.get("/livez", &[], None).await;
        assert_eq!(
            (status, text.as_str()),
            (0, "dial tcp 10.42.0.5:10250: connect: connection refused")
        );
        world.until(401).await;
        let began = Instant::now();
        assert_eq!(world.get("/livez", &[], None).await, (200, "ok".to_owned()));
        let bound = world.seen.times("PortBound")[0];
        let serving = world.seen.times("Serving {")[0];
        assert_eq!(bound, 400);
        assert_eq!(
            u128::from(began.elapsed().as_millis() as u64) + 401,
            serving
        );
    });
}

/// Source: recordings E11 and E11b.
#[test]
fn an_api_server_that_refuses_ends_the_process_at_once() {
    run(async || {
        let world = World::new();
        let exit = world
            .start(Version::V0_8, ARGUMENTS)
            .await
            .expect("it ends");
        let text = "unable to load configmap based request-header-client-ca-file: Get \
                    \"https://10.43.0.1:6443/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication\": \
                    dial tcp 10.43.0.1:6443: connect: connection refused";
        assert_eq!(exit.code, 2);
        assert!(
            exit.stderr.starts_with(&format!("Error: {text}\nUsage:\n")),
            "{}",
            exit.stderr
        );
        assert!(
            exit.stderr.ends_with(&format!("\npanic: {text}\n")),
            "{}",
            exit.stderr
        );
        assert_eq!(world.began.elapsed().as_millis(), 450);
    });
}

/// Source: recording E11c.
#[test]
fn an_api_server_that_is_silent_ends_the_process_after_ten_seconds() {
    run(async || {
        let world = World::new();
        let silent = world.wires.machine(API_SERVER);
        let address: SocketAddr = ([0, 0, 0, 0], 6443).into();
        let _listener = silent.listen(address).await.expect("a free port");
        let exit = world
            .start(Version::V0_9, ARGUMENTS)
            .await
            .expect("it ends");
        assert_eq!(exit.code, 2);
        assert!(
            exit.stderr
                .contains("authentication\": net/http: TLS handshake timeout\n"),
            "{}",
            exit.stderr
        );
        assert_eq!(world.began.elapsed().as_millis(), 10_450);
    });
}

#[test]
fn a_forbidden_config_map_is_fatal_and_a_missing_one_is_not() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        world.api.config_map_status.set(Some(403));
        let exit = world
            .start(Version::V0_8, ARGUMENTS)
            .await
            .expect("it ends");
        assert_eq!(exit.code, 2);
        let error = "Error: unable to load configmap based request-header-client-ca-file: configmaps \
                     \"extension-apiserver-authentication\" is forbidden: no\n";
        assert!(exit.stderr.starts_with(error), "{}", exit.stderr);
        assert_eq!(world.seen.all("W] Unable to get configmap").len(), 1);

        let world = World::new();
        world.start_api_server().await;
        *world.api.config_map.borrow_mut() = None;
        world.start_kubelet().await;
        world.start(Version::V0_8, ARGUMENTS);
        world.until(2_000).await;
        assert_eq!(world.get("/livez", &[], None).await, (200, "ok".to_owned()));
    });
}

#[test]
fn a_wrong_command_line_ends_the_process_before_it_does_anything() {
    run(async || {
        let world = World::new();
        let exit = world
            .start(Version::V0_8, "--metric-resolution=5s")
            .await
            .expect("it ends");
        let text =
            "metric-resolution should be a time duration at least 10s, but value 5s provided";
        assert_eq!(exit.code, 2);
        assert!(
            exit.stderr.starts_with(&format!("Error: {text}\n")),
            "{}",
            exit.stderr
        );
        let exit = world
            .start(Version::V0_8, "--version")
            .await
            .expect("it ends");
        assert_eq!((exit.code, exit.stdout.as_str()), (0, "v0.8.1\n"));
        let exit = world
            .start(Version::V0_8, "--secure-port=99999")
            .await
            .expect("it ends");
        let text = "failed to create listener: failed to listen on 0.0.0.0:99999: listen tcp: address 99999: invalid port";
        assert!(
            exit.stderr.starts_with(&format!("Error: {text}\n")),
            "{}",
            exit.stderr
        );
        assert!(world.seen.times("PortBound").is_empty());
    });
}

#[test]
fn without_a_port_to_serve_on_the_process_dies() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        let exit = world
            .start(Version::V0_8, "--secure-port=0")
            .await
            .expect("it ends");
        assert_eq!(exit.code, 255);
        let line = "F] cannot derive external address port without listening on a secure port.";
        assert_eq!(world.seen.all("F] "), [line]);
    });
}

#[test]
fn the_first_requests_are_those_of_client_go() {
    run(async || {
        let requests = async |version, refuses: bool| {
            let world = World::new();
            world.start_api_server().await;
            world.api.refuses_watch_list.set(refuses);
            world.start(version, ARGUMENTS);
            world.until(1_000).await;
            let nodes = |request: &&String| request.contains("/api/v1/nodes");
            let requests = world.api.requests.borrow();
            let shape = |request: &String| {
                request
                    .split("&timeout=")
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            };
            requests.iter().filter(nodes).map(shape).collect::<Vec<_>>()
        };
        let list = "GET /api/v1/nodes?limit=500&resourceVersion=0";
        let watch = "GET /api/v1/nodes?allowWatchBookmarks=true&resourceVersion=5";
        let watch_list = "GET /api/v1/nodes?allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&sendInitialEvents=true";
        assert_eq!(requests(Version::V0_8, false).await, [list, watch]);
        assert_eq!(requests(Version::V0_9, false).await, [watch_list]);
        assert_eq!(
            requests(Version::V0_9, true).await,
            [watch_list, list, watch]
        );
    });
}

#[test]
fn a_process_whose_caches_do_not_fill_says_why_and_can_be_stopped() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        world.api.breaks_lists.set(true);
        let process = world.start(Version::V0_8, ARGUMENTS);
        world.until(30_000).await;
        let line = "E] \"Failed to watch\" err=\"failed to list *v1.Node: an error on the server (\\\"boom\\\") has \
                    prevented the request from succeeding (get nodes)\" logger=\"UnhandledError\" \
                    reflector=\"sigs.k8s.io/metrics-server/pkg/server/server.go:96\" type=\"*v1.Node\"";
        let lines = world.seen.all("*v1.Node:");
        // At 0 s and after waits of 0.8 s, 1.6 s, … that are at most doubled.
        assert!(
            (4..=6).contains(&lines.len()) && lines.iter().all(|found| found == line),
            "{lines:?}"
        );
        world.shutdown.request();
        assert_eq!(process.await.expect("it ends").code, 0);
        assert!(world.seen.all("Serving {").is_empty());
        assert_eq!(world.began.elapsed().as_millis(), 30_000);
    });
}

#[test]
fn a_certificate_found_on_disk_is_used_again() {
    run(async || {
        let world = World::new();
        let first = world
            .start(Version::V0_8, ARGUMENTS)
            .await
            .expect("it ends");
        let second = world
            .start(Version::V0_8, ARGUMENTS)
            .await
            .expect("it ends");
        assert_eq!((first.code, second.code), (2, 2));
        assert_eq!(
            world.seen.all("ServingCertificate"),
            [
                "ServingCertificate { generated: true }",
                "ServingCertificate { generated: false }"
            ]
        );
        // Without the 300 ms of generating one.
        assert_eq!(world.began.elapsed().as_millis(), 450 + 150);
    });
}
