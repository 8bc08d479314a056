//! The decoder against a naive reading of the same text, line by line.

use std::collections::BTreeMap;

use aggregator::decode::decode;
use aggregator::sample::{MetricsBatch, MetricsPoint, PodRef};
use proptest::prelude::*;
use seam::Timestamp;

const REQUEST_TIME: Timestamp = Timestamp::from_millis(1_800_000_000_000);

const FAMILIES: [&str; 8] = [
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "container_start_time_seconds",
    "container_swap_usage_bytes",
    "node_cpu_usage_seconds_total",
    "node_memory_working_set_bytes",
    "pod_cpu_usage_seconds_total",
    "scrape_error",
];

/// One line of an exposition, before it is written down.
#[derive(Debug, Clone)]
struct Line {
    family: usize,
    /// Container, namespace and pod, each out of a small pool.
    subject: [usize; 3],
    value: String,
    timestamp: Option<i64>,
    style: Style,
}

#[derive(Debug, Clone, Copy)]
enum Style {
    Kubelet,
    TrailingComma,
    OtherOrder,
    Spaces,
}

impl Line {
    fn labels(&self) -> String {
        let [container, namespace, pod] = self.subject;
        let container = format!("container=\"c{container}\"");
        let namespace = format!("namespace=\"n{namespace}\"");
        let pod = format!("pod=\"p{pod}\"");
        match (FAMILIES[self.family].split('_').next(), self.style) {
            (Some("container"), Style::OtherOrder) => format!("{{{pod},{container},{namespace}}}"),
            (Some("container"), Style::TrailingComma) => {
                format!("{{{container},{namespace},{pod},}}")
            }
            (Some("container"), Style::Spaces) => format!("{{{container} , {namespace} ,{pod} }}"),
            (Some("container"), Style::Kubelet) => format!("{{{container},{namespace},{pod}}}"),
            (Some("pod"), _) => format!("{{{namespace},{pod}}}"),
            _ => String::new(),
        }
    }

    fn text(&self) -> String {
        let blanks = if matches!(self.style, Style::Spaces) {
            " \t"
        } else {
            " "
        };
        let mut text = format!(
            "{}{}{blanks}{}",
            FAMILIES[self.family],
            self.labels(),
            self.value
        );
        if let Some(timestamp) = self.timestamp {
            text += &format!("{blanks}{timestamp}");
        }
        text
    }
}

fn line() -> impl Strategy<Value = Line> {
    let value = prop_oneof![
        (0_u32..2_000_000).prop_map(|n| (f64::from(n) / 1000.0).to_string()),
        (1_u32..1_000, 0_u32..6).prop_map(|(n, e)| format!("{n}e+{e:02}")),
        Just("0".to_owned()),
    ];
    let timestamp = prop::option::of(1_700_000_000_000_i64..1_800_000_000_000);
    let style = prop_oneof![
        4 => Just(Style::Kubelet),
        1 => Just(Style::TrailingComma),
        1 => Just(Style::OtherOrder),
        1 => Just(Style::Spaces),
    ];
    let subject = [0_usize..3, 0..2, 0..3];
    (0..FAMILIES.len(), subject, value, timestamp, style).prop_map(
        |(family, subject, value, timestamp, style)| Line {
            family,
            subject,
            value,
            timestamp,
            style,
        },
    )
}

/// As kubelets write it: family by family, subjects in order.
fn sorted(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by_key(|line| (line.family, line.subject));
    lines
}

fn body(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        text += "# HELP anything [STABLE] at all\n\n";
        text += &line.text();
        text.push('\n');
    }
    text
}

#[derive(Default, Clone, Copy)]
struct Found {
    cpu: u64,
    memory: u64,
    timestamp: Option<Timestamp>,
    start: Option<Timestamp>,
}

impl Found {
    fn take(&mut self, family: &str, value: f64, timestamp: Timestamp) {
        if family.ends_with("cpu_usage_seconds_total") {
            self.cpu = (value * 1e9) as u64;
            self.timestamp = Some(timestamp);
        } else if family.ends_with("memory_working_set_bytes") {
            self.memory = value as u64;
            self.timestamp = Some(timestamp);
        } else if family.ends_with("start_time_seconds") {
            self.start = Some(Timestamp::from_nanos((value * 1e9) as i64));
        }
    }

