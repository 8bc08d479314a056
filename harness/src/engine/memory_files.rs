//! A file system in memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

use seam::Files;

/// The files of one pod: they outlive its containers, as an `emptyDir` does.
#[derive(Debug, Default)]
pub struct MemoryFiles {
    files: RefCell<BTreeMap<String, Vec<u8>>>,
}

impl MemoryFiles {
    /// A file system with these files.
    pub fn with(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        Self {
            files: RefCell::new(files.into_iter().collect()),
        }
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.files
            .borrow()
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&self, path: &str, contents: &[u8], _private: bool) -> io::Result<()> {
        self.files
            .borrow_mut()
            .insert(path.to_owned(), contents.to_vec());
        Ok(())
    }
}
