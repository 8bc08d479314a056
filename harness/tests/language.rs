//! The scenario language from outside: the library is valid, what must be
//! refused is refused with the right words, and nothing makes it panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firstlight::scenario::model::{
    ActionKind, Distribution, KubeletState, Party, PathEffect, Scenario, Version,
};
use firstlight::scenario::{Code, Diagnostics, load, parse};
use proptest::prelude::*;

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");

/// The least that makes a scenario, before `rest`.
fn scenario(rest: &str) -> String {
    format!(
        "apiVersion: firstlight/v1\nkind: Scenario\nmetadata: {{name: test}}\npreset: upstream-0.8\n{rest}"
    )
}

fn valid(rest: &str) -> Scenario {
    parse("test.yaml", &scenario(rest)).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn codes(mistakes: &Diagnostics) -> Vec<Code> {
    mistakes.iter().map(|mistake| mistake.code()).collect()
}

fn library() -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(SCENARIOS)
        .sort_by_file_name()
        .into_iter();
    let files = files.map(|entry| entry.expect("readable").into_path());
    files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .filter(|path| !path.components().any(|part| part.as_os_str() == "invalid"))
        .collect()
}

#[test]
fn every_scenario_of_the_library_is_valid_and_expects_something() {
    let files = library();
    assert!(files.len() >= 10, "{files:?}");
    for file in files {
        let scenario = load(&file).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert!(!scenario.expectations.is_empty(), "{}", file.display());
        assert!(!scenario.links.is_empty(), "{}", file.display());
    }
}

#[test]
fn names_of_scenarios_are_unique() {
    let mut names: Vec<String> = library()
        .iter()
        .map(|file| load(file).expect("valid").name)
        .collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// Goal: messages are worth reading. Method: each broken file of the library
/// against its rendered messages, reviewed by eye; and in each a help. One
/// kind of mistake has one file.
#[test]
fn broken_scenarios_are_explained() {
    let mut kinds = std::collections::BTreeMap::new();
    insta::glob!("../../scenarios/invalid", "*.yaml", |path| {
        let text = fs::read_to_string(path).expect("readable");
        let stem = path.file_stem().expect("a file").to_string_lossy();
        // Relative to this package, so that a manifest is found beside it.
        let name = format!("../scenarios/invalid/{stem}.yaml");
        let mistakes = parse(&name, &text).expect_err("broken");
        assert!(mistakes.count() > 0);
        assert!(mistakes.iter().all(|mistake| !mistake.help().is_empty()));
        let rendered = mistakes.render().replace("../scenarios/", "scenarios/");
        assert_eq!(rendered.matches("\nerror[S").count() + 1, mistakes.count());
        assert!(rendered.contains("help: "));
        assert_eq!(mistakes.render_short().lines().count(), mistakes.count());
        let kind: Vec<String> = mistakes
            .iter()
            .map(|mistake| format!("{:?} {}", mistake.code(), mistake.message()))
            .collect();
        if let Some(other) = kinds.insert(kind, stem.to_string()) {
            panic!("{other} and {stem} are the same mistake");
        }
        insta::assert_snapshot!(rendered);
    });
    assert!(kinds.len() >= 40, "{}", kinds.len());
}

#[test]
fn colour_changes_the_look_and_not_the_words() {
    let mistakes = parse("test.yaml", &scenario("nodes: {a: {redy: true}}")).expect_err("broken");
    assert!(mistakes.render_coloured().contains("\u{1b}["));
    assert!(!mistakes.render().contains('\u{1b}'));
    assert_eq!(
        mistakes.render_short(),
        "test.yaml:5:13: error[S0101]: unknown key `redy` in `a`; did you mean `ready`?\n"
    );
}

#[test]
fn files_that_are_no_scenarios_are_refused() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let refused = |name: &str, bytes: &[u8]| {
        let path = directory.join(name);
        fs::write(&path, bytes).expect("writable");
        let mistakes = load(&path).expect_err("refused");
        assert!(mistakes.render().contains("help: "), "{mistakes}");
        codes(&mistakes)
    };
    assert_eq!(refused("empty.yaml", b""), [Code::Empty]);
    assert_eq!(refused("latin1.yaml", b"a: 1\nb: \xe9\n"), [Code::NotUtf8]);
    assert_eq!(
        refused("large.yaml", &vec![b'#'; 2 << 20]),
        [Code::TooLarge]
    );
    assert_eq!(refused("zero.yaml", b"a: \0"), [Code::NotYaml]);
    assert_eq!(refused("tab.yaml", b"nodes:\n\ta: {}\n"), [Code::NotYaml]);
    assert_eq!(
        refused("nested.yaml", "[".repeat(100_000).as_bytes()),
        [Code::TooComplex]
    );
    assert_eq!(
        codes(&load(&directory.join("missing.yaml")).expect_err("missing")),
        [Code::Unreadable]
    );
    assert_eq!(
        codes(&load(directory).expect_err("a directory")),
        [Code::Unreadable]
    );
}

