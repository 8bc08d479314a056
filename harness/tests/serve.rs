//! Goal: what `firstlight serve` offers on loopback is what a simulation of
//! the same scenario says, to programs that we did not write; and no process
//! under test, however it behaves, takes firstlight down.
//! Method: the real binary, on real sockets, for a few seconds each.

use std::collections::BTreeMap;
use std::io::{BufReader, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// Ready after two scrapes, 10 s apart: the shortest that flags allow.
const SHORT: &str = "\
apiVersion: firstlight/v1
kind: Scenario
metadata: { name: short, description: Ready as soon as flags allow. }
preset: upstream-0.8
until: 15s
metricsServer:
  args: [--metric-resolution=10s, --kubelet-request-timeout=2s]
  readinessProbe: { initialDelaySeconds: 0, periodSeconds: 1, phase: 0.5s }
nodeDefaults: { kubelet: { housekeeping: 1s } }
nodes:
  node-1: {}
  node-2: {}
aggregation: { resyncPhase: 29s }
expect:
  verdict: READY
";

struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        std::fs::write(directory.path().join("short.yaml"), SHORT).expect("writable");
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn firstlight(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firstlight"));
        command
            .current_dir(self.directory.path())
            // Where runs put what they need.
            .env("TMPDIR", self.directory.path())
            .env_remove("RUST_BACKTRACE")
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.firstlight(args).output().expect("it was built")
    }

    fn json(&self, name: &str) -> Value {
        let text = std::fs::read(self.path(name)).expect("the report was written");
        serde_json::from_slice(&text).expect("a report is JSON")
    }

    /// Everything that is left beside the scenario.
    fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).expect("readable");
        let names = entries.map(|entry| {
            let name = entry.expect("readable").file_name();
            name.to_string_lossy().into_owned()
        });
        names.filter(|name| name != "short.yaml").collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a tool that a test needs is there. Where `FIRSTLIGHT_DEMAND` is set,
/// as in CI, it must be.
#[expect(clippy::print_stderr, reason = "a test that tests nothing says so")]
fn there_is(tool: &str, found: bool) -> bool {
    if !found {
        assert!(
            std::env::var_os("FIRSTLIGHT_DEMAND").is_none(),
            "{tool} is missing, and FIRSTLIGHT_DEMAND is set"
        );
        eprintln!("SKIPPED: {tool} is missing; nothing was tested against it");
    }
    found
}

fn has_kubectl() -> bool {
    let version = Command::new("kubectl")
        .args(["version", "--client"])
        .output();
    there_is(
        "kubectl",
        version.is_ok_and(|output| output.status.success()),
    )
}

/// Our own metrics-server as a program, if the whole workspace was built.
fn metrics_server() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_firstlight")).with_file_name("metrics-server");
    there_is("target/…/metrics-server", path.is_file()).then_some(path)
}

fn kubectl(place: &Place, args: &[&str]) -> Output {
    Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(place.path("kubeconfig"))
        .arg(format!("--cache-dir={}", place.path("cache").display()))
        .args(args)
        .output()
        .expect("kubectl runs")
}

/// Reads what a run prints until a line contains `part`.
fn wait_for(output: &mut impl std::io::BufRead, part: &str) {
    let mut seen = String::new();
    while !seen.lines().last().unwrap_or_default().contains(part) {
        let read = output.read_line(&mut seen).expect("readable");
        assert_ne!(read, 0, "it ended before it said `{part}`:\n{seen}");
    }
}

fn finish(mut child: Child, mut output: impl std::io::Read) -> (i32, String) {
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("readable");
    let status = child.wait().expect("it ends");
    let mut errors = String::new();
    let stderr = child.stderr.as_mut().expect("piped");
    stderr.read_to_string(&mut errors).expect("readable");
    assert_eq!(errors, "");
    (status.code().unwrap_or(-1), rest)
}

fn run_of(report: &Value) -> &Value {
    &report["scenarios"][0]["runs"][0]
}

/// The outcomes and texts that each observer saw, without how often: counts
/// depend on where a moment falls between two questions.
fn seen(run: &Value) -> BTreeMap<String, Vec<String>> {
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in run["responses"].as_array().expect("rows") {
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        seen.entry(word("observer")).or_default().push(format!(
            "{} {} {}",
            word("target"),
            word("outcome"),
            word("text")
        ));
    }
    for rows in seen.values_mut() {
        rows.sort();
    }
    seen
}

