//! Whom a relay serves that is not open.

use peerway_proto::InviteToken;

use super::*;

fn token(seed: u8) -> InviteToken {
    InviteToken::from_bytes([seed; 16])
}

fn shown(token: Option<InviteToken>) -> Credentials {
    Credentials {
        token,
        visits: false,
        yields: false,
    }
}

fn visit() -> Credentials {
    Credentials {
        token: None,
        visits: true,
        yields: false,
    }
}

/// A relay that serves key 1 and whom it invites.
fn closed() -> World {
    let mut world = World::new(Limits::default());
    world.server.set_access(Access::new([key(1)], [key(9)]));
    world
}

fn try_with(
    world: &mut World,
    seed: u8,
    credentials: &Credentials,
) -> Result<ClientId, CloseReason> {
    let admitted = world
        .server
        .admit(world.now(), key(seed), route(addr(seed)), credentials);
    world.commands();
    admitted
}

fn invite(world: &mut World, seed: u8, uses: Option<u32>, expires_ms: Option<u64>) -> InviteId {
    let id = InviteId::of(&token(seed));
    let invite = Invite {
        uses_left: uses,
        expires_ms,
    };
    world.server.invite(id, invite).unwrap();
    id
}

#[test]
fn strangers_are_told_so_and_members_are_let_in() {
    let mut world = closed();
    assert!(try_with(&mut world, 1, &shown(None)).is_ok());
    let refused = try_with(&mut world, 2, &shown(None));
    assert_eq!(refused, Err(CloseReason::Forbidden));
    let refused = try_with(&mut world, 2, &shown(Some(token(1))));
    assert_eq!(refused, Err(CloseReason::NotInvited));
    let refused = try_with(&mut world, 9, &visit());
    assert_eq!(refused, Err(CloseReason::Forbidden));
}

#[test]
fn an_invitation_lets_in_as_many_as_it_may_until_it_ends_and_they_stay() {
    let mut world = closed();
    invite(&mut world, 1, Some(1), None);
    assert!(try_with(&mut world, 2, &shown(Some(token(1)))).is_ok());
    assert!(
        try_with(&mut world, 2, &shown(Some(token(1)))).is_ok(),
        "who is in uses none up"
    );
    let late = try_with(&mut world, 3, &shown(Some(token(1))));
    assert_eq!(late, Err(CloseReason::NotInvited));
    assert!(try_with(&mut world, 2, &shown(None)).is_ok());

    invite(&mut world, 2, None, Some(1000));
    assert!(try_with(&mut world, 3, &shown(Some(token(2)))).is_ok());
    world.wait(1000);
    let late = try_with(&mut world, 4, &shown(Some(token(2))));
    assert_eq!(late, Err(CloseReason::NotInvited));
    assert!(try_with(&mut world, 3, &shown(None)).is_ok());
}

#[test]
fn whoever_is_invited_no_more_is_closed_if_that_is_wanted() {
    let mut world = closed();
    let id = invite(&mut world, 1, None, None);
    let [b, c] = [2, 3].map(|seed| try_with(&mut world, seed, &shown(Some(token(1)))).unwrap());
    let forbidden = |client| Done::Close {
        client,
        reason: CloseReason::Forbidden,
    };
    world.server.revoke(id, false);
    assert_eq!(world.commands(), []);
    let late = try_with(&mut world, 4, &shown(Some(token(1))));
    assert_eq!(late, Err(CloseReason::NotInvited));
    assert!(world.server.expel(key(2)));
    assert_eq!(world.commands(), [forbidden(b)]);
    world.server.revoke(id, true);
    assert_eq!(world.commands(), [forbidden(c)]);
    assert_eq!(world.server.invites(), []);
}

#[test]
fn visitors_meet_members_and_nobody_else() {
    let mut world = closed();
    let member = try_with(&mut world, 1, &shown(None)).unwrap();
    let [b, c] = [2, 3].map(|seed| try_with(&mut world, seed, &visit()).unwrap());
    assert_eq!(world.signal(b, 2, 1), deliver(member, 2, 0));
    assert_eq!(world.signal(member, 1, 2), deliver(b, 1, 0));
    assert!(matches!(world.lane(2, channel(1, 2)), Verdict::Forward(_)));
    assert_eq!(world.signal(b, 2, 3), gone(b, 3, GoneReason::Refused));
    assert_eq!(world.lane(2, channel(2, 3)), Verdict::Hold(b));
    world.server.set_access(Access::new([key(3)], []));
    assert_eq!(
        world.commands(),
        [Done::Close {
            client: member,
            reason: CloseReason::Forbidden
        }]
    );
    assert_eq!(world.signal(b, 2, 3), deliver(c, 2, 0));
}

#[test]
fn who_is_a_member_no_more_and_visits_keeps_no_channel_with_another_visitor() {
    let mut world = closed();
    let [a, b] = [1, 2].map(|seed| try_with(&mut world, seed, &visit()).unwrap());
    world.signal(a, 1, 2);
    world.signal(b, 2, 1);
    world.server.set_access(Access::new([key(2)], []));
    assert!(matches!(world.lane(1, channel(1, 2)), Verdict::Forward(_)));
    world.server.set_access(Access::new([key(3)], []));
    assert_eq!(world.commands(), []);
    assert_eq!(world.lane(1, channel(1, 2)), Verdict::Hold(a));
}

#[test]
fn invitations_and_whom_they_let_in_outlive_the_relay() {
    let mut world = closed();
    invite(&mut world, 1, Some(2), None);
    try_with(&mut world, 2, &shown(Some(token(1)))).unwrap();
    let records = world.server.take_records();
    assert_eq!(world.server.take_records().members, []);

    let mut again = closed();
    again.server.restore(again.now(), records);
    assert!(try_with(&mut again, 2, &shown(None)).is_ok());
    assert!(try_with(&mut again, 3, &shown(Some(token(1)))).is_ok());
    let late = try_with(&mut again, 4, &shown(Some(token(1))));
    assert_eq!(late, Err(CloseReason::NotInvited));
}

#[test]
fn who_yields_is_let_in_only_while_nobody_else_holds_the_key() {
    let mut world = World::new(Limits::default());
    let yields = Credentials {
        yields: true,
        ..shown(None)
    };
    let newer = try_with(&mut world, 1, &shown(None)).unwrap();
    let refused = try_with(&mut world, 1, &yields);
    assert_eq!(refused, Err(CloseReason::Replaced));
    assert_eq!(world.server.clients(), 1);
    world.server.unregister(newer);
    let back = try_with(&mut world, 1, &yields).unwrap();
    let again = world.register(1);
    assert_ne!(again, back, "it has no more right to it than before");
    assert_eq!(world.server.clients(), 1);
}
