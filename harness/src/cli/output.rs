//! Standard output that may be closed, and report files that are whole or
//! absent.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Writes to standard output, with or without colour as the terminal and the
/// user want it. A reader that has gone away is not an error: `| head` is a
/// legitimate use.
///
/// # Errors
///
/// Any other failure to write, such as a full disk.
pub fn stdout(text: &str) -> io::Result<()> {
    let mut stream = anstream::stdout().lock();
    match stream
        .write_all(text.as_bytes())
        .and_then(|()| stream.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes to standard error. Where even that fails there is nobody to tell.
pub fn stderr(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Says what of a scenario's manifest is not modelled.
pub fn notes(file: &Path, notes: &[String]) {
    for note in notes {
        stderr(&format!("note: {}: {note}\n", file.display()));
    }
}

/// A report file. Opened before anything is simulated, so that a path that
/// cannot be written is known at once; put in place when complete, so that
/// nobody ever reads half a report.
#[derive(Debug)]
pub struct ReportFile {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
}

impl ReportFile {
    /// Opens a temporary file beside `path`.
    ///
    /// # Errors
    ///
    /// If the directory is missing or not writable, or `path` is a directory.
    pub fn create(path: &Path) -> io::Result<Self> {
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = File::create_new(&temporary)?;
        Ok(Self {
            path: path.to_owned(),
            temporary,
            file,
        })
    }

    /// Writes the report and puts it in place of what was there before.
    ///
    /// # Errors
    ///
    /// If writing or renaming fails; what was there before is then unchanged.
    pub fn write(mut self, contents: &str) -> io::Result<()> {
        self.file.write_all(contents.as_bytes())?;
        self.file.sync_all()?;
        std::fs::rename(&self.temporary, &self.path)
    }
}

impl Drop for ReportFile {
    fn drop(&mut self) {
        // After a successful rename there is nothing left to remove.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_is_not_written_leaves_no_trace() {
        let directory = std::env::temp_dir().join(format!("firstlight-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a temporary directory");
        let path = directory.join("result.json");
        std::fs::write(&path, "before").expect("writable");
        drop(ReportFile::create(&path).expect("writable"));
        assert_eq!(
            std::fs::read_to_string(&path).expect("still there"),
            "before"
        );
        assert_eq!(std::fs::read_dir(&directory).expect("readable").count(), 1);
        ReportFile::create(&path)
            .expect("writable")
            .write("after")
            .expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "after");
        std::fs::remove_dir_all(&directory).expect("removable");
    }

    #[test]
    fn a_missing_directory_is_an_error_at_once() {
        assert!(ReportFile::create(Path::new("/nowhere/at/all.json")).is_err());
    }
}
