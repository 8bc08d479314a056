//! `manifest:` and `firstlight import`, on what people really have.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firstlight::run;
use firstlight::scenario::manifest::import::import;
use firstlight::scenario::model::Scenario;
use firstlight::scenario::{Code, Diagnostics, parse};
use firstlight::seed::Seed;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests")
}

fn manifest(name: &str) -> String {
    fs::read_to_string(directory().join(name)).expect("readable")
}

/// A scenario beside the manifests.
fn read(manifest: &str, rest: &str) -> Result<Scenario, Diagnostics> {
    let text = format!(
        "apiVersion: firstlight/v1\nkind: Scenario\nmetadata: {{name: test}}\npreset: k3s-1.36\nmanifest: ./{manifest}\nnodes: {{node-1: {{}}}}\n{rest}"
    );
    parse(&directory().join("test.yaml").display().to_string(), &text)
}

fn valid(manifest: &str) -> Scenario {
    read(manifest, "").unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// Messages without the directory that the tests run in.
fn shown(text: &str) -> String {
    text.replace(&format!("{}/", directory().display()), "")
}

#[test]
fn the_manifest_holds_in_place_of_the_preset() {
    let scenario = valid("metrics-server.yaml");
    let server = &scenario.metrics_server;
    let readiness = server.readiness.as_ref().expect("given");
    assert_eq!(readiness.initial_delay, Duration::from_secs(20));
    assert_eq!(readiness.period, Duration::from_secs(10));
    assert_eq!(server.args.len(), 5, "{:?}", server.args);
    let liveness = server.liveness.as_ref().expect("given");
    // K3s has 60 s; the manifest says nothing, which is Kubernetes' zero.
    assert_eq!(liveness.initial_delay, Duration::ZERO);
    let setting = |name: &str| {
        let mut settings = scenario.settings.0.iter();
        let setting = settings.find(|setting| setting.name == name);
        setting.map(|setting| (setting.value.clone(), shown(&setting.origin)))
    };
    assert_eq!(
        setting("readinessProbe.periodSeconds"),
        Some(("10".to_owned(), "metrics-server.yaml:57".to_owned()))
    );
    assert_eq!(
        setting("--metric-resolution"),
        Some(("15s".to_owned(), "metrics-server.yaml:49".to_owned()))
    );
    insta::assert_snapshot!(scenario.notes.join("\n"));
}

#[test]
fn a_list_as_kubectl_prints_it_is_read_with_its_defaults() {
    let scenario = valid("kubectl-get-list.yaml");
    let server = &scenario.metrics_server;
    assert_eq!(
        server.args,
        [
            "--kubelet-insecure-tls",
            "--secure-port=4443",
            "--metric-resolution=30s"
        ]
    );
    assert!(server.host_network);
    assert_eq!(server.liveness, None);
    assert_eq!(server.termination_grace, Duration::from_secs(10));
    assert_eq!(server.progress_deadline, Some(Duration::from_secs(600)));
    let service = scenario.service.at(Duration::ZERO);
    assert!(service.publish_not_ready_addresses);
    assert!(
        !scenario
            .aggregation
            .at(Duration::ZERO)
            .insecure_skip_tls_verify
    );
    insta::assert_snapshot!(scenario.notes.join("\n"));
}

#[test]
fn the_output_of_helm_template_starts_as_the_release_manifest_does() {
    let helm = valid("helm-template.yaml");
    let release = valid("metrics-server.yaml");
    assert_eq!(
        helm.metrics_server.readiness,
        release.metrics_server.readiness
    );
    let ready = |scenario: &Scenario| {
        let run = run::run(scenario, Seed(1)).expect("it ends");
        run.judgement.finding.verdict
    };
    assert_eq!(ready(&helm), ready(&release));
}

#[test]
fn what_contradicts_the_scenario_is_shown_with_both_places() {
    let mistakes = read(
        "metrics-server.yaml",
        "metricsServer:\n  version: v0.9.0\n  args: [--metric-resolution=30s, --kubelet-use-node-status-port, --v=4]\n  withoutArgs: [--cert-dir]\n  readinessProbe: {periodSeconds: 5, phase: 1s, timeoutSeconds: 2}\naggregation: {insecureSkipTLSVerify: false}\n",
    )
    .expect_err("contradictory");
    insta::assert_snapshot!(shown(&mistakes.render()));
    assert!(
        mistakes
            .iter()
            .all(|mistake| mistake.code() == Code::Contradiction)
    );
}

#[test]
fn a_manifest_of_no_use_is_refused() {
    let refused = |name: &str| shown(&read(name, "").expect_err("refused").render());
    insta::assert_snapshot!(
        [
            "missing.yaml",
            ".",
            "not-yaml.yaml",
            "no-deployment.yaml",
            "two-deployments.yaml"
        ]
        .map(refused)
        .concat()
    );
}

#[test]
fn a_mistake_in_the_manifest_is_shown_there() {
    let text = manifest("metrics-server.yaml").replace("periodSeconds: 10", "periodSeconds: ten");
    let path = directory().join("temporary-wrong.yaml");
    fs::write(&path, text).expect("writable");
    let mistakes = read("temporary-wrong.yaml", "").expect_err("wrong");
    fs::remove_file(path).expect("removable");
    let short = shown(&mistakes.render_short());
    assert!(
        short.starts_with("temporary-wrong.yaml:57:28: error[S0106]"),
        "{short}"
    );
}

#[test]
fn what_is_imported_is_what_the_manifest_would_have_said() {
    for name in [
        "metrics-server.yaml",
        "kubectl-get-list.yaml",
        "helm-template.yaml",
    ] {
        let imported = import(name, &manifest(name), "imported", None).expect("useful");
        insta::assert_snapshot!(format!("import_{name}"), imported.scenario);
        let made = parse("imported.yaml", &imported.scenario)
            .unwrap_or_else(|mistakes| panic!("{}\n{mistakes}", imported.scenario));
        let named = valid(name);
        let plain = |scenario: &Scenario| {
            let mut server = scenario.metrics_server.clone();
            // In the preset's order, which has no meaning.
            server.args.sort();
            // K3s' own, which no manifest has.
            (
                server,
                scenario.aggregation.at(Duration::ZERO).ca_bundle,
                scenario.service.clone(),
            )
        };
        assert_eq!(plain(&made), plain(&named), "{name}");
    }
}
