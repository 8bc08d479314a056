//! The cluster's name server, as the resolver in a pod finds it.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use mocks::script::Script;
use seam::{LookupError, Random};

use crate::faults;
use crate::record::TraceRecorder;
use crate::scenario::model::{Answer, Dns};

/// Domains that are tried before the name itself, in `kube-system` of a
/// cluster with the default domain. Source: `pkg/kubelet/network/dns/dns.go
/// generateSearchesForDNSClusterFirst`.
const SEARCH_DOMAINS: u32 = 3;
/// Names with at least this many dots are tried as they are first. Source:
/// `pkg/kubelet/network/dns/dns.go defaultDNSOptions`.
const NDOTS: usize = 5;
/// How long a query waits. Source: Go `net/dnsconfig_unix.go dnsReadConfig`.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a query that is not answered, or badly, is sent. Source: as
/// above.
const ATTEMPTS: u32 = 2;

/// A name server, and the resolver that asks it.
///
/// DIFFERENCE: Go names both ends of the socket whose read timed out; here the
/// server alone is named.
pub struct Names {
    /// What the server says, over time.
    pub dns: Script<Dns>,
    /// Its address, for error texts.
    pub server: SocketAddr,
    /// Draws how long queries take.
    pub random: RefCell<Box<dyn Random>>,
    /// The machine that asks.
    pub host: String,
    /// Who counts failures.
    pub recorder: Rc<TraceRecorder>,
}

impl Names {
    /// Resolves a name as Go's resolver does.
    ///
    /// # Errors
    ///
    /// What the server says, after as many queries as that takes.
    pub async fn lookup(self: Rc<Self>, name: String) -> Result<Vec<IpAddr>, LookupError> {
        let names = match name.matches('.').count() < NDOTS && !name.ends_with('.') {
            true => SEARCH_DOMAINS + 1,
            false => 1,
        };
        let dns = self.dns.current();
        let latency = dns.latency.sample(&mut **self.random.borrow_mut());
        let record = dns.records.get(name.trim_end_matches('.'));
        let (answer, fault) = match record {
            Some(answer) => (answer.clone(), faults::dns(&name)),
            None => (dns.default.clone(), faults::dns("default")),
        };
        let server = Some(self.server);
        let (takes, answer) = match answer {
            Answer::Addresses(addresses) => (latency * names, Ok(addresses)),
            Answer::NoSuchHost => (latency * names, Err(LookupError::NoSuchHost { server })),
            // Go has the same words for both, and asks again after both.
            // Source: Go `net/dnsclient_unix.go: checkHeader, tryOneName`.
            Answer::ServerFailure | Answer::Refused => (
                latency * names * ATTEMPTS,
                Err(LookupError::ServerFailure { server }),
            ),
            Answer::Timeout => (
                QUERY_TIMEOUT * names * ATTEMPTS,
                Err(LookupError::Timeout { server }),
            ),
        };
        if answer.is_err() {
            self.recorder.fault(&self.host, &fault);
        }
        tokio::time::sleep(takes).await;
        answer
    }
}
