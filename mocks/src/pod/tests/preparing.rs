use super::*;
use crate::pod::InitContainer;
use crate::script::Script;

#[test]
fn init_containers_run_one_after_the_other_before_the_image_is_pulled() {
    paused(async {
        let init = |name: &str, seconds, failures| InitContainer {
            name: name.to_owned(),
            runs: Duration::from_secs(seconds),
            awaited: Script::always(true),
            failures,
        };
        let world = World::new(&[IDLE], |config| {
            config.sandbox = Duration::from_secs(1);
            config.init_containers = vec![init("wait-for-kubelet", 5, 0), init("copy", 2, 0)];
            config.image_pull = Duration::from_secs(3);
        });
        world.until(3).await;
        let pod = world.object();
        assert_eq!(pod["status"]["phase"], "Pending");
        assert_eq!(pod["status"]["podIP"], "10.42.0.9");
        let initialized = &pod["status"]["conditions"][1];
        assert_eq!(
            initialized["message"],
            "containers with incomplete status: [wait-for-kubelet copy]"
        );
        world.until(30).await;
        // 1 s sandbox, 5 s and 2 s of work that each take 1 s to be noticed.
        assert_eq!(world.messages("Pulling")[0].0, 10_000);
        assert_eq!(world.starts(), [13_000]);
        assert_eq!(world.object()["status"]["conditions"][1]["status"], "True");
    });
}

#[test]
fn an_init_container_that_fails_is_repeated_as_any_container_is() {
    paused(async {
        let world = World::new(&[IDLE], |config| {
            config.init_containers = vec![InitContainer {
                name: "wait".to_owned(),
                runs: Duration::from_secs(1),
                awaited: Script::always(true),
                failures: 3,
            }];
        });
        world.until(100).await;
        // Runs 0–1, 2–3, 13–14 after 10 s, 34–35 after 20 s; noticed a second later.
        assert_eq!(world.starts(), [36_000]);
        assert_eq!(
            world.messages("BackOff").len(),
            2,
            "{:?}",
            world.messages("BackOff")
        );
    });
}

#[test]
fn an_init_container_that_waits_for_something_ends_when_it_is_there() {
    paused(async {
        let until = (Duration::from_secs(40), true);
        let awaited = Script::new(Instant::now(), vec![(Duration::ZERO, false), until]);
        let world = World::new(&[IDLE], |config| {
            config.init_containers = vec![InitContainer {
                name: "wait".to_owned(),
                runs: Duration::from_secs(1),
                awaited,
                failures: 0,
            }];
        });
        world.until(100).await;
        assert_eq!(world.starts(), [41_000]);
    });
}

#[test]
fn a_pull_that_fails_is_tried_again_after_ten_then_twenty_seconds() {
    paused(async {
        let from = (Duration::from_secs(25), true);
        let from = Script::new(Instant::now(), vec![(Duration::ZERO, false), from]);
        let world = World::new(&[IDLE], |config| {
            config.image_available = from;
            config.image_pull = Duration::from_secs(2);
        });
        world.until(100).await;
        let pulls: Vec<u128> = world
            .messages("Pulling")
            .iter()
            .map(|(at, _)| *at)
            .collect();
        // Failed at 2 and at 14: the second is followed by twenty seconds.
        assert_eq!(pulls, [0, 12_000, 34_000]);
        assert_eq!(world.starts(), [36_000]);
        assert_eq!(
            world.messages("BackOff"),
            [(
                24_000,
                "Back-off pulling image \"registry.k8s.io/metrics-server/metrics-server:v0.8.1\""
                    .to_owned()
            )]
        );
        let failed: Vec<String> = world
            .messages("Failed")
            .into_iter()
            .map(|(_, text)| text)
            .filter(|text| text.starts_with("Error: "))
            .collect();
        assert_eq!(
            failed,
            [
                "Error: ErrImagePull",
                "Error: ErrImagePull",
                "Error: ImagePullBackOff"
            ]
        );
    });
}

#[test]
fn without_a_network_there_is_no_sandbox_except_in_that_of_the_node() {
    paused(async {
        let from = (Duration::from_millis(7_500), true);
        let from = Script::new(Instant::now(), vec![(Duration::ZERO, false), from]);
        let world = World::new(&[IDLE], |config| {
            config.network = from;
            config.sandbox = Duration::from_secs(1);
        });
        world.until(60).await;
        assert_eq!(world.starts(), [9_000]);
        assert_eq!(world.messages("NetworkNotReady").len(), 8);

        let world = World::new(&[IDLE], |config| {
            config.network = Script::always(false);
            config.host_network = true;
        });
        world.until(30).await;
        assert_eq!(world.starts(), [0]);
    });
}
