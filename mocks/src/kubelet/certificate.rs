//! The certificate that a behaviour asks for.

use crate::pki::{Authority, Identity, Leaf, Usage};

use super::{Certificate, Issuer, KubeletConfig};

/// Makes the certificate and its key: the same ones for the same arguments.
///
/// Source: pkg/kubelet/certificate/kubelet.go,
/// `NewKubeletServerCertificateManager` (subject of a signed one);
/// client-go/util/cert/cert.go, `GenerateSelfSignedCertKeyWithFixtures` (names
/// of a self-signed one, which an authority of its own has signed).
pub(super) fn issue(certificate: &Certificate, config: &KubeletConfig) -> Identity {
    let (not_before, not_after) = (certificate.not_before, certificate.not_after);
    let seed = format!(
        "{}/{}/{:?}/{}/{}",
        config.seed,
        config.node,
        certificate.issuer,
        not_before.as_nanos(),
        not_after.as_nanos(),
    );
    let own = |common_name: &str| {
        Authority::new(
            &format!("{seed}/authority"),
            common_name,
            not_before,
            not_after,
        )
    };
    let signed = Leaf {
        seed: seed.clone(),
        common_name: format!("system:node:{}", config.node),
        organizations: vec!["system:nodes".to_owned()],
        dns: certificate.dns.clone(),
        ips: certificate.ips.clone(),
        not_before,
        not_after,
        usage: Usage::Server,
    };
    match certificate.issuer {
        Issuer::Cluster => config.authority.issue(&signed),
        Issuer::Unknown => config.unknown.issue(&signed),
        Issuer::SelfSigned => {
            let (node, created) = (&config.node, not_before.as_seconds());
            own(&format!("{node}-ca@{created}")).issue(&Leaf {
                common_name: format!("{node}@{created}"),
                organizations: Vec::new(),
                ..signed
            })
        }
    }
}
