//! Who is asking.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, header};
use rustls::pki_types::CertificateDer;

use super::User;
use super::cache::ExpiringCache;
use super::configuration::Configuration;
use super::request_header;
use super::review::Reviewer;
use crate::transport::x509;
use crate::version::Version;

/// Tokens remembered at a time.
const MAX_TOKENS: usize = 4096;

/// Finds out who sent a request.
pub struct Authenticator {
    version: Version,
    configuration: Rc<Configuration>,
    reviewer: Option<Reviewer>,
    token_ttl: Duration,
    tokens: RefCell<ExpiringCache<String, Option<User>>>,
}

impl Authenticator {
    /// An authenticator that asks `reviewer` about tokens, if there is one.
    #[must_use]
    pub fn new(
        version: Version,
        configuration: Rc<Configuration>,
        reviewer: Option<Reviewer>,
        token_ttl: Duration,
    ) -> Self {
        Self {
            version,
            configuration,
            reviewer,
            token_ttl,
            tokens: RefCell::new(ExpiringCache::new(MAX_TOKENS)),
        }
    }

    /// Who sent these headers over a connection with this client certificate.
    /// The first way that finds a user counts; a failure of one way counts
    /// only if no other finds one.
    ///
    /// Source: lib: apiserver `pkg/authentication/authenticatorfactory/
    /// delegating.go: New`; `pkg/authentication/request/union/union.go`.
    ///
    /// # Errors
    ///
    /// What the request is answered 401 for.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        certificates: Option<&[CertificateDer<'static>]>,
    ) -> Result<User, String> {
        let mut errors = Vec::new();
        if let Some(chain) = certificates.filter(|chain| !chain.is_empty()) {
            for found in [self.by_proxy(headers, chain), self.by_certificate(chain)] {
                match found {
                    Ok(Some(user)) => return Ok(user.authenticated()),
                    Ok(None) => {}
                    Err(error) => errors.push(error),
                }
            }
        }
        match self.by_token(headers).await {
            Ok(Some(user)) => return Ok(user.authenticated()),
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
        // Source: apimachinery `pkg/util/errors/errors.go (aggregate).Error`;
        // up to 1.15 it says again what it has said.
        if self.version.says_errors_once() {
            errors.dedup();
        }
        match errors.as_slice() {
            [] => Ok(User::anonymous()),
            [error] => Err(error.clone()),
            errors => Err(format!("[{}]", errors.join(", "))),
        }
    }

    fn by_proxy(
        &self,
        headers: &HeaderMap,
        chain: &[CertificateDer<'static>],
    ) -> Result<Option<User>, String> {
        let Some(bundle) = self.configuration.request_header_ca() else {
            return Ok(None);
        };
        bundle.verify(chain).map_err(|error| error.text)?;
        let names = self.configuration.headers();
        let (common_name, _) = subject(chain)?;
        request_header::check_proxy(&common_name, &names)?;
        Ok(request_header::user(headers, &names))
    }

    /// Source: lib: apiserver `pkg/authentication/request/x509/x509.go:
    /// CommonNameUserConversion`.
    fn by_certificate(&self, chain: &[CertificateDer<'static>]) -> Result<Option<User>, String> {
        let Some(bundle) = self.configuration.client_ca() else {
            return Ok(None);
        };
        let names_it = self.version.names_unverified_certificates();
        bundle.verify(chain).map_err(|error| match names_it {
            true => error.named(),
            false => error.text,
        })?;
        let (name, groups) = subject(chain)?;
        Ok((!name.is_empty()).then(|| User {
            name,
            groups,
            ..User::default()
        }))
    }

    /// Source: lib: apiserver `pkg/authentication/request/bearertoken/
    /// bearertoken.go`; `pkg/authentication/token/cache/
    /// cached_token_authenticator.go`.
    async fn by_token(&self, headers: &HeaderMap) -> Result<Option<User>, String> {
        let Some(reviewer) = &self.reviewer else {
            return Ok(None);
        };
        let value = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("");
        let token = match value.trim().split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim_start(),
            _ => return Ok(None),
        };
        if token.is_empty() {
            return Ok(None);
        }
        let known = self.tokens.borrow().get(&token.to_owned());
        let user = match known {
            Some(user) => user,
            None => {
                let user = reviewer.token(token).await?;
                self.tokens
                    .borrow_mut()
                    .insert(token.to_owned(), user.clone(), self.token_ttl);
                user
            }
        };
        match user {
            Some(user) => Ok(Some(user)),
            None => Err("invalid bearer token".to_owned()),
        }
    }
}

/// Common name and organizations of a leaf.
fn subject(chain: &[CertificateDer<'static>]) -> Result<(String, Vec<String>), String> {
    let leaf = chain.first().ok_or("x509: malformed certificate")?;
    let certificate = x509::parse(leaf).map_err(|error| error.0)?;
    let subject = certificate.subject();
    let name = subject
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok())
        .unwrap_or("");
    let groups = subject
        .iter_organization()
        .filter_map(|group| group.as_str().ok().map(str::to_owned));
    Ok((name.to_owned(), groups.collect()))
}
