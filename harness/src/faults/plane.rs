//! Faults of the control plane.

use std::collections::BTreeSet;
use std::time::Duration;

use mocks::event::Met;

use super::is_valid;
use crate::scenario::model::{
    Aggregation, ApiServer, ApiServerNode, ApiServerState, Authentication, CaBundle, Clock,
    FrontProxyIssuer, RbacRule, RbacSubject, Scenario, Timeline, Watches,
};

/// The control plane over time, as far as it can be wrong.
#[derive(Debug, Clone)]
pub struct Plane {
    api_servers: Vec<ApiServerNode>,
    aggregation: Timeline<Aggregation>,
    authentication: Timeline<Authentication>,
    rbac: Timeline<Vec<RbacRule>>,
}

/// What can be wrong with each API server.
const OF_A_SERVER: [Met; 6] = [
    Met::ApiServer,
    Met::Trouble,
    Met::FrontProxy,
    Met::AggregatedPaths,
    Met::Watches,
    Met::ServingCertificate,
];

/// What can be wrong with the cluster.
const OF_THE_CLUSTER: [Met; 2] = [Met::CaBundle, Met::AuthenticationConfig];

impl Plane {
    /// That of a scenario.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        Self {
            api_servers: scenario.api_servers.clone(),
            aggregation: scenario.aggregation.clone(),
            authentication: scenario.authentication.clone(),
            rbac: scenario.rbac.clone(),
        }
    }

    /// The fault that whoever meets `what` on the machine `host` at `at` has
    /// met, if there is anything wrong with it then. Pods' own waiting is told
    /// only where it is one.
    #[must_use]
    pub fn met(&self, host: &str, what: Met, at: Duration) -> Option<String> {
        match what {
            Met::Network => return Some(super::NETWORK.to_owned()),
            Met::Image => return Some(super::IMAGE.to_owned()),
            Met::InitContainer => return Some(super::INIT_CONTAINERS.to_owned()),
            _ => {}
        }
        if OF_THE_CLUSTER.contains(&what) {
            return self.is_wrong(what, at).then(|| of_cluster(what).to_owned());
        }
        let server = self.api_servers.iter().find(|server| server.name == host)?;
        self.of_server(server, what, at)
    }

    /// The fault that there is with `what` of a server at `at`.
    fn of_server(&self, server: &ApiServerNode, what: Met, at: Duration) -> Option<String> {
        let own = server.over_time.at(at);
        let is_wrong = match what {
            Met::FrontProxy => self.is_disbelieved(own, at),
            _ => is_server_wrong(own, what, at),
        };
        let is_shared = what == Met::FrontProxy && own.front_proxy.is_none();
        is_wrong.then(|| match is_shared {
            true => "aggregation.frontProxy".to_owned(),
            false => of_server(&server.name, part(what)),
        })
    }

    /// Every fault at some time of a run that lasts `until`.
    pub(super) fn faults(&self, until: Duration) -> BTreeSet<String> {
        let mut faults = BTreeSet::new();
        let times = self.times(until);
        for server in &self.api_servers {
            for what in OF_A_SERVER {
                let found = times
                    .iter()
                    .filter_map(|at| self.of_server(server, what, *at));
                faults.extend(found);
            }
            if server.clock != Clock::default() {
                faults.insert(of_server(&server.name, "clock"));
            }
        }
        for what in OF_THE_CLUSTER {
            if times.iter().any(|at| self.is_wrong(what, *at)) {
                faults.insert(of_cluster(what).to_owned());
            }
        }
        let rules = self.rbac.0.iter().flat_map(|(_, rules)| rules);
        faults.extend(rules.filter_map(denial));
        faults
    }

    /// Times between which nothing becomes wrong or right.
    fn times(&self, until: Duration) -> BTreeSet<Duration> {
        let mut times: BTreeSet<Duration> = BTreeSet::from([Duration::ZERO]);
        let mut dates: Vec<i64> = Vec::new();
        for (at, server) in self.api_servers.iter().flat_map(|one| &one.over_time.0) {
            times.insert(*at);
            dates.extend([
                server.certificate.not_before_ns,
                server.certificate.not_after_ns,
            ]);
            let shown = server.front_proxy.iter();
            dates.extend(shown.flat_map(|shown| [shown.not_before_ns, shown.not_after_ns]));
        }
        for (at, aggregation) in &self.aggregation.0 {
            times.insert(*at);
            let shown = &aggregation.front_proxy;
            dates.extend([shown.not_before_ns, shown.not_after_ns]);
        }
        times.extend(self.authentication.changes());
        let nanosecond = Duration::from_nanos(1);
        let dates = dates
            .into_iter()
            .filter_map(|date| u64::try_from(date).ok());
        times.extend(dates.map(|date| Duration::from_nanos(date) + nanosecond));
        times.into_iter().filter(|at| *at < until).collect()
    }

    fn is_wrong(&self, what: Met, at: Duration) -> bool {
        let aggregation = self.aggregation.at(at);
        match what {
            Met::CaBundle => {
                !aggregation.insecure_skip_tls_verify && aggregation.ca_bundle != CaBundle::Cluster
            }
            Met::AuthenticationConfig => {
                let settings = self.authentication.at(at);
                !settings.present
                    || settings.client_ca != CaBundle::Cluster
                    || settings.request_header_ca != CaBundle::Cluster
                    || self.api_servers.iter().any(|server| {
                        let shown = server.over_time.at(at).front_proxy(aggregation);
                        !self.is_allowed(&shown.common_name, at)
                    })
            }
            _ => false,
        }
    }

    /// Whether extension servers do not believe what a server shows them.
    fn is_disbelieved(&self, server: &ApiServer, at: Duration) -> bool {
        let shown = server.front_proxy(self.aggregation.at(at));
        let dates = (shown.not_before_ns, shown.not_after_ns);
        shown.issuer != FrontProxyIssuer::FrontProxy
            || !is_valid(dates, at, at)
            || !self.is_allowed(&shown.common_name, at)
    }

    /// Whether extension servers believe a front proxy of this name; where no
    /// names are listed, any.
    fn is_allowed(&self, name: &str, at: Duration) -> bool {
        let names = &self.authentication.at(at).allowed_names;
        names.is_empty() || names.iter().any(|allowed| allowed == name)
    }
}

