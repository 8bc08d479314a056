//! What is not modelled is answered, never left hanging.

use crate::Case;
use crate::cluster::Cluster;
use crate::kubectl::kubectl;

pub(crate) const CASES: &[Case] = &[("not_modelled", not_modelled)];

fn not_modelled() {
    let cluster = Cluster::start();
    let calls: [&[&str]; 5] = [
        &["logs", "web-1", "-c", "app"],
        &["delete", "pod", "web-1"],
        &["get", "--raw", "/apis/batch/v1/jobs"],
        &["get", "pods", "--as", "jo"],
        &["exec", "web-1", "-c", "app", "--", "true"],
    ];
    let shown: Vec<String> = calls
        .iter()
        .map(|call| {
            format!(
                "$ kubectl {}\n{}",
                call.join(" "),
                kubectl(&cluster, call).shown()
            )
        })
        .collect();
    let mut told = cluster.not_modelled();
    // Some builds of kubectl ask for the version first.
    told.retain(|request| request != "GET /version");
    let told = format!("told:\n{}", told.join("\n"));
    insta::assert_snapshot!("not_modelled", format!("{}\n{told}\n", shown.join("\n")));
}
