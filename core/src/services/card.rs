//! What two who get to know each other tell of themselves: a ticket and a name as texts, each behind its length (u16, big endian).

use crate::{ParseTicketError, RecvStream, SendStream, Ticket};

/// Bytes of a ticket as text.
const MAX_TICKET: usize = 4096;
/// Letters of a name.
const MAX_NAME: usize = 64;

/// What each tells the other of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Card {
    /// By which it can be dialled.
    pub ticket: Ticket,
    /// What it would be called, at most 64 letters of anything: the other's wish, to be made harmless before it is shown.
    pub name: String,
}

impl Card {
    /// A card. What is too long of the name is cut off.
    #[must_use]
    pub fn new(ticket: Ticket, name: &str) -> Self {
        let name = name.chars().take(MAX_NAME).collect();
        Self { ticket, name }
    }
}

pub(super) async fn write(send: &mut SendStream, card: &Card) -> Result<(), String> {
    for text in [&card.ticket.to_string(), &card.name] {
        let length = u16::try_from(text.len());
        let length = length.map_err(|_| "our ticket is too long".to_owned())?;
        for part in [&length.to_be_bytes(), text.as_bytes()] {
            let written = send.write_all(part).await;
            written.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

pub(super) async fn read(recv: &mut RecvStream) -> Result<Card, String> {
    let ticket = read_text(recv, MAX_TICKET).await?;
    let ticket = ticket.parse();
    let ticket = ticket.map_err(|error: ParseTicketError| error.to_string())?;
    let name = read_text(recv, MAX_NAME * 4).await?;
    Ok(Card::new(ticket, &name))
}

async fn read_text(recv: &mut RecvStream, most: usize) -> Result<String, String> {
    let mut length = [0; 2];
    let read = recv.read_exact(&mut length).await;
    read.map_err(|error| error.to_string())?;
    let length = usize::from(u16::from_be_bytes(length));
    if length > most {
        return Err("the other side says too much".to_owned());
    }
    let mut text = vec![0; length];
    let read = recv.read_exact(&mut text).await;
    read.map_err(|error| error.to_string())?;
    String::from_utf8(text).map_err(|error| error.to_string())
}
