//! The commands of the address book: `add`, `rename`, `remove`, `allow`, `ask`, `block`, and `peers`, which lists it.

use std::{collections::BTreeMap, time::Duration};

use peerway::{PathInfo, PeerId, PeerSnapshot, PeerState, RelayUrl, Ticket};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

#[cfg(unix)]
use super::attach;
use super::{
    args::{Add, Globals, PeerName, PeersArgs, Remove, Rename, TrustArgs},
    clock::now_ms,
    failure::Failure,
    out,
    peers::{Peers, Renamed},
    state::StateDir,
};
use crate::{
    book::{Added, Admin, Book, Entry, Name, Trust, is_bare},
    dash::{
        columns::{Column, Columns},
        filter::{Facts, Plain, Word},
        format::age,
    },
    invites::Invites,
};

pub(super) fn add(globals: &Globals, args: &Add) -> Result<(), Failure> {
    let state = StateDir::open(globals)?;
    let peers = state.peers();
    let ticket = peers.meant(&args.peer, &peers.book().read()?)?;
    if state.is_own(ticket.id())? {
        return Err(Failure::OwnPeer);
    }
    let (added, book) = peers.book().change(|draft| {
        let added = draft.add(&args.name, &ticket, args.note.as_deref())?;
        draft.join(&args.name, &args.groups)?;
        Ok((added, draft.book().clone()))
    })?;
    let what = match added {
        Added::New => "added",
        Added::Known => "brought up to date:",
    };
    let line = format!("{what} {} ({})", args.name, ticket.id().short());
    print_entry(globals, &book, &args.name, line)?;
    let has_way = book
        .get(args.name.as_str())
        .is_some_and(|it| !is_bare(&it.ticket));
    if !has_way {
        out::hint(
            "an id says nothing of where the peer is: it is looked for at your own relays and on this network",
        );
    }
    Ok(())
}

pub(super) fn rename(globals: &Globals, args: &Rename) -> Result<(), Failure> {
    let peers = StateDir::open(globals)?.peers();
    let old = in_book(&peers, &args.peer)?;
    let Renamed { book, kept } = peers.rename(&old, &args.name)?;
    let new = &args.name;
    match kept {
        Ok(false) => {}
        Ok(true) => out::hint(format!(
            "so do the services that `peerway up` keeps for {new}, which begin anew"
        )),
        Err(error) => out::hint(format!(
            "{error}. What is kept there for {old} means nobody now"
        )),
    }
    print_entry(
        globals,
        &book,
        new,
        format!("{old} is called {new} from now on"),
    )
}

pub(super) fn remove(globals: &Globals, args: &Remove) -> Result<(), Failure> {
    let peers = StateDir::open(globals)?.peers();
    let name = in_book(&peers, &args.peer)?;
    let (before, now) = peers.book().change(|draft| {
        let before = draft.book().clone();
        draft.remove(&name)?;
        Ok((before, draft.book().clone()))
    })?;
    print_entry(globals, &before, &name, format!("removed {name}"))?;
    let was = before.get(name.as_str()).map(|entry| entry.trust);
    if was.is_some_and(|was| was != Trust::Allow) && now.strangers() == Trust::Allow {
        out::hint("it was not let in, and is now, as strangers are");
    }
    Ok(())
}

pub(super) fn trust(globals: &Globals, args: &TrustArgs, trust: Trust) -> Result<(), Failure> {
    let state = StateDir::open(globals)?;
    let peers = state.peers();
    let Some(peer) = &args.peer else {
        let book = peers.book().change(|draft| {
            draft.trust_strangers(trust)?;
            Ok(draft.book().clone())
        })?;
        return print_strangers(globals, &book);
    };
    let ticket = peers.meant(peer, &peers.book().read()?)?;
    if state.is_own(ticket.id())? {
        return Err(Failure::OwnPeer);
    }
    let (name, book) = peers.book().change(|draft| {
        let name = draft.trust(&ticket, trust)?;
        Ok((name, draft.book().clone()))
    })?;
    let line = match trust {
        Trust::Allow => format!("{name} is let in"),
        Trust::Ask => format!(
            "{name} is let in once it is accepted: `peerway accept {}`",
            name.quoted()
        ),
        Trust::Block => format!("{name} is blocked: it gets no answer, and is not dialled"),
    };
    print_entry(globals, &book, &name, line)
}

