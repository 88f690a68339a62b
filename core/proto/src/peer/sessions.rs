//! The conversations with a peer: those that stand, our hello that waits for its answer, and the times in hellos.

use std::{collections::BTreeMap, time::Instant};

use super::{attempt::Attempt, contact::TurnedAway};
use crate::{
    PeerId,
    handshake::Initiation,
    session::Session,
    wire::{probe::Probe, sealed::Control},
};

/// Which peer a conversation belongs to, for all peers.
type Convs = BTreeMap<u64, PeerId>;

#[derive(Default)]
pub(super) struct Sessions {
    /// Our hello that waits for its answer.
    pub(super) attempt: Option<Attempt>,
    /// The INTRO before: its answer may still come.
    late: Option<Initiation>,
    /// What the peer last spoke in.
    current: Option<Session>,
    /// The session before, or after: the peer may not have got the answer to its hello, and knows nothing of the new one.
    other: Option<Session>,
    /// Timestamp of the newest INTRO from the peer.
    newest_intro_ms: u64,
    /// Timestamp of our newest INTRO to it.
    sent_intro_ms: u64,
    /// What time the peer wants to read in our hellos, and when it said so: its clock is not ours.
    their_time: Option<(Instant, u64)>,
}

impl Sessions {
    pub(super) fn new(newest_intro_ms: u64) -> Self {
        Self {
            newest_intro_ms,
            ..Self::default()
        }
    }

    /// Whether the peer was met.
    pub(super) fn stand(&self) -> bool {
        self.current.is_some()
    }

    pub(super) fn is_calling(&self) -> bool {
        self.attempt.is_some()
    }

    /// Which try of the dial is on.
    pub(super) fn attempt_number(&self) -> Option<u32> {
        self.attempt.as_ref().map(Attempt::number)
    }

    /// Whether a hello of ours was sent that waits for its answer.
    pub(super) fn is_call_sent(&self) -> bool {
        self.attempt.as_ref().is_some_and(Attempt::is_sent)
    }

    /// Why a relay did not pass on the hello that is being said, if it did not.
    pub(super) fn turned_away(&self) -> Option<TurnedAway> {
        self.attempt.as_ref().and_then(Attempt::turned_away)
    }

    /// The session of a conversation.
    pub(super) fn of(&mut self, session_index: u64) -> Option<&mut Session> {
        let pending = self
            .attempt
            .as_mut()
            .and_then(|attempt| attempt.initiation.as_mut());
        let sessions = [
            self.current.as_mut(),
            self.other.as_mut(),
            pending.map(|initiation| &mut initiation.session),
            self.late.as_mut().map(|initiation| &mut initiation.session),
        ];
        sessions
            .into_iter()
            .flatten()
            .find(|session| session.session_index == session_index)
    }

    /// The session that an authentic message came in is the one that the peer knows.
    pub(super) fn spoke_in(&mut self, session_index: u64) {
        if self
            .other
            .as_ref()
            .is_some_and(|other| other.session_index == session_index)
        {
            std::mem::swap(&mut self.current, &mut self.other);
        }
    }

    /// A new session takes the place of the current one.
    pub(super) fn adopt(&mut self, session_indices: &mut Convs, peer: PeerId, session: Session) {
        session_indices.insert(session.session_index, peer);
        let before = self.current.replace(session);
        if let Some(oldest) = std::mem::replace(&mut self.other, before) {
            session_indices.remove(&oldest.session_index);
        }
    }

    /// Waits no longer for the answer to our hello, but takes one that is late.
    pub(super) fn drop_attempt(&mut self, session_indices: &mut Convs) {
        let Some(initiation) = self.attempt.take().and_then(|attempt| attempt.initiation) else {
            return;
        };
        if let Some(older) = self.late.replace(initiation) {
            session_indices.remove(&older.session.session_index);
        }
    }

    /// Ends all conversations.
    pub(super) fn end(&mut self, session_indices: &mut Convs) {
        self.drop_attempt(session_indices);
        let late = self.late.take().map(|initiation| initiation.session);
        let sessions = [self.current.take(), self.other.take(), late];
        for session in sessions.into_iter().flatten() {
            session_indices.remove(&session.session_index);
        }
    }