    fn point(self) -> Option<MetricsPoint> {
        (self.cpu > 0 && self.memory > 0).then_some(MetricsPoint {
            start: self.start,
            timestamp: self.timestamp?,
            cumulative_cpu_ns: self.cpu,
            memory_bytes: self.memory,
        })
    }
}

/// What the lines say, from the lines themselves.
fn naive(lines: &[Line]) -> MetricsBatch {
    let mut node = Found::default();
    let mut pods: BTreeMap<(String, String), BTreeMap<String, Found>> = BTreeMap::new();
    for line in lines {
        let family = FAMILIES[line.family];
        let value: f64 = line.value.parse().expect("it was generated as a number");
        let timestamp = line.timestamp.map_or(REQUEST_TIME, Timestamp::from_millis);
        let [container, namespace, pod] = line.subject;
        if family.starts_with("node_") {
            node.take(family, value, timestamp);
        } else if family.starts_with("container_") && !family.contains("swap") {
            let containers = pods
                .entry((format!("n{namespace}"), format!("p{pod}")))
                .or_default();
            containers
                .entry(format!("c{container}"))
                .or_default()
                .take(family, value, timestamp);
        }
    }
    let pods = pods
        .into_iter()
        .filter_map(|((namespace, pod), containers)| {
            let points = containers
                .into_iter()
                .map(|(name, found)| Some((name.as_str().into(), found.point()?)))
                .collect::<Option<Vec<_>>>()?;
            Some((PodRef::new(&namespace, &pod), points.into_iter().collect()))
        });
    let node = node.point().map(|point| ("node".into(), point));
    MetricsBatch {
        nodes: node.into_iter().collect(),
        pods: pods.collect(),
    }
}

