//! `firstlight serve`: the scenario on loopback, in real time.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use reports::exit::{self, Exit, ExitStatus};
use reports::text::{self, Style};

use super::{complain, output, run};
use crate::scenario;
use crate::seed::Seed;
use crate::serve::subject::{CommandLine, Subject};
use crate::serve::{self, Ended, Options, Served};

/// What to serve, where, and to whom.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The scenario file
    file: PathBuf,
    /// What is left to chance is drawn from this seed; the scenario's first if absent
    #[arg(long)]
    seed: Option<u64>,
    /// Write the administrator's kubeconfig here rather than to a temporary file
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// Write metrics-server's kubeconfig here rather than to a temporary file
    #[arg(long, value_name = "PATH")]
    metrics_server_kubeconfig: Option<PathBuf>,
    /// The loopback address that the API server listens on
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_parser = parse_loopback)]
    listen: IpAddr,
    /// The port that the API server listens on; 0 lets the system choose
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    apiserver_port: u16,
    /// Serve for so long rather than until Ctrl-C: 90s, 5m
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    run_for: Option<Duration>,
    /// Whose metrics-server is under test
    #[arg(long, value_enum, default_value_t = Sut::Own, conflicts_with = "sut_command")]
    sut: Sut,
    /// Test the metrics-server that this command starts; {kubeconfig}, {secure-port} and {cert-dir}
    /// stand for what it needs
    #[arg(long, value_name = "COMMAND")]
    sut_command: Option<String>,
    /// Write a report for other tools: json=PATH, junit=PATH or md=PATH; may be repeated
    #[arg(long = "report", value_name = "FORMAT=PATH", value_parser = run::parse_report)]
    reports: Vec<run::ReportOption>,
    /// Leave out the timeline
    #[arg(short, long)]
    quiet: bool,
}

/// Whose metrics-server is under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sut {
    /// firstlight's own, in this process
    Own,
    /// The one that you start against the kubeconfig that is printed
    External,
}

/// Serves, judges, prints, writes reports.
pub fn run(arguments: &Arguments) -> Exit {
    let scenario = match scenario::load(&arguments.file) {
        Ok(scenario) => scenario,
        Err(diagnostics) => {
            output::stderr(&diagnostics.render());
            return Exit::InvalidInput;
        }
    };
    let subject = match subject(arguments) {
        Ok(subject) => subject,
        Err(refusal) => return complain(refusal.exit, &refusal.message),
    };
    let sinks = match run::open_reports(&arguments.reports) {
        Ok(sinks) => sinks,
        Err(exit) => return exit,
    };
    let seed = arguments.seed.or(scenario.seeds.first().copied());
    let options = Options {
        seed: Seed(seed.unwrap_or(1)),
        listen: arguments.listen,
        apiserver_port: arguments.apiserver_port,
        kubeconfig: arguments.kubeconfig.clone(),
        server_kubeconfig: arguments.metrics_server_kubeconfig.clone(),
        subject,
        run_for: arguments.run_for,
        quiet: arguments.quiet,
    };
    let served = match serve::serve(&scenario, &options) {
        Ok(served) => served,
        Err(refusal) => return complain(refusal.exit, &refusal.message),
    };
    let judgements = std::slice::from_ref(&served.judgement);
    let mut causes = exit::causes(judgements);
    if served.ended == Ended::Terminated {
        causes.push((Exit::Terminated, "SIGTERM".to_owned()));
    }
    let status = ExitStatus::worst(causes);
    if let Err(error) = output::stdout(&page(&served)) {
        let message = format!("cannot write to standard output: {error}");
        return complain(Exit::Io, &message);
    }
    run::write_reports(sinks, judgements, status)
}

fn subject(arguments: &Arguments) -> Result<Subject, serve::Refusal> {
    Ok(match (&arguments.sut_command, arguments.sut) {
        (Some(command), _) => Subject::Command(CommandLine::parse(command)?),
        (None, Sut::Own) => Subject::Own,
        (None, Sut::External) => Subject::External,
    })
}

fn page(served: &Served) -> String {
    let mut page = "\n".to_owned();
    for run in &served.judgement.runs {
        page.push_str(&text::report(&served.judgement.case, run, Style::COLOUR));
    }
    if let Some(cost) = served.cost {
        page.push_str(&format!(
            "\nthe process under test\n  {:.3} s of CPU, peak memory {:.1} MB, {} ticks\n",
            cost.cpu.as_secs_f64(),
            cost.peak_memory_bytes as f64 / 1e6,
            cost.ticks
        ));
    }
    page
}

fn parse_loopback(text: &str) -> Result<IpAddr, String> {
    match text.parse::<IpAddr>() {
        Ok(ip) if ip.is_loopback() => Ok(ip),
        Ok(_) => Err(format!(
            "{text} is not a loopback address; firstlight serves nobody but this machine"
        )),
        Err(_) => Err(format!("`{text}` is not an address; write 127.0.0.1")),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write 90s or 5m");
    let duration: SignedDuration = text.parse().map_err(|_| wrong())?;
    match Duration::try_from(duration) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_on() {
        assert!(parse_loopback("127.0.0.1").is_ok());
        assert!(parse_loopback("::1").is_ok());
        for wrong in ["0.0.0.0", "192.168.0.1", "localhost"] {
            assert!(parse_loopback(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_units_and_are_positive() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        for wrong in ["90", "0s", "-5s", ""] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
