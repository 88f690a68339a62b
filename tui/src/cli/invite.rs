//! `peerway invite`: lets somebody in who is not in the address book yet, by a ticket that is good for once. And the other side of it:
//! who dials with such a ticket uses the invitation first.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use peerway::{
    PeerId, Router, Ticket,
    quic::close,
    services::{
        invite::{self, Card, Invitation, InviteError},
        swarm,
    },
};
use peerway_swarm::{groups, search, share};
use serde::Serialize;
use tokio::task::spawn_blocking;

#[cfg(unix)]
use super::attach;
use super::{
    args::{Globals, InviteArgs},
    clock::now_ms,
    failure::Failure,
    node::{Node, Patience, relays_for},
    out,
    state::StateDir,
    ticket,
};
use crate::{
    book::{BookFile, Draft, EditError, Name, Trust},
    dash::format::age,
    invites::{Invite, InviteFile},
    pairing::{free_name, host_name},
};

/// Guests at a time.
const GUESTS: usize = 16;

pub(super) async fn run(globals: &Globals, args: &InviteArgs) -> Result<(), Failure> {
    if args.list {
        list(globals)
    } else if let Some(which) = &args.revoke {
        revoke(globals, which).await
    } else {
        give(globals, args).await
    }
}

/// Makes an invitation and shows it.
async fn give(globals: &Globals, args: &InviteArgs) -> Result<(), Failure> {
    let ticket = ticket::shown(globals).await?;
    let invitation = Invitation::generate()?;
    let invite = Invite {
        id: invitation.key().id(),
        name: args.name.as_ref().map(ToString::to_string),
        expires_at_ms: now_ms().saturating_add(millis(args.expires)),
        uses: args.uses,
    };
    let file = StateDir::open(globals)?.invites();
    if !file.change(|invites| invites.give(invite.clone(), now_ms()))? {
        return Err(Failure::ManyInvites);
    }
    tell_node(globals).await?;
    let text = format!("{ticket}+{}", invitation.reveal().to_ascii_uppercase());
    if globals.json {
        let invitation = Some(&text[..]);
        return Ok(out::json(&Line::of(&invite, invitation))?);
    }
    if args.qr {
        out::text(ticket::qr(&text)?)?;
    }
    out::text(format!("on the other side: peerway ping {text}"))?;
    out::hint(format!(
        "whoever has it comes into the address book, for {}, while the node runs; `peerway invite --revoke {}` takes it back",
        age(args.expires),
        invite.id.short()
    ));
    Ok(())
}

fn list(globals: &Globals) -> Result<(), Failure> {
    let invites = StateDir::open(globals)?.invites().read()?;
    let now_ms = now_ms();
    let mut open = invites.open(now_ms).peekable();
    if open.peek().is_none() && !globals.json {
        return Ok(out::text("no invitation is open")?);
    }
    open.try_for_each(|invite| print(globals, invite, ""))
}

async fn revoke(globals: &Globals, which: &str) -> Result<(), Failure> {
    let file = StateDir::open(globals)?.invites();
    let revoked = file.change(|invites| invites.revoke(which, now_ms()))?;
    if revoked.is_empty() {
        return Err(Failure::NoInvite(which.to_owned()));
    }
    tell_node(globals).await?;
    let mut revoked = revoked.iter();
    revoked.try_for_each(|invite| print(globals, invite, "revoked "))
}

fn print(globals: &Globals, invite: &Invite, what: &str) -> Result<(), Failure> {
    if globals.json {
        return Ok(out::json(&Line::of(invite, None))?);
    }
    let left = Duration::from_millis(invite.expires_at_ms.saturating_sub(now_ms()));
    let (id, uses, left) = (invite.id.short(), invite.uses, age(left));
    let name = invite.name.as_ref();
    let name = name.map_or_else(String::new, |name| format!(", for {name}"));
    let times = if uses == 1 { "once" } else { "times" };
    let uses = if uses == 1 {
        String::new()
    } else {
        format!("{uses} ")
    };
    Ok(out::text(format!(
        "{what}{id}, good {uses}{times} within {left}{name}"
    ))?)
}

#[cfg(unix)]
async fn tell_node(globals: &Globals) -> Result<(), Failure> {
    attach::reread_book(globals).await
}

#[cfg(not(unix))]
#[expect(clippy::unused_async, reason = "as on Unix")]
async fn tell_node(_: &Globals) -> Result<(), Failure> {
    Ok(())
}

