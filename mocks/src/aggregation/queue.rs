//! A work queue with rate limiting, as client-go's controllers use it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A queue of names to be worked on.
///
/// A name is queued at most once, is never worked on by two workers at a time,
/// and is queued again afterwards if it was added meanwhile. Of two delays for
/// the same name the one that ends sooner counts.
///
/// Source: client-go `util/workqueue/{queue,delaying_queue,default_rate_limiters}.go`.
#[derive(Clone)]
pub(crate) struct WorkQueue {
    inner: Rc<RefCell<Inner>>,
    changed: Rc<Notify>,
}

struct Inner {
    base: Duration,
    cap: Duration,
    order: VecDeque<String>,
    dirty: BTreeSet<String>,
    processing: BTreeSet<String>,
    waiting: BTreeMap<String, Instant>,
    failures: BTreeMap<String, u32>,
}

impl WorkQueue {
    /// A queue whose items wait `base`, doubling to `cap`, after failures.
    pub(crate) fn new(base: Duration, cap: Duration) -> Self {
        Self {
            inner: Rc::new(RefCell::new(Inner {
                base,
                cap,
                order: VecDeque::new(),
                dirty: BTreeSet::new(),
                processing: BTreeSet::new(),
                waiting: BTreeMap::new(),
                failures: BTreeMap::new(),
            })),
            changed: Rc::new(Notify::new()),
        }
    }

    /// Queues a name.
    pub(crate) fn add(&self, name: &str) {
        self.change(|inner| inner.add(name));
    }

    /// Queues a name after a delay.
    pub(crate) fn add_after(&self, name: &str, delay: Duration) {
        self.change(|inner| inner.add_after(name, delay));
    }

    /// Queues a name after its back-off, which doubles each time.
    pub(crate) fn add_rate_limited(&self, name: &str) {
        self.change(|inner| {
            let delay = inner.next_backoff(name);
            inner.add_after(name, delay);
        });
    }

    /// Forgets a name's failures.
    pub(crate) fn forget(&self, name: &str) {
        self.inner.borrow_mut().failures.remove(name);
    }

    /// Says that the work on a name is done.
    pub(crate) fn done(&self, name: &str) {
        self.change(|inner| {
            inner.processing.remove(name);
            if inner.dirty.contains(name) {
                inner.order.push_back(name.to_owned());
            }
        });
    }

    /// The next name to work on. Call [`WorkQueue::done`] afterwards.
    pub(crate) async fn next(&self) -> String {
        loop {
            let (name, due) = self.inner.borrow_mut().take();
            match (name, due) {
                (Some(name), _) => return name,
                (None, None) => self.changed.notified().await,
                (None, Some(due)) => {
                    // Either the delay ends or something was added: look again.
                    let _ = tokio::time::timeout_at(due, self.changed.notified()).await;
                }
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.inner.borrow_mut();
        inner.promote();
        change(&mut inner);
        self.changed.notify_one();
    }
}

impl Inner {
    fn add(&mut self, name: &str) {
        let is_new = self.dirty.insert(name.to_owned());
        if is_new && !self.processing.contains(name) {
            self.order.push_back(name.to_owned());
        }
    }

    fn add_after(&mut self, name: &str, delay: Duration) {
        if delay.is_zero() {
            return self.add(name);
        }
        let due = Instant::now() + delay;
        self.waiting
            .entry(name.to_owned())
            .and_modify(|known| *known = due.min(*known))
            .or_insert(due);
    }

    fn next_backoff(&mut self, name: &str) -> Duration {
        let failures = self.failures.entry(name.to_owned()).or_default();
        let delay = 2_u32
            .checked_pow(*failures)
            .and_then(|factor| self.base.checked_mul(factor))
            .map_or(self.cap, |delay| delay.min(self.cap));
        *failures += 1;
        delay
    }

    /// Queues what has waited long enough.
    fn promote(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut ready = Vec::new();
        self.waiting.retain(|name, due| {
            let waits = *due > now;
            if !waits {
                ready.push(name.clone());
            }
            waits
        });
        for name in ready {
            self.add(&name);
        }
    }

    fn take(&mut self) -> (Option<String>, Option<Instant>) {
        self.promote();
        let next = self.order.pop_front();
        if let Some(name) = &next {
            self.dirty.remove(name);
            self.processing.insert(name.clone());
        }
        (next, self.waiting.values().min().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> WorkQueue {
        WorkQueue::new(Duration::from_millis(5), Duration::from_secs(30))
    }

    #[tokio::test(start_paused = true)]
    async fn failures_wait_5_10_20_milliseconds_up_to_30_seconds() {
        let queue = queue();
        let mut last = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..15 {
            queue.add_rate_limited("a");
            let name = queue.next().await;
            queue.done(&name);
            waits.push(last.elapsed().as_millis());
            last = Instant::now();
        }
        assert_eq!(
            waits,
            [
                5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10240, 20480, 30000, 30000
            ]
        );
        queue.forget("a");
        queue.add_rate_limited("a");
        queue.next().await;
        assert_eq!(last.elapsed().as_millis(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_added_while_worked_on_is_worked_on_again_once() {
        let queue = queue();
        queue.add("a");
        let name = queue.next().await;
        queue.add("a");
        queue.add("a");
        let idle = tokio::time::timeout(Duration::from_secs(1), queue.next());
        assert!(idle.await.is_err(), "one worker at a time");
        queue.done(&name);
        assert_eq!(queue.next().await, "a");
        queue.done("a");
        let idle = tokio::time::timeout(Duration::from_secs(1), queue.next());
        assert!(idle.await.is_err(), "additions coalesce");
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_delays_the_sooner_counts() {
        let queue = queue();
        let start = Instant::now();
        queue.add_after("a", Duration::from_millis(10));
        queue.add_after("a", Duration::from_millis(40));
        queue.next().await;
        assert_eq!(start.elapsed().as_millis(), 10);
        queue.done("a");
        let idle = tokio::time::timeout(Duration::from_secs(1), queue.next());
        assert!(idle.await.is_err(), "the later one was merged");
    }
}
