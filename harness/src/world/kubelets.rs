//! From the scenario's kubelets to the stand-in's behaviour over time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use mocks::kubelet::{
    self, Access, Attempts, Effects, Endpoint, Fault, Housekeeping, KubeletBehaviour, Latency,
    Timestamps,
};
use mocks::script::Script;
use seam::{Host, Moment, Timestamp};

use crate::faults;
use crate::record::TraceRecorder;
use crate::scenario::model::{self, Kubelet, Node};

/// What translating a node's kubelet needs.
pub struct Translator<'a> {
    /// The node.
    pub node: &'a Node,
    /// What right clocks show at virtual time zero.
    pub epoch: Timestamp,
    /// The node's machine, for its random streams.
    pub host: &'a Host,
    /// Who counts what took effect.
    pub recorder: &'a Rc<TraceRecorder>,
}

/// What goes on from one stretch of a kubelet's life to the next.
struct Carried {
    up: bool,
    boot: u32,
    script: Vec<model::Attempt>,
    attempts: Option<Rc<Attempts>>,
    frozen_since: Option<Duration>,
}

impl Translator<'_> {
    /// The kubelet's behaviour over time. One on a machine that is down does
    /// what it does, and nobody hears of it; it starts anew when the machine
    /// comes back.
    #[must_use]
    pub fn script(&self, start: Moment) -> Script<KubeletBehaviour> {
        let mut times: Vec<Duration> = self.node.kubelet.0.iter().map(|(at, _)| *at).collect();
        times.extend(self.node.up.changes());
        times.extend(self.node.ips.changes());
        times.sort_unstable();
        times.dedup();
        let mut carried = Carried {
            up: true,
            boot: 0,
            script: Vec::new(),
            attempts: None,
            frozen_since: None,
        };
        let entries = times.into_iter().map(|at| {
            let kubelets = &self.node.kubelet.0;
            let index = kubelets.partition_point(|(from, _)| *from <= at) - 1;
            let comes_back = *self.node.up.at(at) && !carried.up;
            if comes_back || self.node.ips.changes().any(|moved| moved == at) {
                carried.boot += 1;
            }
            carried.up = *self.node.up.at(at);
            (
                at,
                self.translate(index, at, &kubelets[index].1, &mut carried),
            )
        });
        Script::new(start, entries.collect())
    }

    fn translate(
        &self,
        index: usize,
        at: Duration,
        kubelet: &Kubelet,
        carried: &mut Carried,
    ) -> KubeletBehaviour {
        if kubelet.script != carried.script {
            carried.script.clone_from(&kubelet.script);
            let attempts: Vec<_> = kubelet.script.iter().map(attempt).collect();
            carried.attempts = (!attempts.is_empty()).then(|| Rc::new(Attempts::new(attempts)));
        }
        let timestamps = match kubelet.timestamps {
            model::Timestamps::Frozen => {
                let since = *carried.frozen_since.get_or_insert(at);
                Timestamps::FrozenSince(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
            }
            model::Timestamps::Read => Timestamps::Read,
            model::Timestamps::Missing => Timestamps::Missing,
            model::Timestamps::Shifted(ns) => Timestamps::Shifted(ns),
        };
        if kubelet.timestamps != model::Timestamps::Frozen {
            carried.frozen_since = None;
        }
        let endpoints = kubelet.endpoints.iter().map(|endpoint| {
            let stream = format!("kubelet-latency/{index}{}", endpoint.path);
            Endpoint {
                path: endpoint.path.clone(),
                latency: endpoint
                    .latency
                    .as_ref()
                    .map(|latency| self.latency(&stream, latency)),
                status: endpoint.status,
                payload: endpoint.payload.as_ref().map(payload),
            }
        });
        KubeletBehaviour {
            port: kubelet.port,
            boot: carried.boot,
            state: state(kubelet.state),
            certificate: self.certificate(&kubelet.certificate),
            latency: self.latency(&format!("kubelet-latency/{index}"), &kubelet.latency),
            access: Access {
                anonymous: kubelet.access.anonymous,
                webhook: kubelet.access.webhook,
                always_allow: kubelet.access.always_allow,
            },
            minor: kubelet.minor,
            status: kubelet.status,
            payload: payload(&kubelet.payload),
            flaws: kubelet.flaws.iter().map(flaw).collect(),
            endpoints: endpoints.collect(),
            attempts: carried.attempts.clone(),
            housekeeping: Housekeeping {
                node: kubelet.housekeeping,
                containers: kubelet.container_housekeeping,
            },
            timestamps,
            effects: self.effects(kubelet),
        }
    }

    /// Each stretch of the script has a stream of its own, so that a change of
    /// one does not shift another.
    fn latency(&self, stream: &str, latency: &model::Latency) -> Latency {
        let random = RefCell::new(self.host.random(stream));
        let base = latency.base.clone();
        Latency {
            base: Rc::new(move || base.sample(&mut **random.borrow_mut())),
            per_pod: latency.per_pod,
            per_container: latency.per_container,
            per_concurrent: latency.per_concurrent,
        }
    }

    fn certificate(&self, certificate: &model::Certificate) -> kubelet::Certificate {
        kubelet::Certificate {
            issuer: match certificate.issuer {
                model::Issuer::Cluster => kubelet::Issuer::Cluster,
                model::Issuer::SelfSigned => kubelet::Issuer::SelfSigned,
                model::Issuer::Unknown => kubelet::Issuer::Unknown,
            },
            not_before: self.epoch.offset(certificate.not_before_ns),
            not_after: self.epoch.offset(certificate.not_after_ns),
            ips: certificate.ips.clone(),
            dns: certificate.dns.clone(),
            managed: certificate.managed,
        }
    }

    /// Counts what took effect, under the setting that asks for it.
    fn effects(&self, kubelet: &Kubelet) -> Effects {
        let (node, recorder) = (self.node.name.clone(), Rc::clone(self.recorder));
        let group = self.node.group.clone();
        let (awaits, minor) = (kubelet.awaits_certificate, kubelet.minor);
        Rc::new(move |fault| {
            let setting = match fault {
                // Every answer takes some time: that is no fault.
                Fault::Latency => return,
                Fault::State if awaits => "certificate",
                Fault::State => "state",
                Fault::Certificate => "certificate",
                Fault::Authentication => "authentication",
                Fault::Status if minor < faults::FIRST_MINOR => "version",
                Fault::Status => "status",
                Fault::Payload => "payload",
                Fault::Timestamps => "timestamps",
                Fault::Script => "script",
            };
            recorder.fault(&node, &faults::kubelet(&group, setting));
        })
    }
}

