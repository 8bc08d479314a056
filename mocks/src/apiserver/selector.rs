//! Label and field selectors.

use serde_json::Value;

use super::reply::Failure;
use crate::store::Stored;

/// Which objects a list or watch is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    namespace: Option<String>,
    labels: Vec<Requirement>,
    fields: Vec<FieldRequirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    Exists,
    DoesNotExist,
    In(Vec<String>),
    NotIn(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldRequirement {
    path: &'static [&'static str],
    value: String,
    equal: bool,
}

/// The fields that each resource can be selected by, besides its name and
/// namespace.
///
/// Source: `pkg/apis/core/v1/conversion.go: AddFieldLabelConversionsFor…`.
const FIELDS: &[(&str, &str, &[&str])] = &[
    ("pods", "spec.nodeName", &["spec", "nodeName"]),
    ("pods", "spec.restartPolicy", &["spec", "restartPolicy"]),
    ("pods", "spec.schedulerName", &["spec", "schedulerName"]),
    (
        "pods",
        "spec.serviceAccountName",
        &["spec", "serviceAccountName"],
    ),
    ("pods", "status.phase", &["status", "phase"]),
    ("pods", "status.podIP", &["status", "podIP"]),
    (
        "pods",
        "status.nominatedNodeName",
        &["status", "nominatedNodeName"],
    ),
    ("nodes", "spec.unschedulable", &["spec", "unschedulable"]),
    ("services", "spec.clusterIP", &["spec", "clusterIP"]),
    ("services", "spec.type", &["spec", "type"]),
    ("namespaces", "status.phase", &["status", "phase"]),
    ("events", "reason", &["reason"]),
    ("events", "type", &["type"]),
    ("events", "source", &["source", "component"]),
    ("events", "reportingComponent", &["reportingComponent"]),
    ("events", "involvedObject.kind", &["involvedObject", "kind"]),
    ("events", "involvedObject.name", &["involvedObject", "name"]),
    ("events", "involvedObject.uid", &["involvedObject", "uid"]),
    (
        "events",
        "involvedObject.apiVersion",
        &["involvedObject", "apiVersion"],
    ),
    (
        "events",
        "involvedObject.resourceVersion",
        &["involvedObject", "resourceVersion"],
    ),
    (
        "events",
        "involvedObject.fieldPath",
        &["involvedObject", "fieldPath"],
    ),
    (
        "events",
        "involvedObject.namespace",
        &["involvedObject", "namespace"],
    ),
];

