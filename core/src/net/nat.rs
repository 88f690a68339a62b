//! STUN: what relays say of our NAT and of our sockets. When they are asked about the NAT is for [`Schedule`].

use std::{net::SocketAddr, sync::Arc, time::Instant};

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::{clock::unix_ms, mux::Mux, stun};
use crate::{
    NatReport,
    proto::{
        io::{Pair, Sock},
        nat::{
            self, StunResponse,
            observers::Observers,
            samples::Samples,
            schedule::{Event, Schedule, Surroundings},
        },
    },
    wire::krpc,
};

/// What is asked by STUN.
pub(super) struct Nat {
    mux: Arc<Mux>,
    pub(super) schedule: Schedule,
    /// When the latest measurement was complete, if it still counts.
    pub(super) checked_at_ms: Option<u64>,
    /// Questions of the machine where a relay sees a socket.
    samples: Samples,
    /// Who else may be asked where we are seen, and what was last made of it.
    pub(super) observers: Observers,
    seen: Option<SocketAddr>,
}

impl Nat {
    pub(super) fn new(mux: Arc<Mux>) -> Self {
        Self {
            mux,
            schedule: Schedule::new(ChaCha20Rng::from_os_rng().random()),
            checked_at_ms: None,
            samples: Samples::default(),
            observers: Observers::new(ChaCha20Rng::from_os_rng().random()),
            seen: None,
        }
    }

    /// Asks what is to be asked about the NAT. What was learnt of it since, and whether anything is other than before.
    pub(super) fn drive(
        &mut self,
        now: Instant,
        surroundings: impl FnOnce() -> Surroundings,
    ) -> (Vec<NatReport>, bool) {
        self.schedule.handle_timeout(now, surroundings);
        let (mut reports, mut changed) = (Vec::new(), false);
        while let Some(event) = self.schedule.poll_event() {
            changed = true;
            match event {
                Event::CloseSockets => self.mux.close_sockets(nat::FIRST_SOCKET, nat::SOCKETS),
                Event::Complete => self.checked_at_ms = Some(unix_ms()),
                Event::Forgotten => self.checked_at_ms = None,
                Event::Report(report) => {
                    tracing::debug!(?report, "NAT");
                    reports.push(report);
                }
            }
        }
        while let Some(request) = self.schedule.poll_transmit() {
            if request.to.sock != Sock::MAIN {
                self.mux.open_sockets(request.to.sock, 1);
            }
            self.ask(request.to, request.tx, request.change_port);
        }
        (reports, changed)
    }

    /// Asks nodes of the DHT, if there is need for it. Where they see us, if that is not what was told before.
    pub(super) fn observe(&mut self, now: Instant, is_needed: bool) -> Option<Option<SocketAddr>> {
        self.observers.set_needed(now, is_needed);
        self.observers.handle_timeout(now);
        while let Some(ping) = self.observers.poll_transmit() {
            let datagram = krpc::ping(ping.tx, ping.id);
            self.mux.send_or_lose(Pair::main(ping.to), None, &datagram);
        }
        let seen = self.observers.seen();
        (std::mem::replace(&mut self.seen, seen) != seen).then_some(seen)
    }

    /// Takes what a node of the DHT answers.
    pub(super) fn on_krpc(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        if let Some(pong) = krpc::Pong::parse(datagram) {
            self.observers.on_pong(now, source, &pong);
        }
    }

    /// Asks a relay where it sees one of our sockets.
    pub(super) fn sample(&mut self, pair: Pair) {
        let mut tx = [0; 12];
        ChaCha20Rng::from_os_rng().fill_bytes(&mut tx);
        self.samples.ask(tx, pair);
        self.ask(pair, tx, false);
    }

    /// Takes a response. Where the socket is seen, if that was asked.
    pub(super) fn on_response(
        &mut self,
        now: Instant,
        from: Pair,
        response: &stun::Response,
    ) -> Option<SocketAddr> {
        if self.samples.take(response.tx, from) {
            return Some(response.mapped);
        }
        let response = StunResponse {
            from,
            tx: response.tx,
            mapped: response.mapped,
            other_address: response.other_address,
        };
        self.schedule.on_stun(now, &response);
        None
    }

    fn ask(&self, to: Pair, tx: [u8; 12], change_port: bool) {
        let request = stun::binding_request(tx, change_port);
        self.mux.send_or_lose(to, None, &request);
    }
}