/// A live start and a simulated one agree: milestones within one observer
/// period, here a second, and what starting a process may cost.
fn agree(live: &Value, simulated: &Value, slack: Duration) {
    assert_eq!(live["verdict"], simulated["verdict"]);
    let slack = u64::try_from(slack.as_nanos()).expect("short");
    let milestones = simulated["milestones"].as_object().expect("milestones");
    for (name, simulated) in milestones {
        let at = |value: &Value| value.as_u64();
        match (at(&live["milestones"][name]), at(simulated)) {
            (Some(live), Some(simulated)) => assert!(
                live.abs_diff(simulated) <= slack,
                "{name}: live {live} ns, simulated {simulated} ns"
            ),
            (live, simulated) => assert_eq!(live, simulated, "{name}"),
        }
    }
}

#[test]
fn kubectl_sees_a_live_start_that_agrees_with_the_simulated_one() {
    let place = Place::new();
    let mut live = place
        .firstlight(&[
            "serve",
            "short.yaml",
            "--kubeconfig=kubeconfig",
            "--for=25s",
            "--report=json=live.json",
        ])
        .spawn()
        .expect("it was built");
    let mut output = BufReader::new(live.stdout.take().expect("piped"));
    wait_for(&mut output, "ends after 25s");
    let has_kubectl = has_kubectl();
    if has_kubectl {
        let nodes = kubectl(&place, &["get", "nodes", "-o", "name"]);
        assert_eq!(
            text(&nodes.stdout),
            "node/node-1\nnode/node-2\n",
            "{nodes:?}"
        );
        let top = kubectl(&place, &["top", "nodes"]);
        assert_eq!(text(&top.stderr), "error: Metrics API not available\n");
    }
    wait_for(&mut output, "APIService Available=True");
    if has_kubectl {
        let wait = kubectl(
            &place,
            &[
                "wait",
                "--for=condition=Available",
                "apiservice/v1beta1.metrics.k8s.io",
                "--timeout=5s",
            ],
        );
        assert!(wait.status.success(), "{wait:?}");
        let raw = kubectl(
            &place,
            &["get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes"],
        );
        let list: Value = serde_json::from_slice(&raw.stdout).expect("a list");
        assert_eq!(list["items"].as_array().map(Vec::len), Some(2));
        let top = kubectl(&place, &["top", "nodes"]);
        assert_eq!(text(&top.stdout).lines().count(), 3, "{top:?}");
    }
    let (_, page) = finish(live, output);
    assert!(
        page.contains("in real time, judged: firstlight's own metrics-server, in this process"),
        "{page}"
    );
    let simulated = place.run(&["run", "short.yaml", "--report=json=simulated.json"]);
    assert_eq!(
        simulated.status.code(),
        Some(0),
        "{}",
        text(&simulated.stdout)
    );
    let (live, simulated) = (place.json("live.json"), place.json("simulated.json"));
    agree(run_of(&live), run_of(&simulated), Duration::from_secs(1));
    let (live, simulated) = (seen(run_of(&live)), seen(run_of(&simulated)));
    for observer in ["readiness-probe", "liveness-probe", "scraper"] {
        assert_eq!(live.get(observer), simulated.get(observer), "{observer}");
    }
    assert!(!place.path("kubeconfig").exists(), "removed at the end");
}

