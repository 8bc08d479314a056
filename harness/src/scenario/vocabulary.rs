//! Words that expectations use: the judge's names for what it saw, and what
//! they mean.

use super::shape::Word;

/// The words without their meanings.
pub(crate) fn names(words: &[Word]) -> impl Iterator<Item = &'static str> + Clone {
    words.iter().map(|(word, _)| *word)
}

/// Verdicts, in their JSON spelling.
pub(crate) const VERDICTS: [Word; 11] = [
    ("READY", "ready within the time a healthy start takes"),
    ("READY_LATE", "ready, but later than a healthy start"),
    (
        "READY_DEGRADED",
        "ready, with nodes or containers missing from the answers",
    ),
    (
        "READY_BUT_UNREACHABLE",
        "ready, and no answer through the API server",
    ),
    ("NOT_READY", "never ready within the run"),
    (
        "FLAPPING",
        "ready, and unready again by itself; or a node served, lost and served again",
    ),
    (
        "LIVENESS_LOOP",
        "restarted again and again by its liveness probe",
    ),
    ("CRASH_LOOP", "exits again and again by itself"),
    ("CONFIG_ERROR", "refuses to start with its arguments"),
    (
        "INSTALL_FAILED",
        "not ready before the installation's deadline",
    ),
    ("DEADLOCK", "waits for something that waits for it"),
];

/// Milestones, in the order in which a healthy start reaches them.
pub(crate) const MILESTONES: [Word; 10] = [
    (
        "processStarted",
        "metrics-server's process started; milestones count from here.",
    ),
    ("portBound", "Its port is bound."),
    ("informersSynced", "It knows the nodes and pods."),
    ("firstScrapeStored", "The first kubelet's answer is stored."),
    ("readyz200", "`/readyz` answers 200."),
    ("podReady", "The pod's condition Ready is true."),
    (
        "endpointPublished",
        "The pod's address is in the Service's EndpointSlice.",
    ),
    (
        "apiServiceAvailable",
        "The APIService's condition Available is true.",
    ),
    (
        "firstApi200",
        "A list of the metrics API answers 200 through the API server.",
    ),
    ("firstCompleteAnswer", "The list has every node."),
];

/// Those who ask and are, or are not, answered. `scraper` is metrics-server
/// itself, which asks kubelets.
pub(crate) const OBSERVERS: [Word; 13] = [
    ("readiness-probe", "the kubelet's readiness probe"),
    ("liveness-probe", "the kubelet's liveness probe"),
    ("startup-probe", "the kubelet's startup probe"),
    (
        "aggregator-check",
        "the availability controller of the API server",
    ),
    ("kubectl-top", "a person with `kubectl top`"),
    ("hpa", "the horizontal pod autoscaler"),
    ("discovery", "a discovery client"),
    ("kubectl-drain", "a person with `kubectl drain`"),
    (
        "namespace-controller",
        "the namespace controller with a namespace to delete",
    ),
    (
        "controller-manager",
        "a controller manager that waits for discovery",
    ),
    ("kubectl-wait", "a person with `kubectl wait`"),
    ("helm-install", "a person with `helm install --wait`"),
    ("scraper", "metrics-server itself, which asks kubelets"),
];

/// Severities of log lines, as klog writes them.
pub(crate) const SEVERITIES: [Word; 4] = [
    ("I", "information"),
    ("W", "a warning"),
    ("E", "an error"),
    ("F", "what the process ends over"),
];

/// What becomes of a request besides a status code.
pub(crate) const FAILURES: [Word; 7] = [
    ("refused", "connection refused"),
    ("timeout", "no answer in time"),
    ("reset", "connection reset"),
    ("tls", "the TLS handshake failed"),
    ("dns", "the name was not resolved"),
    ("unreachable", "no route to host"),
    ("malformed", "the answer could not be understood"),
];

#[cfg(test)]
mod tests {
    use reports::milestone::Milestone;
    use reports::verdict::Verdict;

    use super::*;

    #[test]
    fn milestones_are_those_of_the_judge() {
        assert_eq!(
            Milestone::ALL.map(Milestone::name),
            MILESTONES.map(|(word, _)| word)
        );
        for measure in ["timeToReady", "timeToFirstApi200"] {
            assert!(Milestone::from_name(measure).is_some(), "{measure}");
        }
    }

    #[test]
    fn verdicts_are_those_of_the_judge() {
        for word in names(&VERDICTS) {
            let verdict: Verdict =
                serde_json::from_value(word.into()).expect("the judge knows the word");
            assert_eq!(verdict.word(), word);
        }
    }
}
