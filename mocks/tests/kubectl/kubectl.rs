//! `kubectl` as a user calls it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::cluster::Cluster;

/// Where `kubectl` is, if it is anywhere on the path.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join("kubectl"))
        .find(|candidate| candidate.is_file())
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// A client certificate of `system:masters`.
    Admin,
    /// The token of a user with the role `view`.
    Viewer,
    /// A token that nobody knows.
    Stranger,
    /// A client certificate of another cluster.
    Foreigner,
}

impl As {
    fn context(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
            Self::Stranger => "stranger",
            Self::Foreigner => "foreigner",
        }
    }
}

/// Exit code, standard output and standard error.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Calls `kubectl` as the administrator and waits for its end.
pub(crate) fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Output {
    kubectl_as(cluster, As::Admin, arguments)
}

/// Calls `kubectl` as somebody and waits for its end.
pub(crate) fn kubectl_as(cluster: &Cluster, who: As, arguments: &[&str]) -> Output {
    let output = command(cluster.directory(), who, arguments)
        .output()
        .expect("kubectl starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("kubectl prints UTF-8");
    Output {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// A `kubectl` that runs on, and the lines that it prints.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// Starts `kubectl` as the administrator.
    pub(crate) fn start(cluster: &Cluster, arguments: &[&str]) -> Self {
        let mut child = command(cluster.directory(), As::Admin, arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("kubectl starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, lines }
    }

    /// The next line; empty at the end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines
            .read_line(&mut line)
            .expect("kubectl prints UTF-8");
        redact(&line)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(directory: &Path, who: As, arguments: &[&str]) -> Command {
    let mut command = Command::new(find().expect("the run ends early without kubectl"));
    command
        .args([
            "--kubeconfig",
            &directory.join("kubeconfig").to_string_lossy(),
        ])
        .args(["--context", who.context(), "--request-timeout=60s"])
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", directory)
        .env("KUBECACHEDIR", directory.join("cache").join(who.context()))
        .stdin(Stdio::null());
    command
}

impl Output {
    /// Code, output and errors, with what differs between runs taken out.
    pub(crate) fn shown(&self) -> String {
        self.shown_by(redact)
    }

    /// The same for what holds numbers that look like ages, and no ages.
    pub(crate) fn shown_exactly(&self) -> String {
        self.shown_by(|text| each_word(text, str::to_owned))
    }

    fn shown_by(&self, redact: impl Fn(&str) -> String) -> String {
        let code = self
            .code
            .map_or("killed".to_owned(), |code| code.to_string());
        let mut shown = format!("exit {code}\n");
        shown.push_str(&redact(&self.out));
        let err: Vec<&str> = self.err.lines().filter(|line| !is_log(line)).collect();
        if !err.is_empty() {
            shown.push_str("--- stderr\n");
            shown.push_str(&redact(&err.join("\n")));
        }
        shown
    }
}

/// klog's lines bear times, process numbers and lines of source.
fn is_log(line: &str) -> bool {
    let mut chars = line.chars();
    matches!(chars.next(), Some('E' | 'W' | 'I')) && chars.take(4).all(|c| c.is_ascii_digit())
}

/// Takes ages, dates, versions, ports and generated identifiers out of a text;
/// columns are set apart by two spaces, whatever their width.
pub(crate) fn redact(text: &str) -> String {
    let text = each_word(text, redact_word);
    text.lines()
        .fold(String::new(), |out, line| out + &redact_line(line) + "\n")
}

fn redact_line(line: &str) -> String {
    for version in ["resourceVersion: ", "Resource Version:  "] {
        if let Some((before, _)) = line.split_once(version) {
            return format!("{before}{version}VERSION");
        }
    }
    // `Wed, 25 Nov 2026 23:00:00 +0000`
    let mut line = line.to_owned();
    while let Some(at) = line.find(" TIME +0000") {
        line.replace_range(at.saturating_sub(16)..at + 11, "DATE");
    }
    line
}

fn each_word(text: &str, change: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            out.push('\n');
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        out.push_str(&line[..indent]);
        let mut rest = line.trim();
        while !rest.is_empty() {
            let word_end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            out.push_str(&change(&rest[..word_end]));
            let gap_end = rest[word_end..]
                .find(|c: char| !c.is_whitespace())
                .map_or(rest.len(), |gap| word_end + gap);
            match gap_end - word_end {
                0 => {}
                1 if &rest[word_end..gap_end] != "\t" => out.push(' '),
                _ => out.push_str("  "),
            }
            rest = &rest[gap_end..];
        }
        out.push('\n');
    }
    out
}

fn redact_word(word: &str) -> String {
    let bare = word.trim_matches(|c| "(),\"[]".contains(c));
    if is_age(bare) {
        return word.replace(bare, "AGE");
    }
    if is_time(bare) {
        return word.replace(bare, "TIME");
    }
    if is_uid(bare) {
        return word.replace(bare, "UID");
    }
    if is_port(bare) {
        return "PORT".to_owned();
    }
    if let Some((name, suffix)) = word.rsplit_once('.')
        && suffix.len() == 16
        && suffix.chars().all(|c| c.is_ascii_hexdigit())
    {
        return format!("{name}.NANOS");
    }
    redact_ports(word)
}

/// `5s`, `2m3s`, `65m`
fn is_age(word: &str) -> bool {
    let mut digits = 0;
    let mut units = 0;
    for c in word.chars() {
        match c {
            '0'..='9' => digits += 1,
            's' | 'm' | 'h' | 'd' | 'y' if digits > 0 => {
                units += 1;
                digits = 0;
            }
            _ => return false,
        }
    }
    digits == 0 && (1..=2).contains(&units)
}

/// `2026-11-25T23:00:00Z`, `23:00:00`
fn is_time(word: &str) -> bool {
    let clock = word
        .rsplit('T')
        .next()
        .unwrap_or(word)
        .trim_end_matches('Z');
    let parts: Vec<&str> = clock.split(':').collect();
    parts.len() == 3
        && parts
            .iter()
            .all(|part| part.len() >= 2 && part.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

/// A port of the system's choice.
fn is_port(word: &str) -> bool {
    word.len() == 5
        && word
            .parse()
            .is_ok_and(|port: u32| (10_251..=65_535).contains(&port))
}

fn is_uid(word: &str) -> bool {
    word.len() == 36
        && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
        && word.matches('-').count() == 4
}

/// Ports on loopback are the system's choice.
fn redact_ports(word: &str) -> String {
    let Some((before, after)) = word.split_once("127.0.0.1:") else {
        return word.to_owned();
    };
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}127.0.0.1:PORT{}", redact_ports(rest))
}