/// `peerway peers`: those with a name, then the others that the node that runs knows or that were dialled, the latest first.
pub(super) async fn list(globals: &Globals, args: &PeersArgs) -> Result<(), Failure> {
    let state = StateDir::open(globals)?;
    let peers = state.peers();
    let book = peers.book().read()?;
    let states = states(globals).await?;
    let seen = peers.seen().read();
    let mut known = peers.known(&book);
    let linked = states.iter().flatten().map(|(id, _)| *id);
    let invites = state.invites().read().unwrap_or_default();
    known.extend(newcomers(linked, &known, &invites));
    let linked = |id| states.as_ref()?.get(&id);
    let ticket_of = |id| known.iter().find(|known| known.id() == id);
    let mut lines: Vec<Line<'_>> = book
        .entries()
        .map(|(name, entry)| {
            let mut line = Line::of(name, entry);
            line.ticket = ticket_of(line.id).unwrap_or(&entry.ticket);
            line.see(linked(line.id));
            line.seen_at_ms = seen.get(line.id);
            line
        })
        .collect();
    let strangers = known.iter().rev().filter(|it| book.of(it.id()).is_none());
    lines.extend(strangers.map(|ticket| {
        let mut line = Line {
            name: None,
            id: ticket.id(),
            trust: book.strangers().word(),
            admin: None,
            state: None,
            path: None,
            groups: Vec::new(),
            seen_at_ms: None,
            note: "",
            ticket,
        };
        line.see(linked(line.id));
        line
    }));
    let is_anybody = !lines.is_empty();
    if let Some(group) = &args.group {
        lines.retain(|line| line.groups.contains(&group.as_str()));
    }
    if let Some(filter) = &args.filter {
        let plain = Plain::new(book.names());
        lines.retain(|line| filter.shows(&facts(line, linked(line.id), &plain)));
    }
    if globals.json {
        lines.iter().try_for_each(out::json)?;
    } else if lines.is_empty() && is_anybody {
        out::hint("there is nobody of that kind");
    } else if lines.is_empty() {
        out::text("nobody yet: `peerway add NAME TICKET` gives a peer a name")?;
    } else if let Some(columns) = &args.columns {
        let plain = Plain::new(book.names());
        let linked = |id: PeerId| states.as_ref().and_then(|states| states.get(&id));
        let rows = chosen(columns, &lines, linked, &plain);
        out::aligned(&rows).iter().try_for_each(out::text)?;
    } else {
        table(&lines, now_ms()).iter().try_for_each(out::text)?;
    }
    print_strangers(globals, &book)
}

/// Who is linked and was not known, but for those who only show an invitation: they come once more under their own names.
fn newcomers(
    linked: impl Iterator<Item = PeerId>,
    known: &[Ticket],
    invites: &Invites,
) -> Vec<Ticket> {
    let new = linked.filter(|id| known.iter().all(|known| known.id() != *id));
    let new = new.filter(|id| !invites.is_key(*id));
    new.map(Ticket::from).collect()
}

/// What the table of the dashboard says, under its headings; of who is not linked there is the name and the id.
fn chosen<'a>(
    columns: &Columns,
    lines: &[Line<'_>],
    linked: impl Fn(PeerId) -> Option<&'a PeerSnapshot>,
    plain: &Plain,
) -> Vec<Vec<String>> {
    let columns = columns.all();
    let heading = columns.iter().map(|column| column.word().to_uppercase());
    let mut rows = vec![heading.collect()];
    rows.extend(lines.iter().map(|line| {
        let cells = columns.iter().map(|column| {
            let known = linked(line.id).and_then(|peer| plain.cell(*column, peer));
            let known = known.or_else(|| match column {
                Column::Name => Some(line.name.map_or_else(|| line.id.short(), str::to_owned)),
                Column::Id => Some(line.id.short()),
                Column::State
                | Column::Path
                | Column::Rtt
                | Column::Spark
                | Column::Loss
                | Column::Jitter
                | Column::Down
                | Column::Up
                | Column::Total
                | Column::Age
                | Column::Why
                | Column::Version
                | Column::Seen => None,
            });
            known.unwrap_or_else(|| "-".to_owned())
        });
        cells.collect()
    }));
    rows
}

