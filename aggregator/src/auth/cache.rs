//! Answers that are good for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// A bounded map whose entries expire.
#[derive(Debug)]
pub struct ExpiringCache<K, V> {
    entries: BTreeMap<K, (Instant, V)>,
    capacity: usize,
}

impl<K: Ord, V: Clone> ExpiringCache<K, V> {
    /// An empty cache of at most `capacity` entries.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            capacity,
        }
    }

    /// The value of a key, if it is still good.
    pub fn get(&self, key: &K) -> Option<V> {
        let (expires, value) = self.entries.get(key)?;
        (Instant::now() < *expires).then(|| value.clone())
    }

    /// Remembers a value for some time. If there is no room, expired entries
    /// go first, and then all.
    pub fn insert(&mut self, key: K, value: V, good_for: Duration) {
        let now = Instant::now();
        if self.entries.len() >= self.capacity {
            self.entries.retain(|_, (expires, _)| now < *expires);
        }
        if self.entries.len() >= self.capacity {
            self.entries.clear();
        }
        self.entries.insert(key, (now + good_for, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_entry_is_gone_when_its_time_is_over() {
        let mut cache = ExpiringCache::new(4);
        cache.insert("a", 1, Duration::from_secs(10));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert_eq!(cache.get(&"a"), Some(1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(cache.get(&"a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_cache_keeps_working() {
        let mut cache = ExpiringCache::new(2);
        for key in 0..100 {
            cache.insert(key, key, Duration::from_secs(10));
            assert_eq!(cache.get(&key), Some(key));
            assert!(cache.entries.len() <= 2);
        }
    }
}
