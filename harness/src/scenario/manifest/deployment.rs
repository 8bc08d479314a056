//! A Deployment → `metricsServer`.

use std::rc::Rc;

use super::super::args::{flags, last_value};
use super::super::files::SERVICE_ACCOUNT;
use super::super::security::SECURITY_CONTEXT;
use super::super::source::Span;
use super::super::tree::{Entry, Node, Value};
use super::build::{entry, list, mapping, null, others, renamed, scalar};
use super::objects::{Found, text};

/// Numbers of a probe. Source: `k8s.io/api/core/v1 Probe`.
const PROBE_NUMBERS: [&str; 5] = [
    "initialDelaySeconds",
    "periodSeconds",
    "timeoutSeconds",
    "successThreshold",
    "failureThreshold",
];

/// What decides where a pod runs, and whether it may stay there.
const PLACEMENT: [&str; 3] = ["priorityClassName", "nodeSelector", "tolerations"];

/// Source: `k8s.io/api/policy/v1 PodDisruptionBudgetSpec`.
const BUDGET_AMOUNTS: [&str; 2] = ["minAvailable", "maxUnavailable"];

/// What `kubectl get` shows and nobody chose, or what has no bearing on a
/// start.
const OF_NO_ACCOUNT: [&str; 8] = [
    "selector",
    "revisionHistoryLimit",
    "metadata",
    "schedulerName",
    "serviceAccount",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "imagePullPolicy",
];

/// Flags whose values are paths of files.
const OF_FILES: [&str; 10] = [
    "--kubeconfig",
    "--authentication-kubeconfig",
    "--authorization-kubeconfig",
    "--client-ca-file",
    "--kubelet-certificate-authority",
    "--kubelet-client-certificate",
    "--kubelet-client-key",
    "--requestheader-client-ca-file",
    "--tls-cert-file",
    "--tls-private-key-file",
];

/// The settings, and in `notes` what is left out.
pub(super) fn metrics_server(found: &Found, notes: &mut Vec<String>) -> Rc<Node> {
    let place = found.deployment.place;
    let mut translation = Translation {
        entries: Vec::new(),
        left_out: Vec::new(),
        place,
    };
    let nothing = null(place);
    let part = |path: &[&str]| {
        let entry = found.deployment.node.path(path);
        entry.map_or_else(|| Rc::clone(&nothing), |entry| Rc::clone(&entry.value))
    };
    let container = Rc::clone(&found.deployment.containers()[found.container]);
    translation.deployment(&part(&["spec"]));
    translation.pod(&part(&["spec", "template", "spec"]), found.container);
    translation.container(&container);
    let budget = found.budget.as_ref().map(|budget| {
        let spec = budget.node.entry("spec").map(|spec| &spec.value);
        let amounts = spec.map_or(&[][..], |spec| spec.entries()).iter();
        let is_amount = |entry: &&Entry| BUDGET_AMOUNTS.contains(&&*entry.key);
        mapping(budget.place, amounts.filter(is_amount).cloned().collect())
    });
    let budget = budget.unwrap_or_else(|| null(place));
    translation
        .entries
        .push(entry("podDisruptionBudget", budget.span, budget));
    if !translation.left_out.is_empty() {
        notes.push(format!(
            "{}: not modelled: {}",
            found.deployment.shown(),
            translation.left_out.join(", ")
        ));
    }
    let files = translation.files();
    if !files.is_empty() {
        notes.push(format!(
            "{}: what files hold is said in `metricsServer.files`: {}",
            found.deployment.shown(),
            files.join(", ")
        ));
    }
    mapping(place, translation.entries)
}

struct Translation {
    entries: Vec<Entry>,
    left_out: Vec<String>,
    place: Span,
}

impl Translation {
    /// Takes an entry under its own name, if it is there.
    fn take_entry(&mut self, node: &Node, key: &str) {
        if let Some(found) = node.entry(key) {
            let value = Rc::clone(&found.value);
            self.entries.push(entry(key, found.key_span, value));
        }
    }

