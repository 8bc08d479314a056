//! Which scenario files are meant.

use std::path::{Path, PathBuf};

/// A directory of this name holds files that must be refused; a walk leaves
/// it out, so that a library can keep its negative examples beside the rest.
pub const INVALID: &str = "invalid";

/// The scenario files that `paths` name: a file stands for itself, a
/// directory for every `.yaml` and `.yml` file below it except those under a
/// directory called `invalid`. Sorted within each directory; a file named
/// twice appears once.
///
/// A path that does not exist may be a pattern such as `k3s/*.yaml`; one that
/// matches nothing is returned as it is: reading it will say so. So is `-`,
/// which is standard input.
#[must_use]
pub fn scenario_files(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        let found = if path.is_dir() {
            walk(path)
        } else if path.exists() {
            vec![path.clone()]
        } else {
            let matching = matching(path);
            if matching.is_empty() {
                vec![path.clone()]
            } else {
                matching
            }
        };
        for file in found {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    files
}

/// The scenario files that match a pattern, for shells that leave it alone.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let text = pattern.to_string_lossy();
    let Some(special) = text.find(['*', '?', '[', '{']) else {
        return Vec::new();
    };
    let glob = globset::GlobBuilder::new(&text)
        .literal_separator(true)
        .build();
    let Ok(glob) = glob else { return Vec::new() };
    let matcher = glob.compile_matcher();
    let below = text[..special].rfind('/').map_or("", |end| &text[..end]);
    let directory = if text.starts_with('/') && below.is_empty() {
        Path::new("/")
    } else if below.is_empty() {
        Path::new(".")
    } else {
        Path::new(below)
    };
    walk(directory)
        .into_iter()
        .map(|path| path.strip_prefix("./").map(Path::to_owned).unwrap_or(path))
        .filter(|path| matcher.is_match(path))
        .collect()
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    walkdir::WalkDir::new(directory)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.depth() == 0 || entry.file_name() != INVALID)
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_finds_files_and_anything_else_stands_for_itself() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let found = |pattern: &str| scenario_files(&[root.join(pattern)]);
        assert!(found("k3s/*.yaml").len() >= 3);
        assert!(found("**/*.yaml").len() > found("*/*.yaml").len() / 2);
        assert_eq!(found("k3s/first-boot.yaml").len(), 1);
        for odd in ["missing.yaml", "nothing/*.yaml", "k3s/[.yaml"] {
            assert_eq!(found(odd), [root.join(odd)]);
        }
        assert_eq!(scenario_files(&["-".into()]), [PathBuf::from("-")]);
    }
}
