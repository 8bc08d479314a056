//! The seam on the real thing: the operating system's sockets, clock,
//! randomness and files.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::{FutureExt, LocalBoxFuture};

use crate::{
    BoxListener, BoxStream, Entropy, Files, Host, Listener, LookupError, Network, Random,
    Timestamp, WallClock,
};

/// This machine. Must be used inside a tokio runtime with I/O enabled, on a
/// `LocalSet`.
#[must_use]
pub fn host(name: &str) -> Host {
    Host::new(
        name,
        Rc::new(SystemNetwork),
        Arc::new(SystemClock),
        Rc::new(SystemEntropy),
        Rc::new(SystemFiles),
    )
}

/// The operating system's TCP and resolver.
#[derive(Debug, Clone, Copy)]
pub struct SystemNetwork;

impl Network for SystemNetwork {
    fn dial(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxStream>> {
        async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxStream)
        }
        .boxed_local()
    }

    fn listen(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxListener>> {
        async move {
            let listener = tokio::net::TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Box::new(SystemListener { listener, address }) as BoxListener)
        }
        .boxed_local()
    }

    fn lookup(&self, name: &str) -> LocalBoxFuture<'static, Result<Vec<IpAddr>, LookupError>> {
        let name = name.to_owned();
        async move {
            match tokio::net::lookup_host((name.as_str(), 0)).await {
                Ok(found) => Ok(found.map(|address| address.ip()).collect()),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    Err(LookupError::Timeout { server: None })
                }
                // getaddrinfo's reasons arrive as text only; a name that does
                // not resolve is by far the commonest.
                Err(_) => Err(LookupError::NoSuchHost { server: None }),
            }
        }
        .boxed_local()
    }
}

struct SystemListener {
    listener: tokio::net::TcpListener,
    address: SocketAddr,
}

impl Listener for SystemListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(BoxStream, SocketAddr)>> {
        self.listener.poll_accept(cx).map_ok(|(stream, peer)| {
            // Without it small responses wait for the peer's delayed ACK.
            // A socket that refuses is still usable.
            let _ = stream.set_nodelay(true);
            (Box::new(stream) as BoxStream, peer)
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

/// The operating system's real-time clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl WallClock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system's clock"
    )]
    fn now(&self) -> Timestamp {
        let now = SystemTime::now();
        match now.duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp::EPOCH.after(since),
            Err(before) => {
                let nanos = i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX);
                Timestamp::EPOCH.offset(-nanos)
            }
        }
    }
}

/// Unpredictable enough for jitter and staggering; never for keys.
#[derive(Debug, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn stream(&self, _name: &str) -> Box<dyn Random> {
        // The standard library keys each `RandomState` from the system's
        // randomness: the one source it offers without another dependency.
        Box::new(SplitMix64(RandomState::new().build_hasher().finish()))
    }
}

/// Sebastiano Vigna's SplitMix64: one addition and two multiplications.
struct SplitMix64(u64);

impl Random for SplitMix64 {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The operating system's file system.
#[derive(Debug, Clone, Copy)]
pub struct SystemFiles;

impl Files for SystemFiles {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn write(&self, path: &str, contents: &[u8], private: bool) -> io::Result<()> {
        if let Some(directory) = Path::new(path).parent() {
            std::fs::create_dir_all(directory)?;
        }
        std::fs::write(path, contents)?;
        set_mode(path, if private { 0o600 } else { 0o644 })
    }
}

#[cfg(unix)]
fn set_mode(path: &str, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_path: &str, _mode: u32) -> io::Result<()> {
    Ok(())
}
