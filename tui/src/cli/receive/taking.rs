//! What comes, as it is shown and asked about.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    pin::pin,
};

use futures_util::{Stream, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use peerway::{PeerId, services::files::Progress};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::Instant,
};

#[cfg(unix)]
use crate::control::Client;
use crate::{
    cli::{
        failure::Failure,
        out,
        transfer::{Record, Told, catch_up, offered, shown},
    },
    operations::Failed,
    transfers::{Desk, Step},
};

/// When to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// With the program.
    Told,
    /// With the first transfer that came to its end.
    First,
    /// With the first offer, whatever becomes of it.
    Outcome,
}

/// Where the person's answers go.
pub(super) enum Answers<'a> {
    Desk(Desk),
    #[cfg(unix)]
    Node(&'a Client),
    #[cfg(not(unix))]
    #[expect(dead_code, reason = "there is no node to ask")]
    Nowhere(&'a ()),
}

impl Answers<'_> {
    async fn give(&self, transfer: u64, take: bool) -> Result<(), Failure> {
        match self {
            Self::Desk(desk) => {
                desk.answer(transfer, take);
            }
            #[cfg(unix)]
            Self::Node(client) => {
                client.answer(transfer, take).await?;
            }
            #[cfg(not(unix))]
            Self::Nowhere(()) => {}
        }
        Ok(())
    }
}

/// Transfers under way.
pub(super) struct Taking {
    json: bool,
    until: Until,
    /// What the only one who sends is called, if the book does not say.
    called: Option<String>,
    transfers: BTreeMap<u64, Transfer>,
    bars: FuturesUnordered<BoxFuture<'static, ()>>,
}

struct Transfer {
    name: String,
    progress: Progress,
    /// Since it was agreed to.
    began: Instant,
    /// Ends its bar.
    shown: Option<oneshot::Sender<()>>,
}

impl Taking {
    pub(super) fn new(json: bool, until: Until) -> Self {
        Self {
            json,
            until,
            called: None,
            transfers: BTreeMap::new(),
            bars: FuturesUnordered::new(),
        }
    }

    pub(super) fn called(self, name: String) -> Self {
        let called = Some(name);
        Self { called, ..self }
    }

    /// Follows what comes to the end that was chosen; `answers` takes what the person says to each offer, if it is asked.
    pub(super) async fn follow(
        mut self,
        steps: impl Stream<Item = Result<Step, Failure>>,
        answers: Option<Answers<'_>>,
    ) -> Result<(), Failure> {
        let mut steps = pin!(steps);
        let mut asking = answers.map(Asking::new);
        loop {
            tokio::select! {
                step = steps.next() => {
                    let step = step.ok_or(Failure::BrokenOff)??;
                    if let Some(asking) = &mut asking {
                        asking.note(&step);
                    }
                    if self.note(step, asking.is_some())? {
                        return Ok(());
                    }
                }
                Some(()) = self.bars.next() => {}
                answered = answer(asking.as_mut()) => answered?,
            }
        }
    }

    /// Whether that is the end.
    fn note(&mut self, step: Step, is_asked: bool) -> Result<bool, Failure> {
        match step {
            Step::Hint { text } => out::hint(text),
            Step::Offered {
                transfer,
                peer,
                name,
                offer,
            } => {
                let name = self.called.clone().unwrap_or(name);
                if self.json {
                    out::json(&Record::Offered {
                        peer,
                        names: &offer.names,
                        files: offer.files,
                        bytes: offer.bytes,
                    })?;
                } else if !is_asked {
                    out::text(format!("{name} offers {}", offered(&offer)))?;
                }
                self.begin(transfer, name);
            }
            Step::Progress { transfer, moved } => {
                self.show(transfer);
                if let Some(of) = self.transfers.get(&transfer) {
                    catch_up(&of.progress, &moved);
                }
            }
            Step::Withdrawn { transfer } | Step::Declined { transfer } => {
                self.transfers.remove(&transfer);
                if self.until == Until::Outcome {
                    return Err(Failure::Declined);
                }
            }
            Step::Received {
                transfer,
                peer,
                name,
                folder,
                end,
            } => {
                let (name, began) = self.end(transfer, name);
                let told = Told {
                    peer,
                    name: &name,
                    end: &end,
                    elapsed: began.elapsed(),
                };
                told.say(self.json, Some(&folder))?;
                return self.ended(peer, &name, told.complete());
            }
            Step::Failed {
                transfer,
                peer: Some(peer),
                kind,
                error,
            } => {
                let (name, _) = self.end(transfer, peer.short());
                let failed = Failure::Operation(Failed { kind, error });
                return self.ended(peer, &name, Err(failed));
            }
            Step::Failed { peer: None, .. }
            | Step::Receiving { .. }
            | Step::Offering { .. }
            | Step::Sent { .. } => {}
        }
        Ok(false)
    }

