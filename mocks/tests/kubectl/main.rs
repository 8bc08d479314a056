//! The real `kubectl`, unmodified, against the API server on loopback.
//!
//! - [`cluster`]: an API server with a few objects and a backend for
//!   `metrics.k8s.io`, on a thread of its own;
//! - [`kubectl`]: the program, and what it printed;
//! - [`reading`], [`metrics`], [`access`], [`refusals`]: what users do with it.
//!
//! Without `kubectl` on the path nothing is tested: the run says so, and fails
//! if `FIRSTLIGHT_DEMAND` is set.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

mod access;
#[path = "../live/cluster.rs"]
mod cluster;
mod kubectl;
mod metrics;
mod reading;
mod refusals;

/// A test by name.
type Case = (&'static str, fn());

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let cases = [
        reading::CASES,
        metrics::CASES,
        access::CASES,
        refusals::CASES,
    ];
    let missing = kubectl::find().is_none();
    if missing {
        complain();
        if std::env::var_os("FIRSTLIGHT_DEMAND").is_some() {
            return ExitCode::FAILURE;
        }
        arguments.ignored = false;
    }
    let trials = cases.into_iter().flatten().map(|&(name, case)| {
        Trial::test(name, move || {
            case();
            Ok(())
        })
        .with_ignored_flag(missing)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

#[expect(clippy::print_stderr, reason = "a run that tests nothing must say so")]
fn complain() {
    eprintln!(
        "\n*** kubectl is not on PATH: NOTHING WAS TESTED against the real client. ***\n\
         *** Install kubectl v1.32 or newer to run these tests.                 ***\n"
    );
}
