//! What programs meet on the network is the same on both engines that
//! simulate, to the millisecond: here every packet takes one.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use firstlight::engine::fabric::Simulation;
use firstlight::engine::link::Links;
use firstlight::engine::path::{Ends, ResolvedRule};
use firstlight::engine::turmoil::{self, TICK};
use firstlight::engine::{Engine, virtual_time};
use firstlight::scenario::model::{Direction, Distribution, PathEffect};
use futures_util::future::LocalBoxFuture;
use seam::{BoxStream, Moment, Network, Tasks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use two_machines::{CLIENT, NOW, PORT, Rules, SERVER, paths, rule, terrain};

mod two_machines;

const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3));
/// Where the server listens and never accepts.
const IDLE: u16 = 7;
const END: Duration = Duration::from_secs(30);

type Log = Rc<RefCell<Vec<String>>>;

/// What a client does: on which network, since when, and where it writes it
/// down.
type Client = fn(Place, Moment, Log) -> LocalBoxFuture<'static, ()>;

/// A machine, as programs see it.
#[derive(Clone)]
struct Place {
    network: Rc<dyn Network>,
    tasks: Tasks,
}

impl Place {
    fn of(engine: &mut dyn Engine, ip: IpAddr) -> Self {
        Self {
            network: engine.network(ip),
            tasks: engine.tasks(ip).beside(),
        }
    }
}

/// Starts an echo server and a client on `engine`.
fn start(engine: &mut dyn Engine, zero: Moment, client: Client, log: Log) -> Box<dyn FnOnce()> {
    let server = Place::of(engine, SERVER);
    let place = Place::of(engine, CLIENT);
    Box::new(move || {
        server.tasks.spawn(echo(server.clone()));
        place.tasks.spawn(client(place.clone(), zero, log));
    })
}

fn on_virtual(rules: Rules, client: Client) -> Vec<String> {
    let log = Log::default();
    let written = Rc::clone(&log);
    virtual_time::run(END, move |zero| {
        let terrain = terrain(paths(zero, TICK, rules));
        let mut simulation = Simulation::new(Rc::clone(&terrain));
        let start = start(&mut simulation, zero.into(), client, written);
        virtual_time::Setup {
            net: simulation.net,
            links: Rc::new(Links::new(Rc::clone(&terrain.paths))),
            sockets: Rc::clone(&simulation.fabric.sockets),
            start,
            observe: Box::new(|| ()),
            finish: Box::new(|| ()),
        }
    })
    .expect("time moves");
    log.take()
}

fn on_turmoil(rules: Rules, client: Client) -> Vec<String> {
    let log = Log::default();
    let zero = turmoil::zero();
    let mut machines = turmoil::Machines::new(terrain(paths(zero, Duration::ZERO, rules)));
    let start = start(&mut machines, zero, client, Rc::clone(&log));
    let setup = turmoil::Setup {
        machines,
        start,
        observe: Box::new(|| ()),
        finish: Box::new(|| ()),
    };
    turmoil::run(END, setup).expect("time moves");
    log.take()
}

/// Has the client write the same on both engines.
fn check(rules: &[(Duration, Vec<ResolvedRule>)], client: Client, expected: &[&str]) {
    assert_eq!(on_virtual(rules.to_vec(), client), expected, "virtual");
    assert_eq!(on_turmoil(rules.to_vec(), client), expected, "turmoil");
}

async fn echo(place: Place) {
    let unspecified = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);
    let listening = place.network.listen(unspecified);
    let mut listener = listening.await.expect("nobody holds the port");
    let idle = place.network.listen(SocketAddr::new(SERVER, IDLE));
    let _idle = idle.await.expect("nobody holds the port");
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            continue;
        };
        place.tasks.spawn(async move {
            let mut buffer = [0; 64];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..read]).await.is_err() {
                    break;
                }
            }
        });
    }
}

async fn ask(stream: &mut BoxStream) -> io::Result<()> {
    stream.write_all(b"ping").await?;
    let mut reply = [0; 4];
    stream.read_exact(&mut reply).await?;
    assert_eq!(&reply, b"ping");
    Ok(())
}

