//! WATCH: initial events, changes, bookmarks, the end.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::stream::{LocalBoxStream, StreamExt, unfold};
use http::header;
use seam::Random;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::behaviour::{Behaviour, Watches};
use super::list;
use super::reply::{self, Failure};
use super::request::{Query, RequestInfo};
use super::selector::Selector;
use super::view::View;
use crate::http_server::Response;
use crate::script::Script;
use crate::store::{Change, ChangeKind, Store, Stored, Watch};

/// How often a watch that allows bookmarks gets one, and how long before its
/// end it gets the last.
///
/// Source: apiserver `pkg/storage/cacher/{cacher,cache_watcher}.go`.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// A watch without `timeoutSeconds` ends after one to two times this.
///
/// Source: apiserver `pkg/server/config.go: MinRequestTimeout`.
const MIN_TIMEOUT: Duration = Duration::from_secs(1800);

/// Initial events are sent in pieces of about this many bytes.
const PIECE: usize = 32 * 1024;

/// What a watch needs of its server.
pub(crate) struct Server<'a> {
    pub(crate) store: &'a Store,
    pub(crate) behaviour: &'a Script<Behaviour>,
    /// Told each time that a watch is kept from telling, or ended.
    pub(crate) met: Rc<dyn Fn()>,
}

/// Answers a WATCH with a stream of events. A client that does not read falls
/// behind; some time after more has happened than the history holds its watch
/// ends, as a watch cache ends one that it cannot hand an event in time.
///
/// Source: apiserver `pkg/storage/cacher/cache_watcher.go: add`.
pub(crate) fn watch(
    server: &Server<'_>,
    view: View,
    info: &RequestInfo,
    query: &Query,
    random: &mut dyn Random,
) -> Result<Response, Failure> {
    let start = Start::parse(query)?;
    let asked = query
        .get("timeoutSeconds")
        .and_then(|text| text.parse().ok());
    let timeout = match asked.filter(|seconds| *seconds > 0) {
        Some(seconds) => Duration::from_secs(seconds),
        None => random.duration_between(MIN_TIMEOUT, 2 * MIN_TIMEOUT),
    };
    let form = Form {
        selector: list::selector(view.resource, info, query)?,
        view,
        with_columns: true,
    };
    let now = Instant::now();
    let end = now + timeout;
    let events = Events {
        initial: VecDeque::new(),
        pieces: VecDeque::new(),
        live: None,
        store: server.store.clone(),
        behaviour: server.behaviour.clone(),
        met: Rc::clone(&server.met),
        form,
        end,
        bookmark: query
            .is_true("allowWatchBookmarks")
            .then(|| next_bookmark(now, end)),
    };
    let pieces = events.begin(start).into_stream();
    Ok(Response::stream(200, pieces)
        .with_header(header::CACHE_CONTROL, "no-cache, private")
        .with_header(header::CONTENT_TYPE, reply::JSON))
}

/// What a watch begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// What happened after a version.
    After(u64),
    /// Everything there is, as events, and then what happens. `marked` asks
    /// for the bookmark that ends the first part.
    Everything { marked: bool },
    /// What happens from now on.
    Now,
}

impl Start {
    /// Source: apimachinery `pkg/apis/meta/internalversion/validation/
    /// validation.go: ValidateListOptions`.
    fn parse(query: &Query) -> Result<Self, Failure> {
        let version = list::resource_version(query)?.unwrap_or(0);
        let newest = query.get("resourceVersionMatch") == Some("NotOlderThan");
        match query.get("sendInitialEvents") {
            Some(_) if !newest => Err(Failure::invalid_list_options(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )),
            None if newest => Err(Failure::invalid_list_options(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )),
            Some("true" | "1") => Ok(Self::Everything {
                marked: query.is_true("allowWatchBookmarks"),
            }),
            Some(_) if version == 0 => Ok(Self::Now),
            None if version == 0 => Ok(Self::Everything { marked: false }),
            _ => Ok(Self::After(version)),
        }
    }
}

/// Which objects, and how they are written.
struct Form {
    view: View,
    selector: Selector,
    /// Whether the next table names its columns: the first does.
    with_columns: bool,
}

struct Events {
    /// What there was at the beginning and is still to be told: written when
    /// the client reads, so that one who does not costs little.
    initial: VecDeque<Rc<Stored>>,
    /// Ready to be sent after that.
    pieces: VecDeque<Bytes>,
    /// `None` once nothing more will come.
    live: Option<Watch>,
    store: Store,
    behaviour: Script<Behaviour>,
    met: Rc<dyn Fn()>,
    form: Form,
    end: Instant,
    bookmark: Option<Instant>,
}

impl Events {
    fn begin(mut self, start: Start) -> Self {
        match start {
            Start::Now => self.live = Some(self.store.watch_reading(self.form.plural())),
            Start::After(version) => {
                match self.store.watch_from(self.form.plural(), version) {
                    Ok(watch) => self.live = Some(watch),
                    // The answer has begun: the error is its only event.
                    Err(expired) => {
                        let failure = Failure::expired(expired.to_string());
                        self.pieces.push_back(error_event(&failure));
                    }
                }
            }
            Start::Everything { marked } => {
                self.live = Some(self.store.watch_reading(self.form.plural()));
                self.initial_events();
                if marked {
                    let bookmark = self.bookmark_event(true);
                    self.pieces.push_back(bookmark);
                }
            }
        }
        self
    }

