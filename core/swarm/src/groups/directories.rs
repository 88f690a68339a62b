//! Which members of the groups are directories.

use peerway::{PeerId, Ticket};

use super::{GroupError, Groups};
use crate::group::{Advertised, GroupId};

impl Groups {
    /// This node is a directory of all its groups from now on, and tells their members. What they publish comes to
    /// [`Search`](crate::search::Search), which has to take it: see [`Search::be_directory`](crate::search::Search::be_directory).
    pub fn be_directory(&self) {
        let since_ms = self.now().unix_ms;
        self.live().directory_since_ms = Some(since_ms);
        self.each(|machine, now| machine.be_directory(since_ms, now));
    }

    /// The directories of a group but for those that are [shunned](Groups::shunning), this node too if it is one; none of a group that this node does not belong to.
    #[must_use]
    pub fn directories(&self, group: GroupId) -> Vec<Advertised> {
        let directories = self.with(group, |member| match member.is_removed {
            true => Vec::new(),
            false => member.machine.directories(),
        });
        let shunned = self.shunned();
        let mut directories = directories.unwrap_or_default();
        directories.retain(|it| !shunned.contains(it.peer));
        directories
    }

    /// The groups that this node belongs to.
    #[must_use]
    pub fn ids(&self) -> Vec<GroupId> {
        let live = self.live();
        let groups = live.groups.iter().filter(|(_, it)| !it.is_removed);
        groups.map(|(id, _)| *id).collect()
    }

    /// Whether a peer belongs to a group.
    #[must_use]
    pub fn is_member(&self, group: GroupId, peer: PeerId) -> bool {
        let role = self.with(group, |member| {
            let role = member.machine.log().state().role(peer);
            role.filter(|_| !member.is_removed)
        });
        matches!(role, Ok(Some(_)))
    }

    /// Where a member of a group is met.
    ///
    /// # Errors
    /// [`GroupError::Unknown`].
    pub fn ticket(&self, group: GroupId, peer: PeerId) -> Result<Ticket, GroupError> {
        self.with(group, |member| member.machine.ticket(peer))
    }
}