/// Dials, and pings; gives up after 20 s. Writes down what came of each.
fn ping(place: Place, zero: Moment, log: Log) -> LocalBoxFuture<'static, ()> {
    at(SocketAddr::new(SERVER, PORT), place, zero, log)
}

fn at(address: SocketAddr, place: Place, zero: Moment, log: Log) -> LocalBoxFuture<'static, ()> {
    Box::pin(async move {
        let say = |what: &str, error: Option<io::ErrorKind>| {
            let outcome = error.map_or_else(|| "ok".to_owned(), |kind| format!("{kind:?}"));
            let line = format!("{what} {outcome} at {:?}", zero.elapsed());
            log.borrow_mut().push(line);
        };
        let talk = async {
            let mut stream = match place.network.dial(address).await {
                Ok(stream) => stream,
                Err(error) => return say("dial", Some(error.kind())),
            };
            say("dial", None);
            let error = ask(&mut stream).await.err();
            say("ping", error.map(|error| error.kind()));
        };
        if timeout(Duration::from_secs(20), talk).await.is_err() {
            say("all", Some(io::ErrorKind::TimedOut));
        }
    })
}

fn of_replies(effect: PathEffect) -> ResolvedRule {
    ResolvedRule {
        from: Ends::Of(BTreeSet::from([SERVER])),
        to: Ends::Of(BTreeSet::from([CLIENT])),
        port: None,
        ..rule(effect)
    }
}

fn delay(millis: u64) -> PathEffect {
    PathEffect::Delay(Distribution::Constant(Duration::from_millis(millis)))
}

#[test]
fn a_handshake_takes_two_packets_and_a_question_two_more() {
    check(
        &[(NOW, vec![])],
        ping,
        &["dial ok at 2ms", "ping ok at 4ms"],
    );
}

#[test]
fn a_closed_port_answers_with_a_reset() {
    let client: Client = |place, zero, log| at(SocketAddr::new(SERVER, 1), place, zero, log);
    check(&[(NOW, vec![])], client, &["dial ConnectionRefused at 2ms"]);
    let slow = of_replies(delay(30));
    let late = ["dial ConnectionRefused at 32ms"];
    check(&[(NOW, vec![slow])], client, &late);
    let cut = of_replies(PathEffect::Drop);
    check(&[(NOW, vec![cut])], client, &["all TimedOut at 20s"]);
}

#[test]
fn where_there_is_no_machine_nothing_answers() {
    let client: Client = |place, zero, log| at(SocketAddr::new(NOBODY, PORT), place, zero, log);
    check(&[(NOW, vec![])], client, &["all TimedOut at 20s"]);
}

#[test]
fn rules_stop_a_dial() {
    for (effect, expected) in [
        (PathEffect::Refuse, "dial ConnectionRefused at 0ns"),
        (PathEffect::Reject, "dial HostUnreachable at 0ns"),
        (PathEffect::Drop, "all TimedOut at 20s"),
    ] {
        check(&[(NOW, vec![rule(effect)])], ping, &[expected]);
    }
}

#[test]
fn delay_is_paid_one_way_by_each_packet() {
    let out = ["dial ok at 32ms", "ping ok at 64ms"];
    check(&[(NOW, vec![rule(delay(30))])], ping, &out);
    let back = ["dial ok at 32ms", "ping ok at 64ms"];
    check(&[(NOW, vec![of_replies(delay(30))])], ping, &back);
}

