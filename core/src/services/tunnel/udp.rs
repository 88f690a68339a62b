//! UDP over a link: every local client has a flow of its own, for which the exposing side has a socket of its own.
//!
//! A flow is a stream and QUIC datagrams (see `wire`). The forwarding side opens the stream with the request and sends the client's
//! datagrams right behind it; the exposing side answers on it, and says there what the system tells of the server. A flow ends when
//! either side ends its stream: unused for three minutes, or unused for longest where there are too many. Nothing is sent twice, and nothing
//! is dropped without being counted, but by the system at a full socket.

mod arrivals;
mod counters;
mod early;
mod expose;
mod forward;
mod outlet;
mod table;
mod uplink;
mod wire;

#[cfg(test)]
mod tests;

pub use counters::DatagramCounts;
pub(super) use early::Early;
pub(super) use expose::{Flows, Part, Served};
pub(super) use forward::Session;

use std::{
    collections::BTreeMap,
    io, iter,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use socket2::SockRef;
use tokio::{net::UdpSocket, task::yield_now, time::Instant};

use self::{
    arrivals::{Arrivals, Losses},
    counters::add,
    uplink::Uplink,
    wire::MAX_PAYLOAD,
};
use crate::{Connection, quic::ConnectionError};
pub(super) use counters::Counters;

/// Datagrams taken from a socket before others have a turn.
const BATCH: usize = 64;
/// What waits of a client until its flow has begun.
const OPENING: usize = 16;
/// A buffer for what comes from a socket, by which it shows what is longer than what can be sent.
const TOO_LONG: usize = MAX_PAYLOAD + 1;
/// How often is looked what is idle or late.
const TICK: Duration = Duration::from_secs(1);
/// What a socket is to hold of bursts; the system gives less where it is told to.
const SOCKET_BUFFER: usize = 4 << 20;

/// What both sides have of a connection.
#[derive(Debug)]
struct Carrier {
    connection: Connection,
    counters: Arc<Counters>,
    uplink: Uplink,
    arrivals: Mutex<Arrivals>,
}

impl Carrier {
    fn new(connection: Connection, counters: Arc<Counters>) -> Self {
        Self {
            uplink: Uplink::new(connection.quic.clone(), counters.clone()),
            arrivals: Mutex::default(),
            connection,
            counters,
        }
    }

    /// Gives `deliver` what comes from the peer, flow by flow what is there at once, until the connection ends.
    async fn receive(&self, deliver: impl Fn(u32, &[Bytes])) -> ConnectionError {
        loop {
            let first = match self.connection.read_datagram().await {
                Ok(datagram) => datagram,
                Err(error) => return error,
            };
            let rest = iter::from_fn(|| self.connection.read_datagram().now_or_never()?.ok());
            let mut flows: BTreeMap<u32, Vec<Bytes>> = BTreeMap::new();
            for datagram in iter::once(first).chain(rest).take(BATCH) {
                let taken = |arrivals: &mut Arrivals, now, losses: &mut _| {
                    arrivals.take(datagram, now, losses)
                };
                if let Some((flow, payload)) = self.arrive(taken) {
                    flows.entry(flow).or_default().push(payload);
                }
            }
            for (flow, payloads) in flows {
                deliver(flow, &payloads);
            }
            yield_now().await;
        }
    }

    fn open(&self, flow: u32) -> Vec<Bytes> {
        add(&self.counters.flows, 1);
        self.uplink.open(flow);
        self.arrive(|arrivals, now, losses| arrivals.open(flow, now, losses))
    }

    fn close(&self, flow: u32) {
        self.uplink.forget(flow);
        self.arrive(|arrivals, _, losses| arrivals.close(flow, losses));
    }

    fn expire(&self) {
        self.arrive(|arrivals, now, losses| arrivals.expire(now, losses));
    }

    fn arrive<T>(&self, what: impl FnOnce(&mut Arrivals, Instant, &mut Losses) -> T) -> T {
        let mut losses = Losses::default();
        let result = what(&mut lock(&self.arrivals), Instant::now(), &mut losses);
        if losses != Losses::default() {
            self.counters.lose(losses);
        }
        result
    }

    fn delivered(&self, sent: io::Result<usize>) {
        let counter = match sent {
            Ok(_) => &self.counters.received,
            Err(_) => &self.counters.refused,
        };
        add(counter, 1);
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.arrive(|arrivals, _, losses| arrivals.end(losses));
    }
}

/// A socket that is connected to the server, with a port of its own.
async fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    roomy(&socket);
    socket.connect(server).await?;
    // Until it is known to be, nothing is sent without waiting.
    socket.writable().await?;
    Ok(socket)
}

/// Has the system hold more for the socket than it does by itself.
pub(super) fn roomy(socket: &UdpSocket) {
    let socket = SockRef::from(socket);
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
