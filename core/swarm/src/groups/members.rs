//! Whom the groups of a node have in common with it.

use peerway::{PeerId, Ticket};

use super::Groups;
use crate::group::GroupId;

impl Groups {
    /// Each group that this node belongs to, what it is called, and where its other members are met.
    #[must_use]
    pub fn others(&self) -> Vec<(GroupId, String, Vec<Ticket>)> {
        let me = self.0.endpoint.id();
        let live = self.live();
        let groups = live.groups.iter().filter(|(_, it)| !it.is_removed);
        let others = groups.map(|(id, member)| {
            let state = member.machine.log().state();
            let others = state.members.keys().filter(|peer| **peer != me);
            let tickets = others.map(|peer| member.machine.ticket(*peer));
            (*id, state.name.clone(), tickets.collect())
        });
        others.collect()
    }

    /// A group to which both this node and a peer belong.
    #[must_use]
    pub fn common(&self, peer: PeerId) -> Option<GroupId> {
        let live = self.live();
        let mut groups = live.groups.iter().filter(|(_, it)| !it.is_removed);
        let common = groups.find(|(_, it)| it.machine.log().state().role(peer).is_some());
        common.map(|(id, _)| *id)
    }
}
