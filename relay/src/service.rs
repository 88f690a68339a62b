//! The task of all clients: brings datagrams and the time to [`Clients`], and sends what that has to send.

use std::{io, sync::Arc};

use quinn_udp::EcnCodepoint;
use tokio::sync::mpsc::Receiver;

use crate::{
    clients::{Arrival, Clients},
    hub::{Hub, at, now},
    port::Ports,
};

/// Datagrams that are handled before answers are sent.
const BATCH: usize = 64;
/// Datagrams of one connection that are sent before others get their turn.
const SEGMENTS: usize = 10;

#[derive(Debug)]
pub(crate) struct Service {
    hub: Arc<Hub>,
    ports: Arc<Ports>,
    pub(crate) clients: Clients,
    /// Whose bytes are in the buffer, as the kernel had no room for them.
    unsent: Option<quinn_proto::Transmit>,
    buffer: Vec<u8>,
}

impl Service {
    pub(crate) fn new(hub: Arc<Hub>, ports: Arc<Ports>, clients: Clients) -> Self {
        Self {
            hub,
            ports,
            clients,
            unsent: None,
            buffer: Vec::new(),
        }
    }

    /// Waits until there is something to do, and does it. False if no datagram will ever come. Nothing is lost if the future
    /// is dropped.
    pub(crate) async fn turn(&mut self, queue: &mut Receiver<Arrival>) -> bool {
        let is_blocked = self.unsent.is_some();
        tokio::select! {
            arrival = queue.recv() => match arrival {
                Some(arrival) => self.receive(arrival, queue),
                None => return false,
            },
            () = at(self.clients.next_timeout()) => {}
            () = self.hub.changed() => {}
            _ = self.ports.main.writable(), if is_blocked => {}
        }
        self.clients.expire(now());
        self.flush();
        true
    }

    /// Sends what there is, as far as the kernel has room.
    pub(crate) fn flush(&mut self) {
        loop {
            self.send_packets();
            let next = self.unsent.take().or_else(|| {
                let segments = self.ports.main.max_send_segments().min(SEGMENTS);
                (self.clients).poll_transmit(now(), segments, &mut self.buffer)
            });
            let Some(transmit) = next else {
                break;
            };
            let sent = self.ports.try_send(&quinn_udp::Transmit {
                destination: transmit.destination,
                ecn: transmit
                    .ecn
                    .and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
                contents: self.buffer.get(..transmit.size).unwrap_or_default(),
                segment_size: transmit.segment_size,
                src_ip: transmit.src_ip,
            });
            if sent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                self.unsent = Some(transmit);
                break;
            }
        }
        self.send_packets();
    }

    fn receive(&mut self, first: Arrival, queue: &mut Receiver<Arrival>) {
        self.take(first);
        for _ in 1..BATCH {
            let Ok(arrival) = queue.try_recv() else {
                return;
            };
            self.take(arrival);
        }
    }

    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Datagram(datagram) => self.clients.receive(now(), datagram),
            Arrival::Ended(addr) => self.clients.on_tcp_ended(addr),
        }
    }

    fn send_packets(&mut self) {
        while let Some(packet) = self.clients.poll_packet() {
            self.ports.send(&quinn_udp::Transmit {
                destination: packet.to.remote,
                ecn: None,
                contents: &packet.bytes,
                segment_size: None,
                src_ip: packet.to.local,
            });
        }
    }
}
