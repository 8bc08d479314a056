use super::*;

fn exits(world: &World) -> Vec<(u128, (i32, Option<&'static str>))> {
    world.recording.picked(|event| match event {
        Event::ContainerExited {
            code, killed_by, ..
        } => Some((*code, *killed_by)),
        _ => None,
    })
}

#[test]
fn a_deleted_pod_gets_sigterm_and_its_object_goes_last() {
    paused(async {
        let world = World::new(&[HEALTHY], |config| {
            config.readiness = Some(probe("/readyz", 0, 2, 0));
            config.liveness = Some(probe("/livez", 0, 2, 0));
        });
        world.until(20).await;
        world.pod.delete();
        world.until(30).await;
        assert_eq!(exits(&world), [(20_000, (0, Some("deletion")))]);
        assert_eq!(
            world.messages("Killing"),
            [(20_000, "Stopping container metrics-server".to_owned())]
        );
        // The exit is noticed after a second, the object goes with the write.
        assert_eq!(world.ready().last(), Some(&(21_010, false)));
        assert!(world.store.list("pods").is_empty());
        assert_eq!(world.starts(), [0]);
    });
}

#[test]
fn one_that_ignores_sigterm_is_killed_after_its_grace_period() {
    paused(async {
        let stubborn = Life {
            obeys: false,
            ..HEALTHY
        };
        let world = World::new(&[stubborn], |config| {
            config.readiness = Some(probe("/readyz", 0, 10, 0));
            config.liveness = Some(probe("/livez", 0, 10, 0));
            config.termination_grace = Duration::from_secs(25);
        });
        world.until(21).await;
        world.pod.delete();
        world.until(60).await;
        assert_eq!(exits(&world), [(46_000, (137, Some("deletion")))]);
        let last = |observer| world.responses(observer).last().unwrap().0;
        assert_eq!(last(Observer::ReadinessProbe), 40_000);
        assert_eq!(last(Observer::LivenessProbe), 20_000);
    });
}

#[test]
fn a_pod_deleted_before_its_container_or_while_it_waits_never_starts_again() {
    paused(async {
        let world = World::new(&[IDLE], |config| config.image_pull = Duration::from_secs(5));
        world.until(2).await;
        world.pod.delete();
        world.until(30).await;
        assert!(world.starts().is_empty());
        assert!(world.store.list("pods").is_empty());

        let crash = Life {
            exits: Some(100),
            ..IDLE
        };
        let world = World::new(&[crash], |_| {});
        world.until(5).await;
        world.pod.delete();
        world.until(60).await;
        assert_eq!(world.starts().len(), 2);
        assert!(world.store.list("pods").is_empty());
    });
}

#[test]
fn an_evicted_pod_is_killed_at_once_and_stays_as_failed() {
    paused(async {
        let world = World::new(&[HEALTHY], |config| {
            config.readiness = Some(probe("/readyz", 0, 2, 0));
        });
        world.until(20).await;
        world.pod.evict("The node was low on resource: memory.");
        world.until(40).await;
        assert_eq!(exits(&world), [(20_000, (137, Some("eviction")))]);
        let status = &world.object()["status"];
        assert_eq!(status["phase"], "Failed");
        assert_eq!(status["reason"], "Evicted");
        let told = (20_000, "The node was low on resource: memory.".to_owned());
        assert_eq!(world.messages("Evicted"), [told]);
        assert_eq!(world.starts(), [0]);
    });
}

#[test]
fn a_pod_whose_machine_is_gone_stays_as_the_api_last_knew_it() {
    paused(async {
        let world = World::new(&[HEALTHY], |config| {
            config.readiness = Some(probe("/readyz", 0, 2, 0));
        });
        world.until(20).await;
        world.pod.lose();
        world.until(60).await;
        assert_eq!(exits(&world), [(20_000, (137, Some("node-loss")))]);
        let ready = &world.object()["status"]["conditions"][2];
        assert_eq!(ready["status"], "True");
        let probes = world.responses(Observer::ReadinessProbe);
        assert_eq!(probes.last().unwrap().0, 18_000);
    });
}
