//! Some content is fetched from all who have some of it: tasks around the [`Picker`].

use std::{collections::BTreeSet, io, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use peerway::{Connection, PeerId, Ticket, services::files::Progress};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    GetError, Hash, Notice, Outline, Picker, Sharing, Units,
    ahead::Ahead,
    follows::Follows,
    object::Object,
    round::{Round, Step},
    session::{NoOutline, NoUnit, Session},
    sources::Sources,
    stream::Reading,
    wire::{Ask, Described, MAX_ANSWER, Told, tickets},
};
use crate::{frame, store::part::Part};

/// Bytes that are asked for ahead of all holders.
const MAX_AHEAD: u64 = 32 << 20;
/// How often is looked who is late.
const LOOK: Duration = Duration::from_millis(250);
/// How long nothing is asked for after nothing could be written.
pub(super) const DISK_PAUSE: Duration = Duration::from_secs(3);
/// How long nobody may be there before that is told.
const LONELY: Duration = Duration::from_secs(5);

/// The outline of some content, from whoever has it.
pub(super) async fn outline(sources: &Sources, hash: Hash, size: u64) -> Result<Outline, GetError> {
    if let Some(outline) = Outline::of_small(hash, size) {
        return Ok(outline);
    }
    let ticket = sources.sharing().endpoint().ticket().to_bytes();
    let follow = &Ask::Follow { hash, ticket };
    ask_each(sources, |session| async move {
        match session.outline(hash, size, Some(follow)).await {
            Ok(outline) => Some(outline),
            Err(NoOutline::Wrong) => {
                sources.lied(session.peer());
                None
            }
            Err(NoOutline::NotThere) => None,
        }
    })
    .await
}

/// Content of one unit.
pub(super) async fn small(sources: &Sources, hash: Hash, size: u64) -> Result<Vec<u8>, GetError> {
    let Some(outline) = Outline::of_small(hash, size) else {
        return Err(GetError::NoList("it is too long".to_owned()));
    };
    if outline.is_empty() {
        return Ok(Vec::new());
    }
    ask_each(sources, |session| {
        let outline = outline.clone();
        async move {
            let data = session.unit(hash, 0, size as usize, None).await.ok()?;
            if outline.is_right(0, &data) {
                let shown = sources.fetching();
                shown.came(session.peer(), size);
                return Some(data);
            }
            sources.lied(session.peer());
            None
        }
    })
    .await
}

/// Asks one session after the other, as they come, until one has it.
async fn ask_each<T, F: Future<Output = Option<T>>>(
    sources: &Sources,
    ask: impl Fn(Arc<Session>) -> F,
) -> Result<T, GetError> {
    let mut sessions = sources.sessions();
    let mut round = Round::default();
    loop {
        sources.fetching().valve().open().await;
        let now = sessions.borrow_and_update().clone();
        let peers: Vec<PeerId> = now.iter().map(|it| it.peer()).collect();
        let exhausted = sources.exhausted(round.all_refused());
        let turn = sources.turn(peers.len());
        let until = match round.step(Instant::now(), &peers, turn, exhausted) {
            Step::Ask(peer) => {
                if let Some(session) = now.iter().find(|it| it.peer() == peer)
                    && let Some(got) = ask(session.clone()).await
                {
                    return Ok(got);
                }
                round.refused(peer);
                continue;
            }
            Step::Wait(until) => until,
            Step::GiveUp(error) => return Err(error),
        };
        let look = Instant::now() + LOOK;
        let until = until.map_or(look, |until| until.min(look));
        let _ = tokio::time::timeout_at(until, sessions.changed()).await;
    }
}

/// What a holder told.
enum Event {
    Has(Described),
    Gained(Vec<u32>),
    Holders(Vec<Ticket>),
    Place(u32),
    Suggest(Vec<u32>),
    /// A unit begins to come.
    Sends,
    Nothing,
    Withdrawn,
    Gone,
}

/// What became of a unit that was asked for.
enum Outcome {
    Kept,
    Wrong,
    Missing,
    Gone,
    NotWritten(io::Error),
}

/// The fetching of one object.
pub(super) struct Fetch<'a> {
    pub(super) sources: &'a Sources,
    pub(super) object: Arc<Object>,
    pub(super) part: Arc<Part>,
    pub(super) arrivals: mpsc::Receiver<Connection>,
    pub(super) progress: &'a Progress,
    /// Those who read it meanwhile, and say what is wanted; all is where there is nobody who could.
    pub(super) reading: Option<Arc<Reading>>,
}

