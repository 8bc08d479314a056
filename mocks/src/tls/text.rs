//! TLS failures as Go prints them.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError};

use super::VerificationError;

/// What Go's `crypto/tls` says where a handshake or a read failed with
/// `error`; `None` if the failure was not one of TLS, and so the dialler's or
/// the reader's own words apply.
///
/// DIFFERENCE: failures of the protocol itself, which two correct
/// implementations never show each other, keep rustls' words after `tls: `.
///
/// Source: crypto/tls, `alert.Error`, `CertificateVerificationError.Error`,
/// `Conn.readRecordOrCCS`; net/http, `persistConn.addTLS`.
#[must_use]
pub fn go_text(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::AlertReceived(alert) => format!("remote error: {}", alert_text(*alert)),
        Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => {
            match cause.downcast_ref::<VerificationError>() {
                Some(cause @ VerificationError::Malformed) => {
                    format!("tls: failed to parse certificate from server: {cause}")
                }
                Some(cause) => format!("tls: failed to verify certificate: {cause}"),
                None => format!("tls: {cause}"),
            }
        }
        // The record header was text. Nothing but HTTP answers here.
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        other => format!("tls: {other}"),
    })
}

/// Source: crypto/tls/alert.go, `alertText`.
fn alert_text(alert: AlertDescription) -> String {
    let text = match u8::from(alert) {
        0 => "close notify",
        10 => "unexpected message",
        20 => "bad record MAC",
        21 => "decryption failed",
        22 => "record overflow",
        30 => "decompression failure",
        40 => "handshake failure",
        42 => "bad certificate",
        43 => "unsupported certificate",
        44 => "revoked certificate",
        45 => "expired certificate",
        46 => "unknown certificate",
        47 => "illegal parameter",
        48 => "unknown certificate authority",
        49 => "access denied",
        50 => "error decoding message",
        51 => "error decrypting message",
        60 => "export restriction",
        70 => "protocol version not supported",
        71 => "insufficient security level",
        80 => "internal error",
        86 => "inappropriate fallback",
        90 => "user canceled",
        100 => "no renegotiation",
        109 => "missing extension",
        110 => "unsupported extension",
        111 => "certificate unobtainable",
        112 => "unrecognized name",
        113 => "bad certificate status response",
        114 => "bad certificate hash value",
        115 => "unknown PSK identity",
        116 => "certificate required",
        120 => "no application protocol",
        121 => "encrypted client hello required",
        other => return format!("tls: alert({other})"),
    };
    format!("tls: {text}")
}
