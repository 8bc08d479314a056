//! Reading a recorded timeline.

use std::path::Path;

use serde_json::Value;

use crate::Expected;

/// A recorded timeline.
pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) value: Value,
}

impl Recording {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("the recording is there");
        let value: Value = serde_json::from_str(&text).expect("the recording is JSON");
        Self {
            name: value["name"].as_str().expect("a name").to_owned(),
            value,
        }
    }

    pub(crate) fn parameters(&self) -> &Value {
        &self.value["parameters"]
    }

    /// Whether the endpoint is published when the pod is Ready; otherwise it
    /// is always published, and the pod's condition was not recorded.
    pub(crate) fn pod_mode(&self) -> bool {
        self.parameters()["mode"] == "pod"
    }

    /// Milliseconds from process start to the first log line that contains
    /// `needle`.
    pub(crate) fn logged(&self, needle: &str) -> Option<f64> {
        self.value["metrics_server_log"]
            .as_array()
            .expect("log lines")
            .iter()
            .find_map(|entry| {
                let found = entry["line"]
                    .as_str()
                    .is_some_and(|line| line.contains(needle));
                if found { entry["t_ms"].as_f64() } else { None }
            })
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = Line<'_>> {
        self.value["events"]
            .as_array()
            .expect("events")
            .iter()
            .map(|event| Line {
                at: event["t_ms"].as_f64().map_or(0, |ms| ms as i64),
                source: event["source"].as_str().unwrap_or_default(),
                event: event["event"].as_str().unwrap_or_default(),
                code: event["code"].as_i64(),
                detail: &event["detail"],
            })
    }

    fn first(&self, is: impl Fn(&Line<'_>) -> bool) -> Expected {
        self.events()
            .find(is)
            .map_or(Expected::Never, |line| Expected::At(line.at))
    }

    pub(crate) fn readyz_200(&self) -> Expected {
        self.first(|line| line.source == "readyz" && line.code == Some(200))
    }

    pub(crate) fn pod_ready(&self) -> Expected {
        if !self.pod_mode() {
            return Expected::Unknown;
        }
        self.first(|line| line.event == "pod-ready" && line.detail == "True")
    }

    /// With an endpoint that is always published, the time of the first check
    /// that succeeds depends on how long the API server had been checking
    /// before the recording began, which is not recorded.
    ///
    /// An API server that starts during the recording takes its controllers
    /// with it, which resume when they have won their lease: in one recording
    /// the EndpointSlice was written 6.5 s after the pod was Ready.
    pub(crate) fn api_service_available(&self) -> Expected {
        if !self.pod_mode() || self.parameters()["apiserver_down_at_start"] == true {
            return Expected::Unknown;
        }
        self.first(|line| {
            line.source == "apiservice"
                && line
                    .detail
                    .as_str()
                    .is_some_and(|text| text.starts_with("Available=True"))
        })
    }

    pub(crate) fn first_api_200(&self) -> Expected {
        if !self.pod_mode() || self.parameters()["apiserver_down_at_start"] == true {
            return Expected::Unknown;
        }
        self.first(|line| line.source == "agg/nodes" && line.code == Some(200))
    }

    /// Phase of the availability controller's 30 s resync, where a recording
    /// shows it: by noticing that the process of an endpoint that is always
    /// published is gone.
    pub(crate) fn resync_phase(&self) -> Option<String> {
        let killed = self
            .events()
            .find(|line| line.event == "kill-metrics-server")?
            .at;
        let noticed = self.events().find(|line| {
            let failed = line
                .detail
                .as_str()
                .is_some_and(|text| text.contains("FailedDiscoveryCheck"));
            line.source == "apiservice" && line.at > killed && failed
        })?;
        Some(format!("{}ms", noticed.at % 30_000))
    }

    /// Probes, by code.
    pub(crate) fn probes(&self) -> Vec<(i64, String)> {
        self.events()
            .filter(|line| line.source == "kubelet-probe")
            .map(|line| (line.at, line.code.expect("a code").to_string()))
            .collect()
    }

    /// Starts and exits of the process.
    pub(crate) fn process(&self) -> Vec<(i64, String)> {
        self.events()
            .filter(|line| line.source == "metrics-server")
            .filter_map(|line| match (line.event, line.code) {
                ("process-start", _) => Some((line.at, "start".to_owned())),
                // The recorder's runtime gives the signal, Kubernetes 128 + 9.
                ("exit", Some(-9)) => Some((line.at, "exit 137".to_owned())),
                ("exit", Some(code)) => Some((line.at, format!("exit {code}"))),
                _ => None,
            })
            .collect()
    }

    /// Codes and texts of the list of nodes through the aggregation layer,
    /// other than 200.
    ///
    /// DIFFERENCE: a real process takes 10 to 30 ms to die of SIGKILL, and
    /// whoever asks in that time may see a reset; a simulated one dies at
    /// once. Answers within 100 ms of a kill are left out.
    pub(crate) fn aggregation_texts(&self) -> Vec<String> {
        let kills: Vec<i64> = self
            .events()
            .filter(|line| line.event == "kill-metrics-server")
            .map(|line| line.at)
            .collect();
        let mut texts = Vec::new();
        for line in self.events() {
            if kills
                .iter()
                .any(|kill| (0..100).contains(&(line.at - kill)))
            {
                continue;
            }
            if line.source != "agg/nodes" || line.event != "change" || line.code == Some(200) {
                continue;
            }
            let (Some(code @ 1..), Some(text)) = (line.code, line.detail.as_str()) else {
                continue;
            };
            let text = answer(&code.to_string(), text);
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts
    }

    /// Errors of scrapes, as the server logged them.
    pub(crate) fn scrape_errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        for entry in self.value["metrics_server_log"]
            .as_array()
            .expect("log lines")
        {
            let line = entry["line"].as_str().unwrap_or_default();
            if let Some(error) = logged_error(line).map(|error| normalised(&error))
                && !errors.contains(&error)
            {
                errors.push(error);
            }
        }
        errors
    }
}

