//! The pods, where there can be several.

use super::WIDTH;
use super::style::{Ink, Style};
use super::wrap::{indented, visible};
use crate::judgement::RunJudgement;
use crate::milestone::Milestone;
use crate::replica::ReplicaReport;
use crate::units::{counted, duration};

/// One entry per pod: where it ran, from which template, and what became of
/// it.
pub(super) fn replicas(run: &RunJudgement, style: Style) -> String {
    if run.replicas.is_empty() {
        return String::new();
    }
    let mut text = style.title("pods");
    text.push_str(&style.paint(Ink::Faint, " each with times since its own first start"));
    text.push('\n');
    for replica in &run.replicas {
        text.push_str(&entry(replica, style));
    }
    text
}

fn entry(replica: &ReplicaReport, style: Style) -> String {
    let verdict = replica.verdict;
    let word = style.paint(Ink::of_verdict(verdict), &format!("{verdict}"));
    let node = match &replica.node {
        Some(node) => format!("on {}", visible(node)),
        None => "on no node".to_owned(),
    };
    let ready = match replica.milestones.at(Milestone::PodReady) {
        Some(ns) => format!("ready at {}", duration(ns)),
        None => "never ready".to_owned(),
    };
    let gone = match replica.deleted_ns {
        Some(_) => ", gone at the end",
        None => "",
    };
    let restarts = counted(replica.restarts, "restart");
    let mut text = format!(
        "  {}  template {}, {node}: {word}, {ready}, {restarts}{gone}\n",
        visible(&replica.name),
        replica.revision
    );
    text.push_str(&indented(&replica.because, 6, WIDTH));
    text
}
