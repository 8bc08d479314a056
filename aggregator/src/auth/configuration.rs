//! Authorities and header names, from the cluster's ConfigMap or from flags.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use seam::Timestamp;
use serde::Deserialize;

use crate::informer::objects::{Metadata, Object};
use crate::informer::{Resource, Sink};
use crate::klog::{Log, Quoted};
use crate::options::AuthenticationOptions;
use crate::transport::rest::JSON;
use crate::transport::tls::{Tls, certificates};
use crate::transport::x509::{self, Authorities, X509Error};

/// Where the API server says whom it trusts.
pub const CONFIG_MAP_PATH: &str =
    "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";

/// The same as a resource to watch.
///
/// DIFFERENCE: the Go program watches it three times, once for each of its
/// readers.
pub const CONFIG_MAP: Resource = Resource {
    path: "/api/v1/namespaces/kube-system/configmaps",
    field_selector: "metadata.name%3Dextension-apiserver-authentication",
    subject: "configmaps",
    list_accept: JSON,
    watch_accept: JSON,
    type_name: "*v1.ConfigMap",
    name: "k8s.io/apiserver/pkg/server/dynamiccertificates/configmap_cafile_content.go:206",
};

/// Authorities that may sign clients' certificates.
pub struct Bundle {
    authorities: Authorities,
    webpki: Arc<dyn ClientCertVerifier>,
    tls: Tls,
    /// The last chain that verified. A front proxy shows the same one with
    /// every request, and its signatures do not change.
    verified: RefCell<Option<Verified>>,
}

/// A chain that verified, and the time in which it does so again.
struct Verified {
    chain: Vec<CertificateDer<'static>>,
    valid: x509::Validity,
}

/// Why a chain is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified {
    /// Go's text.
    pub text: String,
    /// Of the certificate that it is about; empty if that cannot be read.
    identity: String,
}

impl Unverified {
    fn unnamed(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            identity: String::new(),
        }
    }

    /// The text with the certificate's identity.
    ///
    /// Source: lib: apiserver `pkg/authentication/request/x509/x509.go:
    /// (*Authenticator).AuthenticateRequest`.
    #[must_use]
    pub fn named(self) -> String {
        match self.identity.is_empty() {
            true => self.text,
            false => format!(
                "verifying certificate {} failed: {}",
                self.identity, self.text
            ),
        }
    }
}

impl Bundle {
    /// Reads a bundle; `None` if there is no certificate in it.
    #[must_use]
    pub fn from_pem(pem: &[u8], tls: &Tls) -> Option<Rc<Self>> {
        let authorities = Authorities::new(&certificates(pem));
        let roots = Arc::new(authorities.anchors().clone());
        let webpki = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(tls.provider()))
            .build()
            .ok()?;
        Some(Rc::new(Self {
            authorities,
            webpki,
            tls: tls.clone(),
            verified: RefCell::default(),
        }))
    }

    /// Verifies a client's chain, leaf first.
    ///
    /// Source: lib: apiserver `pkg/authentication/request/x509/x509.go:
    /// (*Verifier).AuthenticateRequest`.
    ///
    /// # Errors
    ///
    /// Go's text, and which certificate it is about.
    pub fn verify(&self, chain: &[CertificateDer<'static>]) -> Result<(), Unverified> {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err(Unverified::unnamed("x509: malformed certificate"));
        };
        let now = self.tls.clock().now();
        if self.is_known(chain, now) {
            return Ok(());
        }
        let certificate = x509::parse(leaf).map_err(|error| Unverified::unnamed(&error.0))?;
        let verdict = x509::check_validity(&certificate, now).and_then(|()| {
            self.authorities
                .verify_chain(leaf, &certificate, intermediates, now, |_| {
                    self.webpki
                        .verify_client_cert(leaf, intermediates, x509::unix_time(now))
                        .map(|_| ())
                })
        });
        verdict.map_err(|X509Error(text)| Unverified {
            text,
            identity: x509::identity(&certificate).to_string(),
        })?;
        self.remember(chain);
        Ok(())
    }

    fn is_known(&self, chain: &[CertificateDer<'static>], now: Timestamp) -> bool {
        let verified = self.verified.borrow();
        verified
            .as_ref()
            .is_some_and(|known| known.chain == chain && known.valid.check(now).is_ok())
    }

    /// Keeps a chain for as long as each of its certificates and all
    /// authorities are valid; the verdict cannot change before.
    fn remember(&self, chain: &[CertificateDer<'static>]) {
        let parsed = chain.iter().map(|der| x509::parse(der));
        let own: Result<Vec<_>, _> = parsed
            .map(|certificate| certificate.map(|parsed| x509::Validity::of(&parsed)))
            .collect();
        if let Ok(own) = own {
            let valid = own
                .into_iter()
                .fold(self.authorities.validity(), x509::Validity::and);
            let chain = chain.to_vec();
            *self.verified.borrow_mut() = Some(Verified { chain, valid });
        }
    }
}

/// Which headers a trusted proxy may use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderNames {
    /// With the user's name; the first that is present counts.
    pub username: Vec<String>,
    /// With the user's UID; the first that is present counts.
    pub uid: Vec<String>,
    /// With a group each.
    pub group: Vec<String>,
    /// Prefixes of names with further facts.
    pub extra_prefix: Vec<String>,
    /// Common names of trusted proxies; any if empty.
    pub allowed_names: Vec<String>,
}

