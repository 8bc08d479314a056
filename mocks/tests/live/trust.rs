//! Who believes whom.

use mocks::pki::{Authority, Identity, Leaf, Usage};
use seam::Timestamp;

/// Authorities and certificates, valid for a day.
pub(crate) struct Trust {
    pub(crate) cluster: Authority,
    pub(crate) api_server: Identity,
    pub(crate) proxy_client: Identity,
    pub(crate) admin: Identity,
    /// The administrator of another cluster.
    pub(crate) foreigner: Identity,
    pub(crate) backend: Identity,
}

impl Trust {
    pub(crate) fn new(now: Timestamp) -> Self {
        let hour = 3_600_000_000_000;
        let (start, end) = (now.offset(-hour), now.offset(24 * hour));
        let authority = |name: &str| Authority::new(name, name, start, end);
        let (cluster, front_proxy) = (authority("kubernetes-ca"), authority("front-proxy-ca"));
        let leaf = |name: &str, organization: Option<&str>, usage| Leaf {
            seed: name.to_owned(),
            common_name: name.to_owned(),
            organizations: organization.map(str::to_owned).into_iter().collect(),
            dns: vec!["localhost".to_owned()],
            ips: vec![[127, 0, 0, 1].into()],
            not_before: start,
            not_after: end,
            usage,
        };
        Self {
            api_server: cluster.issue(&leaf("kube-apiserver", None, Usage::Server)),
            proxy_client: front_proxy.issue(&leaf("front-proxy-client", None, Usage::Client)),
            admin: cluster.issue(&leaf(
                "kubernetes-admin",
                Some("system:masters"),
                Usage::Client,
            )),
            foreigner: authority("another-ca").issue(&leaf(
                "kubernetes-admin",
                Some("system:masters"),
                Usage::Client,
            )),
            backend: cluster.issue(&leaf("metrics-server", None, Usage::Server)),
            cluster,
        }
    }
}
