//! The APIService object, read and written.

use seam::Timestamp;
use serde_json::{Value, json};

use crate::apiserver::base64;
use crate::apiserver::objects::rfc3339;

/// What an APIService says about who serves a group version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiService {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) service: ServiceRef,
    pub(crate) trust: Trust,
}

/// `spec.service`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceRef {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) port: u16,
}

/// How the backend's certificate is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Not at all.
    Insecure,
    /// By these PEM certificates; if there are none, by the machine's own,
    /// which know nobody here.
    Bundle(Vec<u8>),
}

impl ApiService {
    /// Reads the object; `None` for one that no Service backs.
    pub(crate) fn read(object: &Value) -> Option<Self> {
        let spec = &object["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let service = spec.get("service").filter(|service| service.is_object())?;
        let port = service["port"].as_u64();
        let trust = if spec["insecureSkipTLSVerify"] == true {
            Trust::Insecure
        } else {
            let bundle = spec["caBundle"].as_str().and_then(base64::decode);
            Trust::Bundle(bundle.unwrap_or_default())
        };
        Some(Self {
            name: text(&object["metadata"]["name"]),
            group: text(&spec["group"]),
            version: text(&spec["version"]),
            service: ServiceRef {
                namespace: text(&service["namespace"]),
                name: text(&service["name"]),
                port: port
                    .and_then(|port| u16::try_from(port).ok())
                    .unwrap_or(443),
            },
            trust,
        })
    }

    /// The path that it serves.
    pub(crate) fn path(&self) -> String {
        format!("/apis/{}/{}", self.group, self.version)
    }
}

impl ServiceRef {
    /// The name that the backend's certificate must be for.
    pub(crate) fn server_name(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }
}

/// The condition `Available`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) status: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Condition {
    /// All checks passed.
    pub(crate) fn passed() -> Self {
        Self {
            status: "True",
            reason: "Passed",
            message: "all checks passed".to_owned(),
        }
    }

    /// A check failed.
    pub(crate) fn failed(reason: &'static str, message: String) -> Self {
        Self {
            status: "False",
            reason,
            message,
        }
    }
}

/// Whether the object's condition Available is True.
pub(crate) fn is_available(object: &Value) -> bool {
    available_condition(object).is_some_and(|condition| condition["status"] == "True")
}

fn available_condition(object: &Value) -> Option<&Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == "Available")
}

/// The object with this condition; `None` if it says so already. The time of
/// transition moves only with the status.
///
/// Source: `kube-aggregator/pkg/apis/apiregistration/v1/helper/helpers.go:
/// SetAPIServiceCondition`.
pub(crate) fn with_condition(object: &Value, new: &Condition, now: Timestamp) -> Option<Value> {
    let old = available_condition(object);
    let since = old
        .filter(|old| old["status"] == new.status)
        .map(|old| old["lastTransitionTime"].clone());
    let condition = json!({
        "type": "Available",
        "status": new.status,
        "lastTransitionTime": since.unwrap_or_else(|| json!(rfc3339(now))),
        "reason": new.reason,
        "message": new.message,
    });
    if old == Some(&condition) {
        return None;
    }
    let mut object = object.clone();
    object["status"]["conditions"] = json!([condition]);
    Some(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::objects::{BackendTrust, metrics_api_service};

    fn object() -> Value {
        metrics_api_service(
            "kube-system",
            "metrics-server",
            &BackendTrust::Insecure,
            Timestamp::EPOCH,
        )
    }

    #[test]
    fn an_api_service_names_its_path_and_its_server() {
        let read = ApiService::read(&object()).expect("backed by a Service");
        assert_eq!(read.path(), "/apis/metrics.k8s.io/v1beta1");
        assert_eq!(read.service.server_name(), "metrics-server.kube-system.svc");
        assert_eq!(read.trust, Trust::Insecure);
        let bundle = BackendTrust::Bundle("pem".to_owned());
        let object = metrics_api_service("a", "b", &bundle, Timestamp::EPOCH);
        let read = ApiService::read(&object).expect("backed by a Service");
        assert_eq!(read.trust, Trust::Bundle(b"pem".to_vec()));
    }

    #[test]
    fn the_time_of_transition_moves_only_with_the_status() {
        let at = Timestamp::from_seconds;
        let missing = Condition::failed("MissingEndpoints", "none".to_owned());
        let first = with_condition(&object(), &missing, at(1)).expect("new");
        assert!(!is_available(&first));
        assert_eq!(with_condition(&first, &missing, at(2)), None);
        let failed = Condition::failed("FailedDiscoveryCheck", "why".to_owned());
        let second = with_condition(&first, &failed, at(3)).expect("another reason");
        let third = with_condition(&second, &Condition::passed(), at(4)).expect("another status");
        assert!(is_available(&third));
        let times: Vec<&str> = [&first, &second, &third]
            .map(|object| available_condition(object).expect("set"))
            .map(|condition| condition["lastTransitionTime"].as_str().expect("a time"))
            .to_vec();
        assert_eq!(
            times,
            [
                "1970-01-01T00:00:01Z",
                "1970-01-01T00:00:01Z",
                "1970-01-01T00:00:04Z"
            ]
        );
    }
}
