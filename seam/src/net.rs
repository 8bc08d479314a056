//! TCP as a program sees it: dial, listen, look up a name.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connected byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Stream for T {}

/// A connected byte stream of whatever engine is underneath.
pub type BoxStream = Box<dyn Stream>;

/// A bound socket that hands out connections.
pub trait Listener {
    /// Returns the next connection and its peer's address.
    ///
    /// # Errors
    ///
    /// As `accept(2)`. An error concerns one connection; keep accepting.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(BoxStream, SocketAddr)>>;

    /// The address the socket is bound to, with the port the system chose if
    /// 0 was asked for.
    fn local_addr(&self) -> SocketAddr;
}

/// A bound socket of whatever engine is underneath. Dropping it closes the
/// port: later dials are refused, and connections not yet accepted are reset.
pub type BoxListener = Box<dyn Listener>;

impl dyn Listener {
    /// Waits for the next connection.
    ///
    /// # Errors
    ///
    /// As [`Listener::poll_accept`].
    pub async fn accept(&mut self) -> io::Result<(BoxStream, SocketAddr)> {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }
}

/// The network as seen from one machine.
pub trait Network {
    /// Opens a connection. Waits as long as nobody answers: the caller brings
    /// the time-out.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` if the peer answered with a reset,
    /// `HostUnreachable` if a router or firewall rejected the packet, and
    /// [`InTheWay`] inside another error if a proxy or tunnel did.
    fn dial(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxStream>>;

    /// Binds a port and starts to listen: from then on the peer's system
    /// completes handshakes, whether or not anyone accepts.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if somebody on this machine holds the port.
    fn listen(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxListener>>;

    /// Resolves a host name to addresses. Literal addresses are not names:
    /// callers parse those first.
    ///
    /// # Errors
    ///
    /// See [`LookupError`].
    fn lookup(&self, name: &str) -> LocalBoxFuture<'static, Result<Vec<IpAddr>, LookupError>>;
}

/// What stood in the way of a dial, where that is neither end of it: a proxy or
/// a tunnel. Inside an [`io::Error`]; its text is all that a user sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InTheWay(pub String);

impl InTheWay {
    /// What stood in the way, if that is why a dial failed.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for InTheWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InTheWay {}

/// Why a name could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupError {
    /// The server says that the name does not exist (NXDOMAIN). `server` is
    /// the name server's address, for the error text, where known.
    NoSuchHost {
        /// `10.43.0.10:53`
        server: Option<SocketAddr>,
    },
    /// The server failed (SERVFAIL) or refused to answer (REFUSED).
    ServerFailure {
        /// `10.43.0.10:53`
        server: Option<SocketAddr>,
    },
    /// Nobody answered.
    Timeout {
        /// `10.43.0.10:53`
        server: Option<SocketAddr>,
    },
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchHost { .. } => "no such host",
            Self::ServerFailure { .. } => "server misbehaving",
            Self::Timeout { .. } => "i/o timeout",
        })
    }
}

impl std::error::Error for LookupError {}
