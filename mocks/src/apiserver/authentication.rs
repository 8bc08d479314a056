//! Who a request is from: client certificates and bearer tokens.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use seam::Timestamp;

use super::rbac::User;
use crate::http_server::Request;

/// A bearer token and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The token, without `Bearer `.
    pub token: String,
    /// Whose it is.
    pub user: User,
    /// From when on it is valid, by the API server's clock.
    pub not_before: Option<Timestamp>,
    /// Until when, likewise.
    pub expires: Option<Timestamp>,
}

/// How far clocks may be apart when tokens are judged.
///
/// Source: go-jose `jwt/validation.go: DefaultLeeway`.
const LEEWAY: Duration = Duration::from_secs(60);

/// Finds out who asks.
pub(crate) struct Authenticator {
    verifier: Arc<dyn ClientCertVerifier>,
    tokens: BTreeMap<String, Token>,
    /// Certificates verified before, by their bytes.
    verified: RefCell<BTreeMap<Vec<u8>, Verified>>,
}

#[derive(Clone)]
struct Verified {
    user: User,
    not_before: i64,
    not_after: i64,
}

/// Credentials were shown and were not good: HTTP 401. Why is the server's
/// secret, except in a TokenReview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejected(pub(crate) String);

impl Authenticator {
    /// Believes certificates of `client_ca` and these tokens.
    pub(crate) fn new(client_ca: CertificateDer<'static>, tokens: Vec<Token>) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(client_ca)
            .expect("an authority of ours is well-formed");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .expect("there is one authority and no revocation list");
        Self {
            verifier,
            tokens: tokens
                .into_iter()
                .map(|token| (token.token.clone(), token))
                .collect(),
            verified: RefCell::default(),
        }
    }

    /// Who sent the request: by certificate, else by token, else nobody in
    /// particular. A certificate that is not believed does not spoil a token
    /// that is.
    pub(crate) fn authenticate(&self, request: &Request, now: Timestamp) -> Result<User, Rejected> {
        let by_certificate = request
            .client_certificate
            .as_ref()
            .map(|certificate| self.by_certificate(certificate, now));
        if let Some(Ok(user)) = by_certificate {
            return Ok(user);
        }
        let header = request.headers.get(header::AUTHORIZATION);
        let token = header
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        match (token, by_certificate) {
            (Some(token), _) => self.by_token(token, now),
            (None, Some(rejected)) => rejected,
            (None, None) => Ok(User::anonymous()),
        }
    }

    /// Whose token it is.
    ///
    /// Source: `pkg/serviceaccount/claims.go: Validate` for the texts.
    pub(crate) fn by_token(&self, token: &str, now: Timestamp) -> Result<User, Rejected> {
        let known = self.tokens.get(token);
        let known = known.ok_or_else(|| Rejected("invalid bearer token".to_owned()))?;
        let expired = |expires: Timestamp| now > expires.after(LEEWAY);
        let early = |not_before: Timestamp| now.after(LEEWAY) < not_before;
        let problem = if known.expires.is_some_and(expired) {
            "service account token has expired"
        } else if known.not_before.is_some_and(early) {
            "service account token is not valid yet"
        } else {
            return Ok(known.user.clone());
        };
        Err(Rejected(format!("[invalid bearer token, {problem}]")))
    }

    fn by_certificate(
        &self,
        certificate: &CertificateDer<'static>,
        now: Timestamp,
    ) -> Result<User, Rejected> {
        let seconds = now.as_seconds();
        let known = self.verified.borrow().get(certificate.as_ref()).cloned();
        if let Some(known) = known
            && (known.not_before..=known.not_after).contains(&seconds)
        {
            return Ok(known.user);
        }
        let since_epoch = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        self.verifier
            .verify_client_cert(certificate, &[], UnixTime::since_unix_epoch(since_epoch))
            .map_err(|error| Rejected(error.to_string()))?;
        let verified = read_subject(certificate)
            .ok_or_else(|| Rejected("the certificate has no readable subject".to_owned()))?;
        let user = verified.user.clone();
        self.verified
            .borrow_mut()
            .insert(certificate.to_vec(), verified);
        Ok(user)
    }
}

