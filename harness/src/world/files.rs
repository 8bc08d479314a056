//! The files of metrics-server's pods.

use std::collections::BTreeMap;
use std::io;

use mocks::pki::{Identity, Leaf, Usage};
use mocks::script::Script;
use seam::Files;

use super::resources::Met;
use super::trust::{SERVICE_ACCOUNT_TOKEN, TOKEN_FILE, Trust};
use crate::engine::memory_files::MemoryFiles;
use crate::scenario::model::{FileContent, Issuer, PodCertificate, SecurityContext, Timeline};

/// What volumes hold at a time, by path.
pub type Volumes = BTreeMap<String, Vec<u8>>;

/// What a pod can read: what its volumes hold at the time, and what its
/// containers wrote.
pub struct PodFiles {
    volumes: Script<Volumes>,
    /// Told when a file of a volume is read.
    met: Met,
    security: SecurityContext,
    own: MemoryFiles,
}

impl PodFiles {
    /// The files of a pod with these volumes, beside those of its service
    /// account.
    pub fn new(
        volumes: Script<Volumes>,
        authority: &str,
        security: SecurityContext,
        met: Met,
    ) -> Self {
        let directory = TOKEN_FILE.trim_end_matches("token");
        let token = SERVICE_ACCOUNT_TOKEN.as_bytes().to_vec();
        let authority = authority.as_bytes().to_vec();
        Self {
            volumes,
            met,
            security,
            own: MemoryFiles::with([
                (TOKEN_FILE.to_owned(), token),
                (format!("{directory}ca.crt"), authority),
            ]),
        }
    }
}

impl Files for PodFiles {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        match self.volumes.current().get(path) {
            Some(contents) => {
                (self.met)();
                Ok(contents.clone())
            }
            None => self.own.read(path),
        }
    }

    /// Volumes of ConfigMaps and Secrets are read-only; `/tmp` is one for
    /// everybody to write to.
    fn write(&self, path: &str, contents: &[u8], private: bool) -> io::Result<()> {
        let is_of_a_volume = self.volumes.current().contains_key(path);
        let is_in_root = !path.starts_with("/tmp/");
        if is_of_a_volume || is_in_root && self.security.read_only_root {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if is_in_root && self.security.is_unprivileged {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.own.write(path, contents, private)
    }
}

/// What `files` come to with the cluster's authorities.
pub(super) fn volumes(
    files: &Timeline<BTreeMap<String, FileContent>>,
    trust: &Trust,
) -> Timeline<Volumes> {
    files.map(|files| {
        let contents = files.iter();
        contents
            .map(|(path, content)| (path.clone(), bytes(content, trust)))
            .collect()
    })
}

fn bytes(content: &FileContent, trust: &Trust) -> Vec<u8> {
    let text = match content {
        FileContent::ClusterAuthority => trust.cluster.pem(),
        FileContent::FrontProxyAuthority => trust.front_proxy.pem(),
        FileContent::UnknownAuthority => trust.unknown.pem(),
        FileContent::Certificate(certificate) => issue(certificate, "own", trust).certificate_pem(),
        FileContent::OwnKey => issue(&PodCertificate::FOR_ITS_KEY, "own", trust).key_pem(),
        FileContent::OtherKey => issue(&PodCertificate::FOR_ITS_KEY, "other", trust).key_pem(),
        FileContent::Text(text) => text.clone(),
    };
    text.into_bytes()
}

/// Certificates that are called alike have the same key.
fn issue(certificate: &PodCertificate, name: &str, trust: &Trust) -> Identity {
    let leaf = Leaf {
        seed: trust.key_name(&format!("metrics-server-serving/{name}")),
        common_name: "metrics-server".to_owned(),
        organizations: Vec::new(),
        dns: certificate.dns.clone(),
        ips: certificate.ips.clone(),
        not_before: trust.instant(certificate.not_before_ns),
        not_after: trust.instant(certificate.not_after_ns),
        usage: Usage::Server,
    };
    match certificate.issuer {
        Issuer::Cluster => trust.cluster.issue(&leaf),
        Issuer::Unknown => trust.unknown.issue(&leaf),
        Issuer::SelfSigned => Identity::self_signed(&leaf),
    }
}
