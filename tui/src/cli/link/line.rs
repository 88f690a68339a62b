//! What `link` prints.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use peerway::{Names as _, PeerId, Ticket};
use serde::Serialize;

use crate::{book::Book, cli::out, linking::Step};

#[derive(Debug, Serialize)]
struct DeviceRecord<'a> {
    event: &'static str,
    device: &'a str,
    v4: Ipv4Addr,
    v6: Option<Ipv6Addr>,
    hints: &'a [String],
    id: PeerId,
    ticket: &'a Ticket,
}

/// Of the node of this ticket.
pub(super) fn print(step: &Step, ticket: &Ticket, book: &Book, json: bool) -> io::Result<()> {
    match step {
        Step::Device {
            device,
            v4,
            v6,
            hints,
        } if json => out::json(&DeviceRecord {
            event: "device",
            device,
            v4: *v4,
            v6: *v6,
            hints,
            id: ticket.id(),
            ticket,
        }),
        Step::Device {
            device,
            v4,
            v6,
            hints,
        } => {
            let v6 = v6.map_or_else(String::new, |v6| format!(" and {v6}"));
            out::text(format!(
                "{device}: this computer is {v4}{v6} for linked peers"
            ))?;
            hints.iter().for_each(out::hint);
            Ok(())
        }
        Step::Link { .. } if json => out::json(step),
        Step::Link { peer, .. } => lines(step, book.peer(peer)).iter().try_for_each(out::text),
        Step::Failed(_) => Ok(()),
    }
}

/// How a link is.
fn lines(step: &Step, name: impl fmt::Display) -> Vec<String> {
    let Step::Link {
        up,
        addresses,
        routes,
        refused,
        trouble,
        ..
    } = step
    else {
        return Vec::new();
    };
    if !up {
        let why = trouble.as_ref().map(|why| format!(": {why}"));
        let why = why.unwrap_or_default();
        return vec![format!("{name}: not linked, trying on{why}")];
    }
    let addresses: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    let mut lines = vec![format!("{name}: linked, at {}", addresses.join(" and "))];
    lines.extend(routes.iter().map(|route| format!("  {route}")));
    lines.extend(refused.iter().map(|refused| format!("  {refused}")));
    lines
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;
    use crate::{
        cli::documented::assert_keys,
        linking::{Refused, Route},
    };

    fn peer() -> PeerId {
        SecretKey::from_seed(&[1; 32]).id()
    }

    fn link(up: bool, trouble: Option<&str>) -> Step {
        Step::Link {
            peer: peer(),
            up,
            addresses: vec![Ipv4Addr::new(100, 64, 1, 2).into()],
            routes: vec![Route {
                net: "192.168.1.0/24".to_owned(),
                seen_as: "100.70.1.0/24".to_owned(),
            }],
            refused: vec![Refused {
                net: "10.0.0.0/8".to_owned(),
                why: "no".to_owned(),
            }],
            trouble: trouble.map(str::to_owned),
        }
    }

    #[test]
    fn the_lines_keep_their_keys() {
        let step = link(true, None);
        assert_keys("link", &step);
        let Step::Link {
            routes, refused, ..
        } = &step
        else {
            panic!("no link");
        };
        assert_keys("link", &routes[0]);
        assert_keys("link", &refused[0]);
        assert_keys(
            "link",
            &DeviceRecord {
                event: "device",
                device: "peerway0",
                v4: Ipv4Addr::LOCALHOST,
                v6: None,
                hints: &[],
                id: peer(),
                ticket: &Ticket::from(peer()),
            },
        );
    }

    #[test]
    fn a_range_that_stands_for_another_is_named() {
        let said = lines(&link(true, None), "nas");
        assert_eq!(said[0], "nas: linked, at 100.64.1.2");
        assert!(said[1].contains("192.168.1.0/24 is reached as 100.70.1.0/24"));
        assert_eq!(said[2], "  10.0.0.0/8 is not reached: no");
        let down = lines(&link(false, Some("nobody there")), "nas");
        assert_eq!(down, ["nas: not linked, trying on: nobody there"]);
    }
}
