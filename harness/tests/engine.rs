//! The virtual engine: what the network and the clock do to programs.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use firstlight::engine::fabric::{Fabric, SimulatedNetwork, Sockets};
use firstlight::engine::link::Links;
use firstlight::engine::path::{Ends, ResolvedRule};
use firstlight::engine::virtual_time::{self, Setup};
use firstlight::scenario::model::{Distribution, PathEffect};
use seam::{Network, Tasks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use two_machines::{CLIENT, NOW, PORT, Rules, SERVER, paths, rule, terrain};

mod two_machines;

const SINK_PORT: u16 = 10_260;
/// Many windows.
const BULK: usize = 3_000_000;

type Log = Rc<RefCell<Vec<String>>>;

/// Runs an echo server and a client that speaks to it, under path rules.
/// Returns what the client wrote down, and how often each rule took effect.
fn converse<F, G>(rules: Rules, client: G) -> (Vec<String>, Vec<(String, u64)>)
where
    F: Future<Output = ()> + 'static,
    G: FnOnce(SimulatedNetwork, Instant, Log) -> F + 'static,
{
    converse_beside(rules, |_| std::future::ready(()), client)
}

/// The same beside another program on the server's machine.
fn converse_beside<F, G, P, Q>(
    rules: Rules,
    other: Q,
    client: G,
) -> (Vec<String>, Vec<(String, u64)>)
where
    F: Future<Output = ()> + 'static,
    G: FnOnce(SimulatedNetwork, Instant, Log) -> F + 'static,
    P: Future<Output = ()> + 'static,
    Q: FnOnce(SimulatedNetwork) -> P + 'static,
{
    let log = Log::default();
    let written = Rc::clone(&log);
    let totals = Rc::new(RefCell::new(Vec::new()));
    let counted = Rc::clone(&totals);
    virtual_time::run(Duration::from_secs(300), move |start| {
        let mut net = virtual_time::network();
        let server = net.add_host(SERVER);
        let client_host = net.add_host(CLIENT);
        let paths = paths(start, Duration::ZERO, rules);
        let links = Rc::new(Links::new(Rc::clone(&paths)));
        let sockets = Rc::new(Sockets::new(&paths));
        let fabric = Rc::new(Fabric {
            terrain: terrain(Rc::clone(&paths)),
            sockets: Rc::clone(&sockets),
        });
        let for_server = SimulatedNetwork::new(server, SERVER, Rc::clone(&fabric));
        let for_client = SimulatedNetwork::new(client_host, CLIENT, fabric);
        let counting = paths;
        Setup {
            net,
            links,
            sockets,
            start: Box::new(move || {
                let tasks = Tasks::new();
                tasks.spawn(sink(for_server.clone()));
                tasks.spawn(other(for_server.clone()));
                tasks.spawn(echo(for_server, tasks.clone()));
                tasks.spawn(client(for_client, start, written));
            }),
            observe: Box::new(|| ()),
            finish: Box::new(move || *counted.borrow_mut() = counting.totals()),
        }
    })
    .expect("time moves");
    (log.take(), totals.take())
}

async fn echo(network: SimulatedNetwork, tasks: Tasks) {
    let unspecified = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);
    let mut listener = network
        .listen(unspecified)
        .await
        .expect("nobody holds the port");
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            continue;
        };
        tasks.spawn(async move {
            let mut buffer = [0; 64];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..read]).await.is_err() {
                    break;
                }
            }
        });
    }
}

/// Reads [`BULK`] bytes of one connection, some now and then, and says so.
async fn sink(network: SimulatedNetwork) {
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), SINK_PORT);
    let mut listener = network
        .listen(address)
        .await
        .expect("nobody holds the port");
    if let Ok((mut stream, _)) = listener.accept().await {
        // Less than half a window would not be told to the sender.
        let mut data = vec![0; BULK / 50];
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            stream.read_exact(&mut data).await.expect("more comes");
        }
        stream.write_u8(1).await.expect("somebody waits");
        std::future::pending::<()>().await;
    }
}

async fn ping(network: &SimulatedNetwork, address: SocketAddr) -> io::Result<()> {
    let mut stream = network.dial(address).await?;
    stream.write_all(b"ping").await?;
    let mut reply = [0; 4];
    stream.read_exact(&mut reply).await?;
    assert_eq!(&reply, b"ping");
    Ok(())
}

