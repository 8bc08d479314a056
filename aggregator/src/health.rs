//! `/livez`, `/readyz`, `/healthz`.
//!
//! Which checks fail is decided elsewhere; here is what is said about it.
//!
//! Source: apiserver `pkg/server/healthz/healthz.go`; metrics-server
//! `pkg/server/server.go: RegisterProbes`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::api::Reply;
use crate::api::query::Query;
use crate::api::reply::PLAIN_TEXT;
use crate::decode::quote::quote;
use crate::version::ProbeStyle;

/// Never fails.
pub const PING: &str = "ping";
/// Fails while the log cannot be flushed.
pub const LOG: &str = "log";
/// Fails until the request filter runs.
pub const MAX_IN_FLIGHT: &str = "poststarthook/max-in-flight-filter";
/// Fails until the request filter's object counts are there.
pub const OBJECT_COUNT: &str = "poststarthook/storage-object-count-tracker-hook";
/// Fails while the store is not ready.
pub const STORAGE_READY: &str = "metric-storage-ready";
/// Fails while the informers have not synced.
pub const INFORMER_SYNC: &str = "metric-informer-sync";
/// Fails when the last tick began too long ago.
pub const COLLECTION_TIMELY: &str = "metric-collection-timely";
/// Never fails, by a mistake of the original's.
pub const METADATA_SYNC: &str = "metadata-informer-sync";
/// Up to 0.4: fails when the last tick brought no node.
pub const COLLECTION_SUCCESSFUL: &str = "metric-collection-successful";
/// In 0.3: fails when the last tick began too long ago or brought no node.
pub const COLLECTION: &str = "healthz";
/// Fails from the stop signal on.
pub const SHUTDOWN: &str = "shutdown";

/// A group of checks with a path of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/healthz`
    Healthz,
    /// `/livez`
    Livez,
    /// `/readyz`
    Readyz,
}

impl Endpoint {
    /// `/readyz`
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Healthz => "/healthz",
            Self::Livez => "/livez",
            Self::Readyz => "/readyz",
        }
    }

    /// The names of its checks, in the order in which they are printed; `None`
    /// if a release does not serve it.
    #[must_use]
    pub const fn checks(self, style: ProbeStyle) -> Option<&'static [&'static str]> {
        match style {
            ProbeStyle::Storage => Some(self.storage_checks()),
            ProbeStyle::LastTick => Some(match self {
                Self::Healthz => &[PING, LOG, MAX_IN_FLIGHT],
                Self::Livez => &[PING, LOG, MAX_IN_FLIGHT, COLLECTION_TIMELY],
                Self::Readyz => &[PING, LOG, MAX_IN_FLIGHT, COLLECTION_SUCCESSFUL, SHUTDOWN],
            }),
            ProbeStyle::Healthz => match self {
                Self::Healthz => Some(&[PING, MAX_IN_FLIGHT, COLLECTION]),
                Self::Livez | Self::Readyz => None,
            },
        }
    }

    const fn storage_checks(self) -> &'static [&'static str] {
        match self {
            Self::Healthz => &[PING, LOG, MAX_IN_FLIGHT, OBJECT_COUNT, METADATA_SYNC],
            Self::Livez => &[
                PING,
                LOG,
                MAX_IN_FLIGHT,
                OBJECT_COUNT,
                COLLECTION_TIMELY,
                METADATA_SYNC,
            ],
            Self::Readyz => &[
                PING,
                LOG,
                MAX_IN_FLIGHT,
                OBJECT_COUNT,
                STORAGE_READY,
                INFORMER_SYNC,
                METADATA_SYNC,
                SHUTDOWN,
            ],
        }
    }
}

/// One check and how it went just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// `metric-storage-ready`
    pub name: &'static str,
    /// Why it failed; `None` if it passed.
    pub failure: Option<String>,
}

/// Answers `/livez` and its like. `checks` are all of that endpoint, in order.
///
/// `?verbose` shows every check also when all pass; `?exclude=<check>` takes
/// one as passed.
#[must_use]
pub fn respond(endpoint: Endpoint, query: Option<&str>, checks: &[Check]) -> Reply {
    let query = Query::parse(query);
    let mut excluded: BTreeSet<&str> = query.all("exclude").collect();
    let mut failed = false;
    let mut lines = String::new();
    for check in checks {
        let name = check.name;
        let outcome = if excluded.remove(name) {
            format!("[+]{name} excluded: ok")
        } else if check.failure.is_some() {
            failed = true;
            format!("[-]{name} failed: reason withheld")
        } else {
            format!("[+]{name} ok")
        };
        lines.push_str(&outcome);
        lines.push('\n');
    }
    if !excluded.is_empty() {
        let names: Vec<_> = excluded.iter().map(|name| quote(name.as_bytes())).collect();
        let _ = writeln!(
            lines,
            "warn: some health checks cannot be excluded: no matches for {}",
            names.join(",")
        );
    }
    let name = &endpoint.path()[1..];
    let reply = if failed {
        let _ = writeln!(lines, "{name} check failed");
        Reply::new(500, PLAIN_TEXT, lines)
    } else if query.get("verbose").is_some() {
        let _ = writeln!(lines, "{name} check passed");
        Reply::new(200, PLAIN_TEXT, lines)
    } else {
        Reply::new(200, PLAIN_TEXT, "ok")
    };
    reply.with_header("X-Content-Type-Options", "nosniff")
}

