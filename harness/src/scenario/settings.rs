//! Where the settings that govern the time to ready were set.
//!
//! Names are those under which the judge looks them up,
//! `reports::case::setting`. A value is what the file says where it differs
//! from the preset; empty where the preset's settings are too many to show.

use std::rc::Rc;

use super::args::last_value;
use super::changes::Change;
use super::fleet::Fleet;
use super::layers::{ARGS, WITHOUT_ARGS};
use super::model::{Setting, Settings};
use super::source::{Sources, Span};
use super::tree::{Node, overlay};
use super::values::show_duration;

/// Flags that govern readiness, with the default of the binary.
/// Source: metrics-server `cmd/metrics-server/app/options/options.go
/// (*Options).Flags`, `kubelet_client.go AddFlags`.
const FLAGS: [(&str, &str); 4] = [
    ("--metric-resolution", "60s"),
    ("--kubelet-request-timeout", "10s"),
    (
        "--kubelet-preferred-address-types",
        "Hostname,InternalDNS,InternalIP,ExternalDNS,ExternalIP",
    ),
    ("--kubelet-port", "10250"),
];

/// Fields of probes that govern readiness and restarts.
const PROBE_FIELDS: [(&str, &[&str]); 3] = [
    (
        "readinessProbe",
        &[
            "initialDelaySeconds",
            "periodSeconds",
            "timeoutSeconds",
            "successThreshold",
            "failureThreshold",
            "phase",
        ],
    ),
    (
        "livenessProbe",
        &[
            "initialDelaySeconds",
            "periodSeconds",
            "timeoutSeconds",
            "failureThreshold",
        ],
    ),
    (
        "startupProbe",
        &[
            "initialDelaySeconds",
            "periodSeconds",
            "timeoutSeconds",
            "failureThreshold",
        ],
    ),
];

/// Collects the settings of a scenario from its layered tree.
pub(crate) fn settings(
    sources: &Sources,
    merged: &Node,
    fleet: &Fleet,
    changes: &[Change],
) -> Settings {
    let mut collector = Collector {
        sources,
        changes: changes
            .iter()
            .flat_map(|change| change.leaves().into_iter().map(move |leaf| (change, leaf)))
            .collect(),
        settings: Vec::new(),
    };
    collector.server(merged);
    collector.part(merged, "apiServer", "state");
    collector.part(merged, "aggregation", "routing");
    for key in ["apiServers", "service", "authentication", "rbac", "dns"] {
        collector.part(merged, key, "");
    }
    collector.nodes(merged, fleet);
    collector.network(merged);
    collector.actions(merged);
    collector.installers(merged);
    Settings(collector.settings)
}

/// A leaf of a change: path, place, value.
type Leaf = (String, Span, String);

struct Collector<'a> {
    sources: &'a Sources,
    changes: Vec<(&'a Change, Leaf)>,
    settings: Vec<Setting>,
}