/// How the peers of the node that runs here are linked; none if none runs.
#[cfg(unix)]
async fn states(globals: &Globals) -> Result<Option<BTreeMap<PeerId, PeerSnapshot>>, Failure> {
    let Some(node) = attach::running(globals).await? else {
        return Ok(None);
    };
    let peers = node.status().await?.peers;
    Ok(Some(
        peers.into_iter().map(|peer| (peer.id, peer)).collect(),
    ))
}

#[cfg(not(unix))]
#[expect(clippy::unused_async, reason = "as on Unix")]
async fn states(_: &Globals) -> Result<Option<BTreeMap<PeerId, PeerSnapshot>>, Failure> {
    Ok(None)
}

/// What a filter may ask about a line: what the book says, and the node that runs if it is linked.
fn facts(line: &Line<'_>, linked: Option<&PeerSnapshot>, plain: &Plain) -> Facts {
    let mut facts = linked.map_or_else(Facts::default, |peer| plain.peer(peer));
    if linked.is_none() {
        facts.word(Word::Name, line.name.unwrap_or_default());
        facts.word(Word::Id, &line.id.to_string());
    }
    facts.word(Word::Trust, line.trust);
    facts
}

/// The name of a peer that has one.
fn in_book(peers: &Peers, name: &PeerName) -> Result<Name, Failure> {
    let book = peers.book().read()?;
    let id = peers.meant(name, &book)?.id();
    let (name, _) = book.of(id).ok_or(Failure::NotInBook(id))?;
    Ok(name.clone())
}

pub(super) fn print_entry(
    globals: &Globals,
    book: &Book,
    name: &Name,
    line: String,
) -> Result<(), Failure> {
    match book.get(name.as_str()) {
        Some(entry) if globals.json => out::json(&Line::of(name, entry))?,
        _ => out::text(line)?,
    }
    Ok(())
}

fn print_strangers(globals: &Globals, book: &Book) -> Result<(), Failure> {
    if globals.json {
        let strangers = book.strangers().word();
        return Ok(out::json(&Strangers { strangers })?);
    }
    Ok(out::text(match book.strangers() {
        Trust::Allow => "who is not in the address book is let in",
        Trust::Ask => "who is not in the address book asks: `peerway accept` lists them",
        Trust::Block => "who is not in the address book gets no answer",
    })?)
}

/// Columns as wide as what is in them.
fn table(lines: &[Line<'_>], now_ms: u64) -> Vec<String> {
    let name = |line: &Line<'_>| line.name.map_or_else(|| "-".to_owned(), str::to_owned);
    let width = lines.iter().map(|line| name(line).width()).max();
    let width = width.unwrap_or_default();
    let is_asked = lines.iter().any(|line| line.state.is_some());
    let row = |line: &Line<'_>| {
        let name = name(line);
        let room = " ".repeat(width.saturating_sub(name.width()));
        let (id, way) = (line.id.short(), line.way());
        let state = line
            .state
            .map_or_else(|| "-".to_owned(), |state| state.to_string());
        // Nothing is said where nobody is linked, or no node runs.
        let state = if is_asked {
            format!("  {state:7}")
        } else {
            String::new()
        };
        let trust = format!("{:5}{state}", line.trust);
        // A note may have lines of its own.
        let note = line.note.replace('\n', " ");
        let groups = line.groups.join(", ");
        let admin = line.admin.map(|admin| format!("admin: {admin}"));
        let admin = admin.unwrap_or_default();
        let more = [last_seen(line, now_ms), admin, groups, note];
        let more = more.iter().filter(|text| !text.is_empty());
        let more: String = more.map(|text| format!("  {text}")).collect();
        let row = format!("{name}{room}  {id}  {trust}  {way}{more}");
        row.trim_end().to_owned()
    };
    lines.iter().map(row).collect()
}

