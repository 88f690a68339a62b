//! Addresses out of JSON, so that what is left still means the same.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use peerway::{RelayUrl, Ticket};
use serde_json::Value;

use super::super::addresses;

/// Each address becomes another one, always the same, of those that are for documentation.
#[derive(Debug, Default)]
pub(super) struct Mask {
    known: BTreeMap<IpAddr, IpAddr>,
}

impl Mask {
    pub(super) fn apply(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.apply(value)),
            Value::Object(fields) => fields.values_mut().for_each(|value| self.apply(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&mut self, text: &str) -> String {
        if let Ok(ticket) = text.parse::<Ticket>() {
            let relays = ticket.relays().iter().map(|relay| self.relay(relay));
            return Ticket::new(ticket.id(), relays.collect(), Vec::new()).to_string();
        }
        if let Ok(relay) = text.parse::<RelayUrl>() {
            return self.relay(&relay).to_string();
        }
        addresses::replace(text, |ip, port| match port {
            Some(port) => SocketAddr::new(self.ip(ip), port).to_string(),
            None => self.ip(ip).to_string(),
        })
    }

    fn relay(&mut self, relay: &RelayUrl) -> RelayUrl {
        let Ok(ip) = relay.host().parse() else {
            return relay.clone();
        };
        let host = self.ip(ip).to_string();
        RelayUrl::new(relay.key(), &host, relay.port()).unwrap_or_else(|_| relay.clone())
    }

    fn ip(&mut self, ip: IpAddr) -> IpAddr {
        let next = self.known.len() as u16 + 1;
        *self.known.entry(ip).or_insert_with(|| match ip {
            IpAddr::V4(_) => {
                let [high, low] = (next % 512).to_be_bytes();
                // There are two networks for documentation of 256 addresses each.
                let net = if high == 0 {
                    [192, 0, 2]
                } else {
                    [198, 51, 100]
                };
                Ipv4Addr::new(net[0], net[1], net[2], low).into()
            }
            IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, next).into(),
        })
    }
}
