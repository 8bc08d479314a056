//! From a Service to the address that the aggregation layer dials.

use std::net::{IpAddr, SocketAddr};

use seam::Random;
use serde_json::Value;

use super::api_service::{Condition, ServiceRef};
use crate::endpoints::service_of;
use crate::store::{Store, key};

/// How the aggregation layer reaches backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    /// The Service's ClusterIP and port; kube-proxy does the rest.
    ClusterIp,
    /// A ready endpoint: `--enable-aggregator-routing`.
    Endpoint,
}

/// The address to dial for a Service.
///
/// DIFFERENCE: Services of type ExternalName are not resolved.
///
/// Source: apiserver `pkg/util/proxy/proxy.go: ResolveCluster,
/// ResolveEndpoint`.
pub(crate) fn resolve(
    store: &Store,
    routing: Routing,
    service: &ServiceRef,
    random: &mut dyn Random,
) -> Result<SocketAddr, String> {
    let name = &service.name;
    let object = store
        .get("services", Some(&service.namespace), name)
        .ok_or_else(|| format!("service \"{name}\" not found"))?;
    let port = service_port(&object, service.port).ok_or_else(|| {
        format!(
            "no service port {} found for service \"{name}\"",
            service.port
        )
    })?;
    match routing {
        Routing::ClusterIp => {
            let cluster_ip = object["spec"]["clusterIP"].as_str().unwrap_or_default();
            let ip: IpAddr = cluster_ip
                .parse()
                .map_err(|_| format!("cannot route to service with ClusterIP \"{cluster_ip}\""))?;
            Ok(SocketAddr::new(ip, service.port))
        }
        Routing::Endpoint => slices(store, service)
            .iter()
            .find_map(|slice| ready_endpoint(slice, &port["name"], random))
            .ok_or_else(|| format!("no endpoints available for service \"{name}\"")),
    }
}

/// The checks that need no request, in order; the first that fails decides.
///
/// Source: `kube-aggregator/pkg/controllers/status/remote/
/// remote_available_controller.go: sync`.
pub(crate) fn precheck(store: &Store, service: &ServiceRef) -> Result<(), Condition> {
    let ServiceRef {
        namespace,
        name,
        port,
    } = service;
    let Some(object) = store.get("services", Some(namespace), name) else {
        return Err(Condition::failed(
            "ServiceNotFound",
            format!("service/{name} in \"{namespace}\" is not present"),
        ));
    };
    if object["spec"]["type"] != "ClusterIP" {
        return Ok(());
    }
    let Some(service_port) = service_port(&object, *port) else {
        return Err(Condition::failed(
            "ServicePortError",
            format!("service/{name} in \"{namespace}\" is not listening on port {port}"),
        ));
    };
    let slices = slices(store, service);
    if slices.is_empty() {
        return Err(Condition::failed(
            "EndpointsNotFound",
            format!("cannot find endpointslices for service/{name} in \"{namespace}\""),
        ));
    }
    let port_name = &service_port["name"];
    if !slices
        .iter()
        .any(|slice| has_available_endpoint(slice, port_name))
    {
        let port_name = port_name.as_str().unwrap_or_default();
        return Err(Condition::failed(
            "MissingEndpoints",
            format!(
                "endpointslices for service/{name} in \"{namespace}\" have no addresses with \
                 port name \"{port_name}\""
            ),
        ));
    }
    Ok(())
}

fn service_port(service: &Value, port: u16) -> Option<&Value> {
    let ports = service["spec"]["ports"].as_array()?;
    ports.iter().find(|known| known["port"] == port)
}

fn slices(store: &Store, service: &ServiceRef) -> Vec<std::rc::Rc<Value>> {
    let wanted = key(Some(&service.namespace), &service.name);
    let mut slices = store.list("endpointslices");
    slices.retain(|slice| service_of(slice).as_deref() == Some(wanted.as_str()));
    slices
}

/// An endpoint whose readiness is not known counts as ready.
fn is_ready(endpoint: &Value) -> bool {
    endpoint["conditions"]["ready"] != false
}

fn slice_port(slice: &Value, name: &Value) -> Option<u16> {
    let ports = slice["ports"].as_array()?;
    let port = ports.iter().find(|port| port["name"] == *name)?;
    u16::try_from(port["port"].as_u64()?).ok()
}

