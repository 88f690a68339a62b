//! The exposing side of UDP: a socket for each flow.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use quinn::WriteError;
use tokio::{
    io::Interest,
    net::UdpSocket,
    sync::oneshot,
    time::{Instant, interval},
};

use super::{
    BATCH, Carrier, DatagramCounts, TICK, TOO_LONG, connected,
    counters::{Counters, add},
    lock,
    outlet::Outlet,
    table::{Limits, Table},
    wire::MAX_PAYLOAD,
};
use crate::{
    Connection, PeerId, RecvStream, SendStream,
    services::tunnel::{
        limit::Share,
        request::{Answer, Obstacle},
        target::Host,
        usage::Using,
    },
};

/// Flows, each of which takes a socket.
const LIMITS: Limits = Limits {
    of_owner: 1024,
    in_all: 4096,
};
/// How often a peer is told again that a server is not there.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The flows of all peers.
#[derive(Debug)]
pub(in super::super) struct Flows {
    table: Mutex<Table<PeerId, (u64, u32), oneshot::Sender<()>>>,
    connections: AtomicU64,
    counters: Arc<Counters>,
}

impl Default for Flows {
    fn default() -> Self {
        Self {
            table: Mutex::new(Table::new(LIMITS)),
            connections: AtomicU64::new(0),
            counters: Arc::default(),
        }
    }
}

impl Flows {
    pub(in super::super) fn counts(&self) -> DatagramCounts {
        self.counters.read()
    }
}

/// The flows of one connection.
#[derive(Debug)]
pub(in super::super) struct Served {
    carrier: Carrier,
    flows: Arc<Flows>,
    /// The connection's among all.
    number: u64,
    sockets: Mutex<BTreeMap<u32, Leading>>,
}

/// A flow's part in the use of a server: how much may pass, and who counts it.
#[derive(Clone, Debug)]
pub(in super::super) struct Part {
    pub(in super::super) share: Option<Share>,
    pub(in super::super) using: Arc<Using>,
}

/// Where a flow's datagrams go, and how many may.
#[derive(Clone, Debug)]
struct Leading {
    outlet: Arc<Outlet>,
    part: Part,
}

impl Served {
    pub(in super::super) fn new(connection: &Connection, flows: &Arc<Flows>) -> Self {
        Self {
            carrier: Carrier::new(connection.clone(), flows.counters.clone()),
            number: flows.connections.fetch_add(1, Ordering::Relaxed),
            flows: flows.clone(),
            sockets: Mutex::default(),
        }
    }

    /// Hands over what comes from the peer until the connection ends.
    pub(in super::super) async fn run(&self) {
        let expiring = async {
            let mut tick = interval(TICK);
            loop {
                tick.tick().await;
                self.carrier.expire();
                lock(&self.flows.table).expire(Instant::now());
            }
        };
        tokio::select! {
            _ = self.carrier.receive(|flow, payloads| self.deliver(flow, payloads)) => {}
            () = self.carrier.uplink.run() => {}
            () = expiring => {}
        }
    }

    /// Carries the flow of a stream until either side ends it, or another needs its place.
    pub(in super::super) async fn serve(
        &self,
        (host, part): (&Host, Part),
        mut send: SendStream,
        mut recv: RecvStream,
    ) -> Result<(), WriteError> {
        let opened = match u32::try_from(send.id().index()) {
            Ok(flow) => open(host).await.map(|socket| (flow, socket)),
            Err(_) => Err(Obstacle::Other),
        };
        let (flow, socket) = match opened {
            Ok(opened) => opened,
            Err(obstacle) => {
                return send
                    .write_all(&[Answer::NoTarget(obstacle).to_byte()])
                    .await;
            }
        };
        send.write_all(&[Answer::Ok.to_byte()]).await?;
        let (place, ended) = Place::take(self, flow, Arc::new(socket), part);
        let mut rest = [0];
        tokio::select! {
            // By eviction or idleness.
            _ = ended => {}
            // Nothing more comes on it than its end.
            _ = recv.read(&mut rest) => {}
            told = place.carry(&mut send) => told?,
        }
        drop(place);
        let _ = send.finish();
        Ok(())
    }

