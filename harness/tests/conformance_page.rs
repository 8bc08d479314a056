//! The tables of what firstlight claims of the original, against the tests
//! that they name and against the page made of them.
//!
//! `UPDATE=1 cargo test -p firstlight --test conformance_page` writes the page
//! anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/conformance.md";
const HEADER: &str = "component\tclaim\tsource\ttest\tdifference";

/// A table, and its chapter of the page.
struct Table {
    path: &'static str,
    title: &'static str,
    about: &'static str,
}

const TABLES: [Table; 2] = [
    Table {
        path: "docs/conformance/metrics-server.tsv",
        title: "metrics-server",
        about: "What firstlight's own metrics-server does as the original does it. Paths without a prefix are those of kubernetes-sigs/metrics-server at v0.9.0, unless a release is named.",
    },
    Table {
        path: "docs/conformance/kubernetes.tsv",
        title: "Kubernetes",
        about: "What the stand-ins for Kubernetes do as the originals do it. Paths without a prefix are those of kubernetes/kubernetes at 1.36.",
    },
];

const INTRODUCTION: &str = "\
<!-- Generated from docs/conformance/*.tsv: UPDATE=1 cargo test -p firstlight --test conformance_page -->

# Conformance

What firstlight claims to do as the original does it, where the original says so, the test that proves the claim, and what firstlight deliberately does otherwise.

- **Claim**: the behaviour. `R` is the resolution, `--metric-resolution`.
- **Source**: a file of the original, with the symbol where there is one. `apiserver/`, `apimachinery/`, `client-go/`, `kube-aggregator/`, `kubectl/`, `endpointslice/` and `component-base/` are modules of k8s.io at v0.36; `net/`, `crypto/` are Go's own packages. `owner/repository#n` is a public thread. A *recording* is a timeline of the real program in [harness/tests/recordings](../harness/tests/recordings). *Observed* is what the real program did when it was run. `firstlight` stands where there is no original to follow.
- **Test**: it runs with `cargo test`; that it is there is tested too.
- **Difference**: what is deliberately not as in the original. Empty: none is known.

Beside single claims, `harness/tests/conformance` replays whole recorded starts.
";

struct Row {
    component: String,
    claim: String,
    source: String,
    /// Path of the file, or of a directory of files, and name of the function.
    test: (String, String),
    difference: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn row(line: &str) -> Result<Row, String> {
    let cells: Vec<&str> = line.split('\t').collect();
    let [component, claim, source, test, difference] = cells[..] else {
        return Err(format!("{} columns instead of 5", cells.len()));
    };
    if cells.iter().any(|cell| cell.trim() != *cell) {
        return Err("a cell begins or ends with a space".to_owned());
    }
    if [component, claim, source].contains(&"") {
        return Err("component, claim and source must not be empty".to_owned());
    }
    let Some((path, name)) = test.split_once("::") else {
        return Err(format!("the test `{test}` is not path::name"));
    };
    Ok(Row {
        component: component.to_owned(),
        claim: claim.to_owned(),
        source: source.to_owned(),
        test: (path.to_owned(), name.to_owned()),
        difference: difference.to_owned(),
    })
}

/// The rows of a table, or every line that is wrong.
fn rows(text: &str) -> Result<Vec<Row>, Vec<String>> {
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    if header != HEADER {
        return Err(vec![format!("1: the header is not `{HEADER}`")]);
    }
    let mut rows: Vec<Row> = Vec::new();
    let mut claims = BTreeSet::new();
    let mut components = BTreeSet::new();
    let mut mistakes = Vec::new();
    for (line, text) in (2..).zip(lines) {
        let row = match row(text) {
            Ok(row) => row,
            Err(mistake) => {
                mistakes.push(format!("{line}: {mistake}"));
                continue;
            }
        };
        if !claims.insert(row.claim.clone()) {
            mistakes.push(format!("{line}: the claim stands twice: {}", row.claim));
        }
        let begins = rows
            .last()
            .is_none_or(|last| last.component != row.component);
        if begins && !components.insert(row.component.clone()) {
            mistakes.push(format!("{line}: {} is not in one piece", row.component));
        }
        rows.push(row);
    }
    if mistakes.is_empty() {
        Ok(rows)
    } else {
        Err(mistakes)
    }
}

fn table(table: &Table) -> Vec<Row> {
    let text = fs::read_to_string(root().join(table.path)).expect("readable");
    rows(&text).unwrap_or_else(|mistakes| panic!("{}: {mistakes:#?}", table.path))
}

/// The text of a source file, or of all those in a directory.
fn sources(path: &Path) -> String {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("readable");
        return entries
            .map(|entry| sources(&entry.expect("readable").path()))
            .collect();
    }
    if path.extension().is_some_and(|it| it == "rs") {
        return fs::read_to_string(path).unwrap_or_default();
    }
    String::new()
}

