//! TokenReview and SubjectAccessReview.

use serde_json::{Value, json};

use super::authentication::Authenticator;
use super::rbac::{Attempt, Decision, Policy, User};
use super::reply::{self, Failure};
use crate::http_server::Response;
use seam::Timestamp;

/// Answers `POST /apis/authentication.k8s.io/v1/tokenreviews`.
pub(crate) fn token_review(
    authenticator: &Authenticator,
    body: &[u8],
    now: Timestamp,
) -> Result<Response, Failure> {
    let review = parse(body)?;
    let token = review["spec"]["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(Failure::bad_request(
            "token is required for TokenReview in authentication",
        ));
    }
    let status = match authenticator.by_token(token, now) {
        Ok(user) => json!({"authenticated": true, "user": user_info(&user)}),
        Err(rejected) => json!({"user": {}, "error": rejected.0}),
    };
    let mut spec = json!({"token": token});
    if let Some(audiences) = review["spec"].get("audiences") {
        spec["audiences"] = audiences.clone();
    }
    Ok(reviewed(
        "TokenReview",
        "authentication.k8s.io/v1",
        &spec,
        &status,
    ))
}

/// Answers `POST /apis/authorization.k8s.io/v1/subjectaccessreviews`.
pub(crate) fn subject_access_review(policy: &Policy, body: &[u8]) -> Result<Response, Failure> {
    let review = parse(body)?;
    let spec = &review["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let user = User {
        name: text(&spec["user"]),
        groups: spec["groups"]
            .as_array()
            .into_iter()
            .flatten()
            .map(text)
            .collect(),
        ..User::default()
    };
    let field = |part: &'static str, name: &str| spec[part][name].as_str().unwrap_or_default();
    let about_resource = spec.get("resourceAttributes").is_some_and(Value::is_object);
    let attempt = if about_resource {
        let field = |name| field("resourceAttributes", name);
        Attempt {
            verb: field("verb"),
            group: field("group"),
            resource: field("resource"),
            subresource: field("subresource"),
            namespace: field("namespace"),
            name: field("name"),
            path: "",
        }
    } else {
        Attempt {
            verb: field("nonResourceAttributes", "verb"),
            path: field("nonResourceAttributes", "path"),
            ..Attempt::default()
        }
    };
    let status = match policy.authorize(&user, &attempt) {
        Decision::Allowed { reason } if reason.is_empty() => json!({"allowed": true}),
        Decision::Allowed { reason } => json!({"allowed": true, "reason": reason}),
        Decision::Denied => json!({"allowed": false}),
    };
    Ok(reviewed(
        "SubjectAccessReview",
        "authorization.k8s.io/v1",
        spec,
        &status,
    ))
}

fn parse(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        Failure::bad_request(format!("the object provided is unrecognized: {error}"))
    })
}

fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name});
    if !user.uid.is_empty() {
        info["uid"] = json!(user.uid);
    }
    info["groups"] = json!(user.groups);
    if !user.extra.is_empty() {
        let extra = user.extra.iter();
        info["extra"] = extra
            .map(|(key, values)| (key.clone(), json!(values)))
            .collect();
    }
    info
}

fn reviewed(kind: &str, version: &str, spec: &Value, status: &Value) -> Response {
    reply::json(
        201,
        &json!({
            "kind": kind,
            "apiVersion": version,
            "metadata": {},
            "spec": spec,
            "status": status,
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_server::Body;

    fn ask(spec: &Value) -> Value {
        let body = json!({"spec": spec}).to_string();
        let response = subject_access_review(&Policy::new(), body.as_bytes()).expect("well-formed");
        assert_eq!(response.status, 201);
        let Body::Full(body) = response.body else {
            panic!("reviews are not streamed")
        };
        serde_json::from_slice::<Value>(&body).expect("JSON")["status"].clone()
    }

    #[test]
    fn reviews_say_which_binding_allows() {
        let status = ask(&json!({
            "user": "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
            "groups": ["system:authenticated"],
            "resourceAttributes": {
                "verb": "list", "group": "metrics.k8s.io", "version": "v1beta1",
                "resource": "pods", "namespace": "default",
            },
        }));
        assert_eq!(status["allowed"], true);
        assert_eq!(
            status["reason"],
            "RBAC: allowed by ClusterRoleBinding \"system:controller:horizontal-pod-autoscaler\" of \
             ClusterRole \"system:controller:horizontal-pod-autoscaler\" to ServiceAccount \
             \"horizontal-pod-autoscaler/kube-system\""
        );
    }

    #[test]
    fn what_nothing_allows_is_denied_without_a_reason() {
        let status = ask(&json!({
            "user": "system:anonymous",
            "groups": ["system:unauthenticated"],
            "nonResourceAttributes": {"verb": "get", "path": "/metrics"},
        }));
        assert_eq!(status, json!({"allowed": false}));
    }
}
