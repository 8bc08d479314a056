//! The event loop: tasks, packets and timers on a paused clock.
//!
//! One future owns all tasks of the simulation and the packets on their way.
//! Each time it is polled it runs the tasks that are ready, collects the
//! packets they sent, asks the [`Links`] when each arrives, delivers what is
//! due, and repeats while anything moved. Then it arms one timer for the next
//! arrival and waits; the runtime, having nothing left to do, moves its paused
//! clock to the nearest timer. Idle time costs nothing.
//!
//! Everything runs on one thread in first-in-first-out order, so the order of
//! events is a function of the inputs. Tokio's timers resolve to one
//! millisecond: every virtual instant is a whole millisecond, and a packet
//! whose latency is a fraction of one arrives at the next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::{Instant, Sleep};
use turmoil_net::{EnterGuard, KernelConfig, Net, Packet};

use super::Stuck;
use super::fabric::Sockets;
use super::link::{Links, reset_for};
use super::path::Fate;
use super::windows::Answer;

/// Turns of the tasks at one virtual instant after which the simulation is
/// taken to be stuck: far more than any legitimate burst needs.
const ROUNDS_AT_ONE_INSTANT: u64 = 2_000_000;

/// What a simulation consists of when it starts.
pub struct Setup {
    /// The machines.
    pub net: Net,
    /// The paths between them.
    pub links: Rc<Links>,
    /// What the machines' sockets tell the loop, and the reverse.
    pub sockets: Rc<Sockets>,
    /// Starts the first tasks; runs inside the simulation.
    pub start: Box<dyn FnOnce()>,
    /// Called after each instant at which something happened.
    pub observe: Box<dyn FnMut()>,
    /// Called once when the end is reached, while time still stands there.
    pub finish: Box<dyn FnOnce()>,
}

/// An empty network whose TCP leaves loss and its recovery to [`Links`].
#[must_use]
pub fn network() -> Net {
    // Retransmission in turmoil-net counts egress passes, which mean nothing
    // here. The MTU only decides how many packets carry the same bytes.
    let config = KernelConfig::default().retx_threshold(u32::MAX).mtu(65_535);
    Net::with_config(config)
}

/// Runs a simulation from virtual time zero until `until`.
///
/// `setup` is called inside the paused runtime with the instant that is
/// virtual time zero.
///
/// # Errors
///
/// [`Stuck`] if virtual time stops moving.
///
/// # Panics
///
/// If called inside another tokio runtime, or if a simulation already runs on
/// this thread.
pub fn run(until: Duration, setup: impl FnOnce(Instant) -> Setup) -> Result<(), Stuck> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing from the system");
    runtime.block_on(async move {
        let start = Instant::now();
        let setup = setup(start);
        let tasks = LocalSet::new();
        let guard = setup.net.enter();
        {
            let _inside = tasks.enter();
            (setup.start)();
        }
        let result = EventLoop {
            tasks: &mut { tasks },
            guard: &guard,
            links: &setup.links,
            sockets: &setup.sockets,
            turn: None,
            observe: setup.observe,
            start,
            on_the_way: BinaryHeap::new(),
            sent: Vec::new(),
            sequence: 0,
            next_arrival: Box::pin(tokio::time::sleep_until(start)),
            end: Box::pin(tokio::time::sleep_until(start + until)),
            instant: start,
            rounds: 0,
        }
        .await;
        (setup.finish)();
        setup.sockets.alive.set(false);
        drop(guard);
        result
    })
}

struct EventLoop<'a> {
    tasks: &'a mut LocalSet,
    guard: &'a EnterGuard,
    links: &'a Links,
    sockets: &'a Sockets,
    /// Tells whether tasks were woken during their turn; made at the first poll.
    turn: Option<Arc<Turn>>,
    observe: Box<dyn FnMut()>,
    start: Instant,
    on_the_way: BinaryHeap<Reverse<Arrival>>,
    sent: Vec<Packet>,
    sequence: u64,
    next_arrival: Pin<Box<Sleep>>,
    end: Pin<Box<Sleep>>,
    instant: Instant,
    rounds: u64,
}

