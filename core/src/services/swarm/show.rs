//! What is known, as it is shown.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    GroupSnapshot, LinkReport, MemberSnapshot, MemberStatus, PairSnapshot, PeerId, Presence,
    SwarmSnapshot,
    wire::status::{MemberTag, Status, StatusLink},
};

use super::machine::{ENDED, Known, Machine, Now, STALE, Shared};

impl Machine {
    pub(super) fn snapshot(&self, now: Now) -> SwarmSnapshot {
        let groups = self.groups.values().map(|group| self.show(group, now));
        let mut groups: Vec<_> = groups.collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        let mut snapshot = SwarmSnapshot::default();
        snapshot.at_ms = now.unix_ms;
        snapshot.groups = groups;
        snapshot.refused = self.refused;
        snapshot.sent_bytes = self.sent;
        snapshot.received_bytes = self.received;
        snapshot
    }

    fn show(&self, group: &Shared, now: Now) -> GroupSnapshot {
        let mut here = MemberSnapshot::silent(self.own);
        here.presence = Presence::Here;
        here.age = Some(Duration::ZERO);
        here.status = group.own.as_ref().map(|own| told(&own.status));
        let others = group.others.iter().map(|id| match group.known.get(id) {
            Some(known) => member(*id, known, now),
            None => MemberSnapshot::silent(*id),
        });
        let mut members: Vec<_> = others.chain([here]).collect();
        members.sort_by_key(|member| member.id);
        let holds = |id: PeerId| {
            let place = members.binary_search_by_key(&id, |member| member.id);
            let presence = place.ok().and_then(|place| members.get(place));
            presence
                .is_some_and(|member| matches!(member.presence, Presence::Here | Presence::Fresh))
        };
        let own = group.own.iter().map(|own| &own.status);
        let known = group.known.values().map(|known| &known.status);
        let pairs = pairs(
            own.chain(known).filter(|status| holds(status.author)),
            &members,
        );
        for member in &mut members {
            let of = pairs
                .iter()
                .filter(|pair| [pair.a, pair.b].contains(&member.id));
            for pair in of {
                member.direct += u32::from(pair.is_direct());
                member.relayed += u32::from(pair.is_relayed());
            }
        }
        let mut shown = GroupSnapshot::default();
        shown.name.clone_from(&group.name);
        (shown.members, shown.pairs) = (members, pairs);
        shown
    }
}

fn member(id: PeerId, known: &Known, now: Now) -> MemberSnapshot {
    let age = age(known, now);
    let mut member = MemberSnapshot::silent(id);
    member.age = Some(age);
    member.via = (known.via != id).then_some(known.via);
    member.presence = match known.status.leaves {
        true => Presence::Left,
        false if age > STALE || has_ended(known, now) => Presence::Stale,
        false => Presence::Fresh,
    };
    if !known.status.leaves {
        member.status = Some(told(&known.status));
    }
    member
}

fn has_ended(known: &Known, now: Now) -> bool {
    known
        .ended_at
        .is_some_and(|ended| now.at.saturating_duration_since(ended) >= ENDED)
}

/// Others may hold back what they hand on; who speaks for itself may have a clock that is behind.
fn age(known: &Known, now: Now) -> Duration {
    let since = |then: Instant| now.at.saturating_duration_since(then);
    let heard = since(known.heard_at);
    if known.via == known.status.author {
        return heard;
    }
    heard.max(Duration::from_millis(
        now.unix_ms.saturating_sub(known.status.sent_ms),
    ))
}

fn told(status: &Status) -> MemberStatus {
    let mut told = MemberStatus::default();
    told.version.clone_from(&status.program);
    told.uptime = Duration::from_secs(status.uptime_s.into());
    told.nat = status.nat;
    (told.rx_rate, told.tx_rate) = (status.rx_rate, status.tx_rate);
    told
}

fn pairs<'a>(
    statuses: impl Iterator<Item = &'a Status>,
    members: &[MemberSnapshot],
) -> Vec<PairSnapshot> {
    let ids: BTreeMap<MemberTag, PeerId> = members
        .iter()
        .map(|member| (member.id.into(), member.id))
        .collect();
    let mut pairs = BTreeMap::new();
    for status in statuses {
        for link in &status.links {
            let tag = status.audience.get(usize::from(link.to));
            // Somebody whom we do not know.
            let Some(other) = tag.and_then(|tag| ids.get(tag)) else {
                continue;
            };
            let (a, b) = (status.author.min(*other), status.author.max(*other));
            let pair = pairs
                .entry((a, b))
                .or_insert_with(|| PairSnapshot::new(a, b));
            let says = Some(report(status, link));
            if status.author == a {
                pair.a_says = says;
            } else {
                pair.b_says = says;
            }
        }
    }
    pairs.into_values().collect()
}

fn report(status: &Status, link: &StatusLink) -> LinkReport {
    let relay = link.relay.map(usize::from);
    let relay = relay.and_then(|relay| status.relays.get(relay));
    let mut report = LinkReport::new(link.path);
    report.relay = relay.map(|relay| relay.short());
    report.why = link.why;
    report.rtt = link.rtt;
    (report.rx_rate, report.tx_rate) = (link.rx_rate, link.tx_rate);
    report.shares = link.shares;
    report
}
