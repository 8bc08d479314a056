//! The reports as their readers see them.

use crate::common::{MS, crash_loop, firewall, healthy, k3s, late_certificate, node};
use reports::case::{Case, Setting};
use reports::exit::ExitStatus;
use reports::expectation::{Bounds, Claim, Expectation, Happening, Measure, Window};
use reports::json::Document;
use reports::judgement::{ScenarioJudgement, judge};
use reports::junit::junit;
use reports::markdown::markdown;
use reports::moment::AnswerFilter;
use reports::text::{self, Style};
use reports::trace::Trace;

fn with_claims(mut case: Case) -> Case {
    let claim = |line, claim| Expectation {
        claim,
        line,
        column: 5,
    };
    case.expectations = vec![
        claim(30, Claim::Verdict("READY".to_owned())),
        claim(
            31,
            Claim::Milestone {
                name: "timeToReady".to_owned(),
                bounds: Bounds {
                    min: None,
                    max: Some(30_000 * MS),
                },
            },
        ),
        claim(
            32,
            Claim::Happening {
                what: Happening::Responses(AnswerFilter {
                    observer: "kubectl-top".to_owned(),
                    outcome: Some("503".to_owned()),
                    ..AnswerFilter::default()
                }),
                window: Window::default(),
                measure: Measure::Count(Bounds {
                    min: Some(1),
                    max: None,
                }),
            },
        ),
    ];
    case
}

fn report(case: &Case, trace: &Trace) -> String {
    text::report(case, &judge(case, trace, 7), Style::PLAIN)
}

/// The document, with a version that does not change with every release.
fn document(case: &Case, trace: &Trace) -> String {
    let runs = vec![judge(case, trace, 7)];
    let scenarios = [ScenarioJudgement {
        case: case.clone(),
        runs,
    }];
    let mut document = Document::new(&scenarios, ExitStatus::of(&scenarios));
    document.tool.version = "0.0.0".to_owned();
    let json = document.to_json();
    let back: Document = serde_json::from_str(&json).expect("our own format");
    assert_eq!(back, document);
    json
}

fn late_case() -> Case {
    let mut case = k3s("late-certificate");
    case.settings.push(Setting {
        name: "nodes.pi.kubelet".to_owned(),
        value: "noCertificate until 27s".to_owned(),
        origin: "scenarios/late-certificate.yaml:14".to_owned(),
    });
    case
}

#[test]
fn a_healthy_start_in_text() {
    insta::assert_snapshot!(report(&k3s("healthy"), &healthy()));
}

#[test]
fn a_late_certificate_in_text() {
    insta::assert_snapshot!(report(&with_claims(late_case()), &late_certificate()));
}

#[test]
fn a_firewall_in_text() {
    let mut case = k3s("firewall");
    case.nodes.push(node("pi-2"));
    insta::assert_snapshot!(report(&case, &firewall()));
}

#[test]
fn a_crash_loop_in_text() {
    insta::assert_snapshot!(report(&k3s("crash-loop"), &crash_loop()));
}

#[test]
fn a_crash_loop_in_ascii() {
    let case = k3s("crash-loop");
    let report = text::report(&case, &judge(&case, &crash_loop(), 7), Style::ASCII);
    assert!(report.is_ascii());
    insta::assert_snapshot!(report);
}

#[test]
fn a_healthy_start_in_json() {
    insta::assert_snapshot!(document(&k3s("healthy"), &healthy()));
}

#[test]
fn a_late_certificate_in_json() {
    insta::assert_snapshot!(document(&with_claims(late_case()), &late_certificate()));
}

#[test]
fn a_firewall_in_json() {
    insta::assert_snapshot!(document(&k3s("firewall"), &firewall()));
}

#[test]
fn a_crash_loop_in_json() {
    insta::assert_snapshot!(document(&k3s("crash-loop"), &crash_loop()));
}

fn library() -> Vec<ScenarioJudgement> {
    let one = |case: Case, traces: &[Trace]| ScenarioJudgement {
        runs: (1..)
            .zip(traces)
            .map(|(seed, trace)| judge(&case, trace, seed))
            .collect(),
        case,
    };
    let mut late = with_claims(late_case());
    late.expectations.truncate(2);
    vec![
        one(k3s("healthy"), &[healthy(), healthy()]),
        one(late, &[late_certificate()]),
        one(with_claims(k3s("firewall")), &[firewall()]),
        one(k3s("crash loop"), &[crash_loop()]),
    ]
}

#[test]
fn a_library_has_a_line_for_each_scenario() {
    insta::assert_snapshot!(text::library(&library(), Style::PLAIN));
}

#[test]
fn a_library_as_a_test_report() {
    insta::assert_snapshot!(junit(&library()));
}

