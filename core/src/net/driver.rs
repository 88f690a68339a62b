//! The driver: the one task that owns a node's state. It turns what happens into inputs of the machine, and the machine's
//! outputs into deeds.

mod calls;
mod gather;
mod links;
mod relays;
mod view;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{Aborted, BoxFuture},
    stream::FuturesUnordered,
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::{
    GOODBYE,
    calls::{Calls, Handshake},
    clock::{now, ticks, time_asleep, unix_ms, until},
    command::{Command, Outlets},
    dial::Dialled,
    gathering::{self, Gathering},
    interfaces::Interfaces,
    lan::{Lan, LanError},
    links::{Closed, Links},
    mux::{ForDriver, LinkHandle, Mux},
    nat::Nat,
    nat64,
    relay::{Registrations, Streams as RelayStreams},
    search::{Looking, Searched},
    tcp::{Connections, TcpDialled, Tls},
    view::View,
};
use crate::{
    DiscoverySecret, Event, EventKind, RelayUrl, SecretKey,
    addr::Nat64,
    proto::{
        early::Early,
        endpoint::Machine,
        io::{Input, OfPair, Output, Pair, Sock},
        liveness::Liveness,
        local::Ports,
    },
    quic::close,
    tls,
    wire::lane::Channel,
};

/// That time at least where links are open: their goodbyes leave by another task.
const LEAST_GOODBYE: Duration = Duration::from_millis(50);

/// What the driver starts with.
pub(crate) struct Parts {
    pub(crate) key: SecretKey,
    pub(crate) machine: Machine,
    pub(crate) mux: Arc<Mux>,
    pub(crate) side: mpsc::Receiver<ForDriver>,
    pub(crate) quic: quinn::Endpoint,
    pub(crate) server: quinn::ServerConfig,
    /// The application protocols that are taken.
    pub(crate) alpns: watch::Receiver<Vec<Vec<u8>>>,
    pub(crate) home_relays: Vec<RelayUrl>,
    /// The ports that routers are asked to forward; 0 for none.
    pub(crate) map_ports: Ports,
    /// Or why nobody is found on our own network, nor finds us there.
    pub(crate) lan: Result<Lan, LanError>,
    /// None if there are to be no TCP connections.
    pub(crate) tls: Option<Tls>,
    /// By which relays are reached where UDP is not; none if there is to be no TCP.
    pub(crate) relay_streams: Option<Arc<RelayStreams>>,
    /// Our relays are not to take us for somebody to be found there.
    pub(crate) visits: bool,
    /// What our tickets carry.
    pub(crate) discovery: Option<DiscoverySecret>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) outlets: Outlets,
}

/// See the [module](self).
pub(crate) struct Driver {
    key: SecretKey,
    machine: Machine,
    mux: Arc<Mux>,
    side: mpsc::Receiver<ForDriver>,
    quic: quinn::Endpoint,
    clients: tls::Clients,
    commands: mpsc::Receiver<Command>,
    outlets: Outlets,
    links: Links,
    calls: Calls,
    registrations: Registrations,
    gathering: Gathering,
    nat: Nat,
    tcp: Connections,
    /// For peers that are dialled.
    looking: Looking,
    /// The search for a translator to IPv4.
    nat64: Option<nat64::Search>,
    /// Lane packets that came before the handshake that explains them.
    early: Early<Bytes>,
    /// Things that take time, and what came of them.
    pending: FuturesUnordered<BoxFuture<'static, Done>>,
    started: Instant,
    discovery: Option<DiscoverySecret>,
    publishing: Option<String>,
    view: View,
}

/// Something that took time is over.
enum Done {
    Dialled(Dialled),
    Searched(Searched),
    Handshake(Handshake),
    Closed(Closed),
    /// Routers between us and the relay.
    Hops(Option<u8>),
    /// The network's translator to IPv4, if it has one; aborted when the network is another one.
    Nat64(Result<Option<Nat64>, Aborted>),
    /// A relay has had time to hear our goodbye.
    RelayLeft(LinkHandle),
    TcpDialled(TcpDialled),
    /// A peer has had time to hear our goodbye on a TCP connection.
    TcpClosed(Sock),
    /// A TCP connection is no more.
    TcpEnded(Pair),
}