impl Fetch<'_> {
    /// Until all of it is there.
    pub(super) async fn run(mut self) -> Result<(), GetError> {
        let mut state = State::new(self.sources, self.object.clone(), self.part.clone());
        let mut sessions = self.sources.sessions();
        sessions.mark_changed();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let reading = self.reading.clone();
        while !state.picker.held().is_full() {
            if let Some(reading) = &reading {
                state.picker.want(reading.wanted(state.picker.held()));
                state.ask();
            }
            state.heed(self.sources.fetching().valve().is_paused());
            tokio::select! {
                () = Reading::changed(reading.as_deref()) => continue,
                changed = sessions.changed() => {
                    if changed.is_err() {
                        return Err(GetError::Ended);
                    }
                    let now = sessions.borrow_and_update().clone();
                    let peers = now.iter().map(|session| session.peer());
                    self.sources.fetching().connected(peers);
                    state.follow(now);
                }
                Some(connection) = self.arrivals.recv() => self.sources.arrived(connection),
                Some((peer, event)) = state.events.recv() => self.told(&mut state, peer, event),
                Some((peer, unit, outcome)) = state.requests.next(), if !state.requests.is_empty() => {
                    self.came(&mut state, peer, unit, outcome);
                }
                Some(()) = state.follows.next(), if !state.follows.is_empty() => {}
                _ = looks.tick() => {
                    if !state.has_begun && !state.is_held_up && let Some(error) = state.give_up(self.sources) {
                        return Err(error);
                    }
                    self.show(&state);
                    state.ask_again();
                    state.look();
                }
            }
            state.ask();
        }
        Ok(())
    }

    /// For those who look how far it is.
    fn show(&self, state: &State) {
        let shown = self.sources.fetching();
        shown.holds(state.picker.held().clone());
        for peer in &state.followed {
            if let Some(units) = state.picker.units_of(*peer) {
                shown.has(*peer, units);
            }
        }
    }

    fn told(&self, state: &mut State, peer: PeerId, event: Event) {
        match event {
            Event::Has(described) => {
                let units = state.picker.held().len();
                let held = match &described.held {
                    None => Some(Units::all(units)),
                    Some(bytes) => Units::from_bytes(units, bytes),
                };
                let is_same = described.size == self.object.outline().size();
                match held.filter(|_| is_same) {
                    Some(held) => {
                        state.asked.not_refused(peer);
                        state.picker.come(peer, held, state.sharing.now());
                        self.object.introduce([peer]);
                    }
                    None => state.asked.refused(peer),
                }
            }
            Event::Gained(units) => state.picker.gained(peer, &units),
            Event::Holders(tickets) => {
                if !tickets.is_empty() {
                    state.picker.shared();
                }
                self.object.introduce(tickets.iter().map(Ticket::id));
                self.sources.learn(&tickets);
            }
            Event::Place(place) => {
                state.picker.placed(peer, place);
                self.sources.fetching().placed(peer, place);
            }
            Event::Suggest(units) => state.picker.suggested(peer, &units),
            Event::Sends => state.picker.sends(peer),
            Event::Nothing => state.asked.refused(peer),
            Event::Withdrawn => {
                state.picker.gone(peer);
                state.asked.refused(peer);
            }
            Event::Gone => {
                if state.asked.ended(peer) {
                    state.picker.gone(peer);
                }
            }
        }
    }

    fn came(&self, state: &mut State, peer: PeerId, unit: u32, outcome: Outcome) {
        let now = state.sharing.now();
        state.under_way.remove(&(peer, unit));
        let is_recalled = state.recalled.remove(&(peer, unit));
        match outcome {
            Outcome::Kept => {
                state.resume();
                let came = state.picker.came(peer, unit, now);
                if came.is_new {
                    state.has_begun = true;
                    let len = self.object.outline().len(unit).unwrap_or(0);
                    self.progress.moved(len as u64);
                    self.sources.fetching().came(peer, len as u64);
                    self.object.grew();
                }
                state.cancel(&came.cancel, unit);
            }
            // It was taken back, and is asked for again.
            Outcome::Missing if is_recalled => state.picker.not_kept(peer, unit),
            Outcome::Missing => state.picker.missing(peer, unit),
            Outcome::Gone => state.picker.gone(peer),
            Outcome::Wrong => {
                state.picker.gone(peer);
                self.sources.lied(peer);
            }
            Outcome::NotWritten(error) => {
                state.picker.not_kept(peer, unit);
                state.pause(&error);
            }
        }
    }
}

