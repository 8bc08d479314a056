//! From when until when certificates of the control plane are valid.

use super::code::Code;
use super::decoder::{Decoder, Item, Object};
use super::diagnostic::Diagnostic;
use super::shape::{Key, Kind};

pub(crate) const NOT_BEFORE: Key = Key::optional(
    "notBefore",
    Kind::SignedDuration,
    "-1h",
    "Beginning of its validity. Default: a year ago.",
);
pub(crate) const NOT_AFTER: Key = Key::optional(
    "notAfter",
    Kind::SignedDuration,
    "8759h",
    "End of its validity. Default: years ahead.",
);

/// A year on either side of the run and more, in nanoseconds from its start:
/// they are valid unless a scenario says otherwise.
/// Source: kubeadm `app/constants CertificateValidityPeriod`, a year.
pub(crate) const USUAL: (i64, i64) = (-31_536_000_000_000_000, 9 * 31_536_000_000_000_000);

/// Reads [`NOT_BEFORE`] and [`NOT_AFTER`] of the certificate `item`, which is
/// `object`, and notes one that is never valid.
pub(crate) fn validity(
    decoder: &mut Decoder,
    object: &mut Object<'_>,
    item: Item<'_>,
) -> Option<(i64, i64)> {
    let not_before = object.or(decoder, "notBefore", USUAL.0, Decoder::signed_duration);
    let not_after = object.or(decoder, "notAfter", USUAL.1, Decoder::signed_duration);
    let dates = (not_before?, not_after?);
    if dates.0 >= dates.1 {
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            item.key_span(),
            "the certificate is never valid: `notBefore` is not before `notAfter`",
            "both count from the start of the run: write `notBefore: -1h` and `notAfter: 8760h`",
        ));
    }
    Some(dates)
}