#[test]
fn a_huge_file_is_refused_without_being_read() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("huge.yaml");
    let file = fs::File::create(&path).expect("writable");
    file.set_len(10 << 30).expect("sparse");
    assert_eq!(codes(&load(&path).expect_err("refused")), [Code::TooLarge]);
    fs::remove_file(&path).expect("removable");
}

#[test]
fn arguments_replace_those_of_the_same_flag() {
    let scenario = valid(
        "metricsServer: {args: [--metric-resolution=30s, -v=2], withoutArgs: [--cert-dir]}\nnodes: {a: {}}",
    );
    assert_eq!(
        scenario.metrics_server.args,
        [
            "--secure-port=10250",
            "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
            "--kubelet-use-node-status-port",
            "--metric-resolution=30s",
            "-v=2"
        ]
    );
    let setting = |name: &str| {
        let setting = scenario
            .settings
            .0
            .iter()
            .find(|setting| setting.name == name)
            .expect(name);
        (setting.value.as_str(), setting.origin.as_str())
    };
    assert_eq!(setting("--metric-resolution"), ("30s", "test.yaml:5"));
    assert_eq!(
        setting("--kubelet-request-timeout"),
        ("10s", "default of metrics-server")
    );
    assert_eq!(
        setting("readinessProbe.periodSeconds"),
        ("10", "upstream-0.8")
    );
    assert_eq!(setting("aggregation"), ("clusterIP", "upstream-0.8"));
    assert_eq!(
        setting("args"),
        (
            "--metric-resolution=30s -v=2 without --cert-dir",
            "test.yaml:5"
        )
    );
}

#[test]
fn a_change_edits_the_arguments_that_hold_until_then() {
    let scenario = valid(
        "metricsServer: {withoutArgs: [--kubelet-use-node-status-port]}\nnodes: {a: {}}\nchanges:\n\
         - {at: 20s, metricsServer: {args: [--kubelet-insecure-tls, --kubelet-use-node-status-port]}}\n\
         - {at: 30s, metricsServer: {withoutArgs: [--kubelet-insecure-tls]}, for: 10s}\n\
         - {at: 35s, metricsServer: {args: [--kubelet-preferred-address-types=Hostname]}}",
    );
    let at = |seconds| {
        let mut changes = scenario.metrics_server_changes.iter();
        let found = changes.find(|(at, _)| *at == Duration::from_secs(seconds));
        found.expect("a change").1.args.join(" ")
    };
    let first = "--cert-dir=/tmp --secure-port=10250";
    assert_eq!(
        scenario.metrics_server.args.join(" "),
        format!(
            "{first} --kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname --metric-resolution=15s"
        )
    );
    let insecure = "--kubelet-insecure-tls --kubelet-use-node-status-port";
    assert!(at(20).ends_with(insecure), "{}", at(20));
    assert!(
        at(30).ends_with("15s --kubelet-use-node-status-port"),
        "{}",
        at(30)
    );
    assert_eq!(
        at(40),
        format!(
            "{first} --kubelet-preferred-address-types=Hostname --metric-resolution=15s {insecure}"
        )
    );
}

/// A change that ends may take with it what a later one took out: no mistake.
#[test]
fn what_a_change_takes_out_need_not_outlast_another_change() {
    let scenario = valid(
        "nodes: {a: {}}\nchanges:\n\
         - {at: 10s, for: 20s, metricsServer: {args: [--kubelet-insecure-tls]}}\n\
         - {at: 15s, metricsServer: {withoutArgs: [--kubelet-insecure-tls]}}",
    );
    assert_eq!(scenario.metrics_server_changes.len(), 3);
}

