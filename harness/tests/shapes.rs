//! The description of the language, its schema and its page, against the
//! decoder and against each other.
//!
//! `UPDATE=1 cargo test -p firstlight --test shapes` writes the schema and the
//! page anew.

use std::fs;
use std::path::{Path, PathBuf};

use firstlight::cli::files::scenario_files;
use firstlight::run;
use firstlight::scenario::shape::{examples::examples, reference, schema};
use firstlight::scenario::{Code, parse};
use firstlight::seed::Seed;
use rayon::prelude::*;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares a generated file with the committed one, or writes it.
fn committed(path: &str, generated: &str) {
    let path = root().join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().expect("a directory")).expect("writable");
        fs::write(&path, generated).expect("writable");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == generated,
        "{} is stale: run UPDATE=1 cargo test -p firstlight --test shapes",
        path.display()
    );
}

#[test]
fn the_schema_is_the_committed_one() {
    committed("scenarios/scenario.schema.json", &schema::text());
}

#[test]
fn the_page_is_the_committed_one() {
    committed("docs/scenario-language.md", &reference::page());
}

/// Goal: every example of the page is right. Method: each within a complete
/// scenario, which is read and checked and, unless it only repeats another
/// one as a change, simulated.
#[test]
fn every_example_runs() {
    let examples = examples();
    assert!(examples.len() > 100, "{}", examples.len());
    examples.par_iter().for_each(|example| {
        // Beside the manifest that one of them names.
        let name = root().join("harness/tests/manifests/example.yaml");
        let scenario = parse(&name.display().to_string(), &example.scenario)
            .unwrap_or_else(|mistakes| panic!("{}\n{mistakes}", example.scenario));
        if !example.path.starts_with("changes[].") {
            run::run(&scenario, Seed(1))
                .unwrap_or_else(|stuck| panic!("{}: {stuck}", example.path));
        }
    });
}

fn json(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn the_schema_takes_every_scenario_and_every_example() {
    let schema = jsonschema::draft7::new(&schema::schema()).expect("a schema");
    let check = |name: &str, text: &str| {
        let instance = json(text);
        let mistakes: Vec<String> = schema
            .iter_errors(&instance)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(mistakes.is_empty(), "{name}: {mistakes:#?}\n{text}");
    };
    for file in scenario_files(&[root().join("scenarios")]) {
        check(
            &file.display().to_string(),
            &fs::read_to_string(&file).expect("readable"),
        );
    }
    for example in examples() {
        check(&example.path, &example.scenario);
    }
}

/// Goal: an editor underlines what the decoder refuses. Method: each broken
/// file of the library with a mistake of shape is refused by the schema too.
#[test]
fn the_schema_refuses_mistakes_of_shape() {
    let schema = jsonschema::draft7::new(&schema::schema()).expect("a schema");
    let mut refused = 0;
    for entry in fs::read_dir(root().join("scenarios/invalid")).expect("there") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let Err(mistakes) = parse(&path.display().to_string(), &text) else {
            panic!("{} is right", path.display())
        };
        // What a number or a text may be beyond its form (S0106, S0107) can
        // depend on more than a schema says: on units, or on both ends of a range.
        let of_shape = |code: Code| ("S0101".."S0106").contains(&code.as_str());
        if mistakes.iter().any(|mistake| of_shape(mistake.code())) {
            assert!(
                !schema.is_valid(&json(&text)),
                "the schema takes {}",
                path.display()
            );
            refused += 1;
        }
    }
    assert!(refused >= 8, "{refused}");
}
