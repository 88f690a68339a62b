//! `peerway ticket`: what to hand to the other side. Needs no running node, but knows more with one.

use std::net::SocketAddr;

use peerway::{Endpoint, PeerId, Ticket};
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use serde::Serialize;

#[cfg(unix)]
use super::attach;
use super::{
    args::{Globals, TicketArgs},
    dht,
    failure::Failure,
    out,
    state::StateDir,
    up,
};

pub(super) async fn run(globals: &Globals, args: &TicketArgs) -> Result<(), Failure> {
    let ticket = shown(globals).await?;
    if globals.json {
        let id = ticket.id();
        out::json(&Record { id, ticket })?;
    } else {
        if args.qr {
            // With its discovery secret it would be too large for a terminal of 24 lines.
            let short = ticket.clone().with_discovery(None);
            out::text(qr(&short.to_string())?)?;
        }
        out::text(ticket.to_string())?;
    }
    Ok(())
}

/// The ticket of the node that runs here or, if none does, of one that is started with the same options.
pub(super) async fn own(globals: &Globals) -> Result<Ticket, Failure> {
    Ok(with_reach(globals).await?.0)
}

/// The same, to be shown: from where it works is said.
pub(super) async fn shown(globals: &Globals) -> Result<Ticket, Failure> {
    let (ticket, reach) = with_reach(globals).await?;
    if let Some(reach) = reach {
        out::hint(reach);
    }
    Ok(ticket)
}

/// And from where it works, if that is not everywhere and no node says so itself.
async fn with_reach(globals: &Globals) -> Result<(Ticket, Option<String>), Failure> {
    #[cfg(unix)]
    if let Some(node) = attach::running(globals).await? {
        return Ok((node.status().await?.ticket, None));
    }
    let state = StateDir::open(globals)?;
    let id = state.id()?;
    let relays = globals.relays.clone();
    let addrs = if relays.is_empty() {
        addresses(globals).await?
    } else {
        Vec::new()
    };
    let seen = Ticket::new(id, relays, addrs);
    let is_fixed = up::has_fixed_port(globals);
    let reach = up::reach(&seen, is_fixed);
    let ticket = if is_fixed {
        seen
    } else {
        // Nobody knows at which port the node will be.
        Ticket::new(id, seen.relays().to_vec(), Vec::new())
    };
    let ticket = ticket.with_discovery(dht::secret(globals, &state)?);
    Ok((ticket, reach))
}

/// Where a node that is started with these options will be, without relays.
async fn addresses(globals: &Globals) -> Result<Vec<SocketAddr>, Failure> {
    let mut builder = Endpoint::builder()
        .port_mapping(false)
        .lan_discovery(false)
        .tcp(false);
    if let Some(bind) = globals.bind {
        // The port itself may be taken by the node.
        builder = builder.bind_addr((bind.ip(), 0).into());
    }
    let endpoint = builder.bind().await?;
    let addrs = endpoint.ticket().addrs().to_vec();
    endpoint.close().await;
    let port = globals.bind.map_or(0, |bind| bind.port());
    let at_port = |addr: SocketAddr| SocketAddr::new(addr.ip(), port);
    Ok(addrs.into_iter().map(at_port).collect())
}

/// Light on dark, as terminals mostly are; the quiet zone makes it readable on light ones too.
pub(super) fn qr(text: &str) -> Result<String, Failure> {
    let code =
        QrCode::with_error_correction_level(text, EcLevel::L).map_err(|_| Failure::TooLongForQr)?;
    Ok(code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build())
}

#[derive(Serialize)]
struct Record {
    id: PeerId,
    ticket: Ticket,
}

#[cfg(test)]
mod tests {
    use peerway::{RelayUrl, SecretKey};

    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_keys_of_the_line_are_documented() {
        let id = SecretKey::from_seed(&[1; 32]).id();
        let ticket = Ticket::from(id);
        assert_keys("ticket", &Record { id, ticket });
    }

    #[test]
    fn a_ticket_with_one_relay_makes_a_code_that_fits_a_terminal_of_24_lines() {
        let id = SecretKey::from_seed(&[1; 32]).id();
        let relay = RelayUrl::new(id, "relay.example.org", 4433).unwrap();
        let code = qr(&Ticket::new(id, vec![relay], Vec::new()).to_string()).unwrap();
        assert_eq!(code.lines().count(), 23);
    }
}