type Request = BoxFuture<'static, (PeerId, u32, Outcome)>;

struct State {
    sharing: Sharing,
    wanted: Hash,
    object: Arc<Object>,
    part: Arc<Part>,
    picker: Ahead,
    sessions: Vec<Arc<Session>>,
    followed: BTreeSet<PeerId>,
    asked: Follows,
    follows: FuturesUnordered<BoxFuture<'static, ()>>,
    requests: FuturesUnordered<Request>,
    tell: mpsc::Sender<(PeerId, Event)>,
    events: mpsc::Receiver<(PeerId, Event)>,
    /// Until when nothing is asked for, as nothing could be written.
    paused: Option<Duration>,
    /// Its owner wants nothing more of it for now.
    is_held_up: bool,
    /// What was asked for, and of that what was taken back.
    under_way: BTreeSet<(PeerId, u32)>,
    recalled: BTreeSet<(PeerId, u32)>,
    /// Since when nobody has what is missing, and whether that was told.
    lonely: Option<(Duration, bool)>,
    has_begun: bool,
}

impl State {
    fn new(sources: &Sources, object: Arc<Object>, part: Arc<Part>) -> Self {
        let (tell, events) = mpsc::channel(256);
        let held = part.held();
        let unit = object.outline().len(0).unwrap_or(1) as u64;
        let mut seed = [0; 8];
        // Any seed will do.
        let _ = getrandom::fill(&mut seed);
        Self {
            has_begun: !held.is_empty(),
            picker: Ahead::new(Picker::new(held, unit, u64::from_le_bytes(seed))),
            sharing: sources.sharing().clone(),
            wanted: sources.wanted(),
            object,
            part,
            sessions: Vec::new(),
            followed: BTreeSet::new(),
            asked: Follows::new(sources.sharing().now()),
            follows: FuturesUnordered::new(),
            requests: FuturesUnordered::new(),
            tell,
            events,
            paused: None,
            is_held_up: false,
            under_way: BTreeSet::new(),
            recalled: BTreeSet::new(),
            lonely: None,
        }
    }

    /// These are connected now.
    fn follow(&mut self, sessions: Vec<Arc<Session>>) {
        for gone in &self.sessions {
            let stays = sessions.iter().any(|it| Arc::ptr_eq(it, gone));
            if !stays && self.followed.remove(&gone.peer()) {
                self.picker.gone(gone.peer());
            }
        }
        for session in &sessions {
            if self.followed.insert(session.peer()) {
                self.asked.not_refused(session.peer());
                self.follow_one(session.clone());
            }
        }
        self.sessions = sessions;
    }

    fn follow_one(&mut self, session: Arc<Session>) {
        self.asked.begin(session.peer());
        let ticket = self.sharing.endpoint().ticket().to_bytes();
        let hash = self.object.hash();
        let ask = Ask::Follow { hash, ticket };
        let follow = follow(session, hash, ask, self.tell.clone());
        self.follows.push(follow.boxed());
    }

    /// Who had nothing may fetch it too, and have some by now.
    fn ask_again(&mut self) {
        let sessions = self.sessions.iter();
        let peers = sessions.clone().map(|it| it.peer());
        let due = self.asked.again(peers, self.sharing.now());
        let due: Vec<_> = sessions
            .filter(|it| due.contains(&it.peer()))
            .cloned()
            .collect();
        for session in due {
            self.follow_one(session);
        }
    }

    /// Why nothing of it is to be had, once that is so and all were asked for it again.
    fn give_up(&mut self, sources: &Sources) -> Option<GetError> {
        let exhausted = sources.exhausted(self.asked.all_refused());
        self.asked.give_up(exhausted, self.sharing.now())
    }

    /// Asks for as much as there is room for, of each in turn.
    fn ask(&mut self) {
        let now = self.sharing.now();
        if self.is_held_up || self.paused.is_some_and(|until| now < until) {
            return;
        }
        let unit = self.object.outline().len(0).unwrap_or(1) as u64;
        let most = (MAX_AHEAD / unit).max(2) as usize;
        let mut asked = true;
        while std::mem::take(&mut asked) {
            for at in 0..self.sessions.len() {
                let Some(session) = self.sessions.get(at).cloned() else {
                    continue;
                };
                if self.requests.len() >= most {
                    return;
                }
                if let Some(unit) = self.picker.next(session.peer(), now) {
                    self.under_way.insert((session.peer(), unit));
                    self.requests.push(self.request(session, unit));
                    asked = true;
                }
            }
        }
    }

