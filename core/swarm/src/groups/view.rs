//! Groups as people and programs are shown them.

use std::cmp::Reverse;

use peerway::PeerId;
use serde::{Deserialize, Serialize};

use super::{GroupError, Groups, StoreError};
use crate::group::{GroupId, Machine, Post, PostId, Role};

/// Former members that are shown.
const MAX_FORMER: usize = 64;

/// A group as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupView {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// What this node may do; none if it is no member any more.
    pub role: Option<Role>,
    /// All members.
    pub members: Vec<MemberView>,
    /// Posts that are kept.
    pub posts: usize,
    /// Those of them that were not read here.
    pub unread: usize,
    /// Invites that may still be used.
    pub invites: usize,
    /// Whether what is posted now can be read here: not until the first member has given the key.
    pub has_key: bool,
    /// Members that say that this node was removed.
    pub refused: usize,
    /// Who was a member, those first who were so last.
    #[serde(default)]
    pub former: Vec<FormerView>,
    /// What this node keeps for searches of what members published; none if it is no directory, which [`Groups`] does not know.
    #[serde(default)]
    pub published: Option<usize>,
    /// Why nothing that is said in the groups of this node is kept at the moment; none if it is.
    #[serde(default)]
    pub unkept: Option<String>,
}

/// Somebody who belonged to a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FormerView {
    /// Who.
    pub id: PeerId,
    /// What it could do.
    pub role: Role,
    /// Until when, in milliseconds since the Unix epoch.
    pub until_ms: u64,
    /// Whether it was removed, and did not leave.
    pub removed: bool,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemberView {
    /// Who.
    pub id: PeerId,
    /// What it may do.
    pub role: Role,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Who let it in.
    pub by: PeerId,
    /// Whether this node talks with it now.
    pub linked: bool,
    /// Whether it keeps for searches what others publish.
    #[serde(default)]
    pub directory: bool,
}

/// Something that was posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PostView {
    /// Its id.
    pub id: String,
    /// Who wrote it.
    pub author: PeerId,
    /// When, in milliseconds since the Unix epoch.
    pub sent_ms: u64,
    /// What it says; none if the key that it is sealed by is not here.
    pub text: Option<String>,
    /// The id of the post that it answers; none if it answers none, or that one is not kept here.
    #[serde(default)]
    pub reply_to: Option<String>,
    /// Who wrote that.
    #[serde(default)]
    pub reply_to_author: Option<PeerId>,
}

impl PostView {
    pub(super) fn of(machine: &Machine, post: &Post) -> Self {
        let parent = machine.reply_to(post);
        Self {
            id: post.id().to_string(),
            author: post.author(),
            sent_ms: post.sent_ms(),
            text: machine.read(post),
            reply_to: parent.map(|(id, _)| id.to_string()),
            reply_to_author: parent.map(|(_, author)| author),
        }
    }
}

impl Groups {
    /// All of them, by name.
    #[must_use]
    pub fn all(&self) -> Vec<GroupView> {
        let groups: Vec<_> = self.live().groups.keys().copied().collect();
        let mut views: Vec<_> = groups
            .into_iter()
            .filter_map(|id| self.view(id).ok())
            .collect();
        views.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        views
    }

    /// One of them.
    ///
    /// # Errors
    /// [`GroupError::Unknown`] and those of the disk.
    pub fn view(&self, group: GroupId) -> Result<GroupView, GroupError> {
        // Where the disk fails all counts as unread.
        let read_until = self.0.store.read_until(group).unwrap_or_default();
        let unkept = self.0.store.failing();
        let (me, now_ms) = (self.0.endpoint.id(), self.now().unix_ms);
        self.with(group, |member| {
            let machine = &member.machine;
            let state = machine.log().state();
            let linked: Vec<_> = machine.linked().collect();
            let directories: Vec<_> = machine.directories().iter().map(|it| it.peer).collect();
            let members = state.members.iter().map(|(id, member)| MemberView {
                id: *id,
                role: member.role,
                since_ms: member.since_ms,
                by: member.by,
                linked: linked.contains(id),
                directory: directories.contains(id),
            });
            let open = state
                .invites
                .values()
                .filter(|invite| invite.expires_ms > now_ms);
            let mut former: Vec<_> = state.former.iter().collect();
            former.sort_by_key(|(_, it)| Reverse(it.until_ms));
            let former = former.into_iter().take(MAX_FORMER);
            GroupView {
                id: group.to_string(),
                name: state.name.clone(),
                role: state.role(me),
                members: members.collect(),
                posts: machine.kept().count(),
                unread: machine.kept().count_of_others_after(read_until, me),
                invites: open.count(),
                has_key: machine.has_key(),
                refused: machine.refused(),
                former: former
                    .map(|(id, it)| FormerView {
                        id: *id,
                        role: it.role,
                        until_ms: it.until_ms,
                        removed: it.removed,
                    })
                    .collect(),
                published: None,
                unkept: unkept.clone(),
            }
        })
    }

    /// The last `count` posts, oldest first, which count as read from then on if `read` says so.
    ///
    /// # Errors
    /// [`GroupError::Unknown`] and those of the disk.
    pub fn posts(
        &self,
        group: GroupId,
        count: usize,
        read: bool,
    ) -> Result<Vec<PostView>, GroupError> {
        let posts = self.0.store.last(group, count)?;
        let views = self.with(group, |member| {
            let views = posts.iter().map(|post| PostView::of(&member.machine, post));
            views.collect::<Vec<_>>()
        })?;
        if let Some(last) = views.last().filter(|_| read) {
            self.0.store.set_read_until(group, last.sent_ms)?;
        }
        Ok(views)
    }

    /// Of these posts those that are kept.
    pub(super) fn read_posts(
        &self,
        group: GroupId,
        posts: &[PostId],
    ) -> Result<Vec<Post>, StoreError> {
        let mut found = Vec::new();
        for post in posts {
            let kept = self.with(group, |member| member.machine.kept().sent_ms(*post));
            if let Ok(Some(at)) = kept {
                found.extend(self.0.store.post(group, at, *post)?);
            }
        }
        Ok(found)
    }
}
