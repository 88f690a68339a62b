//! Machines that are linked as a test says, in virtual time.

use super::*;
use crate::{
    PathInfo, PathKind, Presence, SecretKey, SwarmSnapshot,
    wire::status::{MAX_LEN, MAX_MEMBERS, MemberTag},
};

const START_MS: u64 = 1_795_945_100_000;
const SECOND: Duration = Duration::from_secs(1);

fn key(number: usize) -> SecretKey {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
    SecretKey::from_seed(&seed)
}

fn id(number: usize) -> PeerId {
    key(number).id()
}

/// Signs as one of the nodes.
fn by(number: usize) -> impl Fn(&str, &[u8]) -> [u8; 64] {
    move |purpose, message| key(number).sign(purpose, message)
}

fn group(name: &str, members: impl IntoIterator<Item = usize>) -> Group {
    Group::new(name, members.into_iter().map(id)).unwrap()
}

/// A direct link, or one by a relay.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    Direct,
    Relayed,
}

struct World {
    machines: Vec<Machine>,
    links: BTreeMap<(usize, usize), Link>,
    serials: BTreeMap<(usize, usize), u64>,
    /// Bytes that were sent so far, of whom to whom.
    sent: BTreeMap<(usize, usize), u64>,
    /// Who takes nothing.
    stalled: BTreeSet<usize>,
    /// How far the clock of each is ahead.
    ahead_ms: BTreeMap<usize, i64>,
    at: Instant,
    unix_ms: u64,
}

impl World {
    /// All members of `home`, linked so.
    fn new(nodes: usize, links: &[(usize, usize)]) -> Self {
        #[expect(clippy::disallowed_methods, reason = "where the virtual time begins")]
        let at = Instant::now();
        let mut world = Self {
            machines: (0..nodes).map(|number| Machine::new(id(number))).collect(),
            links: BTreeMap::new(),
            serials: BTreeMap::new(),
            sent: BTreeMap::new(),
            stalled: BTreeSet::new(),
            ahead_ms: BTreeMap::new(),
            at,
            unix_ms: START_MS,
        };
        for (a, b) in links {
            world.link(*a, *b, Link::Direct);
        }
        for number in 0..nodes {
            world.share(number, vec![group("home", 0..nodes)]);
        }
        world
    }

    fn link(&mut self, a: usize, b: usize, link: Link) {
        self.links.insert((a.min(b), a.max(b)), link);
    }

    fn now(&self, number: usize) -> Now {
        let ahead = self.ahead_ms.get(&number).copied().unwrap_or_default();
        Now {
            at: self.at,
            unix_ms: self.unix_ms.saturating_add_signed(ahead),
        }
    }

    fn share(&mut self, number: usize, groups: Vec<Group>) {
        let now = self.now(number);
        self.machines[number].share(groups, now, by(number));
    }

    fn shown(&self, number: usize) -> SwarmSnapshot {
        self.machines[number].snapshot(self.now(number))
    }

    fn presence(&self, of: usize, at: usize) -> Presence {
        let shown = self.shown(at);
        let members = &shown.groups[0].members;
        members.iter().find(|it| it.id == id(of)).unwrap().presence
    }

    /// Whom a node has heard lately.
    fn fresh(&self, at: usize) -> usize {
        let shown = self.shown(at);
        let members = shown.groups[0].members.iter();
        members.filter(|it| it.presence == Presence::Fresh).count()
    }

