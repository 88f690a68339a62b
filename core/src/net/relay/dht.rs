//! The Mainline DHT by way of the node's relays: [`RelayDht`].

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::super::command::Command;
use crate::{
    Item, RelayUrl,
    wire::relay::{DhtOutcome, ToRelay},
};

/// For the relay to start a node of the DHT (5 s) and to store something (15 s; a look-up is 10 s), and for the way there and back.
const PATIENCE: Duration = Duration::from_secs(22);
/// Answers to one question that wait to be read, the last place of which is for the end; items beyond that are left out. Honest nodes
/// have one.
const ANSWERS: usize = 32;
/// Questions at the same time.
const MAX_ASKS: usize = 32;

/// Why a relay did not look something up in the Mainline DHT, or store it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayDhtError {
    /// Name a relay, or wait until the node is registered.
    #[error("the node is registered with no relay that could be asked")]
    NoRelay,
    /// Nothing that could be done here.
    #[error("no node of the Mainline DHT answers the relay either")]
    Silent,
    /// Try again later.
    #[error("the relay was asked too much at once: try again in a few seconds")]
    Busy,
    /// Another computer has this key, or this one's clock was set back.
    #[error("a newer item is stored there already")]
    Outdated,
    /// Use another relay.
    #[error("the relay does not do this, or nodes of the Mainline DHT refuse the item")]
    Refused,
    /// Use another relay.
    #[error("the relay did not answer within {} s: it may be of an earlier version", PATIENCE.as_secs())]
    Timeout,
    /// Try again.
    #[error("the relay was lost before it answered")]
    Lost,
}

/// What a relay is asked.
#[derive(Debug)]
pub(crate) enum Question {
    Get { key: [u8; 32] },
    Put { item: Item },
}

/// What it says.
#[derive(Debug)]
pub(crate) enum Answer {
    Item(Item),
    Dealt(DhtOutcome),
    NoRelay,
}

/// The Mainline DHT by way of the relay that the node is registered with, for programs in networks that drop UDP. The relay sees which
/// keys are asked for and what is stored, and can hide things; what it gives is a claim, as that of any node of the DHT. See
/// [`Endpoint::relay_dht`](crate::Endpoint::relay_dht).
#[derive(Clone, Debug)]
pub struct RelayDht {
    /// It does not keep the node alive.
    commands: mpsc::WeakSender<Command>,
}

impl RelayDht {
    pub(crate) fn new(commands: mpsc::WeakSender<Command>) -> Self {
        Self { commands }
    }

    /// Has the relay look for what is stored under a key.
    pub async fn get(&self, key: [u8; 32]) -> RelayLookup {
        self.ask(Question::Get { key }).await
    }

    /// Has the relay store an item. How many nodes took it, at most 255.
    ///
    /// # Errors
    /// Each of [`RelayDhtError`].
    pub async fn put(&self, item: Item) -> Result<u8, RelayDhtError> {
        let mut lookup = self.ask(Question::Put { item }).await;
        loop {
            match lookup.answer().await? {
                Answer::Dealt(outcome) => return judge(outcome),
                Answer::NoRelay => return Err(RelayDhtError::NoRelay),
                Answer::Item(_) => {}
            }
        }
    }

    async fn ask(&self, question: Question) -> RelayLookup {
        let (reply, answers) = mpsc::channel(ANSWERS);
        if let Some(commands) = self.commands.upgrade() {
            let _ = commands.send(Command::AskRelay { question, reply }).await;
        }
        RelayLookup {
            answers,
            until: Instant::now() + PATIENCE,
            is_over: false,
        }
    }
}

/// What is found, as it is found.
#[derive(Debug)]
pub struct RelayLookup {
    answers: mpsc::Receiver<Answer>,
    until: Instant,
    is_over: bool,
}

impl RelayLookup {
    /// The next item that the relay was given for the key; none when there are no more. A later one may be older. May be dropped and
    /// called again without losing any.
    ///
    /// # Errors
    /// Why the relay has not looked; this is the end too.
    pub async fn next(&mut self) -> Option<Result<Item, RelayDhtError>> {
        if self.is_over {
            return None;
        }
        let ended = match self.answer().await {
            Ok(Answer::Item(item)) => return Some(Ok(item)),
            Ok(Answer::Dealt(outcome)) => judge(outcome).map(drop),
            Ok(Answer::NoRelay) => Err(RelayDhtError::NoRelay),
            Err(error) => Err(error),
        };
        self.is_over = true;
        ended.err().map(Err)
    }

    async fn answer(&mut self) -> Result<Answer, RelayDhtError> {
        let answer = timeout_at(self.until, self.answers.recv()).await;
        let answer = answer.map_err(|_| RelayDhtError::Timeout)?;
        answer.ok_or(RelayDhtError::Lost)
    }
}

fn judge(outcome: DhtOutcome) -> Result<u8, RelayDhtError> {
    match outcome {
        DhtOutcome::Done { nodes } => Ok(nodes),
        DhtOutcome::Silent => Err(RelayDhtError::Silent),
        DhtOutcome::Busy => Err(RelayDhtError::Busy),
        DhtOutcome::Outdated => Err(RelayDhtError::Outdated),
        DhtOutcome::Refused | DhtOutcome::Other(_) | _ => Err(RelayDhtError::Refused),
    }
}

/// The questions whose answers are waited for.
#[derive(Debug, Default)]
pub(super) struct Asks {
    waiting: BTreeMap<u32, (RelayUrl, mpsc::Sender<Answer>)>,
    last: u32,
}

