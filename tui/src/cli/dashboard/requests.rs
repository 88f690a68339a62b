//! Does what the dashboard asks, with a node of its own or by the one that runs here.

use std::{convert::Infallible, pin::pin, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use peerway::{ConnectError, PathInfo, PeerId, RelaySnapshot, Ticket};
use peerway_swarm::groups::Groups;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::super::peers::Peers;
#[cfg(unix)]
use crate::control::Client;
use crate::{
    book::{Name, Trust},
    dash::{Answer, Command, NetworkRequest, Request},
    links::{LinkError, Links},
    operations::DialError,
    transfers::{Order, Running},
};

/// Pings of one request.
const PINGS: u32 = 5;
const PING_GAP: Duration = Duration::from_millis(300);
/// As `peerway ping --until-direct` waits for a peer that answers.
const DIRECT_PATIENCE: Duration = Duration::from_secs(25);

type Replies = mpsc::Sender<Result<Answer, String>>;

/// The node that the dashboard shows, and its owner's address book; a demonstration has none.
#[derive(Clone, Copy)]
pub(super) enum Host<'a> {
    Own {
        links: &'a Links,
        peers: Option<&'a Peers>,
        groups: Option<&'a Groups>,
        running: Option<&'a Running>,
    },
    #[cfg(unix)]
    Running { node: &'a Client, peers: &'a Peers },
    /// A peer's, whose address book is changed where it is.
    #[cfg(unix)]
    Peer { node: &'a Client },
}

impl<'a> Host<'a> {
    /// Does all that is asked, each beside the others.
    pub(super) async fn serve(self, mut requests: mpsc::Receiver<Command>) -> Infallible {
        let mut running = FuturesUnordered::<BoxFuture<'_, ()>>::new();
        let mut heeding = pin!(self.heed_book());
        loop {
            tokio::select! {
                Some(command) = requests.recv() => running.push(self.carry_out(command).boxed()),
                Some(()) = running.next() => {}
                never = &mut heeding => match never {},
                else => return std::future::pending().await,
            }
        }
    }

    async fn heed_book(self) -> Infallible {
        match self {
            Self::Own { links, .. } => links.heed_book().await,
            #[cfg(unix)]
            Self::Running { .. } | Self::Peer { .. } => std::future::pending().await,
        }
    }

    /// Nobody waits for an answer once the dashboard is left.
    async fn carry_out(self, command: Command) {
        match command {
            Command::Connect { ticket, reply } => {
                let _ = reply.send(self.connect(ticket).await);
            }
            Command::HaveRead(group) => self.have_read(&group).await,
            // What is live goes at its own speed.
            Command::Play(_) => {}
            Command::Network { request, reply } => {
                let _ = reply.send(self.of_network(request).await);
            }
            Command::Services { peer, reply } => {
                let _ = reply.send(self.services(peer).await);
            }
            Command::Tunnel {
                peer,
                service,
                replies,
            } => {
                let ended = self.tunnel(peer, &service, &replies).await;
                if let Err(reason) = ended {
                    let _ = replies.send(Err(reason)).await;
                }
            }
            Command::Transfer { id, order, reply } => {
                let _ = reply.send(self.order(id, order).await);
            }
            Command::Peer {
                peer,
                request,
                replies,
            } => {
                let done = self.answer(peer, request, &replies).await;
                let _ = replies.send(done.map(|()| Answer::Done)).await;
            }
        }
    }

    async fn order(self, id: u64, order: Order) -> Result<(), String> {
        match self {
            Self::Own { running, .. } => {
                let running = running.ok_or("a demonstration transfers no files")?;
                running.order(id, order).map_err(said)
            }
            #[cfg(unix)]
            Self::Running { node, .. } | Self::Peer { node } => {
                node.order(id, order).await.map_err(said)
            }
        }
    }

    async fn connect(self, ticket: Ticket) -> Result<(), String> {
        match self {
            Self::Own { links, .. } => links.connect(ticket.clone()).await.map_err(|error| {
                let relays = &links.endpoint().snapshot().relays;
                reason(&error, relays, &ticket)
            }),
            #[cfg(unix)]
            Self::Running { node, .. } | Self::Peer { node } => {
                node.connect(&ticket).await.map_err(said)
            }
        }?;
        if let Some(peers) = self.peers() {
            peers.remember(&ticket);
        }
        Ok(())
    }

    /// What cannot be noted is told of again with the next post.
    async fn have_read(self, group: &str) {
        match self {
            Self::Own { groups, .. } => {
                if let Some(groups) = groups
                    && let Ok(id) = groups.find(group)
                {
                    let _ = groups.posts(id, 1, true);
                }
            }
            #[cfg(unix)]
            Self::Running { node, .. } => drop(node.have_read(group).await),
            // From afar nobody reads them.
            #[cfg(unix)]
            Self::Peer { .. } => {}
        }
    }

    async fn answer(self, peer: PeerId, request: Request, replies: &Replies) -> Result<(), String> {
        match request {
            Request::Ping { until_direct } => self.ping(peer, until_direct, replies).await,
            Request::Retry => match self {
                Self::Own { links, .. } => links.retry(peer).await.map_err(said),
                #[cfg(unix)]
                Self::Running { node, .. } | Self::Peer { node } => {
                    node.retry(peer).await.map_err(said)
                }
            },
            Request::Policy(policy) => match self {
                Self::Own { links, .. } => {
                    links.endpoint().set_path_policy(peer, policy).await;
                    Ok(())
                }
                #[cfg(unix)]
                Self::Running { node, .. } | Self::Peer { node } => {
                    node.set_policy(peer, policy).await.map_err(said)
                }
            },
            Request::Pair {
                remote,
                tcp,
                action,
            } => match self {
                Self::Own { links, .. } => {
                    let chosen = links.choose_pair(peer, (remote, tcp), action).await;
                    chosen.map_err(said)
                }
                #[cfg(unix)]
                Self::Running { node, .. } | Self::Peer { node } => {
                    let chosen = node.choose_pair(peer, (remote, tcp), action).await;
                    chosen.map_err(said)
                }
            },
            Request::Disconnect => match self {
                Self::Own { links, .. } => {
                    links.disconnect(peer).await;
                    Ok(())
                }
                #[cfg(unix)]
                Self::Running { node, .. } | Self::Peer { node } => {
                    node.disconnect(peer).await.map_err(said)
                }
            },
            Request::Block => {
                self.block(peer)?;
                self.reread_book().await
            }
            Request::LetIn => {
                self.let_in(peer)?;
                self.reread_book().await
            }
            Request::Rename(name) => {
                self.rename(peer, &name)?;
                self.reread_book().await?;
                self.reread_services().await;
                Ok(())
            }
        }
    }

    async fn ping(self, peer: PeerId, until_direct: bool, replies: &Replies) -> Result<(), String> {
        let deadline = Instant::now() + DIRECT_PATIENCE;
        let mut sent = 0;
        while sent < PINGS || until_direct {
            let (rtt, path) = self.ping_once(peer).await?;
            sent += 1;
            let is_direct = matches!(path, Some(PathInfo::Direct { .. }));
            if replies.send(Ok(Answer::Pong { rtt, path })).await.is_err() {
                return Ok(());
            }
            if until_direct && is_direct {
                return Ok(());
            }
            if until_direct && Instant::now() >= deadline {
                return Err("answers, but not directly; w says why".to_owned());
            }
            sleep(PING_GAP).await;
        }
        Ok(())
    }

    async fn ping_once(self, peer: PeerId) -> Result<(Duration, Option<PathInfo>), String> {
        match self {
            Self::Own { links, .. } => {
                let reply = links.ping(peer).await.map_err(said)?;
                Ok((reply.rtt, reply.path))
            }
            #[cfg(unix)]
            Self::Running { node, .. } | Self::Peer { node } => node.ping(peer).await.map_err(said),
        }
    }

    /// Has what is kept by the names of now in force at once, where the node keeps anything.
    async fn reread_services(self) {
        match self {
            Self::Own { .. } => {}
            #[cfg(unix)]
            Self::Running { node, .. } | Self::Peer { node } => {
                // It looks by itself too.
                let _ = node.reread_services().await;
            }
        }
    }

    /// Has what the book says now in force at once.
    async fn reread_book(self) -> Result<(), String> {
        match self {
            Self::Own { links, .. } => {
                links.reread_book();
                Ok(())
            }
            #[cfg(unix)]
            Self::Running { node, .. } | Self::Peer { node } => {
                node.reread_book().await.map_err(said)
            }
        }
    }

    fn block(self, peer: PeerId) -> Result<(), String> {
        let peers = self.peers_or_why_not()?;
        let ticket = ticket_of(peers, peer);
        let changed = peers
            .book()
            .change(|draft| draft.trust(&ticket, Trust::Block));
        changed.map(drop).map_err(said)
    }

    /// Who called, by its short name until it is given another one.
    fn let_in(self, peer: PeerId) -> Result<(), String> {
        let peers = self.peers_or_why_not()?;
        let ticket = ticket_of(peers, peer);
        let changed = peers
            .book()
            .change(|draft| draft.trust(&ticket, Trust::Allow));
        changed.map(drop).map_err(said)
    }

    async fn of_network(self, request: NetworkRequest) -> Result<(), String> {
        match (self, request) {
            (Self::Own { links, .. }, NetworkRequest::Measure) => {
                links.endpoint().measure_nat().await;
                Ok(())
            }
            (Self::Own { links, .. }, NetworkRequest::RenewMappings) => {
                links.endpoint().renew_port_mappings().await;
                Ok(())
            }
            (Self::Own { links, .. }, NetworkRequest::PreferHome(relay)) => {
                links.endpoint().prefer_home(relay).await;
                Ok(())
            }
            #[cfg(unix)]
            (
                Self::Running { node, .. } | Self::Peer { node },
                NetworkRequest::PreferHome(relay),
            ) => node.prefer_home(relay).await.map_err(said),
            #[cfg(unix)]
            (Self::Running { node, .. } | Self::Peer { node }, NetworkRequest::Measure) => {
                node.measure_nat().await.map_err(said)
            }
            #[cfg(unix)]
            (Self::Running { node, .. } | Self::Peer { node }, NetworkRequest::RenewMappings) => {
                node.renew_mappings().await.map_err(said)
            }
        }
    }

    fn rename(self, peer: PeerId, name: &str) -> Result<(), String> {
        let peers = self.peers_or_why_not()?;
        let name: Name = name.parse().map_err(said)?;
        let ticket = ticket_of(peers, peer);
        let book = peers.book().read().map_err(said)?;
        let Some((before, _)) = book.of(peer) else {
            let added = peers.book().change(|draft| draft.add(&name, &ticket, None));
            return added.map(drop).map_err(said);
        };
        let renamed = peers.rename(before, &name).map_err(said)?;
        renamed
            .kept
            .map(drop)
            .map_err(|error| format!("{error}. What is kept there for {before} means nobody now"))
    }

    fn peers_or_why_not(self) -> Result<&'a Peers, String> {
        let reason = match self {
            Self::Own { .. } => "a demonstration has no address book",
            #[cfg(unix)]
            Self::Running { .. } => "",
            #[cfg(unix)]
            Self::Peer { .. } => {
                "that node's address book is changed where it is: `peerway accept`, `block` and `rename` on that computer"
            }
        };
        self.peers().ok_or_else(|| reason.to_owned())
    }

    pub(super) fn peers(self) -> Option<&'a Peers> {
        match self {
            Self::Own { peers, .. } => peers,
            #[cfg(unix)]
            Self::Running { peers, .. } => Some(peers),
            #[cfg(unix)]
            Self::Peer { .. } => None,
        }
    }
}

pub(super) fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Where the peer was reached, if that is known.
pub(super) fn ticket_of(peers: &Peers, peer: PeerId) -> Ticket {
    let mut known = peers.all().into_iter();
    let known = known.find(|known| known.id() == peer);
    known.unwrap_or_else(|| peer.into())
}

/// A peer of another network is not reached without a relay, however well it runs.
fn reason(error: &LinkError, relays: &[RelaySnapshot], peer: &Ticket) -> String {
    let is_silent = matches!(error, LinkError::Connect(ConnectError::Timeout { .. }));
    if is_silent && relays.is_empty() && peer.is_local() {
        DialError::OtherNetwork.to_string()
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_peer_of_another_network_is_not_said_to_be_offline() {
        let silent = LinkError::from(ConnectError::Timeout {
            after: Duration::from_secs(9),
        });
        let id = peerway::SecretKey::from_seed(&[1; 32]).id();
        let peer = |addr: &str| Ticket::new(id, vec![], vec![addr.parse().unwrap()]);
        let said = reason(&silent, &[], &peer("192.168.1.5:4000"));
        assert!(said.contains("names no relay"), "{said}");
        assert_eq!(
            reason(&silent, &[], &peer("8.8.4.4:4000")),
            silent.to_string()
        );
    }
}