/// Rates are sampled this often.
const SAMPLE: Duration = Duration::from_secs(1);

impl Driver {
    pub(crate) async fn start(parts: Parts) -> Self {
        let secret = parts.key.derive("peerway PCP nonce 1");
        let gathering = Gathering::start(parts.map_ports, parts.lan, secret).await;
        let (key, mux, quic) = (parts.key, parts.mux, parts.quic);
        let mut driver = Self {
            machine: parts.machine,
            side: parts.side,
            clients: tls::Clients::default(),
            commands: parts.commands,
            outlets: parts.outlets,
            links: Links::new(mux.clone(), Liveness::new(now(), time_asleep())),
            calls: Calls::new(key.clone(), mux.clone(), parts.server, parts.alpns),
            registrations: Registrations::new(
                key.clone(),
                mux.clone(),
                quic.clone(),
                parts.relay_streams,
                parts.visits,
            ),
            gathering,
            nat: Nat::new(mux.clone()),
            tcp: Connections::new(mux.clone(), parts.tls),
            looking: Looking::default(),
            nat64: None,
            early: Early::default(),
            pending: FuturesUnordered::new(),
            started: now(),
            discovery: parts.discovery,
            publishing: None,
            view: View::new(now()),
            key,
            mux,
            quic,
        };
        driver.take_interfaces(driver.gathering.interfaces.clone(), false);
        let relays = &mut driver.registrations.relays;
        relays.set_home(now(), parts.home_relays);
        driver.drive_relays();
        driver.publish();
        driver
    }

    /// Runs until the node is shut down, or nobody holds it any more.
    pub(crate) async fn run(mut self) {
        let mut sample = ticks(SAMPLE);
        loop {
            let deadline = self.deadline();
            self.links.liveness.rest(now(), SAMPLE);
            tokio::select! {
                Some(datagram) = self.side.recv() => self.on_datagram(datagram),
                Some((relay, event)) = self.registrations.next() => self.on_relay_event(relay, event),
                command = self.commands.recv() => match command {
                    Some(Command::Connect { target, alpn, reply }) => self.dial(&target, &alpn, reply),
                    Some(Command::Access { access }) => self.set_access(access),
                    Some(Command::Relays { relays }) => {
                        self.registrations.relays.set_home(now(), relays);
                        self.view.touch();
                    }
                    Some(Command::PreferHome { relay }) => {
                        self.registrations.relays.prefer_home(now(), relay);
                        self.view.touch();
                    }
                    Some(Command::RelayError { relay, reply }) => {
                        let _ = reply.send(self.registrations.error(&relay).cloned());
                    }
                    Some(Command::AskRelay { question, reply }) => self.registrations.ask(question, reply),
                    Some(Command::Search { program }) => self.looking.set_program(program),
                    Some(Command::Publishing { words }) => {
                        self.publishing = Some(words);
                        self.view.touch();
                    }
                    Some(Command::Observers { nodes }) => self.nat.observers.set_nodes(now(), nodes),
                    Some(Command::CallBack { peer, addrs }) => self.feed(Input::CalledBack { peer, addrs }),
                    Some(Command::NetworkChanged) => self.network_changed(),
                    Some(Command::MeasureNat) => self.nat.schedule.on_network_changed(now()),
                    Some(Command::RenewMappings) => self.gathering.doubt_mappings(),
                    Some(Command::Retry { peer }) => self.feed(Input::Retry { peer }),
                    Some(Command::Policy { peer, policy }) => {
                        self.set_policy(peer, policy);
                        self.view.touch();
                    }
                    Some(Command::PolicyOf { peer, reply }) => {
                        let _ = reply.send(self.machine.policy(peer));
                    }
                    Some(Command::Pair { peer, remote, tcp, action }) => {
                        self.feed(Input::Pair(OfPair { peer, remote, tcp, action }));
                        self.view.touch();
                    }
                    Some(Command::HangUp { peer, code, reason }) => self.links.hang_up(peer, code, &reason),
                    Some(Command::Shutdown { done }) => {
                        self.shutdown().await;
                        self.commands.close();
                        let _ = done.send(());
                        return;
                    }
                    None => return self.shutdown().await,
                },
                () = self.calls.renamed() => self.take_alpns(),
                () = until(deadline) => {}
                Some(done) = self.pending.next() => self.on_done(done),
                Some(accepted) = self.tcp.accept() => {
                    let offer = self.tcp.on_accepted(accepted);
                    self.on_offer(offer);
                }
                Some(incoming) = self.quic.accept() => self.on_incoming(incoming),
                links = self.mux.activity() => {
                    let machine = &self.machine;
                    let heard = |peer| machine.direct_heard(peer);
                    self.links.on_activity(now(), links, heard);
                }
                Some(news) = self.gathering.next() => self.on_gathered(news),
                _ = sample.tick() => {
                    self.look_for_the_missed();
                    self.sample();
                }
            }
            self.wake();
            self.settle();
        }
    }

