//! Learning about our surroundings: interfaces, forwarded ports, peers on our network.

use std::{mem, net::SocketAddr, num::NonZeroU16};

use futures_util::future::{OptionFuture, join_all};
use tokio::{sync::mpsc, time::timeout};

use super::{
    GOODBYE,
    interfaces::{Change, Interfaces},
    lan::{Lan, LanError, Sighting},
    portmap::PortMapper,
};
use crate::{EventKind, PeerId, PeerState, PortMapping, PortRefusal, proto::local::Ports};

/// Who tells us.
pub(super) struct Gathering {
    pub(super) interfaces: Interfaces,
    changes: mpsc::Receiver<Change>,
    mapper: Option<PortMapper>,
    mappings: mpsc::Receiver<Option<PortMapping>>,
    pinholer: Option<PortMapper>,
    pinholes: mpsc::Receiver<Option<PortMapping>>,
    pub(super) mapping: Option<PortMapping>,
    lan: Result<Lan, LanError>,
}

/// Something was learnt.
pub(super) enum Gathered {
    Interfaces(Change),
    Mapping(Option<PortMapping>),
    Pinhole(Option<PortMapping>),
    Sighting(Sighting),
}

impl Gathering {
    /// Asks routers for these ports, unless they are 0; by `secret` they know us again.
    pub(super) async fn start(ports: Ports, lan: Result<Lan, LanError>, secret: [u8; 32]) -> Self {
        let (interfaces, changes) = Interfaces::watch().await;
        let (sender, mappings) = mpsc::channel(4);
        let (v6_sender, pinholes) = mpsc::channel(4);
        let [v4, v6] = [ports.v4, ports.v6].map(NonZeroU16::new);
        Self {
            interfaces,
            changes,
            mapper: v4.map(|port| PortMapper::spawn(port, secret, sender)),
            mappings,
            pinholer: v6.map(|port| PortMapper::spawn_v6(port, secret, v6_sender)),
            pinholes,
            mapping: None,
            lan,
        }
    }

    /// The next news; none when there will be no more.
    pub(super) async fn next(&mut self) -> Option<Gathered> {
        tokio::select! {
            Some(change) = self.changes.recv() => Some(Gathered::Interfaces(change)),
            Some(mapping) = self.mappings.recv() => Some(Gathered::Mapping(mapping)),
            Some(pinhole) = self.pinholes.recv() => Some(Gathered::Pinhole(pinhole)),
            sighting = sighted(&mut self.lan) => Some(Gathered::Sighting(sighting)),
        }
    }

    /// Why nobody is found on the local network, though that is wanted.
    pub(super) fn lan_trouble(&self) -> Option<LanError> {
        let error = self.unsearched()?;
        (!matches!(error, LanError::Off)).then_some(error)
    }

    /// Whether the local network is not to be searched.
    pub(super) fn is_lan_off(&self) -> bool {
        matches!(self.lan, Err(LanError::Off))
    }

    /// Why the local network was not searched, if it was not.
    pub(super) fn unsearched(&self) -> Option<LanError> {
        match &self.lan {
            Ok(_) => self.interfaces.unread.then_some(LanError::NoInterfaces),
            Err(error) => Some(error.clone()),
        }
    }

    /// What the IPv4 router answered that forwards no port.
    pub(super) fn refusal(&self) -> Option<PortRefusal> {
        self.mapper.as_ref().and_then(PortMapper::refusal)
    }

    /// Announces on our networks, which may be new, that we are at these addresses.
    pub(super) fn announce(&mut self, mut addrs: Vec<SocketAddr>) {
        let Ok(lan) = &mut self.lan else {
            return;
        };
        lan.network_changed(&self.interfaces.secluded);
        addrs.retain(|addr| !addr.ip().is_loopback());
        if let Err(error) = lan.announce(&addrs) {
            tracing::debug!(%error, "not announced");
        }
    }

    /// Looks for a peer on our network. Where it was seen before.
    pub(super) fn look_for(&mut self, peer: PeerId) -> Vec<SocketAddr> {
        self.search();
        let lan = self.lan.as_mut();
        lan.map(|lan| lan.find(peer)).unwrap_or_default()
    }

    /// Looks for whoever is missed on our network.
    pub(super) fn search(&mut self) {
        if let Ok(lan) = &mut self.lan
            && let Err(error) = lan.search()
        {
            tracing::debug!(%error, "not looked for");
        }
    }

    /// Nobody is missed.
    pub(super) fn rest(&mut self) {
        if let Ok(lan) = &mut self.lan {
            lan.rest();
        }
    }

    /// Which of these peers was seen, and where.
    pub(super) fn who(
        &mut self,
        sighting: Sighting,
        peers: impl Iterator<Item = PeerId>,
    ) -> Option<(PeerId, Vec<SocketAddr>)> {
        self.lan.as_mut().ok()?.who(sighting, peers)
    }

    /// Has routers asked anew.
    pub(super) fn network_changed(&self) {
        self.mappers().for_each(PortMapper::network_changed);
    }

    /// Something says that routers may have forgotten what they granted, or moved.
    pub(super) fn doubt_mappings(&self) {
        self.mappers().for_each(PortMapper::doubt);
    }

    fn mappers(&self) -> impl Iterator<Item = &PortMapper> {
        self.mapper.iter().chain(&self.pinholer)
    }

    /// Gives mappings back and says goodbye to our networks, for as long as that may take.
    pub(super) async fn close(&mut self) {
        let mappers = [self.mapper.take(), self.pinholer.take()];
        let mappings = join_all(mappers.into_iter().flatten().map(PortMapper::close));
        let lan = mem::replace(&mut self.lan, Err(LanError::Off));
        let announcement = OptionFuture::from(lan.ok().map(Lan::close));
        let all = async { tokio::join!(mappings, announcement) };
        let _ = timeout(GOODBYE, all).await;
    }
}

/// The next change of what was found on our network.
async fn sighted(lan: &mut Result<Lan, LanError>) -> Sighting {
    match lan {
        Ok(lan) => lan.next().await,
        Err(_) => std::future::pending().await,
    }
}

/// Whether what happened says that a router may have forgotten what it granted. That packets are unanswered for a moment does not:
/// the machine asks before it doubts a path, and the peer may tell it that it hears nothing.
pub(super) fn makes_mappings_doubtful(event: &EventKind) -> bool {
    matches!(
        event,
        EventKind::PeerState {
            to: PeerState::Suspect,
            ..
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn a_path_in_doubt_makes_mappings_doubtful_and_other_changes_do_not() {
        let becomes = |to| EventKind::PeerState {
            peer: SecretKey::from_seed(&[1; 32]).id(),
            from: PeerState::Direct,
            to,
            why: None,
        };
        assert!(makes_mappings_doubtful(&becomes(PeerState::Suspect)));
        assert!(!makes_mappings_doubtful(&becomes(PeerState::Relayed)));
        assert!(!makes_mappings_doubtful(&becomes(PeerState::Idle)));
    }
}
