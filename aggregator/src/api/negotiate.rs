//! What the client accepts → what it gets.
//!
//! Two parties decide, in turn: the router looks whether any type listed in
//! `Accept` is produced at all; then the encoder takes the first clause, by
//! weight, that it can satisfy, conversions included.
//!
//! Source: go-restful `route.go: matchesAccept`, `jsr311.go`; apiserver
//! `pkg/endpoints/handlers/negotiation/negotiate.go`.
//!
//! DIFFERENCE: only JSON is written. A client that prefers YAML or protobuf
//! and also accepts JSON gets JSON; one that accepts only those gets 406.

use super::ApiRequest;
use super::query::Query;
use super::status::{Details, Refusal};

/// What the body is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) form: Form,
    pub(super) pretty: bool,
}

/// The kind of object that the client wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The object itself.
    Plain,
    /// Columns and rows.
    Table(MetaVersion),
    /// Only the metadata of one object.
    Partial(MetaVersion),
    /// Only the metadata of each object.
    PartialList(MetaVersion),
    /// All groups and resources in one document.
    AggregatedDiscovery(DiscoveryVersion),
}

/// A version of the group `meta.k8s.io`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetaVersion {
    V1,
    V1Beta1,
}

impl MetaVersion {
    pub(super) const fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// A version of the group `apidiscovery.k8s.io`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DiscoveryVersion {
    V2,
    V2Beta1,
}

/// Which conversions an endpoint offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restrictions {
    /// None.
    Nothing,
    /// Tables and metadata.
    Resource,
    /// Aggregated discovery in the versions that the release has.
    Discovery(&'static [DiscoveryVersion]),
}

/// What the router offers, for one object and for a list.
const MEDIA_TYPES: [&str; 3] = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];
const STREAM_MEDIA_TYPES: [&str; 2] = [
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];

/// The router's part: 406 unless some type in `Accept` is one of ours or
/// `*/*`; `application/*` is not understood.
pub(super) fn route(request: &ApiRequest<'_>, list: bool) -> Result<(), Refusal> {
    let accept = request
        .accept
        .filter(|accept| !accept.is_empty())
        .unwrap_or("*/*");
    let understood = accept.split(',').any(|clause| {
        let media_type = clause.split(';').next().unwrap_or_default().trim();
        media_type == "*/*" || MEDIA_TYPES.contains(&media_type)
    });
    if understood {
        return Ok(());
    }
    let streams: &[&str] = if list { &STREAM_MEDIA_TYPES } else { &[] };
    let available = [&MEDIA_TYPES, streams].concat().join(", ");
    let message = format!("406: Not Acceptable\n\nAvailable representations: {available}");
    Err(Refusal::not_acceptable(message, Some(Details::default())))
}

/// The encoder's part.
pub(super) fn output(request: &ApiRequest<'_>, offered: Restrictions) -> Result<Output, Refusal> {
    let accept = request.accept.unwrap_or_default();
    let pretty = wants_pretty(request);
    if accept.is_empty() {
        return Ok(Output {
            form: Form::Plain,
            pretty,
        });
    }
    clauses(accept)
        .iter()
        .find_map(|clause| {
            let (form, indented) = clause.satisfy(offered)?;
            Some(Output {
                form,
                pretty: pretty || indented,
            })
        })
        .ok_or_else(|| {
            let message = "only the following media types are accepted: application/json";
            Refusal::not_acceptable(message.into(), None)
        })
}

/// Whether the client is a person: by `?pretty`, or by its User-Agent.
///
/// Source: `negotiate.go: isPrettyPrint`.
fn wants_pretty(request: &ApiRequest<'_>) -> bool {
    let query = Query::parse(request.query);
    match query.get("pretty").filter(|value| !value.is_empty()) {
        Some(value) => matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        None => {
            let agent = request.user_agent.unwrap_or_default();
            ["curl", "Wget", "Mozilla/5.0"]
                .iter()
                .any(|person| agent.starts_with(person))
        }
    }
}

/// One media range of an `Accept` header.
struct Clause<'a> {
    media_type: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f64,
}

impl Clause<'_> {
    /// How specific the range is: full type, any subtype, anything.
    fn specificity(&self) -> u8 {
        match self.media_type {
            "*/*" => 0,
            wild if wild.ends_with("/*") => 1,
            _ => 2,
        }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    /// The form that the clause asks for and whether it wants it indented;
    /// `None` if that is not offered.
    fn satisfy(&self, offered: Restrictions) -> Option<(Form, bool)> {
        if !matches!(
            self.media_type,
            "application/json" | "application/*" | "*/*"
        ) {
            return None;
        }
        if self
            .parameter("stream")
            .is_some_and(|stream| !stream.is_empty())
        {
            return None;
        }
        let wanted = ["g", "v", "as"].map(|name| self.parameter(name));
        let form = if wanted == [None; 3] {
            Form::Plain
        } else {
            convert(wanted.map(Option::unwrap_or_default), offered)?
        };
        Some((form, self.parameter("pretty") == Some("1")))
    }
}