/// One recorded event.
pub(crate) struct Line<'a> {
    pub(crate) at: i64,
    pub(crate) source: &'a str,
    pub(crate) event: &'a str,
    pub(crate) code: Option<i64>,
    pub(crate) detail: &'a Value,
}

/// The `err="…"` of a line about a failed scrape, unquoted as Go quotes.
fn logged_error(line: &str) -> Option<String> {
    if !line.contains("Failed to scrape node") {
        return None;
    }
    let quoted = line.split_once("err=")?.1;
    let mut text = String::new();
    let mut characters = quoted.strip_prefix('"')?.chars();
    loop {
        match characters.next()? {
            '"' => return Some(text),
            '\\' => match characters.next()? {
                'n' => text.push('\n'),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
}

/// A code and its body in one line; of a Status only its reason and message,
/// which is what the recorder kept.
pub(crate) fn answer(code: &str, body: &str) -> String {
    match serde_json::from_str::<Value>(body) {
        Ok(status) => format!("{code} {}: {}", status["reason"], status["message"]),
        Err(_) => normalised(&format!("{code} {}", body.trim_end())),
    }
}

/// A text without what legitimately differs between two networks: the
/// machines' addresses and the ports that a system picks.
pub(crate) fn normalised(text: &str) -> String {
    // Both ends of a connection, in Go's texts of failed reads and writes.
    if let Some((before, after)) = text.split_once("read tcp ")
        && let Some((_, after)) = after.split_once(": ")
    {
        return format!("{before}read tcp …: {after}");
    }
    let mut output = String::new();
    for (index, part) in text.split(' ').enumerate() {
        if index > 0 {
            output.push(' ');
        }
        let (address, rest) = part.split_at(
            part.find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(part.len()),
        );
        let dots = address.matches('.').count();
        output.push_str(if dots == 3 { "ADDRESS" } else { address });
        output.push_str(rest);
    }
    output
}
