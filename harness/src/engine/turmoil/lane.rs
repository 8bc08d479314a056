//! What path rules do to one direction of a connection.
//!
//! The sender decides what becomes of each piece when it sends it; a task then
//! hands the piece to turmoil when the rules let it, from where it takes
//! another tick.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use ::turmoil::net::TcpStream;
use ::turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use bytes::Bytes;
use seam::Tasks;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, sleep_until};

use crate::engine::path::{Fate, Hop, Paths, Segment};

/// Pieces that wait for their time, at most.
const WAITING: usize = 64;

/// One end of a connection whose path has rules.
pub(super) struct Ruled {
    read: OwnedReadHalf,
    lane: Lane,
}

impl Ruled {
    /// Puts what `stream` sends, which makes this `hop`, under the rules of
    /// `paths`.
    pub(super) fn new(stream: TcpStream, hop: Hop, paths: Rc<Paths>, tasks: &Tasks) -> Self {
        let (read, write) = stream.into_split();
        let queue = Rc::new(RefCell::new(Queue::default()));
        tasks.spawn(carry(Rc::clone(&queue), write));
        let lane = Lane { paths, hop, queue };
        Self { read, lane }
    }

    /// Sends `bytes` as a segment of its own.
    pub(super) async fn send(&mut self, bytes: &'static [u8], kind: Segment) -> io::Result<()> {
        poll_fn(|cx| self.lane.poll_send(cx, bytes, kind))
            .await
            .map(|_| ())
    }
}

impl AsyncRead for Ruled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(kind) = self.lane.queue.borrow().broken {
            return Poll::Ready(Err(kind.into()));
        }
        let read = Pin::new(&mut self.read).poll_read(cx, buf);
        if read.is_pending() {
            // A reset that answers what is sent meanwhile ends the reading too.
            self.lane.queue.borrow_mut().reader = Some(cx.waker().clone());
        }
        read
    }
}

impl AsyncWrite for Ruled {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.lane.poll_send(cx, buf, Segment::Data)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lane.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Ruled {
    fn drop(&mut self) {
        self.lane.end();
    }
}

/// The way out.
struct Lane {
    paths: Rc<Paths>,
    hop: Hop,
    queue: Rc<RefCell<Queue>>,
}

/// Pieces on their way out.
#[derive(Default)]
struct Queue {
    pieces: VecDeque<(Instant, Piece)>,
    /// When the latest of them is due: none overtakes another.
    latest: Option<Instant>,
    /// Nothing follows any more: the end was sent, or something was lost, past
    /// which the other end cannot read.
    closed: bool,
    broken: Option<io::ErrorKind>,
    carrier: Option<Waker>,
    writer: Option<Waker>,
    reader: Option<Waker>,
}

enum Piece {
    Bytes(Bytes),
    End,
}

impl Lane {
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        kind: Segment,
    ) -> Poll<io::Result<usize>> {
        let mut queue = self.queue.borrow_mut();
        if queue.broken.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if queue.pieces.len() >= WAITING {
            queue.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(queue);
        self.depart(Piece::Bytes(Bytes::copy_from_slice(buf)), kind);
        Poll::Ready(Ok(buf.len()))
    }

    fn end(&self) {
        if !self.queue.borrow().closed {
            self.depart(Piece::End, Segment::Data);
            self.queue.borrow_mut().closed = true;
        }
    }

    fn depart(&self, piece: Piece, kind: Segment) {
        let now = Instant::now();
        let fate = self.paths.fate(self.hop, kind, now);
        let mut queue = self.queue.borrow_mut();
        if queue.closed {
            return;
        }
        match fate {
            Fate::Arrives(at) => {
                let at = queue.latest.map_or(at, |latest| latest.max(at));
                queue.latest = Some(at);
                queue.pieces.push_back((at, piece));
                wake(&mut queue.carrier);
            }
            Fate::Lost => queue.closed = true,
            Fate::Refused => {
                queue.closed = true;
                queue.broken = Some(io::ErrorKind::ConnectionReset);
                wake(&mut queue.reader);
            }
        }
    }
}

/// Hands pieces to turmoil when they are due.
async fn carry(queue: Rc<RefCell<Queue>>, mut write: OwnedWriteHalf) {
    loop {
        let (at, piece) = poll_fn(|cx| queue.borrow_mut().poll_next(cx)).await;
        sleep_until(at).await;
        let sent = match piece {
            Piece::Bytes(bytes) => write.write_all(&bytes).await,
            Piece::End => return,
        };
        if let Err(error) = sent {
            let mut queue = queue.borrow_mut();
            queue.broken = Some(error.kind());
            queue.closed = true;
            wake(&mut queue.writer);
            return;
        }
    }
}

impl Queue {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(Instant, Piece)> {
        let next = match self.pieces.pop_front() {
            Some(next) => Poll::Ready(next),
            None => {
                self.carrier = Some(cx.waker().clone());
                Poll::Pending
            }
        };
        let next = ready!(next);
        wake(&mut self.writer);
        Poll::Ready(next)
    }
}

fn wake(waiting: &mut Option<Waker>) {
    if let Some(waker) = waiting.take() {
        waker.wake();
    }
}