    fn into_stream(self) -> LocalBoxStream<'static, io::Result<Bytes>> {
        unfold(self, |mut events| async move {
            let piece = events.next().await?;
            Some((Ok(piece), events))
        })
        .boxed_local()
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            super::behaviour::responsive(&self.behaviour).await;
            if self.behaviour.current().watches == Watches::Silent {
                (self.met)();
            }
            super::behaviour::told(&self.behaviour).await;
            if let Some(piece) = self.initial_piece().or_else(|| self.pieces.pop_front()) {
                return Some(piece);
            }
            let wake = self.bookmark.unwrap_or(self.end).min(self.end);
            let change = self.live.as_mut()?.next_unless_behind();
            let change = tokio::time::timeout_at(wake, change);
            match before_change(&self.behaviour, change).await {
                None if self.behaviour.current().watches == Watches::Initializing => {
                    (self.met)();
                    return None;
                }
                // Something else became of the API server.
                None => {}
                Some(Ok(Some(change))) => self.tell(&change),
                Some(Ok(None)) => return None,
                Some(Err(_)) if wake >= self.end => return None,
                Some(Err(_)) => {
                    let bookmark = self.bookmark_event(false);
                    self.pieces.push_back(bookmark);
                    self.bookmark = Some(next_bookmark(Instant::now(), self.end));
                }
            }
        }
    }

    /// Queues the change, and others that have already happened with it.
    fn tell(&mut self, first: &Rc<Change>) {
        let mut out = Vec::new();
        self.form.write_change(&mut out, first);
        while let Some(change) = self.live.as_mut().and_then(Watch::try_next) {
            self.form.write_change(&mut out, &change);
        }
        if !out.is_empty() {
            self.pieces.push_back(out.into());
        }
    }

    fn initial_events(&mut self) {
        let (selector, initial) = (&self.form.selector, &mut self.initial);
        let prefix = list::prefix(selector);
        self.store
            .scan(self.form.plural(), &prefix, None, |_, stored| {
                if selector.matches(stored) {
                    initial.push_back(Rc::clone(stored));
                }
                true
            });
    }

    fn initial_piece(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        while out.len() < PIECE
            && let Some(stored) = self.initial.pop_front()
        {
            open_event(&mut out, "ADDED");
            self.form.write_object(&mut out, &stored);
            close_event(&mut out);
        }
        (!out.is_empty()).then(|| out.into())
    }

    fn bookmark_event(&self, ends_initial_events: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": self.store.resource_version().to_string()});
        if ends_initial_events {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = self.form.view.bookmark(&metadata);
        reply::to_line(&json!({"type": "BOOKMARK", "object": object}))
    }
}

/// What `future` comes to, unless the API server's behaviour changes before.
async fn before_change<T>(
    behaviour: &Script<Behaviour>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let changed = behaviour.changed();
    match select(pin!(future), pin!(changed)).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(((), _)) => None,
    }
}

/// When the next bookmark is due: in a minute, or shortly before the end.
fn next_bookmark(now: Instant, end: Instant) -> Instant {
    match end.checked_sub(LAST_BOOKMARK).filter(|last| *last > now) {
        Some(last) => last.min(now + BOOKMARK_PERIOD),
        None => end,
    }
}

impl Form {
    fn plural(&self) -> &'static str {
        self.view.resource.plural
    }

    fn write_object(&mut self, out: &mut Vec<u8>, stored: &Stored) {
        let with_columns = std::mem::replace(&mut self.with_columns, false);
        self.view.write_object(out, stored, with_columns);
    }

    fn write_change(&mut self, out: &mut Vec<u8>, change: &Change) {
        let before = change.previous.as_deref();
        let was = before.is_some_and(|before| self.selector.matches(before));
        let gone = change.kind == ChangeKind::Deleted;
        let is = !gone && self.selector.matches(&change.stored);
        let event = match (was, is) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return,
        };
        open_event(out, event);
        if is || gone {
            self.write_object(out, &change.stored);
        } else {
            // To this watcher the object is gone: it sees its last state that
            // was selected, under the version of the change.
            let mut last = before.map_or(Value::Null, |before| before.value().clone());
            last["metadata"]["resourceVersion"] = json!(change.resource_version.to_string());
            self.write_object(out, &Stored::new(last));
        }
        close_event(out);
    }
}

fn open_event(out: &mut Vec<u8>, kind: &str) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
}

fn close_event(out: &mut Vec<u8>) {
    out.extend_from_slice(b"}\n");
}

fn error_event(failure: &Failure) -> Bytes {
    reply::to_line(&json!({"type": "ERROR", "object": failure.status()}))
}

#[cfg(test)]
mod tests;
