//! Whom the groups of a node have in common with it.

use peerway::{PeerId, Ticket};

use super::{GroupError, Groups, Member};
use crate::group::{GroupId, Role};

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

    /// Where those members of a group are met that this node talks with now.
    ///
    /// # Errors
    /// [`GroupError::Unknown`].
    pub fn linked(&self, group: GroupId) -> Result<Vec<Ticket>, GroupError> {
        self.with(group, |member| {
            let linked = member.machine.linked();
            linked.map(|peer| member.machine.ticket(peer)).collect()
        })
    }

    /// Whether a group is a feed: this node but reads in it, or its founder alone writes and others read. Who follows one need know
    /// nothing of whoever else does.
    #[must_use]
    pub fn is_feed(&self, group: GroupId) -> bool {
        let me = self.0.endpoint.id();
        self.with(group, |member| is_feed(member, me))
            .unwrap_or(false)
    }

    /// Whether a peer belongs to a group that this node founded, as whoever follows a feed of its does.
    #[must_use]
    pub fn is_follower(&self, peer: PeerId) -> bool {
        let me = self.0.endpoint.id();
        let live = self.live();
        let mut states = live.groups.values().map(|it| it.machine.log().state());
        states.any(|it| it.role(me) == Some(Role::Founder) && it.role(peer).is_some())
    }

    /// A group to which both this node and a peer belong, and which is no [feed](Self::is_feed).
    #[must_use]
    pub fn common(&self, peer: PeerId) -> Option<GroupId> {
        let live = self.live();
        let mut groups = live.groups.iter().filter(|(_, it)| !it.is_removed);
        let me = self.0.endpoint.id();
        let common = groups
            .find(|(_, it)| it.machine.log().state().role(peer).is_some() && !is_feed(it, me));
        common.map(|(id, _)| *id)
    }
}

fn is_feed(member: &Member, me: PeerId) -> bool {
    let members = &member.machine.log().state().members;
    let is_reader = |role| role == Role::Reader;
    let mut others = members.values().filter(|it| it.role != Role::Founder);
    let reads_here = members.get(&me).is_some_and(|it| is_reader(it.role));
    reads_here || members.len() > 1 && others.all(|it| is_reader(it.role))
}
