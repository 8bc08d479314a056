//! Where the scenario's addresses are on this machine.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// The port on which a block of addresses is marked as taken.
const MARKER_PORT: u16 = 19_250;

/// The scenario's addresses as sockets on loopback.
///
/// Every machine gets an address of its own in a block 127.B.0.0/16 that no
/// other run on this machine uses, and keeps the scenario's port numbers. A
/// port that somebody holds on all addresses is replaced by one that the
/// system chooses.
#[derive(Debug)]
pub struct AddressBook {
    block: u8,
    /// Holds the block for as long as the book lives.
    _marker: TcpListener,
    machines: RefCell<BTreeMap<IpAddr, IpAddr>>,
    places: RefCell<BTreeMap<SocketAddr, SocketAddr>>,
    reserved: RefCell<BTreeMap<SocketAddr, TcpListener>>,
}

impl AddressBook {
    /// A book with a block of its own.
    ///
    /// # Errors
    ///
    /// If no block is free, or 127.0.0.0/8 is not loopback as a whole, as on
    /// other systems than Linux.
    pub fn open() -> io::Result<Self> {
        let first = std::process::id();
        let mut last_error = io::ErrorKind::AddrInUse.into();
        for step in 0..u32::from(u8::MAX) {
            // 127.0.0.0/16 is where everybody else is.
            let block = u8::try_from((first + step) % 255 + 1).expect("1 to 255");
            let marker = SocketAddr::new(in_block(block, 1), MARKER_PORT);
            match TcpListener::bind(marker) {
                Ok(marker) => {
                    return Ok(Self {
                        block,
                        _marker: marker,
                        machines: RefCell::default(),
                        places: RefCell::default(),
                        reserved: RefCell::default(),
                    });
                }
                Err(error) => last_error = error,
            }
        }
        Err(last_error)
    }

    /// The loopback address of the machine that the scenario calls `ip`.
    /// Loopback addresses are themselves.
    pub fn machine(&self, ip: IpAddr) -> IpAddr {
        if ip.is_loopback() {
            return ip;
        }
        let mut machines = self.machines.borrow_mut();
        let next = number(machines.len());
        *machines
            .entry(ip)
            .or_insert_with(|| in_block(self.block, next))
    }

    /// A loopback address for a machine that the scenario is to call so too.
    pub fn allot(&self) -> IpAddr {
        let mut machines = self.machines.borrow_mut();
        let ip = in_block(self.block, number(machines.len()));
        machines.insert(ip, ip);
        ip
    }

    /// The scenario's address of the machine at a loopback address.
    #[must_use]
    pub fn known(&self, real: IpAddr) -> Option<IpAddr> {
        let machines = self.machines.borrow();
        let known = machines.iter().find(|(_, at)| **at == real);
        known.map(|(ip, _)| *ip)
    }

    /// Where a socket of the scenario is on this machine.
    pub fn place(&self, address: SocketAddr) -> SocketAddr {
        let fixed = self.places.borrow().get(&address).copied();
        fixed.unwrap_or_else(|| SocketAddr::new(self.machine(address.ip()), address.port()))
    }

    /// Says where a socket of the scenario is on this machine.
    pub fn fix(&self, address: SocketAddr, real: SocketAddr) {
        self.places.borrow_mut().insert(address, real);
    }

    /// Whether [`AddressBook::fix`] decided where `address` is.
    #[must_use]
    pub fn is_fixed(&self, address: SocketAddr) -> bool {
        self.places.borrow().contains_key(&address)
    }

    /// Listens at `real` on behalf of whoever will listen at `address`, so
    /// that nobody else gets the port. Returns where it is.
    ///
    /// # Errors
    ///
    /// As `bind(2)`: in particular `AddrInUse`.
    pub fn reserve(&self, address: SocketAddr, real: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(real)?;
        let real = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        self.fix(address, real);
        self.reserved.borrow_mut().insert(address, listener);
        Ok(real)
    }

    /// The socket reserved for `address`, if nobody has taken it yet.
    pub fn take_reserved(&self, address: SocketAddr) -> Option<TcpListener> {
        self.reserved.borrow_mut().remove(&address)
    }

    /// Closes the socket reserved for `address`: dials are refused until
    /// somebody listens.
    pub fn release(&self, address: SocketAddr) {
        self.reserved.borrow_mut().remove(&address);
    }
}

/// The number of the next machine when there are `machines`; 1 is the marker.
fn number(machines: usize) -> u16 {
    u16::try_from(machines + 2).expect("scenarios have at most some thousand machines")
}

/// Address number `number` of a block.
fn in_block(block: u8, number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, block, high, low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn machines_have_addresses_of_their_own_and_keep_their_ports() {
        let book = AddressBook::open().expect("a free block");
        let one = book.place(socket("10.0.0.1:10250"));
        let other = book.place(socket("10.0.0.2:10250"));
        assert!(one.ip().is_loopback() && other.ip().is_loopback());
        assert_ne!(one.ip(), other.ip());
        assert_eq!((one.port(), other.port()), (10250, 10250));
        assert_eq!(book.place(socket("10.0.0.1:4443")).ip(), one.ip());
        assert_eq!(book.known(one.ip()), Some(socket("10.0.0.1:1").ip()));
        assert_eq!(book.place(socket("127.0.0.1:443")), socket("127.0.0.1:443"));
    }

    #[test]
    fn two_books_never_share_a_block() {
        let (one, other) = (AddressBook::open(), AddressBook::open());
        let at = |book: io::Result<AddressBook>| {
            let book = book.expect("a free block");
            (book.machine(socket("10.0.0.1:1").ip()), book)
        };
        let ((one, _held), (other, _too)) = (at(one), at(other));
        assert_ne!(one, other);
    }

    #[test]
    fn a_reserved_socket_is_handed_over_once() {
        let book = AddressBook::open().expect("a free block");
        let server = socket("192.168.0.10:6443");
        let real = book.reserve(server, socket("127.0.0.1:0")).expect("a port");
        assert_eq!(book.place(server), real);
        assert!(
            book.reserve(socket("1.1.1.1:1"), real).is_err(),
            "it is taken"
        );
        assert!(book.take_reserved(server).is_some());
        assert!(book.take_reserved(server).is_none());
    }
}