/// One ping under `rules`, given up after 100 s: what came of it, and when.
fn check(rules: Rules, port: u16, expected: &str) {
    let (log, _) = converse(rules, move |network, start, log| async move {
        let pinging = ping(&network, SocketAddr::new(SERVER, port));
        let outcome = match tokio::time::timeout(Duration::from_secs(100), pinging).await {
            Ok(Ok(())) => "ok".to_owned(),
            Ok(Err(error)) => format!("{:?}", error.kind()),
            Err(_) => "timeout".to_owned(),
        };
        log.borrow_mut()
            .push(format!("{outcome} at {:?}", start.elapsed()));
    });
    assert_eq!(log, [expected]);
}

#[test]
fn an_open_path_takes_no_time() {
    check(vec![(NOW, vec![])], PORT, "ok at 0ns");
}

#[test]
fn a_closed_port_refuses() {
    check(vec![(NOW, vec![])], PORT + 1, "ConnectionRefused at 0ns");
}

#[test]
fn a_refusing_path_resets() {
    check(
        vec![(NOW, vec![rule(PathEffect::Refuse)])],
        PORT,
        "ConnectionRefused at 0ns",
    );
}

#[test]
fn a_rejecting_path_has_no_route() {
    check(
        vec![(NOW, vec![rule(PathEffect::Reject)])],
        PORT,
        "HostUnreachable at 0ns",
    );
}

#[test]
fn a_dropping_path_times_out() {
    check(
        vec![(NOW, vec![rule(PathEffect::Drop)])],
        PORT,
        "timeout at 100s",
    );
}

#[test]
fn a_rule_for_another_port_does_nothing() {
    let other = ResolvedRule {
        port: Some(1),
        ..rule(PathEffect::Drop)
    };
    check(vec![(NOW, vec![other])], PORT, "ok at 0ns");
}

#[test]
fn latency_is_paid_by_each_packet_one_way() {
    // SYN and ping travel towards the server; replies are not delayed.
    let slow = rule(PathEffect::Delay(Distribution::Constant(
        Duration::from_millis(30),
    )));
    check(vec![(NOW, vec![slow])], PORT, "ok at 60ms");
}

#[test]
fn a_path_that_opens_lets_the_next_syn_retransmission_through() {
    // SYNs leave at 0, 1, 3 and 7 s; the path opens at 5 s.
    let closed = vec![rule(PathEffect::Drop)];
    check(
        vec![(NOW, closed), (Duration::from_secs(5), vec![])],
        PORT,
        "ok at 7s",
    );
}

#[test]
fn replies_can_be_cut_alone() {
    let replies = ResolvedRule {
        from: Ends::Of(BTreeSet::from([SERVER])),
        to: Ends::Of(BTreeSet::from([CLIENT])),
        port: None,
        ..rule(PathEffect::Drop)
    };
    check(vec![(NOW, vec![replies])], PORT, "timeout at 100s");
}

#[test]
fn service_addresses_lead_to_endpoints_or_nowhere() {
    check(vec![(NOW, vec![])], 443, "ok at 0ns");
    check(vec![(NOW, vec![])], 444, "ConnectionRefused at 0ns");
    check(vec![(NOW, vec![])], 445, "timeout at 100s");
}

#[test]
fn loss_repeats_with_the_seed_and_is_counted() {
    let run = || {
        let lossy = vec![(NOW, vec![rule(PathEffect::Loss(500_000))])];
        converse(lossy, |network, start, log| async move {
            for _ in 0..20 {
                let pinging = ping(&network, SocketAddr::new(SERVER, PORT));
                let result = tokio::time::timeout(Duration::from_secs(10), pinging).await;
                log.borrow_mut()
                    .push(format!("{} {:?}", result.is_ok(), start.elapsed()));
            }
        })
    };
    let (first, totals) = run();
    assert_eq!(first.len(), 20);
    assert!(totals[0].1 > 5, "half of all packets are lost: {totals:?}");
    assert_eq!(run().0, first);
}

#[test]
fn names_resolve_as_the_cluster_knows_them() {
    let (log, _) = converse(vec![(NOW, vec![])], |network, _, log| async move {
        for name in ["node-a", "node-b"] {
            let found = network.lookup(name).await;
            log.borrow_mut().push(format!("{found:?}"));
        }
    });
    let missing = "Err(NoSuchHost { server: Some(10.96.0.10:53) })";
    assert_eq!(log, ["Ok([10.0.0.1])", missing]);
}

