//! Ports, certificates and scripts: what a client meets before it is answered.

use super::*;

#[test]
fn each_state_meets_a_client_in_its_own_way() {
    let state =
        |state: KubeletState| move |behaviour: &mut KubeletBehaviour| behaviour.state = state;
    paused(async move {
        let world = World::new(&[
            (0, &state(KubeletState::Closed)),
            (20, &state(KubeletState::HangTls)),
            (40, &state(KubeletState::NoCertificate)),
            (60, &state(KubeletState::HangHttp)),
            (80, &state(KubeletState::Open)),
        ]);
        assert_eq!(world.scrape().await.unwrap_err(), "ConnectionRefused");
        until(20, &world).await;
        let asked = Instant::now();
        assert_eq!(world.scrape().await.unwrap_err(), "timeout");
        assert!(asked.elapsed() >= PATIENCE);
        until(40, &world).await;
        let alert = "remote error: tls: internal error";
        assert_eq!(world.scrape().await.unwrap_err(), alert);
        until(60, &world).await;
        world.connect().await.expect("TLS answers");
        assert_eq!(world.scrape().await.unwrap_err(), "timeout");
        until(80, &world).await;
        assert_eq!(world.scrape().await.unwrap().status, 200);
        assert_eq!(world.statuses(), [0, 0, 0, 200]);
    });
}

#[test]
fn closing_ends_connections_and_opening_takes_new_ones() {
    paused(async {
        let world = World::new(&[
            (0, &|_| {}),
            (10, &|behaviour| behaviour.state = KubeletState::Closed),
            (20, &|_| {}),
        ]);
        let mut client = world.connect().await.unwrap();
        client.send(scrape(TOKEN)).await.expect("it serves");
        until(9, &world).await;
        assert!(client.is_open());
        until(11, &world).await;
        assert!(!client.is_open());
        assert_eq!(world.scrape().await.unwrap_err(), "ConnectionRefused");
        until(20, &world).await;
        assert_eq!(world.scrape().await.unwrap().status, 200);
    });
}

#[test]
fn another_port_is_another_process() {
    paused(async {
        let mut world = World::new(&[(0, &|_| {}), (10, &|behaviour| behaviour.port = 10260)]);
        let client = world.connect().await.unwrap();
        until(11, &world).await;
        assert!(!client.is_open());
        assert_eq!(world.scrape().await.unwrap_err(), "ConnectionRefused");
        world.address.set_port(10260);
        assert_eq!(world.scrape().await.unwrap().status, 200);
    });
}

#[test]
fn a_machine_that_boots_ends_connections_and_keeps_its_port() {
    paused(async {
        let world = World::new(&[(0, &|_| {}), (10, &|behaviour| behaviour.boot = 1)]);
        let mut client = world.connect().await.unwrap();
        client.send(scrape(TOKEN)).await.expect("it serves");
        until(11, &world).await;
        assert!(!client.is_open());
        let answer = world.scrape().await.unwrap();
        assert_eq!(answer.status, 200);
        // Another process, started ten seconds later.
        assert_eq!(answer.headers["process-start-time-unix"], "1795425730");
    });
}

/// Source: the recorded start-up E6, where each scrape of a hanging kubelet
/// lasts its whole deadline although the kubelet recovers during one.
#[test]
fn a_request_that_hangs_goes_on_hanging_after_the_recovery() {
    paused(async {
        let world = World::new(&[
            (0, &|behaviour| behaviour.state = KubeletState::HangHttp),
            (5, &|_| {}),
        ]);
        assert_eq!(world.scrape().await.unwrap_err(), "timeout");
        assert_eq!(world.scrape().await.unwrap().status, 200);
    });
}

#[test]
fn a_connection_goes_on_while_new_ones_find_no_certificate() {
    paused(async {
        let world = World::new(&[
            (0, &|_| {}),
            (10, &|behaviour| {
                behaviour.state = KubeletState::NoCertificate
            }),
        ]);
        let mut client = world.connect().await.unwrap();
        until(11, &world).await;
        assert_eq!(client.send(scrape(TOKEN)).await.unwrap().status, 200);
        assert!(world.connect().await.is_err());
    });
}

