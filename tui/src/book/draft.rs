//! Changes of the book that leave everything else in its file as it was written.

use std::collections::BTreeSet;

use peerway::Ticket;
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value, value};

use super::{
    Admin, Book, Name, Trust, is_bare,
    text::{self, ADMIN, GROUP, GROUPS, Mistake, NOTE, PEER, PEERS, STATUS, STRANGERS, TRUST},
};
use crate::toml::{self, put};

/// What a book begins with that a command makes.
const HEAD: &str = "\
# Peers by name, for this computer's peerway. To be edited here or by its commands
# add, rename, remove, allow, ask, block and accept; a node that runs follows every change.

# Who is let in that is not in this book: \"allow\", \"ask\" for whom `peerway accept` lets in, or \"block\" for nobody.
strangers = \"allow\"
";

/// A book that is being changed.
#[derive(Debug)]
pub(crate) struct Draft {
    document: DocumentMut,
    book: Book,
}

/// What [`Draft::add`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    New,
    /// The peer had this name already; what is known of it was brought up to date.
    Known,
}

impl Draft {
    pub(crate) fn of(text: &str) -> Result<Self, Mistake> {
        let text = if text.trim().is_empty() { HEAD } else { text };
        let book = text::parse(text)?;
        // Just parsed, so it is TOML.
        let document = text.parse().unwrap_or_default();
        Ok(Self { document, book })
    }

    pub(crate) fn book(&self) -> &Book {
        &self.book
    }

    pub(super) fn text(&self) -> String {
        self.document.to_string()
    }

    /// Gives a peer a name, and a note if one is given.
    pub(crate) fn add(
        &mut self,
        name: &Name,
        ticket: &Ticket,
        note: Option<&str>,
    ) -> Result<Added, EditError> {
        if let Some((other, _)) = self.book.of(ticket.id())
            && other != name
        {
            return Err(EditError::HasName {
                other: other.clone(),
                name: name.clone(),
            });
        }
        let known = self.book.get(name.as_str()).map(|entry| entry.ticket.id());
        if known.is_some_and(|known| known != ticket.id()) {
            return Err(EditError::Taken(name.clone()));
        }
        if known.is_none() {
            let mut table = Table::new();
            table.insert(PEER, value(written(ticket)));
            self.peers()?.insert(name.as_str(), Item::Table(table));
        }
        if known.is_some() && !is_bare(ticket) {
            self.set(name, PEER, &written(ticket))?;
        }
        if let Some(note) = note {
            self.set(name, NOTE, note)?;
        }
        self.reread()?;
        Ok(if known.is_some() {
            Added::Known
        } else {
            Added::New
        })
    }

    /// Has a peer belong to these groups too.
    pub(crate) fn join(&mut self, name: &Name, groups: &[Name]) -> Result<(), EditError> {
        let mut all = self.groups_of(name);
        all.extend(groups.iter().cloned());
        self.set_groups(name, &all)
    }

    /// Has it belong to a group no more.
    pub(crate) fn leave(&mut self, name: &Name, group: &Name) -> Result<(), EditError> {
        let mut all = self.groups_of(name);
        all.remove(group);
        self.set_groups(name, &all)
    }

    fn groups_of(&self, name: &Name) -> BTreeSet<Name> {
        let known = self.book.get(name.as_str());
        known.map(|entry| entry.groups.clone()).unwrap_or_default()
    }

    fn set_groups(&mut self, name: &Name, all: &BTreeSet<Name>) -> Result<(), EditError> {
        if *all != self.groups_of(name) {
            let all = all.iter().map(Name::as_str);
            self.set_value(name, GROUP, Array::from_iter(all).into())?;
            self.reread()?;
        }
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: &Name, to: &Name) -> Result<(), EditError> {
        if self.book.get(to.as_str()).is_some() {
            return Err(EditError::Taken(to.clone()));
        }
        let peers = self.peers()?;
        toml::rename(peers, |key| {
            (key == from.as_str()).then(|| to.as_str().to_owned())
        });
        self.reread()
    }

    pub(crate) fn remove(&mut self, name: &Name) -> Result<(), EditError> {
        self.peers()?;
        toml::remove(&mut self.document, PEERS, name.as_str());
        self.reread()
    }

    /// Trusts a peer so; one that has no name gets one.
    pub(crate) fn trust(&mut self, peer: &Ticket, trust: Trust) -> Result<Name, EditError> {
        let name = self.named(peer)?;
        self.set(&name, TRUST, trust.word())?;
        self.reread()?;
        Ok(name)
    }