#[test]
fn a_library_as_a_summary_to_paste() {
    let mut scenarios = library();
    // One whole report shows how all are folded.
    scenarios.remove(2);
    insta::assert_snapshot!(markdown(&scenarios));
}

#[test]
fn a_summary_of_what_passed_is_short() {
    let passed = &library()[..1];
    assert_eq!(
        markdown(passed),
        "### firstlight: 1 scenario passed\n\n\
         <details><summary>every scenario</summary>\n\n\
         | | scenario | verdict | ready | runs |\n|---|---|---|---:|---:|\n\
         | pass | `healthy` | READY | 16.430s | 2 |\n\n</details>\n"
    );
}

/// Goal: GitHub takes the summary. Method: more reports than there is room for.
#[test]
fn a_summary_has_room_for_so_many_reports() {
    let one = library().remove(1);
    let many: Vec<ScenarioJudgement> = std::iter::repeat_n(one, 400).collect();
    let page = markdown(&many);
    assert!(page.len() <= 900 * 1024, "{}", page.len());
    assert!(page.contains(" reports left out: there is no room for more."));
    assert_eq!(
        page.matches("<details>").count(),
        page.matches("</details>").count()
    );
}

/// Goal: what GitLab and Jenkins insist on. Method: names are unique, nothing
/// is dated, and characters that XML lacks are gone.
#[test]
fn test_reports_are_what_ci_systems_take() {
    let mut scenarios = library();
    scenarios[1].runs[0].finding.because = "a \u{1b}[31mred\u{0} text & <tag>".to_owned();
    let xml = junit(&scenarios);
    assert!(
        !xml.contains("timestamp") && !xml.contains("time=\""),
        "{xml}"
    );
    assert!(xml.contains("red text &amp; &lt;tag&gt;"), "{xml}");
    let identity = |line: &str| {
        let part = |key: &str| {
            let rest = line.split_once(&format!(" {key}=\""))?.1;
            Some(rest.split_once('"')?.0.to_owned())
        };
        Some((part("classname")?, part("name")?))
    };
    let tests = xml.lines().filter(|line| line.contains("<testcase "));
    let mut names: Vec<_> = tests.filter_map(identity).collect();
    let count = names.len();
    assert_eq!(count, 5);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn no_line_is_wider_than_promised() {
    let case = with_claims(late_case());
    let reports = [
        report(&case, &late_certificate()),
        report(&case, &firewall()),
        report(&case, &crash_loop()),
        text::library(&library(), Style::PLAIN),
    ];
    for line in reports.iter().flat_map(|report| report.lines()) {
        assert!(line.chars().count() <= text::WIDTH, "{line}");
        assert_eq!(line, line.trim_end());
    }
}

/// Goal: colour only repeats what words and symbols say.
/// Method: without its escape sequences the coloured report is the plain one.
#[test]
fn colour_changes_nothing_but_colour() {
    let strip = |text: &str| {
        let mut plain = String::new();
        for (index, piece) in text.split("\u{1b}[").enumerate() {
            let rest = if index == 0 {
                piece
            } else {
                piece.split_once('m').expect("an SGR").1
            };
            plain.push_str(rest);
        }
        plain
    };
    for trace in [healthy(), late_certificate(), firewall(), crash_loop()] {
        let case = with_claims(late_case());
        let run = judge(&case, &trace, 7);
        let coloured = text::report(&case, &run, Style::COLOUR);
        assert!(coloured.contains("\u{1b}["));
        assert_eq!(strip(&coloured), text::report(&case, &run, Style::PLAIN));
    }
    let coloured = text::library(&library(), Style::COLOUR);
    assert_eq!(strip(&coloured), text::library(&library(), Style::PLAIN));
}

#[test]
fn printed_parts_add_up_to_the_printed_sum() {
    for trace in [healthy(), late_certificate(), firewall(), crash_loop()] {
        let report = report(&k3s("pi"), &trace);
        let block = report
            .split("where the ")
            .nth(1)
            .expect("there is such a block");
        let ms = |line: &str| -> Option<u64> {
            let word = line.get(..11)?.trim().strip_suffix('s')?;
            word.replace('.', "").parse().ok()
        };
        let (parts, sum) = block
            .split_once("  ─────────\n")
            .expect("there is a sum line");
        let parts: u64 = parts.lines().skip(1).filter_map(ms).sum();
        assert_eq!(Some(parts), ms(sum.lines().next().expect("there is a sum")));
    }
}

/// Goal: nobody's terminal is steered by what a kubelet answers.
#[test]
fn control_characters_are_shown_not_sent() {
    let trace = crate::common::cold_start(("malformed", "bad \u{1b}[2J byte", 5), u64::MAX, 60_000);
    let report = report(&k3s("pi"), &trace);
    assert!(!report.contains('\u{1b}'));
    assert!(report.contains("bad \\u{1b}[2J byte"));
}