    /// When something is due, if nothing happens before.
    fn deadline(&self) -> Option<Instant> {
        let timeouts = [
            self.machine.poll_timeout().map(|(at, _)| at),
            self.early.poll_timeout(),
            self.view.poll_timeout(),
            self.registrations.relays.poll_timeout(),
            self.links.liveness.poll_timeout(),
            self.nat.schedule.poll_timeout(),
            self.nat.observers.poll_timeout(),
        ];
        timeouts.into_iter().flatten().min()
    }

    /// Does what is due and carries out what the machine decided.
    fn settle(&mut self) {
        let now = now();
        if self.machine.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.machine.handle_timeout(now);
        }
        self.early.expire(now);
        self.registrations.relays.handle_timeout(now);
        self.drive_relays();
        self.drive_liveness();
        self.drive_nat(now);
        self.drive_observers(now);
        while let Some(output) = self.machine.poll_output() {
            self.carry_out(output);
        }
        self.drive_relays();
        if self.view.is_due(now) {
            self.publish();
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        self.machine.handle(now(), input);
    }

    fn on_datagram(&mut self, datagram: ForDriver) {
        match datagram {
            ForDriver::Stun {
                sock,
                source,
                bytes,
            } => self.on_stun(sock, source, &bytes),
            ForDriver::Message {
                sock,
                source,
                bytes,
            } => self.feed(Input::Datagram {
                sock,
                source,
                bytes: &bytes,
            }),
            ForDriver::Krpc { source, bytes } => self.nat.on_krpc(now(), source, &bytes),
            ForDriver::EarlyLane {
                relay,
                channel,
                packet,
            } => self.on_early(relay, channel, packet),
        }
    }

    /// Keeps a lane packet until its channel is admitted, unless that happened while the packet was on its way to us.
    fn on_early(&mut self, relay: SocketAddr, channel: Channel, packet: Bytes) {
        match self.mux.link_of(relay, channel) {
            Some(link) => self.mux.inject(link, packet),
            None => self.early.push(now(), relay, channel, packet),
        }
    }

    /// Looks whether the computer slept.
    fn wake(&mut self) {
        let Some(away) = self.links.liveness.wake(now(), time_asleep()) else {
            return;
        };
        self.network_changed();
        self.feed(Input::Resumed);
        self.tell(EventKind::NetworkChanged {
            what: format!("woke up after {} s", away.as_secs()),
        });
    }