/// Goal: a stateful firewall lets replies pass, and cuts what is opened the
/// way that it holds. Method: rules about what the server sends, and about what
/// the client does.
#[test]
fn a_stateful_rule_knows_who_opened_a_connection() {
    let stateful = |rule| ResolvedRule {
        port: None,
        stateful: true,
        ..rule
    };
    let open = ["dial ok at 2ms", "ping ok at 4ms"];
    for effect in [PathEffect::Drop, PathEffect::Refuse, delay(30)] {
        check(&[(NOW, vec![stateful(of_replies(effect))])], ping, &open);
    }
    let out = stateful(rule(PathEffect::Drop));
    check(&[(NOW, vec![out])], ping, &["all TimedOut at 20s"]);
    let both = ResolvedRule {
        direction: Direction::Both,
        ..stateful(rule(delay(30)))
    };
    let slow = ["dial ok at 62ms", "ping ok at 124ms"];
    check(&[(NOW, vec![both.clone()])], ping, &slow);
    let other_way = ResolvedRule {
        from: both.to.clone(),
        to: both.from.clone(),
        ..both
    };
    check(&[(NOW, vec![other_way])], ping, &open);
    // It begins amid a connection.
    let later = [
        (NOW, vec![]),
        (
            Duration::from_millis(2),
            vec![stateful(rule(PathEffect::Drop))],
        ),
    ];
    check(&later, ping, &["dial ok at 2ms", "all TimedOut at 20s"]);
}

#[test]
fn a_rule_can_hold_on_the_way_back_only() {
    let back = |effect, port| ResolvedRule {
        direction: Direction::From,
        port,
        ..rule(effect)
    };
    for port in [None, Some(PORT)] {
        let slow = ["dial ok at 32ms", "ping ok at 64ms"];
        check(&[(NOW, vec![back(delay(30), port)])], ping, &slow);
        let cut = back(PathEffect::Drop, port);
        check(&[(NOW, vec![cut])], ping, &["all TimedOut at 20s"]);
    }
    let open = ["dial ok at 2ms", "ping ok at 4ms"];
    let other = back(PathEffect::Drop, Some(IDLE));
    check(&[(NOW, vec![other])], ping, &open);
    let rejects = back(PathEffect::Reject, None);
    let out = ResolvedRule {
        from: rejects.to.clone(),
        to: rejects.from.clone(),
        ..rejects
    };
    check(&[(NOW, vec![out])], ping, &["dial HostUnreachable at 0ns"]);
}

/// Goal: a rule about a service's address decides before it leads anywhere,
/// and lets what goes to the machine itself pass. Method: rules about the
/// service's port, which no machine listens at.
#[test]
fn a_rule_can_stop_a_dial_at_the_service() {
    let service: Client = |place, zero, log| at(SocketAddr::new(SERVER, 443), place, zero, log);
    let at_service = |effect| ResolvedRule {
        port: Some(443),
        ..rule(effect)
    };
    for (effect, expected) in [
        (PathEffect::Refuse, "dial ConnectionRefused at 0ns"),
        (PathEffect::Reject, "dial HostUnreachable at 0ns"),
        (PathEffect::Drop, "all TimedOut at 20s"),
    ] {
        let rules = [(NOW, vec![at_service(effect)])];
        check(&rules, service, &[expected]);
        check(&rules, ping, &["dial ok at 2ms", "ping ok at 4ms"]);
    }
    let dropped = [
        (NOW, vec![at_service(PathEffect::Drop)]),
        (Duration::from_secs(5), vec![]),
    ];
    let late = ["dial ok at 7.002s", "ping ok at 7.004s"];
    check(&dropped, service, &late);
}

#[test]
fn what_is_lost_comes_again_when_the_path_is_open() {
    let open = (Duration::from_secs(5), vec![]);
    let dropped = [(NOW, vec![rule(PathEffect::Drop)]), open.clone()];
    check(&dropped, ping, &["dial ok at 7.002s", "ping ok at 7.004s"]);
    // Retransmissions of what an established connection lost: after 0.2, 0.6,
    // 1.4, 3, 6.2 s.
    let later = [
        (NOW, vec![]),
        (Duration::from_millis(2), vec![rule(PathEffect::Drop)]),
        open,
    ];
    check(&later, ping, &["dial ok at 2ms", "ping ok at 6.204s"]);
}

