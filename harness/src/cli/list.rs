//! `firstlight list`: which scenarios there are, and what each claims.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rayon::prelude::*;
use reports::exit::Exit;
use serde_json::json;

use super::{complain, files, output, printed};
use crate::scenario::model::{Claim, Scenario};
use crate::scenario::{self, Diagnostics};

/// Which scenarios to list.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Scenario files, directories to search, or patterns
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,
    /// Only scenarios with this tag; given several times, with all of them
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Who reads the list
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A person: a table
    Human,
    /// A program: one JSON document
    Json,
}

/// One scenario of the list.
struct Row {
    file: PathBuf,
    name: String,
    preset: String,
    tags: Vec<String>,
    claim: String,
    /// The expected verdict; empty if none is.
    verdict: String,
}

/// Lists the scenarios.
pub fn run(arguments: &Arguments) -> Exit {
    let files = files::scenario_files(&arguments.paths);
    let read: Vec<Result<Row, Diagnostics>> = files.into_par_iter().map(row).collect();
    let mut rows = Vec::new();
    let mut wrong = false;
    for row in read {
        match row {
            Ok(row) => rows.push(row),
            Err(mistakes) => {
                wrong = true;
                output::stderr(&mistakes.render_coloured());
            }
        }
    }
    if wrong {
        return Exit::InvalidInput;
    }
    rows.retain(|row| arguments.tags.iter().all(|tag| row.tags.contains(tag)));
    if rows.is_empty() {
        return complain(Exit::NothingRun, "no scenario matches");
    }
    printed(output::stdout(&match arguments.format {
        Format::Human => table(&rows),
        Format::Json => document(&rows),
    }))
}

fn row(file: PathBuf) -> Result<Row, Diagnostics> {
    let scenario = scenario::load(&file)?;
    // It was read a moment ago; a file that is gone has no comment.
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    Ok(Row {
        verdict: verdict(&scenario),
        claim: claim(&text).unwrap_or(scenario.description),
        name: scenario.name,
        preset: scenario.preset,
        tags: scenario.tags,
        file,
    })
}

fn verdict(scenario: &Scenario) -> String {
    let mut verdicts = scenario.expectations.iter();
    let verdict = verdicts.find_map(|expectation| match &expectation.claim {
        Claim::Verdict(word) => Some(word.clone()),
        _ => None,
    });
    verdict.unwrap_or_default()
}

/// The paragraph of the leading comment that begins with `Claim:`.
fn claim(text: &str) -> Option<String> {
    let mut comment = text
        .lines()
        .map_while(|line| line.strip_prefix('#'))
        .map(str::trim);
    let first = comment.find_map(|line| line.strip_prefix("Claim:"))?;
    let rest = comment.take_while(|line| !line.is_empty());
    let words: Vec<&str> = std::iter::once(first.trim()).chain(rest).collect();
    Some(words.join(" "))
}

fn table(rows: &[Row]) -> String {
    let width = |of: fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let name = width(|row| row.name.len());
    let preset = width(|row| row.preset.len());
    let verdict = width(|row| row.verdict.len());
    let mut text = String::new();
    for row in rows {
        let tags = row.tags.join(", ");
        text.push_str(&format!(
            "{:name$}  {:preset$}  {:verdict$}  {tags}\n",
            row.name, row.preset, row.verdict
        ));
        text.push_str(&format!("    {}\n    {}\n", row.claim, row.file.display()));
    }
    text
}

fn document(rows: &[Row]) -> String {
    let row = |row: &Row| {
        json!({
            "name": row.name, "file": row.file, "preset": row.preset, "tags": row.tags,
            "claim": row.claim,
            "verdict": Some(&row.verdict).filter(|verdict| !verdict.is_empty()),
        })
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    format!("{:#}\n", json!({ "formatVersion": 1, "scenarios": rows }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claim_is_the_paragraph_that_says_so() {
        let text = "# Claim: without a\n# clock chip.\n#\n# More.\napiVersion: x\n# Claim: no\n";
        assert_eq!(claim(text).as_deref(), Some("without a clock chip."));
        assert_eq!(claim("# Nothing\na: 1\n# Claim: no"), None);
    }
}