#[test]
fn settings_name_the_lines_that_govern_the_time_to_ready() {
    let scenario = valid(
        "nodes:\n  pi:\n    clock: {offset: -10m}\n    kubelet:\n      latency: {uniform: [1s, 2s]}\n      \
         certificate: {availableAfter: 25s}\n\
         network:\n  cut: {from: pi, to: apiserver, effect: drop}\n\
         changes:\n- {at: 40s, nodes: {pi: {kubelet: {state: Closed}}}}\n- {at: 50s, network: {cut: null}}\n\
         apiServer: {state: Starting}\n\
         metricsServer: {startupProbe: {failureThreshold: 30}, livenessProbe: null}",
    );
    let check = |name: &str, value: &str, origin: &str| {
        let setting = scenario
            .settings
            .0
            .iter()
            .find(|setting| setting.name == name);
        let setting = setting.unwrap_or_else(|| panic!("{name}"));
        assert_eq!(
            (setting.value.as_str(), setting.origin.as_str()),
            (value, origin),
            "{name}"
        );
    };
    check(
        "nodes.pi.kubelet",
        "latency: {uniform: [1s, 2s]}, certificate.availableAfter: 25s, state: Closed from 40s",
        "test.yaml:9",
    );
    check("nodes.pi.clock", "offset: -10m", "test.yaml:7");
    check(
        "network.cut",
        "{from: pi, to: apiserver, effect: drop}, null from 50s",
        "test.yaml:12",
    );
    check("apiServer", "state: Starting", "test.yaml:16");
    check("startCost", "", "upstream-0.8");
    check("startupProbe.failureThreshold", "30", "test.yaml:17");
    check("livenessProbe", "none", "test.yaml:17");
    check("nodes", "1", "test.yaml:5");
}

#[test]
fn a_mistake_in_the_nodes_makes_no_mistakes_of_references() {
    for nodes in ["", "nodes: {}", "nodes: {A: {}}", "nodes: 3"] {
        let text = scenario(&format!(
            "metricsServer: {{node: a}}\nnetwork: {{cut: {{from: a, to: b, effect: drop}}}}\n{nodes}"
        ));
        let mistakes = parse("test.yaml", &text).expect_err("broken");
        assert_eq!(mistakes.count(), 1, "{mistakes}");
    }
}

#[test]
fn null_removes_what_the_preset_has() {
    let scenario =
        valid("metricsServer: {livenessProbe: null}\nconsumers: {hpa: null}\nnodes: {a: }");
    assert_eq!(scenario.metrics_server.liveness, None);
    assert_eq!(scenario.consumers.at(Duration::ZERO).len(), 1);
}

#[test]
fn a_group_has_numbered_members_that_can_be_refined() {
    let scenario = valid(
        "nodes:\n  first: {}\n  worker: {count: 3, upFor: 1h}\n  last: {}\n  worker-2: {ready: false}",
    );
    let names: Vec<&str> = scenario
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .collect();
    assert_eq!(names, ["first", "worker-1", "worker-2", "worker-3", "last"]);
    let ready: Vec<bool> = scenario
        .nodes
        .iter()
        .map(|node| *node.ready.at(Duration::ZERO))
        .collect();
    assert_eq!(ready, [true, true, false, true, true]);
    assert_eq!(scenario.nodes[2].up_for, Duration::from_secs(3600));
    assert_eq!(
        scenario.nodes[4].addresses.at(Duration::ZERO)[0],
        ("InternalIP".to_owned(), "10.0.0.5".to_owned())
    );
    assert_eq!(
        scenario.nodes[4].kubelet.at(Duration::ZERO).certificate.dns,
        ["last"]
    );
}

#[test]
fn changes_and_late_certificates_make_timelines() {
    let scenario = valid(
        "nodes:\n  a: {kubelet: {certificate: {availableAfter: 25s}}}\nchanges:\n\
         - {at: 40s, nodes: {a: {kubelet: {status: 401}}}}\n\
         - {at: 30s, nodeDefaults: {kubelet: {latency: 2s}}, network: {cut: {from: a, to: metrics-server, effect: {loss: 1%}}}}\n\
         - {at: 50s, network: {cut: null}}",
    );
    let seconds = |at: Duration| at.as_secs();
    let kubelet = &scenario.nodes[0].kubelet;
    assert_eq!(
        kubelet.changes().map(seconds).collect::<Vec<_>>(),
        [25, 30, 40]
    );
    let at = |at| kubelet.at(Duration::from_secs(at));
    assert_eq!(
        (at(0).state, at(25).state),
        (KubeletState::NoCertificate, KubeletState::Open)
    );
    assert_eq!(
        (at(30).latency.base.clone(), at(40).status),
        (Distribution::Constant(Duration::from_secs(2)), 401)
    );
    assert_eq!(
        scenario.network.changes().map(seconds).collect::<Vec<_>>(),
        [30, 50]
    );
    let rule = &scenario.network.at(Duration::from_secs(30))[0];
    assert_eq!(
        (&rule.from, &rule.effect),
        (&vec![Party::Node(0)], &PathEffect::Loss(10_000))
    );
}

