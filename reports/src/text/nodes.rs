//! Nodes that are not served, and why.

use super::WIDTH;
use std::collections::BTreeSet;

use super::style::Style;
use super::wrap::{indented, visible};
use crate::judgement::{NodeService, RunJudgement};
use crate::response::SCRAPER;
use crate::units::duration;

/// Nodes shown in a list; the others are counted.
const ROWS: usize = 20;

/// Nodes that were never served, and nodes whose last scrape failed.
pub(super) fn nodes(run: &RunJudgement, style: Style) -> String {
    let never: Vec<_> = run
        .nodes
        .iter()
        .filter(|node| node.first_served_ns.is_none())
        .collect();
    let failing: Vec<_> = run
        .nodes
        .iter()
        .filter(|node| node.first_served_ns.is_some() && node.last_error.is_some())
        .collect();
    let scrapes = run.responses.iter().filter(|row| row.observer == SCRAPER);
    let scraped: BTreeSet<&str> = scrapes.map(|row| &*row.target).collect();
    let mut text = String::new();
    for (title, nodes) in [
        ("nodes never served", never),
        ("nodes whose last scrape failed", failing),
    ] {
        if nodes.is_empty() {
            continue;
        }
        let of = format!("{title} ({} of {})", nodes.len(), run.nodes.len());
        text.push_str(&format!("{}\n", style.title(&of)));
        for node in nodes.iter().take(ROWS) {
            text.push_str(&row(node, scraped.contains(&*node.name)));
        }
        if nodes.len() > ROWS {
            let more = nodes.len() - ROWS;
            text.push_str(&format!(
                "  {more} more nodes; all are in the JSON result\n"
            ));
        }
    }
    text
}

fn row(node: &NodeService, scraped: bool) -> String {
    let name = visible(&node.name);
    let served = node
        .first_served_ns
        .map(|ns| format!(", first served at {}", duration(ns)));
    let mut text = format!("  {name}{}\n", served.unwrap_or_default());
    let why = match (&node.last_error, scraped) {
        (Some(error), _) => error,
        (None, true) => "its last scrape succeeded; no list through the API server held it",
        (None, false) => "never scraped",
    };
    text.push_str(&indented(why, 6, WIDTH));
    text
}
