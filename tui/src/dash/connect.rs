//! The connect dialog: what was pasted is read on every change, and shown before anything is dialled.

use peerway::{PeerId, Ticket};
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
    /// The ticket, and whether it was a bare id.
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

    pub(super) fn reading(&self, own: PeerId) -> Reading {
        let text = self.text();
        if text.is_empty() {
            return Reading::Nothing;
        }
        let (ticket, bare) = if text.to_ascii_uppercase().starts_with("PEERWAY") {
            match text.parse::<Ticket>() {
                Ok(ticket) => (ticket, false),
                Err(error) => return Reading::Wrong(error.to_string()),
            }
        } else {
            match text.parse::<PeerId>() {
                Ok(id) => (id.into(), true),
                Err(error) => {
                    return Reading::Wrong(format!("{error}; a ticket starts with PEERWAY1"));
                }
            }
        };
        if ticket.id == own {
            return Reading::Wrong(
                "this is the node's own ticket; paste the other side's".to_owned(),
            );
        }
        Reading::Ticket { ticket, bare }
    }
}
