//! From a pod's readiness to a route, without a network.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use seam::Host;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Route, ServiceTable, proxy, slices};
use crate::apiserver::State;
use crate::apiserver::objects::{Service, service};
use crate::apiserver::testing::{address, millis, script};
use crate::event::{Event, Recorder};
use crate::http_client::testing::{Pipes, Recording, TestClock, paused};
use crate::store::Store;

const CLUSTER_IP: &str = "10.43.180.48:443";

struct World {
    host: Host,
    store: Store,
    recording: Rc<Recording>,
    table: ServiceTable,
}

impl World {
    /// A controller that writes after 5 ms and a kube-proxy that takes 20.
    fn start(states: &[(u64, State)]) -> Self {
        let host = Pipes::new().host("control-plane", &TestClock::new());
        let store = Store::new();
        let recording = Recording::new();
        let table = ServiceTable::new(&host);
        let behaviour = script(states);
        let config = slices::Config {
            api_server: behaviour.clone(),
            write_latency: millis(5),
            service: ("kube-system".to_owned(), "metrics-server".to_owned()),
        };
        let recorder = Rc::clone(&recording) as Rc<dyn Recorder>;
        host.spawn(slices::run(host.clone(), store.clone(), config, recorder));
        host.spawn(proxy::run(
            host.clone(),
            store.clone(),
            behaviour,
            millis(20),
            table.clone(),
        ));
        Self {
            host,
            store,
            recording,
            table,
        }
    }

    fn put_service(&self, publish_not_ready_addresses: bool) {
        let selector = [("app".to_owned(), "ms".to_owned())];
        let object = service(&Service {
            namespace: "kube-system",
            name: "metrics-server",
            cluster_ip: address(CLUSTER_IP).ip(),
            port_name: "https",
            port: 443,
            target_port: json!("https"),
            selector: &selector,
            publish_not_ready_addresses,
            created: self.host.now(),
        });
        self.store.put("services", object);
    }

    fn put_pod(&self, label: &str, ip: &str, ready: bool) {
        let status = if ready { "True" } else { "False" };
        let pod = json!({
            "metadata": {
                "namespace": "kube-system",
                "name": format!("ms-{}", ip.replace('.', "-")),
                "labels": {"app": label},
            },
            "spec": {
                "nodeName": "n1",
                "containers": [{"ports": [{"name": "https", "containerPort": 10250}]}],
            },
            "status": {
                "phase": "Running",
                "podIP": ip,
                "conditions": [{"type": "Ready", "status": status}],
            },
        });
        self.store.put("pods", pod);
    }

    fn slice(&self) -> Rc<Value> {
        let slices = self.store.list("endpointslices");
        assert_eq!(slices.len(), 1);
        Rc::clone(&slices[0])
    }

    fn route(&self) -> Route {
        self.table.route(address(CLUSTER_IP))
    }

    /// Times and ready addresses of the slices written.
    fn published(&self) -> Vec<(u128, Vec<String>)> {
        self.recording.picked(|event| match event {
            Event::EndpointSlice { ready, .. } => Some(ready.clone()),
            _ => None,
        })
    }
}

