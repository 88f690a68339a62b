//! The loop that keeps the registration.

use std::{net::SocketAddr, ops::ControlFlow, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tracing::{debug, info};

use super::{
    Command, Place, RelayError, RelayEvent,
    backoff::Backoff,
    inbox::{Inbox, Interrupt},
    other::Other,
    session::{Connected, ControlConnection, Dialer, resolve},
    stream::whereabouts,
};
use crate::{
    Carrier, RelayUrl,
    proto::{
        carriers::{Carriers, HEAD_START, Whereabouts},
        relays::{
            Over,
            keepalive::{Due, Keepalive},
        },
    },
    wire::relay::{CloseReason, ToClient, ToRelay},
};

/// A registration that held for this long was a success: the next loss is tried again without a pause.
const SETTLED: Duration = Duration::from_secs(10);
/// After somebody else registered with our key, to see whether they are gone; and after a relay that does not let us in, which its
/// operator may change.
const LONG_PAUSE: Duration = Duration::from_secs(60);
/// Clients of a relay that stopped come back over so long.
const RETURN_JITTER: Duration = Duration::from_millis(250);
/// Clients of a relay that is busy come again over so much longer than it says.
const BUSY_JITTER: Duration = Duration::from_secs(1);
/// Nobody takes our events any more.
struct Unheard;

/// Why a registration ended.
enum End {
    Stop,
    /// It is to be made anew from where we are now; the old one may stay until then.
    Move(ControlConnection),
    Lost(RelayError),
}

#[derive(Debug)]
pub(super) struct Task {
    url: RelayUrl,
    dialer: Dialer,
    inbox: Inbox,
    events: mpsc::Sender<(RelayUrl, RelayEvent)>,
    backoff: Backoff,
    /// Dials that failed since the last registration, to take the relay's addresses in turn.
    failures: usize,
    /// A registration that is to be replaced.
    old: Option<ControlConnection>,
    carriers: Carriers,
    /// Where the relay was dialled last.
    place: Option<Place>,
    /// A connection by the other carrier, to which the registration is to move.
    ready: Option<Connected>,
    /// The relay is about to stop, and wants to see us again then.
    wanted_at: Option<Instant>,
    /// It said that it stops, so it may be back at any moment.
    returns: bool,
    /// Another registered with our key since we did: it is left alone for as long as it is there.
    yields: bool,
}

impl Task {
    pub(super) fn new(
        url: RelayUrl,
        dialer: Dialer,
        inbox: Inbox,
        events: mpsc::Sender<(RelayUrl, RelayEvent)>,
    ) -> Self {
        Self {
            url,
            dialer,
            inbox,
            events,
            backoff: Backoff::default(),
            failures: 0,
            old: None,
            carriers: Carriers::default(),
            place: None,
            ready: None,
            wanted_at: None,
            returns: false,
            yields: false,
        }
    }

    pub(super) async fn run(mut self) {
        let mut pause = self.backoff.next(random());
        while self.pause(pause).await.is_continue() {
            let result = self.register().await;
            let end = match result {
                Ok(session) => self.serve(session).await,
                Err(end) => end,
            };
            pause = match end {
                End::Stop => return,
                End::Move(session) => {
                    self.old = Some(session);
                    if self.ready.is_some() {
                        Duration::ZERO
                    } else {
                        self.backoff.next(random())
                    }
                }
                End::Lost(error) => match self.lost(error).await {
                    ControlFlow::Continue(pause) => pause,
                    ControlFlow::Break(()) => return,
                },
            };
        }
    }

    /// Waits before a try; a change of the network ends the wait.
    async fn pause(&mut self, pause: Duration) -> ControlFlow<()> {
        match self.inbox.during(sleep(pause)).await {
            Ok(()) => ControlFlow::Continue(()),
            Err(Interrupt::Stop) => ControlFlow::Break(()),
            Err(Interrupt::NetworkChanged | Interrupt::Dial(_)) => {
                self.backoff.reset();
                ControlFlow::Continue(())
            }
        }
    }

    /// One try, begun anew when the network changes.
    async fn register(&mut self) -> Result<ControlConnection, End> {
        loop {
            match self.dial().await {
                Ok(session) => return session,
                Err(Interrupt::Stop) => return Err(End::Stop),
                Err(Interrupt::NetworkChanged | Interrupt::Dial(_)) => {}
            }
        }
    }

    async fn dial(&mut self) -> Result<Result<ControlConnection, End>, Interrupt> {
        let connected = match self.ready.take() {
            Some(connected) => connected,
            None => match self.connect().await? {
                Ok(connected) => connected,
                Err(end) => return Ok(Err(end)),
            },
        };
        if let Some(greeting) = self.inbox.greeting.take() {
            self.dialer.greeting = greeting;
        }
        let mut greeting = self.dialer.greeting.clone();
        if self.yields {
            greeting.insert(0, ToRelay::Yield);
        }
        let register = ControlConnection::register(connected, &greeting);
        let (session, welcome) = match self.inbox.during(register).await? {
            Ok(registered) => registered,
            Err(error) => {
                self.failures += usize::from(!error.is_busy());
                return Ok(Err(error.into()));
            }
        };
        self.failures = 0;
        (self.wanted_at, self.returns) = (None, false);
        self.yields = false;
        self.old = None;
        let over = session.over();
        self.carriers.on_registered(now(), carrier(&over));
        info!(relay = %self.url.key().short(), ?over, "registered");
        self.emit(RelayEvent::Up {
            rtt: session.rtt(),
            observed: welcome.observed,
            relay_time_ms: welcome.time_ms,
            over,
        })
        .await?;
        Ok(Ok(session))
    }

    /// Finds the relay, and connects to it.
    async fn connect(&mut self) -> Result<Result<Connected, End>, Interrupt> {
        let addrs = match self.inbox.during(resolve(&self.url)).await? {
            Ok(addrs) => addrs,
            Err(error) => return self.connect_by_name(error).await,
        };
        if let Some(addr) = in_turn(&addrs, self.failures) {
            let other = addrs.iter().find(|other| other.is_ipv4() != addr.is_ipv4());
            let other = other.copied();
            self.emit(RelayEvent::Resolved { addr, other }).await?;
        }
        let dial = match self.inbox.interrupt().await {
            Interrupt::Dial(place) => place,
            other @ (Interrupt::Stop | Interrupt::NetworkChanged) => return Err(other),
        };
        self.place = Some(dial);
        let network = whereabouts(dial.real).await;
        let head_start = self.head_start(network);
        let connect = (self.dialer).connect(dial, &self.url, head_start, self.returns);
        Ok(match self.inbox.during(connect).await? {
            Ok(connected) => {
                self.remember(network, carrier(&connected.over()));
                Ok(connected)
            }
            Err(error) => {
                self.failures += usize::from(!error.is_busy());
                Err(error.into())
            }
        })
    }

    /// Connects though the relay's name does not resolve here, as a proxy may know it.
    async fn connect_by_name(
        &mut self,
        error: RelayError,
    ) -> Result<Result<Connected, End>, Interrupt> {
        let by_proxy = self.dialer.by_proxy(&self.url);
        Ok(match self.inbox.during(by_proxy).await? {
            Some(Ok(connected)) => Ok(connected),
            Some(Err(proxy)) => Err(proxy.into()),
            None => Err(error.into()),
        })
    }

    fn head_start(&self, network: Option<Whereabouts>) -> Duration {
        let streams = self.dialer.streams.as_ref().zip(network);
        streams.map_or(HEAD_START, |(streams, network)| {
            streams.blocked().head_start(now(), network)
        })
    }

    /// Remembers by what relays are reached in this network.
    fn remember(&self, network: Option<Whereabouts>, over: Carrier) {
        if let Some((streams, network)) = self.dialer.streams.as_ref().zip(network) {
            streams.blocked().reached(now(), network, over);
        }
    }

    /// Carries frames until the registration ends.
    async fn serve(&mut self, mut session: ControlConnection) -> End {
        if self.inbox.greeting.is_some() {
            return End::Move(session);
        }
        let since = Instant::now();
        let end = match self.exchange(&mut session).await {
            Ok(()) => End::Move(session),
            Err(End::Lost(RelayError::Timeout)) => {
                self.old = Some(session);
                End::Lost(RelayError::Timeout)
            }
            Err(end) => {
                session.goodbye();
                end
            }
        };
        if since.elapsed() >= SETTLED {
            self.backoff.reset();
        }
        end
    }

    /// Returns when the registration is to be made anew.
    async fn exchange(&mut self, session: &mut ControlConnection) -> Result<(), End> {
        while let Some(signal) = self.inbox.waiting.pop_front() {
            session.write(&[signal]).await?;
        }
        let mut keepalive = Keepalive::new(now(), random());
        // The relay dialled by the other carrier.
        let mut other = Other::default();
        loop {
            let try_other = self.try_other_at(keepalive.owed(), session.rtt());
            let (due_at, _) = keepalive.next(session.rtt());
            tokio::select! {
                frame = session.read() => {
                    if keepalive.on_heard() && self.carriers.over() == Some(Carrier::Udp) {
                        other.give_up();
                    }
                    let frame = frame?;
                    if matches!(frame, ToClient::KeepAliveAck) {
                        self.emit(RelayEvent::Rtt(session.rtt())).await?;
                    }
                    if self.handle_frame(frame).await?.is_break() {
                        return Ok(());
                    }
                    continue;
                }
                command = self.inbox.commands.recv() => match command {
                    None => return Err(End::Stop),
                    Some(Command::Signal(frame) | Command::Ask(frame)) => {
                        session.write(&[*frame]).await?;
                        continue;
                    }
                    Some(Command::NetworkChanged) => {
                        self.backoff.reset();
                        self.carriers.on_network_changed();
                        return Ok(());
                    }
                    Some(Command::Greet(greeting)) => {
                        self.inbox.greeting = Some(greeting);
                        return Ok(());
                    }
                    Some(Command::Leave) => match self.wanted_at {
                        Some(at) => return Err(End::Lost(drained(at))),
                        None => continue,
                    },
                    Some(Command::Dial(_)) => continue,
                    Some(Command::KeepAlive) => keepalive.ask(now(), random()),
                },
                () = sleep_until(due_at.into()) => match keepalive.poll(now(), session.rtt(), random()) {
                    None => continue,
                    Some(Due::Ask) => {}
                    Some(Due::Silent) => {
                        self.emit(RelayEvent::Silent).await?;
                        continue;
                    }
                    Some(Due::Lost) => return Err(End::Lost(RelayError::Timeout)),
                },
                () = wait_until(try_other), if !other.is_on() => {
                    other.begin(&self.dialer, self.place, &self.url, self.carriers.over());
                    continue;
                }
                connected = other.done() => {
                    match connected {
                        Ok(connected) => {
                            self.note_move(carrier(&connected.over())).await;
                            self.ready = Some(connected);
                            return Ok(());
                        }
                        Err(error) => {
                            debug!(relay = %self.url.key().short(), %error, "not reached by the other carrier");
                            self.carriers.on_other_silent(now());
                        }
                    }
                    continue;
                }
            }
            session.write(&[ToRelay::KeepAlive]).await?;
        }
    }

    /// When to dial the relay by the other carrier.
    fn try_other_at(&self, owed: Option<std::time::Instant>, rtt: Duration) -> Option<Instant> {
        self.dialer.streams.as_ref().and(self.place)?;
        if self.wanted_at.is_some() {
            // Nobody is registered there any more.
            return None;
        }
        let tcp = (self.carriers).dial_tcp_at(owed, rtt);
        self.carriers.ask_udp_at().or(tcp).map(Instant::from_std)
    }

    /// The registration moves to this carrier.
    async fn note_move(&self, over: Carrier) {
        if let Some(place) = self.place {
            self.remember(whereabouts(place.real).await, over);
        }
    }

    /// Breaks when the relay sees us elsewhere.
    async fn handle_frame(&mut self, frame: ToClient) -> Result<ControlFlow<()>, End> {
        let event = match frame {
            ToClient::Deliver {
                from,
                time_ms,
                observed,
                payload,
            } => RelayEvent::Deliver {
                from,
                attested: observed,
                relay_time_ms: time_ms,
                payload: payload.into(),
            },
            ToClient::Gone { peer, reason } => RelayEvent::Gone { peer, reason },
            ToClient::Unreached { peer } => RelayEvent::Unreached { peer },
            ToClient::Moved { to } => RelayEvent::Moved { to },
            ToClient::Item { ask, item } => RelayEvent::Item { ask, item },
            ToClient::Dealt { ask, outcome } => RelayEvent::Dealt { ask, outcome },
            ToClient::Observed { addr } => {
                self.emit(RelayEvent::Observed(addr)).await?;
                return Ok(if self.wanted_at.is_none() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                });
            }
            ToClient::Drain { reconnect_in_ms } => {
                let reconnect_in = Duration::from_millis(u64::from(reconnect_in_ms));
                self.wanted_at = Some(Instant::now() + reconnect_in);
                self.returns = true;
                RelayEvent::Draining
            }
            ToClient::KeepAliveAck | ToClient::Welcome { .. } => {
                return Ok(ControlFlow::Continue(()));
            }
            _ => return Ok(ControlFlow::Continue(())),
        };
        self.emit(event).await?;
        Ok(ControlFlow::Continue(()))
    }

    /// Reports a loss; the value is the pause before the next try.
    async fn lost(&mut self, error: RelayError) -> ControlFlow<(), Duration> {
        let error = match (self.wanted_at.take(), error) {
            (Some(at), RelayError::Closed(CloseReason::Goodbye)) => drained(at),
            (_, error) => error,
        };
        let pause = if let RelayError::Draining { reconnect_in } = error {
            // It says itself when it is back, however short it was there: no failure to be counted.
            self.backoff.reset();
            reconnect_in.max(RETURN_JITTER.mul_f64(share(random())))
        } else if let RelayError::Busy { retry_in } = error {
            retry_in + BUSY_JITTER.mul_f64(share(random()))
        } else if error.lasts() {
            LONG_PAUSE
        } else {
            self.backoff.next(random())
        };
        self.yields |= matches!(error, RelayError::Closed(CloseReason::Replaced));
        debug!(relay = %self.url.key().short(), %error, ?pause, "not registered");
        let event = RelayEvent::Down {
            error,
            next_try: pause,
        };
        match self.emit(event).await {
            Ok(()) => ControlFlow::Continue(pause),
            Err(_) => ControlFlow::Break(()),
        }
    }

    async fn emit(&self, event: RelayEvent) -> Result<(), Unheard> {
        self.events
            .send((self.url.clone(), event))
            .await
            .map_err(|_| Unheard)
    }
}

