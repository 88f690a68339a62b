//! Asks the router to forward a port to us: PCP (RFC 6887), else NAT-PMP (RFC 6886), while UPnP IGD is searched for in parallel.
//! Of an IPv6 router, a hole in its firewall by PCP.
//!
//! One task per endpoint and address family holds at most one mapping, renews it at half its life, asks again after network
//! changes and at any sign that the router has forgotten it or moved, and gives it back at the end. Nobody waits for it, and no
//! failure is more than a DEBUG line: many routers have it switched off. A mapping whose outside is itself private or a
//! carrier's is kept: it makes the inner of two NATs harmless.

mod announcement;
mod lease;
mod pinhole;
mod refusal;
mod schedule;
mod ssdp;

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};
use tracing::debug;

use crate::{
    PortMapping, PortRefusal,
    net::interfaces::{Gateway, Interfaces},
};

use announcement::Announcements;
use lease::{Lease, Request};
use schedule::Schedule;

/// The end of an endpoint waits no longer for the router.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);

/// Keeps a port of the router mapped to ours. Dropping it gives the mapping back in the background.
#[derive(Debug)]
pub(crate) struct PortMapper {
    changes: mpsc::Sender<()>,
    doubts: Arc<Notify>,
    refusal: watch::Receiver<Option<PortRefusal>>,
    task: JoinHandle<()>,
}

impl PortMapper {
    /// Starts asking; the router knows us again, after a restart too, by what it is told of `secret`. `updates` gets the
    /// outcome of the first attempt, and from then on every change of it.
    pub(crate) fn spawn(
        local_port: NonZeroU16,
        secret: [u8; 32],
        updates: mpsc::Sender<Option<PortMapping>>,
    ) -> Self {
        let gateway = || async { Interfaces::read().await.gateway };
        let router = Places {
            ssdp: ssdp::GROUP,
            announcements: announcement::V4,
        };
        Self::spawn_towards(gateway, router, local_port, secret, updates)
    }

    /// The same for a hole in the IPv6 firewall.
    pub(crate) fn spawn_v6(
        local_port: NonZeroU16,
        secret: [u8; 32],
        updates: mpsc::Sender<Option<PortMapping>>,
    ) -> Self {
        let gateway = || async { Interfaces::read().await.gateway_v6 };
        let router = Places {
            ssdp: ssdp::GROUP,
            announcements: announcement::V6,
        };
        Self::spawn_towards(gateway, router, local_port, secret, updates)
    }

    /// Looks for the router anew, and asks it again.
    pub(crate) fn network_changed(&self) {
        // A full channel holds a change that has not been looked at yet, which is as good.
        let _ = self.changes.try_send(());
    }

    /// Asks the router soon whether what it granted still stands: something says that it may not, or that there is more to be had.
    pub(crate) fn doubt(&self) {
        self.doubts.notify_one();
    }

    /// What the router said last, if that was no.
    pub(crate) fn refusal(&self) -> Option<PortRefusal> {
        *self.refusal.borrow()
    }

    /// Gives the mapping back, within a second or not at all.
    pub(crate) async fn close(self) {
        drop(self.changes);
        let _ = self.task.await;
    }

    fn spawn_towards<F, G>(
        find_gateway: F,
        places: Places,
        local_port: NonZeroU16,
        secret: [u8; 32],
        updates: mpsc::Sender<Option<PortMapping>>,
    ) -> Self
    where
        F: Fn() -> G + Send + Sync + 'static,
        G: Future<Output = Option<Gateway>> + Send + 'static,
    {
        let (changes, receiver) = mpsc::channel(1);
        let doubts = Arc::new(Notify::new());
        let (refusal_sender, refusal) = watch::channel(None);
        let keeper = Keeper {
            find_gateway,
            places,
            local_port,
            secret,
            doubts: doubts.clone(),
            refusal: refusal_sender,
            announcements: Announcements::open(places.announcements),
            router: None,
            updates,
            published: None,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "it owns its state and ends with its handle"
        )]
        let task = tokio::spawn(keeper.run(receiver));
        Self {
            changes,
            doubts,
            refusal,
            task,
        }
    }
}

