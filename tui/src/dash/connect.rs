//! The connect dialog: what was pasted is read on every change, and shown before anything is dialled.

use std::collections::BTreeMap;

use peerway::{ParseIdError, PeerId, Ticket};
use tui_input::{Input, InputRequest};

/// Longer than any ticket: what goes beyond was pasted by mistake.
const MAX_CHARS: usize = 2000;

#[derive(Debug, Default)]
pub(super) struct Connect {
    input: Input,
    pub(super) progress: Progress,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Progress {
    #[default]
    Typing,
    Dialling(PeerId),
    Failed(String),
}

/// What the text is so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Nothing,
    /// The ticket, and whether it is an id and nothing else.
    Ticket {
        ticket: Ticket,
        bare: bool,
    },
    Wrong(String),
}

impl Connect {
    pub(super) fn text(&self) -> &str {
        self.input.value()
    }

    pub(super) fn cursor(&self) -> usize {
        self.input.cursor()
    }

    pub(super) fn edit(&mut self, request: InputRequest) {
        self.input.handle(request);
        self.progress = Progress::Typing;
    }

    /// Tickets get broken over lines on their way through mail and chat, so white space is left out.
    pub(super) fn insert(&mut self, text: &str) {
        let room = MAX_CHARS.saturating_sub(self.text().chars().count());
        for c in text
            .chars()
            .filter(|c| !c.is_whitespace() && !c.is_control())
            .take(room)
        {
            self.edit(InputRequest::InsertChar(c));
        }
    }

    /// `known` are the peers that the first letters of their ids are enough for, `names` what some are called.
    pub(super) fn reading(
        &self,
        own: PeerId,
        known: &[Ticket],
        names: &BTreeMap<PeerId, String>,
    ) -> Reading {
        let text = self.text();
        if text.is_empty() {
            return Reading::Nothing;
        }
        let read = if text.to_ascii_uppercase().starts_with("PEERWAY") {
            let ticket = text.parse::<Ticket>();
            ticket.map_err(|error| {
                if text.contains('+') {
                    "an invitation is used by `peerway ping` with it, once".to_owned()
                } else {
                    error.to_string()
                }
            })
        } else {
            by_name(text, known, names).map_or_else(|| by_id(text, known), Ok)
        };
        let ticket = match read {
            Ok(ticket) => ticket,
            Err(error) => return Reading::Wrong(error),
        };
        let bare = ticket.relays().is_empty() && ticket.addrs().is_empty();
        if ticket.id() == own {
            return Reading::Wrong(
                "this is the node's own ticket; paste the other side's".to_owned(),
            );
        }
        Reading::Ticket { ticket, bare }
    }
}

/// Who is called so; white space is not typed here.
fn by_name(text: &str, known: &[Ticket], names: &BTreeMap<PeerId, String>) -> Option<Ticket> {
    let spelt = |name: &str| name.chars().filter(|c| !c.is_whitespace()).eq(text.chars());
    let (id, _) = names.iter().find(|(_, name)| spelt(name))?;
    let known = known.iter().find(|known| known.id() == *id);
    Some(known.cloned().unwrap_or_else(|| Ticket::from(*id)))
}

/// Who has this id, or one that begins so.
fn by_id(text: &str, known: &[Ticket]) -> Result<Ticket, String> {
    let error = match text.parse::<PeerId>() {
        Ok(id) => return Ok(id.into()),
        Err(error @ ParseIdError::Length { .. }) if text.len() >= PeerId::SHORT_LEN => error,
        Err(error) => return Err(format!("{error}; a ticket starts with PEERWAY1")),
    };
    let start = text.to_ascii_lowercase();
    let mut meant = known
        .iter()
        .filter(|known| known.id().to_string().starts_with(&start));
    match (meant.next(), meant.count()) {
        (Some(one), 0) => Ok(one.clone()),
        (Some(_), more) => Err(format!(
            "{} known peers have ids that begin so: type more of it",
            more + 1
        )),
        (None, _) => Err(format!("{error}; no known peer's begins so")),
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    fn peer(seed: u8) -> Ticket {
        let id = SecretKey::from_seed(&[seed; 32]).id();
        Ticket::new(id, Vec::new(), vec!["192.0.2.1:5000".parse().unwrap()])
    }

    fn read(text: &str, known: &[Ticket]) -> Reading {
        let mut connect = Connect::default();
        connect.insert(text);
        connect.reading(peer(9).id(), known, &BTreeMap::new())
    }

    #[test]
    fn a_peer_may_be_named_as_the_address_book_does() {
        let names = BTreeMap::from([(peer(1).id(), "Anna's laptop".to_owned())]);
        let mut connect = Connect::default();
        connect.insert("Anna's laptop");
        let reading = connect.reading(peer(9).id(), &[peer(2), peer(1)], &names);
        let ticket = peer(1);
        assert_eq!(
            reading,
            Reading::Ticket {
                ticket,
                bare: false
            }
        );
    }

    #[test]
    fn eight_letters_name_a_known_peer_and_dial_it_where_it_was_reached() {
        let known = [peer(1), peer(2)];
        for text in [known[0].id().short(), known[0].id().short().to_uppercase()] {
            let ticket = known[0].clone();
            assert_eq!(
                read(&text, &known),
                Reading::Ticket {
                    ticket,
                    bare: false
                }
            );
        }
    }

    #[test]
    fn letters_that_name_nobody_or_several_are_refused_with_what_is_missing() {
        let unknown = read(&peer(3).id().short(), &[peer(1)]);
        let Reading::Wrong(said) = unknown else {
            panic!("{unknown:?}");
        };
        assert!(said.contains("52 characters") && said.contains("no known peer"));
        let Reading::Wrong(said) = read(&peer(1).id().short(), &[peer(1), peer(1)]) else {
            panic!("two peers are meant");
        };
        assert!(said.starts_with("2 known peers"), "{said}");
        let Reading::Wrong(said) = read(&peer(1).id().short()[..7], &[peer(1)]) else {
            panic!("seven letters are too few");
        };
        assert!(said.contains("a ticket starts with"), "{said}");
    }
}
