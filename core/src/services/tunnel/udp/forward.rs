//! The forwarding side of UDP: a flow for each client of a local socket.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use quinn::{ReadError, ReadExactError};
use tokio::{
    net::UdpSocket,
    sync::oneshot,
    task::JoinSet,
    time::{Instant, interval},
};

use super::{
    BATCH, Carrier, Early, OPENING, TICK, TOO_LONG,
    counters::{Counters, add},
    lock,
    outlet::Outlet,
    table::{Limits, Table},
    wire::MAX_PAYLOAD,
};
use crate::{
    Connection,
    services::tunnel::{
        ForwardError, Loss, ServiceName, begin::accepted, request::Answer, request::Purpose,
        request::Request,
    },
};

const LIMITS: Limits = Limits {
    of_owner: 1024,
    in_all: 1024,
};
/// What the peer may take to acknowledge anything while something is sent, after which it is dialled anew.
const SILENCE: Duration = Duration::from_secs(10);

/// The flows of a local socket over one connection.
#[derive(Debug)]
pub(in super::super) struct Session {
    carrier: Carrier,
    outlet: Outlet,
    name: ServiceName,
    clients: Mutex<Clients>,
}

#[derive(Debug)]
struct Clients {
    table: Table<(), SocketAddr, Client>,
    addrs: BTreeMap<u32, SocketAddr>,
}

#[derive(Debug)]
struct Client {
    stage: Stage,
    /// Dropped with the client, which ends its flow.
    _end: oneshot::Sender<()>,
}

#[derive(Debug)]
enum Stage {
    Opening(Waiting),
    Open(u32),
}

/// What was not sent when this is dropped is counted.
#[derive(Debug)]
struct Waiting {
    payloads: Vec<Bytes>,
    counters: Arc<Counters>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        add(&self.counters.refused, self.payloads.len() as u64);
    }
}

