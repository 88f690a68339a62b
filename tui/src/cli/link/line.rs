//! What `link` prints.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use peerway::{
    Names as _, PeerId, Ticket,
    services::subnet::{LinkState, Status},
};
use serde::Serialize;

use crate::{book::Book, cli::out};

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

/// The device and this computer's addresses on it.
pub(super) fn device(status: &Status, ticket: &Ticket, json: bool) -> io::Result<()> {
    let Status {
        device,
        v4,
        v6,
        hints,
        ..
    } = status;
    if json {
        return out::json(&DeviceRecord {
            event: "device",
            device,
            v4: *v4,
            v6: *v6,
            hints,
            id: ticket.id(),
            ticket,
        });
    }
    let v6 = v6.map_or_else(String::new, |v6| format!(" and {v6}"));
    out::text(format!(
        "{device}: this computer is {v4}{v6} for linked peers"
    ))?;
    for hint in hints {
        out::hint(hint);
    }
    Ok(())
}

/// How a link is.
#[derive(Debug, Serialize)]
pub(super) struct Record {
    event: &'static str,
    peer: PeerId,
    up: bool,
    addresses: Vec<IpAddr>,
    routes: Vec<RouteRecord>,
    refused: Vec<RefusedRecord>,
    trouble: Option<String>,
}

#[derive(Debug, Serialize)]
struct RouteRecord {
    net: String,
    seen_as: String,
}

#[derive(Debug, Serialize)]
struct RefusedRecord {
    net: String,
    why: String,
}

impl Record {
    pub(super) fn of(peer: PeerId, link: &LinkState) -> Self {
        let routes = link.routes.iter().map(|route| RouteRecord {
            net: route.net.to_string(),
            seen_as: route.seen_as.to_string(),
        });
        let refused = link.refused.iter().map(|(net, why)| RefusedRecord {
            net: net.to_string(),
            why: why.to_string(),
        });
        Self {
            event: "link",
            peer,
            up: link.is_up,
            addresses: link.addresses.clone(),
            routes: routes.collect(),
            refused: refused.collect(),
            trouble: link.trouble.clone(),
        }
    }

    pub(super) fn print(&self, book: &Book, json: bool) -> io::Result<()> {
        if json {
            return out::json(self);
        }
        for line in self.lines(book.peer(&self.peer)) {
            out::text(line)?;
        }
        Ok(())
    }

    fn lines(&self, name: impl fmt::Display) -> Vec<String> {
        if !self.up {
            let why = self.trouble.as_ref().map(|why| format!(": {why}"));
            let why = why.unwrap_or_default();
            return vec![format!("{name}: not linked, trying on{why}")];
        }
        let addresses: Vec<_> = self.addresses.iter().map(IpAddr::to_string).collect();
        let mut lines = vec![format!("{name}: linked, at {}", addresses.join(" and "))];
        lines.extend(self.routes.iter().map(|route| {
            if route.net == route.seen_as {
                format!("  {} is reached", route.net)
            } else {
                format!(
                    "  {} is reached as {}: this side has such addresses too, so each host there has the same place in that range",
                    route.net, route.seen_as
                )
            }
        }));
        lines.extend(
            self.refused
                .iter()
                .map(|refused| format!("  {} is not reached: {}", refused.net, refused.why)),
        );
        lines
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;
    use crate::cli::documented::assert_keys;

    fn record() -> Record {
        Record {
            event: "link",
            peer: SecretKey::from_seed(&[1; 32]).id(),
            up: true,
            addresses: vec![Ipv4Addr::new(100, 64, 1, 2).into()],
            routes: vec![RouteRecord {
                net: "192.168.1.0/24".to_owned(),
                seen_as: "100.70.1.0/24".to_owned(),
            }],
            refused: vec![RefusedRecord {
                net: "10.0.0.0/8".to_owned(),
                why: "no".to_owned(),
            }],
            trouble: None,
        }
    }

    #[test]
    fn the_lines_keep_their_keys() {
        let record = record();
        assert_keys("link", &record);
        assert_keys("link", &record.routes[0]);
        assert_keys("link", &record.refused[0]);
        let ticket = Ticket::from(record.peer);
        assert_keys(
            "link",
            &DeviceRecord {
                event: "device",
                device: "peerway0",
                v4: Ipv4Addr::LOCALHOST,
                v6: None,
                hints: &[],
                id: record.peer,
                ticket: &ticket,
            },
        );
    }

    #[test]
    fn a_range_that_stands_for_another_is_named() {
        let lines = record().lines("nas");
        assert_eq!(lines[0], "nas: linked, at 100.64.1.2");
        assert!(lines[1].contains("192.168.1.0/24 is reached as 100.70.1.0/24"));
        assert_eq!(lines[2], "  10.0.0.0/8 is not reached: no");
        let down = Record {
            up: false,
            trouble: Some("nobody there".to_owned()),
            ..record()
        };
        assert_eq!(
            down.lines("nas"),
            ["nas: not linked, trying on: nobody there"]
        );
    }
}