    fn leave_out(&mut self, node: &Node, path: &str, known: &[&str]) {
        let known: Vec<&str> = known.iter().chain(&OF_NO_ACCOUNT).copied().collect();
        self.left_out.extend(others(node, path, &known));
    }

    fn deployment(&mut self, spec: &Node) {
        for key in ["replicas", "progressDeadlineSeconds"] {
            self.entries.push(renamed(spec, key, key, self.place));
        }
        let strategy = self.strategy(spec);
        self.entries.push(strategy);
        let known = [
            "replicas",
            "strategy",
            "progressDeadlineSeconds",
            "template",
        ];
        self.leave_out(spec, "", &known);
    }

    /// The strategy as a whole: what it does not say is Kubernetes' default.
    fn strategy(&self, spec: &Node) -> Entry {
        let Some(found) = spec
            .entry("strategy")
            .filter(|entry| !entry.value.is_null())
        else {
            return entry("strategy", self.place, null(self.place));
        };
        let place = found.key_span;
        let strategy = &found.value;
        let mut entries = vec![renamed(strategy, "type", "type", place)];
        entries.push(match strategy.entry("rollingUpdate") {
            Some(rolling) if !rolling.value.is_null() => {
                let limits = ["maxUnavailable", "maxSurge"];
                let limits = limits.map(|key| renamed(&rolling.value, key, key, rolling.key_span));
                let limits = mapping(rolling.value.span, limits.to_vec());
                entry("rollingUpdate", rolling.key_span, limits)
            }
            _ => entry("rollingUpdate", place, null(place)),
        });
        entry("strategy", place, mapping(strategy.span, entries))
    }

