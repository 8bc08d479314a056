mod access;
mod connections;
mod payloads;

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::*;
use crate::http_client::testing::{Pipes, Recording, TestClock, paused};
use crate::http_server::testing::{Answer, Client, PATIENCE, connect};
use crate::load::{Container, Load, Pod};
use crate::tls::{Verify, client_config};
use tokio::time::Instant;

const TOKEN: &str = "token-of-metrics-server";
const HOUR: i64 = 3_600_000_000_000;

/// Seconds since the start, and a change to a healthy behaviour.
type Entry<'a> = (u64, &'a dyn Fn(&mut KubeletBehaviour));

/// A kubelet on a machine of its own, and a client's machine.
struct World {
    clients: Host,
    start: Instant,
    recording: Rc<Recording>,
    authority: Rc<Authority>,
    load: CurrentLoad,
    /// Steps of the clock: since when, and by how much, in nanoseconds.
    steps: Rc<Cell<(i64, i64)>>,
    address: SocketAddr,
}

impl World {
    fn new(entries: &[Entry<'_>]) -> Self {
        let clock = TestClock::new();
        let network = Pipes::new();
        let (host, clients) = (network.host("pi", &clock), network.host("clients", &clock));
        let (start, recording) = (Instant::now(), Recording::new());
        let ip = IpAddr::from([10, 0, 0, 5]);
        let now = host.now();
        let unknown = Rc::new(authority("unknown", now));
        let authority = Rc::new(authority("cluster", now));
        let load = CurrentLoad::new(load());
        let script = entries.iter().map(|(seconds, change)| {
            let mut behaviour = healthy(ip, now);
            change(&mut behaviour);
            (Duration::from_secs(*seconds), behaviour)
        });
        let steps = Rc::new(Cell::new((i64::MAX, 0)));
        let known_steps = Rc::clone(&steps);
        let config = KubeletConfig {
            node: "pi".to_owned(),
            address: ip,
            start: start.into(),
            behaviour: Script::new(start, script.collect()),
            load: load.clone(),
            wall_at: Rc::new(move |at_ns| {
                let (since_ns, by_ns) = known_steps.get();
                now.offset(at_ns)
                    .offset(if at_ns >= since_ns { by_ns } else { 0 })
            }),
            true_time: {
                let host = host.clone();
                Rc::new(move || host.now())
            },
            authority: Rc::clone(&authority),
            unknown,
            seed: "7".into(),
            token: TOKEN.into(),
            authorizer: Rc::new(|_| Review::Allowed),
        };
        host.spawn(run(host.clone(), config, recording.clone()));
        Self {
            clients,
            start,
            recording,
            authority,
            load,
            steps,
            address: SocketAddr::new(ip, 10250),
        }
    }

    async fn connect(&self) -> Result<Client, String> {
        self.connect_with(&Verify::Insecure).await
    }

    async fn connect_with(&self, verify: &Verify) -> Result<Client, String> {
        // A kubelet listens once it has run for the first time.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let config = client_config(verify, None, self.clients.clock());
        connect(&self.clients, self.address, Some(config)).await
    }

    /// A scrape on a connection of its own.
    async fn scrape(&self) -> Result<Answer, String> {
        self.connect().await?.send(scrape(TOKEN)).await
    }

    fn statuses(&self) -> Vec<u16> {
        let served = self.recording.picked(|event| match event {
            Event::KubeletServed { status } => Some(*status),
            _ => None,
        });
        served.into_iter().map(|(_, status)| status).collect()
    }
}

fn authority(name: &str, now: Timestamp) -> Authority {
    Authority::new(name, name, now.offset(-HOUR), now.offset(100 * HOUR))
}

fn healthy(ip: IpAddr, now: Timestamp) -> KubeletBehaviour {
    KubeletBehaviour {
        port: 10250,
        boot: 0,
        state: KubeletState::Open,
        certificate: Certificate {
            issuer: Issuer::Cluster,
            not_before: now.offset(-HOUR),
            not_after: now.offset(HOUR),
            ips: vec![ip],
            dns: vec!["pi".to_owned()],
            managed: false,
        },
        latency: Latency::independent(Rc::new(|| Duration::from_millis(20))),
        access: Access::default(),
        minor: 36,
        status: 200,
        payload: Payload::Healthy,
        flaws: Rc::new([]),
        endpoints: Rc::new([]),
        attempts: None,
        housekeeping: Housekeeping::every(None),
        timestamps: Timestamps::Read,
        effects: Rc::new(|_| ()),
    }
}

fn load() -> Load {
    Load {
        cpu_nanocores: 500_000_000,
        memory_bytes: 1 << 30,
        up_for: Duration::from_secs(100),
        pods: vec![Pod {
            namespace: "default".to_owned(),
            name: "web-0".to_owned(),
            containers: vec![Container {
                name: "web".to_owned(),
                started_ns: -50_000_000_000,
                cpu_nanocores: 100_000_000,
                memory_bytes: 1 << 20,
            }],
        }],
    }
}

fn scrape(token: &str) -> Request<Full<Bytes>> {
    Request::get("/metrics/resource")
        .header("host", "10.0.0.5:10250")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::default())
        .expect("a fixed request")
}

/// Value and timestamp of the first sample that begins with `name`.
fn sample(answer: &Answer, name: &str) -> (f64, i64) {
    let line = answer.text().lines().find(|line| line.starts_with(name));
    let mut words = line.expect("the series is there").rsplit(' ');
    let time = words.next().unwrap().parse().expect("a timestamp");
    (words.next().unwrap().parse().expect("a value"), time)
}

async fn until(seconds: u64, world: &World) {
    tokio::time::sleep_until(world.start + Duration::from_secs(seconds)).await;
}
