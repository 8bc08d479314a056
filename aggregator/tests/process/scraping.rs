//! Kubelets that fail, change, or cannot be believed.

use super::*;

/// Source: recording E3.
#[test]
fn a_kubelet_that_refuses_is_logged_at_every_tick() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        world.start(Version::V0_8, ARGUMENTS);
        world.until(20_000).await;
        let line = "E] \"Failed to scrape node\" err=\"Get \\\"https://10.98.0.1:10250/metrics/resource\\\": dial tcp \
                    10.98.0.1:10250: connect: connection refused\" node=\"node-1\"";
        assert_eq!(world.seen.all("Failed to scrape"), [line, line]);
        world.start_kubelet().await;
        world.until(44_000).await;
        assert_eq!(world.get("/readyz", &[], None).await.0, 500);
        world.until(46_000).await;
        assert_eq!(world.get("/readyz", &[], None).await.0, 200);
    });
}

/// Source: recordings E6, E7 and E17; §5.6: readiness is lost again.
#[test]
fn failing_kubelets_take_readiness_away() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        let kubelet = world.start_kubelet().await;
        world.start(Version::V0_8, ARGUMENTS);
        world.until(17_000).await;
        assert_eq!(world.get("/readyz", &[], None).await.0, 200);
        kubelet.mode.set(KubeletMode::Fails(500));
        world.until(32_000).await;
        assert_eq!(world.get("/readyz", &[], None).await.0, 500);
        kubelet.mode.set(KubeletMode::Hangs);
        world.until(60_000).await;
        let lines = [
            "E] \"Failed to scrape node\" err=\"request failed, status: \\\"500 Internal Server Error\\\"\" node=\"node-1\"",
            "E] \"Failed to scrape node, timeout to access kubelet\" err=\"Get \
             \\\"https://10.98.0.1:10250/metrics/resource\\\": context deadline exceeded\" node=\"node-1\" timeout=\"10s\"",
        ];
        assert_eq!(world.seen.all("Failed to scrape"), lines);
        assert_eq!(world.get("/livez", &[], None).await.0, 200);
        // The grid does not move for ticks of ten seconds.
        let starts = world.seen.times("TickStarted");
        assert!(
            starts.windows(2).all(|pair| pair[1] - pair[0] == 15_000),
            "{starts:?}"
        );
    });
}

#[test]
fn nodes_that_come_and_go_are_followed() {
    run(async || {
        for version in [Version::V0_8, Version::V0_9] {
            let world = World::new();
            world.start_api_server().await;
            world.start_kubelet().await;
            world.start(version, ARGUMENTS);
            world.until(2_000).await;
            let second = node("node-2", "10.98.0.2");
            world.api.notify("nodes", "ADDED", &second);
            world.until(17_000).await;
            world.api.notify("nodes", "DELETED", &second);
            world.until(32_000).await;
            let ticks = world.seen.all("TickStarted");
            let expected = |tick, nodes| format!("TickStarted {{ tick: {tick}, nodes: {nodes} }}");
            assert_eq!(
                ticks,
                [expected(1, 1), expected(2, 2), expected(3, 1)],
                "{version}"
            );
        }
    });
}

/// Source: recording E4 and the table of the kubelet client's errors.
#[test]
fn what_a_port_answers_instead_of_tls_is_told() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        let answer = Rc::new(Cell::new(&b""[..]));
        let machine = world.wires.machine(NODE);
        let mut listener = machine
            .listen(([0, 0, 0, 0], 10250).into())
            .await
            .expect("a free port");
        let (replies, task_machine) = (Rc::clone(&answer), machine.clone());
        machine.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let reply = replies.get();
                task_machine.spawn(async move {
                    let mut hello = [0; 5];
                    let _ = stream.read_exact(&mut hello).await;
                    let _ = stream.write_all(reply).await;
                });
            }
        });
        world.start(Version::V0_8, ARGUMENTS);
        for (tick, reply, text) in [
            (
                1,
                &b"\x15\x03\x03\x00\x02\x02\x50"[..],
                "remote error: tls: internal error",
            ),
            (
                2,
                b"HTTP/1.0 400 Bad Request\r\n\r\n",
                "http: server gave HTTP response to HTTPS client",
            ),
            (
                3,
                b"SSH-2.0-OpenSSH_9.6\r\n",
                "tls: first record does not look like a TLS handshake",
            ),
            (4, b"", "EOF"),
        ] {
            answer.set(reply);
            world.until(tick * 15_000).await;
            let lines = world.seen.all("E] \"Failed to scrape node\"");
            let url = "https://10.98.0.1:10250/metrics/resource";
            let line = format!(
                "E] \"Failed to scrape node\" err=\"Get \\\"{url}\\\": {text}\" node=\"node-1\""
            );
            assert_eq!(lines.last(), Some(&line));
        }
    });
}

#[test]
fn a_kubelets_certificate_is_verified_as_go_does_it() {
    run(async || {
        for (authority, names, text) in [
            (
                "kubernetes",
                ["node-1"],
                "x509: cannot validate certificate for 10.98.0.1 because it doesn't contain any IP SANs",
            ),
            (
                "kubernetes",
                ["10.0.0.9"],
                "x509: certificate is valid for 10.0.0.9, not 10.98.0.1",
            ),
            (
                "foreign",
                [NODE],
                "x509: certificate signed by unknown authority",
            ),
        ] {
            let world = World::new();
            world.start_api_server().await;
            let foreign = Authority::new("foreign");
            let issuer = if authority == "foreign" {
                &foreign
            } else {
                &world.ca
            };
            Kubelet::start(
                &world.wires.machine(NODE),
                &world.tls,
                issuer.issue("kubelet", &names),
            )
            .await;
            world.start(Version::V0_8, ARGUMENTS);
            world.until(2_000).await;
            let lines = world.seen.all("Failed to scrape node");
            let url = "https://10.98.0.1:10250/metrics/resource";
            let line = format!(
                "E] \"Failed to scrape node\" err=\"Get \\\"{url}\\\": tls: failed to verify certificate: {text}\" node=\"node-1\""
            );
            assert_eq!(lines, [line]);
            assert_eq!(world.seen.all("outcome: \"tls\"").len(), 1);
        }
    });
}

#[test]
fn losing_the_api_server_changes_nothing_for_scraping() {
    run(async || {
        let world = World::running().await;
        world.until(17_000).await;
        world.api.machine().tasks().kill();
        world.until(200_000).await;
        assert_eq!(
            world.get("/readyz", &[], None).await,
            (200, "ok".to_owned())
        );
        // Refused watches are tried again in silence.
        assert!(world.seen.all("E] ").is_empty());
        let (status, text) = world.get("/metrics", &[], None).await;
        let expected = "Internal Server Error: \"/metrics\": Post \
                        \"https://10.43.0.1:6443/apis/authorization.k8s.io/v1/subjectaccessreviews?timeout=10s\": dial tcp \
                        10.43.0.1:6443: connect: connection refused\n";
        assert_eq!((status, text.as_str()), (500, expected));
    });
}