    fn request(&self, session: Arc<Session>, unit: u32) -> Request {
        let (part, outline) = (self.part.clone(), self.object.outline().clone());
        let tell = self.tell.clone();
        async move {
            let peer = session.peer();
            let len = outline.len(unit).unwrap_or(0);
            let (begins, began) = oneshot::channel();
            let coming = session.unit(outline.hash(), unit, len, Some(begins));
            let telling = async {
                if began.await.is_ok() {
                    // Many begin: that of one of them suffices.
                    let _ = tell.try_send((peer, Event::Sends));
                }
            };
            let (came, ()) = tokio::join!(coming, telling);
            let outcome = match came {
                Ok(data) => keep(part, outline, unit, data).await,
                Err(NoUnit::Missing) => Outcome::Missing,
                Err(NoUnit::Gone) => Outcome::Gone,
            };
            (peer, unit, outcome)
        }
        .boxed()
    }

    fn cancel(&self, peers: &[PeerId], unit: u32) {
        let asked = self.sessions.iter();
        for session in asked.filter(|it| peers.contains(&it.peer())) {
            session.cancel(self.object.hash(), unit);
        }
    }

    /// Its owner may pause it: what is under way is taken back then.
    fn heed(&mut self, is_held_up: bool) {
        if is_held_up && !self.is_held_up {
            for (peer, unit) in &self.under_way {
                self.cancel(&[*peer], *unit);
            }
            self.recalled.clone_from(&self.under_way);
        }
        self.is_held_up = is_held_up;
    }

    fn pause(&mut self, error: &io::Error) {
        let until = self.sharing.now() + DISK_PAUSE;
        if self.paused.replace(until).is_none() {
            let hash = self.wanted;
            let reason = error.to_string();
            self.sharing.notice(Notice::Paused { hash, reason });
        }
    }

    fn resume(&mut self) {
        let now = self.sharing.now();
        if self.paused.is_some_and(|until| now >= until) {
            self.paused = None;
            let hash = self.wanted;
            self.sharing.notice(Notice::Resumed { hash });
        }
    }

    /// Whether somebody has what is missing is told once it was not so for a while.
    fn look(&mut self) {
        let now = self.sharing.now();
        let is_held = self.is_held_up || self.paused.is_some();
        if !self.requests.is_empty() || is_held || self.picker.rests() {
            self.lonely = None;
            return;
        }
        let (since, is_told) = self.lonely.unwrap_or((now, false));
        let is_long = now >= since + LONELY;
        if is_long && !is_told {
            let hash = self.wanted;
            self.sharing.notice(Notice::Waiting { hash });
        }
        self.lonely = Some((since, is_told || is_long));
    }
}

/// Verifies what came and writes it.
async fn keep(part: Arc<Part>, outline: Arc<Outline>, unit: u32, data: Vec<u8>) -> Outcome {
    let kept = spawn_blocking(move || {
        if !outline.is_right(unit, &data) {
            return Outcome::Wrong;
        }
        match part.write(unit, &data) {
            Ok(()) => Outcome::Kept,
            Err(error) => Outcome::NotWritten(error),
        }
    });
    kept.await.unwrap_or(Outcome::Gone)
}

/// Tells what a holder says of an object.
async fn follow(session: Arc<Session>, hash: Hash, ask: Ask, tell: mpsc::Sender<(PeerId, Event)>) {
    let peer = session.peer();
    let following = async {
        let (_send, mut recv) = session.follow(hash, &ask).await?;
        while let Some(told) = frame::read(&mut recv, MAX_ANSWER).await? {
            let event = match told {
                Told::Object(described) => Event::Has(described),
                Told::Gained(units) => Event::Gained(units),
                Told::Holders(holders) => Event::Holders(tickets(&holders)),
                Told::Nothing => Event::Nothing,
                Told::Withdrawn => Event::Withdrawn,
                Told::Place(place) => Event::Place(place),
                Told::Suggest(units) => Event::Suggest(units),
            };
            if tell.send((peer, event)).await.is_err() {
                break;
            }
        }
        Ok::<_, frame::FrameError>(())
    };
    let _ = following.await;
    let _ = tell.send((peer, Event::Gone)).await;
}
