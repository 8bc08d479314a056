//! Pods come, go and become ready.

use std::time::Duration;

use tokio::time::sleep;

use super::*;
use crate::apiserver::State;
use crate::http_client::testing::{Pipes, TestClock, paused};

fn pod(ready: bool) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": "web-abc-x1", "namespace": "a", "labels": {"app": "web"},
            "creationTimestamp": "2026-11-23T09:22:00Z",
        },
        "spec": {"containers": [{"name": "c"}], "nodeName": "n"},
        "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
    })
}

async fn start(max_unavailable: u64) -> Store {
    let host = Pipes::new().host("controllers", &TestClock::new());
    let store = Store::new();
    let config = Config {
        namespace: "a".to_owned(),
        name: "web".to_owned(),
        selector: vec![("app".to_owned(), "web".to_owned())],
        replicas: 1,
        max_unavailable,
    };
    let up = Behaviour::new(State::Up, Rc::new(|| Duration::ZERO));
    let up = Script::always(up);
    host.spawn(run(host.clone(), store.clone(), config, up));
    settle().await;
    store
}

async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

fn status(store: &Store) -> Value {
    store.get("deployments", Some("a"), "web").expect("created")["status"].clone()
}

#[test]
fn a_deployment_appears_with_its_pod_and_follows_its_readiness() {
    paused(async {
        let store = start(0).await;
        assert!(store.list("deployments").is_empty());
        store.put("pods", pod(false));
        settle().await;
        let set = store
            .get("replicasets", Some("a"), "web-abc")
            .expect("created");
        assert_eq!(set["metadata"]["labels"]["pod-template-hash"], "abc");
        assert_eq!(set["spec"]["template"]["spec"].get("nodeName"), None);
        assert_eq!(status(&store)["unavailableReplicas"], 1);
        assert_eq!(
            status(&store)["conditions"][0]["reason"],
            "MinimumReplicasUnavailable"
        );
        store.put("pods", pod(true));
        settle().await;
        let ready = status(&store);
        assert_eq!(ready["readyReplicas"], 1);
        assert_eq!(ready["conditions"][1]["reason"], "NewReplicaSetAvailable");
        store.put("pods", pod(false));
        settle().await;
        let unready = status(&store);
        assert_eq!(unready.get("readyReplicas"), None);
        assert_eq!(unready["conditions"][1]["reason"], "NewReplicaSetAvailable");
        let reasons: Vec<_> = store
            .list("events")
            .iter()
            .map(|event| event["reason"].clone())
            .collect();
        assert_eq!(reasons, ["SuccessfulCreate", "ScalingReplicaSet"]);
    });
}

#[test]
fn a_rollout_has_two_sets_and_is_complete_when_the_old_pods_are_gone() {
    paused(async {
        let store = start(0).await;
        store.put("pods", pod(true));
        settle().await;
        let mut new = pod(false);
        new["metadata"]["name"] = json!("web-def-y2");
        store.put("pods", new.clone());
        settle().await;
        let rolling = status(&store);
        assert_eq!(
            (&rolling["replicas"], &rolling["updatedReplicas"]),
            (&json!(2), &json!(1))
        );
        assert_eq!(rolling["conditions"][1]["reason"], "ReplicaSetUpdated");
        new["status"] = pod(true)["status"].clone();
        store.put("pods", new);
        store.delete("pods", Some("a"), "web-abc-x1");
        settle().await;
        assert_eq!(
            status(&store)["conditions"][1]["reason"],
            "NewReplicaSetAvailable"
        );
        let wanted = |set| {
            store.get("replicasets", Some("a"), set).expect("created")["spec"]["replicas"].clone()
        };
        assert_eq!((wanted("web-abc"), wanted("web-def")), (json!(0), json!(1)));
    });
}

#[test]
fn one_that_may_be_missing_does_not_make_it_unavailable() {
    paused(async {
        let store = start(1).await;
        store.put("pods", pod(false));
        settle().await;
        let available = &status(&store)["conditions"][0];
        assert_eq!(available["status"], "True");
    });
}
