//! `peerway swarm`: the links of whole groups, as the node that runs here heard of them.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use peerway::{
    GroupSnapshot, LinkReport, MemberSnapshot, Names, NodeSnapshot, PairSnapshot, Refused,
    SwarmSnapshot,
};
use serde::Serialize;
use tokio::time::sleep;

use super::{
    args::{Globals, SwarmArgs},
    attach,
    failure::Failure,
    out,
    state::StateDir,
};
use crate::{
    book::Book,
    dash::{
        format::{age, rate, rtt},
        words::nat_class,
    },
};

const EVERY: Duration = Duration::from_secs(2);

pub(super) async fn run(globals: &Globals, args: &SwarmArgs) -> Result<(), Failure> {
    let node = attach::needed(globals).await?;
    loop {
        let mut swarm = node.swarm().await?;
        if let Some(group) = &args.group {
            swarm.groups.retain(|known| known.name == group.as_str());
            if swarm.groups.is_empty() {
                return Err(Failure::NotShared(group.clone()));
            }
        }
        if globals.json {
            json(&swarm)?;
        } else {
            let book = StateDir::open(globals)?.names();
            let relays = relays(&node.status().await?);
            out::text(text(&swarm, &book, &relays))?;
        }
        if !args.watch {
            return Ok(());
        }
        sleep(EVERY).await;
    }
}

fn json(swarm: &SwarmSnapshot) -> Result<(), Failure> {
    swarm.groups.iter().try_for_each(out::json)?;
    Ok(out::json(&Totals {
        at_ms: swarm.at_ms,
        refused: swarm.refused,
        sent_bytes: swarm.sent_bytes,
        received_bytes: swarm.received_bytes,
    })?)
}

#[derive(Serialize)]
struct Totals {
    at_ms: u64,
    refused: Refused,
    sent_bytes: u64,
    received_bytes: u64,
}

/// Where the relays are that the node knows, by their short names.
fn relays(node: &NodeSnapshot) -> BTreeMap<String, String> {
    let relays = node.relays.iter().map(|relay| &relay.url);
    let named = relays.map(|relay| (relay.key().short(), relay.place()));
    named.collect()
}

fn text(swarm: &SwarmSnapshot, book: &Book, relays: &BTreeMap<String, String>) -> String {
    if swarm.groups.is_empty() {
        return "nothing is shared: `peerway group add NAME PEER…` and `peerway group share NAME on`, here and at the members"
            .to_owned();
    }
    let group = |group: &GroupSnapshot| {
        let mut lines = vec![title(group)];
        lines.extend(out::aligned(&members(group, book)));
        if !group.pairs.is_empty() {
            lines.push(String::new());
            lines.extend(out::aligned(&pairs(group, book, relays)));
        }
        lines.join("\n")
    };
    let groups: Vec<_> = swarm.groups.iter().map(group).collect();
    groups.join("\n\n")
}

fn title(group: &GroupSnapshot) -> String {
    let count = |so: fn(&PairSnapshot) -> bool| group.pairs.iter().filter(|pair| so(pair)).count();
    let counted = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    format!(
        "{}: {}, {} direct, {} relayed",
        group.name,
        counted(group.members.len(), "member"),
        counted(count(PairSnapshot::is_direct), "pair"),
        count(PairSnapshot::is_relayed)
    )
}