    fn node(&self, number: usize) -> NodeSnapshot {
        let mut node = NodeSnapshot::empty(id(number));
        node.at_ms = self.now(number).unix_ms;
        for ((a, b), link) in &self.links {
            if ![*a, *b].contains(&number) {
                continue;
            }
            let other = a + b - number;
            let state = match link {
                Link::Direct => PeerState::Direct,
                Link::Relayed => PeerState::Relayed,
            };
            let mut peer = PeerSnapshot::new(id(other), state);
            peer.path = Some(match link {
                Link::Direct => PathInfo::Direct {
                    remote: "192.0.2.1:5".parse().unwrap(),
                    lan: false,
                    tcp: false,
                },
                Link::Relayed => PathInfo::Relay {
                    remote: crate::RelayUrl::new(id(900), "relay.example.org", 4433).unwrap(),
                },
            });
            peer.connections = 1 + u32::from(self.serials.contains_key(&(number, other)));
            node.peers.push(peer);
        }
        node.peers.sort_by_key(|peer| peer.id);
        node
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            for number in 0..self.machines.len() {
                let (node, now) = (self.node(number), self.now(number));
                let looked = self.machines[number].look(&node, now, by(number));
                for peer in looked.dial {
                    let other = (0..self.machines.len()).find(|it| id(*it) == peer);
                    self.dial(number, other.unwrap());
                }
            }
            self.deliver();
            self.at += SECOND;
            self.unix_ms += 1000;
        }
    }

    fn dial(&mut self, from: usize, to: usize) {
        let ours = self.machines[from].join(id(to), true, self.at);
        let theirs = self.machines[to].join(id(from), false, self.at);
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => {
                self.serials.insert((from, to), ours);
                self.serials.insert((to, from), theirs);
            }
            (Some(ours), None) => {
                self.machines[from].leave(id(to), ours, self.at);
                self.machines[from].dialled(id(to), self.at);
            }
            (None, _) => self.machines[from].dialled(id(to), self.at),
        }
    }

    fn deliver(&mut self) {
        loop {
            let mut moved = false;
            for (from, to) in self.serials.keys().copied().collect::<Vec<_>>() {
                moved |= self.carry(from, to);
            }
            if !moved {
                return;
            }
        }
    }

    /// One status from one to the other, if there is one.
    fn carry(&mut self, from: usize, to: usize) -> bool {
        let Some(serial) = self.serials.get(&(from, to)).copied() else {
            return false;
        };
        if self.stalled.contains(&to) {
            return false;
        }
        match self.machines[from].next(id(to), serial, self.at) {
            Next::Wait(_) => false,
            Next::Send(bytes) => {
                *self.sent.entry((from, to)).or_default() += bytes.len() as u64 + 2;
                let now = self.now(to);
                if self.machines[to].heard(id(from), &bytes, now) == Err(Liar) {
                    self.cut(from, to);
                }
                true
            }
            Next::Close => {
                self.cut(from, to);
                true
            }
        }
    }

    /// Their connection ends.
    fn cut(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            if let Some(serial) = self.serials.remove(&(from, to)) {
                self.machines[from].leave(id(to), serial, self.at);
                self.machines[from].dialled(id(to), self.at);
            }
        }
    }

    /// A status as `author` would make it now, for the others of the group and with a link to each of them.
    fn status(&self, author: usize, nodes: usize) -> Status {
        let mut audience: Vec<MemberTag> = (0..nodes)
            .filter(|it| *it != author)
            .map(|it| id(it).into())
            .collect();
        audience.sort();
        Status {
            group: GroupTag::of("home"),
            author: id(author),
            sent_ms: self.unix_ms,
            leaves: false,
            uptime_s: 1,
            nat: crate::NatReport::default(),
            rx_rate: 0,
            tx_rate: 0,
            program: "9.9.9".to_owned(),
            audience,
            relays: Vec::new(),
            links: Vec::new(),
        }
    }

    /// `from` says this to `to`, whatever it is.
    fn say(&mut self, from: usize, to: usize, bytes: &[u8]) -> Result<Duration, Liar> {
        let now = self.now(to);
        self.machines[to].heard(id(from), bytes, now)
    }
}

/// Everybody with everybody.
fn mesh(nodes: usize) -> Vec<(usize, usize)> {
    (0..nodes)
        .flat_map(|a| (0..a).map(move |b| (a, b)))
        .collect()
}