    fn deliver(&self, flow: u32, payloads: &[Bytes]) {
        let leading = lock(&self.sockets).get(&flow).cloned();
        let Some(Leading { outlet, part }) = leading else {
            return add(&self.carrier.counters.refused, payloads.len() as u64);
        };
        self.touch(flow);
        let bytes = |payloads: &[Bytes]| -> usize { payloads.iter().map(Bytes::len).sum() };
        let Some(share) = part.share else {
            part.using.took(bytes(payloads));
            return outlet.send(None, payloads, |sent| self.carrier.delivered(sent));
        };
        let within = payloads.iter().filter(|payload| share.takes(payload.len()));
        let within: Vec<_> = within.cloned().collect();
        let beyond = payloads.len() - within.len();
        add(&self.carrier.counters.overflowed, beyond as u64);
        part.using.took(bytes(&within));
        outlet.send(None, &within, |sent| self.carrier.delivered(sent));
    }

    fn touch(&self, flow: u32) {
        let peer = self.carrier.connection.peer();
        lock(&self.flows.table).touch(peer, (self.number, flow), Instant::now());
    }
}

async fn open(host: &Host) -> Result<UdpSocket, Obstacle> {
    let mut obstacle = Obstacle::NoAddress;
    for server in host.resolve().await? {
        match connected(server).await {
            Ok(socket) => return Ok(socket),
            Err(error) => obstacle = Obstacle::of(&error),
        }
    }
    Err(obstacle)
}

/// A flow's place among all, given back when this is dropped.
struct Place<'a> {
    served: &'a Served,
    flow: u32,
    socket: Arc<UdpSocket>,
    part: Part,
}

impl<'a> Place<'a> {
    fn take(
        served: &'a Served,
        flow: u32,
        socket: Arc<UdpSocket>,
        part: Part,
    ) -> (Self, oneshot::Receiver<()>) {
        let (end, ended) = oneshot::channel();
        let peer = served.carrier.connection.peer();
        let key = (served.number, flow);
        let displaced = lock(&served.flows.table).insert(peer, key, end, Instant::now());
        add(
            &served.carrier.counters.displaced,
            displaced.is_some().into(),
        );
        let leading = Leading {
            outlet: Arc::new(Outlet::new(socket.clone())),
            part: part.clone(),
        };
        lock(&served.sockets).insert(flow, leading);
        served.deliver(flow, &served.carrier.open(flow));
        let place = Self {
            served,
            flow,
            socket,
            part,
        };
        (place, ended)
    }

    /// Sends what the server answers, and tells the peer what the system says of the server.
    async fn carry(&self, send: &mut SendStream) -> Result<(), WriteError> {
        let mut buffer = vec![0; TOO_LONG];
        let mut told: Option<Instant> = None;
        loop {
            let Err(error) = self.take_answers(&mut buffer).await else {
                continue;
            };
            let now = Instant::now();
            if told.is_none_or(|at| now.saturating_duration_since(at) >= TELL_EVERY) {
                told = Some(now);
                let obstacle = Answer::NoTarget(Obstacle::of(&error));
                send.write_all(&[obstacle.to_byte()]).await?;
            }
        }
    }

    fn may_send(&self, len: usize) -> bool {
        let share = self.part.share.as_ref();
        share.is_none_or(|share| share.sends(len))
    }

    async fn take_answers(&self, buffer: &mut [u8]) -> io::Result<()> {
        let ready = self
            .socket
            .ready(Interest::READABLE | Interest::ERROR)
            .await?;
        if ready.is_error() {
            // Not ready for errors any more, before it is asked for the one there is.
            let none = || Err::<(), _>(ErrorKind::WouldBlock.into());
            let _ = self.socket.try_io(Interest::ERROR, none);
            self.socket.take_error()?.map_or(Ok(()), Err)?;
        }
        for _ in 0..BATCH {
            match self.socket.try_recv(buffer) {
                Ok(len) if len > MAX_PAYLOAD => add(&self.served.carrier.counters.refused, 1),
                Ok(len) if !self.may_send(len) => {
                    add(&self.served.carrier.counters.overflowed, 1);
                }
                Ok(len) => {
                    let payload = buffer.get(..len).unwrap_or_default();
                    self.part.using.gave(len);
                    self.served.carrier.uplink.send(self.flow, payload);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.served.touch(self.flow);
        Ok(())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let served = self.served;
        let peer = served.carrier.connection.peer();
        lock(&served.flows.table).remove(peer, (served.number, self.flow));
        lock(&served.sockets).remove(&self.flow);
        served.carrier.close(self.flow);
    }
}
