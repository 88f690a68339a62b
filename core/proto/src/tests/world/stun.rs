//! STUN: what nodes ask relays about their NATs and sockets, and what relays answer.

use std::net::SocketAddr;

use rand::Rng;

use super::{Header, Load, World};
use crate::{
    RelayUrl,
    io::{Input, Pair, Sock},
    nat::{
        self, StunResponse,
        schedule::{Event, Surroundings},
    },
};

/// A relay's two ports for STUN; the first is QUIC's.
const STUN: [u16; 2] = [4433, 3479];

/// A question of a machine for the public address of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    tx: [u8; 12],
    to: Pair,
}

impl World {
    /// Asks what is to be asked about the NAT, and tells the machine what came of it.
    pub(super) fn drive_nat(&mut self, at: usize) {
        let now = self.clock(at);
        let interfaces = self.net.interfaces(at);
        let node = &mut self.nodes[at];
        let relays = &node.relays;
        node.schedule.handle_timeout(now, || Surroundings {
            local: interfaces.iter().map(|local| local.ip).collect(),
            relays: relays.trusted_with_nat(),
        });
        while let Some(event) = self.nodes[at].schedule.poll_event() {
            match event {
                Event::CloseSockets => self.nodes[at].close(nat::FIRST_SOCKET, nat::SOCKETS),
                Event::Complete => self.nodes[at].measured += 1,
                Event::Forgotten => {}
                Event::Report(report) => self.feed(at, Input::Nat(report)),
            }
        }
        while let Some(request) = self.nodes[at].schedule.poll_transmit() {
            if request.to.sock != Sock::MAIN {
                self.nodes[at].open(request.to.sock, 1);
            }
            let ask = Load::Ask {
                tx: request.tx,
                change_port: request.change_port,
            };
            self.send(at, request.to.sock, request.to.addr, 64, ask);
        }
    }

    /// Asks a relay where it sees one of a node's sockets.
    pub(super) fn sample_mapping(&mut self, at: usize, sock: Sock, url: &RelayUrl) {
        let relay = self.nodes[at].relays.get(url);
        let Some(addr) = relay.and_then(|relay| relay.addr) else {
            return;
        };
        let (tx, to) = (self.rng.random(), Pair { sock, addr });
        self.nodes[at].samples.push(Sample { tx, to });
        self.ask_stun(at, to, tx);
    }

    pub(super) fn ask_stun(&mut self, at: usize, to: Pair, tx: [u8; 12]) {
        let change_port = false;
        self.send(at, to.sock, to.addr, 64, Load::Ask { tx, change_port });
    }

    /// A question is at a relay's STUN port: answered from there, or from the other one.
    pub(super) fn answer(&mut self, relay: usize, asked: &Header, load: Load) {
        let Load::Ask { tx, change_port } = load else {
            return;
        };
        let Some(position) = STUN.iter().position(|port| *port == asked.to.port()) else {
            return;
        };
        if !self.relays[relay].up {
            return;
        }
        let by = |position: usize| SocketAddr::new(asked.to.ip(), STUN[position]);
        let from = by(if change_port { 1 - position } else { position });
        let answer = Load::Answer {
            tx,
            mapped: asked.from,
            other: by(1 - position),
        };
        let header = Header {
            from,
            to: asked.from,
            ttl: 64,
        };
        self.beyond(None, super::net::Place::Core, header, answer);
    }

    pub(super) fn on_answer(&mut self, at: usize, from: Pair, load: Load) {
        let Load::Answer { tx, mapped, other } = load else {
            return;
        };
        let (now, node) = (self.clock(at), &mut self.nodes[at]);
        if from.sock == Sock::MAIN
            && let Some(relay) = node.relays.on_stun(now, from.addr, tx)
        {
            let addr = mapped;
            return self.feed(at, Input::AlsoObserved { relay, addr });
        }
        let asked = Sample { tx, to: from };
        if let Some(position) = node.samples.iter().position(|sample| *sample == asked) {
            node.samples.remove(position);
            let (sock, addr) = (from.sock, mapped);
            return self.feed(at, Input::Sampled { sock, addr });
        }
        let response = StunResponse {
            from,
            tx,
            mapped,
            other_address: Some(other),
        };
        node.schedule.on_stun(now, &response);
        self.drive_nat(at);
    }
}
