//! Asks the router to forward a port to us: PCP (RFC 6887), else NAT-PMP (RFC 6886), while UPnP IGD is searched for in parallel.
//! Of an IPv6 router, a hole in its firewall by PCP.
//!
//! One task per endpoint and address family holds at most one mapping, renews it at half its life, asks again after network changes, and gives it
//! back at the end. Nobody waits for it, and no failure is more than a DEBUG line: many routers have it switched off. A mapping
//! whose outside is itself private or a carrier's is kept: it makes the inner of two NATs harmless.

mod lease;
mod pinhole;
mod ssdp;

use std::{net::SocketAddr, num::NonZeroU16, time::Duration};

use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::debug;

use crate::{
    PortMapping,
    net::interfaces::{Gateway, Interfaces},
};

use lease::{Lease, Request};

/// A router that had nothing to give is asked again so much later.
const RETRY: Duration = Duration::from_secs(600);

/// The end of an endpoint waits no longer for the router.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);

/// Keeps a port of the router mapped to ours. Dropping it gives the mapping back in the background.
#[derive(Debug)]
pub(crate) struct PortMapper {
    changes: mpsc::Sender<()>,
    task: JoinHandle<()>,
}

impl PortMapper {
    /// Starts asking. `updates` gets the outcome of the first attempt, and from then on every change of it.
    pub(crate) fn spawn(
        local_port: NonZeroU16,
        updates: mpsc::Sender<Option<PortMapping>>,
    ) -> Self {
        let gateway = || async { Interfaces::read().await.gateway };
        Self::spawn_towards(gateway, ssdp::GROUP, local_port, updates)
    }

    /// The same for a hole in the IPv6 firewall.
    pub(crate) fn spawn_v6(
        local_port: NonZeroU16,
        updates: mpsc::Sender<Option<PortMapping>>,
    ) -> Self {
        let gateway = || async { Interfaces::read().await.gateway_v6 };
        Self::spawn_towards(gateway, ssdp::GROUP, local_port, updates)
    }

    /// Looks for the router anew, and asks it again.
    pub(crate) fn network_changed(&self) {
        // A full channel holds a change that has not been looked at yet, which is as good.
        let _ = self.changes.try_send(());
    }

    /// Gives the mapping back, within a second or not at all.
    pub(crate) async fn close(self) {
        drop(self.changes);
        let _ = self.task.await;
    }

    fn spawn_towards<F, G>(
        find_gateway: F,
        ssdp: SocketAddr,
        local_port: NonZeroU16,
        updates: mpsc::Sender<Option<PortMapping>>,
    ) -> Self
    where
        F: Fn() -> G + Send + Sync + 'static,
        G: Future<Output = Option<Gateway>> + Send + 'static,
    {
        let (changes, receiver) = mpsc::channel(1);
        let keeper = Keeper {
            find_gateway,
            ssdp,
            local_port,
            updates,
            published: None,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "it owns its state and ends with its handle"
        )]
        let task = tokio::spawn(keeper.run(receiver));
        Self { changes, task }
    }
}

struct Keeper<F> {
    find_gateway: F,
    ssdp: SocketAddr,
    local_port: NonZeroU16,
    updates: mpsc::Sender<Option<PortMapping>>,
    published: Option<Option<PortMapping>>,
}

impl<F, G> Keeper<F>
where
    F: Fn() -> G,
    G: Future<Output = Option<Gateway>>,
{
    async fn run(mut self, mut changes: mpsc::Receiver<()>) {
        let mut held: Option<Lease> = None;
        loop {
            let interruption = tokio::select! {
                change = changes.recv() => Some(change),
                lease = self.attempt(held.as_ref()) => {
                    held = lease;
                    None
                }
            };
            let interruption = match interruption {
                Some(change) => change,
                None => tokio::select! {
                    change = changes.recv() => change,
                    () = self.publish_and_rest(held.as_ref()) => Some(()),
                },
            };
            if interruption.is_none() {
                break;
            }
        }
        if let Some(lease) = held {
            match timeout(RELEASE_LIMIT, lease.release()).await {
                Ok(Ok(())) => debug!("port mapping given back"),
                Ok(Err(error)) => debug!(%error, "port mapping left to expire"),
                Err(_elapsed) => debug!("port mapping left to expire: no answer"),
            }
        }
    }

    /// Renews what is held, if the router is still the same, or asks for a new mapping.
    async fn attempt(&self, held: Option<&Lease>) -> Option<Lease> {
        let gateway = (self.find_gateway)().await?;
        if let Some(lease) = held.filter(|lease| lease.gateway() == gateway) {
            match lease.renew().await {
                Ok(lease) => return Some(lease),
                Err(error) => debug!(%error, "port mapping not renewed"),
            }
        }
        let request = Request {
            gateway,
            ssdp: self.ssdp,
            port: self.local_port,
        };
        Lease::acquire(request)
            .await
            .inspect_err(|error| debug!(%error, "no port mapping"))
            .ok()
    }

    async fn publish_and_rest(&mut self, held: Option<&Lease>) {
        let mapping = held.map(Lease::mapping);
        if self.published != Some(mapping) {
            debug!(?mapping, "port mapping");
            if self.updates.send(mapping).await.is_ok() {
                self.published = Some(mapping);
            }
        }
        sleep(held.map_or(RETRY, Lease::renewal)).await;
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
