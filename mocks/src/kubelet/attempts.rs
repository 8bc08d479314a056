//! What the next attempts to reach a kubelet meet, one after the other.

use std::cell::Cell;
use std::time::Duration;

/// What one attempt meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The connection is refused.
    Refused,
    /// The handshake ends with the alert `internal_error`.
    NoCertificate,
    /// The request is never answered.
    Hang,
    /// The request is answered with this status.
    Status(u16),
    /// The request is answered, and takes this much longer.
    Slow(Duration),
    /// Whatever the rest of the behaviour makes of it.
    Ok,
}

impl Attempt {
    /// Whether it is met before there is a request.
    fn is_of_connections(self) -> bool {
        matches!(self, Self::Refused | Self::NoCertificate)
    }
}

/// A list of attempts that are still to come. The last one stays for ever.
///
/// A new connection uses up an entry that is met while connecting, a request
/// any other. A request on a connection that exists already does not use up an
/// entry of the former kind; answers before such an entry close their
/// connection, so that there is none.
#[derive(Debug)]
pub struct Attempts {
    entries: Box<[Attempt]>,
    next: Cell<usize>,
}

impl Attempts {
    /// These attempts, in order.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn new(entries: Vec<Attempt>) -> Self {
        assert!(!entries.is_empty(), "a script has at least one entry");
        Self {
            entries: entries.into(),
            next: Cell::new(0),
        }
    }

    /// Whether a dial that comes now is refused; if so it has used up that
    /// entry.
    pub fn refuses(&self) -> bool {
        self.take(|entry| entry == Attempt::Refused).is_some()
    }

    /// Whether a handshake that comes now finds no certificate; likewise.
    pub(super) fn has_no_certificate(&self) -> bool {
        self.take(|entry| entry == Attempt::NoCertificate).is_some()
    }

    /// What a request that comes now meets, and whether its answer is the
    /// last on its connection.
    pub(super) fn request(&self) -> (Attempt, bool) {
        let met = self.take(|entry| !entry.is_of_connections());
        (
            met.unwrap_or(Attempt::Ok),
            self.current().is_of_connections(),
        )
    }

    fn current(&self) -> Attempt {
        self.entries[self.next.get()]
    }

    fn take(&self, wanted: impl FnOnce(Attempt) -> bool) -> Option<Attempt> {
        let current = self.current();
        if !wanted(current) {
            return None;
        }
        let last = self.entries.len() - 1;
        self.next.set((self.next.get() + 1).min(last));
        Some(current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_attempt_uses_up_its_own_entries_and_the_last_one_stays() {
        let attempts = Attempts::new(vec![
            Attempt::Refused,
            Attempt::Refused,
            Attempt::Status(503),
            Attempt::NoCertificate,
            Attempt::Ok,
        ]);
        assert!(attempts.refuses() && attempts.refuses() && !attempts.refuses());
        assert!(!attempts.has_no_certificate());
        // The connection closes: the next entry concerns connections.
        assert_eq!(attempts.request(), (Attempt::Status(503), true));
        // On a connection that is there all the same nothing is used up.
        assert_eq!(attempts.request(), (Attempt::Ok, true));
        assert!(attempts.has_no_certificate() && !attempts.has_no_certificate());
        for _ in 0..3 {
            assert_eq!(attempts.request(), (Attempt::Ok, false));
        }
    }
}
