//! What comes before the first start: network, sandbox, init containers,
//! image.
//!
//! Source: `pkg/kubelet/kubelet.go SyncPod`,
//! `pkg/kubelet/kuberuntime/kuberuntime_manager.go SyncPod`.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::backoff::{CrashLoop, Decision};
use super::events::go_duration;
use super::timing::Delays;
use super::{InitContainer, Shared};
use crate::event::Met;

/// A worker that found the network not ready looks again after this, times
/// its jitter. Source: `pkg/kubelet/pod_workers.go backOffOnTransientErrorPeriod`.
const NETWORK_RETRY: Duration = Duration::from_secs(1);

/// A worker that met another error looks again after this, times its jitter.
/// Source: `pkg/kubelet/pod_workers.go backOffPeriod`.
const ERROR_RETRY: Duration = Duration::from_secs(10);

/// An image that could not be pulled is not tried again before this has
/// passed, which doubles up to the longest.
/// Source: `pkg/kubelet/kubelet.go imageBackOffPeriod`, `MaxImageBackOff`.
const FIRST_PULL_WAIT: Duration = Duration::from_secs(10);
const LONGEST_PULL_WAIT: Duration = Duration::from_secs(300);

/// Source: `pkg/kubelet/container/runtime.go NetworkReady`, containerd's text.
const NETWORK_NOT_READY: &str = "network is not ready: container runtime network not ready: \
     NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: \
     cni plugin not initialized";

/// What a registry that cannot be reached makes of a pull.
const PULL_ERROR: &str = "failed to pull and unpack image: failed to resolve reference: \
     failed to do request: dial tcp: i/o timeout";

/// Brings the pod to where its container can start for the first time.
pub(super) async fn prepare(shared: &Shared) {
    shared.there().await;
    let timing = shared.config.restart_timing;
    let mut delays = Delays::new(timing, shared.random("start-jitter"));
    network(shared, &mut delays).await;
    sleep(shared.config.sandbox).await;
    shared.belief.sandbox_ready(shared.node.now());
    for container in &shared.config.init_containers {
        init_container(shared, container, &mut delays).await;
    }
    image(shared, &mut delays).await;
}

/// A pod in its node's network waits for none.
async fn network(shared: &Shared, delays: &mut Delays) {
    while !shared.config.host_network && !*shared.config.network.current() {
        shared.met(Met::Network);
        shared.events.warning("NetworkNotReady", NETWORK_NOT_READY);
        sleep(delays.requeue(NETWORK_RETRY)).await;
    }
}

/// Source: `kuberuntime_manager.go computeInitContainerActions`, `doBackOff`.
async fn init_container(shared: &Shared, container: &InitContainer, delays: &mut Delays) {
    let name = &container.name;
    let mut backoff = CrashLoop::default();
    for run in 0..=container.failures {
        shared.events.normal("Created", "Container created");
        shared.events.normal("Started", "Container started");
        shared.belief.init_started(shared.node.now());
        sleep(container.runs).await;
        if run == container.failures {
            if !*container.awaited.current() {
                shared.met(Met::InitContainer);
            }
            while !*container.awaited.current() {
                container.awaited.changed().await;
            }
            sleep(delays.unnoticed()).await;
            shared.belief.init_succeeded(name, shared.node.now());
            return;
        }
        shared.met(Met::InitContainer);
        let exited = Some(shared.node.now());
        sleep(delays.unnoticed()).await;
        while let Decision::Wait { nominal, remaining } = backoff.decide(exited, shared.node.now())
        {
            shared.tell_back_off(name, nominal);
            sleep(delays.requeue(remaining)).await;
        }
    }
}

/// Source: `pkg/kubelet/images/image_manager.go EnsureImageExists`.
async fn image(shared: &Shared, delays: &mut Delays) {
    let (image, pull) = (&shared.config.image, shared.config.image_pull);
    if pull.is_zero() && *shared.config.image_available.current() {
        image_present(shared);
        return;
    }
    let mut wait = FIRST_PULL_WAIT;
    loop {
        let available = *shared.config.image_available.current();
        shared
            .events
            .normal("Pulling", format!("Pulling image \"{image}\""));
        sleep(pull).await;
        if available {
            break;
        }
        pull_failed(shared, delays, wait).await;
        wait = (2 * wait).min(LONGEST_PULL_WAIT);
    }
    let took = go_duration(pull);
    let bytes = shared.config.image_bytes;
    shared.events.normal(
        "Pulled",
        format!(
            "Successfully pulled image \"{image}\" in {took} ({took} including waiting). \
             Image size: {bytes} bytes."
        ),
    );
}

/// Tells of a failed pull and lets at least `wait` pass.
async fn pull_failed(shared: &Shared, delays: &mut Delays, wait: Duration) {
    let image = &shared.config.image;
    let failed = Instant::now();
    shared.met(Met::Image);
    shared.events.warning(
        "Failed",
        format!("Failed to pull image \"{image}\": {PULL_ERROR}"),
    );
    shared.events.warning("Failed", "Error: ErrImagePull");
    let now = shared.node.now();
    shared
        .belief
        .waiting("ErrImagePull", PULL_ERROR.to_owned(), now);
    sleep(delays.requeue(ERROR_RETRY)).await;
    while failed.elapsed() < wait {
        let message = format!("Back-off pulling image \"{image}\"");
        shared.events.normal("BackOff", message.clone());
        shared.events.warning("Failed", "Error: ImagePullBackOff");
        let now = shared.node.now();
        shared.belief.waiting("ImagePullBackOff", message, now);
        sleep(delays.requeue(wait - failed.elapsed())).await;
    }
}

/// Tells that the image is there.
pub(super) fn image_present(shared: &Shared) {
    let image = &shared.config.image;
    let text = format!(
        "Container image \"{image}\" already present on machine and can be accessed by the pod"
    );
    shared.events.normal("Pulled", text);
}
