//! One resource, listed and watched for ever.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use http::Method;
use seam::{Host, Random};
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use super::backoff::Backoff;
use super::event::{WatchEvent, read_event};
use super::objects::{Metadata, Object as _};
use super::resource::{Resource, Sink};
use crate::klog::{Log, Quoted};
use crate::options::duration::GoDuration;
use crate::transport::rest::{ApiServer, Call};
use crate::transport::status::RestError;
use crate::transport::watch::WatchStream;
use crate::version::{ListStyle, Version};

/// Source: lib: client-go `tools/cache/reflector.go: defaultMinWatchTimeout`.
const MIN_WATCH: Duration = Duration::from_secs(300);

/// Source: lib: client-go `tools/cache/reflector.go:
/// initialEventsEndBookmarkTicker`.
const BOOKMARK_WARNING: Duration = Duration::from_secs(10);

/// Keeps a [`Sink`] the same as a resource on the API server.
pub struct Reflector<S: Sink> {
    api: Rc<ApiServer>,
    resource: Resource,
    sink: S,
    style: ListStyle,
    /// client-go before 0.32 writes its log lines another way.
    structured_log: bool,
    log: Log,
    backoff: RefCell<Backoff>,
    random: RefCell<Box<dyn Random>>,
    /// The resource version that the sink is known to have reached.
    last_version: RefCell<String>,
}

#[derive(Deserialize)]
#[serde(bound = "T: serde::de::DeserializeOwned")]
struct List<T> {
    #[serde(default)]
    metadata: ListMetadata,
    items: Option<Vec<T>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ListMetadata {
    resource_version: String,
    #[serde(rename = "continue")]
    next: String,
}

/// How a watch ended.
#[derive(Debug)]
enum Ended {
    /// The server closed it in good order.
    Normally,
    /// It told an error.
    Error(RestError),
    /// The stream broke or made no sense.
    Broken(String),
}

impl<S: Sink> Reflector<S> {
    /// A reflector that has not begun.
    #[must_use]
    pub fn new(
        host: &Host,
        api: Rc<ApiServer>,
        resource: Resource,
        sink: S,
        version: Version,
        log: Log,
    ) -> Self {
        let stream = |name: &str| host.random(&format!("{name}/{}", resource.subject));
        Self {
            backoff: RefCell::new(Backoff::new(stream("informer-backoff"))),
            random: RefCell::new(stream("watch-timeout")),
            api,
            resource,
            sink,
            style: version.list_style(),
            structured_log: version.minor() >= 8,
            log,
            last_version: RefCell::default(),
        }
    }

    /// Lists and watches until dropped.
    ///
    /// Source: lib: client-go `tools/cache/reflector.go: (*Reflector).Run`.
    pub async fn run(&self) {
        loop {
            if let Err(error) = self.list_and_watch().await {
                self.log_failure(&error);
            }
            self.wait().await;
        }
    }

    /// Source: lib: client-go `tools/cache/reflector.go: ListAndWatch`.
    async fn list_and_watch(&self) -> Result<(), String> {
        let mut stream = None;
        if self.style == ListStyle::WatchList {
            match self.watch_list().await {
                Ok(open) => stream = Some(open),
                Err(error) => self.log.verbose(4, "reflector.go:390", || {
                    format!(
                        "\"Data couldn't be fetched in watchlist mode. Falling back to regular list. This is expected \
                         if watchlist is not supported or disabled in kube-apiserver.\" err={}",
                        Quoted(&error)
                    )
                }),
            }
        }
        if stream.is_none() {
            self.list().await?;
        }
        self.log.verbose(2, "reflector.go:436", || {
            let Resource {
                type_name, name, ..
            } = self.resource;
            format!(
                "\"Caches populated\" type={} reflector={}",
                Quoted(type_name),
                Quoted(name)
            )
        });
        self.watch(stream).await
    }

    /// Fetches the complete state by LIST.
    async fn list(&self) -> Result<(), String> {
        let from = match &*self.last_version.borrow() {
            version if version.is_empty() => "0".to_owned(),
            version => version.clone(),
        };
        let result = match self.list_from(&from).await {
            // Without a resource version the answer is from etcd.
            Err(error) if error.is_expired() || error.is_too_large_resource_version() => {
                self.list_from("").await
            }
            result => result,
        };
        let (version, objects) = result.map_err(|error| {
            let text = format!("failed to list {}: {error}", self.resource.type_name);
            if !self.structured_log {
                self.log.warning(
                    "reflector.go:539",
                    format!("{}: {text}", self.resource.name),
                );
            }
            text
        })?;
        self.sink.replace(objects);
        *self.last_version.borrow_mut() = version;
        Ok(())
    }