    /// Has a peer do so much with this node from afar, or nothing; one that has no name gets one.
    pub(crate) fn admin(&mut self, peer: &Ticket, admin: Option<Admin>) -> Result<Name, EditError> {
        let name = self.named(peer)?;
        if let Some(admin) = admin {
            self.set(&name, ADMIN, admin.word())?;
        } else {
            let entry = self.peers()?.get_mut(name.as_str());
            let entry = entry.and_then(Item::as_table_like_mut);
            entry.ok_or(EditError::Unwritable)?.remove(ADMIN);
        }
        self.reread()?;
        Ok(name)
    }

    fn named(&mut self, peer: &Ticket) -> Result<Name, EditError> {
        if let Some((name, _)) = self.book.of(peer.id()) {
            return Ok(name.clone());
        }
        let name = Name::short(peer.id());
        self.add(&name, peer, None)?;
        Ok(name)
    }

    /// Has the members of a group told how this node is linked, or ends that.
    pub(crate) fn share(&mut self, group: &Name, is_shared: bool) -> Result<(), EditError> {
        let groups = toml::tables(&mut self.document, GROUPS).ok_or(EditError::Unwritable)?;
        let entry = groups.entry(group.as_str());
        let entry = entry.or_insert(Item::Table(Table::new()));
        let entry = entry.as_table_like_mut().ok_or(EditError::Unwritable)?;
        put(entry, STATUS, is_shared.into());
        self.reread()
    }

    /// Trusts those so who are not in the book.
    pub(crate) fn trust_strangers(&mut self, trust: Trust) -> Result<(), EditError> {
        put(self.document.as_table_mut(), STRANGERS, trust.word().into());
        self.reread()
    }

    /// A peer of the book was reached by this ticket. Whether that is news: one without a relay says less than one with.
    pub(crate) fn reached(&mut self, ticket: &Ticket) -> Result<bool, EditError> {
        let Some(name) = news(&self.book, ticket) else {
            return Ok(false);
        };
        self.set(&name, PEER, &written(ticket))?;
        self.reread()?;
        Ok(true)
    }

    fn set(&mut self, name: &Name, key: &str, text: &str) -> Result<(), EditError> {
        self.set_value(name, key, text.into())
    }

    fn set_value(&mut self, name: &Name, key: &str, new: Value) -> Result<(), EditError> {
        let entry = self.peers()?.get_mut(name.as_str());
        let entry = entry.and_then(Item::as_table_like_mut);
        put(entry.ok_or(EditError::Unwritable)?, key, new);
        Ok(())
    }

    fn peers(&mut self) -> Result<&mut dyn TableLike, EditError> {
        toml::tables(&mut self.document, PEERS).ok_or(EditError::Unwritable)
    }

    /// What others will read is what was meant.
    fn reread(&mut self) -> Result<(), EditError> {
        self.book = text::parse(&self.text()).map_err(EditError::Spoilt)?;
        Ok(())
    }
}

/// The name of the peer that this ticket says more or something else of than the book.
pub(super) fn news(book: &Book, ticket: &Ticket) -> Option<Name> {
    let (name, entry) = book.of(ticket.id())?;
    let says_less = ticket.relays().is_empty()
        && (ticket.addrs().is_empty() || !entry.ticket.relays().is_empty());
    // One that was made without a discovery secret is no reason to forget it.
    let discovery = ticket.discovery().or_else(|| entry.ticket.discovery());
    let is_same = entry.ticket == ticket.clone().with_discovery(discovery);
    (!says_less && !is_same).then(|| name.clone())
}

/// A ticket that says nothing else is written as the id.
fn written(ticket: &Ticket) -> String {
    if is_bare(ticket) {
        ticket.id().to_string()
    } else {
        ticket.to_string()
    }
}

/// Why the book was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    #[error(
        "that peer is in the address book already, as {other}: `peerway rename {} {}`",
        other.quoted(),
        name.quoted()
    )]
    HasName { other: Name, name: Name },
    #[error(
        "{} is another peer's name: choose a new one, or `peerway remove {}` first",
        .0,
        .0.quoted()
    )]
    Taken(Name),
    #[error("the address book is written in a way that only an editor can change")]
    Unwritable,
    #[error("the change would spoil the address book ({0}): make it with an editor")]
    Spoilt(Mistake),
}

