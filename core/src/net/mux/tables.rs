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
    /// Sources that were admitted so far.
    admitted: u64,
}

/// Where datagrams of an admitted address belong.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) link: Arc<Link>,
    pub(super) title: Title,
    /// Later ones have higher numbers.
    number: u64,
}

/// By what right a source is a link's, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Title {
    /// An authentic message says that it came from there.
    Claimed,
    /// The peer answered there.
    Proven,
    /// It is a relay that we dialled, and lane frames are taken from there too.
    Relay,
}

/// Sources of one link at a time.
const MAX_SOURCES: usize = 16;

impl Tables {
    /// Whether a source becomes the link's by this title: a claim displaces nobody, and nothing displaces a relay.
    pub(super) fn grants(&self, source: SocketAddr, link: &Link, title: Title) -> bool {
        self.sources.get(&source).is_none_or(|holder| {
            if holder.link.handle() == link.handle() {
                title > holder.title
            } else {
                title > Title::Claimed && title >= holder.title
            }
        })
    }

    /// Gives a source to the link; of too many, the oldest claim goes, or else the oldest of all.
    pub(super) fn admit(&mut self, source: SocketAddr, link: &Arc<Link>, title: Title) {
        self.admitted += 1;
        let granted = Source {
            link: link.clone(),
            title,
            number: self.admitted,
        };
        self.sources.insert(source, granted);
        #[expect(
            clippy::disallowed_methods,
            reason = "the least is the same in any order"
        )]
        let theirs = self.sources.iter();
        let theirs = theirs.filter(|(_, one)| one.link.handle() == link.handle());
        if theirs.clone().count() > MAX_SOURCES
            && let Some((oldest, _)) = theirs
                .filter(|(addr, _)| **addr != source)
                .min_by_key(|(_, one)| (one.title, one.number))
        {
            let oldest = *oldest;
            self.sources.remove(&oldest);
        }
    }

    pub(super) fn remove(&mut self, handle: LinkHandle) {
        self.links.remove(&handle);
        self.sources
            .retain(|_, source| source.link.handle() != handle);
        self.channels.retain(|_, link| link.handle() != handle);
    }
}