/// The common name is the user, organizations are the groups.
///
/// Source: apiserver `pkg/authentication/request/x509/x509.go:
/// CommonNameUserConversion`.
fn read_subject(certificate: &[u8]) -> Option<Verified> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    let groups: Vec<&str> = subject
        .iter_organization()
        .filter_map(|organization| organization.as_str().ok())
        .collect();
    Some(Verified {
        user: User::new(name, &groups),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Authority, Leaf, Usage};

    const DAY: Duration = Duration::from_secs(86_400);

    fn authority(seed: &str, start: Timestamp) -> Authority {
        Authority::new(seed, "ca", start, start.after(365 * DAY))
    }

    fn request(certificate: Option<CertificateDer<'static>>, token: Option<&str>) -> Request {
        let mut headers = http::HeaderMap::new();
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().expect("one line");
            headers.insert(header::AUTHORIZATION, value);
        }
        Request {
            method: http::Method::GET,
            path: "/".to_owned(),
            query: None,
            headers,
            body: bytes::Bytes::new(),
            peer: ([127, 0, 0, 1], 1).into(),
            client_certificate: certificate,
        }
    }

    fn certificate(authority: &Authority, start: Timestamp) -> CertificateDer<'static> {
        let leaf = Leaf {
            seed: "leaf".to_owned(),
            common_name: "kubelet".to_owned(),
            organizations: vec!["system:nodes".to_owned()],
            dns: Vec::new(),
            ips: Vec::new(),
            not_before: start,
            not_after: start.after(DAY),
            usage: Usage::Client,
        };
        authority.issue(&leaf).chain()[0].clone()
    }

    fn authenticator(start: Timestamp) -> Authenticator {
        let token = Token {
            token: "t".to_owned(),
            user: User::service_account("kube-system", "metrics-server"),
            not_before: Some(start),
            expires: Some(start.after(DAY)),
        };
        Authenticator::new(authority("ours", start).certificate(), vec![token])
    }

    #[test]
    fn certificates_are_believed_while_they_are_valid() {
        let start = Timestamp::from_seconds(1_700_000_000);
        let authenticator = authenticator(start);
        let certificate = certificate(&authority("ours", start), start);
        let ask = |at| authenticator.authenticate(&request(Some(certificate.clone()), None), at);
        let user = ask(start.after(DAY / 2)).expect("valid");
        assert_eq!(user.name, "kubelet");
        assert_eq!(user.groups, ["system:nodes", "system:authenticated"]);
        assert!(
            ask(start.after(DAY / 2)).is_ok(),
            "the second time from memory"
        );
        assert!(ask(start.after(2 * DAY)).is_err(), "expired");
    }

    #[test]
    fn a_foreign_certificate_is_rejected_unless_a_token_helps() {
        let start = Timestamp::from_seconds(1_700_000_000);
        let authenticator = authenticator(start);
        let foreign = certificate(&authority("theirs", start), start);
        let ask = |token| {
            let request = request(Some(foreign.clone()), token);
            authenticator.authenticate(&request, start.after(DAY / 2))
        };
        assert!(ask(None).is_err());
        let user = ask(Some("t")).expect("the token is good");
        assert_eq!(
            user.name,
            "system:serviceaccount:kube-system:metrics-server"
        );
    }

    #[test]
    fn tokens_are_judged_by_the_servers_clock_with_a_minute_of_leeway() {
        let start = Timestamp::from_seconds(1_700_000_000);
        let authenticator = authenticator(start);
        let ask = |at| authenticator.by_token("t", at);
        assert!(ask(start.offset(-59_000_000_000)).is_ok());
        let early = ask(start.offset(-61_000_000_000)).expect_err("not valid yet");
        assert!(early.0.contains("not valid yet"), "{}", early.0);
        let late = ask(start.after(DAY + DAY)).expect_err("expired");
        assert!(late.0.contains("has expired"), "{}", late.0);
    }

    #[test]
    fn who_shows_nothing_is_anonymous_and_a_bad_token_is_not() {
        let authenticator = authenticator(Timestamp::EPOCH);
        let ask = |token| authenticator.authenticate(&request(None, token), Timestamp::EPOCH);
        assert_eq!(ask(None), Ok(User::anonymous()));
        assert!(ask(Some("x")).is_err());
    }
}