/// What decides about certificates and proxies now. It follows the ConfigMap;
/// what was known stays known when the ConfigMap loses it.
pub struct Configuration {
    tls: Tls,
    follows_client_ca: bool,
    follows_request_header: bool,
    client_ca: RefCell<Option<Rc<Bundle>>>,
    request_header_ca: RefCell<Option<Rc<Bundle>>>,
    headers: RefCell<Rc<HeaderNames>>,
}

impl Configuration {
    /// The configuration of the flags. `read` reads a file.
    ///
    /// Source: lib: apiserver `pkg/server/options/authentication.go:
    /// (*DelegatingAuthenticationOptions).ApplyTo`.
    ///
    /// # Errors
    ///
    /// If a bundle is named and not there.
    pub fn from_flags(
        options: &AuthenticationOptions,
        tls: &Tls,
        read: impl Fn(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Rc<Self>, String> {
        let bundle = |path: &str| -> Result<Option<Rc<Bundle>>, String> {
            if path.is_empty() {
                return Ok(None);
            }
            let missing = || format!("missing content for CA bundle {}", Quoted(path));
            Bundle::from_pem(&read(path)?, tls)
                .ok_or_else(missing)
                .map(Some)
        };
        let client_ca = bundle(&options.client_ca_file)
            .map_err(|error| format!("unable to load client CA provider: {error}"))?;
        let request_header_ca = bundle(&options.request_header_ca_file).map_err(|error| {
            format!("unable to create request header authentication config: {error}")
        })?;
        let follows_request_header = !options.skip_lookup && request_header_ca.is_none();
        let headers = if follows_request_header {
            HeaderNames::default()
        } else {
            HeaderNames::from_flags(options)
        };
        Ok(Rc::new(Self {
            follows_client_ca: !options.skip_lookup && client_ca.is_none(),
            follows_request_header,
            tls: tls.clone(),
            client_ca: RefCell::new(client_ca),
            request_header_ca: RefCell::new(request_header_ca),
            headers: RefCell::new(Rc::new(headers)),
        }))
    }

    /// Whether the ConfigMap is of interest at all.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.follows_client_ca || self.follows_request_header
    }

    /// Whether start-up has to read the ConfigMap.
    #[must_use]
    pub fn needs_lookup(&self) -> bool {
        self.follows_request_header
    }

    /// Authorities of clients, if known.
    #[must_use]
    pub fn client_ca(&self) -> Option<Rc<Bundle>> {
        self.client_ca.borrow().clone()
    }

    /// Authorities of trusted proxies, if known.
    #[must_use]
    pub fn request_header_ca(&self) -> Option<Rc<Bundle>> {
        self.request_header_ca.borrow().clone()
    }

    /// What a trusted proxy may use.
    #[must_use]
    pub fn headers(&self) -> Rc<HeaderNames> {
        Rc::clone(&self.headers.borrow())
    }

    /// Takes over what the ConfigMap says.
    ///
    /// Source: lib: apiserver `pkg/authentication/request/headerrequest/
    /// requestheader_controller.go: syncConfigMap`; `pkg/server/
    /// dynamiccertificates/configmap_cafile_content.go: loadCABundle`.
    ///
    /// Returns the keys that should hold authorities and do not.
    ///
    /// # Errors
    ///
    /// If its lists are no JSON; then the headers stay as they were.
    pub fn update(&self, data: &BTreeMap<String, String>) -> Result<Vec<&'static str>, String> {
        let mut missing = Vec::new();
        let mut follow = |bundle: &RefCell<Option<Rc<Bundle>>>, key: &'static str| {
            let pem = data.get(key).map_or("", String::as_str);
            match Bundle::from_pem(pem.as_bytes(), &self.tls) {
                Some(fresh) => *bundle.borrow_mut() = Some(fresh),
                None => missing.push(key),
            }
        };
        if self.follows_client_ca {
            follow(&self.client_ca, "client-ca-file");
        }
        if self.follows_request_header {
            follow(&self.request_header_ca, "requestheader-client-ca-file");
            *self.headers.borrow_mut() = Rc::new(HeaderNames::from_config_map(data)?);
        }
        Ok(missing)
    }
}