#[test]
fn who_has_no_link_to_a_member_hears_of_it_from_another_and_sees_why_pairs_are_relayed() {
    let mut world = World::new(4, &[(0, 1), (2, 3)]);
    world.link(1, 2, Link::Relayed);
    world.run(12);
    for number in 0..4 {
        assert_eq!(world.fresh(number), 3, "{number}");
    }
    let shown = world.shown(0);
    let home = &shown.groups[0];
    assert_eq!(home.pairs.len(), 3);
    let relayed: Vec<_> = home.pairs.iter().filter(|pair| pair.is_relayed()).collect();
    let ends = [id(1).min(id(2)), id(1).max(id(2))];
    assert_eq!([relayed[0].a, relayed[0].b], ends);
    let (_, says) = relayed[0].report().unwrap();
    assert_eq!(
        (says.path, says.relay.clone()),
        (PathKind::Relay, Some(id(900).short()))
    );
    let far = home.members.iter().find(|it| it.id == id(3)).unwrap();
    assert_eq!((far.via, far.direct, far.relayed), (Some(id(1)), 1, 0));
}

#[test]
fn nothing_is_said_until_a_group_is_shared() {
    let mut world = World::new(2, &[(0, 1)]);
    world.share(0, Vec::new());
    world.run(60);
    assert!(world.sent.is_empty());
    assert!(world.shown(0).groups.is_empty());
    assert_eq!(world.presence(0, 1), Presence::Silent);
}

#[test]
fn what_is_said_to_one_group_is_not_heard_by_another() {
    let mut world = World::new(3, &[(0, 1), (1, 2)]);
    // The one in the middle is in both; the others do not have each other.
    world.share(0, vec![group("home", [0, 1])]);
    world.share(1, vec![group("home", [0, 1]), group("work", [1, 2])]);
    world.share(2, vec![group("work", [1, 2])]);
    world.run(60);
    let names = |number| {
        let shown = world.shown(number);
        let ids = shown.groups[0].members.iter().map(|it| it.id);
        ids.collect::<BTreeSet<_>>()
    };
    assert_eq!(names(0), [id(0), id(1)].into());
    assert_eq!(names(2), [id(1), id(2)].into());
    assert_eq!((world.fresh(0), world.fresh(2)), (1, 1));
    assert_eq!(world.shown(0).refused, Refused::default());
}

#[test]
fn a_status_is_handed_only_to_those_whom_its_author_has_in_the_group() {
    let mut world = World::new(3, &[(0, 1), (1, 2)]);
    // The others have it, and it does not have them.
    world.share(0, vec![group("home", [0, 1])]);
    world.run(60);
    assert_eq!(world.fresh(1), 2);
    assert_eq!(world.presence(0, 2), Presence::Silent);
    assert_eq!(world.shown(2).refused, Refused::default());
    // Nor is it bothered with whom it would not believe.
    assert_eq!(world.shown(0).refused, Refused::default());
}

#[test]
fn a_stranger_is_not_let_in() {
    let mut world = World::new(3, &[(0, 1)]);
    world.share(0, vec![group("home", [0, 1])]);
    assert_eq!(world.machines[0].join(id(2), false, world.at), None);
    assert!(world.machines[0].join(id(1), false, world.at).is_some());
}

#[test]
fn who_falls_silent_is_stale_and_then_forgotten() {
    let mut world = World::new(3, &[(0, 1), (1, 2)]);
    world.run(20);
    world.links.remove(&(1, 2));
    world.cut(1, 2);
    let silent_at = world.at;
    let mut presences = Vec::new();
    assert!(STALE < 2 * PERIOD);
    while world.presence(2, 0) != Presence::Silent {
        let presence = world.presence(2, 0);
        if presences.last().map(|(last, _)| *last) != Some(presence) {
            presences.push((presence, world.at - silent_at));
        }
        world.run(1);
    }
    let (words, times): (Vec<_>, Vec<_>) = presences.into_iter().unzip();
    assert_eq!(words, [Presence::Fresh, Presence::Stale]);
    assert!(times[1] <= STALE + SECOND, "{times:?}");
    assert!(world.at - silent_at <= LIFE + 2 * SECOND);
    // The others do not go on to hand it to each other.
    world.run(60);
    assert_eq!(world.presence(2, 0), Presence::Silent);
}