fn attempt(attempt: &model::Attempt) -> kubelet::Attempt {
    match *attempt {
        model::Attempt::Refused => kubelet::Attempt::Refused,
        model::Attempt::NoCertificate => kubelet::Attempt::NoCertificate,
        model::Attempt::Hang => kubelet::Attempt::Hang,
        model::Attempt::Status(status) => kubelet::Attempt::Status(status),
        model::Attempt::Slow(extra) => kubelet::Attempt::Slow(extra),
        model::Attempt::Ok => kubelet::Attempt::Ok,
    }
}

fn flaw(flaw: &model::Flaw) -> kubelet::Flaw {
    kubelet::Flaw {
        namespace: flaw.namespace.clone(),
        pod: flaw.pod.clone(),
        container: flaw.container.clone(),
        kind: match flaw.kind {
            model::FlawKind::Missing => kubelet::FlawKind::Missing,
            model::FlawKind::NoCpu => kubelet::FlawKind::NoCpu,
            model::FlawKind::NoMemory => kubelet::FlawKind::NoMemory,
            model::FlawKind::NoStartTime => kubelet::FlawKind::NoStartTime,
            model::FlawKind::Zero => kubelet::FlawKind::Zero,
            model::FlawKind::Nan => kubelet::FlawKind::Nan,
            model::FlawKind::Duplicate => kubelet::FlawKind::Duplicate,
            model::FlawKind::Unlabelled => kubelet::FlawKind::Unlabelled,
        },
    }
}

fn state(state: model::KubeletState) -> kubelet::KubeletState {
    match state {
        model::KubeletState::Closed => kubelet::KubeletState::Closed,
        model::KubeletState::HangTls => kubelet::KubeletState::HangTls,
        model::KubeletState::HangHttp => kubelet::KubeletState::HangHttp,
        model::KubeletState::NoCertificate => kubelet::KubeletState::NoCertificate,
        model::KubeletState::Open => kubelet::KubeletState::Open,
    }
}

fn payload(payload: &model::Payload) -> kubelet::Payload {
    match payload {
        model::Payload::Healthy => kubelet::Payload::Healthy,
        model::Payload::NoNodeSeries => kubelet::Payload::NoNodeSeries,
        model::Payload::NoContainerSeries => kubelet::Payload::NoContainerSeries,
        model::Payload::ZeroNode => kubelet::Payload::ZeroNode,
        model::Payload::NoContainerCpu => kubelet::Payload::NoContainerCpu,
        model::Payload::NoContainerMemory => kubelet::Payload::NoContainerMemory,
        model::Payload::ScrapeError => kubelet::Payload::ScrapeError,
        model::Payload::Empty => kubelet::Payload::Empty,
        model::Payload::Raw(text) => kubelet::Payload::Raw(text.clone()),
        model::Payload::Garbage => kubelet::Payload::Garbage,
        model::Payload::Truncated(bytes) => kubelet::Payload::Truncated(*bytes),
        model::Payload::Endless => kubelet::Payload::Endless,
        model::Payload::DuplicateSeries => kubelet::Payload::DuplicateSeries,
        model::Payload::InvalidUtf8 => kubelet::Payload::InvalidUtf8,
        model::Payload::Nan => kubelet::Payload::Nan,
        model::Payload::Unlabelled => kubelet::Payload::Unlabelled,
        model::Payload::NodeStarted(before) => kubelet::Payload::NodeStarted(*before),
    }
}