#[cfg(test)]
mod tests {
    use std::slice;

    use peerway::RelayUrl;

    use super::{super::tests::id, *};

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn draft(text: &str) -> Draft {
        Draft::of(text).unwrap()
    }

    fn ticket(seed: u8) -> Ticket {
        let relay = RelayUrl::new(id(9), "relay.example.org", 4433).unwrap();
        Ticket::new(id(seed), vec![relay], Vec::new())
    }

    /// Written by somebody who likes comments.
    fn by_hand() -> String {
        let (one, two) = (id(1), id(2));
        format!(
            "# Our peers.\n\n# The house.\n[peers.nas] # in the cellar\npeer   = \"{one}\" # old\n\n\
             # The office.\n[peers.\"Anna's laptop\"]\npeer = '{two}'\ntrust = \"allow\" # for now\n# The end.\n"
        )
    }

    #[test]
    fn the_first_peer_makes_a_book_that_says_how_it_is_used() {
        let mut book = draft("");
        assert_eq!(
            book.add(&name("nas"), &ticket(1), Some("x")).unwrap(),
            Added::New
        );
        let text = book.text();
        assert!(text.starts_with("# Peers by name"), "{text}");
        let entry = format!("\n[peers.nas]\npeer = \"{}\"\nnote = \"x\"\n", ticket(1));
        assert!(text.ends_with(&entry), "{text}");
    }

    #[test]
    fn every_change_leaves_comments_and_the_way_of_writing() {
        let mut book = draft(&by_hand());
        book.add(&name("new"), &ticket(3), None).unwrap();
        book.rename(&name("nas"), &name("archive")).unwrap();
        book.trust(&id(2).into(), Trust::Block).unwrap();
        assert!(book.reached(&ticket(1)).unwrap());
        let expected = by_hand()
            .replace("[peers.nas]", "[peers.archive]")
            .replace(&id(1).to_string(), &ticket(1).to_string())
            .replace("\"allow\" # for now", "\"block\" # for now")
            .replace(
                "# The end.\n",
                &format!("\n[peers.new]\npeer = \"{}\"\n# The end.\n", ticket(3)),
            );
        assert_eq!(book.text(), expected);
    }

    #[test]
    fn a_peer_goes_with_its_own_comment_and_nobody_elses() {
        let mut book = draft(&by_hand());
        book.remove(&name("nas")).unwrap();
        let text = book.text();
        assert!(text.starts_with("# Our peers.\n"), "{text}");
        assert!(
            !text.contains("The house") && text.contains("# The office.\n"),
            "{text}"
        );
        book.remove(&name("Anna's laptop")).unwrap();
        let text = book.text();
        assert!(
            text.contains("# Our peers.\n") && text.contains("# The end.\n"),
            "{text}"
        );
        assert!(!text.contains("office"), "{text}");
        assert_eq!(book.book(), &Book::default());
    }

    #[test]
    fn inline_tables_and_dotted_keys_are_changed_as_well() {
        let inline = format!(
            "[peers]\n# first\nnas = {{ peer = \"{}\" }}\nb.peer = \"{}\"\n",
            id(1),
            id(2)
        );
        let mut book = draft(&inline);
        book.rename(&name("nas"), &name("a")).unwrap();
        book.trust(&id(1).into(), Trust::Block).unwrap();
        book.add(&name("c"), &ticket(3), None).unwrap();
        book.remove(&name("b")).unwrap();
        let text = book.text();
        assert!(
            text.starts_with("[peers]\n# first\na = { peer = "),
            "{text}"
        );
        let book = book.book();
        assert_eq!(book.blocked(id(1)), Some(&name("a")));
        assert!(book.get("c").is_some() && book.get("b").is_none());
    }

    #[test]
    fn one_peer_has_one_name_and_one_name_one_peer() {
        let mut book = draft(&by_hand());
        let taken = book.add(&name("nas"), &ticket(3), None).unwrap_err();
        assert!(matches!(taken, EditError::Taken(_)), "{taken}");
        let named = book.add(&name("b"), &ticket(1), None).unwrap_err();
        assert!(
            named.to_string().contains("`peerway rename nas b`"),
            "{named}"
        );
        let taken = book
            .rename(&name("nas"), &name("Anna's laptop"))
            .unwrap_err();
        assert!(matches!(taken, EditError::Taken(_)), "{taken}");
        assert_eq!(book.text(), by_hand());
    }

