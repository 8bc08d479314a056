//! The serving certificate in force: that of the files, also once they have
//! changed.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use seam::Host;
use tokio::time::Instant;

use super::certificate::{Location, Pair};
use super::tls;
use crate::klog::{Log, Quoted};
use crate::options::Options;
use crate::transport::tls::{Identity, Tls};
use crate::version::Version;

/// The files are looked at no more often than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// A serving certificate that follows its files.
///
/// DIFFERENCE: the Go program is told of changes by the file system and looks
/// by itself once a minute. Here the files are looked at when somebody
/// connects: nobody can see the difference but in the time of the log line.
///
/// Source: lib: apiserver `pkg/server/dynamiccertificates/
/// dynamic_serving_content.go: DynamicCertKeyPairContent`.
pub struct ServingCertificate {
    /// The machine with the files.
    pub host: Host,
    /// Its TLS.
    pub tls: Tls,
    /// The command line.
    pub options: Rc<Options>,
    /// Where the files are.
    pub location: Location,
    /// Where changes are told.
    pub log: Log,
    /// The release.
    pub version: Version,
    /// What was found there last.
    pub found: RefCell<Found>,
}

/// What was found last.
pub struct Found {
    config: Arc<ServerConfig>,
    /// The files' contents; `None` if they could not be read.
    pair: Option<Pair>,
    looked: Instant,
}

impl Found {
    /// Reads the files for the first time.
    ///
    /// # Errors
    ///
    /// Go's text if they cannot be read or used.
    pub fn now(
        host: &Host,
        tls: &Tls,
        options: &Options,
        location: &Location,
    ) -> Result<Self, String> {
        let pair = location.read(host)?;
        Ok(Self {
            config: config(tls, options, &pair)?,
            pair: Some(pair),
            looked: Instant::now(),
        })
    }
}

impl ServingCertificate {
    /// What to accept the next connection with. Files that are gone or make no
    /// pair leave the last good one in force.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        let mut found = self.found.borrow_mut();
        if found.looked.elapsed() >= PATIENCE {
            found.looked = Instant::now();
            self.look(&mut found);
        }
        Arc::clone(&found.config)
    }

    fn look(&self, found: &mut Found) {
        let read = self.location.read(&self.host);
        let pair = read.as_ref().ok();
        if pair == found.pair.as_ref() {
            return;
        }
        let loaded = match &read {
            Ok(pair) => config(&self.tls, &self.options, pair),
            Err(error) => Err(error.clone()),
        };
        match loaded {
            Ok(config) => {
                found.config = config;
                let name = self.name();
                self.log.verbose(2, "dynamic_serving_content.go:193", || {
                    format!("\"Loaded a new cert/key pair\" name={}", Quoted(&name))
                });
            }
            Err(error) => self.log_failure(&error),
        }
        found.pair = read.ok();
    }

    /// What the certificate is called in the log.
    #[must_use]
    pub fn name(&self) -> String {
        let Location {
            certificate, key, ..
        } = &self.location;
        format!("serving-cert::{certificate}::{key}")
    }

    /// Source: lib: apimachinery `pkg/util/runtime/runtime.go: HandleError`,
    /// which writes keys and values since 0.32.
    fn log_failure(&self, error: &str) {
        let text = format!("key failed with : {error}");
        let message = match self.version.minor() {
            ..=7 => text,
            _ => format!(
                "\"Unhandled Error\" err={} logger=\"UnhandledError\"",
                Quoted(&text)
            ),
        };
        self.log.error("dynamic_serving_content.go:213", message);
    }
}

fn config(tls: &Tls, options: &Options, pair: &Pair) -> Result<Arc<ServerConfig>, String> {
    let identity = Identity::from_pem(&pair.certificate, &pair.key)?;
    tls::config(tls, identity, &options.serving)
}
