//! Changes on their way to those who watch.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Change, HISTORY};

/// How long a client that watches may be further behind than the history
/// reaches, and how many changes it may be behind at all.
const PATIENCE: Duration = Duration::from_secs(10);
const FARTHEST: usize = 64 * HISTORY;

/// Where changes go.
pub(super) struct Watcher {
    sender: mpsc::UnboundedSender<Rc<Change>>,
    /// Of a client, which may never read and is cut off when it falls too far
    /// behind; parts of the cluster are told of everything.
    backlog: Option<Rc<Backlog>>,
}

/// What a client has not read yet.
#[derive(Debug, Default)]
struct Backlog {
    length: Cell<usize>,
    /// Since when it has been longer than the history.
    behind_since: Cell<Option<Instant>>,
}

impl Watcher {
    /// Returns whether it goes on watching.
    pub(super) fn tell(&self, change: &Rc<Change>) -> bool {
        if self.backlog.as_ref().is_some_and(|it| it.is_hopeless()) {
            return false;
        }
        self.sender.send(Rc::clone(change)).is_ok()
    }
}

impl Backlog {
    /// One more; true if there is no point in it.
    fn is_hopeless(&self) -> bool {
        let length = self.length.get() + 1;
        self.length.set(length);
        if length <= HISTORY {
            return false;
        }
        let now = Instant::now();
        let since = self.behind_since.get().unwrap_or(now);
        self.behind_since.set(Some(since));
        length > FARTHEST || now.duration_since(since) > PATIENCE
    }

    /// One less.
    fn read(&self) {
        let length = self.length.get().saturating_sub(1);
        self.length.set(length);
        if length <= HISTORY {
            self.behind_since.set(None);
        }
    }
}

/// Who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// A part of the cluster.
    Part,
    /// A client.
    Client,
}

/// Both ends of a watch that begins with what was `missed`.
pub(super) fn pair(missed: VecDeque<Rc<Change>>, reader: Reader) -> (Watcher, Watch) {
    let (sender, live) = mpsc::unbounded_channel();
    let backlog = (reader == Reader::Client).then(Rc::<Backlog>::default);
    let watcher = Watcher {
        sender,
        backlog: backlog.clone(),
    };
    let watch = Watch {
        missed,
        live,
        backlog,
    };
    (watcher, watch)
}

/// A stream of changes to one resource.
#[derive(Debug)]
pub struct Watch {
    /// What happened before it began.
    missed: VecDeque<Rc<Change>>,
    live: mpsc::UnboundedReceiver<Rc<Change>>,
    backlog: Option<Rc<Backlog>>,
}

impl Watch {
    /// The next change; for ever pending once the store is gone.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Rc<Change> {
        match self.next_unless_behind().await {
            Some(change) => change,
            None => std::future::pending().await,
        }
    }

    /// The next change; `None` if the watch fell so far behind that it was cut
    /// off.
    pub(crate) async fn next_unless_behind(&mut self) -> Option<Rc<Change>> {
        if let Some(change) = self.missed.pop_front() {
            return Some(change);
        }
        let change = self.live.recv().await;
        self.took(change)
    }

    /// The next change if one has already happened.
    pub fn try_next(&mut self) -> Option<Rc<Change>> {
        if let Some(change) = self.missed.pop_front() {
            return Some(change);
        }
        let change = self.live.try_recv().ok();
        self.took(change)
    }

    fn took(&self, change: Option<Rc<Change>>) -> Option<Rc<Change>> {
        if let (Some(backlog), Some(_)) = (&self.backlog, &change) {
            backlog.read();
        }
        change
    }
}