/// Source: apiserver `pkg/endpoints/handlers/rest.go:
/// (*RequestScope).AllowsMediaTypeTransform`; `pkg/endpoints/discovery`.
fn convert([group, version, kind]: [&str; 3], offered: Restrictions) -> Option<Form> {
    match offered {
        Restrictions::Nothing => None,
        Restrictions::Resource => {
            let version = match (group, version) {
                ("meta.k8s.io", "v1") => MetaVersion::V1,
                ("meta.k8s.io", "v1beta1") => MetaVersion::V1Beta1,
                _ => return None,
            };
            match kind {
                "Table" => Some(Form::Table(version)),
                "PartialObjectMetadata" => Some(Form::Partial(version)),
                "PartialObjectMetadataList" => Some(Form::PartialList(version)),
                _ => None,
            }
        }
        Restrictions::Discovery(versions) => {
            let version = match (group, version, kind) {
                ("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList") => DiscoveryVersion::V2,
                ("apidiscovery.k8s.io", "v2beta1", "APIGroupDiscoveryList") => {
                    DiscoveryVersion::V2Beta1
                }
                _ => return None,
            };
            versions
                .contains(&version)
                .then_some(Form::AggregatedDiscovery(version))
        }
    }
}

/// The media ranges of an `Accept` header, best first.
///
/// Source: goautoneg `ParseAccept`.
fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<_> = accept.split(',').filter_map(clause).collect();
    clauses.sort_by(|a, b| {
        let by_quality = b.quality.total_cmp(&a.quality);
        by_quality.then_with(|| b.specificity().cmp(&a.specificity()))
    });
    clauses
}

fn clause(text: &str) -> Option<Clause<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let media_type = parts.next()?;
    if media_type != "*" && !media_type.contains('/') {
        return None;
    }
    let mut parameters: Vec<_> = parts
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let weight = parameters.iter().position(|(name, _)| *name == "q");
    let quality = match weight {
        Some(at) => parameters.remove(at).1.parse().unwrap_or(1.0),
        None => 1.0,
    };
    let media_type = if media_type == "*" { "*/*" } else { media_type };
    Some(Clause {
        media_type,
        parameters,
        quality,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &str) -> Option<Form> {
        let request = ApiRequest {
            accept: Some(accept),
            ..ApiRequest::default()
        };
        route(&request, true).ok()?;
        output(&request, Restrictions::Resource)
            .ok()
            .map(|output| output.form)
    }

    #[test]
    fn the_best_clause_that_can_be_satisfied_wins() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,\
                       application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        for (accept, expected) in [
            ("", Some(Form::Plain)),
            ("*/*", Some(Form::Plain)),
            ("application/json, */*", Some(Form::Plain)),
            (kubectl, Some(Form::Table(MetaVersion::V1))),
            (
                "application/json;as=Foo;g=x;v=y,application/json",
                Some(Form::Plain),
            ),
            (
                "application/vnd.kubernetes.protobuf,application/json",
                Some(Form::Plain),
            ),
            (
                "application/json;q=0.5,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                Some(Form::PartialList(MetaVersion::V1)),
            ),
            ("application/json;stream=watch", None),
            ("application/json;as=Foo;g=x;v=y", None),
            ("application/yaml", None),
            ("application/*", None),
            ("text/html", None),
        ] {
            assert_eq!(form(accept), expected, "{accept}");
        }
    }

    #[test]
    fn people_get_indented_text_unless_they_say_otherwise() {
        for (query, agent, pretty) in [
            (None, None, false),
            (None, Some("kubectl/v1.36"), false),
            (None, Some("curl/8.5.0"), true),
            (None, Some("Wget/1.21"), true),
            (None, Some("Mozilla/5.0 (X11)"), true),
            (Some("pretty=true"), None, true),
            (Some("pretty=1"), None, true),
            (Some("pretty="), Some("curl/8"), true),
            (Some("pretty=false"), Some("curl/8"), false),
            (Some("pretty=yes"), Some("curl/8"), false),
        ] {
            let request = ApiRequest {
                query,
                user_agent: agent,
                ..ApiRequest::default()
            };
            let output = output(&request, Restrictions::Nothing).expect("it accepts anything");
            assert_eq!(output.pretty, pretty, "{query:?} {agent:?}");
        }
    }
}
