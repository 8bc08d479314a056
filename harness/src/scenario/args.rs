//! Flags in the container's argument list.

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
    let flags = with_values(args).into_iter().filter_map(|(arg, value)| {
        let text = arg.text().filter(|text| text.starts_with('-'))?;
        let alone = value.and_then(|value| value.text()).unwrap_or("true");
        let (flag, value) = text.split_once('=').unwrap_or((text, alone));
        Some((flag, value, arg.span))
    });
    flags.collect()
}

/// Every argument, a flag with its value where that stands by itself.
fn with_values(args: &[Rc<Node>]) -> Vec<(&Rc<Node>, Option<&Rc<Node>>)> {
    let mut found = Vec::new();
    let mut args = args.iter().peekable();
    while let Some(arg) = args.next() {
        let text = arg.text().unwrap_or("");
        let value = match text.starts_with('-') && !text.contains('=') {
            true => args.next_if(|next| next.text().is_some_and(|text| !text.starts_with('-'))),
            false => None,
        };
        found.push((arg, value));
    }
    found
}

/// A flag with its value, or an argument that is no flag.
#[derive(Debug, Clone)]
pub(crate) struct Argument {
    /// Without dashes and value: `-v` and `--v` are one flag. Empty for what is
    /// no flag.
    pub(crate) flag: String,
    /// One element of the list, or two where the value stands by itself.
    pub(crate) words: Vec<Rc<Node>>,
}

/// The name of the flag that `text` gives or names, without dashes; empty if
/// it is none.
pub(crate) fn flag_name(text: &str) -> &str {
    match text.strip_prefix('-') {
        Some(rest) => {
            let rest = rest.strip_prefix('-').unwrap_or(rest);
            rest.split_once('=').map_or(rest, |(name, _)| name)
        }
        None => "",
    }
}

/// The list taken apart, each flag with its value.
pub(crate) fn arguments(args: &[Rc<Node>]) -> Vec<Argument> {
    let arguments = with_values(args).into_iter().map(|(arg, value)| Argument {
        flag: flag_name(arg.text().unwrap_or("")).to_owned(),
        words: std::iter::once(arg).chain(value).map(Rc::clone).collect(),
    });
    arguments.collect()
}

/// `own` laid over `earlier` as a person edits a Deployment: a flag of `own`
/// takes the place of the same flag in `earlier`, with every time that `own`
/// gives it; the others follow at the end. Flags that `removed` names go.
pub(crate) fn laid_over(earlier: &[Rc<Node>], own: &[Rc<Node>], removed: &[&str]) -> Vec<Rc<Node>> {
    let own = arguments(own);
    let replaces = |flag: &str| !flag.is_empty() && own.iter().any(|arg| arg.flag == flag);
    let mut placed: Vec<String> = Vec::new();
    let mut result = Vec::new();
    for arg in arguments(earlier) {
        if replaces(&arg.flag) {
            if !placed.contains(&arg.flag) {
                let here = own.iter().filter(|new| new.flag == arg.flag);
                result.extend(here.flat_map(|new| new.words.clone()));
                placed.push(arg.flag);
            }
        } else if !removed.contains(&&*arg.flag) || arg.flag.is_empty() {
            result.extend(arg.words);
        }
    }
    let new = own.into_iter().filter(|arg| !placed.contains(&arg.flag));
    result.extend(new.flat_map(|arg| arg.words));
    result
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

    /// Source: what `kubectl edit deployment` is used for; pflag appends a
    /// repeated list flag to the one before (`string_slice.go Set`).
    #[test]
    fn a_flag_replaces_the_earlier_one_where_it_stood() {
        let check = |own: &[&str], removed: &[&str], expected: &[&str]| {
            let list =
                |args: &[&str]| -> Vec<Rc<Node>> { args.iter().map(|a| scalar(a)).collect() };
            let earlier = list(&["--a=1", "--list", "x,y", "--switch", "--list=z"]);
            let laid = laid_over(&earlier, &list(own), removed);
            let laid: Vec<&str> = laid.iter().filter_map(|arg| arg.text()).collect();
            assert_eq!(laid, expected, "{own:?} {removed:?}");
        };
        let untouched = ["--a=1", "--list", "x,y", "--switch", "--list=z"];
        check(&[], &[], &untouched);
        check(&["--list=y"], &[], &["--a=1", "--list=y", "--switch"]);
        check(
            &["--list=y", "-v=2", "--list", "z"],
            &["switch"],
            &["--a=1", "--list=y", "--list", "z", "-v=2"],
        );
        check(&[], &["list", "a"], &["--switch"]);
        // What is no flag is never replaced.
        check(
            &["stray", "stray"],
            &[""],
            &[
                "--a=1", "--list", "x,y", "--switch", "--list=z", "stray", "stray",
            ],
        );
    }
}
