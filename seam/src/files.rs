//! The few files that a process reads or writes.

use std::io;

/// A file system as one process sees it: certificates, tokens, kubeconfigs.
///
/// Paths are absolute or relative to the process's working directory, in the
/// platform's own syntax. Files are small; every call is synchronous.
pub trait Files {
    /// Returns the whole file.
    ///
    /// # Errors
    ///
    /// As `std::fs::read`: in particular `NotFound`.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// Creates or replaces a file and the directories above it. `private`
    /// asks for mode 0600 rather than 0644.
    ///
    /// # Errors
    ///
    /// As `std::fs::create_dir_all` and `std::fs::write`.
    fn write(&self, path: &str, contents: &[u8], private: bool) -> io::Result<()>;
}
