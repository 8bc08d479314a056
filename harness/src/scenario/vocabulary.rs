//! Words that expectations use: the judge's names for what it saw.

/// Verdicts, in their JSON spelling.
pub(crate) const VERDICTS: [&str; 11] = [
    "READY",
    "READY_LATE",
    "READY_DEGRADED",
    "READY_BUT_UNREACHABLE",
    "NOT_READY",
    "FLAPPING",
    "LIVENESS_LOOP",
    "CRASH_LOOP",
    "CONFIG_ERROR",
    "INSTALL_FAILED",
    "DEADLOCK",
];

/// Milestones, in the order in which a healthy start reaches them.
pub(crate) const MILESTONES: [&str; 10] = [
    "processStarted",
    "portBound",
    "informersSynced",
    "firstScrapeStored",
    "readyz200",
    "podReady",
    "endpointPublished",
    "apiServiceAvailable",
    "firstApi200",
    "firstCompleteAnswer",
];

/// Those who ask and are, or are not, answered. `scraper` is metrics-server
/// itself, which asks kubelets.
pub(crate) const OBSERVERS: [&str; 8] = [
    "readiness-probe",
    "liveness-probe",
    "startup-probe",
    "aggregator-check",
    "kubectl-top",
    "hpa",
    "discovery",
    "scraper",
];

/// What becomes of a request besides a status code.
pub(crate) const FAILURES: [&str; 7] = [
    "refused",
    "timeout",
    "reset",
    "tls",
    "dns",
    "unreachable",
    "malformed",
];

#[cfg(test)]
mod tests {
    use reports::milestone::Milestone;
    use reports::verdict::Verdict;

    use super::*;

    #[test]
    fn milestones_are_those_of_the_judge() {
        assert_eq!(Milestone::ALL.map(Milestone::name), MILESTONES);
        for measure in ["timeToReady", "timeToFirstApi200"] {
            assert!(Milestone::from_name(measure).is_some(), "{measure}");
        }
    }

    #[test]
    fn verdicts_are_those_of_the_judge() {
        for word in VERDICTS {
            let verdict: Verdict =
                serde_json::from_value(word.into()).expect("the judge knows the word");
            assert_eq!(verdict.word(), word);
        }
    }
}