#[test]
fn a_separate_program_is_judged_by_what_it_shows() {
    let Some(program) = metrics_server() else {
        return;
    };
    let place = Place::new();
    let command = format!(
        "{} --kubeconfig={{kubeconfig}} --authentication-kubeconfig={{kubeconfig}} \
         --authorization-kubeconfig={{kubeconfig}} --secure-port={{secure-port}} \
         --cert-dir={{cert-dir}} --bind-address=127.0.0.1 \
         --kubelet-use-node-status-port --kubelet-preferred-address-types=InternalIP \
         --metric-resolution=10s --kubelet-request-timeout=2s",
        program.display()
    );
    let serve = [
        "serve",
        "short.yaml",
        "--for=16s",
        "--report=json=live.json",
        "--sut-command",
        &command,
    ];
    // Two at the same time do not get in each other's way.
    let beside = Place::new();
    let other = beside.firstlight(&serve).spawn().expect("it was built");
    let live = place.run(&serve);
    let other = other.wait_with_output().expect("it ends");
    for output in [&live, &other] {
        let page = text(&output.stdout);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{page}{}",
            text(&output.stderr)
        );
        assert!(page.contains("metrics-server --kubeconfig="), "{page}");
        assert!(page.contains("the process under test"), "{page}");
    }
    let simulated = place.run(&["run", "short.yaml", "--report=json=simulated.json"]);
    assert_eq!(simulated.status.code(), Some(0));
    let (live, simulated) = (place.json("live.json"), place.json("simulated.json"));
    agree(
        run_of(&live),
        run_of(&simulated),
        Duration::from_millis(1_800),
    );
}

#[test]
fn a_program_that_crashes_is_started_again_and_judged() {
    let place = Place::new();
    let output = place.run(&[
        "serve",
        "short.yaml",
        "--for=4s",
        "--report=json=live.json",
        "--sut-command=/bin/sh -c 'echo panic: no luck >&2; exit 3' sh --secure-port={secure-port}",
    ]);
    let page = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{page}{}",
        text(&output.stderr)
    );
    assert!(page.contains("exit code 3 (Error)"), "{page}");
    assert!(page.contains("F panic: no luck"), "{page}");
    let report = place.json("live.json");
    assert_eq!(run_of(&report)["verdict"], "CRASH_LOOP");
    assert!(run_of(&report)["restarts"].as_u64() >= Some(1));
}

#[test]
fn a_program_that_floods_its_log_and_ignores_sigterm_is_survived_and_ended() {
    let place = Place::new();
    let script = "echo $$ > pid; trap '' TERM; yes flood | head -c 100000000; echo done; \
                  while :; do sleep 1; done";
    let command = format!("--sut-command=/bin/sh -c \"{script}\" sh --secure-port={{secure-port}}");
    let output = place.run(&["serve", "short.yaml", "--for=6s", &command]);
    let page = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{page}{}",
        text(&output.stderr)
    );
    assert!(page.len() < 100_000, "the flood stays out of the page");
    let pid = std::fs::read_to_string(place.path("pid")).expect("it ran");
    let process = Path::new("/proc").join(pid.trim());
    assert!(!process.exists(), "it is gone");
}

#[test]
fn a_scenario_that_waits_for_something_is_refused() {
    let place = Place::new();
    let short = std::fs::read_to_string(place.path("short.yaml")).expect("there");
    let waiting = format!("{short}\nactions:\n  - {{ when: readyz200, kill: metrics-server }}\n");
    std::fs::write(place.path("waiting.yaml"), waiting).expect("writable");
    let output = place.run(&["serve", "waiting.yaml", "--for=1s"]);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(errors.contains("which needs virtual time"), "{errors}");
}

#[test]
fn mistakes_end_with_their_codes_and_leave_nothing_behind() {
    let place = Place::new();
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = holder.local_addr().expect("bound");
    std::fs::write(place.path("theirs"), "apiVersion: v1\n").expect("writable");
    let port = format!("--apiserver-port={}", address.port());
    let cases: [(&[&str], i32, String); 5] = [
        (
            &[&port, "--kubeconfig=k"],
            74,
            format!("{address} is held by"),
        ),
        (
            &["--kubeconfig=theirs"],
            74,
            "a file that firstlight did not write".to_owned(),
        ),
        (
            &["--sut-command=/no/such --secure-port=1"],
            2,
            "there is no program `/no/such`".to_owned(),
        ),
        (
            &["--listen=0.0.0.0"],
            2,
            "not a loopback address".to_owned(),
        ),
        (&["--report=json=/nowhere/x"], 74, "cannot write".to_owned()),
    ];
    for (args, code, part) in cases {
        let args: Vec<&str> = ["serve", "short.yaml", "--for=1s"]
            .iter()
            .chain(args)
            .copied()
            .collect();
        let output = place.run(&args);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {errors}");
        assert!(errors.contains(&part), "{args:?}: {errors}");
        assert_eq!(text(&output.stdout), "", "{args:?}");
    }
    assert_eq!(place.left(), ["theirs"]);
}