/// The words for a field that a resource cannot be selected by: those with a
/// list of their own have other words than the rest.
///
/// Source: apimachinery `pkg/runtime/conversion.go:
/// DefaultMetaV1FieldSelectorConversion` for the rest.
fn unsupported(resource: &str, field: &str) -> Failure {
    let has_own_list = FIELDS.iter().any(|(of, _, _)| *of == resource);
    Failure::bad_request(match has_own_list {
        true => format!("field label not supported: {field}"),
        false => format!(
            "\"{field}\" is not a known field selector: only \"metadata.name\", \
             \"metadata.namespace\""
        ),
    })
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector` for a resource.
    pub(crate) fn parse(
        resource: &str,
        namespace: &str,
        labels: Option<&str>,
        fields: Option<&str>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
            labels: parse_labels(labels.unwrap_or_default())?,
            fields: parse_fields(resource, fields.unwrap_or_default())?,
        })
    }

    /// Whether an object is selected.
    pub(crate) fn matches(&self, object: &Stored) -> bool {
        let metadata = object.metadata();
        if let Some(namespace) = &self.namespace
            && metadata["namespace"].as_str() != Some(namespace)
        {
            return false;
        }
        self.fields.iter().all(|field| field.matches(object))
            && self
                .labels
                .iter()
                .all(|requirement| requirement.matches(&metadata["labels"]))
    }

    /// The namespace that everything selected is in.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Whether everything in the namespace is selected.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}

impl Requirement {
    fn matches(&self, labels: &Value) -> bool {
        let value = labels.get(&self.key).and_then(Value::as_str);
        let is_one_of = |values: &[String]| values.iter().any(|v| Some(v.as_str()) == value);
        match &self.operator {
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::In(values) => is_one_of(values),
            Operator::NotIn(values) => !is_one_of(values),
        }
    }
}

impl FieldRequirement {
    fn matches(&self, object: &Stored) -> bool {
        let field = object.field(self.path);
        let equal = match field.as_deref() {
            Some(Value::Bool(flag)) => flag.to_string() == self.value,
            // A flag that is not set is false.
            None if self.path == ["spec", "unschedulable"] => self.value == "false",
            field => field.and_then(Value::as_str).unwrap_or_default() == self.value,
        };
        equal == self.equal
    }
}

fn parse_fields(resource: &str, text: &str) -> Result<Vec<FieldRequirement>, Failure> {
    let mut requirements = Vec::new();
    for term in text.split(',').filter(|term| !term.is_empty()) {
        let (name, value, equal) = if let Some((name, value)) = term.split_once("!=") {
            (name, value, false)
        } else if let Some((name, value)) = term.split_once("==") {
            (name, value, true)
        } else if let Some((name, value)) = term.split_once('=') {
            (name, value, true)
        } else {
            let message = format!("invalid selector: '{text}'; can't understand '{term}'");
            return Err(Failure::bad_request(message));
        };
        let known = FIELDS
            .iter()
            .find(|(of, field, _)| *of == resource && *field == name);
        let path: &'static [&'static str] = match (name, known) {
            ("metadata.name", _) => &["metadata", "name"],
            ("metadata.namespace", _) => &["metadata", "namespace"],
            (_, Some((_, _, path))) => path,
            _ => return Err(unsupported(resource, name)),
        };
        requirements.push(FieldRequirement {
            path,
            value: value.to_owned(),
            equal,
        });
    }
    Ok(requirements)
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, Failure> {
    let terms = split_outside_parentheses(text);
    terms.into_iter().map(parse_label).collect()
}

fn parse_label(term: &str) -> Result<Requirement, Failure> {
    let requirement = |key: &str, operator| {
        let key = key.trim();
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if key.is_empty() || !key.chars().all(legal) {
            let message = format!("unable to parse requirement: invalid label key \"{key}\"");
            return Err(Failure::bad_request(message));
        }
        Ok(Requirement {
            key: key.to_owned(),
            operator,
        })
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some((key, values)) = set_of(term, " notin ") {
        requirement(key, Operator::NotIn(values))
    } else if let Some((key, values)) = set_of(term, " in ") {
        requirement(key, Operator::In(values))
    } else if let Some((key, value)) = term.split_once("!=") {
        requirement(key, Operator::NotIn(one(value)))
    } else if let Some((key, value)) = term.split_once("==") {
        requirement(key, Operator::In(one(value)))
    } else if let Some((key, value)) = term.split_once('=') {
        requirement(key, Operator::In(one(value)))
    } else if let Some(key) = term.strip_prefix('!') {
        requirement(key, Operator::DoesNotExist)
    } else {
        requirement(term, Operator::Exists)
    }
}

/// Reads `key in (a, b)`.
fn set_of<'a>(term: &'a str, operator: &str) -> Option<(&'a str, Vec<String>)> {
    let (key, set) = term.split_once(operator)?;
    let set = set.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some((key, set.split(',').map(|v| v.trim().to_owned()).collect()))
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut depth) = (0, 0_u32);
    for (index, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                terms.push(text[start..index].trim());
                start = index + 1;
            }
            _ => {}
        }
    }
    terms.push(text[start..].trim());
    terms.retain(|term| !term.is_empty());
    terms
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(labels: &str, fields: &str, expected: bool) {
        let object = json!({
            "metadata": {"namespace": "a", "name": "x", "labels": {"app": "web", "tier": "front"}},
            "spec": {"nodeName": "n"},
            "status": {"phase": "Running"},
        });
        let selector =
            Selector::parse("pods", "", Some(labels), Some(fields)).expect("well-formed");
        let object = Stored::new(object);
        assert_eq!(selector.matches(&object), expected, "{labels:?} {fields:?}");
    }

    #[test]
    fn label_selectors_have_all_of_their_operators() {
        check("app=web", "", true);
        check("app==web,tier=back", "", false);
        check("app!=web", "", false);
        check("gone!=web", "", true);
        check("app in (db, web),tier", "", true);
        check("app notin (db,web)", "", false);
        check("!gone", "", true);
        check("!app", "", false);
    }

    #[test]
    fn field_selectors_see_name_phase_and_node() {
        check("", "status.phase=Running,spec.nodeName==n", true);
        check("", "status.phase!=Running", false);
        check("", "metadata.name=y", false);
        check("", "metadata.namespace=a", true);
        check("", "status.podIP=", true);
    }

    #[test]
    fn what_cannot_be_selected_by_is_refused() {
        let error = |labels, fields| {
            let parsed = Selector::parse("nodes", "", labels, fields);
            parsed.expect_err("malformed").status()["message"].clone()
        };
        assert_eq!(
            error(None, Some("status.phase=Running")),
            "field label not supported: status.phase"
        );
        let parsed = Selector::parse("deployments", "", None, Some("status.phase=x"));
        assert_eq!(
            parsed.expect_err("unknown").status()["message"],
            "\"status.phase\" is not a known field selector: only \"metadata.name\", \
             \"metadata.namespace\""
        );
        assert_eq!(
            error(None, Some("x")),
            "invalid selector: 'x'; can't understand 'x'"
        );
    }
}