/// When it was, if it is not at the moment.
fn last_seen(line: &Line<'_>, now_ms: u64) -> String {
    let is_linked = matches!(
        line.state,
        Some(PeerState::Direct | PeerState::Suspect | PeerState::Relayed)
    );
    match line.seen_at_ms.filter(|_| !is_linked) {
        Some(at_ms) => {
            let ago = Duration::from_millis(now_ms.saturating_sub(at_ms));
            format!("seen {} ago", age(ago))
        }
        None => String::new(),
    }
}

#[derive(Serialize)]
struct Line<'a> {
    name: Option<&'a str>,
    id: PeerId,
    trust: &'static str,
    /// What it may do with this computer's node from afar, `read` or `full`.
    admin: Option<&'static str>,
    /// None if the node that runs here knows nothing of it, or none runs.
    state: Option<PeerState>,
    /// How it is reached at the moment.
    #[serde(skip)]
    path: Option<&'a PathInfo>,
    groups: Vec<&'a str>,
    /// When the node that runs here, or a command, last had a connection with it.
    seen_at_ms: Option<u64>,
    note: &'a str,
    ticket: &'a Ticket,
}

impl<'a> Line<'a> {
    /// Takes over what the node that runs here sees of it.
    fn see(&mut self, linked: Option<&'a PeerSnapshot>) {
        self.state = linked.map(|peer| peer.state);
        self.path = linked.and_then(|peer| peer.path.as_ref());
    }

    /// How it is reached, or else where it is first looked for.
    fn way(&self) -> String {
        let relay = |relay: &RelayUrl| format!("relay {}", relay.place());
        match self.path {
            Some(PathInfo::Direct { remote, .. }) => return remote.to_string(),
            Some(PathInfo::Relay { remote }) => return relay(remote),
            Some(_) | None => {}
        }
        let first = self.ticket.relays().first().map(relay);
        let addr = || self.ticket.addrs().first().map(ToString::to_string);
        first.or_else(addr).unwrap_or_else(|| "id only".to_owned())
    }

    fn of(name: &'a Name, entry: &'a Entry) -> Self {
        Self {
            name: Some(name.as_str()),
            id: entry.ticket.id(),
            trust: entry.trust.word(),
            admin: entry.admin.map(Admin::word),
            state: None,
            path: None,
            groups: entry.groups.iter().map(Name::as_str).collect(),
            seen_at_ms: None,
            note: &entry.note,
            ticket: &entry.ticket,
        }
    }
}

#[derive(Serialize)]
struct Strangers {
    strangers: &'static str,
}

#[cfg(test)]
mod tests {
    use peerway::{RelayUrl, SecretKey};

    use super::{super::documented::assert_keys, *};
    use crate::dash::filter::{About, Filter};

    #[test]
    fn who_shows_an_invitation_is_listed_by_the_name_that_it_comes_with_and_not_by_that_key() {
        let [invitation, guest, known] =
            [1, 2, 3].map(|seed| SecretKey::from_seed(&[seed; 32]).id());
        let mut invites = Invites::default();
        let invite = crate::invites::Invite {
            id: invitation,
            name: None,
            expires_at_ms: 1_000,
            uses: 1,
        };
        assert!(invites.give(invite, 0));
        let linked = [invitation, guest, known].into_iter();
        let new = newcomers(linked, &[known.into()], &invites);
        assert_eq!(new, [Ticket::from(guest)]);
    }

    fn line<'a>(name: Option<&'a str>, ticket: &'a Ticket) -> Line<'a> {
        Line {
            name,
            id: ticket.id(),
            trust: "allow",
            admin: None,
            state: None,
            path: None,
            groups: Vec::new(),
            seen_at_ms: None,
            note: "in the\ncellar",
            ticket,
        }
    }

    #[test]
    fn a_filter_asks_the_book_and_the_node() {
        let ticket = SecretKey::from_seed(&[1; 32]).id().into();
        let nas = line(Some("nas"), &ticket);
        let plain = Plain::new(BTreeMap::new());
        for (text, holds) in [
            ("nas trust=allow", true),
            ("trust=block", false),
            ("path=relay", false),
            ("not state=direct", true),
        ] {
            let filter = Filter::parse(text, About::Peers).unwrap();
            assert_eq!(filter.shows(&facts(&nas, None, &plain)), holds, "{text}");
        }
    }

