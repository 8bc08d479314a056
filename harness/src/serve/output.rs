//! What a process under test prints: recorded up to a bound, whatever comes.

use std::cell::Cell;
use std::rc::Rc;

use reports::trace::Event;
use seam::Tasks;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::evidence::Evidence;
use crate::record::TraceRecorder;

/// Lines recorded in one run. Further ones are read, and counted.
const MAX_LINES: u64 = 10_000;
/// Bytes of a line that are looked at.
const MAX_LINE: usize = 4 * 1024;

/// The lines of a process's output.
pub struct LogBook {
    recorder: Rc<TraceRecorder>,
    evidence: Rc<Evidence>,
    lines: Cell<u64>,
}

impl LogBook {
    /// An empty book.
    #[must_use]
    pub(super) fn new(recorder: Rc<TraceRecorder>, evidence: Rc<Evidence>) -> Self {
        Self {
            recorder,
            evidence,
            lines: Cell::new(0),
        }
    }

    /// Reads a stream of output to its end.
    pub(super) fn read<R>(self: &Rc<Self>, tasks: &Tasks, stream: Option<R>)
    where
        R: AsyncRead + Unpin + 'static,
    {
        let book = Rc::clone(self);
        if let Some(mut stream) = stream {
            tasks.spawn(async move {
                let mut buffer = vec![0; 64 * 1024];
                let mut lines = Lines::default();
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    lines.take(&buffer[..read], |line| book.line(line));
                    // Others want to run too, however fast it prints.
                    tokio::task::yield_now().await;
                }
                lines.finish(|line| book.line(line));
            });
        }
    }

    /// One line of output.
    pub(super) fn line(&self, line: &str) {
        let (severity, text) = klog(line);
        self.evidence.logged(text);
        let lines = self.lines.get() + 1;
        self.lines.set(lines);
        if lines <= MAX_LINES {
            self.push(&self.recorder, severity, text.to_owned());
        }
    }

    /// Records how many lines were not recorded.
    pub(super) fn tell_unrecorded(&self, recorder: &TraceRecorder) {
        if let Some(more @ 1..) = self.lines.get().checked_sub(MAX_LINES) {
            let text = format!("firstlight: {more} further lines of output were not recorded");
            self.push(recorder, "W", text);
        }
    }

    fn push(&self, recorder: &TraceRecorder, severity: &str, text: String) {
        let severity = severity.to_owned();
        recorder.push("metrics-server", Event::Log { severity, text });
    }
}

/// The severity and message of a line as klog writes it. Lines in another
/// form are fatal where they announce the program's end, else information.
///
/// Source: `k8s.io/klog/v2/internal/severity`, `klog.go: formatHeader`.
fn klog(line: &str) -> (&str, &str) {
    let header = line.split_once("] ");
    if let Some((header, message)) = header
        && let Some(severity @ ("I" | "W" | "E" | "F")) = header.get(..1)
        && header[1..].starts_with(|first: char| first.is_ascii_digit())
        && header.contains(':')
    {
        return (severity, message);
    }
    let is_end = line.starts_with("Error: ") || line.starts_with("panic: ");
    (if is_end { "F" } else { "I" }, line)
}

/// Cuts a stream of bytes into lines.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = MAX_LINE.saturating_sub(self.begun.len());
            self.begun.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                each(&String::from_utf8_lossy(&self.begun));
                self.begun.clear();
            }
        }
    }

    fn finish(self, mut each: impl FnMut(&str)) {
        if !self.begun.is_empty() {
            each(&String::from_utf8_lossy(&self.begun));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_where_they_end_and_where_they_are_too_long() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        lines.take(b"one\ntw", |line| seen.push(line.to_owned()));
        lines.take(b"o\n", |line| seen.push(line.to_owned()));
        lines.take(&vec![b'x'; 3 * MAX_LINE], |line| seen.push(line.to_owned()));
        assert_eq!(seen, ["one", "two"]);
        lines.finish(|line| seen.push(line.to_owned()));
        assert_eq!(seen[2].len(), MAX_LINE);
    }

    #[test]
    fn severities_are_klogs() {
        let line = "E1123 09:22:05.004053       1 scraper.go:149] \"Failed to scrape node\"";
        assert_eq!(klog(line), ("E", "\"Failed to scrape node\""));
        assert_eq!(
            klog("panic: unable to start"),
            ("F", "panic: unable to start")
        );
        assert_eq!(klog("Usage: [x] y"), ("I", "Usage: [x] y"));
    }
}
