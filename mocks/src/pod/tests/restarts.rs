use super::*;

#[test]
fn the_first_liveness_kill_restarts_without_back_off_and_later_ones_fill_the_entry() {
    paused(async {
        let world = World::new(&[IDLE], |config| {
            config.liveness = Some(probe("/livez", 0, 10, 0));
        });
        world.until(200).await;
        let refusals = world.responses(Observer::LivenessProbe);
        let times: Vec<u128> = refusals[..4].iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0, 10_000, 20_000, 30_000]);
        // Killed at 20, 50, 80, 110, 140. The fifth decision finds an entry of
        // 40 s, first against the exit at 110 and then against that at 140.
        assert_eq!(
            world.starts(),
            [0, 20_000, 50_000, 80_000, 110_000, 180_000]
        );
        assert_eq!(world.back_offs(), [(140_000, 40)]);
        assert_eq!(
            world.messages("Killing")[0],
            (
                20_000,
                "Container metrics-server failed liveness probe, will be restarted".to_owned()
            )
        );
    });
}

#[test]
fn a_process_that_ignores_sigterm_is_killed_after_its_grace_period() {
    paused(async {
        let stubborn = Life {
            obeys: false,
            ..IDLE
        };
        let world = World::new(&[stubborn], |config| {
            config.startup = Some(probe("/livez", 0, 10, 0));
        });
        world.until(60).await;
        assert_eq!(world.starts(), [0, 50_000]);
        let exits = world.recording.picked(|event| match event {
            Event::ContainerExited {
                code, killed_by, ..
            } => Some((*code, *killed_by)),
            _ => None,
        });
        assert_eq!(exits, [(50_000, (137, Some("startup")))]);
    });
}

/// Recording E11: exits at 0.555, 1.919 and 12.294 s, starts at 1.557, 11.920
/// and 32.296 s; the clock of the recording's host had millisecond noise.
#[test]
fn a_crashing_process_starts_again_as_recorded() {
    paused(async {
        let crash = |exits| Life {
            exits: Some(exits),
            ..IDLE
        };
        let world = World::new(&[crash(555), crash(362), crash(374), HEALTHY], |config| {
            config.readiness = Some(probe("/readyz", 20, 10, 5_480));
        });
        world.until(60).await;
        assert_eq!(world.starts(), [0, 1_555, 11_917, 32_291]);
        assert_eq!(world.back_offs(), [(2_917, 10), (13_291, 20)]);
        assert_eq!(
            world.responses(Observer::ReadinessProbe),
            [(55_480, Outcome::Status(200))]
        );
        let message = &world.messages("BackOff")[0].1;
        let uid = world.object()["metadata"]["uid"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(
            *message,
            format!(
                "Back-off restarting failed container metrics-server in pod \
                 metrics-server-6f7dd4c4c4-x7k2p_kube-system({uid})"
            )
        );
    });
}

/// Recording E10: killed at 55 s, started again at 85 s, probe phase 8.16 s.
#[test]
fn an_operator_who_kills_and_starts_is_answered_as_recorded() {
    paused(async {
        let world = World::new(&[HEALTHY], |config| {
            config.readiness = Some(probe("/readyz", 20, 10, 8_160));
            config.restart = false;
        });
        world.until(55).await;
        world.pod.kill();
        world.until(85).await;
        world.pod.start();
        world.until(120).await;
        assert_eq!(world.starts(), [0, 85_000]);
        assert_eq!(
            world.ready(),
            [
                (10, false),
                (28_170, true),
                (56_010, false),
                (108_170, true)
            ]
        );
    });
}

#[test]
fn a_start_from_outside_cuts_a_back_off_short() {
    paused(async {
        let crash = Life {
            exits: Some(100),
            ..IDLE
        };
        let world = World::new(&[crash], |_| {});
        world.until(5).await;
        assert_eq!(world.starts(), [0, 1_100]);
        world.pod.start();
        world.until(6).await;
        assert_eq!(world.starts(), [0, 1_100, 5_000]);
    });
}

#[test]
fn a_signal_before_the_first_start_hits_nobody() {
    paused(async {
        let world = World::new(&[IDLE], |config| config.image_pull = Duration::from_secs(5));
        world.until(2).await;
        world.pod.kill();
        world.until(10).await;
        assert_eq!(world.starts(), [5_000]);
    });
}

#[test]
fn jitter_prolongs_waits_by_at_most_half_and_the_queues_second() {
    paused(async {
        let crash = Life {
            exits: Some(100),
            ..IDLE
        };
        let world = World::new(&[crash], |config| config.restart_timing.jitter = true);
        world.until(60).await;
        let starts = world.starts();
        assert!((100..1_100).contains(&starts[1]), "{starts:?}");
        let wait = starts[2] - (starts[1] + 100);
        assert!((10_000..=16_000).contains(&wait), "{starts:?}");
    });
}

/// With a threshold of one a single missing answer is enough. The kill at 240 s
/// is judged by the exit at 150 s, before the wait, and is restarted at once.
#[test]
fn a_liveness_probe_without_patience_kills_at_its_first_failure() {
    paused(async {
        let world = World::new(&[IDLE], |config| {
            config.liveness = Some(Probe {
                failure_threshold: 1,
                ..probe("/livez", 30, 30, 0)
            });
        });
        world.until(2_000).await;
        let starts = world.starts();
        assert_eq!(starts[..4], [0, 30_000, 60_000, 90_000]);
        let waits: Vec<u64> = world.back_offs().iter().map(|(_, wait)| *wait).collect();
        assert_eq!(waits[..4], [40, 160, 300, 300]);
    });
}