    #[test]
    fn the_lines_keep_their_keys() {
        let ticket = SecretKey::from_seed(&[1; 32]).id().into();
        for command in [
            "peers", "add", "rename", "remove", "block", "ask", "allow", "admin",
        ] {
            assert_keys(command, &line(Some("nas"), &ticket));
        }
        for command in ["peers", "block", "ask", "allow"] {
            assert_keys(command, &Strangers { strangers: "allow" });
        }
    }

    #[test]
    fn who_is_not_linked_was_seen_a_while_ago() {
        let ticket = SecretKey::from_seed(&[1; 32]).id().into();
        let mut nas = line(Some("nas"), &ticket);
        (nas.seen_at_ms, nas.groups) = (Some(1_000), vec!["home", "work"]);
        nas.admin = Some("read");
        let row = |line: &Line<'_>| table(std::slice::from_ref(line), 61_000).remove(0);
        let told = row(&nas);
        let ago = age(Duration::from_secs(60));
        assert!(
            told.ends_with(&format!(
                "id only  seen {ago} ago  admin: read  home, work  in the cellar"
            )),
            "{told}"
        );
        nas.state = Some(PeerState::Relayed);
        assert!(!row(&nas).contains("seen"));
        let path = PathInfo::Direct {
            remote: ([192, 0, 2, 7], 4433).into(),
            lan: false,
            tcp: false,
        };
        nas.path = Some(&path);
        let told = row(&nas);
        assert!(
            told.contains("192.0.2.7:4433") && !told.contains("id only"),
            "{told}"
        );
    }

    #[test]
    fn chosen_columns_say_of_who_is_linked_what_the_dashboard_does() {
        let id = SecretKey::from_seed(&[1; 32]).id();
        let (linked, other) = (
            Ticket::from(id),
            Ticket::from(SecretKey::from_seed(&[2; 32]).id()),
        );
        let lines = [line(Some("nas"), &linked), line(None, &other)];
        let peer: PeerSnapshot = serde_json::from_value(serde_json::json!({
            "id": id, "state": "relayed", "path": null, "why": null, "state_age_ms": 60_000, "rtt_ms": 38.0, "loss": 0.0,
            "connections": 1, "traffic": {"rx_bytes": 0, "tx_bytes": 0, "rx_rate": 0, "tx_rate": 0},
            "probes_sent": 0, "probes_answered": 0,
        }))
        .unwrap();
        let columns: Columns = "name state rtt spark".parse().unwrap();
        let plain = Plain::new(BTreeMap::from([(id, "nas".to_owned())]));
        let rows = chosen(&columns, &lines, |of| (of == id).then_some(&peer), &plain);
        assert_eq!(rows[0], ["NAME", "STATE", "RTT", "SPARK"]);
        assert_eq!(rows[1], ["nas", "relay", "38 ms", "-"]);
        assert_eq!(rows[2], [other.id().short().as_str(), "-", "-", "-"]);
    }

    #[test]
    fn columns_stand_below_each_other_whatever_the_names_are() {
        let id = SecretKey::from_seed(&[1; 32]).id();
        let relay = RelayUrl::new(id, "relay.example.org", 4433).unwrap();
        let tickets = [Ticket::new(id, vec![relay], Vec::new()), id.into()];
        let lines = [
            line(Some("家のサーバー"), &tickets[0]),
            line(None, &tickets[1]),
        ];
        let short = id.short();
        let mut linked = lines.map(|line| Line { note: "", ..line });
        linked[1].state = Some(PeerState::Direct);
        assert_eq!(
            table(&linked, 0)[1],
            format!("-             {short}  allow  direct   id only")
        );
        let lines = linked.map(|line| Line {
            note: "in the\ncellar",
            state: None,
            ..line
        });
        assert_eq!(
            table(&lines, 0),
            [
                format!(
                    "家のサーバー  {short}  allow  relay relay.example.org:4433  in the cellar"
                ),
                format!("-             {short}  allow  id only  in the cellar"),
            ]
        );
    }
}
