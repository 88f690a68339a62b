use std::collections::BTreeMap;

use peerway::{PeerId, SecretKey, services::invite::Invitation};
use proptest::prelude::*;

use super::{super::op::prove, *};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn id(seed: u8) -> PeerId {
    key(seed).id()
}

fn secret(seed: u8) -> Commitment {
    Commitment([seed; 32])
}

fn group() -> Log {
    let founder = key(1);
    let log = Log::found(
        founder.id(),
        "home".to_owned(),
        ([0; 16], secret(0)),
        0,
        |purpose, message| founder.sign(purpose, message),
    );
    log.expect("a group")
}

/// Member `seed` writes.
fn write(log: &mut Log, seed: u8, body: Body) -> Result<Op, OpError> {
    let key = key(seed);
    let at_ms = log.len() as u64 * 1000;
    log.write(key.id(), body, at_ms, |purpose, message| {
        key.sign(purpose, message)
    })
}

fn add(seed: u8, role: Role) -> Body {
    Body::Add {
        member: id(seed),
        role,
    }
}

fn remove(seed: u8) -> Body {
    Body::Remove {
        member: id(seed),
        key: secret(seed),
    }
}

fn role(log: &Log, seed: u8) -> Option<Role> {
    log.state().role(id(seed))
}

/// All ops of both, in both.
fn meet(one: &mut Log, other: &mut Log) {
    let ops = |log: &Log| log.ops().map(|(_, op)| op.clone()).collect::<Vec<_>>();
    let (ours, theirs) = (ops(one), ops(other));
    for (_, taken) in one
        .insert_all(theirs)
        .into_iter()
        .chain(other.insert_all(ours))
    {
        taken.expect("an op of the other's log");
    }
    assert_eq!(one.state(), other.state());
}

fn invite(log: &mut Log, seed: u8, (uses, expires_ms): (u32, u64)) -> Invitation {
    let invitation = Invitation::generate().expect("randomness");
    let body = Body::Invite {
        invite: invitation.key().id(),
        role: Role::Member,
        uses,
        expires_ms,
    };
    write(log, seed, body).expect("an admin's invite");
    invitation
}

fn redeem(log: &Log, invitation: &Invitation, member: u8) -> Body {
    let key = invitation.key();
    Body::Redeem {
        member: id(member),
        invite: key.id(),
        proof: prove(log.group(), id(member), |purpose, message| {
            key.sign(purpose, message)
        }),
    }
}

#[test]
fn an_admin_adds_and_a_member_does_not() {
    let mut log = group();
    write(&mut log, 1, add(2, Role::Admin)).unwrap();
    write(&mut log, 2, add(3, Role::Member)).unwrap();
    assert_eq!(
        write(&mut log, 3, add(4, Role::Member)),
        Err(OpError::NoRight)
    );
    assert_eq!(write(&mut log, 5, Body::Leave), Err(OpError::NoRight));
    assert_eq!(
        [1, 2, 3, 4].map(|seed| role(&log, seed)),
        [
            Some(Role::Founder),
            Some(Role::Admin),
            Some(Role::Member),
            None
        ]
    );
}

#[test]
fn nobody_removes_or_demotes_the_founder_and_nobody_else_becomes_one() {
    let mut log = group();
    write(&mut log, 1, add(2, Role::Admin)).unwrap();
    write(&mut log, 2, remove(1)).unwrap();
    let demote = Body::SetRole {
        member: id(1),
        role: Role::Reader,
    };
    write(&mut log, 2, demote).unwrap();
    assert_eq!(role(&log, 1), Some(Role::Founder));
    assert_eq!(
        write(&mut log, 2, add(3, Role::Founder)),
        Err(OpError::Unsound)
    );
}

#[test]
fn what_a_removed_admin_wrote_meanwhile_is_void_and_what_it_wrote_before_is_not() {
    let mut one = group();
    write(&mut one, 1, add(2, Role::Admin)).unwrap();
    write(&mut one, 2, add(3, Role::Member)).unwrap();
    let mut other = one.clone();
    write(&mut one, 1, remove(2)).unwrap();
    write(&mut other, 2, add(4, Role::Admin)).unwrap();
    write(&mut other, 4, add(5, Role::Member)).unwrap();
    meet(&mut one, &mut other);
    let roles = [2, 3, 4, 5].map(|seed| role(&one, seed));
    assert_eq!(roles, [None, Some(Role::Member), None, None]);
}

