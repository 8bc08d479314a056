//! The results as a JUnit report, which CI systems show as tests.
//!
//! A suite is a scenario, a test case one of its runs. Names are unique
//! (GitLab keeps the first of equal ones only), `classname` is the scenario,
//! which is what GitLab shows, and there are no times: equal results are equal
//! bytes. A broken expectation is a failure; what cannot be told is an error,
//! so that it does not pass for success.

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use crate::case::Case;
use crate::expectation::{ExpectationResult, Outcome};
use crate::judgement::{RunJudgement, ScenarioJudgement};
use crate::text::{again, place};

/// The report, as XML.
///
/// # Panics
///
/// Never: a report that is written into memory cannot fail to be written.
#[must_use]
pub fn junit(scenarios: &[ScenarioJudgement]) -> String {
    let mut report = Report::new("firstlight");
    report.add_test_suites(scenarios.iter().map(suite));
    let xml = report.to_string();
    xml.expect("memory takes every report, and its characters are filtered")
}

fn suite(scenario: &ScenarioJudgement) -> TestSuite {
    let case = &scenario.case;
    let mut suite = TestSuite::new(&*case.file);
    for (name, value) in [
        ("scenario", &case.name),
        ("preset", &case.preset),
        ("metrics-server", &case.version),
        ("inputDigest", &format!("sha256:{}", case.input_digest)),
    ] {
        suite.add_property(Property::new(name, value.as_str()));
    }
    suite.add_test_cases(scenario.runs.iter().map(|run| test_case(case, run)));
    for result in scenario.across_runs() {
        suite.add_test_case(across_runs(case, result));
    }
    suite
}

fn test_case(case: &Case, run: &RunJudgement) -> TestCase {
    let own = run.expectations.iter().filter(|result| !result.across_runs);
    let broken: Vec<&ExpectationResult> = own
        .filter(|result| result.outcome != Outcome::Pass)
        .collect();
    let message = run.doubts.first().cloned();
    // Of equals the first.
    let worst = broken.iter().rev().max_by_key(|result| result.outcome);
    let message = match worst {
        Some(result) if result.outcome == run.outcome => Some(words(result)),
        _ => message,
    };
    let mut lines = vec![run.finding.because.clone()];
    lines.extend(run.doubts.iter().cloned());
    lines.extend(broken.iter().map(|result| told(case, result)));
    lines.push(format!("reproduce: {}", again(case, run)));
    let status = status(run.outcome, message.unwrap_or_default(), lines.join("\n"));
    let line = broken.first().map(|result| result.line);
    let mut test = named(case, format!("seed {}", run.seed), line, status);
    let digest = format!("sha256:{}", run.trace_digest);
    test.add_property(Property::new("traceDigest", digest));
    test.add_property(Property::new("verdict", run.finding.verdict.word()));
    test
}

/// A claim that one of the runs is enough for is a test of its own.
fn across_runs(case: &Case, result: &ExpectationResult) -> TestCase {
    let status = status(result.outcome, words(result), told(case, result));
    let name = format!(
        "all seeds: {} ({}:{})",
        result.subject, result.line, result.column
    );
    named(case, name, Some(result.line), status)
}

fn named(case: &Case, name: String, line: Option<u32>, status: TestCaseStatus) -> TestCase {
    let mut test = TestCase::new(name, status);
    test.set_classname(case.name.as_str());
    test.extra.insert("file".into(), case.file.as_str().into());
    if let Some(line) = line {
        test.extra.insert("line".into(), line.to_string().into());
    }
    test
}

fn status(outcome: Outcome, message: String, description: String) -> TestCaseStatus {
    let (kind, word) = match outcome {
        Outcome::Pass => return TestCaseStatus::success(),
        Outcome::Fail => (NonSuccessKind::Failure, "expectation"),
        Outcome::Inconclusive => (NonSuccessKind::Error, "inconclusive"),
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(word);
    status.set_message(message);
    status.set_description(description);
    status
}

/// `timeToReady: got 92.400s, want at most 60.000s (over by 32.400s)`
fn words(result: &ExpectationResult) -> String {
    format!("{}: {}", result.subject, result.seen())
}

fn told(case: &Case, result: &ExpectationResult) -> String {
    format!("{} [{}]", words(result), place(case, result))
}
