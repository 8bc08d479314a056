//! The first bytes of a connection: who speaks HTTP where TLS is spoken is told
//! so.
//!
//! Source: Go `net/http/server.go (*conn).serve, tlsRecordHeaderLooksLikeHTTP`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use seam::BoxStream;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

/// The head of a TLS record.
const HEAD: usize = 5;

/// What the first bytes of an HTTP request are.
const REQUESTS: [&[u8; HEAD]; 5] = [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"];

const REPLY: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// What Go says of such a connection.
const REASON: &str = "client sent an HTTP request to an HTTPS server";

/// The connection, unless it begins with an HTTP request: that is answered 400.
pub(super) async fn open(mut stream: BoxStream) -> io::Result<BoxStream> {
    let mut head = [0; HEAD];
    let mut length = 0;
    while length < HEAD {
        match stream.read(&mut head[length..]).await? {
            0 => break,
            read => length += read,
        }
    }
    if REQUESTS.contains(&&head) {
        // A close with something unread would overtake the reply.
        let _ = stream.read(&mut [0; 4096]).await?;
        stream.write_all(REPLY).await?;
        stream.shutdown().await?;
        return Err(io::Error::new(io::ErrorKind::InvalidData, REASON));
    }
    Ok(Box::new(Opened {
        head,
        unread: 0..length,
        stream,
    }))
}

/// A connection whose first bytes were read.
struct Opened {
    head: [u8; HEAD],
    unread: std::ops::Range<usize>,
    stream: BoxStream,
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let end = self.unread.end.min(self.unread.start + buffer.remaining());
        buffer.put_slice(&self.head[self.unread.start..end]);
        self.unread.start = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Opened {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
