//! The links that are kept: made as soon as they can be, each without the others.

use std::{collections::BTreeMap, fs, future::pending, sync::Arc, time::Duration};

use peerway::{
    Endpoint, PeerId, Ticket,
    services::subnet::{LinkState, Offer, Status, SubnetError},
};
use tokio::{sync::watch, task::JoinSet, time::sleep};

use crate::{
    book::Book,
    cli::{args::PeerName, clock::now_ms, failure::Failure, node::Node, peers::Peers},
    kept::{LinkTerms, Linked, Range, Services, State, Whom},
    linking::{By, Held, Linker, LinkingError, refused, routes},
};

/// Between two tries to link where there is no device, or a command links with the peer.
const RETRY_PAUSE: Duration = Duration::from_secs(10);

/// All of them.
pub(super) struct Linking {
    links: watch::Sender<BTreeMap<Whom, LinkTerms>>,
    _task: JoinSet<()>,
}

impl Linking {
    pub(super) fn begin(node: &Node, services: &Services) -> Self {
        let links = watch::Sender::default();
        let keeper = Keeper {
            endpoint: node.endpoint.clone(),
            peers: node.peers().clone(),
            book: node.book().watch(),
            services: services.clone(),
            linker: node.linker().clone(),
        };
        let mut task = JoinSet::new();
        task.spawn(keeper.run(links.subscribe()));
        Self { links, _task: task }
    }

    /// These and no others from now on.
    pub(super) fn set(&self, links: &BTreeMap<Whom, LinkTerms>) {
        self.links.send_replace(links.clone());
    }
}

struct Keeper {
    endpoint: Endpoint,
    peers: Peers,
    book: watch::Receiver<Arc<Book>>,
    services: Services,
    linker: Linker,
}

/// One of them, as it was begun.
struct Link {
    ticket: Ticket,
    terms: LinkTerms,
    held: Held,
    was_up: bool,
}

impl Keeper {
    async fn run(self, mut links: watch::Receiver<BTreeMap<Whom, LinkTerms>>) {
        let mut book = self.book.clone();
        let mut held = BTreeMap::new();
        loop {
            let kept = links.borrow_and_update().clone();
            book.mark_unchanged();
            let fails = self.bring_about(&kept, &mut held).await;
            let again = async {
                match fails {
                    true => sleep(RETRY_PAUSE).await,
                    false => pending().await,
                }
            };
            tokio::select! {
                changed = links.changed() => if changed.is_err() { return },
                Ok(()) = book.changed() => {}
                () = again => {}
                () = self.follow(&mut held) => {}
            }
        }
    }

    /// Ends what is not to be any more, and begins what is not yet; whether anything is in the way of that.
    async fn bring_about(
        &self,
        kept: &BTreeMap<Whom, LinkTerms>,
        held: &mut BTreeMap<Whom, Link>,
    ) -> bool {
        let meant = meant(kept.keys(), |whom| self.find(whom));
        held.retain(|whom, link| {
            let is_meant = |ticket: &Ticket| ticket.id() == link.ticket.id();
            let peer = meant.get(whom).and_then(|meant| meant.as_ref().ok());
            let is_same = kept.get(whom).is_some_and(|terms| *terms == link.terms);
            peer.is_some_and(is_meant) && is_same && !link.held.is_over()
        });
        let mut fails = false;
        for (whom, meant) in meant {
            let failed = match (meant, held.get_mut(&whom)) {
                (Err(reason), _) => Some(reason),
                (Ok(ticket), Some(link)) => {
                    if link.ticket != ticket {
                        link.held.readdress(&ticket);
                        link.ticket = ticket;
                    }
                    None
                }
                (Ok(ticket), None) => {
                    let terms = kept.get(&whom).cloned().unwrap_or_default();
                    match self.link(&whom, ticket, terms).await {
                        Ok(link) => {
                            held.insert(whom.clone(), link);
                            None
                        }
                        Err(error) => Some(reason(&error, is_confined())),
                    }
                }
            };
            if let Some(reason) = failed {
                fails = true;
                let how = (State::Failed, Some(reason));
                let none = Linked::default();
                self.services
                    .tell_linked(whom.as_str(), how, none, now_ms());
            }
        }
        fails
    }

    async fn link(
        &self,
        whom: &Whom,
        ticket: Ticket,
        terms: LinkTerms,
    ) -> Result<Link, LinkingError> {
        let nets = |ranges: &[Range]| ranges.iter().filter_map(Range::net).collect();
        let offer = Offer {
            advertised: nets(&terms.advertise),
            accepted: nets(&terms.accept),
        };
        let (endpoint, peers) = (self.endpoint.clone(), vec![ticket.clone()]);
        let by = By::Keeper(whom.to_string());
        let held = self.linker.hold(endpoint, peers, offer, by).await?;
        Ok(Link {
            ticket,
            terms,
            held,
            was_up: false,
        })
    }

