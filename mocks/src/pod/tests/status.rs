use super::*;

#[test]
fn a_status_that_could_not_be_written_is_tried_again_every_ten_seconds() {
    paused(async {
        let world = World::new(
            &[Life {
                ready: 0,
                ..HEALTHY
            }],
            |config| {
                config.readiness = Some(probe("/readyz", 0, 60, 4_000));
            },
        );
        world.until(3).await;
        world.reachable.set(false);
        world.until(15).await;
        world.reachable.set(true);
        world.until(30).await;
        assert_eq!(world.ready(), [(10, false), (20_010, true)]);
    });
}

#[test]
fn the_pod_object_tells_the_endpoint_controller_what_it_needs() {
    paused(async {
        let world = World::new(
            &[Life {
                exits: Some(60_000),
                ..HEALTHY
            }],
            |config| {
                config.readiness = Some(probe("/readyz", 20, 10, 0));
                config.scheduling = Duration::from_secs(1);
                config.image_pull = Duration::from_millis(7_200);
            },
        );
        world.until(5).await;
        let pod = world.object();
        assert_eq!(pod["spec"]["nodeName"], "pi");
        assert_eq!(pod["status"]["phase"], "Pending");
        assert!(pod["status"].get("podIP").is_none());
        world.until(40).await;
        let pod = world.object();
        assert_eq!(pod["metadata"]["labels"]["k8s-app"], "metrics-server");
        assert_eq!(pod["spec"]["containers"][0]["ports"][0]["name"], "https");
        assert_eq!(pod["status"]["podIP"], "10.42.0.9");
        let ready = &pod["status"]["conditions"][2];
        assert_eq!(
            (&ready["type"], &ready["status"]),
            (&json("Ready"), &json("True"))
        );
        world.until(80).await;
        let pod = world.object();
        let container = &pod["status"]["containerStatuses"][0];
        assert_eq!(container["restartCount"], 1);
        assert_eq!(container["lastState"]["terminated"]["exitCode"], 2);
        assert_eq!(
            world.messages("Pulled")[0].1,
            "Successfully pulled image \"registry.k8s.io/metrics-server/metrics-server:v0.8.1\" \
             in 7.2s (7.2s including waiting). Image size: 22534912 bytes."
        );
    });
}

#[test]
fn without_probes_the_pod_is_ready_as_soon_as_it_runs() {
    paused(async {
        let world = World::new(&[IDLE], |_| {});
        world.until(1).await;
        assert_eq!(world.ready(), [(10, true)]);
    });
}

fn json(text: &str) -> Value {
    Value::from(text)
}
