//! Whom a node links with, and on which terms with each.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use ipnet::IpNet;
use tokio::sync::watch;

use super::{MAX_PEERS, Offer, SubnetError, hello::MAX_RANGES, plan::check};
use crate::{PeerId, Ticket};

/// One of them. The same peer on other terms is another.
#[derive(Debug)]
pub(super) struct Member {
    ticket: Mutex<Ticket>,
    pub(super) offer: Offer,
}

impl Member {
    /// Where it is, as far as is known by now.
    pub(super) fn ticket(&self) -> Ticket {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ticket> {
        self.ticket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Members(watch::Sender<BTreeMap<PeerId, Arc<Member>>>);

impl Members {
    /// Who is meant, each time that this has changed.
    pub(super) fn watch(&self) -> watch::Receiver<BTreeMap<PeerId, Arc<Member>>> {
        self.0.subscribe()
    }

    pub(super) fn get(&self, peer: PeerId) -> Option<Arc<Member>> {
        self.0.borrow().get(&peer).cloned()
    }

    /// Whether a peer is meant on these terms still.
    pub(super) fn has(&self, peer: PeerId, member: &Arc<Member>) -> bool {
        let meant = self.0.borrow();
        meant.get(&peer).is_some_and(|it| Arc::ptr_eq(it, member))
    }

    pub(super) fn insert(&self, ticket: Ticket, offer: Offer) -> Result<(), SubnetError> {
        check_offer(&offer)?;
        let peer = ticket.id();
        let member = Arc::new(Member {
            ticket: Mutex::new(ticket),
            offer,
        });
        let mut inserted = Ok(());
        self.0.send_if_modified(|meant| {
            if meant.contains_key(&peer) {
                inserted = Err(SubnetError::Linked { peer });
            } else if meant.len() >= MAX_PEERS {
                inserted = Err(SubnetError::ManyPeers);
            } else {
                meant.insert(peer, member);
            }
            inserted.is_ok()
        });
        inserted
    }

    pub(super) fn remove(&self, peer: PeerId) -> bool {
        self.0
            .send_if_modified(|meant| meant.remove(&peer).is_some())
    }

    /// The peer is found by this from now on.
    pub(super) fn readdress(&self, ticket: &Ticket) {
        if let Some(member) = self.get(ticket.id()) {
            member.lock().clone_from(ticket);
        }
    }

    /// What of this home any of them may reach.
    pub(super) fn advertised(&self) -> Vec<IpNet> {
        let meant = self.0.borrow();
        let mut all = Vec::new();
        for net in meant.values().flat_map(|it| &it.offer.advertised) {
            if !all.contains(net) {
                all.push(*net);
            }
        }
        all
    }

    /// Whether a range is to be reached at another peer than this one too.
    pub(super) fn is_accepted_of_another(&self, peer: PeerId, net: IpNet) -> bool {
        let meant = self.0.borrow();
        let mut others = meant.iter().filter(|(other, _)| **other != peer);
        others.any(|(_, other)| other.offer.accepted.contains(&net))
    }
}

/// Whether there can be a link on these terms.
pub(super) fn check_offer(offer: &Offer) -> Result<(), SubnetError> {
    if offer.advertised.len() > MAX_RANGES {
        return Err(SubnetError::ManyRanges);
    }
    for net in offer.advertised.iter().chain(&offer.accepted) {
        check(*net).map_err(|why| SubnetError::Range { net: *net, why })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    fn ticket(seed: u8) -> Ticket {
        SecretKey::from_seed(&[seed; 32]).id().into()
    }

    fn offer(advertised: &[&str]) -> Offer {
        Offer {
            advertised: advertised.iter().map(|it| it.parse().unwrap()).collect(),
            accepted: vec![],
        }
    }

    #[test]
    fn a_peer_is_linked_once_and_on_other_terms_only_after_it_was_not() {
        let members = Members::default();
        let peer = ticket(1).id();
        members.insert(ticket(1), offer(&["10.1.0.0/16"])).unwrap();
        let first = members.get(peer).unwrap();
        let twice = members.insert(ticket(1), offer(&[]));
        assert!(matches!(twice, Err(SubnetError::Linked { .. })));
        assert!(members.has(peer, &first));
        assert!(members.remove(peer) && !members.remove(peer));
        members.insert(ticket(1), offer(&[])).unwrap();
        assert!(!members.has(peer, &first), "another one");
    }

    #[test]
    fn what_is_advertised_is_that_of_all_and_goes_with_the_last_who_may_reach_it() {
        let members = Members::default();
        let both: &[&str] = &["10.1.0.0/16", "10.2.0.0/16"];
        members.insert(ticket(1), offer(both)).unwrap();
        members.insert(ticket(2), offer(&both[..1])).unwrap();
        assert_eq!(members.advertised(), offer(both).advertised);
        members.remove(ticket(1).id());
        assert_eq!(members.advertised(), offer(&both[..1]).advertised);
        let refused = members.insert(ticket(3), offer(&["0.0.0.0/0"]));
        assert!(matches!(refused, Err(SubnetError::Range { .. })));
    }
}
