use super::*;

#[test]
fn upstreams_probe_waits_twenty_seconds_and_then_for_its_tick() {
    paused(async {
        let world = World::new(&[HEALTHY], |config| {
            config.readiness = Some(probe("/readyz", 20, 10, 3_240));
        });
        world.until(60).await;
        let ok = Outcome::Status(200);
        assert_eq!(
            world.responses(Observer::ReadinessProbe),
            [(23_240, ok), (33_240, ok), (43_240, ok), (53_240, ok)]
        );
        assert_eq!(world.ready(), [(10, false), (23_250, true)]);
    });
}

#[test]
fn k3s_probes_every_two_seconds_from_the_start() {
    paused(async {
        let life = Life {
            serves: Some(1_000),
            ..HEALTHY
        };
        let world = World::new(&[life], |config| {
            config.readiness = Some(probe("/readyz", 0, 2, 500));
        });
        world.until(20).await;
        let responses = world.responses(Observer::ReadinessProbe);
        assert_eq!(responses[0], (500, Outcome::Refused));
        assert_eq!(responses[1], (2_500, Outcome::Status(500)));
        assert_eq!(responses[8], (16_500, Outcome::Status(200)));
        assert_eq!(world.ready(), [(10, false), (16_510, true)]);
        assert_eq!(
            world.messages("Unhealthy")[0].1,
            "Readiness probe failed: Get \"http://10.42.0.9:10250/readyz\": \
             dial tcp 10.42.0.9:10250: connect: connection refused"
        );
        assert_eq!(
            world.messages("Unhealthy")[1].1,
            "Readiness probe failed: HTTP probe failed with statuscode: 500"
        );
    });
}

#[test]
fn a_clock_set_back_before_the_start_freezes_probes_until_it_has_caught_up() {
    paused(async {
        let world = World::new(&[HEALTHY], |config| {
            config.readiness = Some(probe("/readyz", 0, 2, 0));
        });
        world.until(5).await;
        world.clock.step(-15);
        world.until(20).await;
        let times: Vec<u128> = world
            .responses(Observer::ReadinessProbe)
            .iter()
            .map(|(at, _)| *at)
            .collect();
        assert_eq!(times, [0, 2_000, 4_000, 16_000, 18_000]);
    });
}

#[test]
fn a_probe_that_fails_for_long_shows_twenty_five_events() {
    paused(async {
        let world = World::new(&[IDLE], |config| {
            config.readiness = Some(probe("/readyz", 0, 2, 0));
        });
        world.until(100).await;
        assert_eq!(world.responses(Observer::ReadinessProbe).len(), 50);
        assert_eq!(world.messages("Unhealthy").len(), 25);
    });
}