fn members(group: &GroupSnapshot, book: &Book) -> Vec<Vec<String>> {
    let head = [
        "NAME", "STATE", "NAT", "VERSION", "DIRECT", "RELAYED", "DOWN", "UP", "HEARD",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(group.members.iter().map(|member| row(member, book)));
    rows
}

fn row(member: &MemberSnapshot, book: &Book) -> Vec<String> {
    let nothing = || "-".to_owned();
    let status = member.status.as_ref();
    let heard = member.age.map(|ago| format!("{} ago", age(ago)));
    let via = member.via.map(|via| format!(" by {}", book.peer(&via)));
    vec![
        book.peer(&member.id),
        member.presence.to_string(),
        status.map_or_else(nothing, |it| nat_class(it.nat).to_owned()),
        status.map_or_else(nothing, |it| it.version.clone()),
        member.direct.to_string(),
        member.relayed.to_string(),
        status.map_or_else(nothing, |it| rate(it.rx_rate)),
        status.map_or_else(nothing, |it| rate(it.tx_rate)),
        heard.map_or_else(nothing, |heard| heard + &via.unwrap_or_default()),
    ]
}

/// Those that need looking at come first.
fn pairs(
    group: &GroupSnapshot,
    book: &Book,
    relays: &BTreeMap<String, String>,
) -> Vec<Vec<String>> {
    let head = ["PAIR", "PATH", "RTT", "WHY"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut pairs: Vec<_> = group
        .pairs
        .iter()
        .filter_map(|pair| Some((pair, pair.report()?)))
        .collect();
    pairs.sort_by_key(|(_, (_, says))| Reverse(says.path));
    for (pair, (who, says)) in pairs {
        let (here, there) = (book.peer(&who), book.peer(&pair.other(who)));
        let why = says.why.map(|why| why.between(&here, &there));
        rows.push(vec![
            format!("{here} - {there}"),
            path(says, relays),
            says.rtt.map_or_else(|| "-".to_owned(), rtt),
            why.unwrap_or_default(),
        ]);
    }
    rows
}

fn path(says: &LinkReport, relays: &BTreeMap<String, String>) -> String {
    match &says.relay {
        Some(relay) => format!("{} {}", says.path, relays.get(relay).unwrap_or(relay)),
        None => says.path.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use peerway::{
        Cause, MemberStatus, NatBehavior, NatReport, PathKind, PeerId, Presence, SecretKey,
    };

    use super::{super::documented::assert_keys, *};

    fn id(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn member(seed: u8, presence: Presence) -> MemberSnapshot {
        let mut member = MemberSnapshot::silent(id(seed));
        member.presence = presence;
        if presence != Presence::Silent {
            let mut status = MemberStatus::default();
            status.version = "0.1.0".to_owned();
            status.rx_rate = 14_000_000;
            status.nat = NatReport {
                mapping: NatBehavior::AddressDependent,
                ..NatReport::default()
            };
            member.status = Some(status);
            member.age = Some(Duration::from_secs(12));
        }
        member
    }

    fn swarm() -> SwarmSnapshot {
        let mut relayed = PairSnapshot::new(id(1), id(2));
        let mut says = LinkReport::new(PathKind::Relay);
        says.relay = Some("q6l5abcd".to_owned());
        says.why = Some(Cause::BothRandom);
        says.rtt = Some(Duration::from_millis(38));
        relayed.b_says = Some(says);
        let mut direct = PairSnapshot::new(id(1), id(3));
        direct.a_says = Some(LinkReport::new(PathKind::DirectV6));
        let mut group = GroupSnapshot::default();
        group.name = "home".to_owned();
        let mut far = member(3, Presence::Fresh);
        far.via = Some(id(2));
        group.members = vec![
            member(1, Presence::Here),
            member(2, Presence::Stale),
            far,
            member(4, Presence::Silent),
        ];
        group.pairs = vec![direct, relayed];
        let mut swarm = SwarmSnapshot::default();
        swarm.groups = vec![group];
        swarm
    }

    #[test]
    fn the_lines_keep_their_keys() {
        assert_keys("swarm", &swarm().groups[0]);
        assert_keys(
            "swarm",
            &Totals {
                at_ms: 0,
                refused: Refused::default(),
                sent_bytes: 0,
                received_bytes: 0,
            },
        );
    }

    #[test]
    fn members_and_their_pairs_stand_in_columns_and_relayed_ones_say_why() {
        let book = Book::default();
        let known = BTreeMap::from([("q6l5abcd".to_owned(), "relay.example.org:4433".to_owned())]);
        let text = text(&swarm(), &book, &known);
        let short = |seed| id(seed).short();
        let (one, two, three, four) = (short(1), short(2), short(3), short(4));
        let expected = format!(
            "\
home: 4 members, 1 pair direct, 1 relayed
NAME      STATE      NAT        VERSION  DIRECT  RELAYED  DOWN       UP     HEARD
{one}  here       symmetric  0.1.0    0       0        14.0 MB/s  0 B/s  12s ago
{two}  stale      symmetric  0.1.0    0       0        14.0 MB/s  0 B/s  12s ago
{three}  fresh      symmetric  0.1.0    0       0        14.0 MB/s  0 B/s  12s ago by {two}
{four}  not heard  -          -        0       0        -          -      -

PAIR                 PATH                          RTT    WHY
{two} - {one}  relay relay.example.org:4433  38 ms  both routers choose random ports
{one} - {three}  direct v6                     -"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn who_shares_nothing_is_told_how() {
        let text = text(
            &SwarmSnapshot::default(),
            &Book::default(),
            &BTreeMap::new(),
        );
        assert!(text.contains("peerway group share"), "{text}");
    }
}
