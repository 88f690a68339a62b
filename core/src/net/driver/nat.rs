//! STUN: what relays say of our NAT and of our sockets. When they are asked about the NAT is for
//! [`Schedule`].

use std::{collections::VecDeque, net::SocketAddr, time::Instant};

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::{Driver, now, unix_ms};
use crate::{
    RelayUrl,
    net::stun,
    proto::{
        io::{Input, Pair, Sock},
        nat::{
            self, StunResponse,
            schedule::{Event, Schedule, Surroundings},
        },
    },
};

/// Samples that may be under way at once; an answer to an older one counts as lost.
const MAX_SAMPLES: usize = 64;

/// What is asked by STUN.
pub(super) struct Nat {
    pub(super) schedule: Schedule,
    /// When the latest measurement was complete, if it still counts.
    pub(super) checked_at_ms: Option<u64>,
    /// Questions of the machine where a relay sees a socket.
    samples: VecDeque<Sample>,
}

/// A STUN request that was sent to a relay for the machine.
struct Sample {
    tx: [u8; 12],
    to: Pair,
}

impl Default for Nat {
    fn default() -> Self {
        Self {
            schedule: Schedule::new(ChaCha20Rng::from_os_rng().random()),
            checked_at_ms: None,
            samples: VecDeque::new(),
        }
    }
}

impl Driver {
    /// Asks what is to be asked about the NAT, and tells the machine what came of it.
    pub(super) fn drive_nat(&mut self, now: Instant) {
        let local = &self.gathering.interfaces.addresses;
        let relays = &self.relays;
        self.nat.schedule.handle_timeout(now, || Surroundings {
            local: local.iter().map(|local| local.ip).collect(),
            relays: relays.trusted_with_nat(),
        });
        while let Some(event) = self.nat.schedule.poll_event() {
            self.dirty = true;
            match event {
                Event::CloseSockets => self.mux.close_sockets(nat::FIRST_SOCKET, nat::SOCKETS),
                Event::Complete => self.nat.checked_at_ms = Some(unix_ms()),
                Event::Forgotten => self.nat.checked_at_ms = None,
                Event::Report(report) => {
                    tracing::debug!(?report, "NAT");
                    self.feed(Input::Nat(report));
                }
            }
        }
        while let Some(request) = self.nat.schedule.poll_transmit() {
            if request.to.sock != Sock::MAIN {
                self.mux.open_sockets(request.to.sock, 1);
            }
            let bytes = stun::binding_request(request.tx, request.change_port);
            self.send_message(request.to, None, &bytes);
        }
    }

    /// Asks a relay where it sees one of our sockets.
    pub(super) fn sample_mapping(&mut self, sock: Sock, relay: &RelayUrl) {
        let Some(addr) = self.relay_addr(relay) else {
            return;
        };
        let (mut tx, to) = ([0; 12], Pair { sock, addr });
        ChaCha20Rng::from_os_rng().fill_bytes(&mut tx);
        let samples = &mut self.nat.samples;
        if samples.len() >= MAX_SAMPLES {
            samples.pop_front();
        }
        samples.push_back(Sample { tx, to });
        self.send_message(to, None, &stun::binding_request(tx, false));
    }

    pub(super) fn on_stun(&mut self, sock: Sock, source: SocketAddr, bytes: &[u8]) {
        let response = match stun::parse_response(bytes) {
            Ok(response) => response,
            Err(error) => return tracing::trace!(%error, "STUN"),
        };
        if sock == Sock::MAIN && self.on_echo(source, &response) {
            return;
        }
        let from = Pair { sock, addr: source };
        let samples = &mut self.nat.samples;
        let asked = |sample: &Sample| sample.tx == response.tx && sample.to == from;
        if let Some(position) = samples.iter().position(asked) {
            samples.remove(position);
            let addr = response.mapped;
            self.feed(Input::Sampled { sock, addr });
        } else {
            let response = StunResponse {
                from,
                tx: response.tx,
                mapped: response.mapped,
                other_address: response.other_address,
            };
            self.nat.schedule.on_stun(now(), &response);
        }
    }
}
