//! Clients that misbehave, over real sockets: the API server stays up, its
//! memory stays bounded, and others are served.

#[path = "../live/cluster.rs"]
mod cluster;
mod wire;

use serde_json::{Value, json};

use cluster::{Cluster, VIEWER};
use wire::{Raw, Secure, resident_kib};

/// What a fault may cost, in KiB; the clients' share of it is in the same
/// process.
const BOUND_KIB: u64 = 256 * 1024;

/// Whether somebody else is served.
fn serves(cluster: &Cluster) -> bool {
    let answer = Secure::connect(cluster).get("/readyz", "");
    answer.status == 200 && answer.body == "ok"
}

fn check_memory(before: Option<u64>) {
    let (Some(before), Some(after)) = (before, resident_kib()) else {
        return;
    };
    let grown = after.saturating_sub(before);
    assert!(grown < BOUND_KIB, "{grown} KiB more than before");
}

#[test]
fn garbage_ends_its_own_connection_only() {
    let cluster = Cluster::start();
    for garbage in [
        &b"\0\0\0\0\0\0\0\0"[..],
        b"\x16\x03\x01\xff\xff",
        b"SSH-2.0-x\r\n",
        &[0xff; 4096],
    ] {
        let mut raw = Raw::connect(&cluster);
        raw.send(garbage);
        raw.read_to_end_after_closing();
        assert!(serves(&cluster), "{garbage:?}");
    }
    let mut secure = Secure::connect(&cluster);
    secure.send(b"\x01\x02\x03 nonsense\r\n\r\n");
    assert_eq!(secure.answer().status, 400);
    assert!(serves(&cluster));
}

#[test]
fn plain_http_is_told_that_this_is_https() {
    let cluster = Cluster::start();
    let mut raw = Raw::connect(&cluster);
    raw.send(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(
        raw.read_to_end_after_closing(),
        "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
    );
    assert!(serves(&cluster));
}

#[test]
fn half_open_handshakes_hold_nobody_up() {
    let cluster = Cluster::start();
    let before = resident_kib();
    let half_open: Vec<Raw> = (0..200)
        .map(|number| {
            let mut raw = Raw::connect(&cluster);
            // Nothing, part of a record's header, and part of a record.
            raw.send(&b"\x16\x03\x01\x02\x00\x01\x00\x01"[..number % 3 * 4]);
            raw
        })
        .collect();
    assert!(serves(&cluster));
    check_memory(before);
    drop(half_open);
    assert!(serves(&cluster));
}

#[test]
fn an_endless_body_is_refused_at_three_mebibytes() {
    let cluster = Cluster::start();
    let before = resident_kib();
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {VIEWER}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let mut secure = Secure::connect(&cluster);
    secure.send(head.as_bytes());
    let chunk = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
    let mut sent = 0;
    while secure.try_send(&chunk) && sent < 64 {
        sent += 1;
    }
    // The server may have hung up before the answer could be read.
    if let Some(answer) = secure.try_answer() {
        let status: Value = serde_json::from_str(&answer.body).expect("a Status");
        assert_eq!(
            (answer.status, &status["reason"]),
            (413, &json!("RequestEntityTooLarge"))
        );
    }
    assert!(sent >= 47, "three MiB were taken: {sent}");
    assert!(serves(&cluster));
    check_memory(before);
}

#[test]
fn a_thousand_idle_connections_are_borne() {
    let cluster = Cluster::start();
    let before = resident_kib();
    let idle: Vec<Raw> = (0..800).map(|_| Raw::connect(&cluster)).collect();
    let secure: Vec<Secure> = (0..200)
        .map(|_| {
            let mut secure = Secure::connect(&cluster);
            secure.handshake();
            secure
        })
        .collect();
    assert!(serves(&cluster));
    check_memory(before);
    assert_eq!(idle.len() + secure.len(), 1000);
}

#[test]
fn watches_that_are_never_read_cost_little() {
    let cluster = Cluster::start();
    let before = resident_kib();
    let target = "/api/v1/configmaps?watch=1&resourceVersion=0";
    let unread: Vec<Secure> = (0..50)
        .map(|_| {
            let mut secure = Secure::connect(&cluster);
            secure.request("GET", target, VIEWER);
            secure.handshake();
            secure
        })
        .collect();
    for round in 0..40 {
        // Between the rounds the server may write.
        cluster.with(move |store| {
            for number in 0..1000 {
                let name = format!("map-{}", number % 10);
                store.put(
                    "configmaps",
                    json!({
                        "kind": "ConfigMap", "apiVersion": "v1",
                        "metadata": {"namespace": "default", "name": name},
                        "data": {"round": format!("{round:0>800}")},
                    }),
                );
            }
        });
        assert!(serves(&cluster));
    }
    check_memory(before);
    drop(unread);
    assert!(serves(&cluster));
}

#[test]
fn credentials_decide_between_401_and_403() {
    let cluster = Cluster::start();
    let check = |token: &str, path: &str, code: u16, message: &str| {
        let answer = Secure::connect(&cluster).get(path, token);
        let status: Value = serde_json::from_str(&answer.body).expect("a Status");
        assert_eq!(
            (answer.status, &status["message"]),
            (code, &json!(message)),
            "{path}"
        );
    };
    check("wrong", "/api/v1/nodes", 401, "Unauthorized");
    check(
        "",
        "/api/v1/nodes",
        403,
        "nodes is forbidden: User \"system:anonymous\" cannot list resource \"nodes\" in API group \
         \"\" at the cluster scope",
    );
    check(
        VIEWER,
        "/api/v1/nodes/n1",
        403,
        "nodes \"n1\" is forbidden: User \"jo\" cannot get resource \"nodes\" in API group \"\" at \
         the cluster scope",
    );
    check(
        VIEWER,
        "/metrics",
        403,
        "forbidden: User \"jo\" cannot get path \"/metrics\"",
    );
}

#[test]
fn forms_that_are_not_served_are_refused() {
    let cluster = Cluster::start();
    let mut secure = Secure::connect(&cluster);
    secure.send(
        format!(
            "GET /api/v1/pods HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Authorization: Bearer {VIEWER}\r\nAccept: application/vnd.kubernetes.protobuf\r\n\r\n"
        )
        .as_bytes(),
    );
    let answer = secure.answer();
    let status: Value = serde_json::from_str(&answer.body).expect("a Status");
    assert_eq!(
        (answer.status, &status["reason"]),
        (406, &json!("NotAcceptable"))
    );
    assert_eq!(
        status["message"],
        "only the following media types are accepted: application/json"
    );
}

#[test]
fn what_is_not_modelled_is_answered_and_told() {
    let cluster = Cluster::start();
    let answer = Secure::connect(&cluster).get("/api/v1/namespaces/default/pods/web-1", VIEWER);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let mut secure = Secure::connect(&cluster);
    secure.request("GET", "/api/v1/pods/web-1/log", VIEWER);
    assert_eq!(
        secure.answer().status,
        403,
        "a viewer here has no role for logs"
    );
    assert_eq!(cluster.not_modelled(), Vec::<String>::new());
}