    fn carry_out(&mut self, output: Output) {
        tracing::trace!(?output, "output");
        match output {
            Output::SendDatagram {
                sock,
                to,
                ttl,
                bytes,
            } => (self.mux).send_or_lose(Pair { sock, addr: to }, ttl, &bytes),
            Output::SendRelay {
                relay,
                to,
                hidden,
                bytes,
            } => self.signal(&relay, (to, hidden), bytes),
            Output::OpenSockets { first, count } => {
                let count = self.mux.open_sockets(first, count);
                self.feed(Input::SocketsOpened { first, count });
            }
            Output::CloseSockets { first, count } => self.mux.close_sockets(first, count),
            Output::SampleMapping { sock, relay } => self.sample_mapping(sock, &relay),
            Output::DialTcp { peer, addr } => self.dial_tcp(peer, addr),
            Output::TakeTcp { peer, sock } => self.take_tcp(peer, sock),
            Output::CloseTcp { sock } => self.close_tcp(sock),
            Output::NeedRelay { relay } => self.registrations.relays.need(now(), relay),
            Output::Admit { peer, addr } => self.admit(peer, addr),
            Output::Expel { peer, addr } => self.links.expel(peer, addr),
            Output::Route { peer, route } => self.set_route(peer, &route),
            Output::Forget { peer } => self.forget(peer),
            Output::Failed { peer, reason } => self.fail(peer, &reason),
            Output::Event(kind) => self.tell(kind),
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Dialled(dialled) => self.on_dialled(dialled),
            Done::Searched(searched) => self.on_searched(searched),
            Done::Handshake(handshake) => self.on_handshake(handshake),
            Done::Closed(closed) => self.on_closed(closed),
            Done::Hops(Some(hops)) => self.feed(Input::Hops(hops)),
            Done::Nat64(Ok(nat64)) => self.on_nat64(nat64),
            Done::Hops(None) | Done::Nat64(Err(Aborted)) => {}
            Done::RelayLeft(link) => self.registrations.drop_link(link),
            Done::TcpDialled(dialled) => {
                let offer = self.tcp.on_dialled(dialled);
                self.on_offer(offer);
            }
            Done::TcpClosed(sock) => self.mux.remove_tcp(sock),
            Done::TcpEnded(tcp) => self.on_tcp_ended(tcp),
        }
    }

    fn tell(&mut self, kind: EventKind) {
        if gathering::makes_mappings_doubtful(&kind) {
            self.gathering.doubt_mappings();
        }
        if let EventKind::PeerState { peer, .. } | EventKind::PathChanged { peer, .. } = &kind
            && let Some(view) = self.machine.peer(*peer, now())
        {
            self.update_status(&view);
        }
        self.send_event(kind);
        self.view.touch();
    }

    fn send_event(&self, kind: EventKind) {
        let _ = self.outlets.events.send(Event::new(unix_ms(), kind));
    }

    fn take_interfaces(&mut self, interfaces: Interfaces, lost_route: bool) {
        self.feed(Input::Interfaces {
            addrs: interfaces.addresses,
            lost_route,
        });
        self.take_routes(interfaces.routes);
        self.announce();
        self.listen();
        self.view.touch();
    }

    /// Says goodbye to peers and relays; waits a moment for it to be sent.
    async fn shutdown(&mut self) {
        let reason = b"shutting down";
        let farthest = self.links.close(close::SHUTDOWN, reason);
        self.feed(Input::Shutdown);
        while let Some(output) = self.machine.poll_output() {
            // Links and sockets stay: QUIC has yet to say over them how its connections ended.
            if matches!(
                output,
                Output::SendDatagram { .. } | Output::SendRelay { .. } | Output::Event(_)
            ) {
                self.carry_out(output);
            }
        }
        self.publish();
        self.registrations.leave().await;
        self.quic.close(close::SHUTDOWN.into(), reason);
        // What is on its way to us has the goodbye said once more, in case it was lost. Nothing after that has to be waited for, as the
        // socket closes (RFC 9000 section 10.2).
        let linger = farthest.map_or(GOODBYE, |rtt| GOODBYE.min(LEAST_GOODBYE.max(2 * rtt)));
        let _ = timeout(linger, self.quic.wait_idle()).await;
        self.tcp.close_all();
        self.gathering.close().await;
    }
}