impl Asks {
    /// Takes a question to a relay. What to say to it, unless so many wait that there is no room for another.
    pub(super) fn put(
        &mut self,
        relay: &RelayUrl,
        question: Question,
        reply: mpsc::Sender<Answer>,
    ) -> Option<ToRelay> {
        self.waiting.retain(|_, (_, reply)| !reply.is_closed());
        if self.waiting.len() >= MAX_ASKS {
            let _ = reply.try_send(Answer::Dealt(DhtOutcome::Busy));
            return None;
        }
        self.last = self.last.wrapping_add(1);
        let ask = self.last;
        self.waiting.insert(ask, (relay.clone(), reply));
        Some(match question {
            Question::Get { key } => ToRelay::Get { ask, key },
            Question::Put { item } => ToRelay::Put { ask, item },
        })
    }

    /// A relay answers.
    pub(super) fn on_answer(&mut self, relay: &RelayUrl, ask: u32, answer: Answer) {
        let Some((asked, reply)) = self.waiting.get(&ask) else {
            return;
        };
        if asked != relay {
            return;
        }
        let is_end = matches!(answer, Answer::Dealt(_));
        // Who does not read what was found has enough, but is to hear how it ended.
        if is_end || reply.capacity() > 1 {
            let _ = reply.try_send(answer);
        }
        if is_end {
            self.waiting.remove(&ask);
        }
    }

    /// A relay is lost, and with it what it was asked.
    pub(super) fn on_lost(&mut self, relay: &RelayUrl) {
        self.waiting.retain(|_, (asked, _)| asked != relay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    fn relay(seed: u8) -> RelayUrl {
        RelayUrl::new(SecretKey::from_seed(&[seed; 32]).id(), "192.0.2.7", 4433).unwrap()
    }

    fn item(byte: u8) -> Item {
        Item::new([byte; 32], 1, vec![byte], [byte; 64])
    }

    fn lookup(answers: mpsc::Receiver<Answer>) -> RelayLookup {
        RelayLookup {
            answers,
            until: Instant::now() + PATIENCE,
            is_over: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_relay_that_was_asked_answers_and_what_it_says_after_the_end_is_nobodys() {
        let (mut asks, (reply, answers)) = (Asks::default(), mpsc::channel(ANSWERS));
        let asked = asks.put(&relay(1), Question::Get { key: [7; 32] }, reply);
        let Some(ToRelay::Get { ask, key }) = asked else {
            panic!("{asked:?}");
        };
        assert_eq!(key, [7; 32]);
        asks.on_answer(&relay(2), ask, Answer::Item(item(2)));
        asks.on_answer(&relay(1), ask + 1, Answer::Item(item(3)));
        asks.on_answer(&relay(1), ask, Answer::Item(item(1)));
        asks.on_answer(&relay(1), ask, Answer::Dealt(DhtOutcome::Done { nodes: 1 }));
        asks.on_answer(&relay(1), ask, Answer::Item(item(4)));
        let mut lookup = lookup(answers);
        assert_eq!(lookup.next().await, Some(Ok(item(1))));
        assert_eq!(lookup.next().await, None);
        assert_eq!(lookup.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_relay_that_says_nothing_or_is_lost_is_told_apart_from_one_that_found_nothing() {
        let (mut asks, (reply, answers)) = (Asks::default(), mpsc::channel(ANSWERS));
        asks.put(&relay(1), Question::Get { key: [7; 32] }, reply);
        let mut silent = lookup(answers);
        assert_eq!(silent.next().await, Some(Err(RelayDhtError::Timeout)));
        assert_eq!(silent.next().await, None);
        let (reply, answers) = mpsc::channel(ANSWERS);
        asks.put(&relay(1), Question::Get { key: [7; 32] }, reply);
        asks.on_lost(&relay(1));
        assert_eq!(lookup(answers).next().await, Some(Err(RelayDhtError::Lost)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_late_hears_how_it_ended_whatever_was_found() {
        let (mut asks, (reply, answers)) = (Asks::default(), mpsc::channel(ANSWERS));
        asks.put(&relay(1), Question::Get { key: [7; 32] }, reply);
        let ask = asks.last;
        for byte in 0..40 {
            asks.on_answer(&relay(1), ask, Answer::Item(item(byte)));
        }
        asks.on_answer(
            &relay(1),
            ask,
            Answer::Dealt(DhtOutcome::Done { nodes: 40 }),
        );
        let mut lookup = lookup(answers);
        for byte in 0..ANSWERS - 1 {
            assert_eq!(lookup.next().await, Some(Ok(item(byte as u8))));
        }
        assert_eq!(lookup.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn questions_that_nobody_waits_for_take_no_room() {
        let mut asks = Asks::default();
        let mut kept = Vec::new();
        for _ in 0..MAX_ASKS {
            let (reply, answers) = mpsc::channel(ANSWERS);
            assert!(
                asks.put(&relay(1), Question::Get { key: [7; 32] }, reply)
                    .is_some()
            );
            kept.push(answers);
        }
        let (reply, answers) = mpsc::channel(ANSWERS);
        assert!(
            asks.put(&relay(1), Question::Get { key: [7; 32] }, reply)
                .is_none()
        );
        assert_eq!(lookup(answers).next().await, Some(Err(RelayDhtError::Busy)));
        kept.pop();
        let (reply, _answers) = mpsc::channel(ANSWERS);
        assert!(
            asks.put(&relay(1), Question::Get { key: [7; 32] }, reply)
                .is_some()
        );
    }
}
