//! Which setting governs that a node does not answer scrapes.

use crate::case::{Case, Setting, setting};
use crate::life::Tick;

/// What keeps `node` from answering: what its last failure speaks of, if the
/// scenario has a say in that; a network rule that took effect, if it says
/// nothing of the kubelet; else the kubelet.
pub(super) fn unreachable_by(
    case: &Case,
    rules: &[&str],
    node: &str,
    ticks: &[Tick<'_>],
) -> Setting {
    let kubelet = case.setting(&setting::kubelet(node));
    let mut scrapes = ticks.iter().filter_map(|tick| tick.scrapes.get(node));
    let Some(last) = scrapes.rfind(|scrape| !scrape.is_good()) else {
        return kubelet;
    };
    if let Some(spoken_of) = spoken_of(case, node, last.outcome, last.text) {
        return spoken_of;
    }
    // A kubelet of which nothing is said forbids only what the API server does.
    if last.outcome == "403" && kubelet.value.is_empty() {
        return case.setting(setting::RBAC);
    }
    let by_network = matches!(
        last.outcome,
        "timeout" | "refused" | "unreachable" | "reset"
    );
    let silent = last.outcome == "timeout" && kubelet.value.is_empty();
    if silent && let Some(dns) = case.said(&[setting::DNS]).filter(|_| case.dials_names()) {
        return dns;
    }
    if silent
        && rules.is_empty()
        && let Some(addresses) = case.said(&[&setting::addresses(node)])
    {
        return addresses;
    }
    match rules.first() {
        Some(rule) if kubelet.value.is_empty() && by_network => {
            case.setting(&setting::network(rule))
        }
        _ => kubelet,
    }
}

/// The setting that the text of a failure speaks of, which is not the
/// kubelet's: names, addresses, the clock that a certificate is held against, a
/// port, a scheme.
fn spoken_of(case: &Case, node: &str, outcome: &str, text: &str) -> Option<Setting> {
    if text.contains("dial tcp: lookup ") {
        let said = case.said(&[setting::DNS, setting::ADDRESS_TYPES]);
        return Some(said.unwrap_or_else(|| case.setting(setting::ADDRESS_TYPES)));
    }
    let is_of_addresses = |text: &str| {
        let words = [
            "no address matched types",
            "no addresses that matched types",
            "network is unreachable",
        ];
        words.iter().any(|words| text.contains(words))
    };
    if is_of_addresses(text) {
        let of_node = setting::addresses(node);
        let said = case.said(&[&of_node, setting::ADDRESS_TYPES]);
        return Some(said.unwrap_or_else(|| case.setting(setting::ADDRESS_TYPES)));
    }
    if let Some((_, rest)) = text.split_once("current time ") {
        let shown = rest.split(' ').next().unwrap_or("");
        let clock = case.said(&[&setting::clock(&case.home)])?;
        let [began, ended] = &case.true_time;
        // Of one form, so that they compare as times do.
        let is_wrong = shown < &**began || shown > &**ended;
        return is_wrong.then_some(clock);
    }
    match outcome {
        "refused" => case.said(&[setting::KUBELET_PORT]),
        // What speaks TLS says so of plain HTTP.
        "400" => case
            .said(&[setting::ARGS])
            .filter(|args| args.value.contains("completely-insecure")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str) -> Case {
        Case {
            home: "pi".to_owned(),
            true_time: ["2026-11-23T09:00:00Z", "2026-11-23T09:05:00Z"].map(str::to_owned),
            settings: vec![Setting {
                name: name.to_owned(),
                value: "so".to_owned(),
                origin: "a.yaml:7".to_owned(),
            }],
            ..Case::default()
        }
    }

    #[test]
    fn a_name_that_does_not_resolve_is_the_name_servers_or_the_address_types_matter() {
        let text = "Get \"https://n:10250/\": dial tcp: lookup n on 10.96.0.10:53: no such host";
        let blamed = |name: &str| spoken_of(&case(name), "pi", "dns", text).map(|found| found.name);
        assert_eq!(blamed(setting::DNS).as_deref(), Some(setting::DNS));
        assert_eq!(blamed("rbac").as_deref(), Some(setting::ADDRESS_TYPES));
    }

    #[test]
    fn an_address_that_does_not_do_is_the_nodes_or_the_address_types_matter() {
        let text = "no address matched types [InternalIP]";
        let blamed = |name: &str| spoken_of(&case(name), "pi", "error", text).map(|it| it.name);
        let of_node = "nodes.pi.addresses";
        assert_eq!(blamed(of_node).as_deref(), Some(of_node));
        assert_eq!(blamed("rbac").as_deref(), Some(setting::ADDRESS_TYPES));
    }

    #[test]
    fn a_date_is_the_clocks_matter_where_that_shows_another_time() {
        let text = |time: &str| format!("x509: … not yet valid: current time {time} is before …");
        let blamed = |time: &str| spoken_of(&case("nodes.pi.clock"), "pi", "tls", &text(time));
        assert!(blamed("2026-11-23T08:00:15Z").is_some());
        assert!(blamed("2026-11-23T09:02:00Z").is_none());
        let other = case("nodes.other.clock");
        assert!(spoken_of(&other, "pi", "tls", &text("2026-11-23T08:00:15Z")).is_none());
    }

    #[test]
    fn a_refusal_is_the_ports_matter_where_the_arguments_give_one() {
        assert!(spoken_of(&case(setting::KUBELET_PORT), "pi", "refused", "").is_some());
        assert!(spoken_of(&case(setting::KUBELET_PORT), "pi", "timeout", "").is_none());
    }
}