#[test]
fn a_killed_process_lets_go_of_its_port_and_its_peers_notice() {
    let (log, _) = converse(vec![(NOW, vec![])], |network, start, log| async move {
        let process = Tasks::new();
        let address = SocketAddr::new(CLIENT, 7);
        let mut listener = network.listen(address).await.expect("free");
        process.spawn(async move {
            let _connection = listener.accept().await.expect("a connection");
            std::future::pending::<()>().await;
        });
        let mut stream = network.dial(address).await.expect("listening");
        tokio::time::sleep(Duration::from_secs(1)).await;
        process.kill();
        let read = stream.read(&mut [0; 8]).await;
        log.borrow_mut()
            .push(format!("{read:?} at {:?}", start.elapsed()));
        let again = network.dial(address).await;
        log.borrow_mut()
            .push(format!("{:?}", again.err().map(|e| e.kind())));
    });
    assert_eq!(log, ["Ok(0) at 1s", "Some(ConnectionRefused)"]);
}

/// Goal: acknowledgements that wait for better company never keep a sender
/// waiting that has more than its peer takes at once. Method: far more data
/// than fits a window, to somebody who reads slowly; over the network, and
/// between two programs of one machine, whose packets never leave it.
#[test]
fn bulk_data_crosses_without_anybody_stalling() {
    for receiver in [SERVER, CLIENT] {
        let (log, _) = converse(vec![(NOW, vec![])], move |network, start, log| async move {
            let tasks = Tasks::new();
            if receiver == CLIENT {
                tasks.spawn(sink(network.clone()));
                tokio::task::yield_now().await;
            }
            let address = SocketAddr::new(receiver, SINK_PORT);
            let mut stream = network.dial(address).await.expect("listening");
            let sent = async {
                stream.write_all(&vec![7; BULK]).await?;
                stream.read_u8().await
            };
            let sent = tokio::time::timeout(Duration::from_secs(100), sent).await;
            log.borrow_mut()
                .push(format!("{sent:?} at {:?}", start.elapsed()));
        });
        assert_eq!(log, ["Ok(Ok(1)) at 500ms"], "{receiver}");
    }
}

/// Goal: a process that starts again gets its port, as with `SO_REUSEADDR`,
/// although its peers never hear that its predecessor's connections are closed;
/// but not while somebody listens there. Method: a path that drops what the
/// process sends from before its end on.
#[test]
fn connections_that_are_being_closed_do_not_hold_their_port() {
    let drops = ResolvedRule {
        port: None,
        ..rule(PathEffect::Drop)
    };
    let here = SocketAddr::new(CLIENT, PORT);
    let call = move |network: SimulatedNetwork| async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let _connection = network.dial(here).await.expect("listening");
        std::future::pending::<()>().await;
    };
    let rules = vec![(NOW, vec![]), (Duration::from_secs(1), vec![drops])];
    let (log, _) = converse_beside(rules, call, move |network, start, log| async move {
        let say = |what: String| {
            log.borrow_mut()
                .push(format!("{what} at {:?}", start.elapsed()))
        };
        let process = Tasks::new();
        let mut listener = network.listen(here).await.expect("nobody holds the port");
        process.spawn(async move {
            let _connection = listener.accept().await.expect("a connection");
            std::future::pending::<()>().await;
        });
        tokio::time::sleep(Duration::from_secs(2)).await;
        let taken = network.listen(here).await;
        say(format!("{:?}", taken.err().map(|error| error.kind())));
        process.kill();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let again = network.listen(here).await;
        say(format!("{:?}", again.err().map(|error| error.kind())));
    });
    assert_eq!(log, ["Some(AddrInUse) at 2s", "None at 3s"]);
}

#[test]
fn tasks_that_wake_each_other_for_ever_are_reported_as_stuck() {
    let result = virtual_time::run(Duration::from_secs(1), |start| {
        let paths = paths(start, Duration::ZERO, vec![(NOW, vec![])]);
        Setup {
            net: virtual_time::network(),
            sockets: Rc::new(Sockets::new(&paths)),
            links: Rc::new(Links::new(paths)),
            start: Box::new(|| {
                Tasks::new().spawn(async {
                    loop {
                        tokio::task::yield_now().await;
                    }
                });
            }),
            observe: Box::new(|| ()),
            finish: Box::new(|| ()),
        }
    });
    assert_eq!(result.map_err(|stuck| stuck.at), Err(Duration::ZERO));
}
