//! Authorities, certificates and tokens of one cluster.

use std::rc::Rc;
use std::time::Duration;

use mocks::pki::{Authority, Identity, Leaf, Usage};
use seam::Timestamp;

use super::addresses::Addresses;
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
    /// The API server's serving certificate.
    pub api_server: Identity,
    /// The aggregation layer's client certificate.
    pub proxy_client: Identity,
    /// A client certificate of `system:masters`.
    pub admin: Identity,
    /// The autoscaler's client certificate.
    ///
    /// DIFFERENCE: kube-controller-manager uses the autoscaler's service
    /// account token; a certificate of that name is believed just the same.
    pub autoscaler: Identity,
}

/// The common name in the aggregation layer's client certificate.
const PROXY_CLIENT: &str = "front-proxy-client";

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
        let api_server = cluster.issue(&Leaf {
            dns: vec![
                "kubernetes".to_owned(),
                "kubernetes.default".to_owned(),
                "kubernetes.default.svc".to_owned(),
                "localhost".to_owned(),
            ],
            ips: vec![addresses.api_server.ip(), addresses.kubernetes_service.ip()],
            ..leaf("kube-apiserver", None, Usage::Server)
        });
        Self {
            api_server,
            proxy_client: front_proxy.issue(&leaf(PROXY_CLIENT, None, Usage::Client)),
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

    /// The common name that extension servers let through as the aggregation
    /// layer: `--requestheader-allowed-names`.
    #[must_use]
    pub fn proxy_client_name(&self) -> &'static str {
        PROXY_CLIENT
    }
}