/// Where routers are searched for, and where their announcements arrive.
#[derive(Clone, Copy)]
struct Places {
    ssdp: SocketAddr,
    announcements: SocketAddr,
}

struct Keeper<F> {
    find_gateway: F,
    places: Places,
    local_port: NonZeroU16,
    secret: [u8; 32],
    doubts: Arc<Notify>,
    refusal: watch::Sender<Option<PortRefusal>>,
    announcements: Announcements,
    /// Who was asked last.
    router: Option<IpAddr>,
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
        let mut schedule = Schedule::new(Instant::now());
        loop {
            schedule.asks(Instant::now());
            let interruption = tokio::select! {
                change = changes.recv() => Some(change),
                lease = self.attempt(held.as_ref(), schedule.doubted()) => {
                    match lease {
                        Attempt::Granted(lease) => {
                            schedule.granted(Instant::now(), lease.renewal());
                            held = Some(*lease);
                        }
                        Attempt::Silent => schedule.failed(Instant::now()),
                        Attempt::Failed => {
                            schedule.failed(Instant::now());
                            held = None;
                        }
                    }
                    None
                }
            };
            let interruption = match interruption {
                Some(change) => change,
                None => tokio::select! {
                    change = changes.recv() => change,
                    () = self.publish_and_rest(held.as_ref(), &mut schedule) => Some(()),
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

    /// Renews what is held, if the router is still the same, or asks for a new mapping. That nobody answers does not end what is
    /// held, unless there were doubts.
    async fn attempt(&mut self, held: Option<&Lease>, doubted: bool) -> Attempt {
        let gateway = (self.find_gateway)().await;
        self.router = gateway.map(|gateway| gateway.router);
        let Some(gateway) = gateway else {
            return Attempt::Failed;
        };
        let held = held.filter(|lease| lease.gateway() == gateway);
        let mut silent = false;
        if let Some(lease) = held {
            match lease.renew().await {
                Ok(lease) => return Attempt::Granted(Box::new(lease)),
                Err(error) => {
                    debug!(%error, "port mapping not renewed");
                    silent = error.is_silence() && lease.is_alive(Instant::now());
                }
            }
        }
        let request = Request {
            gateway,
            ssdp: self.places.ssdp,
            port: self.local_port,
            secret: self.secret,
        };
        let acquired = Lease::acquire(request).await;
        let refusal = acquired.as_ref().err().and_then(refusal::refusal);
        self.refusal.send_replace(refusal);
        match acquired {
            Ok(lease) => Attempt::Granted(Box::new(lease)),
            Err(error) => {
                debug!(%error, "no port mapping");
                if silent && !doubted && error.is_silence() {
                    Attempt::Silent
                } else {
                    Attempt::Failed
                }
            }
        }
    }

    async fn publish_and_rest(&mut self, held: Option<&Lease>, schedule: &mut Schedule) {
        let mapping = held.map(Lease::mapping);
        if self.published != Some(mapping) {
            debug!(?mapping, "port mapping");
            if self.updates.send(mapping).await.is_ok() {
                self.published = Some(mapping);
            }
        }
        loop {
            tokio::select! {
                () = sleep_until(schedule.next()) => return,
                () = self.doubts.notified() => schedule.doubt(),
                () = self.announced_anew(held) => schedule.doubt(),
            }
        }
    }

    /// Waits until the router announces something that what is held does not agree with.
    async fn announced_anew(&self, held: Option<&Lease>) {
        let Some(router) = self.router else {
            return std::future::pending().await;
        };
        loop {
            let announcement = self.announcements.next(router).await;
            let (now, held) = (
                Instant::now(),
                held.map(|held| (held.epoch(), held.mapping())),
            );
            let agrees = held.is_some_and(|(epoch, mapping)| {
                epoch.is_some_and(|epoch| announcement.agrees_with(epoch, mapping, now))
            });
            if !agrees {
                debug!(?announcement, "the router began anew, or is elsewhere");
                return;
            }
        }
    }
}

/// How asking the router ended.
enum Attempt {
    Granted(Box<Lease>),
    /// There was no answer, and what is held has not ended.
    Silent,
    Failed,
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
