//! `peerway ticket`: what to hand to the other side. Needs no running node.

use peerway::{PeerId, Ticket};
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use serde::Serialize;

use super::{
    args::{Globals, TicketArgs},
    failure::Failure,
    out,
    state::StateDir,
    up,
};

pub(super) fn run(globals: &Globals, args: &TicketArgs) -> Result<(), Failure> {
    let id = StateDir::open(globals)?.id()?;
    let ticket = Ticket::new(id, globals.relays.clone(), Vec::new());
    if let Some(hint) = up::reach(&ticket) {
        out::hint(hint);
    }
    if globals.json {
        out::json(&Line { id, ticket })?;
    } else {
        if args.qr {
            out::text(qr(&ticket)?)?;
        }
        out::text(ticket.to_string())?;
    }
    Ok(())
}

/// Light on dark, as terminals mostly are; the quiet zone makes it readable on light ones too.
fn qr(ticket: &Ticket) -> Result<String, Failure> {
    let code = QrCode::with_error_correction_level(ticket.to_string(), EcLevel::L)
        .map_err(|_| Failure::TooLongForQr)?;
    Ok(code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build())
}

#[derive(Serialize)]
struct Line {
    id: PeerId,
    ticket: Ticket,
}

#[cfg(test)]
mod tests {
    use peerway::{RelayUrl, SecretKey};

    use super::*;

    #[test]
    fn a_ticket_with_one_relay_makes_a_code_that_fits_a_terminal_of_24_lines() {
        let id = SecretKey::from_seed(&[1; 32]).id();
        let relay = RelayUrl::new(id, "relay.example.org", 4433).unwrap();
        let code = qr(&Ticket::new(id, vec![relay], Vec::new())).unwrap();
        assert_eq!(code.lines().count(), 23);
    }
}
