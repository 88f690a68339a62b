//! The groups whose members tell each other how they are linked, as rows of two tables: members, and pairs of them.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use peerway::{
    GroupSnapshot, LinkReport, MemberSnapshot, PairSnapshot, PathKind, PeerId, Presence,
};

use super::{
    filter,
    look::{Glyphs, Role},
    model::{Data, Model},
    words::Words,
};

/// From then on it is said how old is what is shown: a node tells it every two seconds.
const OLD: Duration = Duration::from_secs(10);

/// A member of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    pub(super) group: &'a GroupSnapshot,
    pub(super) it: &'a MemberSnapshot,
}

/// Two members, and what is said of their link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    pub(super) group: &'a GroupSnapshot,
    pub(super) it: &'a PairSnapshot,
    /// Who says it.
    pub(super) who: PeerId,
    pub(super) says: &'a LinkReport,
}

impl Member<'_> {
    /// How long ago it was heard, by the node's clock of now.
    pub(super) fn heard(&self, data: &Data) -> Option<Duration> {
        Some(self.it.age?.saturating_add(age(data)))
    }
}

impl Pair<'_> {
    pub(super) fn ends(&self) -> [PeerId; 2] {
        [self.who, self.it.other(self.who)]
    }

    /// Why the two are linked like that, in words for others.
    pub(super) fn why(&self, model: &Model) -> String {
        let [here, there] = self.ends().map(|end| name(model, &end));
        let why = self.says.why.map(|why| why.between(&here, &there));
        why.unwrap_or_default()
    }

    /// `relay fra1`, `direct v6`.
    pub(super) fn path(&self, words: &Words<'_>, data: &Data) -> String {
        let Some(tag) = &self.says.relay else {
            return self.says.path.to_string();
        };
        let relays = &data.snapshot.relays;
        let known = relays.iter().find(|relay| relay.url.key().short() == *tag);
        let label = known.map(|relay| words.relay_label(&relay.url));
        format!("{} {}", self.says.path, label.as_ref().unwrap_or(tag))
    }
}

/// What a member is called; this node by its own name.
pub(super) fn name(model: &Model, id: &PeerId) -> String {
    if *id != model.data().snapshot.id {
        model.words().name(id)
    } else if model.title.is_empty() {
        "this node".to_owned()
    } else {
        model.title.clone()
    }
}

/// Whether any group shares its links.
pub(super) fn is_shared(data: &Data) -> bool {
    !data.swarm.groups.is_empty()
}

/// How much older what is known of the groups is than what is known of the node.
fn age(data: &Data) -> Duration {
    Duration::from_millis(data.snapshot.at_ms.saturating_sub(data.swarm.at_ms))
}

/// The same, once it is so much that what is shown may be wrong.
pub(super) fn lag(data: &Data) -> Option<Duration> {
    Some(age(data)).filter(|lag| is_shared(data) && *lag > OLD)
}

/// All members that the filter lets through, group by group.
pub(super) fn members(model: &Model) -> Vec<Member<'_>> {
    let words = model.words();
    let data = model.data();
    let groups = data.swarm.groups.iter();
    let members = groups.flat_map(|group| {
        let members = group.members.iter();
        members.map(move |it| Member { group, it })
    });
    let rule = &model.filters.groups;
    let shown = |member: &Member<'_>| {
        rule.is_empty()
            || rule.shows(&filter::of_member(
                member,
                &name(model, &member.it.id),
                data,
            ))
    };
    let mut members: Vec<_> = members.filter(shown).collect();
    // By name within a group, this node first.
    members.sort_by_cached_key(|member| {
        let id = member.it.id;
        let is_other = id != data.snapshot.id;
        (member.group.name.clone(), is_other, words.name(&id))
    });
    members
}

/// All pairs that the filter lets through, group by group; those that need looking at come first.
pub(super) fn pairs(model: &Model) -> Vec<Pair<'_>> {
    let words = model.words();
    let data = model.data();
    let groups = data.swarm.groups.iter();
    let pairs = groups.flat_map(|group| {
        let pairs = group.pairs.iter();
        pairs.filter_map(move |it| {
            let (who, says) = it.report()?;
            Some(Pair {
                group,
                it,
                who,
                says,
            })
        })
    });
    let rule = &model.filters.groups;
    let shown = |pair: &Pair<'_>| {
        rule.is_empty() || {
            let names = pair.ends().map(|end| name(model, &end));
            rule.shows(&filter::of_pair(pair, names, &words, data))
        }
    };
    let mut pairs: Vec<_> = pairs.filter(shown).collect();
    pairs.sort_by_cached_key(|pair| {
        let names = pair.ends().map(|end| words.name(&end));
        (
            pair.group.name.clone(),
            Reverse(pair.says.path),
            names.concat(),
        )
    });
    pairs
}

/// Members to whom this node has no link, each once, with whether what is known of it holds.
pub(super) fn strangers(model: &Model) -> BTreeMap<PeerId, Presence> {
    let data = model.data();
    let linked: BTreeSet<PeerId> = data.snapshot.peers.iter().map(|peer| peer.id).collect();
    members(model)
        .into_iter()
        .map(|member| (member.it.id, member.it.presence))
        .filter(|(id, _)| *id != data.snapshot.id && !linked.contains(id))
        .collect()
}

/// What of a group is linked, in a few words: `home: 5 members, 2 pairs relayed`.
pub(super) fn summary(group: &GroupSnapshot) -> String {
    let relayed = group.pairs.iter().filter(|pair| pair.is_relayed()).count();
    let pairs = match relayed {
        0 => String::new(),
        1 => ", 1 pair relayed".to_owned(),
        count => format!(", {count} pairs relayed"),
    };
    format!("{}: {} members{pairs}", group.name, group.members.len())
}

pub(super) fn glyph(presence: Presence, glyphs: &Glyphs) -> (&'static str, Role) {
    match presence {
        Presence::Here => (glyphs.center, Role::Accent),
        Presence::Fresh => (glyphs.check, Role::Good),
        Presence::Stale => (glyphs.warning, Role::Warn),
        Presence::Left | Presence::Silent | Presence::Unknown | _ => (glyphs.none, Role::Dim),
    }
}

/// How a pair's path looks.
pub(super) fn path_glyph(path: PathKind, glyphs: &Glyphs) -> (&'static str, Role) {
    match path {
        path if path.is_direct() => (glyphs.direct, Role::Good),
        PathKind::Relay => (glyphs.relay, Role::Warn),
        PathKind::None => (glyphs.unreachable, Role::Bad),
        PathKind::Lan
        | PathKind::DirectV6
        | PathKind::DirectV4
        | PathKind::Tcp
        | PathKind::Unknown
        | _ => (glyphs.idle, Role::Dim),
    }
}