#[test]
fn each_certificate_is_refused_for_its_defect() {
    const PREFIX: &str = "tls: failed to verify certificate: x509: ";
    const VALIDITY: &str = "certificate has expired or is not yet valid: current time ";
    let check = |change: &dyn Fn(&mut Certificate), expected: &str| {
        paused(async {
            let world = World::new(&[(0, &|behaviour| change(&mut behaviour.certificate))]);
            let roots = Verify::Roots(vec![world.authority.certificate()]);
            let result = world.connect_with(&roots).await;
            let text = result.err().unwrap_or_else(|| "ok".to_owned());
            assert_eq!(text.strip_prefix(PREFIX).unwrap_or(&text), expected);
            world
                .connect()
                .await
                .expect("an insecure client does not mind");
        });
    };
    check(&|_| {}, "ok");
    check(
        &|certificate| certificate.issuer = Issuer::Unknown,
        "certificate signed by unknown authority",
    );
    check(
        &|certificate| {
            certificate.issuer = Issuer::SelfSigned;
            certificate.ips.clear();
        },
        "cannot validate certificate for 10.0.0.5 because it doesn't contain any IP SANs",
    );
    check(
        &|certificate| certificate.issuer = Issuer::SelfSigned,
        "certificate signed by unknown authority",
    );
    check(
        &|certificate| certificate.ips = vec![IpAddr::from([127, 0, 0, 1])],
        "certificate is valid for 127.0.0.1, not 10.0.0.5",
    );
    check(
        &|certificate| certificate.not_before = certificate.not_before.offset(2 * HOUR),
        &format!("{VALIDITY}2026-11-23T09:22:00Z is before 2026-11-23T10:22:00Z"),
    );
    check(
        &|certificate| certificate.not_after = certificate.not_after.offset(-2 * HOUR),
        &format!("{VALIDITY}2026-11-23T09:22:00Z is after 2026-11-23T08:22:00Z"),
    );
}

/// Source: issue texts of fresh nodes, whose kubelets refuse first, are
/// overloaded then, and serve at last.
#[test]
fn a_script_is_met_one_attempt_at_a_time() {
    paused(async {
        let attempts = Rc::new(Attempts::new(vec![
            Attempt::NoCertificate,
            Attempt::Status(503),
            Attempt::Slow(Duration::from_secs(1)),
            Attempt::Hang,
            Attempt::Ok,
        ]));
        let world = World::new(&[(0, &|behaviour| {
            behaviour.attempts = Some(Rc::clone(&attempts));
        })]);
        assert_eq!(
            world.scrape().await.unwrap_err(),
            "remote error: tls: internal error"
        );
        assert_eq!(world.scrape().await.unwrap().status, 503);
        let asked = Instant::now();
        assert_eq!(world.scrape().await.unwrap().status, 200);
        // A millisecond before it dials, twenty of latency.
        assert_eq!(asked.elapsed(), Duration::from_millis(1_021));
        assert_eq!(world.scrape().await.unwrap_err(), "timeout");
        assert_eq!(world.scrape().await.unwrap().status, 200);
        assert_eq!(world.statuses(), [0, 503, 200, 0, 200]);
    });
}

/// Source: client-go/util/certificate/certificate_manager.go, `Current`.
#[test]
fn a_manager_does_not_show_a_certificate_that_has_expired() {
    paused(async {
        let world = World::new(&[(0, &|behaviour| {
            behaviour.certificate.managed = true;
            behaviour.certificate.not_after = behaviour.certificate.not_before.offset(HOUR);
            behaviour.certificate.not_before = behaviour.certificate.not_before.offset(-HOUR);
        })]);
        assert_eq!(
            world.scrape().await.unwrap_err(),
            "remote error: tls: internal error"
        );
    });
}

/// Goal: whoever counts faults counts what met a client, once each time.
#[test]
fn every_fault_that_met_a_client_is_told() {
    paused(async {
        let told: Rc<RefCell<Vec<Fault>>> = Rc::default();
        let heard = Rc::clone(&told);
        let world = World::new(&[
            (0, &|behaviour| {
                let heard = Rc::clone(&heard);
                behaviour.effects = Rc::new(move |fault| heard.borrow_mut().push(fault));
                behaviour.status = 503;
                behaviour.certificate.issuer = Issuer::Unknown;
            }),
            (10, &|behaviour| {
                let heard = Rc::clone(&heard);
                behaviour.effects = Rc::new(move |fault| heard.borrow_mut().push(fault));
                behaviour.state = KubeletState::NoCertificate;
            }),
        ]);
        world.scrape().await.unwrap();
        until(10, &world).await;
        let _ = world.scrape().await;
        assert_eq!(
            *told.borrow(),
            [
                Fault::Certificate,
                Fault::Latency,
                Fault::Status,
                Fault::State
            ]
        );
    });
}