#[test]
fn admins_who_remove_each_other_both_go_and_the_founder_brings_one_back() {
    let mut one = group();
    write(&mut one, 1, add(2, Role::Admin)).unwrap();
    write(&mut one, 1, add(3, Role::Admin)).unwrap();
    let mut other = one.clone();
    write(&mut one, 2, remove(3)).unwrap();
    write(&mut other, 3, remove(2)).unwrap();
    meet(&mut one, &mut other);
    assert_eq!([role(&one, 2), role(&one, 3)], [None, None]);
    assert!(
        one.state().needs_rotation,
        "each chose a key that the other was not to get"
    );
    write(&mut one, 1, add(2, Role::Admin)).unwrap();
    write(&mut one, 1, Body::Rotate { key: secret(9) }).unwrap();
    assert_eq!(role(&one, 2), Some(Role::Admin));
    assert!(!one.state().needs_rotation);
}

#[test]
fn a_removed_admin_who_goes_on_in_the_past_undoes_no_work_of_others() {
    let mut log = group();
    write(&mut log, 1, add(2, Role::Admin)).unwrap();
    write(&mut log, 1, add(3, Role::Admin)).unwrap();
    let mut past = log.clone();
    write(&mut log, 1, remove(2)).unwrap();
    write(&mut log, 3, add(4, Role::Member)).unwrap();
    // Long after, as if it had not heard of it.
    let forged = write(&mut past, 2, remove(3)).unwrap();
    log.insert(forged).unwrap();
    assert_eq!(role(&log, 3), None, "both go");
    assert_eq!(role(&log, 4), Some(Role::Member), "whom it let in stays");
    write(&mut log, 1, add(3, Role::Admin)).unwrap();
    let again = write(&mut past, 2, remove(3)).unwrap();
    log.insert(again).unwrap();
    assert_eq!(
        role(&log, 3),
        Some(Role::Admin),
        "what is older than the return undoes none"
    );
}

#[test]
fn an_invite_is_good_so_often_and_so_long_even_at_two_members_at_once() {
    let mut one = group();
    write(&mut one, 1, add(2, Role::Member)).unwrap();
    let once = invite(&mut one, 1, (1, 1_000_000));
    let mut other = one.clone();
    let (third, fourth) = (redeem(&one, &once, 3), redeem(&one, &once, 4));
    write(&mut one, 1, third).unwrap();
    write(&mut other, 2, fourth).unwrap();
    meet(&mut one, &mut other);
    let let_in = [3, 4].map(|seed| role(&one, seed).is_some());
    assert!(
        let_in == [true, false] || let_in == [false, true],
        "one use"
    );
    let late = invite(&mut one, 1, (5, 0));
    let body = redeem(&one, &late, 5);
    write(&mut one, 1, body).unwrap();
    assert_eq!(role(&one, 5), None, "too old");
    let stolen = redeem(&one, &late, 6);
    let Body::Redeem { invite, proof, .. } = stolen else {
        unreachable!()
    };
    let member = id(7);
    let forged = write(
        &mut one,
        1,
        Body::Redeem {
            member,
            invite,
            proof,
        },
    );
    assert_eq!(forged, Err(OpError::Unsound), "a proof is one member's");
}

#[test]
fn who_was_removed_does_not_come_back_by_an_old_invite_but_by_a_new_one() {
    let mut log = group();
    let many = invite(&mut log, 1, (9, 1_000_000));
    let body = redeem(&log, &many, 2);
    write(&mut log, 1, body.clone()).unwrap();
    write(&mut log, 1, remove(2)).unwrap();
    write(&mut log, 1, body).unwrap();
    assert_eq!(role(&log, 2), None);
    let new = invite(&mut log, 1, (1, 1_000_000));
    let body = redeem(&log, &new, 2);
    write(&mut log, 1, body).unwrap();
    assert_eq!(role(&log, 2), Some(Role::Member));
    write(&mut log, 2, Body::Leave).unwrap();
    let body = redeem(&log, &many, 2);
    write(&mut log, 1, body).unwrap();
    assert_eq!(role(&log, 2), Some(Role::Member), "who left may come again");
}

