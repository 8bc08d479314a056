//! Values that change at given times.

use std::rc::Rc;
use std::time::Duration;

use seam::Moment;
use tokio::time::Instant;

/// A value that changes at given times after the simulation's start.
///
/// Cloning shares the script.
#[derive(Debug)]
pub struct Script<T> {
    start: Moment,
    entries: Rc<[(Duration, T)]>,
}

impl<T> Clone for Script<T> {
    fn clone(&self) -> Self {
        Self {
            start: self.start,
            entries: Rc::clone(&self.entries),
        }
    }
}

impl<T> Script<T> {
    /// `entries` start at zero, and their times increase.
    ///
    /// # Panics
    ///
    /// If there is no entry at zero or times do not increase.
    #[must_use]
    pub fn new(start: impl Into<Moment>, entries: Vec<(Duration, T)>) -> Self {
        assert!(
            entries.first().is_some_and(|(at, _)| at.is_zero()),
            "a script says what holds from the start"
        );
        assert!(
            entries.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "a script's times increase"
        );
        Self {
            start: start.into(),
            entries: entries.into(),
        }
    }

    /// A value that never changes.
    #[must_use]
    pub fn always(value: T) -> Self {
        Self::new(Instant::now(), vec![(Duration::ZERO, value)])
    }

    /// The value in force at a time after the simulation's start.
    #[must_use]
    pub fn at(&self, time: Duration) -> &T {
        let next = self.entries.partition_point(|(at, _)| *at <= time);
        &self.entries[next - 1].1
    }

    /// How long the value in force has held.
    #[must_use]
    pub fn held(&self) -> Duration {
        let since = self.entries[self.index()].0;
        self.start.elapsed().saturating_sub(since)
    }

    /// The value in force now.
    #[must_use]
    pub fn current(&self) -> &T {
        &self.entries[self.index()].1
    }

    /// Waits until the value in force changes; for ever after the last change.
    pub async fn changed(&self) {
        match self.entries.get(self.index() + 1) {
            Some((at, _)) => (self.start + *at).come().await,
            None => std::future::pending().await,
        }
    }

    fn index(&self) -> usize {
        let now = self.start.elapsed();
        self.entries.partition_point(|(at, _)| *at <= now) - 1
    }
}