/// Has a router hear who was invited, and gives those nothing else.
pub(super) fn host(
    router: Router,
    globals: &Globals,
    node: &Node,
    tell: fn(String),
) -> Result<Router, Failure> {
    let state = StateDir::open(globals)?;
    let desk = Desk {
        invites: state.invites(),
        book: state.peers().book().clone(),
        own: node.endpoint.id(),
        tell,
        told: Arc::default(),
    };
    desk.settle()?;
    let (reread, invited) = (node.book().reread(), node.book().invites());
    let guest = invited.clone();
    let is_guest = move |peer: PeerId| invited.borrow().heard(now_ms()).any(|id| id == peer);
    let book = node.book().watch();
    // Also what the node's access does not know yet: an invitation that ended, and who was just blocked.
    let is_known = move |peer| !is_guest(peer) && book.borrow().trust(peer) == Trust::Allow;
    let (groups, names) = (node.book().groups().cloned(), node.book().watch());
    // Members of groups are no friends for that: they have what the groups need, and what is public.
    let is_of_group = move |peer, alpn: &[u8]| {
        let Some(groups) = &groups else { return false };
        let is_guest = match alpn {
            groups::ALPN | swarm::ALPN => groups.guests().contains(&peer),
            search::ALPN => groups.common(peer).is_some(),
            // Who follows a feed has the links that are posted there.
            share::ALPN => groups.common(peer).is_some() || groups.is_follower(peer),
            _ => false,
        };
        is_guest && names.borrow().blocked(peer).is_none()
    };
    let router = router
        .guard(move |peer, alpn| alpn == invite::ALPN || is_known(peer) || is_of_group(peer, alpn));
    Ok(
        router.accept_up_to(GUESTS, invite::ALPN, move |connection| {
            let (desk, reread, guest) = (desk.clone(), reread.clone(), guest.clone());
            async move {
                if !guest
                    .borrow()
                    .heard(now_ms())
                    .any(|id| id == connection.peer())
                {
                    // A stranger, where all of them are let in.
                    return connection.close(close::NOT_LET_IN, b"no invitation");
                }
                let let_in = async |invitation, card| {
                    let done = spawn_blocking(move || desk.let_in(invitation, &card)).await;
                    done.unwrap_or_else(|error| Err(error.to_string()))
                };
                invite::serve(connection, let_in).await;
                reread.notify_one();
            }
        }),
    )
}

/// Where those come who were invited.
#[derive(Clone, Debug)]
struct Desk {
    invites: InviteFile,
    book: BookFile,
    own: PeerId,
    /// What its owner is to hear.
    tell: fn(String),
    /// Invitations that are good no more and were come with.
    told: Arc<Mutex<BTreeSet<PeerId>>>,
}

impl Desk {
    /// Puts somebody into the book, for one use of the invitation.
    fn let_in(&self, invitation: PeerId, card: &Card) -> Result<(), String> {
        let id = card.ticket.id();
        let ours = |error: &dyn std::error::Error| {
            (self.tell)(format!(
                "somebody who was invited cannot be let in: {error}"
            ));
            "it cannot write down who is let in: its owner is told why".to_owned()
        };
        let known = self.book.read().map_err(|error| ours(&error))?;
        if id == self.own || known.blocked(id).is_some() {
            return Err("it does not let you in".to_owned());
        }
        if known
            .of(id)
            .is_some_and(|(_, entry)| entry.trust == Trust::Allow)
        {
            return Ok(());
        }
        let welcome = |invite: &Invite| self.book.change(|draft| welcome(draft, invite, card));
        let spent = self.invites.spend(invitation, id, now_ms(), welcome);
        let spent = spent.map_err(|error| ours(&error))?;
        let welcomed = spent.ok_or_else(|| self.why_not(invitation))?;
        let name = welcomed.map_err(|error| ours(&error))?;
        (self.tell)(format!(
            "{name} came with an invitation, and is let in from now on"
        ));
        Ok(())
    }

