//! The control plane's parts of a scenario as they hold over time: what is
//! laid over them by `changes`, and what is decoded of it.

use std::rc::Rc;
use std::time::Duration;

use super::aggregation;
use super::api_server;
use super::code::Code;
use super::consumers;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::fleet::valid_party_name;
use super::model::{
    Aggregation, ApiServer, ApiServerNode, Authentication, Clock, Consumer, RbacRule, Service,
    Timeline,
};
use super::rbac;
use super::service::{self, Existence};
use super::source::Span;
use super::tree::{Entry, Node, Value, overlay};

/// The keys of a scenario that are read here. All of them can change.
pub(crate) const KEYS: [&str; 7] = [
    "apiServer",
    "apiServers",
    "aggregation",
    "service",
    "authentication",
    "rbac",
    "consumers",
];

/// Each has an address of its own among few.
const MOST_API_SERVERS: usize = 9;

/// The settings in force, as trees.
#[derive(Clone)]
pub(crate) struct State {
    trees: [Rc<Node>; KEYS.len()],
    /// Keys of `apiServers`, each with its place; empty if there is one
    /// server.
    servers: Vec<(String, Span)>,
}

/// Everything of the control plane that varies, as values from each time on;
/// not yet thinned out.
#[derive(Debug, Default)]
pub(crate) struct OverTime {
    servers: Vec<Vec<(Duration, ApiServer)>>,
    clocks: Vec<Vec<(Duration, Clock)>>,
    aggregation: Vec<(Duration, Aggregation)>,
    api_service: Vec<(Duration, Existence)>,
    service: Vec<(Duration, Service)>,
    service_exists: Vec<(Duration, Existence)>,
    authentication: Vec<(Duration, Authentication)>,
    rbac: Vec<(Duration, Vec<RbacRule>)>,
    consumers: Vec<(Duration, Vec<Consumer>)>,
}

/// The control plane's parts of a [`Scenario`](super::model::Scenario).
pub(crate) struct Plane {
    pub(crate) api_servers: Vec<ApiServerNode>,
    pub(crate) aggregation: Timeline<Aggregation>,
    pub(crate) api_service_there: Timeline<bool>,
    pub(crate) service: Timeline<Service>,
    pub(crate) service_there: Timeline<bool>,
    pub(crate) authentication: Timeline<Authentication>,
    pub(crate) rbac: Timeline<Vec<RbacRule>>,
    pub(crate) consumers: Timeline<Vec<Consumer>>,
}

/// Names of `apiServers`.
pub(crate) fn server_names(merged: &Node) -> Vec<String> {
    let servers = merged.entry("apiServers");
    let entries = servers.map_or(&[][..], |servers| servers.value.entries());
    let named = entries.iter().filter(|entry| !entry.value.is_null());
    named.map(|entry| entry.key.to_string()).collect()
}

impl State {
    /// What holds at zero.
    pub(crate) fn new(decoder: &mut Decoder, merged: &Node) -> Self {
        let place = Span::beginning(super::source::SourceId::FILE);
        let nothing = || {
            Rc::new(Node {
                span: place,
                value: Value::Map(Vec::new()),
            })
        };
        let trees = KEYS.map(|key| match merged.entry(key) {
            Some(entry) if !entry.value.is_null() => Rc::clone(&entry.value),
            _ => nothing(),
        });
        let mut servers = Vec::new();
        for entry in trees[1].entries() {
            if !entry.value.is_null() && valid_party_name(decoder, Item::of(entry)) {
                servers.push((entry.key.to_string(), entry.key_span));
            }
        }
        if servers.len() > MOST_API_SERVERS {
            decoder.note(Diagnostic::at(
                Code::BadNumber,
                servers[MOST_API_SERVERS].1,
                format!(
                    "{} API servers are more than {MOST_API_SERVERS}",
                    servers.len()
                ),
                "name fewer: a control plane has three or five",
            ));
            servers.truncate(MOST_API_SERVERS);
        }
        Self { trees, servers }
    }

    /// Lays a change over the settings; `false` if it is about something else.
    pub(crate) fn change(&mut self, decoder: &mut Decoder, entry: &Entry) -> bool {
        let Some(index) = KEYS.iter().position(|key| **key == *entry.key) else {
            return false;
        };
        if index == 1 {
            self.check_servers(decoder, entry);
        }
        self.trees[index] = overlay(&self.trees[index], &entry.value);
        true
    }