    async fn list_from(&self, version: &str) -> Result<(String, Vec<S::Object>), RestError> {
        let mut objects = Vec::new();
        let mut next = String::new();
        loop {
            let mut path = self.path();
            if !next.is_empty() {
                let _ = write!(path, "continue={}&", encode(&next));
            }
            if !self.resource.field_selector.is_empty() {
                let _ = write!(path, "fieldSelector={}&", self.resource.field_selector);
            }
            path.push_str("limit=500");
            if next.is_empty() && !version.is_empty() {
                let _ = write!(path, "&resourceVersion={}", encode(version));
            }
            let call = Call {
                method: Method::GET,
                path: &path,
                accept: self.resource.list_accept,
                subject: self.resource.subject,
                body: None,
                timeout: None,
            };
            let body = self.api.call(&call).await?;
            let page: List<S::Object> = serde_json::from_slice(&body)
                .map_err(|error| RestError::Decode(error.to_string()))?;
            objects.extend(page.items.unwrap_or_default());
            if page.metadata.next.is_empty() {
                return Ok((page.metadata.resource_version, objects));
            }
            next = page.metadata.next;
        }
    }

    /// Fetches the complete state as the initial events of a watch, which
    /// then goes on.
    ///
    /// Source: lib: client-go `tools/cache/reflector.go: watchList`.
    async fn watch_list(&self) -> Result<WatchStream, String> {
        loop {
            let known = self.last_version.borrow().clone();
            let from = if known.is_empty() {
                String::new()
            } else {
                format!("resourceVersion={}&", encode(&known))
            };
            let path = self.watch_path(&format!(
                "{from}resourceVersionMatch=NotOlderThan&sendInitialEvents=true&"
            ));
            let started = Instant::now();
            match self.open(&path).await {
                Ok(stream) => {
                    if let Some(synced) = self.initial_events(stream, started).await? {
                        return Ok(synced);
                    }
                }
                Err(error) if error.is_refused() || error.is_status(429) => {
                    self.log.verbose(2, "reflector.go:700", || {
                        format!(
                            "\"watch-list failed - backing off\" err={}",
                            Quoted(&error.to_string())
                        )
                    });
                    self.wait().await;
                }
                Err(error) if error.is_expired() && !known.is_empty() => {
                    self.last_version.borrow_mut().clear()
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Reads a watch up to the bookmark that ends its initial events. `None`
    /// if it ended before.
    async fn initial_events(
        &self,
        stream: Option<WatchStream>,
        started: Instant,
    ) -> Result<Option<WatchStream>, String> {
        let mut objects = BTreeMap::new();
        let mut events = 0_u64;
        let Some(mut stream) = stream else {
            return Ok(None);
        };
        let version = loop {
            let event = match timeout(BOOKMARK_WARNING, stream.next()).await {
                Err(_) => {
                    self.warn_no_bookmark();
                    continue;
                }
                Ok(Ok(Some(line))) => read_event::<S::Object>(line)?,
                Ok(Ok(None) | Err(_)) if self.too_short(events, started) => {
                    return Err(self.very_short_watch());
                }
                Ok(Ok(None) | Err(_)) => return Ok(None),
            };
            events += 1;
            match event {
                WatchEvent::Upsert(object) => {
                    objects.insert(key(object.metadata()), object);
                }
                WatchEvent::Delete(metadata) => {
                    objects.remove(&key(&metadata));
                }
                WatchEvent::Bookmark(metadata) => {
                    if metadata.annotation("k8s.io/initial-events-end") == Some("true") {
                        break metadata.resource_version;
                    }
                }
                WatchEvent::Error(error) => return Err(error.to_string()),
            }
        };
        self.sink.replace(objects.into_values().collect());
        *self.last_version.borrow_mut() = version;
        Ok(Some(stream))
    }

    fn too_short(&self, events: u64, started: Instant) -> bool {
        events == 0 && started.elapsed() < Duration::from_secs(1)
    }

    fn very_short_watch(&self) -> String {
        format!(
            "very short watch: {}: Unexpected watch close - watch lasted less than a second and no items received",
            self.resource.name
        )
    }

    fn warn_no_bookmark(&self) {
        let text = format!(
            "{}: awaiting required bookmark event for initial events stream, no events received for {}",
            self.resource.name,
            GoDuration::from(BOOKMARK_WARNING)
        );
        self.log.info(
            "reflector.go:1060",
            format!("\"Warning: event bookmark expired\" err={}", Quoted(&text)),
        );
    }

    /// Follows changes, from an open watch if there is one, until the state
    /// has to be fetched again.
    ///
    /// Source: lib: client-go `tools/cache/reflector.go: (*Reflector).watch`.
    async fn watch(&self, mut open: Option<WatchStream>) -> Result<(), String> {
        loop {
            let started = Instant::now();
            let stream = match open.take() {
                Some(stream) => Some(stream),
                None => {
                    let version =
                        format!("resourceVersion={}&", encode(&self.last_version.borrow()));
                    match self.open(&self.watch_path(&version)).await {
                        Ok(stream) => stream,
                        Err(error) if error.is_refused() || error.is_status(429) => {
                            self.wait().await;
                            continue;
                        }
                        Err(error) if error.is_expired() => return Ok(()),
                        Err(error) => return Err(error.to_string()),
                    }
                }
            };
            match self.follow(stream, started).await {
                Ended::Normally => {}
                Ended::Error(error) if error.is_expired() => {
                    self.log.verbose(4, "reflector.go:550", || {
                        format!(
                            "{}: watch of {} closed with: {error}",
                            self.resource.name, self.resource.type_name
                        )
                    });
                    return Ok(());
                }
                Ended::Error(error) if error.is_status(429) => self.wait().await,
                Ended::Error(error) => {
                    self.warn_watch_ended(&error.to_string());
                    return Ok(());
                }
                Ended::Broken(text) => {
                    self.warn_watch_ended(&text);
                    return Ok(());
                }
            }
        }
    }

    /// Source: lib: client-go `tools/cache/reflector.go: handleAnyWatch`.
    async fn follow(&self, stream: Option<WatchStream>, started: Instant) -> Ended {
        let mut events = 0_u64;
        if let Some(mut stream) = stream {
            loop {
                let event = match stream.next().await {
                    // Go closes the watch on any end of the stream.
                    Ok(None) | Err(_) => break,
                    Ok(Some(line)) => read_event::<S::Object>(line),
                };
                let metadata = match event {
                    Ok(WatchEvent::Upsert(object)) => {
                        let metadata = object.metadata().clone();
                        self.sink.upsert(object);
                        metadata
                    }
                    Ok(WatchEvent::Delete(metadata)) => {
                        self.sink.delete(&metadata);
                        metadata
                    }
                    Ok(WatchEvent::Bookmark(metadata)) => metadata,
                    Ok(WatchEvent::Error(error)) => return Ended::Error(error),
                    Err(text) => return Ended::Broken(text),
                };
                *self.last_version.borrow_mut() = metadata.resource_version;
                events += 1;
            }
        }
        if self.too_short(events, started) {
            return Ended::Broken(self.very_short_watch());
        }
        Ended::Normally
    }

    async fn open(&self, path: &str) -> Result<Option<WatchStream>, RestError> {
        self.api
            .watch(path, self.resource.watch_accept, self.resource.subject)
            .await
    }

    fn path(&self) -> String {
        format!("{}?", self.resource.path)
    }

    /// Query parameters come sorted, as Go encodes them.
    fn watch_path(&self, version: &str) -> String {
        let seconds = self
            .random
            .borrow_mut()
            .duration_between(MIN_WATCH, MIN_WATCH * 2)
            .as_secs();
        let mut path = format!("{}allowWatchBookmarks=true&", self.path());
        if !self.resource.field_selector.is_empty() {
            let _ = write!(path, "fieldSelector={}&", self.resource.field_selector);
        }
        let timeout = GoDuration::from(Duration::from_secs(seconds));
        let _ = write!(
            path,
            "{version}timeout={timeout}&timeoutSeconds={seconds}&watch=true"
        );
        path
    }

    async fn wait(&self) {
        let wait = self.backoff.borrow_mut().step();
        sleep(wait).await;
    }

    fn warn_watch_ended(&self, text: &str) {
        let Resource {
            name, type_name, ..
        } = self.resource;
        self.log.warning(
            "reflector.go:484",
            format!("{name}: watch of {type_name} ended with: {text}"),
        );
    }

    /// Source: lib: client-go `tools/cache/reflector.go:
    /// DefaultWatchErrorHandler`.
    fn log_failure(&self, error: &str) {
        let Resource {
            name, type_name, ..
        } = self.resource;
        if self.structured_log {
            let message = format!(
                "\"Failed to watch\" err={} logger=\"UnhandledError\" reflector={} type={}",
                Quoted(error),
                Quoted(name),
                Quoted(type_name)
            );
            self.log.error("reflector.go:200", message);
        } else {
            self.log.error(
                "reflector.go:147",
                format!("{name}: Failed to watch {type_name}: {error}"),
            );
        }
    }
}

fn key(metadata: &Metadata) -> (String, String) {
    (metadata.namespace.clone(), metadata.name.clone())
}

/// Percent-encodes a query value as Go's `url.QueryEscape` does.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte))
            }
            b' ' => encoded.push('+'),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}
