//! Credentials: who is let in, and who is told what.

use crate::Case;
use crate::cluster::Cluster;
use crate::kubectl::{As, kubectl_as};

pub(crate) const CASES: &[Case] = &[("credentials", credentials), ("can_i", can_i)];

fn session(name: &str, calls: &[(As, &str)]) {
    let cluster = Cluster::start();
    let mut shown = String::new();
    for (who, call) in calls {
        let arguments: Vec<&str> = call.split(' ').collect();
        let output = kubectl_as(&cluster, *who, &arguments);
        shown.push_str(&format!("{who:?} $ kubectl {call}\n{}\n", output.shown()));
    }
    insta::assert_snapshot!(name, shown);
}

fn credentials() {
    session(
        "credentials",
        &[
            (As::Viewer, "get pods"),
            (As::Viewer, "get nodes"),
            (As::Viewer, "get node n1"),
            (As::Viewer, "get --raw /metrics"),
            (As::Stranger, "get pods"),
            (As::Stranger, "get --raw /api/v1/pods"),
            (As::Foreigner, "get --raw /api/v1/pods"),
            (As::Viewer, "get --raw /readyz"),
        ],
    );
}

fn can_i() {
    session(
        "can_i",
        &[
            (As::Admin, "auth can-i delete pods"),
            (As::Viewer, "auth can-i list pods"),
            (As::Viewer, "auth can-i delete pods"),
            (As::Viewer, "auth can-i get nodes.metrics.k8s.io"),
            (As::Viewer, "auth can-i get /metrics"),
            (As::Viewer, "auth can-i --list"),
            (As::Viewer, "auth whoami"),
        ],
    );
}
