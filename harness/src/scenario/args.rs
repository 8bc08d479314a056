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

/// Every flag with its value and place, in order. A flag without a value is a
/// switch that is on.
pub(crate) fn flags(args: &[Rc<Node>]) -> Vec<(&str, &str, Span)> {
    let mut found = Vec::new();
    let mut args = args.iter().peekable();
    while let Some(arg) = args.next() {
        let Some(text) = arg.text().filter(|text| text.starts_with('-')) else {
            continue;
        };
        if let Some((flag, value)) = text.split_once('=') {
            found.push((flag, value, arg.span));
        } else {
            let value = args.next_if(|next| next.text().is_some_and(|text| !text.starts_with('-')));
            let value = value.and_then(|value| value.text()).unwrap_or("true");
            found.push((text, value, arg.span));
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

    #[test]
    fn flags_have_a_value_of_either_form_or_are_switches() {
        let args: Vec<Rc<Node>> = ["--a=1", "--b", "2", "--c", "--d", "stray"]
            .map(scalar)
            .into();
        let read: Vec<(&str, &str)> = flags(&args)
            .into_iter()
            .map(|(flag, value, _)| (flag, value))
            .collect();
        let expected = [
            ("--a", "1"),
            ("--b", "2"),
            ("--c", "true"),
            ("--d", "stray"),
        ];
        assert_eq!(read, expected);
    }
}