    /// Why an invitation lets nobody in any more, of which the owner is told once.
    fn why_not(&self, invitation: PeerId) -> String {
        let invites = self.invites.read().unwrap_or_default();
        let Some((end, name)) = invites.end(invitation, now_ms()) else {
            return "it is used up, revoked or too old".to_owned();
        };
        let is_news = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.retain(|id| invites.end(*id, now_ms()).is_some());
            told.insert(invitation)
        };
        if is_news {
            let whose = name.map_or_else(String::new, |name| format!(" for {name}"));
            (self.tell)(format!(
                "somebody came with the invitation {}{whose}, which {end}: `peerway invite` makes another one",
                invitation.short()
            ));
        }
        format!("it {end}: ask for another one")
    }

    /// What a node left open that ended while somebody came.
    fn settle(&self) -> Result<(), Failure> {
        let book = self.book.read()?;
        let came = |guest| book.of(guest).is_some() && book.trust(guest) == Trust::Allow;
        Ok(self.invites.settle(came)?)
    }
}

/// By the name that the invitation is for, or the guest's own wish.
fn welcome(draft: &mut Draft, invite: &Invite, card: &Card) -> Result<Name, EditError> {
    let id = card.ticket.id();
    if draft.book().of(id).is_none() {
        let wish = invite.name.as_ref().unwrap_or(&card.name);
        let name = free_name(draft.book(), wish, id);
        draft.add(&name, &card.ticket, None)?;
    }
    draft.trust(&card.ticket, Trust::Allow)
}

/// Uses an invitation that came with a ticket, unless that was done before. One that opens nothing, now or any more, is in nobody's
/// way: why it does not is returned.
pub(super) async fn use_up(
    globals: &Globals,
    peer: &Ticket,
    invitation: &Invitation,
) -> Result<Option<Failure>, Failure> {
    let state = StateDir::open(globals)?;
    let (file, key) = (state.invites(), invitation.key());
    let id = key.id();
    if file.read()?.is_used(id) {
        return Ok(None);
    }
    let ours = Card::new(own_ticket(globals, &state).await?, &host_name());
    let relays = relays_for(globals, peer);
    let builder = globals
        .builder()
        .visits(true)
        .relays(relays)
        .port_mapping(false);
    let node = Node::passing(globals, key, builder).await?;
    let body = async {
        node.settled().await;
        let accepted = invite::accept(&node.endpoint, peer.clone(), &ours);
        node.answer(peer, Patience::within(None), accepted).await
    };
    match node.run(body).await {
        Ok(None) => Err(Failure::Interrupted),
        Ok(Some(())) => {
            file.change(|invites| invites.note_used(id))?;
            Ok(None)
        }
        Err(failure @ Failure::Invite(InviteError::Refused { .. })) => Err(failure),
        Err(failure) => Ok(Some(failure)),
    }
}

/// Of the node that runs here, or else of one with these options.
async fn own_ticket(globals: &Globals, state: &StateDir) -> Result<Ticket, Failure> {
    #[cfg(unix)]
    if let Some(node) = attach::running(globals).await? {
        return Ok(node.status().await?.ticket);
    }
    let relays = globals.relays.clone();
    Ok(Ticket::new(state.id()?, relays, Vec::new()))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Serialize)]
struct Line<'a> {
    /// With the ticket; it is shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    invitation: Option<&'a str>,
    id: PeerId,
    name: Option<&'a str>,
    uses: u32,
    expires_at_ms: u64,
}