    /// The servers of a run are those it begins with.
    fn check_servers(&self, decoder: &mut Decoder, entry: &Entry) {
        for server in entry.value.entries() {
            if self.servers.iter().all(|(name, _)| **name != *server.key) {
                let known = self.servers.iter().map(|(name, _)| name.as_str());
                let name = Rc::new(Node {
                    span: server.key_span,
                    value: Value::Scalar {
                        text: server.key.clone(),
                        quoted: true,
                    },
                });
                let item = Item::named("apiServers", server.key_span, &name);
                decoder.unknown(Code::UnknownName, item, "an API server", known);
            }
        }
    }

    /// Decodes what holds from `at` on, of the parts in `touched`.
    pub(crate) fn decode(
        &self,
        decoder: &mut Decoder,
        at: Duration,
        until: Option<Duration>,
        touched: &[&str],
        result: &mut OverTime,
    ) {
        let is_touched = |key: &str| touched.contains(&key);
        let item = |index: usize| {
            let tree = &self.trees[index];
            Item::named(KEYS[index], Item::root(tree).key_span(), tree)
        };
        if is_touched("apiServer") || is_touched("apiServers") {
            self.decode_servers(decoder, at, until, result);
        }
        if is_touched("aggregation")
            && let Some((read, existence)) = aggregation::aggregation(decoder, item(2), until)
        {
            result.aggregation.push((at, read));
            result.api_service.push((at, existence));
        }
        if is_touched("service")
            && let Some((read, existence)) = service::service(decoder, item(3), until)
        {
            result.service.push((at, read));
            result.service_exists.push((at, existence));
        }
        if is_touched("authentication")
            && let Some(read) = aggregation::authentication(decoder, item(4))
        {
            result.authentication.push((at, read));
        }
        if is_touched("rbac")
            && let Some(read) = rbac::rbac(decoder, item(5))
        {
            result.rbac.push((at, read));
        }
        let names: Vec<String> = self.servers.iter().map(|(name, _)| name.clone()).collect();
        let reader = consumers::Reader {
            api_servers: &names,
            until,
        };
        if is_touched("consumers")
            && let Some(read) = reader.consumers(decoder, item(6))
        {
            result.consumers.push((at, read));
        }
    }

    fn decode_servers(
        &self,
        decoder: &mut Decoder,
        at: Duration,
        until: Option<Duration>,
        result: &mut OverTime,
    ) {
        let shared = &self.trees[0];
        let whole: Vec<(&str, Span, Rc<Node>)> = if self.servers.is_empty() {
            let place = Item::root(shared).key_span();
            vec![(KEYS[0], place, Rc::clone(shared))]
        } else {
            let servers = self.servers.iter();
            servers
                .filter_map(|(name, place)| {
                    let own = &self.trees[1].entry(name)?.value;
                    Some((name.as_str(), *place, overlay(shared, own)))
                })
                .collect()
        };
        result.servers.resize_with(whole.len(), Vec::new);
        result.clocks.resize_with(whole.len(), Vec::new);
        for (index, (name, place, tree)) in whole.iter().enumerate() {
            let item = Item::named(name, *place, tree);
            let Some((server, clock)) = api_server::api_server(decoder, item, until) else {
                continue;
            };
            result.servers[index].push((at, server));
            result.clocks[index].push((at, clock));
        }
    }

    /// All of it, unless something was wrong with what holds at zero.
    pub(crate) fn finish(&self, result: OverTime) -> Option<Plane> {
        let several = !self.servers.is_empty();
        let names = self
            .servers
            .iter()
            .map(|(name, _)| format!("apiserver-{name}"));
        let names: Vec<String> = match several {
            true => names.collect(),
            false => vec!["apiserver".to_owned()],
        };
        if result.clocks.len() != names.len() || result.servers.iter().any(Vec::is_empty) {
            return None;
        }
        let servers = names.into_iter().zip(result.clocks).zip(result.servers);
        let api_servers = servers.map(|((name, clocks), over_time)| ApiServerNode {
            name,
            clock: Clock::over_time(&clocks),
            over_time: Timeline::of_changes(over_time),
        });
        Some(Plane {
            api_servers: api_servers.collect(),
            aggregation: over_time(result.aggregation)?,
            api_service_there: Existence::over_time(&result.api_service)?,
            service: over_time(result.service)?,
            service_there: Existence::over_time(&result.service_exists)?,
            authentication: over_time(result.authentication)?,
            rbac: over_time(result.rbac)?,
            consumers: over_time(result.consumers)?,
        })
    }
}

fn over_time<T: PartialEq>(values: Vec<(Duration, T)>) -> Option<Timeline<T>> {
    let begins = values.first().is_some_and(|(at, _)| at.is_zero());
    begins.then(|| Timeline::of_changes(values))
}