impl From<Unheard> for End {
    fn from(_: Unheard) -> Self {
        Self::Stop
    }
}

impl From<Unheard> for Interrupt {
    fn from(_: Unheard) -> Self {
        Self::Stop
    }
}

impl From<RelayError> for End {
    fn from(error: RelayError) -> Self {
        Self::Lost(error)
    }
}

/// The address to dial after so many failures. IPv4 comes first: where the relay sees us is where our peers guess ports, and IPv6
/// has none to guess.
fn in_turn(addrs: &[SocketAddr], failures: usize) -> Option<SocketAddr> {
    let mut turns = addrs.to_vec();
    turns.sort_by_key(SocketAddr::is_ipv6);
    turns.get(failures.checked_rem(turns.len())?).copied()
}

fn carrier(over: &Over) -> Carrier {
    match over {
        Over::Udp => Carrier::Udp,
        Over::Tcp { .. } => Carrier::Tcp,
        _ => Carrier::Unknown,
    }
}

/// tokio's clock, which tests can stop.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn share(random: u32) -> f64 {
    f64::from(random) / f64::from(u32::MAX)
}

/// Why we are not registered with a relay that is about to stop and wants to see us again at this time.
fn drained(wanted_at: Instant) -> RelayError {
    let reconnect_in = wanted_at.saturating_duration_since(Instant::now());
    RelayError::Draining { reconnect_in }
}

/// Without randomness from the operating system every pause is the shortest; nothing depends on it but politeness.
fn random() -> u32 {
    getrandom::u32().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_comes_first_and_after_failures_every_address_has_its_turn() {
        let addrs = ["[2001:db8::1]:1", "192.0.2.1:1", "192.0.2.2:1"]
            .map(|addr| addr.parse::<SocketAddr>().unwrap());
        let turns: Vec<_> = (0..4).map(|tries| in_turn(&addrs, tries)).collect();
        let [six, first, second] = addrs.map(Some);
        assert_eq!(turns, [first, second, six, first]);
        assert_eq!(in_turn(&[], 1), None);
    }
}