/// Answers `/readyz/<check>` and its like.
#[must_use]
pub fn respond_single(check: &Check) -> Reply {
    match &check.failure {
        None => Reply::new(200, PLAIN_TEXT, "ok"),
        Some(failure) => Reply::new(
            500,
            PLAIN_TEXT,
            format!("internal server error: {failure}\n"),
        )
        .with_header("X-Content-Type-Options", "nosniff"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(endpoint: Endpoint, failing: &[&str]) -> Vec<Check> {
        let check = |name: &&'static str| Check {
            name,
            failure: failing
                .contains(name)
                .then(|| "no metrics to serve".to_owned()),
        };
        let checks = endpoint.checks(ProbeStyle::Storage);
        checks.into_iter().flatten().map(check).collect()
    }

    fn check(endpoint: Endpoint, query: Option<&str>, failing: &[&str], status: u16, body: &str) {
        let reply = respond(endpoint, query, &checks(endpoint, failing));
        assert_eq!(reply.status, status);
        assert_eq!(reply.content_type, "text/plain; charset=utf-8");
        assert_eq!(
            reply.headers,
            [("X-Content-Type-Options", "nosniff".to_owned())]
        );
        assert_eq!(std::str::from_utf8(&reply.body), Ok(body));
    }

    #[test]
    fn one_word_when_all_is_well() {
        for endpoint in [Endpoint::Healthz, Endpoint::Livez, Endpoint::Readyz] {
            check(endpoint, None, &[], 200, "ok");
        }
    }

    /// Source: `test/e2e_test.go`.
    #[test]
    fn every_check_when_asked() {
        let livez = "[+]ping ok\n[+]log ok\n[+]poststarthook/max-in-flight-filter ok\n\
            [+]poststarthook/storage-object-count-tracker-hook ok\n[+]metric-collection-timely ok\n\
            [+]metadata-informer-sync ok\nlivez check passed\n";
        check(Endpoint::Livez, Some("verbose"), &[], 200, livez);
        let readyz = "[+]ping ok\n[+]log ok\n[+]poststarthook/max-in-flight-filter ok\n\
            [+]poststarthook/storage-object-count-tracker-hook ok\n[+]metric-storage-ready ok\n\
            [+]metric-informer-sync ok\n[+]metadata-informer-sync ok\n[+]shutdown ok\n\
            readyz check passed\n";
        check(Endpoint::Readyz, Some("verbose=0"), &[], 200, readyz);
        let healthz = "[+]ping ok\n[+]log ok\n[+]poststarthook/max-in-flight-filter ok\n\
            [+]poststarthook/storage-object-count-tracker-hook ok\n[+]metadata-informer-sync ok\n\
            healthz check passed\n";
        check(Endpoint::Healthz, Some("verbose"), &[], 200, healthz);
    }

    #[test]
    fn every_check_when_one_fails_and_no_reasons() {
        let readyz = "[+]ping ok\n[+]log ok\n[+]poststarthook/max-in-flight-filter ok\n\
            [+]poststarthook/storage-object-count-tracker-hook ok\n\
            [-]metric-storage-ready failed: reason withheld\n[+]metric-informer-sync ok\n\
            [+]metadata-informer-sync ok\n[+]shutdown ok\nreadyz check failed\n";
        check(Endpoint::Readyz, None, &[STORAGE_READY], 500, readyz);
    }

    #[test]
    fn excluded_checks_count_as_passed_and_unknown_ones_are_told() {
        check(
            Endpoint::Readyz,
            Some("exclude=metric-storage-ready"),
            &[STORAGE_READY],
            200,
            "ok",
        );
        let livez = "[+]ping excluded: ok\n[+]log ok\n[+]poststarthook/max-in-flight-filter ok\n\
            [+]poststarthook/storage-object-count-tracker-hook ok\n[+]metric-collection-timely ok\n\
            [+]metadata-informer-sync ok\n\
            warn: some health checks cannot be excluded: no matches for \"x\",\"y\"\n\
            livez check passed\n";
        check(
            Endpoint::Livez,
            Some("verbose&exclude=y&exclude=ping&exclude=x"),
            &[],
            200,
            livez,
        );
    }

    #[test]
    fn a_single_check_gives_its_reason() {
        let failed = Check {
            name: STORAGE_READY,
            failure: Some("no metrics to serve".into()),
        };
        let reply = respond_single(&failed);
        assert_eq!(
            (reply.status, &*reply.body),
            (500, &b"internal server error: no metrics to serve\n"[..])
        );
        let passed = respond_single(&Check {
            name: PING,
            failure: None,
        });
        assert_eq!((passed.status, &*passed.body), (200, &b"ok"[..]));
    }
}