#[test]
fn a_change_that_repeats_what_holds_is_no_change_of_the_timeline() {
    let scenario = valid(
        "nodes: {a: {}}\nchanges: [{at: 5s, apiServer: {state: Up}}, {at: 6s, nodes: {a: {ready: true}}}]",
    );
    assert_eq!(scenario.api_servers[0].over_time.changes().count(), 0);
    assert_eq!(scenario.nodes[0].ready.changes().count(), 0);
}

#[test]
fn a_fragment_of_a_manifest_can_be_pasted() {
    let scenario = valid(
        "metricsServer:\n  livenessProbe:\n    failureThreshold: 3\n    httpGet:\n      path: /livez\n      port: 10250\n      \
         scheme: HTTPS\n    periodSeconds: 10\n    timeoutSeconds: 5\nnodes: {a: {}}\nactions: [{at: 9s, terminate: metrics-server}]",
    );
    let probe = scenario.metrics_server.liveness.expect("given");
    assert_eq!(
        (probe.path.as_str(), probe.timeout),
        ("/livez", Duration::from_secs(5))
    );
    assert_eq!(scenario.metrics_server.version, Version::V0_8);
    assert_eq!(scenario.actions[0].kind, ActionKind::Terminate);
}

#[test]
fn a_kubelet_that_signs_its_own_certificate_names_only_itself() {
    let scenario = valid("nodes: {a: {kubelet: {certificate: {issuer: self-signed}}}}");
    let certificate = &scenario.nodes[0].kubelet.at(Duration::ZERO).certificate;
    assert!(certificate.ips.is_empty());
    assert_eq!(certificate.dns, ["a"]);
}

#[test]
fn extensions_are_ignored_wherever_they_stand() {
    valid(
        "x-team: sre\nnodes: {x-note: {}, a: {x-note: [1], kubelet: {x-why: slow}}}\nchanges: [{at: 1s, x-a: 1, apiServer: {latency: 1s}}]",
    );
}

#[test]
fn five_thousand_nodes_are_read_in_no_time() {
    let scenario = valid(
        "nodes: {n: {count: 5000, pods: 0}}\nchanges: [{at: 9s, nodes: {n-77: {ready: false}}}]",
    );
    assert_eq!(scenario.nodes.len(), 5000);
    assert_eq!(scenario.nodes[4999].ip.to_string(), "10.0.19.250");
}

#[test]
fn the_digest_is_that_of_the_bytes() {
    let digest = |text: &str| parse("t.yaml", text).expect("valid").input_digest;
    let text = scenario("nodes: {a: {}}");
    assert_eq!(digest(&text), digest(&text));
    assert_ne!(digest(&text), digest(&format!("{text} # more")));
}

fn library_texts() -> Vec<String> {
    library()
        .iter()
        .map(|file| fs::read_to_string(file).expect("readable"))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}|[-a-z0-9:{}\\[\\], \\n]{0,200}") {
        let _ = parse("t.yaml", &text);
    }

    /// A mutilated scenario gets further into the checks than noise does.
    #[test]
    fn no_mutilated_scenario_makes_the_parser_panic(
        which in any::<prop::sample::Index>(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[-a-zA-Z0-9:{}\\[\\], \\n~]{0,6}"), 1..5),
    ) {
        let texts = library_texts();
        let mut text = which.get(&texts).clone();
        for (at, length, inserted) in cuts {
            let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let start = at.index(boundaries.len());
            let end = (start + length).min(boundaries.len() - 1);
            text.replace_range(boundaries[start]..boundaries[end], &inserted);
        }
        match parse("t.yaml", &text) {
            Ok(scenario) => prop_assert!(!scenario.nodes.is_empty()),
            Err(mistakes) => {
                prop_assert!(mistakes.count() > 0);
                prop_assert!(mistakes.iter().all(|mistake| !mistake.help().is_empty()));
                let _ = mistakes.render_coloured();
            }
        }
    }
}
