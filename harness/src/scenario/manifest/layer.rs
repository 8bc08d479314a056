//! The file that a scenario's `manifest:` names.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::super::code::Code;
use super::super::decoder::{Decoder, Item};
use super::super::diagnostic::Diagnostic;
use super::super::source::{SourceId, Sources};
use super::super::tree::Node;
use super::super::{MAX_BYTES, read_limited};
use super::{Manifest, contradictions};

/// Reads the manifest that the scenario names, if it names one, and notes what
/// the two have otherwise. The path is relative to the scenario's directory.
pub(crate) fn of_scenario(
    decoder: &mut Decoder,
    sources: &mut Sources,
    scenario: &Node,
) -> Option<Manifest> {
    let entry = scenario.entry("manifest")?;
    if entry.value.is_null() {
        return None;
    }
    let item = Item::of(entry);
    let path = decoder.text(item)?;
    let directory = Path::new(sources.name(SourceId::FILE)).parent();
    let path = path.strip_prefix("./").unwrap_or(path);
    let path = directory.unwrap_or(Path::new("")).join(path);
    let text = match text(&path) {
        Ok(text) => text,
        Err(why) => {
            decoder.note(Diagnostic::at(
                Code::Unreadable,
                item.span(),
                format!("the manifest `{}` cannot be read: {why}", path.display()),
                "write a path to a YAML file, counted from the scenario's directory",
            ));
            return None;
        }
    };
    let id = sources.add_file(&path.display().to_string(), &text);
    let manifest = super::read(decoder, sources, id)?;
    contradictions::note(decoder, &manifest.layer, scenario);
    Some(Manifest {
        digest: reports::trace::hex(&Sha256::digest(text.as_bytes())),
        ..manifest
    })
}

/// The text of a manifest.
fn text(path: &Path) -> Result<String, String> {
    // A pipe might never end.
    if path.exists() && !path.is_file() {
        return Err("it is no ordinary file".to_owned());
    }
    let bytes = read_limited(path).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("it is larger than {} KiB", MAX_BYTES / 1024));
    }
    if bytes.contains(&0) {
        return Err("it is no text".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}