    /// Our hello of this conversation, and when it was sent if it is the newest.
    pub(super) fn hello(
        &mut self,
        session_index: u64,
    ) -> Option<(&mut Initiation, Option<Instant>)> {
        let newest = self.attempt.as_mut().and_then(|attempt| {
            let sent = attempt.sent();
            Some((attempt.initiation.as_mut()?, Some(sent)))
        });
        let late = self.late.as_mut().map(|initiation| (initiation, None));
        let mut hellos = newest.into_iter().chain(late);
        hellos.find(|(initiation, _)| initiation.session.session_index == session_index)
    }

    /// Takes the hello that was answered.
    pub(super) fn take_hello(&mut self, newest: bool) -> Option<Initiation> {
        if newest {
            self.attempt.take().and_then(|attempt| attempt.initiation)
        } else {
            self.late.take()
        }
    }

    pub(super) fn seal_control(&mut self, news: &Control) -> Option<Vec<u8>> {
        self.current.as_mut()?.seal_control(&news.emit())
    }

    /// Seals a check: while our hello is unanswered, in its session.
    pub(super) fn seal_check(&mut self, probe: &Probe) -> Option<Vec<u8>> {
        let attempt = self.attempt.as_mut();
        let session = match attempt.and_then(|attempt| attempt.initiation.as_mut()) {
            Some(initiation) => &mut initiation.session,
            None => self.current.as_mut()?,
        };
        session.seal_probe(probe)
    }

    /// Seals a question of this length in the session that stands, or in that of the newest hello that waits for its answer: a probe
    /// can make the path direct before the answer to the hello is here, which may be lost.
    pub(super) fn seal_question(&mut self, probe: &Probe, len: usize) -> Option<Vec<u8>> {
        let session = match &mut self.current {
            Some(session) => session,
            None => {
                let attempt = self.attempt.as_mut();
                let pending = attempt.and_then(|attempt| attempt.initiation.as_mut());
                &mut pending.or(self.late.as_mut())?.session
            }
        };
        session.seal_probe_of(probe, len)
    }

    /// Seals the answer to a probe, in the conversation that it came in.
    pub(super) fn seal_answer(
        &mut self,
        session_index: u64,
        probe: &Probe,
        len: usize,
    ) -> Option<Vec<u8>> {
        self.of(session_index)?.seal_probe_of(probe, len)
    }

    /// Timestamp of the newest INTRO from the peer: older ones are replayed.
    pub(super) fn newest_intro_ms(&self) -> u64 {
        self.newest_intro_ms
    }

    pub(super) fn note_intro(&mut self, timestamp_ms: u64) {
        self.newest_intro_ms = timestamp_ms;
    }

    /// The timestamp of our next hello: by the peer's clock if that is known, and later than that of the last.
    pub(super) fn next_timestamp(&mut self, now: Instant, unix_ms: u64, window_ms: u64) -> u64 {
        let time_ms = self.their_time.map_or(unix_ms, |(at, time_ms)| {
            let since = now.saturating_duration_since(at);
            time_ms.saturating_add(since.as_millis() as u64)
        });
        let before = credible(window_ms, time_ms, self.sent_intro_ms);
        self.sent_intro_ms = time_ms.max(before.saturating_add(1));
        self.sent_intro_ms
    }

    /// The peer says what time it wants to read.
    pub(super) fn set_their_time(&mut self, now: Instant, time_ms: u64) {
        self.their_time = Some((now, time_ms));
        // It is later than what the peer heard of us, and may be far earlier than what we last said.
        self.sent_intro_ms = 0;
    }

    #[cfg(any(test, feature = "_fuzzing"))]
    pub(super) fn footprint(&self) -> usize {
        use super::footprint::{NOISE, of};
        let attempts = self.attempt.iter();
        let initiations = attempts.filter_map(|attempt| attempt.initiation.as_ref());
        let initiations: usize = initiations
            .chain(&self.late)
            .map(|initiation| NOISE + of(&initiation.packet))
            .sum();
        let sessions = [&self.current, &self.other].into_iter().flatten();
        initiations + sessions.count() * NOISE
    }
}

/// A timestamp of an INTRO before, unless it is from a clock that has been corrected since.
pub(super) fn credible(window_ms: u64, time_ms: u64, timestamp_ms: u64) -> u64 {
    let latest = time_ms.saturating_add(window_ms);
    Some(timestamp_ms)
        .filter(|timestamp| *timestamp <= latest)
        .unwrap_or_default()
}
