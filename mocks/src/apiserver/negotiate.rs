//! Which representation a client accepts.

/// How the client wants objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Representation {
    /// As they are.
    Whole,
    /// Only their metadata: `PartialObjectMetadata`.
    Metadata,
}

/// How the client wants a discovery document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// `APIVersions`, `APIGroupList`: names of groups and versions.
    Legacy,
    /// `APIGroupDiscoveryList` of this version: everything in one document.
    Aggregated(&'static str),
}

/// The first clause of an `Accept` header that can be served for an object.
///
/// Protobuf and tables are not modelled; clients that prefer them name JSON
/// or `*/*` next. Clauses count in the order written: no client in a cluster
/// sends weights.
///
/// Source: apiserver `pkg/endpoints/handlers/negotiation/negotiate.go`.
pub(crate) fn representation(accept: Option<&str>) -> Option<Representation> {
    clauses(accept).find_map(|clause| match clause.param("as") {
        _ if !clause.is_json() => None,
        None => Some(Representation::Whole),
        Some("PartialObjectMetadata" | "PartialObjectMetadataList")
            if clause.is("meta.k8s.io", "v1") =>
        {
            Some(Representation::Metadata)
        }
        Some(_) => None,
    })
}

/// The first clause of an `Accept` header that can be served for discovery.
///
/// Source: apiserver `pkg/endpoints/discovery/aggregated/negotiation.go`.
pub(crate) fn discovery(accept: Option<&str>) -> Option<Discovery> {
    clauses(accept).find_map(|clause| match clause.param("as") {
        _ if !clause.is_json() => None,
        None => Some(Discovery::Legacy),
        Some("APIGroupDiscoveryList") => ["v2", "v2beta1"]
            .into_iter()
            .find(|version| clause.is("apidiscovery.k8s.io", version))
            .map(Discovery::Aggregated),
        Some(_) => None,
    })
}

struct Clause<'a> {
    media_type: &'a str,
    params: &'a str,
}

impl<'a> Clause<'a> {
    fn is_json(&self) -> bool {
        matches!(
            self.media_type,
            "application/json" | "application/*" | "*/*"
        )
    }

    fn param(&self, name: &str) -> Option<&'a str> {
        self.params.split(';').find_map(|param| {
            let (key, value) = param.trim().split_once('=')?;
            (key == name).then_some(value)
        })
    }

    fn is(&self, group: &str, version: &str) -> bool {
        self.param("g") == Some(group) && self.param("v") == Some(version)
    }
}

fn clauses(accept: Option<&str>) -> impl Iterator<Item = Clause<'_>> {
    let accept = accept.filter(|accept| !accept.trim().is_empty());
    accept.unwrap_or("*/*").split(',').map(|clause| {
        let clause = clause.trim();
        let (media_type, params) = clause.split_once(';').unwrap_or((clause, ""));
        Clause {
            media_type: media_type.trim(),
            params,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_clause_that_can_be_served_wins() {
        let check = |accept, expected| assert_eq!(representation(accept), expected, "{accept:?}");
        check(None, Some(Representation::Whole));
        check(
            Some("application/vnd.kubernetes.protobuf, */*"),
            Some(Representation::Whole),
        );
        check(
            Some(
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,\
                 application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
            ),
            Some(Representation::Metadata),
        );
        check(
            Some("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
            Some(Representation::Whole),
        );
        check(Some("application/vnd.kubernetes.protobuf"), None);
    }

    #[test]
    fn discovery_is_aggregated_only_for_those_who_ask_for_it() {
        let check = |accept, expected| assert_eq!(discovery(Some(accept)), expected, "{accept}");
        check("*/*", Some(Discovery::Legacy));
        check(
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
             application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,\
             application/json",
            Some(Discovery::Aggregated("v2")),
        );
        check(
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
            Some(Discovery::Aggregated("v2beta1")),
        );
    }
}
