//! The table that `kubectl top nodes` prints.
//!
//! Source: `kubectl/pkg/metricsutil/metrics_printer.go`; columns as
//! `text/tabwriter` sets them with `cli-runtime/pkg/printers/tabwriter.go`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::quantity::nanos;

const HEADER: [&str; 5] = ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"];
const MIN_WIDTH: usize = 6;
const PADDING: usize = 3;

/// Quantities of the two measured resources.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Resources {
    #[serde(default)]
    pub(super) cpu: String,
    #[serde(default)]
    pub(super) memory: String,
}

/// One line per node that has metrics, then one per node that has none.
///
/// DIFFERENCE: the latter come in the order of names; Go's order is random.
pub(super) fn nodes(
    usage: &BTreeMap<String, Resources>,
    mut allocatable: BTreeMap<String, Resources>,
) -> String {
    let mut rows = vec![HEADER.map(str::to_owned)];
    for (name, used) in usage {
        let total = allocatable.remove(name).unwrap_or_default();
        rows.push(row(name, used, &total));
    }
    for name in allocatable.into_keys() {
        let unknown = || "<unknown>".to_owned();
        rows.push([name, unknown(), unknown(), unknown(), unknown()]);
    }
    layout(&rows)
}

fn row(name: &str, used: &Resources, total: &Resources) -> [String; 5] {
    let (cpu, memory) = (nanos(&used.cpu), nanos(&used.memory));
    [
        name.to_owned(),
        format!("{}m", milli(cpu)),
        percent(cpu, nanos(&total.cpu)),
        format!("{}Mi", whole(memory) / (1 << 20)),
        percent(memory, nanos(&total.memory)),
    ]
}

fn layout(rows: &[[String; 5]]) -> String {
    let width = |column: usize| {
        let widest = rows.iter().map(|row| row[column].chars().count()).max();
        (widest.unwrap_or(0) + PADDING).max(MIN_WIDTH)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut table = String::new();
    for row in rows {
        for (cell, width) in row.iter().zip(widths) {
            table.push_str(&format!("{cell:<width$}"));
        }
        table.push('\n');
    }
    table
}

/// Source: `metrics_printer.go printAllResourceUsages`: of milli-values, cut
/// off; `<unknown>` when nothing is allocatable.
fn percent(used: i128, total: i128) -> String {
    match milli(total) {
        0 => "<unknown>".to_owned(),
        total => format!("{}%", milli(used) * 100 / total),
    }
}

/// `Quantity.MilliValue`, which rounds up.
fn milli(nanos: i128) -> i128 {
    (nanos + 999_999).div_euclid(1_000_000)
}

/// `Quantity.Value`, which rounds up.
fn whole(nanos: i128) -> i128 {
    (nanos + 999_999_999).div_euclid(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_without_metrics_are_unknown() {
        let resources = |cpu: &str, memory: &str| Resources {
            cpu: cpu.to_owned(),
            memory: memory.to_owned(),
        };
        let usage = BTreeMap::from([("a".to_owned(), resources("1", "1Gi"))]);
        let allocatable = BTreeMap::from([
            ("a".to_owned(), resources("2", "4Gi")),
            ("b".to_owned(), resources("2", "4Gi")),
        ]);
        assert_eq!(
            nodes(&usage, allocatable),
            "NAME   CPU(cores)   CPU(%)      MEMORY(bytes)   MEMORY(%)   \n\
             a      1000m        50%         1024Mi          25%         \n\
             b      <unknown>    <unknown>   <unknown>       <unknown>   \n"
        );
    }
}
