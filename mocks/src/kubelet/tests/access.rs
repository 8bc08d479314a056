//! Who is let in, to which paths, and how long an answer takes.

use super::*;

#[test]
fn only_the_known_token_is_let_in() {
    let request = |path: &str, authorization: &str| {
        Request::get(path)
            .header("authorization", authorization)
            .body(Full::default())
            .unwrap()
    };
    paused(async move {
        let world = World::new(&[(0, &|_| {})]);
        let known = format!("bearer {TOKEN}");
        for (path, authorization, status, body) in [
            ("/metrics/resource", "", 401, Some("Unauthorized")),
            ("/metrics/resource", "Bearer", 401, Some("Unauthorized")),
            (
                "/metrics/resource",
                "Bearer another",
                401,
                Some("Unauthorized"),
            ),
            ("/metrics/resource", "Basic dTpw", 401, Some("Unauthorized")),
            ("/metrics/resource", &known, 200, None),
            ("/nowhere", "Bearer another", 401, Some("Unauthorized")),
            ("/nowhere", &known, 404, Some("404 page not found\n")),
            (
                "/stats/container",
                &known,
                501,
                Some("not modelled: GET /stats/container\n"),
            ),
        ] {
            let mut client = world.connect().await.unwrap();
            let answer = client.send(request(path, authorization)).await.unwrap();
            assert_eq!(answer.status, status, "{path} {authorization}");
            if let Some(body) = body {
                assert_eq!(answer.text(), body);
            }
        }
        assert_eq!(world.statuses(), [401, 401, 401, 401, 200]);
        let not_modelled = world.recording.picked(|event| match event {
            Event::NotModelled { request } => Some(request.clone()),
            _ => None,
        });
        assert_eq!(not_modelled[0].1, "GET /stats/container");
    });
}

#[test]
fn refusals_have_the_kubelets_texts() {
    for (status, body) in [
        (401, "Unauthorized"),
        (
            403,
            "Forbidden (user=system:serviceaccount:kube-system:metrics-server, verb=get, \
             resource=nodes, subresource(s)=[metrics])",
        ),
        (404, "404 page not found\n"),
        (
            500,
            "Authorization error (user=system:serviceaccount:kube-system:metrics-server, \
             verb=get, resource=nodes, subresource=metrics)",
        ),
        (503, "Service Unavailable\n"),
        (204, ""),
    ] {
        paused(async {
            let world = World::new(&[(0, &|behaviour| behaviour.status = status)]);
            let answer = world.scrape().await.unwrap();
            assert_eq!((answer.status, answer.text()), (status, body));
            assert_eq!(world.statuses(), [status]);
        });
    }
}

/// Source: apiserver/pkg/authentication/authenticatorfactory/delegating.go:
/// without webhook nobody looks at tokens, so that everybody is anonymous.
#[test]
fn who_is_let_in_depends_on_what_the_kubelet_looks_at() {
    let status = |access: Access, token: &str| {
        let (sender, receiver) = std::sync::mpsc::channel();
        paused(async {
            let world = World::new(&[(0, &|behaviour| behaviour.access = access)]);
            let answer = world.connect().await.unwrap().send(scrape(token)).await;
            let answer = answer.unwrap();
            sender
                .send((answer.status, answer.text().to_owned()))
                .unwrap();
        });
        receiver.recv().unwrap()
    };
    let access = |anonymous, webhook, always_allow| Access {
        anonymous,
        webhook,
        always_allow,
    };
    assert_eq!(status(access(false, true, false), TOKEN).0, 200);
    assert_eq!(status(access(false, false, false), TOKEN).0, 401);
    assert_eq!(status(access(true, true, false), "another").0, 401);
    assert_eq!(
        status(access(true, false, false), TOKEN),
        (
            403,
            "Forbidden (user=system:anonymous, verb=get, resource=nodes, \
             subresource(s)=[metrics])"
                .to_owned()
        )
    );
    assert_eq!(status(access(true, false, true), TOKEN).0, 200);
}

#[test]
fn a_kubelet_of_1_17_does_not_have_the_path() {
    paused(async {
        let world = World::new(&[(0, &|behaviour| behaviour.minor = 17)]);
        assert_eq!(world.scrape().await.unwrap().status, 404);
    });
}

#[test]
fn latency_grows_with_what_runs_and_with_what_is_being_worked_on() {
    paused(async {
        let world = World::new(&[(0, &|behaviour| {
            behaviour.latency = Latency {
                per_pod: Duration::from_millis(30),
                per_container: Duration::from_millis(50),
                per_concurrent: Duration::from_secs(1),
                ..Latency::independent(Rc::new(|| Duration::from_millis(20)))
            };
        })]);
        let asked = Instant::now();
        let both = futures_util::future::join(world.scrape(), world.scrape());
        assert!(both.await.0.is_ok());
        // The second of them waits for the first one's work too.
        assert_eq!(
            asked.elapsed(),
            Duration::from_millis(1 + 20 + 30 + 50 + 1_000)
        );
    });
}
