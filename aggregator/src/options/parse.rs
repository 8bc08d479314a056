//! Command-line syntax, as pflag reads it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::duration::GoDuration;
use super::flags::{FLAGS, Flag, Kind};
use crate::klog::Quoted;
use crate::version::Version;

/// Flags as given, the last one winning. What was not given is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    version: Version,
    values: BTreeMap<&'static str, Vec<String>>,
    /// `-h` or `--help` was among them.
    pub(super) help: bool,
}

impl Given {
    /// The value in force of a flag that takes one value.
    pub(super) fn value(&self, name: &str) -> &str {
        match self.values.get(name).and_then(|given| given.last()) {
            Some(value) => value,
            None => self.default_of(name),
        }
    }

    /// The values in force of a flag that takes a comma-separated list: those
    /// given, which together replace the default.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let split = |text: &str| -> Vec<String> {
            if text.is_empty() {
                return Vec::new();
            }
            text.split(',').map(str::to_owned).collect()
        };
        match self.values.get(name) {
            Some(given) => given.iter().flat_map(|text| split(text)).collect(),
            None => split(self.default_of(name)),
        }
    }

    /// Whether the flag was given a value other than its default.
    pub(super) fn differs(&self, flag: &Flag) -> bool {
        self.values.contains_key(flag.name)
            && self.value(flag.name) != flag.default_in(self.version)
    }

    fn default_of(&self, name: &str) -> &'static str {
        let flag = FLAGS.iter().find(|flag| flag.name == name);
        flag.expect("options are read by names from the table of flags")
            .default_in(self.version)
    }

    fn set(&mut self, flag: &'static Flag, value: &str) -> Result<(), String> {
        check(flag.kind, value).map_err(|error| {
            let name = match flag.shorthand {
                Some(letter) => format!("-{letter}, --{}", flag.name),
                None => format!("--{}", flag.name),
            };
            format!(
                "invalid argument {} for {} flag: {error}",
                Quoted(value),
                Quoted(&name)
            )
        })?;
        let values = self.values.entry(flag.name).or_default();
        if flag.kind != Kind::Strings {
            values.clear();
        }
        values.push(value.to_owned());
        Ok(())
    }
}

/// Reads a command line of a release.
///
/// Source: lib: pflag `flag.go: (*FlagSet).parseArgs, parseLongArg,
/// parseSingleShortArg`. Arguments that are no flags are ignored.
pub(super) fn parse(args: &[String], version: Version) -> Result<Given, String> {
    let mut given = Given {
        version,
        values: BTreeMap::new(),
        help: false,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            break;
        }
        if let Some(long) = arg.strip_prefix("--") {
            parse_long(&mut given, arg, long, &mut args)?;
        } else if let Some(short) = arg.strip_prefix('-').filter(|short| !short.is_empty()) {
            parse_short(&mut given, short, &mut args)?;
        }
        if given.help {
            break;
        }
    }
    Ok(given)
}

fn parse_long<'a>(
    given: &mut Given,
    arg: &str,
    long: &str,
    rest: &mut impl Iterator<Item = &'a String>,
) -> Result<(), String> {
    if long.starts_with(['-', '=']) {
        return Err(format!("bad flag syntax: {arg}"));
    }
    let (name, value) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (long, None),
    };
    let exists = |flag: &&Flag| flag.name == name && flag.exists_in(given.version);
    let Some(flag) = FLAGS.iter().find(exists) else {
        given.help = name == "help";
        return if given.help {
            Ok(())
        } else {
            Err(format!("unknown flag: --{name}"))
        };
    };
    match value {
        Some(value) => given.set(flag, value),
        None if flag.kind == Kind::Bool => given.set(flag, "true"),
        None => match rest.next() {
            Some(value) => given.set(flag, value),
            None => Err(format!("flag needs an argument: --{name}")),
        },
    }
}

fn parse_short<'a>(
    given: &mut Given,
    letters: &str,
    rest: &mut impl Iterator<Item = &'a String>,
) -> Result<(), String> {
    let letter = letters
        .chars()
        .next()
        .expect("the caller passes at least one letter");
    let after = &letters[letter.len_utf8()..];
    let Some(flag) = FLAGS
        .iter()
        .find(|flag| flag.shorthand == Some(letter) && flag.exists_in(given.version))
    else {
        given.help = letter == 'h';
        return if given.help {
            Ok(())
        } else {
            Err(format!("unknown shorthand flag: '{letter}' in -{letters}"))
        };
    };
    if let Some(value) = after.strip_prefix('=') {
        given.set(flag, value)
    } else if !after.is_empty() {
        given.set(flag, after)
    } else if let Some(value) = rest.next() {
        given.set(flag, value)
    } else {
        Err(format!("flag needs an argument: '{letter}' in -{letters}"))
    }
}

/// What the flag's Go type says to a value.
fn check(kind: Kind, value: &str) -> Result<(), String> {
    let syntax = |function: &str| {
        format!(
            "strconv.{function}: parsing {}: invalid syntax",
            Quoted(value)
        )
    };
    match kind {
        Kind::Bool => go_bool(value)
            .map(|_| ())
            .ok_or_else(|| syntax("ParseBool")),
        Kind::Duration => GoDuration::parse(value).map(|_| ()),
        Kind::Int => value
            .parse::<i64>()
            .map(|_| ())
            .map_err(|_| syntax("ParseInt")),
        Kind::Float => value
            .parse::<f64>()
            .map(|_| ())
            .map_err(|_| syntax("ParseFloat")),
        Kind::Ip => match value.trim().parse::<IpAddr>() {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("failed to parse IP: {}", Quoted(value))),
        },
        Kind::String | Kind::Strings => Ok(()),
    }
}

/// Source: Go `strconv: ParseBool`.
pub(super) fn go_bool(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}