/// Whether a text has a test of that name: a function below an attribute that
/// says so, other attributes and comments between them, or one that a list of
/// cases names.
fn has_test(text: &str, name: &str) -> bool {
    let function = format!("fn {name}(");
    let case = format!("\", {name})");
    let mut attributed = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            attributed |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        } else if line.contains(&function) {
            return attributed || text.contains(&case);
        } else if !line.starts_with("//") {
            attributed = false;
        }
    }
    false
}

#[test]
fn every_named_test_is_there() {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut missing = Vec::new();
    for row in TABLES.iter().flat_map(table) {
        let (path, name) = row.test;
        let text = texts
            .entry(path.clone())
            .or_insert_with_key(|path| sources(&root().join(path)));
        if !has_test(text, &name) {
            missing.push(format!("{path}::{name}, of: {}", row.claim));
        }
    }
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[test]
fn a_function_is_a_test_only_below_its_attribute_or_as_a_case() {
    let text = "#[test]\n// Why.\nfn one() {}\n\nfn two() {}\nfn three() {}\nconst CASES: &[Case] = &[(\"three\", three)];\n";
    assert!(has_test(text, "one"));
    assert!(!has_test(text, "two"));
    assert!(has_test(text, "three"));
    assert!(!has_test(text, "on"));
}

#[test]
fn malformed_rows_are_told_with_their_lines() {
    let wrong = [
        ("a\tb\tc\tx.rs::t", "2: 4 columns instead of 5"),
        (
            "a\tb\t\tx.rs::t\t",
            "2: component, claim and source must not be empty",
        ),
        (
            "a\tb \tc\tx.rs::t\t",
            "2: a cell begins or ends with a space",
        ),
        ("a\tb\tc\tx.rs\t", "2: the test `x.rs` is not path::name"),
        (
            "a\tb\tc\tx.rs::t\t\na\tb\tc\tx.rs::u\t",
            "3: the claim stands twice: b",
        ),
        (
            "a\tb\tc\tx.rs::t\t\nd\te\tc\tx.rs::t\t\na\tf\tc\tx.rs::t\t",
            "4: a is not in one piece",
        ),
    ];
    for (lines, mistake) in wrong {
        let found = rows(&format!("{HEADER}\n{lines}\n")).err();
        assert_eq!(found, Some(vec![mistake.to_owned()]));
    }
    assert!(rows("claim\n").is_err());
}

#[test]
fn no_component_or_claim_stands_in_both_tables() {
    let [one, other] = TABLES.each_ref().map(table);
    for row in one {
        assert!(
            other.iter().all(|it| it.claim != row.claim),
            "{}",
            row.claim
        );
        assert!(
            other.iter().all(|it| it.component != row.component),
            "{}",
            row.component
        );
    }
}

/// Text as a cell of a Markdown table.
fn cell(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if "\\|*<>[]`".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// The anchor that hosts of Markdown give a heading.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|it| it.is_alphanumeric() || " -".contains(*it))
        .map(|it| if it == ' ' { '-' } else { it })
        .collect()
}

fn differences(rows: &[Row]) -> usize {
    rows.iter().filter(|row| !row.difference.is_empty()).count()
}

/// Writes the counts of both tables and their components.
fn contents(page: &mut String, tables: &[(&Table, Vec<Row>)]) -> std::fmt::Result {
    writeln!(page, "\n| | claims | with a difference |\n|---|---|---|")?;
    for (table, rows) in tables {
        let (title, count) = (table.title, rows.len());
        writeln!(
            page,
            "| **{title}** | **{count}** | **{}** |",
            differences(rows)
        )?;
        for chunk in rows.chunk_by(|one, next| one.component == next.component) {
            let component = &chunk[0].component;
            let (link, count) = (anchor(component), chunk.len());
            let differences = differences(chunk);
            writeln!(page, "| [{component}](#{link}) | {count} | {differences} |")?;
        }
    }
    Ok(())
}

fn page(tables: &[(&Table, Vec<Row>)]) -> Result<String, std::fmt::Error> {
    let mut page = INTRODUCTION.to_owned();
    contents(&mut page, tables)?;
    for (table, rows) in tables {
        writeln!(page, "\n## {}\n\n{}", table.title, table.about)?;
        for chunk in rows.chunk_by(|one, next| one.component == next.component) {
            writeln!(page, "\n### {}\n", chunk[0].component)?;
            writeln!(
                page,
                "| claim | source | test | difference |\n|---|---|---|---|"
            )?;
            for row in chunk {
                let (path, name) = &row.test;
                let (claim, source) = (cell(&row.claim), cell(&row.source));
                let difference = cell(&row.difference);
                writeln!(
                    page,
                    "| {claim} | {source} | [`{name}`](../{path}) | {difference} |"
                )?;
            }
        }
    }
    Ok(page)
}

#[test]
fn the_page_is_the_committed_one() {
    let tables: Vec<_> = TABLES.iter().map(|it| (it, table(it))).collect();
    let generated = page(&tables).expect("a string takes everything");
    let path = root().join(PAGE);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &generated).expect("writable");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == generated,
        "{PAGE} is stale: run UPDATE=1 cargo test -p firstlight --test conformance_page"
    );
}
