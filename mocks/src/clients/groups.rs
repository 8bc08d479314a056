//! Both forms of API discovery, as far as the metrics API needs them.
//!
//! Source: `client-go/discovery/{discovery_client,aggregated_discovery}.go`.

use std::borrow::Cow;

use http::uri::PathAndQuery;
use serde::Deserialize;

use super::rest::{Answer, Rest, RestError, Subject};
use super::{GROUP, GROUP_VERSION, VERSION};

/// Source: `discovery_client.go acceptDiscoveryFormats`.
const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                      application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,\
                      application/json";

/// What discovery says about the metrics API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listing {
    /// Nothing.
    Absent,
    /// The version is known and could not be read: a client leaves it out.
    Stale,
    /// It is served, with these resources.
    Current(Vec<String>),
    /// It is listed in the form that says no more.
    Legacy,
}

/// The text of an error that left `version` out.
/// Source: `ErrGroupDiscoveryFailed.Error`.
pub(super) fn incomplete(cause: &str) -> String {
    format!("unable to retrieve the complete list of server APIs: {GROUP_VERSION}: {cause}")
}

/// Source: `aggregated_discovery.go StaleGroupVersionError.Error`.
pub(super) fn stale() -> String {
    format!("stale GroupVersion discovery: {GROUP_VERSION}")
}

/// Asks for `/apis`.
pub(super) async fn apis(rest: &Rest) -> Result<Listing, RestError> {
    let path = PathAndQuery::from_static("/apis");
    let answer = rest.get(&path, ACCEPT, Subject::Path).await?;
    Ok(listing(&answer))
}

/// Asks for `/api`, where an answer of 404 is as good as an empty one.
/// Source: `discovery_client.go downloadLegacy`.
pub(super) async fn legacy_api(rest: &Rest) -> Result<(), RestError> {
    let path = PathAndQuery::from_static("/api");
    match rest.get(&path, ACCEPT, Subject::Path).await {
        Ok(_) => Ok(()),
        Err(RestError::Api(error)) if error.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

fn listing(answer: &Answer) -> Listing {
    let found = if answer.content_type.contains("g=apidiscovery.k8s.io") {
        aggregated(&answer.body)
    } else {
        legacy(&answer.body)
    };
    found.unwrap_or(Listing::Absent)
}

fn aggregated(body: &[u8]) -> Option<Listing> {
    #[derive(Deserialize)]
    struct List<'a> {
        #[serde(borrow, default)]
        items: Vec<Group<'a>>,
    }
    #[derive(Deserialize)]
    struct Group<'a> {
        #[serde(borrow)]
        metadata: Metadata<'a>,
        #[serde(borrow, default)]
        versions: Vec<Version<'a>>,
    }
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow, default)]
        name: Cow<'a, str>,
    }
    #[derive(Deserialize)]
    struct Version<'a> {
        #[serde(borrow)]
        version: Cow<'a, str>,
        #[serde(borrow, default)]
        freshness: Cow<'a, str>,
        #[serde(borrow, default)]
        resources: Vec<Resource<'a>>,
    }
    #[derive(Deserialize)]
    struct Resource<'a> {
        #[serde(borrow)]
        resource: Cow<'a, str>,
    }
    let list: List<'_> = serde_json::from_slice(body).ok()?;
    let group = list
        .items
        .into_iter()
        .find(|group| group.metadata.name == GROUP)?;
    let version = group
        .versions
        .into_iter()
        .find(|version| version.version == VERSION)?;
    if version.freshness == "Stale" {
        return Some(Listing::Stale);
    }
    let names = version
        .resources
        .into_iter()
        .map(|resource| resource.resource.into_owned());
    Some(Listing::Current(names.collect()))
}

fn legacy(body: &[u8]) -> Option<Listing> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        groups: Vec<Group>,
    }
    #[derive(Deserialize)]
    struct Group {
        #[serde(default)]
        versions: Vec<Version>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        group_version: String,
    }
    let list: List = serde_json::from_slice(body).ok()?;
    let mut versions = list.groups.into_iter().flat_map(|group| group.versions);
    versions
        .any(|version| version.group_version == GROUP_VERSION)
        .then_some(Listing::Legacy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn of(content_type: &str, body: &'static str) -> Listing {
        listing(&Answer {
            status: 200,
            content_type: content_type.to_owned(),
            body: Bytes::from_static(body.as_bytes()),
        })
    }

    #[test]
    fn aggregated_discovery_tells_stale_from_current() {
        let form = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let stale = r#"{"items":[{"metadata":{"name":"metrics.k8s.io"},
            "versions":[{"version":"v1beta1","freshness":"Stale"}]}]}"#;
        let current = r#"{"items":[{"metadata":{"name":"apps"},"versions":[]},
            {"metadata":{"name":"metrics.k8s.io"},"versions":[{"version":"v1beta1",
            "resources":[{"resource":"nodes"},{"resource":"pods"}],"freshness":"Current"}]}]}"#;
        assert_eq!(of(form, stale), Listing::Stale);
        assert_eq!(
            of(form, current),
            Listing::Current(vec!["nodes".to_owned(), "pods".to_owned()])
        );
        assert_eq!(of(form, r#"{"items":[]}"#), Listing::Absent);
    }

    #[test]
    fn legacy_discovery_lists_the_group_whatever_its_state() {
        let body = r#"{"kind":"APIGroupList","groups":[{"name":"metrics.k8s.io",
            "versions":[{"groupVersion":"metrics.k8s.io/v1beta1","version":"v1beta1"}]}]}"#;
        assert_eq!(of("application/json", body), Listing::Legacy);
        assert_eq!(of("application/json", r#"{"groups":[]}"#), Listing::Absent);
    }
}
