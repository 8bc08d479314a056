//! Authorities, certificates and tokens of one cluster.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use mocks::pki::{Authority, Identity, Leaf, Usage};
use seam::Timestamp;

use super::addresses::Addresses;
use crate::scenario::model::{FrontProxy, FrontProxyIssuer, ServingCertificate};
use crate::seed::Seed;

/// The bearer token of metrics-server's service account.
pub const SERVICE_ACCOUNT_TOKEN: &str = "metrics-server-service-account-token";
/// Where a pod finds its token. Source: `rest.InClusterConfig`.
pub const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Everything that makes parties of one cluster believe each other.
pub struct Trust {
    /// Signs serving and client certificates of the control plane, and those
    /// of kubelets that have theirs from the cluster.
    pub cluster: Rc<Authority>,
    /// Signs the aggregation layer's client certificate.
    pub front_proxy: Rc<Authority>,
    /// Signed nothing that anybody believes who was not given its certificate.
    pub unknown: Rc<Authority>,
    /// Where keys come from, and what right clocks show at the beginning.
    seed: Seed,
    epoch: Timestamp,
    validity: (Timestamp, Timestamp),
    /// The address of the Service `kubernetes`.
    kubernetes_service: IpAddr,
    /// Where API servers really are: their certificates name these too unless
    /// the scenario says which addresses they name.
    pub loopback: Vec<IpAddr>,
    /// A client certificate of `system:masters`.
    pub admin: Identity,
    /// The autoscaler's client certificate.
    ///
    /// DIFFERENCE: kube-controller-manager uses the autoscaler's service
    /// account token; a certificate of that name is believed just the same.
    pub autoscaler: Identity,
}

/// Whom a scenario that says what clients may do has in their place.
pub const CLIENT: &str = "jane";

impl Trust {
    /// The cluster's trust, valid from a year before `epoch` for ten years:
    /// scenarios about validity give kubelets certificates of their own.
    #[must_use]
    pub fn new(seed: Seed, epoch: Timestamp, addresses: &Addresses) -> Self {
        let year = Duration::from_secs(365 * 24 * 3600);
        let not_before = epoch.offset(-i64::try_from(year.as_nanos()).expect("a year fits"));
        let not_after = epoch.after(year * 9);
        let authority = |name: &str| {
            Rc::new(Authority::new(
                &format!("{}/pki/{name}", seed.0),
                name,
                not_before,
                not_after,
            ))
        };
        let cluster = authority("kubernetes-ca");
        let front_proxy = authority("front-proxy-ca");
        let leaf = |name: &str, organization: Option<&str>, usage| Leaf {
            seed: format!("{}/pki/{name}", seed.0),
            common_name: name.to_owned(),
            organizations: organization.map(str::to_owned).into_iter().collect(),
            dns: Vec::new(),
            ips: Vec::new(),
            not_before,
            not_after,
            usage,
        };
        Self {
            seed,
            epoch,
            kubernetes_service: addresses.kubernetes_service.ip(),
            loopback: Vec::new(),
            unknown: authority("unknown-ca"),
            validity: (not_before, not_after),
            admin: cluster.issue(&leaf(
                "kubernetes-admin",
                Some("system:masters"),
                Usage::Client,
            )),
            autoscaler: cluster.issue(&leaf(
                "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
                Some("system:serviceaccounts"),
                Usage::Client,
            )),
            cluster,
            front_proxy,
        }
    }

    /// What the key of `name` derives from.
    pub(super) fn key_name(&self, name: &str) -> String {
        format!("{}/pki/{name}", self.seed.0)
    }

    /// What right clocks show `ns` nanoseconds after the beginning.
    pub(super) fn instant(&self, ns: i64) -> Timestamp {
        self.epoch.offset(ns)
    }

    /// A client certificate of somebody whose rights stand in a role.
    #[must_use]
    pub fn client(&self) -> Identity {
        self.cluster.issue(&Leaf {
            seed: self.key_name(CLIENT),
            common_name: CLIENT.to_owned(),
            organizations: Vec::new(),
            dns: Vec::new(),
            ips: Vec::new(),
            not_before: self.validity.0,
            not_after: self.validity.1,
            usage: Usage::Client,
        })
    }

    /// What the API server `name` at `address` serves with.
    #[must_use]
    pub fn api_server(
        &self,
        name: &str,
        address: IpAddr,
        certificate: &ServingCertificate,
    ) -> Identity {
        let authority = if certificate.trusted {
            &*self.cluster
        } else {
            &self.unknown
        };
        let usual = || {
            let mut ips = vec![address, self.kubernetes_service];
            ips.extend_from_slice(&self.loopback);
            ips
        };
        authority.issue(&Leaf {
            seed: self.key_name(&format!("kube-{name}")),
            common_name: "kube-apiserver".to_owned(),
            organizations: Vec::new(),
            dns: vec![
                "kubernetes".to_owned(),
                "kubernetes.default".to_owned(),
                "kubernetes.default.svc".to_owned(),
                "localhost".to_owned(),
            ],
            ips: certificate.ips.clone().unwrap_or_else(usual),
            not_before: self.epoch.offset(certificate.not_before_ns),
            not_after: self.epoch.offset(certificate.not_after_ns),
            usage: Usage::Server,
        })
    }

    /// What the aggregation layer shows to extension servers.
    #[must_use]
    pub fn proxy_client(&self, certificate: &FrontProxy) -> Identity {
        let authority = match certificate.issuer {
            FrontProxyIssuer::FrontProxy => &*self.front_proxy,
            FrontProxyIssuer::Cluster => &self.cluster,
            FrontProxyIssuer::Unknown => &self.unknown,
        };
        authority.issue(&Leaf {
            seed: self.key_name("front-proxy-client"),
            common_name: certificate.common_name.clone(),
            organizations: Vec::new(),
            dns: Vec::new(),
            ips: Vec::new(),
            not_before: self.epoch.offset(certificate.not_before_ns),
            not_after: self.epoch.offset(certificate.not_after_ns),
            usage: Usage::Client,
        })
    }
}