impl HeaderNames {
    fn from_config_map(data: &BTreeMap<String, String>) -> Result<Self, String> {
        let list = |key: &str| match data.get(key) {
            Some(text) if !text.is_empty() => {
                serde_json::from_str(text).map_err(|error| error.to_string())
            }
            _ => Ok(Vec::new()),
        };
        Ok(Self {
            username: list("requestheader-username-headers")?,
            uid: list("requestheader-uid-headers")?,
            group: list("requestheader-group-headers")?,
            extra_prefix: list("requestheader-extra-headers-prefix")?,
            allowed_names: list("requestheader-allowed-names")?,
        })
    }

    fn from_flags(options: &AuthenticationOptions) -> Self {
        Self {
            username: options.username_headers.clone(),
            uid: options.uid_headers.clone(),
            group: options.group_headers.clone(),
            extra_prefix: options.extra_header_prefixes.clone(),
            allowed_names: options.request_header_allowed_names.clone(),
        }
    }
}

/// The ConfigMap as it arrives.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ConfigMap {
    /// The metadata.
    pub metadata: Metadata,
    /// Its content.
    pub data: Option<BTreeMap<String, String>>,
}

impl Object for ConfigMap {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// Passes the ConfigMap on to a [`Configuration`].
pub struct ConfigMapSink {
    /// Who wants to know.
    pub configuration: Rc<Configuration>,
    /// Where errors go.
    pub log: Log,
    /// Done once, when the ConfigMap was first listed.
    pub on_sync: RefCell<Option<Box<dyn FnOnce()>>>,
}

impl Sink for ConfigMapSink {
    type Object = ConfigMap;

    fn replace(&self, objects: Vec<ConfigMap>) {
        for object in objects {
            self.upsert(object);
        }
        let first = self.on_sync.borrow_mut().take();
        if let Some(act) = first {
            act();
        }
    }

    fn upsert(&self, object: ConfigMap) {
        match self.configuration.update(&object.data.unwrap_or_default()) {
            Ok(missing) => missing.iter().for_each(|key| self.log_missing(key)),
            Err(error) => self.log.error(
                "requestheader_controller.go:235",
                format!("key failed with : {error}"),
            ),
        }
    }

    fn delete(&self, _metadata: &Metadata) {}
}

impl ConfigMapSink {
    fn log_missing(&self, key: &str) {
        let name = format!("client-ca::kube-system::extension-apiserver-authentication::{key}");
        let error = format!(
            "key failed with : missing content for CA bundle {}",
            Quoted(&name)
        );
        let message = format!(
            "\"Unhandled Error\" err={} logger=\"UnhandledError\"",
            Quoted(&error)
        );
        self.log.error("configmap_cafile_content.go:258", message);
    }
}
