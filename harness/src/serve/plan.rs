//! The scenario as loopback can have it, and its sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;

use reports::exit::Exit;
use seam::WallClock as _;
use seam::tokio_host::SystemClock;

use super::evidence::Evidence;
use super::kubeconfig::Kubeconfigs;
use super::process::Started;
use super::subject::{Placeholders, Subject};
use super::{Options, Refusal, holder};
use crate::engine::live::addresses::AddressBook;
use crate::engine::live::network::Strangers;
use crate::scenario::model::{ActionKind, ApiServerState, Scenario};
use crate::world::Site;
use crate::world::addresses::Addresses;
use crate::world::pod::secure_port;

/// Nodes that the banner lists.
const LISTED_NODES: usize = 10;

/// What is to be served, and where.
pub struct Plan {
    /// The scenario: its time is now, and for a metrics-server outside this
    /// process its nodes have addresses that can be dialled.
    pub scenario: Scenario,
    /// Where the scenario's sockets are.
    pub book: Rc<AddressBook>,
    /// Where the API server listens for everybody.
    pub api_server: SocketAddr,
    addresses: Addresses,
    outside: Option<OutsidePlan>,
    notes: Vec<String>,
}

/// What a metrics-server outside this process is to use.
#[derive(Debug, Clone, Copy)]
struct OutsidePlan {
    /// Where it finds the API server, by the scenario's address and in fact.
    api_server: (SocketAddr, SocketAddr),
    /// Where it is to serve.
    serving: SocketAddr,
}

impl Plan {
    /// Reserves every address that must be known beforehand.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if an address is taken, or the scenario asks for something
    /// that cannot be done to a process outside this one.
    pub(super) fn new(scenario: &Scenario, options: &Options) -> Result<Self, Refusal> {
        check_triggers(scenario)?;
        let mut scenario = scenario.clone();
        let is_outside = options.subject != Subject::Own;
        if is_outside {
            check_outside(&scenario, &options.subject)?;
        }
        scenario.epoch_unix_ns = epoch(&scenario, is_outside);
        let book = AddressBook::open().map_err(|error| {
            Refusal::io(
                "no free block of loopback addresses (127.0.0.0/8 must be loopback as a whole, \
                 as on Linux)",
                &error,
            )
        })?;
        let mut notes = Vec::new();
        if is_outside {
            notes = localise(&mut scenario, &book)?;
        }
        let addresses = Addresses::of(&scenario);
        let wanted = SocketAddr::new(options.listen, options.apiserver_port);
        let api_server = book
            .reserve(addresses.api_server(0), wanted)
            .map_err(|error| taken("--apiserver-port", wanted, &error))?;
        let mut plan = Self {
            scenario,
            book: Rc::new(book),
            api_server,
            addresses,
            outside: None,
            notes,
        };
        if is_outside {
            plan.outside = Some(plan.plan_outside(&options.subject)?);
        }
        Ok(plan)
    }