proptest! {
    #[test]
    fn generated_expositions_decode_as_read_naively(
        lines in prop::collection::vec(line(), 0..60),
        in_order: bool,
    ) {
        let lines = if in_order { sorted(lines) } else { lines };
        let batch = decode(body(&lines).as_bytes(), REQUEST_TIME, "node");
        prop_assert_eq!(batch, Ok(naive(&lines)));
    }

    #[test]
    fn one_bad_line_anywhere_fails_the_whole_text(
        lines in prop::collection::vec(line(), 1..20),
        at: prop::sample::Index,
        bad in prop::sample::select(vec![
            "<html>", "foo", "foo bar", "foo 1 2 3", "foo 1 -2", "foo 1 2.5", "foo{a=b} 1",
            "foo{a=\"b\" 1", "foo{,} 1", "{a=\"b\"} 1", "foo{\"bar\"} 1", "foo 0x1p4",
            "foo 1_000", "foo 1e999", "# TYPE foo bar", "# TYPE 1 gauge", "foo 1\r",
            "foo 1 9223372036854775808", "foo{a=\"b\\\n\"} 1",
        ]),
    ) {
        let mut texts: Vec<_> = lines.iter().map(Line::text).collect();
        texts.insert(at.index(lines.len() + 1), bad.to_owned());
        let body = texts.join("\n");
        prop_assert!(decode(body.as_bytes(), REQUEST_TIME, "node").is_err(), "{}", body);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&body, REQUEST_TIME, "node");
    }

    /// Bytes that matter to the grammar, far more often than by chance.
    #[test]
    fn no_text_of_tokens_makes_the_decoder_panic(
        parts in prop::collection::vec(prop::sample::select(vec![
            "container_cpu_usage_seconds_total", "{", "}", "\"", "\\", "=", ",", " ", "\n", "#",
            "# HELP ", "# TYPE ", "gauge", "\0", "1", "1.5", "container=\"c\"", "pod=\"",
            "namespace=\"n\"", "é", "a",
        ]), 0..40),
        broken in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut body = parts.concat().into_bytes();
        if let Some(at) = broken.filter(|_| !body.is_empty()) {
            let at = at.index(body.len());
            body[at] = 0xff;
        }
        if let Err(error) = decode(&body, REQUEST_TIME, "node") {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn a_changed_byte_makes_neither_panic_nor_phantom(
        lines in prop::collection::vec(line(), 1..20),
        at: prop::sample::Index,
        byte: u8,
    ) {
        let mut body = body(&sorted(lines)).into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        if let Ok(batch) = decode(&body, REQUEST_TIME, "node") {
            let points = batch.pods.values().flatten().map(|(_, point)| point);
            for point in batch.nodes.values().chain(points) {
                prop_assert!(point.cumulative_cpu_ns > 0 && point.memory_bytes > 0);
            }
        }
    }
}

/// Texts at the edges of the grammar: accepted, or refused with these words.
///
/// Source: prometheus `model/textparse/promlex.l`, `promparse.go`.
#[test]
fn the_grammar_has_these_edges() {
    let accepted: [&[u8]; 22] = [
        b"foo{a=\"b\"c=\"d\"} 1",
        b"foo{a=\"b\",} 1",
        b"foo{} 1",
        b"foo { a = \"b\" } 1 2 ",
        b"foo{a=\"b\nc\"} 1",
        b"foo{a=\"\0\\\"\"\0,b=\"c\"} 1",
        b"foo{\"a.b\"=\"c\"} 1",
        b"{\"foo.bar\"} 1",
        b"{a=\"b\",\"foo\"} 1",
        b"foo+5",
        b"foo NaN",
        b"foo -inf",
        b":a:b 1",
        b"# HELP foo",
        b"# HELP foo \x01 text",
        b"# TYPE \"foo bar\" gauge",
        b"# TYPE foo untyped",
        b"# HELPX foo bar",
        b"#\xff\xfe",
        b"# \xff\0\xfe",
        b"\t \n \n",
        b"\0 nobody reads this <",
    ];
    for body in accepted {
        let text = String::from_utf8_lossy(body);
        assert_eq!(
            decode(body, REQUEST_TIME, "node"),
            Ok(MetricsBatch::default()),
            "{text:?}"
        );
    }
    let refused: [(&[u8], &str); 18] = [
        (
            b"foo{a,b=\"c\"} 1",
            r#"expected equal, got ",b" ("COMMA") while parsing: "foo{a,b""#,
        ),
        (
            b"foo{,} 1",
            r#"expected label name, got ",}" ("COMMA") while parsing: "foo{,}""#,
        ),
        (
            b"foo{a=b} 1",
            r#"expected label value, got "b" ("INVALID") while parsing: "foo{a=b""#,
        ),
        (
            b"foo{a=\"b",
            r#"expected label value, got "\"b\n" ("INVALID") while parsing: "foo{a=\"b\n""#,
        ),
        (
            b"foo{a=\"b\\\nc\"} 1",
            r#"expected label value, got "\"b\\\n" ("INVALID") while parsing: "foo{a=\"b\\\n""#,
        ),
        (
            b"foo{a=\"\xff\"} 1",
            r#"invalid UTF-8 label value: "\"\xff\"""#,
        ),
        (
            b"foo{\"bar\"} 1",
            r#"metric name already set while parsing: "foo{\"bar\"}""#,
        ),
        (
            b"{a=\"b\"} 1",
            r#"metric name not set while parsing: "{a=\"b\"} 1""#,
        ),
        (
            b"foo{}{} 1",
            r#"expected value after metric, got "{}" ("BOPEN") while parsing: "foo{}{}""#,
        ),
        (
            b"foo 1 2 3\n",
            r#"expected next entry after timestamp, got "3\n" ("TIMESTAMP") while parsing: "foo 1 2 3\n""#,
        ),
        (
            b"foo 1 2\r\n",
            r#"expected next entry after timestamp, got "\r" ("INVALID") while parsing: "foo 1 2\r""#,
        ),
        (
            b"foo 1 9223372036854775808",
            r#"strconv.ParseInt: parsing "9223372036854775808": value out of range while parsing: "foo 1 9223372036854775808""#,
        ),
        (
            b"<html>",
            r#"expected a valid start token, got "<" ("INVALID") while parsing: "<""#,
        ),
        (
            b"# TYPE \n",
            r##"expected metric name after TYPE, got "\n" ("INVALID") while parsing: "# TYPE \n""##,
        ),
        (b"# TYPE foo", r#"invalid metric type """#),
        (b"# TYPE foo counter ", r#"invalid metric type "counter ""#),
        (
            b"# HELP foo \xff",
            r#"help text "\xff" is not a valid utf8 string"#,
        ),
        (
            b"# HELP foo\0",
            r##"linebreak expected after metadata, got "\x00\n" ("EOF") while parsing: "# HELP foo\x00\n""##,
        ),
    ];
    for (body, words) in refused {
        let text = String::from_utf8_lossy(body);
        let refusal = decode(body, REQUEST_TIME, "node").map_err(|error| error.to_string());
        assert_eq!(refusal, Err(words.to_owned()), "{text:?}");
    }
}
