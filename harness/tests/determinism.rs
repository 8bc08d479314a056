//! Goal: a (scenario, seed) pair names exactly one trace.
//! Method: two processes, because hash seeds and address layout differ only
//! between processes; every line is compared. Another seed must differ
//! somewhere, or the seed is wired to nothing.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn library() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let files = firstlight::cli::files::scenario_files(&[root]);
    assert!(!files.is_empty(), "the library is there");
    files
}

fn tracing(file: &Path, seed: u64) -> Child {
    Command::new(env!("CARGO_BIN_EXE_firstlight"))
        .arg("trace")
        .arg(file)
        .args(["--seed", &seed.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary was built for this test")
}

fn lines(child: Child) -> Vec<String> {
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", output.status);
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn same_seed_same_trace_in_two_processes() {
    for file in library() {
        let (first, second) = (tracing(&file, 7), tracing(&file, 7));
        let (first, second) = (lines(first), lines(second));
        for (number, pair) in first.iter().zip(&second).enumerate() {
            assert_eq!(
                pair.0,
                pair.1,
                "{} differs in line {}",
                file.display(),
                number + 1
            );
        }
        assert_eq!(first.len(), second.len(), "{}", file.display());
    }
}

#[test]
fn another_seed_is_another_trace() {
    for file in library() {
        let (first, second) = (tracing(&file, 7), tracing(&file, 8));
        // The first record names the seed itself.
        assert_ne!(lines(first)[1..], lines(second)[1..], "{}", file.display());
    }
}