    fn pod(&mut self, spec: &Node, container: usize) {
        let place = self.place;
        let host_network = spec
            .entry("hostNetwork")
            .filter(|entry| !entry.value.is_null());
        let (at, value) = match host_network {
            Some(found) => (found.key_span, Rc::clone(&found.value)),
            None => (place, scalar(place, "false")),
        };
        self.entries.push(entry("hostNetwork", at, value));
        for key in ["terminationGracePeriodSeconds", "restartPolicy"] {
            self.take_entry(spec, key);
        }
        for key in PLACEMENT {
            self.entries.push(renamed(spec, key, key, place));
        }
        let known = [
            "hostNetwork",
            "terminationGracePeriodSeconds",
            "restartPolicy",
            "containers",
        ];
        let usual = ["dnsPolicy"].into_iter();
        let usual = usual.filter(|key| text(spec, &[key]) == "ClusterFirst");
        let affinity = self.affinity(spec);
        let usual = usual.chain(affinity.then_some("affinity"));
        let usual = usual.chain(PLACEMENT);
        let known: Vec<&str> = known.into_iter().chain(usual).collect();
        self.leave_out(spec, "", &known);
        let containers = spec.entry("containers");
        let containers = containers.map_or(&[][..], |entry| entry.value.items());
        for (_, other) in containers
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != container)
        {
            self.left_out
                .push(format!("container {}", text(other, &["name"])));
        }
    }

    /// Takes the one affinity that the language has; whether that was all.
    fn affinity(&mut self, spec: &Node) -> bool {
        let Some(affinity) = spec.entry("affinity") else {
            return false;
        };
        let path = [
            "podAntiAffinity",
            "requiredDuringSchedulingIgnoredDuringExecution",
        ];
        let required = affinity.value.path(&path);
        let terms = required.map_or(&[][..], |required| required.value.items());
        let by_host = |term: &Rc<Node>| text(term, &["topologyKey"]) == "kubernetes.io/hostname";
        if !terms.iter().any(by_host) {
            return false;
        }
        let value = scalar(affinity.value.span, "required");
        self.entries
            .push(entry("podAntiAffinity", affinity.key_span, value));
        let others = affinity.value.entries().len() + terms.len();
        others == 2
    }

    fn container(&mut self, container: &Node) {
        self.version(container);
        self.args(container);
        for probe in ["readinessProbe", "livenessProbe", "startupProbe"] {
            self.probe(container, probe);
        }
        self.port(container);
        self.resources(container);
        self.security(container);
        let known = [
            "name",
            "image",
            "args",
            "command",
            "ports",
            "resources",
            "readinessProbe",
            "livenessProbe",
            "startupProbe",
            "securityContext",
        ];
        self.leave_out(container, "", &known);
    }

    fn given_args(&self) -> &[Rc<Node>] {
        let args = self.entries.iter().find(|entry| &*entry.key == "args");
        args.map_or(&[][..], |args| args.value.items())
    }

    /// The files that arguments name, apart from the service account's.
    fn files(&self) -> Vec<&str> {
        let named = flags(self.given_args()).into_iter();
        let named = named.filter(|(flag, ..)| OF_FILES.contains(flag));
        let paths = named.map(|(_, path, _)| path);
        paths
            .filter(|path| !path.starts_with(SERVICE_ACCOUNT))
            .collect()
    }

    /// The port named `https`, else the first one, unless it is the one that
    /// the arguments say anyway.
    fn port(&mut self, container: &Node) {
        let ports = container.entry("ports");
        let ports = ports.map_or(&[][..], |ports| ports.value.items());
        let named = ports.iter().find(|port| text(port, &["name"]) == "https");
        let port = named.or(ports.first());
        let Some(port) = port.and_then(|port| port.entry("containerPort")) else {
            return;
        };
        let secure = last_value(self.given_args(), "--secure-port").map(|(port, _)| port);
        if secure != port.value.text() {
            let value = Rc::clone(&port.value);
            self.entries
                .push(entry("containerPort", port.key_span, value));
        }
    }

    /// Requests and limits of CPU and memory; the usual requests go without
    /// saying.
    fn resources(&mut self, container: &Node) {
        let nothing = null(container.span);
        let found = container.entry("resources");
        let resources = found.map_or(&nothing, |entry| &entry.value);
        let place = found.map_or(self.place, |entry| entry.key_span);
        let amounts = |kind: &str| -> Vec<Entry> {
            let path = |key: &str| resources.path(&[kind, key]).cloned();
            ["cpu", "memory"].into_iter().filter_map(path).collect()
        };
        let (mut requests, limits) = (amounts("requests"), amounts("limits"));
        let usual = ["100m", "200Mi"].map(Some);
        let is_usual = requests.iter().map(|entry| entry.value.text()).eq(usual);
        // A limit without a request is one. Source: `pkg/apis/core/v1/
        // defaults.go SetDefaults_Pod`.
        for limit in &limits {
            if requests.iter().all(|request| request.key != limit.key) {
                requests.push(limit.clone());
            }
        }
        let mut entries = Vec::new();
        if !is_usual {
            entries.push(entry("requests", place, mapping(place, requests)));
        }
        if !limits.is_empty() {
            entries.push(entry("limits", place, mapping(place, limits)));
        }
        if !entries.is_empty() {
            let value = mapping(place, entries);
            self.entries.push(entry("resources", place, value));
        }
        let known = ["requests", "limits"];
        self.left_out
            .extend(others(resources, "resources.", &known));
    }

    /// Only what may keep the process from starting: the rest of it, and that of
    /// the pod, is told to be left out.
    fn security(&mut self, container: &Node) {
        let Some(context) = container.entry("securityContext") else {
            return;
        };
        let known: Vec<&str> = SECURITY_CONTEXT.names().collect();
        let found = known.iter().filter_map(|key| context.value.entry(key));
        let found: Vec<Entry> = found.cloned().collect();
        if !found.is_empty() {
            let value = mapping(context.value.span, found);
            self.entries
                .push(entry("securityContext", context.key_span, value));
        }
        let left_out = others(&context.value, "securityContext.", &known);
        self.left_out.extend(left_out);
    }

    /// The image's tag names the release, where it does.
    fn version(&mut self, container: &Node) {
        let Some(image) = container.entry("image") else {
            return;
        };
        let text = image.value.text().unwrap_or("");
        let without_digest = text.split('@').next().unwrap_or(text);
        let last = without_digest.rsplit('/').next().unwrap_or(without_digest);
        let tag = last.split_once(':').map(|(_, tag)| tag);
        let is_release = |tag: &&str| {
            let number = tag.strip_prefix('v').unwrap_or(tag);
            number.starts_with(|c: char| c.is_ascii_digit()) && number.contains('.')
        };
        // Without the digest and the tag, if there is one.
        let repository = match tag {
            Some(tag) => &without_digest[..without_digest.len() - tag.len() - 1],
            None => without_digest,
        };
        let value = scalar(image.value.span, repository);
        self.entries.push(entry("image", image.key_span, value));
        match tag.filter(is_release) {
            Some(tag) => {
                let value = scalar(image.value.span, tag);
                self.entries.push(entry("version", image.key_span, value));
            }
            None => self
                .left_out
                .push(format!("the release behind the image `{text}`")),
        }
    }

    /// `command` beyond the program, then `args`.
    fn args(&mut self, container: &Node) {
        let items = |key: &str| {
            let entry = container.entry(key);
            entry.map_or(&[][..], |entry| entry.value.items())
        };
        let all: Vec<Rc<Node>> = items("command")
            .iter()
            .skip(1)
            .chain(items("args"))
            .map(Rc::clone)
            .collect();
        let found = container
            .entry("args")
            .or_else(|| container.entry("command"));
        let place = found.map_or(self.place, |entry| entry.key_span);
        self.entries.push(entry("args", place, list(place, all)));
    }

    /// A probe as a whole: what it does not say is Kubernetes' default.
    fn probe(&mut self, container: &Node, key: &'static str) {
        let Some(found) = container.entry(key).filter(|entry| !entry.value.is_null()) else {
            self.entries.push(entry(key, self.place, null(self.place)));
            return;
        };
        let probe = &found.value;
        let Some(get) = probe.entry("httpGet") else {
            self.left_out.push(format!("{key}, which is no httpGet"));
            self.entries
                .push(entry(key, found.key_span, null(found.key_span)));
            return;
        };
        let mut entries: Vec<Entry> = PROBE_NUMBERS
            .iter()
            .map(|number| renamed(probe, number, number, found.key_span))
            .collect();
        // Source: `pkg/apis/core/v1/defaults.go SetDefaults_HTTPGetAction`.
        let plain = entry("scheme", get.key_span, scalar(get.key_span, "HTTP"));
        let scheme = get.value.entry("scheme").cloned().unwrap_or(plain);
        let mut request = vec![renamed(&get.value, "path", "path", get.key_span), scheme];
        request.push(port(container, &get.value, get.key_span));
        entries.push(entry(
            "httpGet",
            get.key_span,
            mapping(get.value.span, request),
        ));
        let value = mapping(probe.span, entries);
        self.entries.push(entry(key, found.key_span, value));
        let known: Vec<&str> = PROBE_NUMBERS.into_iter().chain(["httpGet"]).collect();
        self.left_out
            .extend(others(probe, &format!("{key}."), &known));
        let path = format!("{key}.httpGet.");
        let known = ["path", "scheme", "port"];
        self.left_out.extend(others(&get.value, &path, &known));
    }
}

/// The port of a probe; the name of a container's port as its number.
fn port(container: &Node, get: &Node, place: Span) -> Entry {
    let port = renamed(get, "port", "port", place);
    let Value::Scalar { text: name, .. } = &port.value.value else {
        return port;
    };
    let ports = container.entry("ports");
    let ports = ports.map_or(&[][..], |ports| ports.value.items());
    let named = ports.iter().find(|known| text(known, &["name"]) == &**name);
    let number = named.and_then(|known| known.entry("containerPort"));
    match number.and_then(|number| number.value.text()) {
        Some(number) if &**name != "https" => Entry {
            value: scalar(port.value.span, number),
            ..port
        },
        _ => port,
    }
}