fn endpoint(ip: &str) -> Route {
    Route::Endpoint(SocketAddr::new(ip.parse().expect("an address"), 10250))
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[test]
fn a_pods_readiness_reaches_its_slice_in_milliseconds() {
    paused(async {
        let world = World::start(&[(0, State::Up)]);
        world.put_service(false);
        world.put_pod("ms", "10.42.0.9", false);
        world.put_pod("other", "10.42.0.10", true);
        seconds(1).await;
        let slice = world.slice();
        let conditions = &slice["endpoints"][0]["conditions"];
        assert_eq!(
            *conditions,
            json!({"ready": false, "serving": false, "terminating": false})
        );
        assert_eq!(
            slice["ports"],
            json!([{"name": "https", "port": 10250, "protocol": "TCP"}])
        );
        let name = slice["metadata"]["name"].as_str().expect("a name");
        assert!(
            name.starts_with("metrics-server-") && name.len() == 20,
            "{name}"
        );

        world.put_pod("ms", "10.42.0.9", true);
        seconds(1).await;
        assert_eq!(
            world.slice()["metadata"]["name"],
            name,
            "the slice is replaced"
        );
        assert_eq!(
            world.published(),
            [(5, vec![]), (1005, vec!["10.42.0.9".to_owned()])]
        );
    });
}

#[test]
fn a_service_without_pods_has_a_placeholder_and_rejects() {
    paused(async {
        let world = World::start(&[(0, State::Up)]);
        world.put_service(false);
        seconds(2).await;
        assert_eq!(world.slice()["endpoints"], Value::Null);
        assert_eq!(world.route(), Route::Reject);
        assert_eq!(
            world.table.route(address("10.42.0.9:10250")),
            Route::NotProgrammed
        );
    });
}

#[test]
fn unready_addresses_are_routed_to_only_if_they_are_published() {
    for (publish, expected) in [(false, Route::Reject), (true, endpoint("10.42.0.9"))] {
        paused(async move {
            let world = World::start(&[(0, State::Up)]);
            world.put_service(publish);
            world.put_pod("ms", "10.42.0.9", false);
            seconds(3).await;
            assert_eq!(world.route(), expected);
        });
    }
}

#[test]
fn ended_and_deleted_pods_leave_the_slice() {
    paused(async {
        let world = World::start(&[(0, State::Up)]);
        world.put_service(false);
        world.put_pod("ms", "10.42.0.9", true);
        world.put_pod("ms", "10.42.0.10", true);
        seconds(1).await;
        world
            .store
            .delete("pods", Some("kube-system"), "ms-10-42-0-9");
        seconds(3).await;
        assert_eq!(world.route(), endpoint("10.42.0.10"));
        world.put_pod("elsewhere", "10.42.0.10", true);
        seconds(3).await;
        assert_eq!(world.route(), Route::Reject);
    });
}

#[test]
fn rules_are_written_at_once_and_then_at_most_once_a_second() {
    paused(async {
        let world = World::start(&[(0, State::Up)]);
        world.put_service(false);
        world.put_pod("ms", "10.42.0.9", false);
        seconds(10).await;
        let changed = Instant::now();
        world.put_pod("ms", "10.42.0.9", true);
        while world.route() == Route::Reject {
            sleep(Duration::from_millis(1)).await;
        }
        // Slice 5, rules 20, and this test looks once a millisecond.
        let first = changed.elapsed().as_millis();
        assert!((25..=26).contains(&first), "{first} ms");
        world.put_pod("ms", "10.42.0.9", false);
        while world.route() != Route::Reject {
            sleep(Duration::from_millis(1)).await;
        }
        let second = changed.elapsed().as_millis();
        assert!((1045..=1046).contains(&second), "{second} ms");
    });
}

#[test]
fn nothing_is_seen_or_written_while_the_api_server_is_down() {
    paused(async {
        let world = World::start(&[(0, State::Down), (10_000, State::Up), (20_000, State::Down)]);
        world.put_service(false);
        world.put_pod("ms", "10.42.0.9", true);
        seconds(5).await;
        assert_eq!(world.route(), Route::NotProgrammed);
        seconds(7).await;
        assert_eq!(world.route(), endpoint("10.42.0.9"));
        seconds(10).await;
        world.put_pod("ms", "10.42.0.9", false);
        seconds(10).await;
        assert_eq!(
            world.route(),
            endpoint("10.42.0.9"),
            "rules stay as they were"
        );
        assert_eq!(world.published().len(), 1);
    });
}

#[test]
fn pods_that_give_the_named_port_another_number_have_a_slice_of_their_own() {
    paused(async {
        let world = World::start(&[(0, State::Up)]);
        world.put_service(false);
        world.put_pod("ms", "10.42.0.9", true);
        seconds(1).await;
        let first = world.slice()["metadata"]["name"].clone();
        let mut other = Value::clone(&world.store.list("pods")[0]);
        other["metadata"]["name"] = json!("ms-of-the-next-template");
        other["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(4443);
        other["status"]["podIP"] = json!("10.42.0.10");
        world.store.put("pods", other);
        seconds(3).await;
        assert_eq!(world.store.list("endpointslices").len(), 2);
        let routes: std::collections::BTreeSet<String> =
            (0..50).map(|_| format!("{:?}", world.route())).collect();
        assert_eq!(routes.len(), 2, "{routes:?}");
        assert!(routes.iter().any(|route| route.contains("10.42.0.10:4443")));

        // The older goes: its slice goes with it, the younger keeps its own.
        world
            .store
            .delete("pods", Some("kube-system"), "ms-10-42-0-9");
        seconds(1).await;
        assert_ne!(world.slice()["metadata"]["name"], first);
    });
}
