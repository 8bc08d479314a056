//! The command as its users run it: what it prints, and its exit code.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The repository.
fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().expect("it is there")
}

/// Runs the command in the repository. What it wrote and its exit code.
fn firstlight(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_firstlight"))
        .args(arguments)
        .current_dir(root())
        .env_remove("FIRSTLIGHT_COLOR")
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    // A command that does not read may be gone already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        output.status.code().expect("no signal"),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Everything of one call, for a snapshot.
fn transcript(arguments: &[&str], input: &str) -> String {
    let (code, stdout, stderr) = firstlight(arguments, input);
    let mut shown = format!("$ firstlight {}\nexit code {code}\n", arguments.join(" "));
    for (name, text) in [("stdout", stdout), ("stderr", stderr)] {
        if !text.is_empty() {
            writeln!(shown, "--- {name}\n{}", text.trim_end()).expect("a text");
        }
    }
    shown
}

/// A directory of its own for a test.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("writable");
    directory
}

const RIGHT: &str = "apiVersion: firstlight/v1\nkind: Scenario\nmetadata: { name: right }\npreset: upstream-0.8\nnodes: { node-1: {} }\n";

#[test]
fn presets_are_listed() {
    insta::assert_snapshot!(transcript(&["presets"], ""));
}

#[test]
fn a_preset_is_shown_with_what_it_builds_on() {
    let (code, shown, _) = firstlight(&["presets", "show", "kind"], "");
    assert_eq!(code, 0);
    let headings: Vec<&str> = shown
        .lines()
        .filter(|line| line.starts_with("# ──"))
        .collect();
    assert_eq!(
        headings,
        ["# ── kind ──", "# ── kubeadm ──", "# ── upstream-0.8 ──"]
    );
    assert!(shown.matches("source:").count() > 30);
    assert_eq!(firstlight(&["presets", "show", "kinf"], "").0, 2);
}

#[test]
fn the_schema_is_printed_as_it_is_committed() {
    let (code, schema, _) = firstlight(&["schema"], "");
    let committed = fs::read_to_string(root().join("scenarios/scenario.schema.json"));
    assert_eq!((code, schema), (0, committed.expect("it is there")));
}

#[test]
fn scenarios_are_listed_by_tag() {
    let shown = transcript(&["list", "scenarios/k3s", "--tag", "clock"], "");
    insta::assert_snapshot!(shown);
    insta::assert_snapshot!(transcript(&["list", "scenarios", "--tag", "nonsense"], ""));
    let (_, json, _) = firstlight(&["list", "scenarios/k3s", "--format", "json"], "");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let first = &json["scenarios"][0];
    assert_eq!(first["name"], "k3s-first-boot");
    assert_eq!(first["verdict"], "READY_LATE");
}

#[test]
fn a_new_scenario_is_right_and_is_never_written_over() {
    let directory = directory("new");
    let place = directory.to_str().expect("a text");
    let new = |name: &str| {
        let arguments = ["new", name, "--preset", "k3s-1.36", "--dir", place];
        transcript(&arguments, "").replace(place, "DIRECTORY")
    };
    insta::assert_snapshot!([new("slow-disk"), new("slow-disk"), new("Slow Disk")].concat());
    let file = directory.join("slow-disk.yaml");
    let (code, report, complaints) =
        firstlight(&["run", file.to_str().expect("a text"), "--seed", "1"], "");
    assert_eq!(code, 0, "{report}{complaints}");
}

