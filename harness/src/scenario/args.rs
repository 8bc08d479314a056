//! Reading flags out of the container's argument list.

use std::rc::Rc;

use super::source::Span;
use super::tree::Node;

/// The last value given for `--flag`, in either of Go's two forms, and its
/// place: where a flag is repeated the last one wins.
/// Source: pflag `flag.go (*FlagSet).parseLongArg`.
pub(crate) fn last_value<'t>(args: &'t [Rc<Node>], flag: &str) -> Option<(&'t str, Span)> {
    let mut found = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let Some(rest) = arg.text().and_then(|text| text.strip_prefix(flag)) else {
            continue;
        };
        if let Some(value) = rest.strip_prefix('=') {
            found = Some((value, arg.span));
        } else if rest.is_empty() {
            let value = args.next()?;
            found = Some((value.text()?, value.span));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::scalar;
    use super::*;

    #[test]
    fn the_last_of_a_repeated_flag_wins_in_either_form() {
        let check = |args: &[&str], expected: Option<&str>| {
            let args: Vec<Rc<Node>> = args.iter().map(|arg| scalar(arg)).collect();
            assert_eq!(
                last_value(&args, "--metric-resolution").map(|(value, _)| value),
                expected,
                "{args:?}"
            );
        };
        check(&["--cert-dir=/tmp", "--metric-resolution=15s"], Some("15s"));
        check(
            &["--metric-resolution=15s", "--metric-resolution", "30s"],
            Some("30s"),
        );
        check(&["--metric-resolution-x=15s"], None);
        check(&[], None);
    }
}