/// The waker of the tasks, which remembers that it was called.
struct Turn {
    woken: AtomicBool,
    runtime: Waker,
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        self.runtime.wake_by_ref();
    }
}

/// A packet on its way. Packets that arrive together are delivered in the
/// order in which they were sent.
struct Arrival {
    at: Instant,
    sequence: u64,
    packet: Packet,
}

impl Future for EventLoop<'_> {
    type Output = Result<(), Stuck>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            if let Err(stuck) = this.run_tasks(cx) {
                return Poll::Ready(Err(stuck));
            }
            this.send();
            if !this.deliver() {
                break;
            }
        }
        (this.observe)();
        if this.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if let Some(Reverse(next)) = this.on_the_way.peek() {
            this.next_arrival.as_mut().reset(next.at);
            if this.next_arrival.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}

impl EventLoop<'_> {
    fn count_round(&mut self) -> Result<(), Stuck> {
        let now = Instant::now();
        if now != self.instant {
            self.instant = now;
            self.rounds = 0;
        }
        self.rounds += 1;
        if self.rounds > ROUNDS_AT_ONE_INSTANT {
            return Err(Stuck {
                at: now.duration_since(self.start),
            });
        }
        Ok(())
    }

    /// Runs tasks until none is ready. The set returns after a limited number
    /// of them and wakes its waker if there are more.
    fn run_tasks(&mut self, cx: &Context<'_>) -> Result<(), Stuck> {
        let turn = Arc::clone(match &mut self.turn {
            Some(turn) if turn.runtime.will_wake(cx.waker()) => turn,
            turn => turn.insert(Arc::new(Turn {
                woken: AtomicBool::new(false),
                runtime: cx.waker().clone(),
            })),
        });
        let waker = Waker::from(Arc::clone(&turn));
        loop {
            self.count_round()?;
            turn.woken.store(false, Ordering::Relaxed);
            let _ = Pin::new(&mut *self.tasks).poll(&mut Context::from_waker(&waker));
            if !turn.woken.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }

    /// Puts every packet that tasks sent on its way.
    fn send(&mut self) {
        if !self.sockets.used.take() {
            return;
        }
        let resets = self.sockets.resets.take();
        let forgets = !resets.is_empty();
        for reset in resets {
            self.guard.deliver(reset);
        }
        self.guard.egress_all(&mut self.sent);
        if forgets {
            self.sockets.forgotten.notify_waiters();
        }
        for packet in self.sent.drain(..) {
            self.sockets.windows.borrow_mut().sent(&packet);
            let (packet, at) = match self.links.fate(&packet) {
                Fate::Arrives(at) => (packet, at),
                Fate::Lost => continue,
                Fate::Refused => match reset_for(&packet) {
                    Some(reset) => (reset, self.instant),
                    None => continue,
                },
            };
            let sequence = self.sequence;
            self.sequence += 1;
            self.on_the_way.push(Reverse(Arrival {
                at,
                sequence,
                packet,
            }));
        }
    }

    /// Delivers what is due. Returns whether anything was.
    fn deliver(&mut self) -> bool {
        let mut any = false;
        while self
            .on_the_way
            .peek()
            .is_some_and(|Reverse(next)| next.at <= self.instant)
        {
            let Reverse(arrival) = self.on_the_way.pop().expect("peeked");
            let answer = self.sockets.windows.borrow_mut().arrives(&arrival.packet);
            match answer {
                Answer::None => {}
                Answer::Acknowledgement => self.sockets.acknowledged(),
                Answer::More => self.sockets.used.set(true),
            }
            self.guard.deliver(arrival.packet);
            any = true;
        }
        any
    }
}

impl PartialEq for Arrival {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Arrival {}

impl PartialOrd for Arrival {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Arrival {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}