    fn begin(&mut self, transfer: u64, name: String) {
        let began = Instant::now();
        let progress = Progress::default();
        let of = Transfer {
            name,
            progress,
            began,
            shown: None,
        };
        self.transfers.insert(transfer, of);
    }

    /// Shows how it goes on, from the first that is known of that.
    fn show(&mut self, transfer: u64) {
        let Some(of) = self.transfers.get_mut(&transfer) else {
            return;
        };
        if of.shown.is_some() {
            return;
        }
        of.began = Instant::now();
        let (end, ended) = oneshot::channel();
        of.shown = Some(end);
        let (json, progress) = (self.json, of.progress.clone());
        self.bars.push(Box::pin(async move {
            let _ = shown(json, &progress, ended).await;
        }));
    }

    /// What the sender is called, and since when it has sent.
    fn end(&mut self, transfer: u64, name: String) -> (String, Instant) {
        match self.transfers.remove(&transfer) {
            Some(of) => (of.name, of.began),
            None => (name, Instant::now()),
        }
    }

    fn ended(
        &self,
        peer: PeerId,
        name: &str,
        outcome: Result<(), Failure>,
    ) -> Result<bool, Failure> {
        match outcome {
            Ok(()) => Ok(self.until != Until::Told),
            Err(failure) if self.until == Until::Outcome => Err(failure),
            Err(failure) => {
                let reason = failure.to_string();
                if self.json {
                    out::json(&Record::Failed { peer, reason })?;
                } else {
                    out::text(format!("from {name}: {reason}"))?;
                }
                Ok(false)
            }
        }
    }
}

/// Waits for the answer to what is asked, if anything is.
async fn answer(asking: Option<&mut Asking<'_>>) -> Result<(), Failure> {
    match asking {
        Some(asking) => asking.answer().await,
        None => std::future::pending().await,
    }
}

/// The person at the terminal, who is asked one thing at a time.
struct Asking<'a> {
    answers: Answers<'a>,
    lines: mpsc::Receiver<String>,
    /// The first is the one that was asked.
    questions: VecDeque<(u64, String)>,
}

impl<'a> Asking<'a> {
    fn new(answers: Answers<'a>) -> Self {
        Self {
            answers,
            lines: read_lines(),
            questions: VecDeque::new(),
        }
    }

    fn note(&mut self, step: &Step) {
        if let Step::Offered {
            transfer,
            name,
            offer,
            ..
        } = step
        {
            let question = format!("{name} offers {}", offered(offer));
            self.questions.push_back((*transfer, question));
            if self.questions.len() == 1 {
                self.ask();
            }
        }
        if let Step::Withdrawn { transfer } | Step::Declined { transfer } = step {
            let first = self.questions.front().map(|(first, _)| *first);
            self.questions.retain(|(of, _)| of != transfer);
            if first == Some(*transfer) {
                out::hint("it is not offered any more");
                self.ask();
            }
        }
    }

    /// Asks about the first of those that are offered.
    fn ask(&mut self) {
        if let Some((_, question)) = self.questions.front() {
            // What was typed before the question answers none.
            while self.lines.try_recv().is_ok() {}
            out::hint(format!("{question}. Take it? [y/N]"));
        }
    }

    async fn answer(&mut self) -> Result<(), Failure> {
        if self.questions.is_empty() {
            return std::future::pending().await;
        }
        let line = self.lines.recv().await;
        let Some((transfer, _)) = self.questions.pop_front() else {
            return Ok(());
        };
        let line = line.unwrap_or_default();
        let takes = matches!(line.trim().to_lowercase().as_str(), "y" | "yes");
        self.answers.give(transfer, takes).await?;
        self.ask();
        Ok(())
    }
}

/// Lines of stdin, from a thread that may wait for them for ever.
fn read_lines() -> mpsc::Receiver<String> {
    let (tell, lines) = mpsc::channel(1);
    spawn_blocking(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if tell.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