#[test]
fn reports_are_written_for_other_tools_or_nothing_is_simulated() {
    let directory = directory("reports");
    let scenario = directory.join("right.yaml");
    fs::write(&scenario, RIGHT).expect("writable");
    let scenario = scenario.to_str().expect("a text");
    let path = |name: &str| directory.join(name).display().to_string();
    let option = |format: &str, name: &str| format!("{format}={}", path(name));
    let (json, junit, md) = (
        option("json", "out.json"),
        option("junit", "junit.xml"),
        option("md", "summary.md"),
    );
    let reports = ["--report", &json, "--report", &junit, "--report", &md];
    let run = [&["run", scenario, "--quiet"], &reports[..]].concat();
    let (code, shown, complaint) = firstlight(&run, "");
    assert_eq!(code, 0, "{shown}{complaint}");
    for (name, begins) in [
        ("out.json", "{\n  \"formatVersion\": 1"),
        (
            "junit.xml",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"firstlight\" tests=\"1\"",
        ),
        ("summary.md", "### firstlight: 1 scenario passed\n"),
    ] {
        let written = fs::read_to_string(path(name)).expect("written");
        assert!(written.starts_with(begins), "{name}: {written}");
    }
    for format in ["junit", "md"] {
        let nowhere = option(format, "missing/report");
        let run = ["run", scenario, "--report", &nowhere];
        let (code, shown, complaint) = firstlight(&run, "");
        assert_eq!((code, shown.as_str()), (74, ""), "{complaint}");
        assert!(complaint.contains("nothing was simulated"), "{complaint}");
    }
}

#[test]
fn mistakes_are_shown_to_people_programs_and_github() {
    let wrong = "scenarios/invalid/unknown-key.yaml";
    for format in ["human", "json", "github"] {
        let shown = transcript(&["check", wrong, "--format", format], "");
        insta::assert_snapshot!(format!("check_{format}"), shown);
    }
}

#[test]
fn standard_input_and_patterns_are_checked() {
    assert_eq!(
        firstlight(&["check", "-"], RIGHT),
        (0, "1 checked: 1 right, 0 wrong\n".to_owned(), String::new())
    );
    let (code, _, complaint) = firstlight(&["check", "-"], "nodes: 3");
    assert_eq!(code, 3);
    assert!(complaint.contains("--> <stdin>:1:8"), "{complaint}");
    let (code, shown, _) = firstlight(&["check", "scenarios/k3s/*.yaml"], "");
    assert!(code == 0 && !shown.starts_with('1'), "{shown}");
    assert_eq!(firstlight(&["check", "scenarios/k4s/*.yaml"], "").0, 3);
    let empty = directory("nothing");
    assert_eq!(
        firstlight(&["check", empty.to_str().expect("a text")], "").0,
        4
    );
}

#[test]
fn the_whole_library_is_right() {
    let (code, _, complaints) = firstlight(&["check"], "");
    assert_eq!(code, 0, "{complaints}");
}

#[test]
fn a_manifest_becomes_a_scenario() {
    let file = "harness/tests/manifests/kubectl-get-list.yaml";
    let (code, from_file, notes) = firstlight(&["import", file, "--name", "mine"], "");
    assert_eq!(code, 0, "{notes}");
    assert!(
        notes.starts_with("note: Deployment metrics-server: not modelled:"),
        "{notes}"
    );
    let text = fs::read_to_string(root().join(file)).expect("readable");
    let (_, from_input, _) = firstlight(&["import", "-", "--name", "mine"], &text);
    assert_eq!(from_file, from_input);
    assert_eq!(firstlight(&["check", "-"], &from_file).0, 0);
    let wrong = [
        transcript(&["import", "nowhere.yaml"], ""),
        transcript(
            &["import", "harness/tests/manifests/no-deployment.yaml"],
            "",
        ),
        transcript(&["import"], ""),
        transcript(&["import"], "a: [b"),
    ];
    insta::assert_snapshot!(wrong.concat());
}

/// Goal: the README shows what the command prints, to the last digit of the
/// trace's digest, whichever build printed it.
#[test]
fn the_readme_shows_a_real_report() {
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).expect("it is there");
    let call = "`cargo run --release -- run scenarios/k3s/first-boot.yaml --seed 1`:\n\n```text\n";
    let (_, rest) = readme.split_once(call).expect("the README shows a call");
    let (shown, _) = rest.split_once("```\n").expect("the report ends");
    let (code, printed, _) =
        firstlight(&["run", "scenarios/k3s/first-boot.yaml", "--seed", "1"], "");
    assert_eq!(code, 0);
    let printed = format!("{}\n", printed.trim_end());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, readme.replace(shown, &printed)).expect("it can be written");
    } else {
        assert_eq!(shown, printed, "UPDATE=1 brings the README up to date");
    }
}