#[test]
fn who_ends_without_a_word_is_stale_soon_and_not_fresh_by_what_others_still_hand_on() {
    for is_noticed in [true, false] {
        // All three are linked, so each hears each itself.
        let mut world = World::new(3, &mesh(3));
        world.run(50);
        assert_eq!(world.presence(2, 0), Presence::Fresh);
        world.links.retain(|(_, b), _| *b != 2);
        world.stalled.insert(2);
        if is_noticed {
            world.cut(1, 2);
            world.cut(0, 2);
        }
        world.run(12);
        for at in [0, 1] {
            assert_eq!(world.presence(2, at), Presence::Stale, "{is_noticed}");
            assert_eq!(world.fresh(at), 1);
        }
    }
}

#[test]
fn old_news_of_a_member_whose_link_ended_is_no_sign_of_life() {
    let mut world = World::new(3, &mesh(3));
    world.run(40);
    // Said a moment before the end, and heard by one of the others alone.
    let mut last = world.status(2, 3);
    let to = MemberTag::from(id(0));
    let to = last.audience.iter().position(|tag| *tag == to).unwrap();
    last.links.push(crate::wire::status::StatusLink {
        to: to.try_into().unwrap(),
        path: PathKind::DirectV4,
        shares: true,
        relay: None,
        why: None,
        rtt: None,
        rx_rate: 0,
        tx_rate: 0,
    });
    let last = last.sign(by(2)).unwrap();
    world.say(2, 1, &last).unwrap();
    world.links.retain(|(_, b), _| *b != 2);
    world.run(3);
    world.cut(1, 2);
    world.cut(0, 2);
    world.run(6);
    world.say(1, 0, &last).unwrap();
    world.run(6);
    assert_eq!(world.presence(2, 0), Presence::Stale);
}

#[test]
fn who_ends_a_link_and_is_still_there_is_heard_of_by_others_before_it_is_stale() {
    let mut world = World::new(3, &mesh(3));
    world.run(40);
    world.links.remove(&(0, 2));
    world.cut(0, 2);
    for _ in 0..60 {
        world.run(1);
        assert_eq!(world.presence(2, 0), Presence::Fresh);
    }
}

#[test]
fn who_shares_no_more_says_so_and_may_come_back() {
    let mut world = World::new(3, &[(0, 1), (1, 2)]);
    world.run(20);
    world.share(2, Vec::new());
    world.run(2);
    assert_eq!(world.presence(2, 1), Presence::Left);
    assert_eq!(world.presence(2, 0), Presence::Left);
    // Whoever is linked to it still says so; it says nothing.
    let shown = world.shown(0);
    let with_it = |pair: &&crate::PairSnapshot| [pair.a, pair.b].contains(&id(2));
    let pair = shown.groups[0].pairs.iter().find(with_it).unwrap();
    let says = [(pair.a, &pair.a_says), (pair.b, &pair.b_says)];
    for (who, says) in says {
        assert_eq!(says.is_some(), who == id(1));
    }
    let so_far = world.sent.get(&(1, 2)).copied();
    world.run(30);
    assert_eq!(world.sent.get(&(1, 2)).copied(), so_far);
    world.share(2, vec![group("home", 0..3)]);
    world.run(20);
    assert_eq!((world.fresh(0), world.fresh(2)), (2, 2));
}