fn has_available_endpoint(slice: &Value, port_name: &Value) -> bool {
    let endpoints = slice["endpoints"].as_array();
    endpoints.is_some_and(|endpoints| endpoints.iter().any(is_ready))
        && slice_port(slice, port_name).is_some()
}

fn ready_endpoint(slice: &Value, port_name: &Value, random: &mut dyn Random) -> Option<SocketAddr> {
    let port = slice_port(slice, port_name)?;
    let endpoints = slice["endpoints"].as_array()?;
    let start = usize::try_from(random.below(endpoints.len() as u64)).ok()?;
    let ready = endpoints
        .iter()
        .cycle()
        .skip(start)
        .take(endpoints.len())
        .find(|endpoint| is_ready(endpoint))?;
    let ip = ready["addresses"][0].as_str()?.parse().ok()?;
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Zero;

    impl Random for Zero {
        fn next_u64(&mut self) -> u64 {
            0
        }
    }

    fn backend() -> ServiceRef {
        ServiceRef {
            namespace: "kube-system".to_owned(),
            name: "metrics-server".to_owned(),
            port: 443,
        }
    }

    fn put_service(store: &Store, port: u16) {
        store.put(
            "services",
            json!({
                "metadata": {"namespace": "kube-system", "name": "metrics-server"},
                "spec": {
                    "type": "ClusterIP",
                    "clusterIP": "10.43.180.48",
                    "ports": [{"name": "https", "port": port}],
                },
            }),
        );
    }

    fn put_slice(store: &Store, ready: &[bool]) {
        let endpoints: Vec<Value> = ready
            .iter()
            .enumerate()
            .map(|(index, ready)| {
                let address = format!("10.42.0.{index}");
                json!({"addresses": [address], "conditions": {"ready": ready}})
            })
            .collect();
        store.put(
            "endpointslices",
            json!({
                "metadata": {
                    "namespace": "kube-system",
                    "name": "metrics-server-x",
                    "labels": {"kubernetes.io/service-name": "metrics-server"},
                },
                "endpoints": endpoints,
                "ports": [{"name": "https", "port": 10250}],
            }),
        );
    }

    fn check(store: &Store, reason: &str, message: &str) {
        let condition = precheck(store, &backend()).expect_err("a check fails");
        assert_eq!(
            (condition.reason, condition.message.as_str()),
            (reason, message)
        );
    }

    #[test]
    fn checks_run_in_order_and_each_has_its_words() {
        let store = Store::new();
        check(
            &store,
            "ServiceNotFound",
            "service/metrics-server in \"kube-system\" is not present",
        );
        put_service(&store, 8443);
        check(
            &store,
            "ServicePortError",
            "service/metrics-server in \"kube-system\" is not listening on port 443",
        );
        put_service(&store, 443);
        check(
            &store,
            "EndpointsNotFound",
            "cannot find endpointslices for service/metrics-server in \"kube-system\"",
        );
        put_slice(&store, &[false]);
        check(
            &store,
            "MissingEndpoints",
            "endpointslices for service/metrics-server in \"kube-system\" have no addresses with \
             port name \"https\"",
        );
        put_slice(&store, &[true]);
        assert_eq!(precheck(&store, &backend()), Ok(()));
    }

    #[test]
    fn cluster_ip_routing_does_not_look_at_endpoints_and_endpoint_routing_does() {
        let store = Store::new();
        let resolve = |routing| {
            let address = resolve(&store, routing, &backend(), &mut Zero);
            address.map(|address| address.to_string())
        };
        assert_eq!(
            resolve(Routing::ClusterIp),
            Err("service \"metrics-server\" not found".to_owned())
        );
        put_service(&store, 443);
        assert_eq!(
            resolve(Routing::ClusterIp),
            Ok("10.43.180.48:443".to_owned())
        );
        assert_eq!(
            resolve(Routing::Endpoint),
            Err("no endpoints available for service \"metrics-server\"".to_owned())
        );
        put_slice(&store, &[false, true]);
        assert_eq!(resolve(Routing::Endpoint), Ok("10.42.0.1:10250".to_owned()));
    }
}
