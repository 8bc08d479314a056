//! Presets: the real defaults of a distribution, in the scenario language.

use std::rc::Rc;

use super::source::Sources;
use super::tree::{Node, overlay};
use super::yaml;

/// A preset's name and text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// What `preset:` names it by.
    pub name: &'static str,
    /// The preset whose values hold where it says nothing.
    pub base: Option<&'static str>,
    /// Its YAML, each number with the source it comes from.
    pub text: &'static str,
}

/// A preset from its file.
macro_rules! preset {
    ($name:literal) => {
        preset!($name, None)
    };
    ($name:literal on $base:literal) => {
        preset!($name, Some($base))
    };
    ($name:literal, $base:expr) => {
        Preset {
            name: $name,
            base: $base,
            text: include_str!(concat!("presets/", $name, ".yaml")),
        }
    };
}

/// Every preset.
pub static PRESETS: [Preset; 14] = [
    preset!("upstream-0.5" on "upstream-0.8"),
    preset!("upstream-0.6" on "upstream-0.8"),
    preset!("upstream-0.7" on "upstream-0.8"),
    preset!("upstream-0.8"),
    preset!("upstream-0.9" on "upstream-0.8"),
    preset!("upstream-ha" on "upstream-0.8"),
    preset!("helm-chart" on "upstream-0.8"),
    preset!("k3s-1.36"),
    preset!("k3s-raspberry-pi" on "k3s-1.36"),
    preset!("kubeadm" on "upstream-0.8"),
    preset!("kind" on "kubeadm"),
    preset!("eks" on "upstream-0.8"),
    preset!("talos" on "upstream-0.8"),
    preset!("microk8s" on "upstream-0.8"),
];

/// The preset of this name, laid over what it builds on.
pub(crate) fn tree(sources: &mut Sources, name: &str) -> Rc<Node> {
    let trees = chain(name).into_iter().map(|preset| {
        // What it builds on is its own for whoever reads where a value is from.
        let id = sources.add(name, preset.text);
        yaml::read(sources, id).expect("presets are YAML: a test reads them all")
    });
    // The first is the most particular one.
    let tree = trees.reduce(|above, below| overlay(&below, &above));
    tree.expect("a preset builds on itself at least")
}

/// What a scenario without a usable preset is checked against.
pub(crate) const FALLBACK: &str = "upstream-0.8";

impl Preset {
    /// The first sentence of its description.
    #[must_use]
    pub fn title(&self) -> String {
        let comment = self
            .text
            .lines()
            .map_while(|line| line.strip_prefix('#'))
            .map(str::trim)
            .take_while(|line| !line.is_empty());
        let text = comment.collect::<Vec<_>>().join(" ");
        match text.split_once(". ") {
            Some((first, _)) => format!("{first}."),
            None => text,
        }
    }

    /// The preset of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Preset> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}

/// The preset of this name and those that it builds on, each on the next.
/// Empty if there is none of this name.
#[must_use]
pub fn chain(name: &str) -> Vec<&'static Preset> {
    std::iter::successors(Preset::named(name), |preset| {
        preset.base.and_then(Preset::named)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::model::Distribution;
    use super::super::parse;
    use super::*;

    /// Goal: every number of a preset can be checked. Method: each scalar
    /// line has a `# source:` comment on it or in the block of comments above.
    #[test]
    fn every_value_of_a_preset_names_its_source() {
        for preset in PRESETS {
            let mut covered = false;
            for (number, line) in preset.text.lines().enumerate() {
                let content = line.trim();
                if content.starts_with('#') || content.is_empty() {
                    covered = content.contains("source:") || (covered && content.starts_with('#'));
                    continue;
                }
                let is_mapping = content
                    .split(" #")
                    .next()
                    .is_some_and(|code| code.trim_end().ends_with(':'));
                let named = covered || content.contains("# source:");
                assert!(
                    is_mapping || named,
                    "{}:{}: {content}",
                    preset.name,
                    number + 1
                );
            }
        }
    }

    /// Goal: the start cost reproduces the recordings. Method: the sum of the
    /// three parts before the first tick, each at a grid of equally likely
    /// values, and the informers' first look after 100 ms.
    #[test]
    fn the_first_tick_comes_when_it_was_measured() {
        let text = "apiVersion: firstlight/v1\nkind: Scenario\nmetadata: {name: t}\npreset: k3s-1.36\nnodes: {a: {}}";
        let cost = parse("t.yaml", text)
            .expect("valid")
            .metrics_server
            .start_cost;
        let [exec, certificate, configure] =
            [cost.exec, cost.certificate, cost.configure].map(|part| grid(&part));
        let mut sums = Vec::new();
        for exec in &exec {
            for certificate in &certificate {
                sums.extend(
                    configure
                        .iter()
                        .map(|configure| 100 + exec + certificate + configure),
                );
            }
        }
        sums.sort_unstable();
        let at = |percent: usize| sums[(sums.len() - 1) * percent / 100];
        let near = |value: u128, measured: u128| {
            assert!(value.abs_diff(measured) <= 20, "{value} {measured}")
        };
        near(at(0), 270);
        near(at(50), 570);
        near(at(90), 880);
        assert!((1100..=1390).contains(&at(99)), "{}", at(99));
    }

    /// Equally likely values in milliseconds.
    fn grid(distribution: &Distribution) -> Vec<u128> {
        let Distribution::Quantiles(anchors) = distribution else {
            panic!("{distribution:?}")
        };
        let points = (0..100u32).map(|step| step * 10 + 5);
        let value = |at: u32| {
            let above = anchors.partition_point(|(mille, _)| *mille <= at);
            let ((from, low), (to, high)) = (anchors[above - 1], anchors[above]);
            let rise = (high - low).as_micros() * u128::from(at - from) / u128::from(to - from);
            (low.as_micros() + rise) / 1000
        };
        points.map(value).collect()
    }

    #[test]
    fn a_preset_alone_needs_only_a_name_and_a_node() {
        for preset in PRESETS {
            let text = format!(
                "apiVersion: firstlight/v1\nkind: Scenario\nmetadata: {{name: least}}\npreset: {}\nnodes: {{a: {{}}}}\n",
                preset.name
            );
            let scenario =
                parse("least.yaml", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
            assert_eq!(scenario.preset, preset.name);
            assert_eq!(scenario.nodes[0].addresses.0[0].1[0].1, "10.0.0.1");
        }
    }
}