#[test]
fn a_forged_status_is_not_believed_and_its_bringer_is_heard_no_more() {
    let mut world = World::new(3, &mesh(3));
    world.run(20);
    let status = world.status(2, 3);
    let forged = status.sign(by(1)).unwrap();
    assert_eq!(world.say(1, 0, &forged), Err(Liar));
    assert_eq!(world.shown(0).refused.forged, 1);
    assert_ne!(version(&world, 2), "9.9.9");
    world.cut(0, 1);
    assert_eq!(world.machines[0].join(id(1), false, world.at), None);
    world.run(3500);
    assert_eq!(world.machines[0].join(id(1), false, world.at), None);
    world.run(200);
    assert_eq!(world.fresh(0), 2);
}

/// What the first node thinks that another runs.
fn version(world: &World, of: usize) -> String {
    let shown = world.shown(0);
    let members = shown.groups[0].members.iter();
    let status = members
        .filter(|it| it.id == id(of))
        .find_map(|it| it.status.clone());
    status.unwrap_or_default().version
}

#[test]
fn what_was_said_before_is_not_believed_again() {
    let mut world = World::new(3, &mesh(3));
    let old = world.status(2, 3).sign(by(2)).unwrap();
    world.run(20);
    assert_eq!(world.say(1, 0, &old), Ok(Duration::ZERO));
    assert_eq!(world.shown(0).refused.replayed, 1);
    assert_ne!(version(&world, 2), "9.9.9");
    // Nor when all else was forgotten: by then it is too old.
    let mut late = World::new(2, &mesh(2));
    late.run(20);
    late.unix_ms += 11 * 60_000;
    let mut status = late.status(1, 2);
    status.sent_ms -= 10 * 60_000 + 1;
    late.machines[0]
        .groups
        .values_mut()
        .for_each(|group| group.known.clear());
    let old = status.sign(by(1)).unwrap();
    assert_eq!(late.say(1, 0, &old), Ok(Duration::ZERO));
    assert_eq!(late.shown(0).refused.old, 1);
    assert_eq!(late.presence(1, 0), Presence::Silent);
}

#[test]
fn a_clock_may_be_two_minutes_ahead_and_no_more() {
    for (ahead, is_believed) in [(119_000, true), (121_000, false)] {
        let mut world = World::new(2, &mesh(2));
        world.ahead_ms.insert(1, ahead);
        world.run(20);
        let expected = if is_believed {
            (Presence::Fresh, 0)
        } else {
            (Presence::Silent, 1)
        };
        let refused = world.shown(0).refused;
        assert_eq!((world.presence(1, 0), refused.future.min(1)), expected);
        // Its own view is not harmed: the other one's clock is merely behind for it.
        assert_eq!(world.presence(0, 1), Presence::Fresh);
    }
}

#[test]
fn what_comes_over_a_connection_that_was_replaced_counts() {
    let mut world = World::new(2, &mesh(2));
    world.run(20);
    let before = world.status(1, 2).sent_ms;
    let now = world.now(0);
    assert!(world.machines[0].join(id(1), true, now.at).is_some());
    let mut last = world.status(1, 2);
    (last.sent_ms, last.leaves) = (before + 1, true);
    last.links.clear();
    assert!(world.say(1, 0, &last.sign(by(1)).unwrap()).is_ok());
    assert_eq!(world.presence(1, 0), Presence::Left);
}

#[test]
fn a_clock_that_was_ahead_and_was_set_right_silences_nobody() {
    let mut world = World::new(2, &mesh(2));
    world.ahead_ms.insert(1, 600_000);
    world.run(20);
    assert_eq!(world.presence(1, 0), Presence::Silent);
    world.ahead_ms.remove(&1);
    world.run(60);
    assert_eq!(world.presence(1, 0), Presence::Fresh);
}

#[test]
fn who_comes_back_to_one_of_two_groups_learns_all_of_it_again() {
    let mut world = World::new(3, &[(0, 1), (1, 2)]);
    let both = || vec![group("home", 0..3), group("work", 0..3)];
    for member in 0..3 {
        world.share(member, both());
    }
    world.run(20);
    world.share(2, vec![group("home", 0..3)]);
    world.run(2);
    world.share(2, both());
    world.run(10);
    let shown = world.shown(2);
    for group in &shown.groups {
        let fresh = (group.members.iter()).filter(|it| it.presence == Presence::Fresh);
        assert_eq!(fresh.count(), 2, "{}", group.name);
    }
}

