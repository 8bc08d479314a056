//! Which packets make their receiver send some.
//!
//! Looking for packets to send means asking every socket of the simulation:
//! with a thousand nodes that is most of the work of the network. Much of what
//! is sent are acknowledgements, which say nothing to the programs. They can
//! wait for the next packet that matters, unless their receiver has more to
//! send than its peer would take.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use turmoil_net::{Packet, TcpSegment, Transport};

/// What the senders of all connections may still send, as far as their
/// packets tell.
#[derive(Debug, Default)]
pub struct Windows {
    senders: BTreeMap<(SocketAddr, SocketAddr), Sender>,
    /// How many of them cannot send more.
    held_up: usize,
}

/// One direction of a connection, as its sender knows it.
#[derive(Debug, Default, Clone, Copy)]
struct Sender {
    /// The sequence number after the last that it sent.
    next: u32,
    /// The first that its peer has not acknowledged.
    acknowledged: u32,
    /// How many more than that its peer takes.
    window: u16,
}

/// What a packet that arrives calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// Its receiver sends nothing for it.
    None,
    /// An acknowledgement, for which nobody waits.
    Acknowledgement,
    /// Perhaps more.
    More,
}

impl Windows {
    /// Whether some sender cannot send more until its peer says so.
    #[must_use]
    pub fn hold_up(&self) -> bool {
        self.held_up > 0
    }

    /// Takes note of a packet that leaves its sender.
    pub fn sent(&mut self, packet: &Packet) {
        let Transport::Tcp(segment) = &packet.payload else {
            return;
        };
        let length = length(segment);
        if length > 0 {
            self.update(ends(packet, segment), |sender| {
                sender.next = segment.seq.wrapping_add(length);
            });
        }
    }

    /// Takes note of a packet that is about to arrive, and tells what it calls
    /// for.
    pub fn arrives(&mut self, packet: &Packet) -> Answer {
        let Transport::Tcp(segment) = &packet.payload else {
            return Answer::More;
        };
        let (src, dst) = ends(packet, segment);
        if segment.flags.rst {
            self.forget((src, dst));
            self.forget((dst, src));
            return Answer::More;
        }
        let was_held_up = self.update((dst, src), |receiver| {
            receiver.acknowledged = segment.ack;
            receiver.window = segment.window;
        });
        if was_held_up || segment.flags.syn || segment.flags.fin {
            return Answer::More;
        }
        if segment.payload.is_empty() {
            return Answer::None;
        }
        match self
            .senders
            .get(&(src, dst))
            .is_some_and(Sender::is_held_up)
        {
            true => Answer::More,
            false => Answer::Acknowledgement,
        }
    }

    /// Changes one direction of a connection. Returns whether it was held up.
    fn update(&mut self, ends: (SocketAddr, SocketAddr), change: impl FnOnce(&mut Sender)) -> bool {
        let is_new = !self.senders.contains_key(&ends);
        let sender = self.senders.entry(ends).or_default();
        let was_held_up = sender.is_held_up();
        change(sender);
        let before = usize::from(was_held_up && !is_new);
        self.held_up = self.held_up + usize::from(sender.is_held_up()) - before;
        was_held_up
    }

    fn forget(&mut self, ends: (SocketAddr, SocketAddr)) {
        if let Some(sender) = self.senders.remove(&ends) {
            self.held_up -= usize::from(sender.is_held_up());
        }
    }
}

impl Sender {
    /// Whether it can send nothing more, whatever it has.
    fn is_held_up(&self) -> bool {
        self.next.wrapping_sub(self.acknowledged) >= u32::from(self.window)
    }
}

/// Sequence numbers that a segment takes up.
fn length(segment: &TcpSegment) -> u32 {
    u32::try_from(segment.payload.len()).unwrap_or(u32::MAX)
        + u32::from(segment.flags.syn)
        + u32::from(segment.flags.fin)
}

fn ends(packet: &Packet, segment: &TcpSegment) -> (SocketAddr, SocketAddr) {
    (
        SocketAddr::new(packet.src, segment.src_port),
        SocketAddr::new(packet.dst, segment.dst_port),
    )
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use turmoil_net::TcpFlags;

    use super::*;

    /// A packet from port 1 to port 2, or back.
    fn packet(back: bool, seq: u32, ack: u32, window: u16, length: usize) -> Packet {
        let (src, dst) = if back { (2, 1) } else { (1, 2) };
        Packet {
            src: [10, 0, 0, src].into(),
            dst: [10, 0, 0, dst].into(),
            ttl: 64,
            payload: Transport::Tcp(TcpSegment {
                src_port: src.into(),
                dst_port: dst.into(),
                seq,
                ack,
                flags: TcpFlags {
                    ack: true,
                    ..TcpFlags::default()
                },
                window,
                payload: Bytes::from(vec![0; length]),
            }),
        }
    }

    fn flags(mut packet: Packet, flags: TcpFlags) -> Packet {
        if let Transport::Tcp(segment) = &mut packet.payload {
            segment.flags = flags;
        }
        packet
    }

    /// A connection over which nothing was sent yet.
    fn connected() -> Windows {
        let mut windows = Windows::default();
        let syn = TcpFlags {
            syn: true,
            ..TcpFlags::default()
        };
        for (back, ack) in [(false, 0), (true, 1)] {
            let packet = flags(packet(back, 0, ack, 1_000, 0), syn);
            windows.sent(&packet);
            assert_eq!(windows.arrives(&packet), Answer::More);
        }
        let last = packet(false, 1, 1, 1_000, 0);
        windows.sent(&last);
        windows.arrives(&last);
        assert!(!windows.hold_up());
        windows
    }

    #[test]
    fn data_is_acknowledged_and_acknowledgements_are_not() {
        let mut windows = connected();
        let data = packet(false, 1, 1, 1_000, 400);
        windows.sent(&data);
        assert_eq!(windows.arrives(&data), Answer::Acknowledgement);
        let acknowledgement = packet(true, 1, 401, 600, 0);
        windows.sent(&acknowledgement);
        assert_eq!(windows.arrives(&acknowledgement), Answer::None);
    }

    #[test]
    fn a_full_window_is_waited_for() {
        let mut windows = connected();
        let data = packet(false, 1, 1, 1_000, 1_000);
        windows.sent(&data);
        assert!(windows.hold_up());
        assert_eq!(windows.arrives(&data), Answer::More);
        let full = packet(true, 1, 1_001, 0, 0);
        assert_eq!(windows.arrives(&full), Answer::More);
        assert!(windows.hold_up());
        let opened = packet(true, 1, 1_001, 1_000, 0);
        assert_eq!(windows.arrives(&opened), Answer::More);
        assert!(!windows.hold_up());
    }

    #[test]
    fn a_reset_ends_what_was_held_up() {
        let mut windows = connected();
        windows.sent(&packet(false, 1, 1, 1_000, 1_000));
        assert!(windows.hold_up());
        let reset = TcpFlags {
            rst: true,
            ..TcpFlags::default()
        };
        let reset = flags(packet(true, 1, 1, 0, 0), reset);
        assert_eq!(windows.arrives(&reset), Answer::More);
        assert!(!windows.hold_up());
    }
}