    fn plan_outside(&self, subject: &Subject) -> Result<OutsidePlan, Refusal> {
        let server = self.addresses.api_server(0);
        // The same machine, so that path rules to it hold here too.
        let address = SocketAddr::new(server.ip(), server.port().wrapping_add(1));
        let real = SocketAddr::new(self.book.machine(server.ip()), 0);
        let real = self
            .book
            .reserve(address, real)
            .map_err(|error| taken("the API server's second address", real, &error))?;
        let named = match subject {
            Subject::Command(command) => command.named_port()?,
            _ => None,
        };
        let wanted = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), named.unwrap_or(0));
        let serving = TcpListener::bind(wanted)
            .and_then(|probe| probe.local_addr())
            .map_err(|error| taken("--secure-port in --sut-command", wanted, &error))?;
        Ok(OutsidePlan {
            api_server: (address, real),
            serving,
        })
    }

    /// The addresses that the API server's certificate must name.
    #[must_use]
    pub(super) fn api_server_ips(&self) -> Vec<IpAddr> {
        let outside = self.outside.iter().map(|outside| outside.api_server.1.ip());
        BTreeSet::from_iter(outside.chain([self.api_server.ip()]))
            .into_iter()
            .collect()
    }

    /// Where metrics-server finds the API server.
    #[must_use]
    pub(super) fn server_api_server(&self) -> SocketAddr {
        self.outside
            .map_or(self.api_server, |outside| outside.api_server.1)
    }

    /// Whom the connections of other processes are taken for.
    #[must_use]
    pub(super) fn strangers(&self, site: &Site) -> Strangers {
        Strangers {
            at: BTreeMap::from([(self.addresses.api_server(0), site.addresses.clients)]),
            elsewhere: pod_ip(site),
        }
    }

    /// Makes ready what runs the metrics-server outside, if there is one.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the directory for its certificates cannot be made.
    pub(super) fn subject(
        &self,
        options: &Options,
        site: &Site,
        files: &Kubeconfigs,
    ) -> Result<Option<Started>, Refusal> {
        let Some(outside) = self.outside else {
            return Ok(None);
        };
        let port = secure_port(&site.scenario.metrics_server);
        let scenario_port = SocketAddr::new(pod_ip(site), port);
        self.book.fix(scenario_port, outside.serving);
        let evidence = Evidence::new(site, outside.serving);
        site.recorder.set_overhearer(Rc::clone(&evidence) as _);
        let api_server = outside.api_server.0;
        let Subject::Command(command) = &options.subject else {
            return Ok(Some(Started::by_user(
                outside.serving,
                api_server,
                evidence,
            )));
        };
        let cert_dir = files.directory.path().join("certificates");
        std::fs::create_dir(&cert_dir).map_err(|error| {
            Refusal::io(&format!("cannot create {}", cert_dir.display()), &error)
        })?;
        let args = command.filled(&Placeholders {
            kubeconfig: files.server.display().to_string(),
            secure_port: outside.serving.port(),
            cert_dir: cert_dir.display().to_string(),
        });
        Ok(Some(Started::by_us(
            command.program.clone(),
            args,
            &site.recorder,
            api_server,
            evidence,
        )))
    }

    /// Gives up what nobody is to reach yet: an API server that is down at
    /// first.
    pub(super) fn open(&self) {
        if self.scenario.api_servers[0].over_time.0[0].1.state == ApiServerState::Down {
            self.book.release(self.addresses.api_server(0));
            if let Some(outside) = self.outside {
                self.book.release(outside.api_server.0);
            }
        }
    }

    /// Where everything listens.
    #[must_use]
    pub(super) fn banner(&self, options: &Options, files: &Kubeconfigs) -> String {
        let mut text = format!(
            "{} in real time, seed {}\n",
            self.scenario.name, options.seed.0
        );
        let mut line = |what: &str, value: &str| {
            let _ = writeln!(text, "  {what:<16}{value}");
        };
        line("API server", &format!("https://{}", self.api_server));
        line("kubeconfig", &files.admin.display().to_string());
        line("metrics-server", &options.subject.to_string());
        if options.subject == Subject::External
            && let Some(outside) = self.outside
        {
            let path = files.server.display();
            let port = outside.serving.port();
            line("start it with", &format!("--kubeconfig={path}"));
            line("", &format!("--authentication-kubeconfig={path}"));
            line("", &format!("--authorization-kubeconfig={path}"));
            line(
                "",
                &format!("--secure-port={port} --bind-address=127.0.0.1"),
            );
        }
        for node in self.scenario.nodes.iter().take(LISTED_NODES) {
            let address = SocketAddr::new(node.ip, node.kubelet.0[0].1.port);
            let real = self.book.place(address);
            let place = if real == address {
                real.to_string()
            } else {
                format!("{address} at {real}")
            };
            line("kubelet", &format!("{} {place}", node.name));
        }
        if let Some(more @ 1..) = self.scenario.nodes.len().checked_sub(LISTED_NODES) {
            line("", &format!("and {more} more"));
        }
        for note in &self.notes {
            line("note", note);
        }
        let end = match options.run_for {
            Some(duration) => format!("ends after {duration:?}, or with Ctrl-C\n"),
            None => "ends with Ctrl-C\n".to_owned(),
        };
        text + &end
    }
}

/// The address of the only pod.
fn pod_ip(site: &Site) -> IpAddr {
    let server = &site.scenario.metrics_server;
    match server.host_network {
        true => site.scenario.nodes[server.nodes[0]].ip,
        false => site.addresses.pods[0],
    }
}

/// True time at the start, such that the machine of a metrics-server outside
/// this process shows the time of this machine, which that one goes by.
fn epoch(scenario: &Scenario, is_outside: bool) -> i64 {
    let now = SystemClock.now().as_nanos();
    let under = &scenario.nodes[scenario.metrics_server.nodes[0]];
    if is_outside {
        now.saturating_sub(under.clock.offset_ns)
    } else {
        now
    }
}

/// When a trigger comes is found by running a scenario again up to it: real
/// time runs once.
fn check_triggers(scenario: &Scenario) -> Result<(), Refusal> {
    let Some(trigger) = scenario.triggers.first() else {
        return Ok(());
    };
    Err(Refusal::new(
        Exit::InvalidInput,
        format!(
            "{}:{}:{}: `{}` waits for something to happen, which needs virtual time: use \
             `firstlight run`, or write `at:` with the time that its report shows",
            scenario.file.display(),
            trigger.line,
            trigger.column,
            trigger.words
        ),
    ))
}