    /// Tells how they are whenever that changes, until the device is gone.
    async fn follow(&self, held: &mut BTreeMap<Whom, Link>) {
        let Some(first) = held.values().next() else {
            return pending().await;
        };
        let mut status = first.held.watch();
        let over = first.held.over();
        let following = async {
            loop {
                let now = status.borrow_and_update().clone();
                for (whom, link) in &mut *held {
                    let peer = link.ticket.id();
                    let is_up = now.links.get(&peer).is_some_and(|it| it.is_up);
                    if is_up && !link.was_up {
                        self.peers.remember(&link.ticket);
                    }
                    link.was_up = is_up;
                    let advertises = !link.terms.advertise.is_empty();
                    let (how, linked) = fares(&now, peer, advertises);
                    self.services
                        .tell_linked(whom.as_str(), how, linked, now_ms());
                }
                if status.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = following => {}
            () = over => {}
        }
    }

    /// Who is meant, as the address book is now.
    fn find(&self, whom: &Whom) -> Result<Ticket, Failure> {
        let book = Arc::clone(&self.book.borrow());
        // It was read as one from the file.
        let name = whom.as_str().parse::<PeerName>();
        let name = name.unwrap_or_else(|_| PeerName::Called(whom.to_string()));
        let peer = self.peers.meant(&name, &book)?;
        if peer.id() == self.endpoint.id() {
            return Err(Failure::OwnPeer);
        }
        match book.blocked(peer.id()) {
            Some(name) => Err(Failure::Blocked(name.clone())),
            None => Ok(peer),
        }
    }
}

/// Whom to link with, and why not with others. A peer that two are is linked with as the first says.
fn meant<'a>(
    kept: impl Iterator<Item = &'a Whom>,
    find: impl Fn(&Whom) -> Result<Ticket, Failure>,
) -> BTreeMap<Whom, Result<Ticket, String>> {
    let mut taken = BTreeMap::<PeerId, &Whom>::new();
    let each = kept.map(|whom| {
        let found = find(whom).map_err(|failure| failure.to_string());
        let alone = found.and_then(|ticket| match taken.get(&ticket.id()) {
            Some(first) => Err(format!(
                "{first} is the same peer, and a link with it is kept: `peerway link remove {whom}`"
            )),
            None => {
                taken.insert(ticket.id(), whom);
                Ok(ticket)
            }
        });
        (whom.clone(), alone)
    });
    each.collect()
}

/// Why there is none, and what helps. A service may be `confined` to fewer rights than its program has.
fn reason(error: &LinkingError, confined: bool) -> String {
    match error {
        LinkingError::Subnet(SubnetError::NotPermitted) if confined => format!(
            "{error}. And this node is run so that it gets no right of its program: `peerway service install` writes a unit that lets it, then `systemctl --user daemon-reload` and `systemctl --user restart peerway`"
        ),
        LinkingError::Subnet(SubnetError::NotPermitted) => format!(
            "{error}. A node has the rights that it was started with: once the program has that one, `peerway down` and `peerway up`"
        ),
        LinkingError::Subnet(_)
        | LinkingError::Taken(_)
        | LinkingError::Kept(_)
        | LinkingError::Gone => error.to_string(),
    }
}

/// Whether this process gets no right by a program that it runs or is.
fn is_confined() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("NoNewPrivs:"));
    line.is_some_and(|value| value.trim() == "1")
}

/// How the link to a peer is, and what there is of it.
fn fares(status: &Status, peer: PeerId, advertises: bool) -> ((State, Option<String>), Linked) {
    let nothing = LinkState::default();
    let link = status.links.get(&peer).unwrap_or(&nothing);
    let how = match (link.is_up, &status.hints[..]) {
        (false, _) => (State::Waiting, link.trouble.clone()),
        (true, hints) if advertises && !hints.is_empty() => (State::Ready, Some(hints.join("; "))),
        (true, _) => (State::Ready, None),
    };
    let v6 = status.v6.map(Into::into);
    let linked = Linked {
        device: Some(status.device.clone()),
        own: [status.v4.into()].into_iter().chain(v6).collect(),
        addresses: link.addresses.clone(),
        routes: routes(link),
        refused: refused(link),
    };
    (how, linked)
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    fn ticket(seed: u8) -> Ticket {
        SecretKey::from_seed(&[seed; 32]).id().into()
    }

    #[test]
    fn a_peer_by_two_names_is_linked_with_once_and_who_is_unknown_keeps_nobody_else_from_it() {
        let whom = |text: &str| text.parse::<Whom>().unwrap();
        let kept = ["attic", "gone", "laptop", "nas"].map(whom);
        let find = |whom: &Whom| match whom.as_str() {
            "attic" | "nas" => Ok(ticket(1)),
            "laptop" => Ok(ticket(2)),
            _ => Err(Failure::OwnPeer),
        };
        let meant = meant(kept.iter(), find);
        assert_eq!(meant[&kept[0]], Ok(ticket(1)));
        assert!(meant[&kept[1]].is_err());
        assert_eq!(meant[&kept[2]], Ok(ticket(2)));
        let twice = meant[&kept[3]].clone().unwrap_err();
        assert!(
            twice.contains("attic is the same peer") && twice.contains("link remove nas"),
            "{twice}"
        );
    }

    #[test]
    fn who_lacks_the_right_for_a_device_is_told_what_gives_it_and_to_start_anew() {
        let unpermitted = LinkingError::Subnet(SubnetError::NotPermitted);
        let told = reason(&unpermitted, false);
        for part in ["CAP_NET_ADMIN", "setcap", "`peerway down` and `peerway up`"] {
            assert!(told.contains(part), "{told}");
        }
        let told = reason(&unpermitted, true);
        for part in ["setcap", "`peerway service install`", "systemctl"] {
            assert!(told.contains(part), "{told}");
        }
        let other = reason(&LinkingError::Taken(ticket(1).id()), true);
        assert!(other.contains("another command"), "{other}");
    }
}
