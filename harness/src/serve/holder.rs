//! Who holds a port, as far as Linux tells.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `st` of a listening socket. Source: Linux `include/net/tcp_states.h`,
/// `TCP_LISTEN`.
const LISTENING: &str = "0A";

/// The sockets that keep others from listening on `address`, in words:
/// `0.0.0.0:6443 is held by k3s-server (process 812)`. Empty where the system
/// does not tell.
#[must_use]
pub fn of(address: SocketAddr) -> Vec<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = tables
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    texts
        .flat_map(|text| text.lines().filter_map(listener).collect::<Vec<_>>())
        .filter(|(held, _)| blocks(*held, address))
        .map(|(held, inode)| match owner(inode) {
            Some(owner) => format!("{held} is held by {owner}"),
            None => format!("{held} is held by another process"),
        })
        .collect()
}

fn blocks(held: SocketAddr, wanted: SocketAddr) -> bool {
    held.port() == wanted.port() && (held.ip() == wanted.ip() || held.ip().is_unspecified())
}

/// The address and inode of a listening socket, from a line of the table.
fn listener(line: &str) -> Option<(SocketAddr, u64)> {
    let mut fields = line.split_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    (state == LISTENING).then_some((socket(local)?, inode))
}

/// `0100007F:1941`: the address in the machine's byte order, the port not.
fn socket(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<u32>> = (0..ip.len() / 8)
        .map(|at| u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok())
        .collect();
    let bytes: Vec<u8> = words?.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let ip = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The process that has the socket open, if we may know.
fn owner(inode: u64) -> Option<String> {
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.filter_map(Result::ok) {
        let number = process.file_name().to_string_lossy().into_owned();
        // `self` and `thread-self` are this process again.
        if number.parse::<u32>().is_err() {
            continue;
        }
        let Ok(open) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let has = |file: fs::DirEntry| {
            fs::read_link(file.path()).is_ok_and(|link| link.to_string_lossy() == wanted)
        };
        if open.filter_map(Result::ok).any(has) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {number})", name.trim()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_holder_of_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let holders = of(address);
        assert_eq!(holders.len(), 1, "{holders:?}");
        assert!(holders[0].starts_with(&format!("{address} is held by ")));
        assert!(holders[0].ends_with(&format!("(process {})", std::process::id())));
    }

    #[test]
    fn lines_that_are_no_listeners_are_left_out() {
        let line = "   0: 0100007F:1941 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 5 1";
        assert_eq!(listener(line), None);
        assert_eq!(listener("  sl  local_address rem_address   st"), None);
    }
}
