//! A process whose work is held up.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use aggregator::pace::{Pace, Work};
use aggregator::version::Version;
use tokio::time::Instant;

use super::{ARGUMENTS, World, run};

/// Holds up what `delay` says, and remembers what it was asked for.
struct Slow {
    delay: fn(&Work<'_>) -> u64,
    asked: RefCell<Vec<String>>,
}

impl Slow {
    fn new(delay: fn(&Work<'_>) -> u64) -> Rc<Self> {
        Rc::new(Self {
            delay,
            asked: RefCell::default(),
        })
    }
}

impl Pace for Slow {
    fn delay(&self, work: &Work<'_>) -> Duration {
        self.asked.borrow_mut().push(format!("{work:?}"));
        Duration::from_millis((self.delay)(work))
    }
}

/// A pace for other tests.
pub(crate) fn slow(delay: fn(&Work<'_>) -> u64) -> Rc<dyn Pace> {
    Slow::new(delay)
}

async fn started(slow: &Rc<Slow>) -> World {
    let mut world = World::new();
    world.pace = Rc::clone(slow) as Rc<dyn Pace>;
    world.start_api_server().await;
    world.start_kubelet().await;
    world.start(Version::V0_8, ARGUMENTS);
    world
}

#[test]
fn a_request_waits_for_its_handshake_and_its_answer() {
    run(async || {
        let slow = Slow::new(|work| match work {
            Work::Handshake => 300,
            Work::Request { path: "/livez" } => 4_000,
            _ => 0,
        });
        let world = started(&slow).await;
        world.until(5_000).await;
        slow.asked.borrow_mut().clear();
        for (path, milliseconds) in [("/livez", 4_300), ("/healthz?verbose", 300)] {
            let began = Instant::now();
            assert_eq!(world.get(path, &[], None).await.0, 200);
            let took = began.elapsed().as_millis();
            assert!((milliseconds..milliseconds + 10).contains(&took), "{took}");
        }
        assert_eq!(
            *slow.asked.borrow(),
            [
                "Handshake",
                "Request { path: \"/livez\" }",
                "Handshake",
                "Request { path: \"/healthz\" }"
            ]
        );
    });
}

#[test]
fn a_request_that_is_held_up_past_the_limit_is_told_so() {
    run(async || {
        let world = started(&Slow::new(|work| match work {
            Work::Request { .. } => 61_000,
            _ => 0,
        }))
        .await;
        world.until(5_000).await;
        let (status, body) = world.get("/apis/metrics.k8s.io/v1beta1", &[], None).await;
        assert_eq!(status, 504, "{body}");
    });
}

#[test]
fn a_scrape_that_is_held_up_fails_at_its_deadline() {
    run(async || {
        let world = started(&Slow::new(|work| match work {
            Work::Scrape { tick: 1, .. } => 12_000,
            _ => 0,
        }))
        .await;
        world.until(20_000).await;
        let scraped = world.seen.all("Scraped {");
        assert!(
            scraped[0].contains("context deadline exceeded") && scraped[0].contains("duration: 10"),
            "{scraped:?}"
        );
        assert!(scraped[1].contains("outcome: \"200\""), "{scraped:?}");
    });
}

#[test]
fn storing_late_makes_data_late_and_liveness_fail() {
    run(async || {
        let world = started(&Slow::new(|work| match work {
            Work::Store {
                tick: 2,
                nodes: 1,
                pods: 1,
            } => 40_000,
            _ => 0,
        }))
        .await;
        world.until(16_000).await;
        let second = world.seen.times("TickStarted { tick: 2")[0];
        world.until(39_000).await;
        assert_eq!(world.get("/livez", &[], None).await.0, 500);
        // The tick that was due at 30 s begins now, and counts from then.
        world.until(60_000).await;
        assert_eq!(world.get("/livez", &[], None).await.0, 500);
        world.until(61_000).await;
        let stored = world.seen.times("TickStored { tick: 2")[0];
        assert!((40_000..40_050).contains(&(stored - second)), "{stored}");
        assert_eq!(world.get("/livez", &[], None).await.0, 200);
    });
}
