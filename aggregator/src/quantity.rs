//! Kubernetes' notation for CPU and memory.
//!
//! Source: apimachinery `pkg/api/resource/quantity.go: CanonicalizeBytes`;
//! `pkg/storage/types.go: uint64Quantity`.

use std::fmt;

/// An amount of CPU, in billionths of a core, written in decimal: `250m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cpu(pub u128);

/// An amount of memory, in bytes, written in powers of 1024: `1578392Ki`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory(pub u128);

/// The largest amount that a quantity holds exactly.
const EXACT_MAX: u64 = i64::MAX.unsigned_abs();

/// A measured value as a quantity can hold it: above 2^63 − 1 the last decimal
/// digit is lost. The flag tells whether it had to be cut, which is logged.
#[must_use]
pub fn fit(value: u64) -> (u128, bool) {
    let cut = value > EXACT_MAX;
    let fitting = if cut { value / 10 * 10 } else { value };
    (u128::from(fitting), cut)
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(
            f,
            self.0,
            1000,
            &["n", "u", "m", "", "k", "M", "G", "T", "P", "E"],
        )
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // "This avoids rounding and hopefully confusion": below 1024 the
        // notation is decimal, so that 1000 bytes are `1k`.
        if self.0 < 1024 {
            write_scaled(f, self.0, 1000, &["", "k"])
        } else {
            write_scaled(f, self.0, 1024, &["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"])
        }
    }
}

/// Writes the largest unit in which the amount is whole.
fn write_scaled(
    f: &mut fmt::Formatter<'_>,
    amount: u128,
    step: u128,
    units: &[&str],
) -> fmt::Result {
    if amount == 0 {
        return f.write_str("0");
    }
    let mut number = amount;
    let mut unit = 0;
    while unit + 1 < units.len() && number.is_multiple_of(step) {
        number /= step;
        unit += 1;
    }
    f.write_str(itoa::Buffer::new().format(number))?;
    f.write_str(units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(quantity: &impl fmt::Display, expected: &str) {
        assert_eq!(quantity.to_string(), expected);
    }

    #[test]
    fn cpu_is_written_in_the_largest_whole_unit() {
        for (nanocores, text) in [
            (0, "0"),
            (1, "1n"),
            (999, "999n"),
            (20_000, "20u"),
            (1_500_000, "1500u"),
            (10_000_000, "10m"),
            (123_456_789, "123456789n"),
            (250_000_000, "250m"),
            (1_000_000_000, "1"),
            (2_500_000_000, "2500m"),
            (12_345_678_900, "12345678900n"),
            (1_000_000_000_000, "1k"),
        ] {
            check(&Cpu(nanocores), text);
        }
    }

    #[test]
    fn memory_is_decimal_below_1024_and_binary_from_there() {
        for (bytes, text) in [
            (0, "0"),
            (512, "512"),
            (1000, "1k"),
            (1023, "1023"),
            (1024, "1Ki"),
            (1025, "1025"),
            (12_533_760, "12240Ki"),
            (1_048_576, "1Mi"),
            (1_616_273_408, "1578392Ki"),
            (1_000_000, "1000000"),
            (1 << 40, "1Ti"),
        ] {
            check(&Memory(bytes), text);
        }
    }

    /// Source: `pkg/storage/types_test.go: TestUint64Quantity`.
    #[test]
    fn values_beyond_int64_lose_their_last_digit() {
        let max = i64::MAX.unsigned_abs();
        let tenth = u128::from(max / 10);
        assert_eq!(fit(max + 10), ((tenth + 1) * 10, true));
        assert_eq!(fit(max + 20), ((tenth + 2) * 10, true));
        assert_eq!(fit(max - 10), (u128::from(max - 10), false));
        assert_eq!(fit(max - 100), (u128::from(max - 100), false));
        check(&Memory(fit(u64::MAX).0), "18446744073709551610");
    }

    /// Reads a quantity back, as a multiple of `unit`⁻¹.
    fn read(text: &str, unit: u128) -> u128 {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let number: u128 = text[..digits].parse().expect("it starts with digits");
        let kilo = |power: u32| 1000_u128.pow(power) * unit;
        let kibi = |power: u32| 1024_u128.pow(power) * unit;
        number
            * match &text[digits..] {
                "n" => unit / 1_000_000_000,
                "u" => unit / 1_000_000,
                "m" => unit / 1000,
                "" => unit,
                "k" => kilo(1),
                "M" => kilo(2),
                "G" => kilo(3),
                "T" => kilo(4),
                "P" => kilo(5),
                "E" => kilo(6),
                "Ki" => kibi(1),
                "Mi" => kibi(2),
                "Gi" => kibi(3),
                "Ti" => kibi(4),
                "Pi" => kibi(5),
                "Ei" => kibi(6),
                other => panic!("no such unit: {other}"),
            }
    }

    proptest! {
        #[test]
        fn every_amount_reads_back(value: u64, zeros in 0_u32..19) {
            let value = u128::from(value) / 10_u128.pow(zeros) * 10_u128.pow(zeros);
            prop_assert_eq!(read(&Cpu(value).to_string(), 1_000_000_000), value);
            prop_assert_eq!(read(&Memory(value).to_string(), 1), value);
        }

        #[test]
        fn fitting_changes_only_the_last_digit_of_huge_values(value: u64) {
            let (fitting, cut) = fit(value);
            prop_assert_eq!(cut, value > EXACT_MAX);
            let tolerated = if cut { 9 } else { 0 };
            prop_assert!(u128::from(value) - fitting <= tolerated);
        }
    }
}
