//! `firstlight import`: a scenario made from a real manifest.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use reports::exit::Exit;

use super::{complain, output, printed};
use crate::scenario::manifest::import::import;
use crate::scenario::{MAX_BYTES, STDIN};

/// What to make a scenario from.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Deployment, Service and APIService as YAML, such as `kubectl get -o yaml` and `helm template` print; - is standard input
    #[arg(default_value = STDIN)]
    file: PathBuf,
    /// Name of the scenario
    #[arg(long, default_value = "imported")]
    name: String,
    /// The distribution to build on; the release manifest of the same release if absent
    #[arg(long, value_parser = super::presets::value_parser())]
    preset: Option<String>,
}

/// Prints the scenario; what it leaves out goes to standard error.
pub fn run(arguments: &Arguments) -> Exit {
    let shown = match arguments.file.to_str() {
        Some(STDIN) => "<stdin>".to_owned(),
        _ => arguments.file.display().to_string(),
    };
    let text = match text(&arguments.file) {
        Ok(text) => text,
        Err(why) => {
            return complain(
                Exit::InvalidInput,
                &format!("`{shown}` cannot be read: {why}"),
            );
        }
    };
    match import(&shown, &text, &arguments.name, arguments.preset.as_deref()) {
        Ok(imported) => {
            for note in &imported.notes {
                output::stderr(&format!("note: {note}\n"));
            }
            printed(output::stdout(&imported.scenario))
        }
        Err(mistakes) => {
            output::stderr(&mistakes.render_coloured());
            Exit::InvalidInput
        }
    }
}

fn text(path: &Path) -> Result<String, String> {
    let limit = u64::try_from(MAX_BYTES).expect("1 MiB") + 1;
    let mut bytes = Vec::new();
    let read = if path == Path::new(STDIN) {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| error.to_string())?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("it is larger than {} KiB", MAX_BYTES / 1024));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}