impl Collector<'_> {
    fn add(&mut self, name: impl Into<String>, value: impl Into<String>, place: Span) {
        self.settings.push(Setting {
            name: name.into(),
            value: value.into(),
            origin: self.sources.origin(place),
        });
    }

    fn server(&mut self, merged: &Node) {
        let Some(server) = merged.entry("metricsServer") else {
            return;
        };
        let args = server.value.entry(ARGS);
        for (flag, default) in FLAGS {
            match args.and_then(|args| last_value(args.value.items(), flag)) {
                Some((value, place)) => self.add(flag, value, place),
                None => self.settings.push(Setting {
                    name: flag.to_owned(),
                    value: default.to_owned(),
                    origin: "default of metrics-server".to_owned(),
                }),
            }
        }
        if let Some(args) = args {
            let own = args
                .value
                .items()
                .iter()
                .filter(|arg| arg.span.is_in_file());
            let own: Vec<&Node> = own.map(|arg| &**arg).collect();
            let without = server.value.entry(WITHOUT_ARGS);
            let without = without.map_or(&[][..], |without| without.value.items());
            let mut value: Vec<&str> = own.iter().filter_map(|arg| arg.text()).collect();
            for flag in without {
                value.extend(["without"].into_iter().chain(flag.text()));
            }
            let place = own.first().copied().or(without.first().map(|flag| &**flag));
            self.add(
                ARGS,
                value.join(" "),
                place.map_or(args.key_span, |arg| arg.span),
            );
        }
        for (probe, fields) in PROBE_FIELDS {
            let Some(entry) = server.value.entry(probe) else {
                continue;
            };
            let value = if entry.value.is_null() { "none" } else { "" };
            self.add(probe, value, entry.key_span);
            for field in fields.iter().filter_map(|field| entry.value.entry(field)) {
                self.add(
                    format!("{probe}.{}", field.key),
                    field.value.to_flow(),
                    field.key_span,
                );
            }
        }
        self.part(&server.value, "startCost", "");
        self.part(&server.value, "memory", "base");
        for key in [
            "restartPolicy",
            "containerPort",
            "cpu",
            "pod",
            "resources",
            "tolerations",
            "nodeSelector",
            "podAntiAffinity",
            "hostNetwork",
        ] {
            self.part(&server.value, key, "");
        }
    }

    /// A part of the scenario as one setting: what the file says of it, at
    /// the first line that says it; else the value under `shown`, if any.
    fn part(&mut self, parent: &Node, key: &str, shown: &str) {
        let Some(entry) = parent.entry(key) else {
            return;
        };
        let mut said = said_in_file("", entry.key_span, &entry.value);
        said.extend(self.changed(&format!("{key}.")));
        let (value, place) = summary(said).unwrap_or_else(|| {
            let value = if shown.is_empty() {
                entry.value.text()
            } else {
                entry.value.entry(shown).and_then(|e| e.value.text())
            };
            (value.unwrap_or("").to_owned(), entry.key_span)
        });
        self.add(key, value, place);
    }

    /// What changes say of the settings whose path begins with `prefix`.
    fn changed(&self, prefix: &str) -> Vec<(String, Span)> {
        let said = self
            .changes
            .iter()
            .filter_map(|(change, (path, place, value))| {
                let rest = path.strip_prefix(prefix)?;
                Some((format!("{rest}: {value} {}", when(change)), *place))
            });
        said.collect()
    }

    fn nodes(&mut self, merged: &Node, fleet: &Fleet) {
        let Some(nodes) = merged.entry("nodes") else {
            return;
        };
        self.add("nodes", fleet.members().len().to_string(), nodes.key_span);
        let Some(defaults) = merged.entry("nodeDefaults") else {
            return;
        };
        for member in fleet.members() {
            let tree = if member.own.is_null() {
                Rc::clone(&defaults.value)
            } else {
                overlay(&defaults.value, &member.own)
            };
            for key in [
                "kubelet",
                "clock",
                "taints",
                "allocatable",
                "ready",
                "addresses",
            ] {
                let Some(entry) = tree.entry(key) else {
                    continue;
                };
                let mut said = said_in_file("", entry.key_span, &entry.value);
                said.extend(self.changed(&format!("nodeDefaults.{key}.")));
                said.extend(self.changed(&format!("nodes.{}.{key}.", member.group)));
                if member.group != member.name {
                    said.extend(self.changed(&format!("nodes.{}.{key}.", member.name)));
                }
                let (value, place) = summary(said).unwrap_or((String::new(), entry.key_span));
                self.add(format!("nodes.{}.{key}", member.name), value, place);
            }
        }
    }

    fn network(&mut self, merged: &Node) {
        let rules = merged
            .entry("network")
            .map_or(&[][..], |network| network.value.entries());
        for rule in rules.iter().filter(|rule| !rule.value.is_null()) {
            let path = format!("network.{}", rule.key);
            let mut value = rule.value.to_flow();
            for (change, (_, _, new)) in self
                .changes
                .iter()
                .filter(|(_, (changed, ..))| *changed == path)
            {
                value.push_str(&format!(", {new} {}", when(change)));
            }
            self.add(path, value, rule.key_span);
        }
        let new: Vec<(String, Span, String)> =
            self.changes.iter().map(|(_, leaf)| leaf.clone()).collect();
        for (path, place, value) in new {
            let known = self.settings.iter().any(|setting| setting.name == path);
            if path.starts_with("network.") && !known {
                self.add(path, value, place);
            }
        }
    }

    /// How long somebody waits for the installation.
    fn installers(&mut self, merged: &Node) {
        let consumers = merged.entry("consumers");
        let consumers = consumers.map_or(&[][..], |consumers| consumers.value.entries());
        for consumer in consumers {
            if let Some(timeout) = consumer.value.entry("timeout") {
                let name = format!("consumers.{}.timeout", consumer.key);
                self.add(name, timeout.value.to_flow(), timeout.key_span);
            }
        }
    }

    fn actions(&mut self, merged: &Node) {
        let Some(actions) = merged.entry("actions") else {
            return;
        };
        let value: Vec<String> = actions
            .value
            .items()
            .iter()
            .map(|action| action.to_flow())
            .collect();
        self.add("actions", value.join(", "), actions.key_span);
    }
}

/// `from 40s`, `from 40s for 30s`
fn when(change: &Change) -> String {
    let from = format!("from {}", show_duration(change.at));
    match change.lasts {
        Some(lasts) => format!("{from} for {}", show_duration(lasts)),
        None => from,
    }
}

/// The settings below a node that stand in the scenario file.
fn said_in_file(path: &str, place: Span, node: &Node) -> Vec<(String, Span)> {
    if node.is_one_value() {
        let value = node.to_flow();
        let text = if path.is_empty() {
            value
        } else {
            format!("{path}: {value}")
        };
        return if place.is_in_file() {
            vec![(text, place)]
        } else {
            Vec::new()
        };
    }
    let below = node.entries().iter().flat_map(|entry| {
        let path = if path.is_empty() {
            entry.key.to_string()
        } else {
            format!("{path}.{}", entry.key)
        };
        said_in_file(&path, entry.key_span, &entry.value)
    });
    below.collect()
}

/// All that is said, at the place of the first.
fn summary(said: Vec<(String, Span)>) -> Option<(String, Span)> {
    let place = said.first()?.1;
    let texts: Vec<String> = said.into_iter().map(|(text, _)| text).collect();
    Some((texts.join(", "), place))
}