#[test]
fn an_invite_that_was_never_made_is_no_part_of_the_log() {
    let mut log = group();
    write(&mut log, 1, add(2, Role::Member)).unwrap();
    let mut other = log.clone();
    let made = invite(&mut other, 1, (1, 1_000_000));
    let body = redeem(&log, &made, 3);
    let refused = write(&mut log, 2, body.clone());
    assert_eq!(refused, Err(OpError::NoRight), "as far as its author knows");
    write(&mut other, 2, body).unwrap();
}

#[test]
fn who_left_and_was_removed_before_that_was_known_does_not_come_back_by_an_old_invite() {
    let mut log = group();
    write(&mut log, 1, add(2, Role::Member)).unwrap();
    let many = invite(&mut log, 1, (9, 1_000_000));
    let mut other = log.clone();
    write(&mut log, 2, Body::Leave).unwrap();
    let rename = Body::Rename {
        name: "another".to_owned(),
    };
    // So that the removal is the later one.
    write(&mut other, 1, rename).unwrap();
    write(&mut other, 1, remove(2)).unwrap();
    meet(&mut log, &mut other);
    let body = redeem(&log, &many, 2);
    write(&mut log, 1, body).unwrap();
    assert_eq!(role(&log, 2), None);
}

#[test]
fn who_leaves_has_a_new_key_wanted() {
    let mut log = group();
    write(&mut log, 1, add(2, Role::Member)).unwrap();
    write(&mut log, 2, Body::Leave).unwrap();
    assert!(log.state().needs_rotation);
    let epoch = write(&mut log, 1, Body::Rotate { key: secret(5) })
        .unwrap()
        .id();
    assert!(!log.state().needs_rotation);
    assert_eq!(log.state().epoch, epoch);
}

#[test]
fn what_somebody_posted_counts_up_to_its_removal() {
    let mut log = group();
    write(&mut log, 1, add(2, Role::Member)).unwrap();
    write(&mut log, 1, add(3, Role::Reader)).unwrap();
    let removed_ms = log.len() as u64 * 1000;
    write(&mut log, 1, remove(2)).unwrap();
    let may = |seed, at| log.state().may_have_posted(id(seed), at);
    assert!(may(1, u64::MAX) && may(2, removed_ms));
    assert!(!may(2, removed_ms + 1) && !may(3, 0) && !may(4, 0));
}

#[test]
fn what_somebody_posted_before_it_became_a_reader_counts_for_good() {
    let mut log = group();
    let reader = Body::SetRole {
        member: id(2),
        role: Role::Reader,
    };
    write(&mut log, 1, add(2, Role::Member)).unwrap();
    let demoted_ms = log.len() as u64 * 1000;
    write(&mut log, 1, reader).unwrap();
    let counts =
        |log: &Log| [0, 1].map(|more| log.state().may_have_posted(id(2), demoted_ms + more));
    assert_eq!(counts(&log), [true, false]);
    write(&mut log, 1, remove(2)).unwrap();
    write(&mut log, 1, add(2, Role::Reader)).unwrap();
    assert_eq!(counts(&log), [true, false]);
}

#[test]
fn forged_moved_and_foreign_ops_are_refused() {
    let mut log = group();
    write(&mut log, 1, add(2, Role::Admin)).unwrap();
    let op = write(&mut log.clone(), 2, add(3, Role::Member)).unwrap();
    let forge = |change: fn(&mut Op)| {
        let mut forged = op.clone();
        change(&mut forged);
        log.clone().insert(forged)
    };
    let unsound = Err(OpError::Unsound);
    assert_eq!(forge(|op| op.content.at_ms += 1), unsound);
    assert_eq!(forge(|op| op.content.author = id(1)), unsound);
    assert_eq!(forge(|op| op.content.lamport = u64::MAX), unsound);
    assert_eq!(
        forge(|op| op.content.group = Some(GroupId([9; 32]))),
        unsound
    );
    assert_eq!(forge(|op| op.content.parents.clear()), unsound);
    assert_eq!(
        forge(|op| op.content.parents = vec![OpId([1; 32])]),
        Err(OpError::Unfounded)
    );
    assert_eq!(log.clone().insert(op.clone()), Ok(Inserted::New));
    let founding = log.ops().next().map(|(_, op)| op.clone()).unwrap();
    let moved = Log::begun_by(GroupId([3; 32]), founding);
    assert_eq!(moved.map(|_| ()), unsound.map(|_: Inserted| ()));
    let long = Body::Rename {
        name: "x".repeat(65),
    };
    assert_eq!(write(&mut log, 1, long).map(|_| ()), Err(OpError::Unsound));
}

