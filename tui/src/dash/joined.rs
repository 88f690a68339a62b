//! The groups that the node belongs to: who is in them, how they are linked, and what was said.

use std::time::Duration;

use peerway::{PeerId, PeerSnapshot, Presence};
use peerway_swarm::{
    group::Role as GroupRole,
    groups::{GroupView, PostView},
};

use super::{
    filter, group,
    look::{Glyphs, Role},
    model::{Data, Model},
    words::{Address, Standing},
};
use crate::{
    commons::Joined,
    printable::{JOINER, printable},
};

/// A member, or who was one.
#[derive(Clone, Debug)]
pub(super) struct Fellow<'a> {
    pub(super) id: PeerId,
    pub(super) role: GroupRole,
    pub(super) standing: Tie<'a>,
    /// Since when it is a member, or is none any more.
    pub(super) since_ms: u64,
}

/// How a member is linked to this node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tie<'a> {
    /// It is this node.
    Here,
    /// It is a peer.
    Peer(&'a PeerSnapshot),
    /// There is no link to it; others hear it.
    Heard,
    /// There is no link to it, and nothing is known of it.
    Unseen,
    /// It left.
    Left,
    /// It was removed.
    Removed,
}

impl Tie<'_> {
    /// Whether it is there, as far as is known here.
    pub(super) fn is_online(self) -> bool {
        match self {
            Self::Here | Self::Heard => true,
            Self::Peer(peer) => Standing::of(peer).is_linked(),
            Self::Unseen | Self::Left | Self::Removed => false,
        }
    }

    pub(super) fn is_member(self) -> bool {
        !matches!(self, Self::Left | Self::Removed)
    }

    /// Members that are there come first.
    fn rank(self) -> u8 {
        match self {
            Self::Here => 0,
            Self::Peer(_) if self.is_online() => 1,
            Self::Heard => 2,
            Self::Peer(_) | Self::Unseen => 3,
            Self::Left | Self::Removed => 4,
        }
    }

    pub(super) fn glyph(self, glyphs: &Glyphs) -> (&'static str, Role) {
        match self {
            Self::Here => (glyphs.center, Role::Accent),
            Self::Peer(peer) => {
                let standing = Standing::of(peer);
                (standing.glyph(glyphs), standing.role())
            }
            Self::Heard => (glyphs.check, Role::Good),
            Self::Unseen => (glyphs.idle, Role::Dim),
            Self::Left | Self::Removed => (glyphs.none, Role::Dim),
        }
    }

    /// `direct v6`, `relay fra1`, or why there is no link.
    pub(super) fn text(self, model: &Model) -> String {
        match self {
            Self::Here => "this node".to_owned(),
            Self::Peer(peer) => model.words().link(peer, Address::None),
            Self::Heard => "by others".to_owned(),
            Self::Unseen => "no link".to_owned(),
            Self::Left => "left".to_owned(),
            Self::Removed => "removed".to_owned(),
        }
    }

    /// In one word, for filters.
    pub(super) fn state(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Peer(_) if self.is_online() => "online",
            Self::Heard => "online",
            Self::Peer(_) | Self::Unseen => "away",
            Self::Left => "left",
            Self::Removed => "removed",
        }
    }
}

/// All groups that the node belongs to.
pub(super) fn all(data: &Data) -> &[Joined] {
    data.commons.as_ref().map_or(&[], |commons| &commons.groups)
}

/// The group whose members and posts are shown.
pub(super) fn selected(model: &Model) -> Option<&Joined> {
    all(model.data()).get(model.groups.at)
}

/// Members of the selected group that the filter lets through, and who was one.
pub(super) fn fellows(model: &Model) -> Vec<Fellow<'_>> {
    let Some(joined) = selected(model) else {
        return Vec::new();
    };
    let (rule, words) = (&model.filters.members, model.words());
    let mut fellows = of(model.data(), &joined.group);
    fellows.retain(|it| {
        let name = group::name(model, &it.id);
        rule.is_empty() || rule.shows(&filter::of_fellow(it, &name, &words))
    });
    fellows.sort_by_cached_key(|it| {
        // Who left last comes first of those.
        let left = if it.standing.is_member() {
            0
        } else {
            u64::MAX - it.since_ms
        };
        (it.standing.rank(), left, words.name(&it.id))
    });
    fellows
}

/// In no order.
pub(super) fn of<'a>(data: &'a Data, group: &'a GroupView) -> Vec<Fellow<'a>> {
    let members = group.members.iter().map(|member| Fellow {
        id: member.id,
        role: member.role,
        standing: tie(data, &group.name, member.id),
        since_ms: member.since_ms,
    });
    let former = group.former.iter().map(|former| Fellow {
        id: former.id,
        role: former.role,
        standing: if former.removed {
            Tie::Removed
        } else {
            Tie::Left
        },
        since_ms: former.until_ms,
    });
    members.chain(former).collect()
}

fn tie<'a>(data: &'a Data, group: &str, id: PeerId) -> Tie<'a> {
    if id == data.snapshot.id {
        return Tie::Here;
    }
    let peer = data.snapshot.peer(id);
    if let Some(peer) = peer.filter(|peer| Standing::of(peer).is_linked()) {
        return Tie::Peer(peer);
    }
    let groups = data.swarm.groups.iter().filter(|it| it.name == group);
    let mut said = groups.flat_map(|it| &it.members).filter(|it| it.id == id);
    if said.any(|it| it.presence == Presence::Fresh) {
        return Tie::Heard;
    }
    peer.map_or(Tie::Unseen, Tie::Peer)
}

/// What was said in the selected group and the filter lets through, newest first, and whether it was not read yet.
pub(super) fn posts(model: &Model) -> Vec<(&PostView, bool)> {
    let Some(joined) = selected(model) else {
        return Vec::new();
    };
    let rule = &model.filters.posts;
    let unread = joined.group.unread;
    let posts = joined.posts.iter().rev().enumerate();
    posts
        .map(|(at, post)| (post, at < unread))
        .filter(|(post, is_unread)| {
            let name = group::name(model, &post.author);
            rule.is_empty() || rule.shows(&filter::of_post(post, *is_unread, &name))
        })
        .collect()
}

/// What a post says, on one line: lines are divided by a sign, and empty ones left out.
pub(super) fn text(model: &Model, post: &PostView) -> String {
    let lines = lines(model, post);
    let lines = lines.iter().map(|line| line.trim());
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    lines.join(&format!(" {} ", model.look.glyphs.line_end))
}

/// The same, line by line as it was written.
pub(super) fn lines(model: &Model, post: &PostView) -> Vec<String> {
    let Some(text) = &post.text else {
        return vec!["the key that it is sealed by is not here".to_owned()];
    };
    let line = |line: &str| {
        let line = apart(&printable(&line.replace('\t', "    ")));
        model.words().foreign(&line)
    };
    text.trim_end().lines().map(line).collect()
}

/// Emoji beside each other that others have as one: terminals do not agree on how wide that is, and all behind it would be displaced.
pub(super) fn apart(text: &str) -> String {
    let is_seen = |letter: &char| !matches!(*letter, JOINER | '\u{fe0f}');
    text.chars().filter(is_seen).collect()
}

/// Posts of all groups that were not read.
pub(super) fn unread(data: &Data) -> usize {
    all(data).iter().map(|joined| joined.group.unread).sum()
}

/// How long ago that was, by the node's clock.
pub(super) fn ago(data: &Data, at_ms: u64) -> Duration {
    Duration::from_millis(data.snapshot.at_ms.saturating_sub(at_ms))
}
