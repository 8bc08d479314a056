//! Watches as their clients read them.

use serde_json::Value;

use super::*;
use crate::apiserver::behaviour::State;
use crate::apiserver::negotiate::{Include, Representation};
use crate::apiserver::resources;
use crate::http_client::testing::TestClock;
use crate::http_server::Body;

struct Zero;

impl Random for Zero {
    fn next_u64(&mut self) -> u64 {
        0
    }
}

fn pod(name: &str, phase: &str) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"namespace": "a", "name": name, "uid": "u"},
        "status": {"phase": phase},
    })
}

fn always_up() -> Script<Behaviour> {
    let up = Behaviour::new(State::Up, Rc::new(|| Duration::ZERO));
    Script::new(Instant::now(), vec![(Duration::ZERO, up)])
}

struct Client(LocalBoxStream<'static, io::Result<Bytes>>, VecDeque<Value>);

impl Client {
    fn open(store: &Store, query: &str) -> Result<Self, Failure> {
        Self::open_as(store, query, Representation::Metadata)
    }

    fn open_as(
        store: &Store,
        query: &str,
        representation: Representation,
    ) -> Result<Self, Failure> {
        let query = Query::parse(query);
        let info = RequestInfo::new("GET", "/api/v1/pods", &query);
        let view = View {
            resource: resources::find("", "v1", "pods").expect("served"),
            representation,
            clock: TestClock::new(),
        };
        let server = Server {
            store,
            behaviour: &always_up(),
            met: Rc::new(|| {}),
        };
        let response = watch(&server, view, &info, &query, &mut Zero)?;
        let Body::Stream(stream) = response.body else {
            panic!("watches are streamed")
        };
        Ok(Self(stream, VecDeque::new()))
    }

    /// Type, name and version of the next event.
    async fn event(&mut self) -> Option<String> {
        if self.1.is_empty() {
            let piece = self.0.next().await?.expect("our streams do not fail");
            let lines = piece
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty());
            self.1 = lines
                .map(|line| serde_json::from_slice(line).expect("JSON"))
                .collect();
        }
        let event = self.1.pop_front()?;
        let (kind, object) = (&event["type"], &event["object"]);
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        Some(match object["kind"].as_str() {
            Some("Status") => format!("{} {}", text(kind), text(&object["message"])),
            _ => {
                let metadata = &object["metadata"];
                let end = &metadata["annotations"]["k8s.io/initial-events-end"];
                format!(
                    "{} {} {}{}",
                    text(kind),
                    text(&metadata["name"]),
                    text(&metadata["resourceVersion"]),
                    if end == "true" { " end" } else { "" }
                )
            }
        })
    }

    async fn check(&mut self, expected: &[&str]) {
        for line in expected {
            assert_eq!(self.event().await.as_deref(), Some(*line));
        }
    }
}

const STREAMING: &str = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true\
                         &resourceVersionMatch=NotOlderThan&timeoutSeconds=300";

#[tokio::test(start_paused = true)]
async fn initial_events_end_with_a_marked_bookmark_and_changes_follow() {
    let store = Store::new();
    store.put("pods", pod("x", "Running"));
    store.put("pods", pod("y", "Running"));
    let mut client = Client::open(&store, STREAMING).expect("opened");
    client
        .check(&["ADDED x 1", "ADDED y 2", "BOOKMARK - 2 end"])
        .await;
    store.put("pods", pod("y", "Failed"));
    store.delete("pods", Some("a"), "x");
    client.check(&["MODIFIED y 3", "DELETED x 4"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_no_longer_selected_is_deleted_for_the_watcher() {
    let store = Store::new();
    store.put("pods", pod("x", "Pending"));
    let query = format!("{STREAMING}&fieldSelector=status.phase%3DRunning");
    let mut client = Client::open(&store, &query).expect("opened");
    client.check(&["BOOKMARK - 1 end"]).await;
    store.put("pods", pod("x", "Running"));
    store.put("pods", pod("x", "Running"));
    store.put("pods", pod("x", "Failed"));
    store.put("pods", pod("x", "Failed"));
    store.put("pods", pod("x", "Running"));
    client
        .check(&["ADDED x 2", "MODIFIED x 3", "DELETED x 4", "ADDED x 6"])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_resumes_after_a_version_or_learns_that_it_is_too_old() {
    let store = Store::new();
    store.put("pods", pod("x", "Running"));
    store.put("pods", pod("y", "Running"));
    let mut client = Client::open(&store, "watch=1&resourceVersion=1").expect("opened");
    client.check(&["ADDED y 2"]).await;
    store.put("pods", pod("z", "Running"));
    store.compact();
    let mut client = Client::open(&store, "watch=1&resourceVersion=1").expect("opened");
    client
        .check(&["ERROR too old resource version: 1 (3)"])
        .await;
    assert_eq!(client.event().await, None);
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_each_minute_and_before_the_end() {
    let store = Store::new();
    let start = Instant::now();
    let query = "watch=1&resourceVersion=0&allowWatchBookmarks=true&timeoutSeconds=150";
    let mut client = Client::open(&store, query).expect("opened");
    let mut times = Vec::new();
    while client.event().await.is_some() {
        times.push(start.elapsed().as_secs());
    }
    assert_eq!(times, [60, 120, 148]);
    assert_eq!(start.elapsed().as_secs(), 150);
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_no_seconds_lasts_as_long_as_one_that_names_none() {
    let start = Instant::now();
    let query = "watch=1&resourceVersion=0&timeoutSeconds=0";
    let mut client = Client::open(&Store::new(), query).expect("opened");
    assert_eq!(client.event().await, None);
    assert_eq!(start.elapsed(), MIN_TIMEOUT);
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    let failure = Client::open(&Store::new(), "watch=1&sendInitialEvents=true").err();
    assert_eq!(
        failure.expect("refused").status()["message"],
        "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: \
         sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    );
}

#[tokio::test(start_paused = true)]
async fn only_the_first_table_names_its_columns() {
    let store = Store::new();
    store.put("pods", pod("x", "Running"));
    let table = Representation::Table {
        version: "v1",
        include: Include::Nothing,
    };
    let query = "watch=1&resourceVersion=0";
    let mut client = Client::open_as(&store, query, table).expect("opened");
    store.put("pods", pod("y", "Running"));
    let mut tables = Vec::new();
    for _ in 0..2 {
        let piece = client.0.next().await.expect("open").expect("no failure");
        let event: Value = serde_json::from_slice(&piece).expect("JSON");
        let columns = event["object"]["columnDefinitions"].as_array();
        let cells = &event["object"]["rows"][0]["cells"];
        tables.push((columns.map(Vec::len), cells[0].clone()));
    }
    assert_eq!(tables, [(Some(9), json!("x")), (None, json!("y"))]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_not_read_ends_when_it_is_too_far_behind() {
    let store = Store::new();
    let mut client = Client::open(&store, "watch=1&resourceVersion=0").expect("opened");
    let put = || store.put("pods", pod("x", "Running"));
    // A burst is no fault of the reader's.
    for _ in 0..10_000 {
        put();
    }
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        put();
    }
    let mut seen = 0;
    while client.event().await.is_some() {
        seen += 1;
    }
    assert_eq!(seen, 10_005, "those of the first ten seconds");
}
