//! Whether a certificate is for a host, as Go decides and tells it.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::x509::X509Error;

/// Source: Go `crypto/x509/verify.go: (*Certificate).VerifyHostname,
/// HostnameError.Error`.
pub(super) fn check_host(certificate: &X509Certificate<'_>, host: &str) -> Result<(), X509Error> {
    let mut names: Vec<&str> = Vec::new();
    let mut addresses: Vec<IpAddr> = Vec::new();
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    for name in alternatives
        .iter()
        .flat_map(|extension| &extension.value.general_names)
    {
        match name {
            GeneralName::DNSName(name) => names.push(name),
            GeneralName::IPAddress(bytes) => addresses.extend(ip_address(bytes)),
            _ => {}
        }
    }
    let address: Option<IpAddr> = host.parse().ok();
    let matches = match address {
        Some(address) => addresses.contains(&address),
        None => names.iter().any(|pattern| matches_host(pattern, host)),
    };
    if matches {
        return Ok(());
    }
    let common_name = certificate
        .subject()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok());
    if alternatives.is_none() && common_name.is_some_and(|name| matches_host(name, host)) {
        let text = "x509: certificate relies on legacy Common Name field, use SANs instead";
        return Err(X509Error(text.to_owned()));
    }
    let (valid, count, what) = match address {
        Some(_) if addresses.is_empty() => {
            return Err(X509Error(format!(
                "x509: cannot validate certificate for {host} because it doesn't contain any IP SANs"
            )));
        }
        Some(_) => {
            let listed: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            (listed.join(", "), addresses.len(), "IP SANs")
        }
        None => (names.join(", "), names.len(), "names"),
    };
    Err(X509Error(if valid.is_empty() {
        format!("x509: certificate is not valid for any names, but wanted to match {host}")
    } else if count >= 100 {
        format!("x509: certificate is valid for {count} {what}, but none matched {host}")
    } else {
        format!("x509: certificate is valid for {valid}, not {host}")
    }))
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// Source: Go `crypto/x509/verify.go: matchHostnames`.
fn matches_host(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if pattern.is_empty() || host.is_empty() {
        return false;
    }
    let mut pattern = pattern.split('.');
    let mut host = host.split('.');
    let mut first = true;
    loop {
        match (pattern.next(), host.next()) {
            (None, None) => return true,
            (Some(wanted), Some(label)) => {
                if !(first && wanted == "*" || wanted.eq_ignore_ascii_case(label)) {
                    return false;
                }
            }
            _ => return false,
        }
        first = false;
    }
}
