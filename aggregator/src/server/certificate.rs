//! The serving certificate: found on disk, or generated and put there.

use std::io;
use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use seam::Host;

use crate::environment::ServerKey;
use crate::options::ServingOptions;
use crate::transport::error::errno_text;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where the certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// `apiserver.local.config/certificates/apiserver.crt`
    pub certificate: String,
    /// `apiserver.local.config/certificates/apiserver.key`
    pub key: String,
    /// Given by name, so never generated.
    explicit: bool,
}

/// The contents of the two files, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The chain, leaf first.
    pub certificate: Vec<u8>,
    /// The key.
    pub key: Vec<u8>,
}

impl Location {
    /// Where the options say.
    #[must_use]
    pub fn of(options: &ServingOptions) -> Self {
        let (certificate, key) = (&options.tls_cert_file, &options.tls_private_key_file);
        if !certificate.is_empty() || !key.is_empty() {
            return Self {
                certificate: certificate.clone(),
                key: key.clone(),
                explicit: true,
            };
        }
        let directory = options.cert_dir.trim_end_matches('/');
        Self {
            certificate: format!("{directory}/apiserver.crt"),
            key: format!("{directory}/apiserver.key"),
            explicit: false,
        }
    }

    /// Whether a certificate has to be generated.
    ///
    /// Source: lib: apiserver `pkg/server/options/serving.go:
    /// MaybeDefaultWithSelfSignedCerts`; client-go `util/cert/io.go:
    /// CanReadCertAndKey`.
    ///
    /// # Errors
    ///
    /// If only one of the two files is there.
    pub fn must_generate(&self, host: &Host) -> Result<bool, String> {
        if self.explicit {
            return Ok(false);
        }
        let certificate = host.files().read(&self.certificate).is_ok();
        let key = host.files().read(&self.key).is_ok();
        let alone = |path: &str| {
            format!("error reading {path}, certificate and key must be supplied as a pair")
        };
        match (certificate, key) {
            (true, true) => Ok(false),
            (false, false) => Ok(true),
            (false, true) => Err(alone(&self.certificate)),
            (true, false) => Err(alone(&self.key)),
        }
    }

    /// Reads certificate and key.
    ///
    /// # Errors
    ///
    /// Go's text if they cannot be read.
    pub fn read(&self, host: &Host) -> Result<Pair, String> {
        let read = |path: &str| {
            host.files()
                .read(path)
                .map_err(|error| format!("open {path}: {}", errno_text(&error)))
        };
        Ok(Pair {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
        })
    }

    /// Generates a certificate for this machine and puts it there.
    ///
    /// DIFFERENCE: the Go program signs it by an authority that it makes up
    /// and forgets; here it signs itself.
    ///
    /// Source: lib: client-go `util/cert/cert.go:
    /// GenerateSelfSignedCertKeyWithFixtures`.
    ///
    /// # Errors
    ///
    /// If the files cannot be written.
    pub fn generate(
        &self,
        host: &Host,
        key: &ServerKey,
        options: &ServingOptions,
    ) -> Result<(), String> {
        let key = key_pair(key)?;
        let mut names = vec![
            SanType::DnsName("localhost".try_into().expect("ASCII")),
            SanType::IpAddress([127, 0, 0, 1].into()),
        ];
        if !options.bind_address.is_unspecified() {
            names.push(SanType::IpAddress(options.bind_address));
        }
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(
            DnType::CommonName,
            format!("localhost@{}", host.now().as_seconds()),
        );
        params.serial_number = Some(SerialNumber::from(
            host.random("serving-serial").next_u64() >> 1,
        ));
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let now = Duration::from_secs(u64::try_from(host.now().as_seconds()).unwrap_or(0));
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + now.saturating_sub(Duration::from_secs(3600));
        params.not_after = params.not_before + YEAR;
        let certificate = params
            .self_signed(&key)
            .map_err(|error| error.to_string())?;
        self.write(host, &self.certificate, certificate.pem().as_bytes(), false)?;
        self.write(host, &self.key, key.serialize_pem().as_bytes(), true)
    }

    fn write(&self, host: &Host, path: &str, contents: &[u8], private: bool) -> Result<(), String> {
        host.files()
            .write(path, contents, private)
            .map_err(|error| {
                let directory = path
                    .rsplit_once('/')
                    .map_or(".", |(directory, _)| directory);
                let (operation, path) = match error.kind() {
                    io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                        ("mkdir", directory)
                    }
                    // The directory is not there, and can be made no more than
                    // the file: `os.MkdirAll` begins with the first.
                    io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
                        if !directory.starts_with('/') =>
                    {
                        ("mkdir", directory.split('/').next().unwrap_or(directory))
                    }
                    _ => ("open", path),
                };
                let text = if error.kind() == io::ErrorKind::AlreadyExists {
                    "not a directory".to_owned()
                } else {
                    errno_text(&error)
                };
                format!("{operation} {path}: {text}")
            })
    }
}

fn key_pair(key: &ServerKey) -> Result<KeyPair, String> {
    let pair = match key {
        ServerKey::Generate => KeyPair::generate(),
        ServerKey::Pkcs8Ed25519(pkcs8) => {
            KeyPair::try_from(&PrivatePkcs8KeyDer::from(pkcs8.as_slice()))
        }
    };
    pair.map_err(|error| error.to_string())
}
