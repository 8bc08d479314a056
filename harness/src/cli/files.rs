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
/// A path that does not exist is returned as it is: reading it will say so.
#[must_use]
pub fn scenario_files(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        let found = if path.is_dir() {
            walk(path)
        } else {
            vec![path.clone()]
        };
        for file in found {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    files
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
