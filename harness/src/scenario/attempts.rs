//! `nodes.*.kubelet.script`: what the next attempts to scrape meet.

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::Attempt;
use super::shape::Kind;
use super::values;

/// One entry of a script.
pub(crate) static ATTEMPT: Kind = Kind::Form(
    "an attempt such as `refused`, `503` or `12s`, with a number of times as in `503 x2`",
    r"^\S+( x[1-9][0-9]*)?$",
);

/// More attempts than this are a mistake.
const MOST: usize = 10_000;

/// Reads a script.
pub(crate) fn script(decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Attempt>> {
    let entries = decoder.list(item, entry)?;
    let count: usize = entries.iter().map(|(_, times)| *times).sum();
    if count > MOST || entries.is_empty() {
        decoder.note(Diagnostic::at(
            Code::BadNumber,
            item.span(),
            format!("a script of {count} attempts"),
            format!("write from one to {MOST}; the last one stays for ever"),
        ));
        return None;
    }
    let repeated = entries
        .into_iter()
        .flat_map(|(attempt, times)| std::iter::repeat_n(attempt, times));
    Some(repeated.collect())
}

/// `503 x2`: an attempt, and how many times.
fn entry(decoder: &mut Decoder, item: Item<'_>) -> Option<(Attempt, usize)> {
    let text = decoder.text(item)?;
    let (what, times) = match text.split_once(" x") {
        Some((what, times)) => (what, times.parse().ok().filter(|times| *times > 0)),
        None => (text, Some(1)),
    };
    let attempt = match what {
        "ok" => Some(Attempt::Ok),
        "refused" => Some(Attempt::Refused),
        "tls" => Some(Attempt::NoCertificate),
        "timeout" => Some(Attempt::Hang),
        other => {
            let status = other.parse().ok().filter(|code| (100..=599).contains(code));
            let slow = || values::duration(other).ok().map(Attempt::Slow);
            status.map(Attempt::Status).or_else(slow)
        }
    };
    if let (Some(attempt), Some(times)) = (attempt, times) {
        return Some((attempt, times));
    }
    decoder.note(Diagnostic::at(
        Code::BadValue,
        item.span(),
        format!("`{text}` is not what an attempt can meet"),
        "write `ok`, `refused`, `tls`, `timeout`, a status such as `503`, or how much longer the answer takes such as `12s`; `503 x2` is two of them",
    ));
    None
}