#[test]
fn what_is_no_status_ends_the_connection() {
    let mut world = World::new(2, &mesh(2));
    world.run(20);
    let good = world.status(1, 2).sign(by(1)).unwrap();
    let long = [&good[..], &vec![0; MAX_LEN]].concat();
    for bad in [&good[1..], &good[..good.len() - 1], &long, b""] {
        let mut world = World::new(2, &mesh(2));
        world.run(20);
        assert_eq!(world.say(1, 0, bad), Err(Liar));
        assert_eq!(world.shown(0).refused.malformed, 1);
        let serial = world.serials[&(0, 1)];
        assert_eq!(world.machines[0].next(id(1), serial, world.at), Next::Close);
    }
}

#[test]
fn what_is_said_of_or_for_others_is_dropped() {
    let mut world = World::new(3, &mesh(3));
    world.run(20);
    let stranger = Status {
        author: id(77),
        ..world.status(1, 3)
    };
    let stranger = stranger.sign(by(77)).unwrap();
    assert!(world.say(1, 0, &stranger).is_ok());
    assert_eq!(world.shown(0).refused.strangers, 1);
    let mut not_for_us = world.status(1, 3);
    not_for_us.sent_ms += 60_000;
    not_for_us.audience.retain(|tag| *tag != id(0).into());
    let not_for_us = not_for_us.sign(by(1)).unwrap();
    assert!(world.say(1, 0, &not_for_us).is_ok());
    let elsewhere = Status {
        group: GroupTag::of("work"),
        ..world.status(1, 3)
    };
    let elsewhere = elsewhere.sign(by(1)).unwrap();
    assert!(world.say(1, 0, &elsewhere).is_ok());
    assert_eq!(world.shown(0).refused.others, 2);
    assert_eq!(world.shown(0).groups[0].members.len(), 3);
    assert_ne!(version(&world, 1), "9.9.9");
}

#[test]
fn who_floods_is_read_at_a_bounded_rate_and_handed_on_at_one_too() {
    let mut world = World::new(3, &[(0, 1), (1, 2)]);
    world.run(60);
    let before = world.sent[&(1, 2)];
    let (start, mut said, mut waited) = (world.at, 0, Duration::ZERO);
    for number in 1..=2000 {
        let mut status = world.status(0, 3);
        status.sent_ms = world.unix_ms + number;
        let bytes = status.sign(by(0)).unwrap();
        said += bytes.len() as u64 + 2;
        waited = world.say(0, 1, &bytes).unwrap();
        world.deliver();
    }
    let read_in = f64::from(READ_RATE) * waited.as_secs_f64() + f64::from(BURST);
    assert!(read_in >= said as f64 * 0.99, "{said} bytes, {waited:?}");
    assert_eq!(world.at, start);
    // One at once, and one when its time comes.
    let once = world.sent[&(1, 2)] - before;
    assert!(once <= 2 * MAX_LEN as u64, "{once}");
}

#[test]
fn who_takes_nothing_holds_up_nobody_and_costs_one_status_for_each_member() {
    let mut world = World::new(4, &mesh(4));
    world.run(10);
    world.stalled.insert(3);
    world.run(300);
    for number in 0..3 {
        assert_eq!(world.fresh(number), 3, "{number}");
        let queue = &world.machines[number].sessions[&id(3)].queue;
        assert!(queue.len() <= 4, "{queue:?}");
    }
    world.stalled.clear();
    world.run(1);
    assert_eq!(world.fresh(3), 3);
}