#[test]
fn who_is_no_admin_cannot_fill_the_log() {
    let mut log = group();
    write(&mut log, 1, add(2, Role::Member)).unwrap();
    let mut forks = log.clone();
    let taken = (0..=MAX_OPS_OF_ONE).map(|at| {
        let key = key(2);
        let mut fork = log.clone();
        let sign = |purpose: &str, message: &[u8]| key.sign(purpose, message);
        let op = fork.write(key.id(), Body::Leave, at as u64, sign).unwrap();
        forks.insert(op).is_ok()
    });
    assert_eq!(taken.filter(|taken| *taken).count(), MAX_OPS_OF_ONE);
}

/// What one of five does, and whose news it hears before.
#[derive(Clone, Copy, Debug)]
struct Act {
    who: u8,
    what: u8,
    whom: u8,
    hears: u8,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = (1..6u8, 0..7u8, 1..8u8, 1..10u8);
    let act = act.prop_map(|(who, what, whom, hears)| Act {
        who,
        what,
        whom,
        hears,
    });
    prop::collection::vec(act, 1..40)
}

/// Each with a log of its own: all ops that were written.
fn live(acts: &[Act]) -> Log {
    let mut start = group();
    for admin in 2..4 {
        write(&mut start, 1, add(admin, Role::Admin)).unwrap();
    }
    let invitation = invite(&mut start, 2, (2, 1_000_000));
    let mut logs: BTreeMap<u8, Log> = (1..6).map(|who| (who, start.clone())).collect();
    for act in acts {
        if let Some(heard) = logs.get(&act.hears).cloned() {
            let mut heard = heard;
            meet(logs.get_mut(&act.who).unwrap(), &mut heard);
        }
        let log = logs.get_mut(&act.who).unwrap();
        let body = match act.what {
            0 => add(act.whom, Role::Admin),
            1 => remove(act.whom),
            2 => Body::SetRole {
                member: id(act.whom),
                role: Role::Reader,
            },
            3 => redeem(log, &invitation, act.whom),
            4 => Body::Leave,
            5 => Body::Rotate {
                key: secret(act.whom),
            },
            _ => Body::Rename {
                name: format!("group {}", act.whom),
            },
        };
        // Who has no right to it does not do it.
        let _ = write(log, act.who, body);
    }
    let mut all = start;
    for log in logs.values_mut() {
        meet(&mut all, log);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_order_of_arrival_gives_one_state(acts in acts(), seed in any::<u64>()) {
        let all = live(&acts);
        let mut rest: Vec<_> = all.ops().map(|(_, op)| op.clone()).collect();
        let mut log = Log::begun_by(all.group(), rest.remove(0)).unwrap();
        let mut seed = seed;
        // Whatever can be taken next, in an order that the seed says.
        while !rest.is_empty() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (seed >> 33) as usize % rest.len();
            let op = rest.swap_remove(at);
            match log.insert(op.clone()) {
                Ok(_) => {}
                Err(OpError::Unfounded) => rest.push(op),
                Err(error) => panic!("{error}"),
            }
        }
        prop_assert_eq!(log.state(), all.state());
        prop_assert_eq!(log.state().role(id(1)), all.state().role(id(1)));
    }

    #[test]
    fn a_group_has_no_more_members_than_were_let_in(acts in acts()) {
        let all = live(&acts);
        let by_invite = all.state().members.len();
        prop_assert!(by_invite <= 7);
        for member in all.state().members.values() {
            prop_assert!(member.role <= Role::Founder);
        }
    }
}
