//! Who uses the metrics API, and the witness.

use std::rc::Rc;
use std::time::Duration;

use mocks::clients::hpa::ScaleTarget;
use mocks::clients::witness::{Witness, WitnessConfig};
use mocks::clients::{ApiAccess, Timetable, discovery, hpa, kubectl_top};
use mocks::event::Recorder;
use mocks::http_client::Target;
use mocks::pki::Identity;
use mocks::tls::{self, Verify};
use seam::Host;

use super::Site;
use super::machines::Machines;
use crate::scenario::model::{Consumer, ConsumerKind};

/// The aggregation layer routes within a few milliseconds of a write of the
/// APIService; the witness looks again after this long.
const SETTLE: Duration = Duration::from_millis(20);

/// Starts every consumer of the scenario, and the witness.
pub fn start(site: &Site, machines: &Machines) {
    for consumer in &site.scenario.consumers {
        start_consumer(site, machines, consumer);
    }
    start_witness(site, machines);
}

fn start_consumer(site: &Site, machines: &Machines, consumer: &Consumer) {
    let recorder: Rc<dyn Recorder> = Rc::clone(&site.recorder) as Rc<dyn Recorder>;
    let timetable = Timetable {
        first: site.start + consumer.from,
        every: consumer.every,
    };
    match consumer.kind {
        ConsumerKind::KubectlTop => {
            let host = machines.clients.process();
            let access = api_access(site, &host, &site.trust.admin);
            host.spawn(kubectl_top::run(host.clone(), access, timetable, recorder));
        }
        ConsumerKind::Discovery => {
            let host = machines.clients.process();
            let access = api_access(site, &host, &site.trust.admin);
            host.spawn(discovery::run(host.clone(), access, timetable, recorder));
        }
        ConsumerKind::Hpa => {
            // The autoscaler is a part of the control plane.
            let host = machines.api_server.process();
            let access = api_access(site, &host, &site.trust.autoscaler);
            let (target, store) = (scale_target(site), site.store.clone());
            // The controller looks at a new autoscaler one period later.
            let timetable = Timetable {
                first: timetable.first + consumer.every,
                ..timetable
            };
            host.spawn(hpa::run(
                host.clone(),
                access,
                timetable,
                target,
                store,
                recorder,
            ));
        }
    }
}

/// What the autoscaler scales: the first pod of the scenario and its likes.
fn scale_target(site: &Site) -> ScaleTarget {
    let pod = site
        .scenario
        .nodes
        .iter()
        .flat_map(|node| &node.pods)
        .next();
    pod.map_or_else(
        || ScaleTarget {
            namespace: "default".to_owned(),
            labels: Vec::new(),
        },
        |pod| ScaleTarget {
            namespace: pod.namespace.clone(),
            labels: pod.labels.clone(),
        },
    )
}

fn start_witness(site: &Site, machines: &Machines) {
    let host = machines.witness.process();
    let recorder: Rc<dyn Recorder> = Rc::clone(&site.recorder) as Rc<dyn Recorder>;
    let server = std::net::SocketAddr::new(site.addresses.pod, site.secure_port());
    let config = WitnessConfig {
        metrics_server: ApiAccess {
            target: Rc::new(Target::https(server)),
            tls: tls::client_config(&Verify::Insecure, None, host.clock()),
            token: None,
        },
        api_server: api_access(site, &host, &site.trust.admin),
        settle: SETTLE,
        patience: Duration::from_secs(5),
    };
    let witness = Witness::start(&host, &config, &recorder);
    site.recorder.set_witness(move || witness.look());
}

fn api_access(site: &Site, host: &Host, identity: &Identity) -> ApiAccess {
    let verify = Verify::Roots(vec![site.trust.cluster.certificate()]);
    ApiAccess {
        target: Rc::new(Target::https(site.addresses.api_server)),
        tls: tls::client_config(&verify, Some(identity), host.clock()),
        token: None,
    }
}