#[test]
fn what_changes_all_the_time_is_said_every_five_seconds_at_most() {
    let mut world = World::new(2, &mesh(2));
    world.run(60);
    let before = world.sent[&(0, 1)];
    for second in 0..60 {
        let link = if second % 2 == 0 {
            Link::Relayed
        } else {
            Link::Direct
        };
        world.link(0, 1, link);
        world.run(1);
    }
    let statuses = (world.sent[&(0, 1)] - before) / 170;
    assert!((8..=13).contains(&statuses), "{statuses}");
}

#[test]
fn a_link_that_nothing_else_uses_is_let_go() {
    let mut world = World::new(2, &mesh(2));
    world.run(10);
    let serial = world.serials[&(0, 1)];
    let mut node = world.node(0);
    node.peers[0].connections = 1;
    for _ in 0..=ALONE.as_secs() {
        let now = world.now(0);
        world.machines[0].look(&node, now, by(0));
        world.at += SECOND;
    }
    let next = world.machines[0].next(id(1), serial, world.at);
    assert_eq!(next, Next::Close);
}

#[test]
fn two_who_dial_each_other_at_once_keep_one_connection_and_the_same() {
    let mut world = World::new(2, &[]);
    let (small, large) = if id(0) < id(1) { (0, 1) } else { (1, 0) };
    for proper_first in [true, false] {
        let at = world.at;
        let mut join =
            |of: usize, with: usize, is_ours| world.machines[of].join(id(with), is_ours, at);
        let kept = if proper_first {
            let kept = [join(small, large, true), join(large, small, false)];
            assert_eq!(
                [join(small, large, false), join(large, small, true)],
                [None; 2]
            );
            kept
        } else {
            join(small, large, false);
            join(large, small, true);
            [join(small, large, true), join(large, small, false)]
        };
        let kept = kept.map(Option::unwrap);
        assert!(world.machines[small].session(id(large), kept[0]).is_some());
        assert!(world.machines[large].session(id(small), kept[1]).is_some());
        world.machines[small].leave(id(large), kept[0], world.at);
        world.machines[large].leave(id(small), kept[1], world.at);
    }
}

#[test]
fn who_refuses_is_asked_again_ever_more_seldom() {
    let mut world = World::new(2, &[(0, 1)]);
    world.share(1, Vec::new());
    let mut asked = Vec::new();
    for second in 0..3600 {
        let (node, now) = (world.node(0), world.now(0));
        let looked = world.machines[0].look(&node, now, by(0));
        for peer in looked.dial {
            asked.push(second);
            world.machines[0].dialled(peer, world.at);
        }
        world.at += SECOND;
        world.unix_ms += 1000;
    }
    assert!((8..=14).contains(&asked.len()), "{asked:?}");
}

#[test]
fn the_largest_group_has_room() {
    let mut world = World::new(
        MAX_MEMBERS,
        &(1..MAX_MEMBERS).map(|it| (0, it)).collect::<Vec<_>>(),
    );
    world.run(70);
    for number in 0..MAX_MEMBERS {
        assert_eq!(world.fresh(number), MAX_MEMBERS - 1, "{number}");
    }
    assert!(Group::new("home", (0..=MAX_MEMBERS).map(id)).is_err());
}

/// The figures of docs/swarm.md.
#[expect(clippy::print_stdout, reason = "for whoever wants to see it")]
#[test]
fn ten_members_cost_little() {
    let star: Vec<_> = (1..10).map(|it| (0, it)).collect();
    let chain: Vec<_> = (1..10).map(|it| (it - 1, it)).collect();
    for (shape, links, most) in [
        ("mesh", mesh(10), 8_000),
        ("star", star, 6_000),
        ("chain", chain, 6_000),
    ] {
        let mut world = World::new(10, &links);
        world.run(300);
        let before: u64 = world.sent.values().sum();
        world.run(600);
        let sent = world.sent.values().sum::<u64>() - before;
        let each = sent / 10 / 10;
        println!("{shape}: {each} bytes sent by each member in a minute");
        assert!(each <= most, "{shape}: {each}");
        for number in 0..10 {
            assert_eq!(world.fresh(number), 9, "{shape}, {number}");
        }
    }
}
