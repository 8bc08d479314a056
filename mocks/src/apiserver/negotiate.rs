//! Which representation a client accepts.

use super::reply::Failure;

/// How the client wants objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Representation {
    /// As they are.
    Whole,
    /// Only their metadata: `PartialObjectMetadata`.
    Metadata,
    /// As rows: `Table` of this version of `meta.k8s.io`.
    Table {
        /// `v1` or `v1beta1`
        version: &'static str,
        /// What each row brings along.
        include: Include,
    },
}

/// What a row of a table brings along: `includeObject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Include {
    /// `None`
    Nothing,
    /// `Metadata`, or nothing said.
    Metadata,
    /// `Object`
    Object,
}

impl Include {
    /// Reads the parameter `includeObject`.
    ///
    /// Source: apimachinery `pkg/apis/meta/v1/validation/validation.go:
    /// ValidateTableOptions`.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Failure> {
        match text {
            None | Some("Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::Nothing),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(Failure::bad_request(format!(
                "includeObject: Invalid value: \"{other}\": must be 'Metadata', 'Object', \
                 'None', or empty"
            ))),
        }
    }
}

/// How the client wants a discovery document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// `APIVersions`, `APIGroupList`: names of groups and versions.
    Legacy,
    /// `APIGroupDiscoveryList` of this version: everything in one document.
    Aggregated(&'static str),
}

/// The first clause of an `Accept` header that can be served for an object;
/// `include` is what rows of a table are to bring along.
///
/// DIFFERENCE: neither YAML nor protobuf is served. Clients that prefer them
/// name JSON or `*/*` next; who insists is refused as by a real server whose
/// objects have no such form.
///
/// Source: apiserver `pkg/endpoints/handlers/negotiation/negotiate.go`,
/// `pkg/endpoints/handlers/rest.go: AllowsMediaTypeTransform`.
pub(crate) fn representation(accept: Option<&str>, include: Include) -> Option<Representation> {
    clauses(accept)
        .into_iter()
        .find_map(|clause| match clause.param("as") {
            _ if !clause.is_json() => None,
            None => Some(Representation::Whole),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList")
                if clause.is("meta.k8s.io", "v1") =>
            {
                Some(Representation::Metadata)
            }
            Some("Table") => ["v1", "v1beta1"]
                .into_iter()
                .find(|version| clause.is("meta.k8s.io", version))
                .map(|version| Representation::Table { version, include }),
            Some(_) => None,
        })
}

/// The first clause of an `Accept` header that can be served for discovery.
///
/// Source: apiserver `pkg/endpoints/discovery/aggregated/negotiation.go`.
pub(crate) fn discovery(accept: Option<&str>) -> Option<Discovery> {
    clauses(accept)
        .into_iter()
        .find_map(|clause| match clause.param("as") {
            _ if !clause.is_json() => None,
            None => Some(Discovery::Legacy),
            Some("APIGroupDiscoveryList") => ["v2", "v2beta1"]
                .into_iter()
                .find(|version| clause.is("apidiscovery.k8s.io", version))
                .map(Discovery::Aggregated),
            Some(_) => None,
        })
}

/// Whether a client takes JSON at all.
pub(crate) fn takes_json(accept: Option<&str>) -> bool {
    clauses(accept).iter().any(Clause::is_json)
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

    /// The weight in thousandths; one that cannot be read counts as whole.
    fn weight(&self) -> u32 {
        let Some(text) = self.param("q") else {
            return 1000;
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
        match (whole.parse::<u32>(), digits.parse::<u32>()) {
            (Ok(whole), Ok(thousandths)) => (whole * 1000 + thousandths).min(1000),
            _ => 1000,
        }
    }
}

/// The clauses by weight, and in the order written where weights are equal.
fn clauses(accept: Option<&str>) -> Vec<Clause<'_>> {
    let accept = accept.filter(|accept| !accept.trim().is_empty());
    let mut clauses: Vec<Clause<'_>> = accept
        .unwrap_or("*/*")
        .split(',')
        .map(|clause| {
            let clause = clause.trim();
            let (media_type, params) = clause.split_once(';').unwrap_or((clause, ""));
            Clause {
                media_type: media_type.trim(),
                params,
            }
        })
        .collect();
    clauses.sort_by_key(|clause| std::cmp::Reverse(clause.weight()));
    clauses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_clause_that_can_be_served_wins() {
        let check = |accept, expected| {
            let found = representation(accept, Include::Metadata);
            assert_eq!(found, expected, "{accept:?}");
        };
        let table = |version| {
            Some(Representation::Table {
                version,
                include: Include::Metadata,
            })
        };
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
            table("v1"),
        );
        check(
            Some("application/json;as=Table;v=v1beta1;g=meta.k8s.io"),
            table("v1beta1"),
        );
        check(Some("application/json;as=Table;v=v7;g=meta.k8s.io"), None);
        check(Some("application/vnd.kubernetes.protobuf"), None);
    }

    #[test]
    fn weights_outrank_the_order_written() {
        let accept = "application/json;q=0.1,application/json;as=Table;v=v1;g=meta.k8s.io;q=0.9";
        let found = representation(Some(accept), Include::Nothing);
        let table = Representation::Table {
            version: "v1",
            include: Include::Nothing,
        };
        assert_eq!(found, Some(table));
    }

    #[test]
    fn rows_bring_metadata_along_unless_told_otherwise() {
        assert_eq!(Include::parse(None), Ok(Include::Metadata));
        assert_eq!(Include::parse(Some("Object")), Ok(Include::Object));
        let refused = Include::parse(Some("all")).expect_err("unknown");
        assert_eq!(
            refused.status()["message"],
            "includeObject: Invalid value: \"all\": must be 'Metadata', 'Object', 'None', or empty"
        );
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
