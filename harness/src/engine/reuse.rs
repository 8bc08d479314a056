//! `SO_REUSEADDR`: connections that are being closed do not hold their port.
//!
//! Go sets the option on every listener, so that a process that starts again
//! gets its port although the network still owes its predecessor's peers a
//! farewell. turmoil-net does not have it. What keeps a port from somebody who
//! wants to listen there is therefore forgotten: what it had to send is on its
//! way already, and Linux too answers with a reset what still comes for it.
//!
//! Source: Go `net/sockopt_linux.go: setDefaultListenerSockopts`.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use turmoil_net::{NetstatState, Packet, TcpFlags, TcpSegment, Transport};

/// The packets that make the machine at `ip` forget its connections on `port`
/// that no program has open any more; none if somebody listens there.
///
/// # Panics
///
/// If no network is installed, or it has no such machine.
#[must_use]
pub fn forget_closing(ip: IpAddr, port: u16) -> Vec<Packet> {
    let sockets = turmoil_net::netstat(ip).entries;
    let here = |local: SocketAddr| {
        local.port() == port && (local.ip() == ip || local.ip().is_unspecified())
    };
    let sockets: Vec<_> = sockets.iter().filter(|one| here(one.local)).collect();
    if sockets
        .iter()
        .any(|one| one.state == Some(NetstatState::Listen))
    {
        return Vec::new();
    }
    let closing = sockets.iter().filter(|one| is_closing(one.state));
    closing
        .filter_map(|one| Some(reset(one.local, one.peer?)))
        .collect()
}

/// Whether the program at this end has let go of a connection, or never got it.
fn is_closing(state: Option<NetstatState>) -> bool {
    use NetstatState::{Closing, FinWait1, FinWait2, LastAck, SynReceived};
    matches!(
        state,
        Some(Closing | FinWait1 | FinWait2 | LastAck | SynReceived)
    )
}

/// A reset that seems to come from `peer`.
fn reset(local: SocketAddr, peer: SocketAddr) -> Packet {
    Packet {
        src: peer.ip(),
        dst: local.ip(),
        ttl: 64,
        payload: Transport::Tcp(TcpSegment {
            src_port: peer.port(),
            dst_port: local.port(),
            seq: 0,
            ack: 0,
            flags: TcpFlags {
                rst: true,
                ..TcpFlags::default()
            },
            window: 0,
            payload: Bytes::new(),
        }),
    }
}