#[test]
fn a_path_that_begins_to_refuse_resets_who_sends() {
    let refuses = (Duration::from_secs(1), vec![rule(PathEffect::Refuse)]);
    let client: Client = |place, zero, log| {
        Box::pin(async move {
            let dial = place.network.dial(SocketAddr::new(SERVER, PORT));
            let mut stream = dial.await.expect("open so far");
            sleep(Duration::from_secs(2)).await;
            let error = ask(&mut stream).await.err().map(|error| error.kind());
            let line = format!("{error:?} at {:?}", zero.elapsed());
            log.borrow_mut().push(line);
        })
    };
    let expected = ["Some(ConnectionReset) at 2.002s"];
    check(&[(NOW, vec![]), refuses], client, &expected);
}

#[test]
fn services_lead_to_endpoints_or_nowhere() {
    let service: Client = |place, zero, log| at(SocketAddr::new(SERVER, 443), place, zero, log);
    let answered = ["dial ok at 2ms", "ping ok at 4ms"];
    check(&[(NOW, vec![])], service, &answered);
    let empty: Client = |place, zero, log| at(SocketAddr::new(SERVER, 444), place, zero, log);
    check(&[(NOW, vec![])], empty, &["dial ConnectionRefused at 0ns"]);
    let unknown: Client = |place, zero, log| at(SocketAddr::new(SERVER, 445), place, zero, log);
    check(&[(NOW, vec![])], unknown, &["all TimedOut at 20s"]);
}

#[test]
fn a_machine_talks_to_itself_without_delay() {
    let client: Client = |place, zero, log| {
        Box::pin(async move {
            let address = SocketAddr::new(CLIENT, 7);
            let mut listener = place.network.listen(address).await.expect("free");
            place.tasks.spawn(async move {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut buffer = [0; 4];
                while stream.read_exact(&mut buffer).await.is_ok() {
                    stream.write_all(&buffer).await.expect("it listens");
                }
            });
            at(address, place, zero, log).await;
        })
    };
    let expected = ["dial ok at 0ns", "ping ok at 0ns"];
    check(&[(NOW, vec![rule(PathEffect::Drop)])], client, &expected);
}

#[test]
fn who_listens_need_not_accept() {
    let client: Client = |place, zero, log| at(SocketAddr::new(SERVER, IDLE), place, zero, log);
    let expected = ["dial ok at 2ms", "all TimedOut at 20s"];
    check(&[(NOW, vec![])], client, &expected);
}

#[test]
fn a_killed_process_lets_go_of_its_port_and_its_peers_notice() {
    let client: Client = |place, zero, log| {
        Box::pin(async move {
            let mut stream = (place.network.dial(SocketAddr::new(SERVER, PORT)).await)
                .expect("the server listens");
            let process = place.tasks.beside();
            let address = SocketAddr::new(CLIENT, 7);
            let mut listener = place.network.listen(address).await.expect("free");
            process.spawn(async move {
                let _connection = listener.accept().await.expect("a connection");
                std::future::pending::<()>().await;
            });
            let mut own = place.network.dial(address).await.expect("listening");
            sleep(Duration::from_secs(1)).await;
            process.kill();
            let read = own.read(&mut [0; 8]).await;
            let again = place.network.dial(address).await.err();
            let line = format!("{read:?} {:?}", again.map(|error| error.kind()));
            log.borrow_mut().push(line);
            ask(&mut stream).await.expect("that process lives");
            let line = format!("{:?}", zero.elapsed());
            log.borrow_mut().push(line);
        })
    };
    let expected = ["Ok(0) Some(ConnectionRefused)", "1.004s"];
    check(&[(NOW, vec![])], client, &expected);
}

#[test]
fn tasks_that_wake_each_other_for_ever_are_reported_as_stuck() {
    let rules = vec![(NOW, vec![])];
    let mut machines = turmoil::Machines::new(terrain(paths(turmoil::zero(), NOW, rules)));
    let place = Place::of(&mut machines, CLIENT);
    let setup = turmoil::Setup {
        machines,
        start: Box::new(move || {
            place.tasks.spawn(async {
                sleep(Duration::from_secs(1)).await;
                loop {
                    tokio::task::yield_now().await;
                }
            });
        }),
        observe: Box::new(|| ()),
        finish: Box::new(|| ()),
    };
    let stuck = turmoil::run(END, setup).expect_err("time stands still");
    assert_eq!(stuck.at, Duration::from_secs(1));
}
