//! Kubernetes' way to write amounts: `100m`, `200Mi`.

/// A quantity in billionths; 0 if it is none.
/// Source: `apimachinery/pkg/api/resource/suffix.go`.
pub(crate) fn nanos(quantity: &str) -> i128 {
    let split = quantity
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(split);
    let unit: i128 = match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => 1_000_000_000,
        "k" => 10_i128.pow(12),
        "M" => 10_i128.pow(15),
        "G" => 10_i128.pow(18),
        "T" => 10_i128.pow(21),
        "Ki" => 1_000_000_000 << 10,
        "Mi" => 1_000_000_000 << 20,
        "Gi" => 1_000_000_000 << 30,
        "Ti" => 1_000_000_000 << 40,
        _ => return 0,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().unwrap_or(0);
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).unwrap_or(u32::MAX));
    match (digits.checked_mul(unit), scale) {
        (Some(scaled), Some(scale)) => scaled / scale,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_all_their_spellings() {
        let billion = 1_000_000_000;
        for (text, value) in [
            ("299999999n", 299_999_999),
            ("1500u", 1_500_000),
            ("300m", 300_000_000),
            ("4", 4 * billion),
            ("1.5", 1_500_000_000),
            ("2k", 2_000 * billion),
            ("1464844Ki", 1_464_844 * 1024 * billion),
            ("16Gi", (16 << 30) * billion),
            ("", 0),
            ("nonsense", 0),
        ] {
            assert_eq!(nanos(text), value, "{text}");
        }
    }
}
