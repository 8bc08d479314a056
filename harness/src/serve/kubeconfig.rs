//! How clients find the API server, and who they are.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reports::exit::Exit;
use tempfile::TempDir;

use super::plan::Plan;
use super::{Options, Refusal};
use crate::world::trust::{SERVICE_ACCOUNT_TOKEN, Trust};

/// The first line of every file written here: files without it are somebody
/// else's and never replaced.
const MARK: &str = "# Written by firstlight serve, which removes it when it ends.";

/// The kubeconfig files of a run. Dropping it removes them.
#[derive(Debug)]
pub struct Kubeconfigs {
    /// For `kubectl`, as an administrator.
    pub admin: PathBuf,
    /// For a metrics-server, as its service account.
    pub server: PathBuf,
    /// For whatever else a run writes.
    pub directory: TempDir,
    written: Vec<PathBuf>,
}

impl Kubeconfigs {
    /// Writes both files: where the options say, else in a directory of the
    /// run's own.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if a file cannot be written or is somebody else's.
    pub(super) fn write(plan: &Plan, trust: &Trust, options: &Options) -> Result<Self, Refusal> {
        let directory = tempfile::Builder::new()
            .prefix("firstlight-")
            .tempdir()
            .map_err(|error| Refusal::io("no temporary directory", &error))?;
        let place = |chosen: &Option<PathBuf>, name: &str| match chosen {
            Some(path) => path.clone(),
            None => directory.path().join(name),
        };
        let mut files = Self {
            admin: place(&options.kubeconfig, "kubeconfig"),
            server: place(&options.server_kubeconfig, "metrics-server.kubeconfig"),
            directory,
            written: Vec::new(),
        };
        let authority = trust.cluster.pem();
        let (certificate, key) = (trust.admin.certificate_pem(), trust.admin.key_pem());
        let admin = User::Certificate {
            certificate: &certificate,
            key: &key,
        };
        files.put(
            &files.admin.clone(),
            &text(plan.api_server, &authority, "firstlight-admin", &admin),
        )?;
        files.put(
            &files.server.clone(),
            &text(
                plan.server_api_server(),
                &authority,
                "metrics-server",
                &User::Token(SERVICE_ACCOUNT_TOKEN),
            ),
        )?;
        Ok(files)
    }

    fn put(&mut self, path: &Path, text: &str) -> Result<(), Refusal> {
        let what = || format!("cannot write {}", path.display());
        if let Ok(existing) = fs::read(path) {
            if !existing.starts_with(MARK.as_bytes()) {
                let message = format!(
                    "{}: there is a file that firstlight did not write; name another one",
                    what()
                );
                return Err(Refusal::new(Exit::Io, message));
            }
            fs::remove_file(path).map_err(|error| Refusal::io(&what(), &error))?;
        }
        create(path, text).map_err(|error| Refusal::io(&what(), &error))?;
        self.written.push(path.to_owned());
        Ok(())
    }
}

impl Drop for Kubeconfigs {
    fn drop(&mut self) {
        for path in &self.written {
            // Gone already, or not ours to worry about any more.
            let _ = fs::remove_file(path);
        }
    }
}

/// Creates a file for its owner's eyes, whole or not at all.
fn create(path: &Path, text: &str) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = directory.join(name);
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

enum User<'a> {
    Certificate { certificate: &'a str, key: &'a str },
    Token(&'a str),
}

fn text(server: SocketAddr, authority: &str, name: &str, user: &User<'_>) -> String {
    let credentials = match user {
        User::Certificate { certificate, key } => format!(
            "    client-certificate-data: {}\n    client-key-data: {}\n",
            STANDARD.encode(certificate),
            STANDARD.encode(key)
        ),
        User::Token(token) => format!("    token: {token}\n"),
    };
    format!(
        "{MARK}\n\
         apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: firstlight\n\
         \x20 cluster:\n\
         \x20   server: https://{server}\n\
         \x20   certificate-authority-data: {}\n\
         users:\n\
         - name: {name}\n\
         \x20 user:\n\
         {credentials}\
         contexts:\n\
         - name: firstlight\n\
         \x20 context:\n\
         \x20   cluster: firstlight\n\
         \x20   user: {name}\n\
         current-context: firstlight\n",
        STANDARD.encode(authority)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_says_where_and_who() {
        let server = "127.0.0.1:6443".parse().expect("an address");
        insta::assert_snapshot!(text(server, "CA", "metrics-server", &User::Token("t")), @r"
        # Written by firstlight serve, which removes it when it ends.
        apiVersion: v1
        kind: Config
        clusters:
        - name: firstlight
          cluster:
            server: https://127.0.0.1:6443
            certificate-authority-data: Q0E=
        users:
        - name: metrics-server
          user:
            token: t
        contexts:
        - name: firstlight
          context:
            cluster: firstlight
            user: metrics-server
        current-context: firstlight
        ");
    }

    #[test]
    fn somebody_elses_file_is_never_replaced() {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("config");
        let mut files = Kubeconfigs {
            admin: path.clone(),
            server: path.clone(),
            directory: TempDir::new().expect("a directory"),
            written: Vec::new(),
        };
        fs::write(&path, "apiVersion: v1\n").expect("writable");
        let refusal = files.put(&path, MARK).expect_err("it is somebody's");
        assert_eq!(refusal.exit, Exit::Io);
        fs::write(&path, format!("{MARK}\nstale")).expect("writable");
        files.put(&path, MARK).expect("ours from an earlier run");
        drop(files);
        assert!(!path.exists());
    }
}
