//! Which metrics-server is under test.

use std::fmt;
use std::path::{Path, PathBuf};

use reports::exit::Exit;

use super::Refusal;

/// The metrics-server under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The aggregation core, in this process.
    Own,
    /// Whatever the user starts against the printed kubeconfig.
    External,
    /// What this command starts.
    Command(CommandLine),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("firstlight's own metrics-server, in this process"),
            Self::External => f.write_str("a metrics-server that its user started"),
            Self::Command(command) => {
                write!(f, "{}", command.program.display())?;
                command.args.iter().try_for_each(|arg| write!(f, " {arg}"))
            }
        }
    }
}

/// A command, split into words; placeholders in `{}` are still in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// What placeholders stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholders {
    /// `{kubeconfig}`: how metrics-server finds the API server.
    pub kubeconfig: String,
    /// `{secure-port}`: a free port.
    pub secure_port: u16,
    /// `{cert-dir}`: an empty directory that it may write to.
    pub cert_dir: String,
}

impl CommandLine {
    /// Splits a command as a shell does, without expanding anything, and finds
    /// its program.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if it has unbalanced quotes, no words or an unknown
    /// placeholder, or if there is no such program.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let words = shlex::split(text)
            .ok_or_else(|| usage(format!("--sut-command has unbalanced quotes: {text}")))?;
        let Some((program, args)) = words.split_first() else {
            return Err(usage("--sut-command is empty: name a program"));
        };
        for arg in args {
            check_placeholders(arg)?;
        }
        Ok(Self {
            program: find(program)?,
            args: args.to_vec(),
        })
    }

    /// The arguments with what the placeholders stand for.
    #[must_use]
    pub fn filled(&self, values: &Placeholders) -> Vec<String> {
        let fill = |arg: &String| {
            arg.replace("{kubeconfig}", &values.kubeconfig)
                .replace("{secure-port}", &values.secure_port.to_string())
                .replace("{cert-dir}", &values.cert_dir)
        };
        self.args.iter().map(fill).collect()
    }

    /// The port that the command itself names, if it names one instead of
    /// leaving it to the placeholder.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if it names none at all: nobody would know where to look.
    pub fn named_port(&self) -> Result<Option<u16>, Refusal> {
        let mut args = self.args.iter();
        let mut named = None;
        while let Some(arg) = args.next() {
            match arg.split_once('=') {
                Some(("--secure-port", value)) => named = Some(value.to_owned()),
                None if arg == "--secure-port" => named = args.next().cloned(),
                _ => {}
            }
        }
        match named.as_deref() {
            Some("{secure-port}") => Ok(None),
            Some(text) => match text.parse() {
                Ok(port @ 1..) => Ok(Some(port)),
                _ => Err(usage(format!(
                    "--secure-port={text} in --sut-command is no port"
                ))),
            },
            None => Err(usage(
                "--sut-command says nothing about the port to serve on: \
                 add --secure-port={secure-port}",
            )),
        }
    }
}

fn usage(message: impl Into<String>) -> Refusal {
    Refusal::new(Exit::Usage, message)
}

fn check_placeholders(arg: &str) -> Result<(), Refusal> {
    const KNOWN: [&str; 3] = ["kubeconfig", "secure-port", "cert-dir"];
    for (at, _) in arg.match_indices('{') {
        let rest = &arg[at + 1..];
        let Some(end) = rest.find('}') else { continue };
        let name = &rest[..end];
        if !KNOWN.contains(&name) {
            return Err(usage(format!(
                "--sut-command has an unknown placeholder {{{name}}}: \
                 there are {{kubeconfig}}, {{secure-port}} and {{cert-dir}}"
            )));
        }
    }
    Ok(())
}

/// The file of a program, as a shell finds it.
fn find(program: &str) -> Result<PathBuf, Refusal> {
    let missing = || usage(format!("--sut-command: there is no program `{program}`"));
    if program.contains('/') {
        let path = Path::new(program);
        return path.is_file().then(|| path.to_owned()).ok_or_else(missing);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> CommandLine {
        CommandLine::parse(text).expect("a command")
    }

    #[test]
    fn commands_are_split_as_a_shell_does_and_placeholders_filled() {
        let command = command("/bin/sh -c 'exec x --kubeconfig={kubeconfig}' {secure-port}");
        let values = Placeholders {
            kubeconfig: "/k".to_owned(),
            secure_port: 4443,
            cert_dir: "/c".to_owned(),
        };
        assert_eq!(
            command.filled(&values),
            ["-c", "exec x --kubeconfig=/k", "4443"]
        );
    }

    #[test]
    fn the_port_is_named_left_to_us_or_missing() {
        let port = |args: &str| command(&format!("/bin/sh {args}")).named_port();
        assert_eq!(port("--secure-port=4443"), Ok(Some(4443)));
        assert_eq!(port("--secure-port 4443"), Ok(Some(4443)));
        assert_eq!(port("--secure-port={secure-port}"), Ok(None));
        assert!(port("--secure-port=0").is_err());
        assert!(port("--v=2").is_err());
    }

    #[test]
    fn mistakes_are_told_before_anything_starts() {
        for (text, part) in [
            ("", "empty"),
            ("'x", "unbalanced"),
            ("/nowhere/at-all", "no program `/nowhere/at-all`"),
            ("no-such-program-anywhere", "no program"),
            ("/bin/sh {port}", "unknown placeholder {port}"),
        ] {
            let refusal = CommandLine::parse(text).expect_err(text);
            assert_eq!(refusal.exit, Exit::Usage);
            assert!(refusal.message.contains(part), "{}", refusal.message);
        }
    }
}