impl Session {
    pub(in super::super) fn new(
        connection: Connection,
        socket: Arc<UdpSocket>,
        name: ServiceName,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            carrier: Carrier::new(connection, counters),
            outlet: Outlet::new(socket),
            name,
            clients: Mutex::new(Clients {
                table: Table::new(LIMITS),
                addrs: BTreeMap::new(),
            }),
        })
    }

    /// Carries datagrams until the connection ends, those first that came before it, and says whether it cut a flow.
    pub(in super::super) async fn run(
        self: Arc<Self>,
        early: Early,
        failed: impl Fn(&ForwardError) + Clone + Send + 'static,
    ) -> (Loss, bool) {
        let mut tasks = JoinSet::new();
        let session = self.clone();
        tasks.spawn(async move { session.receive().await });
        let session = self.clone();
        tasks.spawn(async move { session.carrier.uplink.run().await });
        let mut flows = JoinSet::new();
        let mut buffer = vec![0; TOO_LONG];
        for (client, payload) in early.into_waiting() {
            if let Some(ended) = self.forward(client, &payload) {
                flows.spawn(self.clone().carry(client, ended, failed.clone()));
            }
        }
        let loss = tokio::select! {
            error = self.carrier.connection.closed() => error.into(),
            loss = self.watch() => loss,
            never = async {
                loop {
                    while flows.try_join_next().is_some() {}
                    self.take(&mut buffer, |client, ended| {
                        let flow = self.clone().carry(client, ended, failed.clone());
                        flows.spawn(flow);
                    }).await;
                }
            } => never,
        };
        let cut = !lock(&self.clients).addrs.is_empty();
        (loss, cut)
    }

    /// Takes what clients send.
    async fn take(
        &self,
        buffer: &mut [u8],
        mut begin: impl FnMut(SocketAddr, oneshot::Receiver<()>),
    ) {
        if self.outlet.socket.readable().await.is_err() {
            return;
        }
        for _ in 0..BATCH {
            match self.outlet.socket.try_recv_from(buffer) {
                Ok((len, client)) => {
                    let payload = buffer.get(..len).unwrap_or_default();
                    if let Some(ended) = self.forward(client, payload) {
                        begin(client, ended);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // A client that is not there any more, as Windows tells it.
                Err(_) => {}
            }
        }
        tokio::task::yield_now().await;
    }

    /// Sends a client's datagram. Gives the end of its flow if that is to begin.
    fn forward(&self, client: SocketAddr, payload: &[u8]) -> Option<oneshot::Receiver<()>> {
        if payload.len() > MAX_PAYLOAD {
            add(&self.carrier.counters.refused, 1);
            return None;
        }
        let now = Instant::now();
        let mut clients = lock(&self.clients);
        if let Some(known) = clients.table.touch((), client, now) {
            match &mut known.stage {
                Stage::Open(flow) => self.carrier.uplink.send(*flow, payload),
                Stage::Opening(waiting) if waiting.payloads.len() < OPENING => {
                    waiting.payloads.push(Bytes::copy_from_slice(payload));
                }
                Stage::Opening(_) => add(&self.carrier.counters.overflowed, 1),
            }
            return None;
        }
        let (end, ended) = oneshot::channel();
        let new = Client {
            stage: Stage::Opening(Waiting {
                payloads: vec![Bytes::copy_from_slice(payload)],
                counters: self.carrier.counters.clone(),
            }),
            _end: end,
        };
        let displaced = clients.table.insert((), client, new, now);
        add(&self.carrier.counters.displaced, displaced.is_some().into());
        Some(ended)
    }

    /// Opens the flow of a client, and is there until it ends.
    async fn carry(
        self: Arc<Self>,
        client: SocketAddr,
        ended: oneshot::Receiver<()>,
        failed: impl Fn(&ForwardError) + Clone + Send,
    ) {
        let mut flow = None;
        let carried = tokio::select! {
            _ = ended => Ok(()),
            carried = self.open(client, &mut flow, failed.clone()) => carried,
        };
        if self.carrier.connection.close_reason().is_some() {
            // The session is over, with what it cut.
            return;
        }
        let mut clients = lock(&self.clients);
        if let Some(flow) = flow {
            clients.addrs.remove(&flow);
            self.carrier.close(flow);
        }
        // After an eviction another flow may be the client's.
        let is_own = match clients.table.peek((), client).map(|it| &it.stage) {
            Some(Stage::Open(current)) => Some(*current) == flow,
            Some(Stage::Opening(_)) => flow.is_none(),
            None => false,
        };
        if is_own {
            clients.table.remove((), client);
        }
        drop(clients);
        if let Err(error) = carried {
            failed(&error);
        }
    }

    /// Ready when the peer has ended the flow.
    async fn open(
        &self,
        client: SocketAddr,
        flow: &mut Option<u32>,
        failed: impl Fn(&ForwardError),
    ) -> Result<(), ForwardError> {
        let lost = |error: Loss| ForwardError::Lost(error);
        let opened = self.carrier.connection.open_bi().await;
        let (mut send, mut recv) = opened.map_err(|error| lost(error.into()))?;
        let request = Request {
            kind: Purpose::Datagrams,
            name: self.name.clone(),
            id: 0,
        };
        let written = send.write_all(&request.to_bytes()).await;
        written.map_err(|error| lost(error.into()))?;
        let Ok(own) = u32::try_from(send.id().index()) else {
            self.carrier
                .connection
                .close(0, b"no number is left for a flow");
            return Ok(());
        };
        *flow = Some(own);
        self.begin(client, own);
        let mut is_begun = false;
        loop {
            let mut answer = [0];
            match recv.read_exact(&mut answer).await {
                Ok(()) => {}
                Err(ReadExactError::ReadError(ReadError::ConnectionLost(_))) => return Ok(()),
                Err(_) if is_begun => return Ok(()),
                Err(_) => return Err(lost(Loss::Unanswered)),
            }
            match accepted(Answer::from_byte(answer[0]), &self.name) {
                Ok(()) => is_begun = true,
                // What an ICMP message says of one datagram ends nothing.
                Err(error) if is_begun => failed(&error),
                Err(error) => return Err(error),
            }
        }
    }

    /// What waited leaves right behind the request.
    fn begin(&self, client: SocketAddr, flow: u32) {
        let mut clients = lock(&self.clients);
        let Some(known) = clients.table.touch((), client, Instant::now()) else {
            return;
        };
        let stage = std::mem::replace(&mut known.stage, Stage::Open(flow));
        let Stage::Opening(mut waiting) = stage else {
            return;
        };
        clients.addrs.insert(flow, client);
        let answers = self.carrier.open(flow);
        for payload in std::mem::take(&mut waiting.payloads) {
            self.carrier.uplink.send(flow, &payload);
        }
        drop(clients);
        self.deliver(flow, &answers);
    }

    async fn receive(&self) {
        let deliver = |flow, payloads: &[Bytes]| self.deliver(flow, payloads);
        self.carrier.receive(deliver).await;
    }

    fn deliver(&self, flow: u32, payloads: &[Bytes]) {
        let mut clients = lock(&self.clients);
        let Some(client) = clients.addrs.get(&flow).copied() else {
            return add(&self.carrier.counters.refused, payloads.len() as u64);
        };
        clients.table.touch((), client, Instant::now());
        drop(clients);
        let delivered = |sent| self.carrier.delivered(sent);
        self.outlet.send(Some(client), payloads, delivered);
    }

    /// Ends what is idle; ready when the peer acknowledges nothing any more.
    async fn watch(&self) -> Loss {
        let mut tick = interval(TICK);
        let mut heard = (0, 0, Instant::now());
        loop {
            let now = tick.tick().await;
            self.carrier.expire();
            lock(&self.clients).table.expire(now);
            let acks = self.carrier.connection.acks();
            let sent = self.carrier.counters.read().sent;
            if acks != heard.0 || sent == heard.1 {
                heard = (acks, sent, now);
            } else if now.saturating_duration_since(heard.2) >= SILENCE {
                return Loss::Silent;
            }
        }
    }
}