impl<'a> Line<'a> {
    fn of(invite: &'a Invite, invitation: Option<&'a str>) -> Self {
        Self {
            invitation,
            id: invite.id,
            name: invite.name.as_deref(),
            uses: invite.uses,
            expires_at_ms: invite.expires_at_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        slice,
    };

    use peerway::SecretKey;
    use tempfile::TempDir;

    use super::{super::documented::assert_keys, *};

    fn ticket(seed: u8) -> Ticket {
        Ticket::from(SecretKey::from_seed(&[seed; 32]).id())
    }

    fn invite(name: Option<&str>, uses: u32) -> Invite {
        Invite {
            id: ticket(9).id(),
            name: name.map(ToOwned::to_owned),
            expires_at_ms: u64::MAX,
            uses,
        }
    }

    fn desk(folder: &TempDir, invite: Invite) -> Desk {
        let desk = Desk {
            invites: InviteFile::in_folder(folder.path()),
            book: BookFile::in_folder(folder.path()),
            own: ticket(8).id(),
            tell: drop,
            told: Arc::default(),
        };
        assert!(desk.invites.change(|open| open.give(invite, 0)).unwrap());
        desk
    }

    #[test]
    fn the_keys_of_the_lines_are_documented() {
        let invite = invite(None, 1);
        assert_keys("invite", &Line::of(&invite, Some("PEERWAY1…")));
    }

    #[test]
    fn each_guest_comes_in_once_by_a_name_of_its_own() {
        let folder = TempDir::new().unwrap();
        let desk = desk(&folder, invite(Some("anna"), 2));
        let card = |seed| Card::new(ticket(seed), "whatever");
        let come = |seed| desk.let_in(ticket(9).id(), &card(seed));
        // An answer that was lost is given again.
        for seed in [1, 1, 2] {
            come(seed).unwrap();
        }
        assert!(come(3).unwrap_err().contains("used up"));
        let book = desk.book.read().unwrap();
        let names = [1, 2].map(|seed| book.of(ticket(seed).id()).unwrap().0.to_string());
        assert_eq!(names, ["anna", "anna-2"]);
        assert!(book.of(ticket(3).id()).is_none());
    }

    #[test]
    fn a_guest_cannot_take_the_name_of_a_group() {
        let folder = TempDir::new().unwrap();
        let desk = desk(&folder, invite(None, 2));
        let [backup, home] = ["backup", "home"].map(|name| name.parse::<Name>().unwrap());
        let set = |draft: &mut Draft| {
            let member = draft.trust(&ticket(1), Trust::Allow)?;
            draft.join(&member, slice::from_ref(&backup))?;
            draft.share(&home, true)
        };
        desk.book.change(set).unwrap();
        for (seed, wish) in [(2, "backup"), (3, "home")] {
            desk.let_in(ticket(9).id(), &Card::new(ticket(seed), wish))
                .unwrap();
            let book = desk.book.read().unwrap();
            let (name, _) = book.of(ticket(seed).id()).unwrap();
            assert_eq!(name.as_str(), format!("{wish}-2"));
            assert!(!book.is_among(ticket(seed).id(), &[backup.clone(), home.clone()]));
        }
    }

    #[test]
    fn whom_the_book_blocks_no_invitation_lets_in_and_who_has_to_ask_is_let_in_by_one() {
        let folder = TempDir::new().unwrap();
        let desk = desk(&folder, invite(None, 5));
        for (seed, trust) in [(1, Trust::Block), (2, Trust::Ask)] {
            let set = |draft: &mut Draft| draft.trust(&ticket(seed), trust);
            desk.book.change(set).unwrap();
        }
        let come = |seed| desk.let_in(ticket(9).id(), &Card::new(ticket(seed), "\u{202e}x"));
        assert!(come(1).is_err() && come(8).is_err(), "nor itself");
        come(2).unwrap();
        come(3).unwrap();
        let book = desk.book.read().unwrap();
        let trusts = [1, 2, 3].map(|seed| book.trust(ticket(seed).id()));
        assert_eq!(trusts, [Trust::Block, Trust::Allow, Trust::Allow]);
        let (name, _) = book.of(ticket(3).id()).unwrap();
        assert_eq!(name.as_str(), ticket(3).id().short(), "its wish is no name");
        let left = desk.invites.read().unwrap();
        assert_eq!(left.open(0).next().unwrap().uses, 3);
    }

    /// A node that ends between its two files is as one that panics there.
    #[test]
    fn a_node_that_ended_while_a_guest_came_gives_the_use_back_at_its_next_start() {
        let folder = TempDir::new().unwrap();
        let desk = desk(&folder, invite(None, 1));
        let open = || desk.invites.read().unwrap().open(0).count();
        let guest = ticket(1);
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let end = |_: &Invite| -> Result<(), ()> { panic!("the node ends") };
            desk.invites.spend(ticket(9).id(), guest.id(), 0, end)
        }));
        assert!(ended.is_err());
        assert_eq!(open(), 0);
        desk.settle().unwrap();
        assert_eq!(open(), 1);
        desk.let_in(ticket(9).id(), &Card::new(guest, "x")).unwrap();
        desk.settle().unwrap();
        assert_eq!(open(), 0);
    }

    #[test]
    fn a_book_that_cannot_be_written_uses_up_no_invitation() {
        let folder = TempDir::new().unwrap();
        let desk = desk(&folder, invite(None, 1));
        std::fs::write(folder.path().join("book.toml"), "nonsense").unwrap();
        let refused = desk.let_in(ticket(9).id(), &Card::new(ticket(1), "x"));
        let said = refused.unwrap_err();
        assert!(!said.contains("book.toml"), "nothing of ours: {said}");
        let left = desk.invites.read().unwrap();
        assert_eq!(left.open(0).next().unwrap().uses, 1);
    }
}