    #[test]
    fn a_peer_that_is_added_again_is_where_the_new_ticket_says() {
        let mut book = draft(&by_hand());
        assert_eq!(
            book.add(&name("nas"), &ticket(1), None).unwrap(),
            Added::Known
        );
        assert_eq!(book.book().get("nas").unwrap().ticket, ticket(1));
        // An id alone says less than what is known.
        book.add(&name("nas"), &id(1).into(), None).unwrap();
        assert_eq!(book.book().get("nas").unwrap().ticket, ticket(1));
    }

    #[test]
    fn a_stranger_that_is_blocked_gets_the_short_form_of_its_id_for_a_name() {
        let mut book = draft("");
        let name = book.trust(&ticket(4), Trust::Block).unwrap();
        assert_eq!(name.as_str(), id(4).short());
        assert_eq!(book.book().blocked(id(4)), Some(&name));
        book.trust_strangers(Trust::Block).unwrap();
        assert_eq!(book.book().strangers(), Trust::Block);
        assert!(book.text().contains("for nobody.\nstrangers = \"block\"\n"));
    }

    #[test]
    fn who_is_an_admin_is_written_beside_the_peer_and_taken_out_again() {
        let mut book = draft(&by_hand());
        let nas = book.admin(&id(1).into(), Some(Admin::Read)).unwrap();
        assert_eq!(nas, name("nas"));
        assert!(
            book.text().contains("# old\nadmin = \"read\"\n"),
            "{}",
            book.text()
        );
        book.admin(&id(1).into(), Some(Admin::Full)).unwrap();
        assert_eq!(book.book().admin(id(1)), Some(Admin::Full));
        book.admin(&id(1).into(), None).unwrap();
        assert_eq!(book.text(), by_hand());
    }

    #[test]
    fn a_peer_joins_groups_once_each_and_keeps_its_others() {
        let mut book = draft(&by_hand());
        let nas = name("nas");
        book.join(&nas, &[name("home")]).unwrap();
        book.join(&nas, &[name("work"), name("home")]).unwrap();
        let groups = &book.book().get("nas").unwrap().groups;
        assert_eq!(*groups, [name("home"), name("work")].into());
        let text = book.text();
        assert!(text.contains("group = [\"home\", \"work\"]\n"), "{text}");
        book.join(&nas, &[]).unwrap();
        assert_eq!(book.text(), text);
    }

    #[test]
    fn where_a_peer_was_reached_is_noted_unless_it_says_less() {
        let mut book = draft(&by_hand());
        let near = |seed| Ticket::new(id(seed), Vec::new(), vec!["192.0.2.1:5".parse().unwrap()]);
        let news = [
            (near(1), true),
            (ticket(1), true),
            (ticket(1), false),
            (near(1), false),
            (id(1).into(), false),
            (ticket(7), false),
        ];
        for (ticket, is_news) in news {
            assert_eq!(book.reached(&ticket).unwrap(), is_news);
        }
    }

    #[test]
    fn members_of_groups_come_and_go_and_what_is_shared_is_chosen() {
        let mut book = draft(&by_hand());
        let before = book.text();
        let home = name("home");
        let (known, _) = book.book().of(id(1)).unwrap();
        let known = known.clone();
        book.join(&known, slice::from_ref(&home)).unwrap();
        assert_eq!(book.book().groups()[&home].len(), 1);
        assert!(!book.book().shares(&home));
        book.share(&home, true).unwrap();
        assert!(book.book().shares(&home));
        book.share(&home, false).unwrap();
        assert!(!book.book().shares(&home));
        assert!(book.text().contains("[groups.home]\nstatus = false\n"));
        book.leave(&known, &home).unwrap();
        assert!(book.book().get(known.as_str()).unwrap().groups.is_empty());
        let kept: Vec<_> = before
            .lines()
            .filter(|line| line.starts_with('#'))
            .collect();
        assert!(kept.iter().all(|line| book.text().contains(line)));
    }

    #[test]
    fn a_note_of_any_letters_comes_back_as_it_was() {
        let note = "\"\\ \u{1b}[2J\u{202e}\n'''é";
        let mut book = draft("");
        book.add(&name("Ångström's"), &ticket(1), Some(note))
            .unwrap();
        let again = draft(&book.text());
        assert_eq!(again.book().get("Ångström's").unwrap().note, note);
    }
}