/// What cannot be done to a process outside this one.
fn check_outside(scenario: &Scenario, subject: &Subject) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(Exit::InvalidInput, message));
    let node = &scenario.nodes[scenario.metrics_server.nodes[0]];
    let file = scenario.file.display();
    if scenario.has_several_pods() {
        return refuse(format!(
            "{file}: there are several pods of metrics-server, and a program outside firstlight \
             is one; use --sut own"
        ));
    }
    if !node.clock.is_steady() {
        return refuse(format!(
            "{file}: the clock of node {} drifts or is stepped, and metrics-server runs there: \
             this cannot be done to a program outside firstlight; use --sut own",
            node.name
        ));
    }
    if let Some(node) = scenario.nodes.iter().find(|node| node.moves()) {
        return refuse(format!(
            "{file}: the address of node {} changes: a program outside firstlight dials what \
             this machine has; use --sut own",
            node.name
        ));
    }
    let files = scenario.files_of_pod(1);
    if let Some(path) = files.0.iter().find_map(|(_, files)| files.keys().next()) {
        return refuse(format!(
            "{file}: `metricsServer.files` puts {path} into the pod, and a program outside \
             firstlight has files of its own; use --sut own"
        ));
    }
    let mut actions = scenario.actions.iter();
    let action = actions.find(|action| !matches!(action.kind, ActionKind::Drain(_)));
    if let (Subject::External, Some(action)) = (subject, action) {
        return refuse(format!(
            "{file}: the change at {:?} acts on the metrics-server process, which firstlight \
             does not own with --sut external; use --sut-command or --sut own",
            action.at
        ));
    }
    Ok(())
}

/// Gives the nodes addresses that any program on this machine can dial.
/// Returns what the user should know about it.
fn localise(scenario: &mut Scenario, book: &AddressBook) -> Result<Vec<String>, Refusal> {
    let allotted: Vec<IpAddr> = scenario.nodes.iter().map(|_| book.allot()).collect();
    let mut notes = Vec::new();
    let ports: BTreeSet<u16> = scenario
        .nodes
        .iter()
        .flat_map(|node| node.kubelet.0.iter().map(|(_, kubelet)| kubelet.port))
        .collect();
    let mut replaced = BTreeMap::new();
    for port in ports {
        let first = SocketAddr::new(allotted[0], port);
        let free = |address| TcpListener::bind(address).and_then(|probe| probe.local_addr());
        if free(first).is_err() {
            let other = free(SocketAddr::new(allotted[0], 0))
                .map_err(|error| Refusal::io("no free port for kubelets", &error))?
                .port();
            notes.push(format!(
                "port {port} is taken on this machine: kubelets are on {other} \
                 (metrics-server needs --kubelet-use-node-status-port)"
            ));
            replaced.insert(port, other);
        }
    }
    for (node, ip) in scenario.nodes.iter_mut().zip(allotted) {
        let before = std::mem::replace(&mut node.ip, ip);
        let addresses = node.addresses.0.iter_mut();
        for (_, value) in addresses.flat_map(|(_, addresses)| addresses) {
            if *value == before.to_string() {
                *value = ip.to_string();
            }
        }
        // What the scenario says, and what has been made of it.
        let plans = node.plans.iter_mut().map(|(_, plan)| &mut plan.kubelet);
        let kubelets = node.kubelet.0.iter_mut().map(|(_, kubelet)| kubelet);
        for kubelet in plans.chain(kubelets) {
            for name in &mut kubelet.certificate.ips {
                if *name == before {
                    *name = ip;
                }
            }
            kubelet.port = replaced.get(&kubelet.port).copied().unwrap_or(kubelet.port);
        }
    }
    for rule in scenario.network.0.iter_mut().flat_map(|(_, rules)| rules) {
        rule.port = rule
            .port
            .map(|port| replaced.get(&port).copied().unwrap_or(port));
    }
    Ok(notes)
}

/// An address is taken, and by whom.
fn taken(what: &str, address: SocketAddr, error: &io::Error) -> Refusal {
    let mut message = format!("{what}: cannot listen on {address}: {error}");
    if error.kind() == io::ErrorKind::AddrInUse {
        for holder in holder::of(address) {
            let _ = write!(message, "; {holder}");
        }
        message.push_str("; choose another port, or let the system choose");
    }
    Refusal::new(Exit::Io, message)
}
