//! Who is let in: what the data path looks up for every batch. A change makes a new table; readers never wait.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use peerway_carrier::Outbox as CarrierOutbox;

use super::{
    link::{Link, LinkHandle},
    tcp::Outbox,
};
use crate::{proto::io::Sock, wire::lane::Channel};

#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) links: HashMap<LinkHandle, Arc<Link>>,
    pub(super) sources: HashMap<SocketAddr, Admitted>,
    pub(super) channels: HashMap<(SocketAddr, Channel), Arc<Link>>,
    pub(super) streams: HashMap<Sock, Arc<Outbox>>,
    /// Streams to relays.
    pub(super) carriers: HashMap<SocketAddr, Arc<CarrierOutbox>>,
}

/// Where datagrams of an admitted address belong.
#[derive(Clone, Debug)]
pub(super) struct Admitted {
    pub(super) link: Arc<Link>,
    /// Whether it is a relay that we dialled, so that lane frames are taken from there too.
    pub(super) is_relay: bool,
}

impl Tables {
    /// Gives a source to the link of a peer. A relay's stays the relay's.
    pub(super) fn admit(&mut self, source: SocketAddr, link: &Arc<Link>) {
        if self.sources.get(&source).is_none_or(|held| !held.is_relay) {
            self.insert(source, link, false);
        }
    }

    /// Gives a source to the link of a relay.
    pub(super) fn admit_relay(&mut self, source: SocketAddr, link: &Arc<Link>) {
        self.insert(source, link, true);
    }

    pub(super) fn expel(&mut self, source: SocketAddr, link: LinkHandle) {
        if self
            .sources
            .get(&source)
            .is_some_and(|held| held.link.handle() == link)
        {
            self.sources.remove(&source);
        }
    }

    pub(super) fn remove(&mut self, handle: LinkHandle) {
        self.links.remove(&handle);
        self.sources
            .retain(|_, source| source.link.handle() != handle);
        self.channels.retain(|_, link| link.handle() != handle);
    }

    /// Takes nothing of a channel any more, whatever relay it comes from.
    pub(super) fn close_channel(&mut self, channel: Channel) {
        self.channels.retain(|(_, open), _| *open != channel);
    }

    fn insert(&mut self, source: SocketAddr, link: &Arc<Link>, is_relay: bool) {
        let link = link.clone();
        self.sources.insert(source, Admitted { link, is_relay });
    }
}