fn is_server_wrong(server: &ApiServer, what: Met, at: Duration) -> bool {
    match what {
        Met::ApiServer => matches!(server.state, ApiServerState::Down | ApiServerState::Hang),
        Met::Trouble => server.trouble.is_some(),
        Met::AggregatedPaths => server.state == ApiServerState::Starting,
        Met::Watches => server.watches != Watches::Served,
        Met::ServingCertificate => {
            let shown = &server.certificate;
            let dates = (shown.not_before_ns, shown.not_after_ns);
            !shown.trusted || shown.ips.is_some() || !is_valid(dates, at, at)
        }
        _ => false,
    }
}

/// The setting of an API server that says what it is like.
fn part(what: Met) -> &'static str {
    match what {
        Met::Watches => "watches",
        Met::ServingCertificate => "certificate",
        Met::Trouble => "status",
        Met::FrontProxy => "frontProxy",
        _ => "state",
    }
}

/// The setting of the cluster that does.
fn of_cluster(what: Met) -> &'static str {
    match what {
        Met::CaBundle => "aggregation.caBundle",
        _ => "authentication",
    }
}

/// `apiServer.state`; `apiServers.a.state` where there are several.
pub(crate) fn of_server(name: &str, setting: &str) -> String {
    match name.strip_prefix("apiserver-") {
        Some(own) => format!("apiServers.{own}.{setting}"),
        None => format!("apiServer.{setting}"),
    }
}

/// The fault that a rule takes a permission away; `None` for one that gives.
#[must_use]
pub fn denial(rule: &RbacRule) -> Option<String> {
    let subject = match rule.subject {
        RbacSubject::MetricsServer => "metrics-server",
        RbacSubject::Hpa => "hpa",
        RbacSubject::Clients => "clients",
        RbacSubject::Anonymous => "anonymous",
    };
    (!rule.allowed).then(|| format!("rbac.{subject}.{}", rule.object))
}
