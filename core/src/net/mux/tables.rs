//! Who is let in: what the data path looks up for every batch. A change makes a new table; readers never wait.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use super::{
    link::{Link, LinkHandle},
    streams::Outbox,
};
use crate::{proto::io::Sock, wire::lane::Channel};

#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) links: HashMap<LinkHandle, Arc<Link>>,
    pub(super) sources: HashMap<SocketAddr, Source>,
    pub(super) channels: HashMap<(SocketAddr, Channel), Arc<Link>>,
    pub(super) streams: HashMap<Sock, Arc<Outbox>>,
}

/// Where datagrams of an admitted address belong.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) link: Arc<Link>,
    /// Lane frames are taken from here too.
    pub(super) is_relay: bool,
}

impl Tables {
    pub(super) fn remove(&mut self, handle: LinkHandle) {
        self.links.remove(&handle);
        self.sources
            .retain(|_, source| source.link.handle() != handle);
        self.channels.retain(|_, link| link.handle() != handle);
    }
}
