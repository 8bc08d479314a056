//! Delay, loss and outages on a real connection.
//!
//! The program holds one end of a pipe; two tasks carry bytes between the pipe
//! and the socket, each piece when the path lets it arrive.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::join;
use seam::{BoxStream, Tasks};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::engine::path::{Fate, Hop, Paths, Segment};

/// Bytes that the pipe holds.
const PIPE: usize = 64 * 1024;
/// Bytes that travel as one piece at most.
const PIECE: usize = 16 * 1024;
/// Pieces on their way in one direction.
const ON_THE_WAY: usize = 64;

/// One end of a connection whose path has rules.
pub(super) struct Relay {
    pub(super) paths: Rc<Paths>,
    /// What the program sends.
    pub(super) out: Hop,
}

impl Relay {
    /// Puts `socket` behind the rules.
    pub(super) fn start(self, tasks: &Tasks, socket: TcpStream) -> BoxStream {
        let (program, inside) = duplex(PIPE);
        let failed = Rc::new(Cell::new(None));
        let (from_program, to_program) = tokio::io::split(inside);
        let (from_socket, to_socket) = socket.into_split();
        let out = Direction {
            paths: Rc::clone(&self.paths),
            hop: self.out,
            failed: Rc::clone(&failed),
        };
        let back = Direction {
            paths: self.paths,
            hop: self.out.reply(),
            failed: Rc::clone(&failed),
        };
        tasks.spawn(out.carry(from_program, to_socket));
        tasks.spawn(back.carry(from_socket, to_program));
        Box::new(Relayed { program, failed })
    }
}

/// The program's end of the pipe.
struct Relayed {
    program: DuplexStream,
    failed: Rc<Cell<Option<io::ErrorKind>>>,
}

/// One direction of a connection.
struct Direction {
    paths: Rc<Paths>,
    hop: Hop,
    failed: Rc<Cell<Option<io::ErrorKind>>>,
}

impl Direction {
    async fn carry(self, from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin) {
        let (sender, receiver) = mpsc::channel(ON_THE_WAY);
        join(self.send(from, sender), receive(receiver, to)).await;
    }

    /// Sends pieces on their way, in order, until the source ends.
    async fn send(
        &self,
        mut from: impl AsyncRead + Unpin,
        on_the_way: mpsc::Sender<(Instant, Bytes)>,
    ) {
        let mut piece = vec![0; PIECE];
        let mut latest = Instant::now();
        loop {
            let read = match from.read(&mut piece).await {
                Ok(read) => read,
                Err(error) => return self.failed.set(Some(error.kind())),
            };
            match self.paths.fate(self.hop, Segment::Data, Instant::now()) {
                Fate::Arrives(at) => latest = latest.max(at),
                Fate::Refused => return self.failed.set(Some(io::ErrorKind::ConnectionReset)),
                Fate::Lost => return self.failed.set(Some(io::ErrorKind::TimedOut)),
            }
            let bytes = Bytes::copy_from_slice(&piece[..read]);
            // No bytes are the end of the stream, which travels as the rest does.
            if on_the_way.send((latest, bytes)).await.is_err() || read == 0 {
                return;
            }
        }
    }
}

/// Delivers pieces when they are due.
async fn receive(
    mut on_the_way: mpsc::Receiver<(Instant, Bytes)>,
    mut to: impl AsyncWrite + Unpin,
) {
    while let Some((at, bytes)) = on_the_way.recv().await {
        sleep_until(at).await;
        if bytes.is_empty() || to.write_all(&bytes).await.is_err() {
            break;
        }
    }
    // Whoever is at the other end may have gone first.
    let _ = to.shutdown().await;
}

impl AsyncRead for Relayed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.program).poll_read(cx, buf);
        match (&read, self.failed.get()) {
            (Poll::Ready(Ok(())), Some(kind)) if buf.filled().len() == before => {
                Poll::Ready(Err(kind.into()))
            }
            _ => read,
        }
    }
}

impl AsyncWrite for Relayed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.program).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.program).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.program).poll_shutdown(cx)
    }
}
