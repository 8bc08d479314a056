//! `firstlight check`: validate only.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rayon::prelude::*;
use reports::exit::Exit;
use serde_json::{Value, json};

use super::{complain, files, output};
use crate::scenario::{self, Diagnostics};

/// What to validate.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Scenario files, directories to search, patterns such as 'k3s/*.yaml', or - for standard input
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,
    /// Who reads the result
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// How mistakes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A person: mistakes on standard error, a summary on standard output
    Human,
    /// A program: one JSON document
    Json,
    /// GitHub Actions: annotations of the lines in question
    Github,
}

/// GitHub shows this many errors of a step and drops the others silently.
/// Source: GitHub Actions, limits of workflow commands.
const ANNOTATIONS: usize = 10;

/// A file, and what is wrong with it.
struct Checked {
    file: PathBuf,
    mistakes: Option<Diagnostics>,
    /// What its manifest has that is not modelled.
    notes: Vec<String>,
}

/// Validates every file and shows every mistake.
pub fn run(arguments: &Arguments) -> Exit {
    let files = files::scenario_files(&arguments.paths);
    if files.is_empty() {
        return complain(
            Exit::NothingRun,
            "no scenario files found; name a file, a directory or a pattern",
        );
    }
    let checked: Vec<Checked> = files
        .into_par_iter()
        .map(|file| match scenario::load(&file) {
            Ok(scenario) => Checked {
                file,
                mistakes: None,
                notes: scenario.notes,
            },
            Err(mistakes) => Checked {
                file,
                mistakes: Some(mistakes),
                notes: Vec::new(),
            },
        })
        .collect();
    let shown = match arguments.format {
        Format::Human => human(&checked),
        Format::Json => json(&checked),
        Format::Github => github(&checked),
    };
    match output::stdout(&shown) {
        Err(error) => complain(
            Exit::Io,
            &format!("cannot write to standard output: {error}"),
        ),
        Ok(()) if wrong(&checked) > 0 => Exit::InvalidInput,
        Ok(()) => Exit::Ok,
    }
}

fn wrong(checked: &[Checked]) -> usize {
    let wrong = checked.iter().filter(|checked| checked.mistakes.is_some());
    wrong.count()
}

/// The summary; the mistakes themselves go to standard error at once.
fn human(checked: &[Checked]) -> String {
    for mistakes in checked
        .iter()
        .filter_map(|checked| checked.mistakes.as_ref())
    {
        output::stderr(&mistakes.render_coloured());
    }
    for Checked { file, notes, .. } in checked {
        output::notes(file, notes);
    }
    let wrong = wrong(checked);
    let right = checked.len() - wrong;
    format!("{} checked: {right} right, {wrong} wrong\n", checked.len())
}

fn json(checked: &[Checked]) -> String {
    let file = |checked: &Checked| -> Value {
        let mistakes = checked.mistakes.iter();
        let mistakes: Vec<Value> = mistakes
            .flat_map(|mistakes| {
                mistakes
                    .iter()
                    .map(|mistake| mistake_json(mistakes, mistake))
            })
            .collect();
        json!({ "file": checked.file, "right": mistakes.is_empty(), "mistakes": mistakes, "notes": checked.notes })
    };
    let wrong = wrong(checked);
    let document = json!({
        "formatVersion": 1,
        "right": checked.len() - wrong,
        "wrong": wrong,
        "files": checked.iter().map(file).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

fn mistake_json(mistakes: &Diagnostics, mistake: &scenario::diagnostic::Diagnostic) -> Value {
    let place = mistakes.place(mistake).map(|place| {
        json!({
            "file": place.file,
            "line": place.line, "column": place.column,
            "endLine": place.end_line, "endColumn": place.end_column,
        })
    });
    json!({
        "code": mistake.code().as_str(),
        "message": mistake.message(),
        "help": mistake.help(),
        "place": place,
    })
}

/// Workflow commands. Source: GitHub Actions, workflow commands; values are
/// escaped as `@actions/core` escapes them.
fn github(checked: &[Checked]) -> String {
    let mut lines = Vec::new();
    for Checked { file, mistakes, .. } in checked {
        let Some(mistakes) = mistakes else { continue };
        for mistake in mistakes.iter() {
            let place = match mistakes.place(mistake) {
                Some(place) => {
                    // Columns count only where the range is one line.
                    let columns = if place.line == place.end_line {
                        format!(",col={},endColumn={}", place.column, place.end_column)
                    } else {
                        String::new()
                    };
                    let file = property(place.file);
                    format!(
                        "file={file},line={},endLine={}{columns}",
                        place.line, place.end_line
                    )
                }
                None => format!("file={}", property(&file.display().to_string())),
            };
            let code = mistake.code();
            let title = property(&format!("{} {}", code.as_str(), code.meaning()));
            let text = data(&format!("{}; {}", mistake.message(), mistake.help()));
            lines.push(format!("::error {place},title={title}::{text}\n"));
        }
    }
    let more = lines.len().saturating_sub(ANNOTATIONS);
    lines.truncate(ANNOTATIONS);
    if more > 0 {
        lines.push(format!(
            "::notice title=firstlight check::{more} more mistakes: run `firstlight check` to see them all\n"
        ));
    }
    lines.concat()
}

fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(text: &str) -> Vec<Checked> {
        let text = format!(
            "apiVersion: firstlight/v1\nkind: Scenario\nmetadata: {{name: a}}\npreset: upstream-0.8\n{text}"
        );
        vec![Checked {
            file: "a,b.yaml".into(),
            mistakes: scenario::parse("a,b.yaml", &text).err(),
            notes: Vec::new(),
        }]
    }

    #[test]
    fn an_annotation_marks_the_word_and_escapes_what_would_end_it() {
        assert_eq!(
            github(&broken("nodes: {a: {redy: true}}")),
            "::error file=a%2Cb.yaml,line=5,endLine=5,col=13,endColumn=17,title=S0101 a key that the language does not have::unknown key `redy` in `a`; did you mean `ready`?\n"
        );
    }

    #[test]
    fn annotations_beyond_those_that_are_shown_are_counted() {
        let keys: Vec<String> = (0..12).map(|number| format!("key{number}: 1")).collect();
        let shown = github(&broken(&format!("nodes: {{a: {{{}}}}}", keys.join(", "))));
        assert_eq!(shown.lines().count(), 11);
        assert!(shown.ends_with("::2 more mistakes: run `firstlight check` to see them all\n"));
    }

    #[test]
    fn a_program_gets_places_as_numbers() {
        let document: Value =
            serde_json::from_str(&json(&broken("nodes: {a: {redy: true}}"))).expect("JSON");
        assert_eq!(document["wrong"], 1);
        let mistake = &document["files"][0]["mistakes"][0];
        assert_eq!(mistake["code"], "S0101");
        assert_eq!(mistake["place"]["column"], 13);
    }
}
