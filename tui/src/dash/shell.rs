//! The loop: the only part of the dashboard that waits, reads a clock and touches the terminal.

use std::{
    env,
    io::{self, IsTerminal},
    sync::Arc,
    time::Duration,
};

use crossterm::event::{Event as TerminalEvent, EventStream};
use futures_util::{
    StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream, FuturesUnordered, SelectAll},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    Command, Error, Feed, NetworkRequest, Options, Request,
    job::{Change, Job},
    look::Look,
    model::Model,
    msg::{Effect, Msg},
    pace::Pace,
    record::Recorder,
    terminal::Screen,
    update::update,
};
use crate::{Told, TransferOrder};

/// Whoever stops a node should know what that means.
const STANDSTILL: &str = "this node and its links stand still until fg\n";
/// As should who stops a window on one.
const GOES_ON: &str = "the node goes on; fg brings the dashboard back\n";

/// Shows the dashboard until it is left by key, SIGINT, SIGTERM or SIGHUP; the terminal is then as it was.
///
/// # Errors
/// [`Error::NoTerminal`] if input or output is not a terminal, or one that is dumb by `TERM`, [`Error::Terminal`] if it fails, [`Error::Panicked`] if
/// another task panicked meanwhile.
pub async fn run(source: Feed, options: Options) -> Result<(), Error> {
    let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    if is_dumb || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Error::NoTerminal);
    }
    let look = Look::resolve(&options, |name| env::var(name).ok());
    let first = Arc::clone(&source.snapshots.borrow());
    let first_shown = Arc::clone(&first);
    let utc_offset_s = chrono::Local::now().offset().local_minus_utc();
    let mut model = Model::new(look, &options, utc_offset_s, first);
    let recorder = options.record.as_ref().map(|path| {
        Recorder::create(path, &options.people.names).map_err(|source| Error::Record {
            path: path.clone(),
            source,
        })
    });
    let mut recorder = recorder.transpose()?;
    if let Some(recorder) = &mut recorder {
        // What fails is told with the next one.
        let _ = recorder.snapshot(&first_shown, false);
    }
    let (width, height) = crossterm::terminal::size()?;
    update(&mut model, Msg::Resize(width, height), Duration::ZERO);
    let inline = options.inline.map(|_| model.screen);
    let mut screen = Screen::open(look.colored, !options.no_mouse, inline)?;

    let end = Shell::new(source, recorder)?
        .drive(&mut screen, &mut model)
        .await?;
    if end == End::KeepingScreen {
        screen.close_keeping_screen(&model)?;
    }
    Ok(())
}

/// When the queue of requests is full or closed.
const BUSY: &str = "the node takes no requests now; is it still running?";
/// Answers that wait to be shown.
const ANSWERS: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Plain,
    KeepingScreen,
}

struct Shell {
    source: Feed,
    recorder: Option<Recorder>,
    input: EventStream,
    signals: BoxFuture<'static, ()>,
    job: Job,
    dials: FuturesUnordered<BoxFuture<'static, Msg>>,
    answers: SelectAll<BoxStream<'static, Msg>>,
    start: Instant,
    pace: Pace,
}

impl Shell {
    fn new(source: Feed, recorder: Option<Recorder>) -> Result<Self, Error> {
        Ok(Self {
            source,
            recorder,
            input: EventStream::new(),
            signals: Box::pin(signals()?),
            job: Job::new()?,
            dials: FuturesUnordered::new(),
            answers: SelectAll::new(),
            start: Instant::now(),
            pace: Pace::default(),
        })
    }

    async fn drive(&mut self, screen: &mut Screen, model: &mut Model) -> Result<End, Error> {
        loop {
            if self.pace.take(model.dirty, self.start.elapsed()) {
                screen.draw(model)?;
                model.dirty = false;
            }
            let msg = match self.wait(model).await? {
                Wake::Msg(msg) => msg,
                Wake::FrameDue => continue,
                Wake::Job(Change::Stop) => {
                    self.suspend(screen, model).await?;
                    continue;
                }
                Wake::Job(Change::Continued) => {
                    self.resume(screen, model)?;
                    continue;
                }
                Wake::End => return Ok(End::Plain),
            };
            if let Some(unrecorded) = self.record(&msg, model.masked) {
                update(model, unrecorded, self.start.elapsed());
            }
            for effect in update(model, msg, self.start.elapsed()) {
                match effect {
                    Effect::Connect(ticket) => self.dial(ticket),
                    Effect::Ask(peer, request) => self.ask(peer, request),
                    Effect::AskNetwork(request) => self.ask_network(request),
                    Effect::Order(id, order) => self.order(id, order),
                    Effect::Services(peer) => self.ask_for_services(peer),
                    Effect::Tunnel(peer, service) => self.open_tunnel(peer, service),
                    // It is asked again with the next post.
                    Effect::HaveRead(group) => {
                        drop(self.source.commands.try_send(Command::HaveRead(group)));
                    }
                    Effect::Play(speed) => {
                        drop(self.source.commands.try_send(Command::Play(speed)));
                    }
                    Effect::Copy(text) => screen.copy(&text)?,
                    Effect::CopyScreen(area) => screen.copy_area(model, area)?,
                    Effect::Repaint => screen.repaint()?,
                    Effect::Suspend => self.suspend(screen, model).await?,
                    Effect::Quit { keep_screen: true } => return Ok(End::KeepingScreen),
                    Effect::Quit { keep_screen: false } => return Ok(End::Plain),
                }
            }
        }
    }

    /// Everything stands still meanwhile, a node of the dashboard's own too: what is shown afterwards is what has become of it.
    async fn suspend(&mut self, screen: &mut Screen, model: &mut Model) -> Result<(), Error> {
        if !self.job.has_shell() {
            update(model, Msg::NoShell, self.start.elapsed());
            return Ok(());
        }
        screen.lend(if model.owns_node { STANDSTILL } else { GOES_ON })?;
        self.job.stop().await?;
        self.resume(screen, model)
    }

    fn resume(&self, screen: &mut Screen, model: &mut Model) -> Result<(), Error> {
        let (width, height) = crossterm::terminal::size()?;
        update(model, Msg::Resize(width, height), self.start.elapsed());
        screen.retake(model)?;
        Ok(())
    }

    async fn wait(&mut self, model: &Model) -> Result<Wake, Error> {
        let frame = sleep_until(self.start + self.pace.next());
        let second = model.next_second();
        let second_passed = sleep_until(self.start + second.unwrap_or_default());
        Ok(tokio::select! {
            biased;
            () = &mut self.signals => Wake::End,
            change = self.job.change() => Wake::Job(change),
            input = self.input.next() => match input {
                Some(event) => read_input(event?),
                None => Wake::End,
            },
            told = self.source.events.next(), if !model.stopped => Wake::Msg(match told {
                Some(Told::Event(event)) => Msg::Event(event),
                Some(Told::Service(change)) => Msg::Service(change),
                Some(Told::Missed(count)) => Msg::Lagged(count),
                None => Msg::Stopped,
            }),
            changed = self.source.snapshots.changed(), if !model.stopped => {
                Wake::Msg(match changed {
                    Ok(()) => Msg::Sample(Arc::clone(&self.source.snapshots.borrow_and_update())),
                    Err(_) => Msg::Stopped,
                })
            }
            Some(swarm) = self.source.swarm.next(), if !model.stopped => {
                Wake::Msg(Msg::Swarm(swarm))
            }
            Some(commons) = self.source.commons.next(), if !model.stopped => {
                Wake::Msg(Msg::Commons(commons))
            }
            Some(outage) = self.source.outages.next() => Wake::Msg(Msg::Outage(outage)),
            Some(people) = self.source.people.next() => Wake::Msg(Msg::People(people)),
            Some(msg) = self.answers.next() => Wake::Msg(msg),
            Some(msg) = self.dials.next() => Wake::Msg(msg),
            () = frame, if model.dirty => Wake::FrameDue,
            () = second_passed, if second.is_some() => Wake::Msg(Msg::Second),
        })
    }

    /// Writes what came from the node. A disk that is full ends the recording and nothing else.
    fn record(&mut self, msg: &Msg, masked: bool) -> Option<Msg> {
        let recorder = self.recorder.as_mut()?;
        let written = if let Msg::Sample(snapshot) = msg {
            recorder.snapshot(snapshot, masked)
        } else if let Msg::Event(event) = msg {
            recorder.event(event, masked)
        } else if let Msg::Swarm(swarm) = msg {
            recorder.swarm(swarm)
        } else if let Msg::Commons(commons) = msg {
            recorder.commons(commons, masked)
        } else {
            return None;
        };
        let error = written.err()?;
        self.recorder = None;
        Some(Msg::Unrecorded(error.to_string()))
    }

    fn ask(&mut self, peer: peerway::PeerId, request: Request) {
        let (replies, answers) = mpsc::channel(ANSWERS);
        let command = Command::Peer {
            peer,
            request: request.clone(),
            replies,
        };
        let answer = move |answer| Msg::Answered(peer, request.clone(), answer);
        if self.source.commands.try_send(command).is_err() {
            let refused = Err(BUSY.to_owned());
            self.answers.push(stream::iter([answer(refused)]).boxed());
            return;
        }
        let answers = stream::unfold(answers, |mut answers| async {
            answers.recv().await.map(|answer| (answer, answers))
        });
        self.answers.push(answers.map(answer).boxed());
    }

    fn ask_network(&self, request: NetworkRequest) {
        let (reply, answer) = oneshot::channel();
        // As below.
        let command = Command::Network { request, reply };
        let _ = self.source.commands.try_send(command);
        self.dials.push(Box::pin(async move {
            let result = answer.await.unwrap_or_else(|_| Err(BUSY.to_owned()));
            Msg::OfNetwork(request, result)
        }));
    }

    fn order(&self, id: u64, order: TransferOrder) {
        let (reply, answer) = oneshot::channel();
        // As below.
        let command = Command::Transfer { id, order, reply };
        let _ = self.source.commands.try_send(command);
        self.dials.push(Box::pin(async move {
            let done = answer.await.unwrap_or_else(|_| Err(BUSY.to_owned()));
            Msg::Ordered(id, order, done)
        }));
    }

    fn ask_for_services(&self, peer: peerway::PeerId) {
        let (reply, answer) = oneshot::channel();
        // As below.
        let _ = self
            .source
            .commands
            .try_send(Command::Services { peer, reply });
        self.dials.push(Box::pin(async move {
            let services = answer.await.unwrap_or_else(|_| Err(BUSY.to_owned()));
            Msg::Services(peer, services)
        }));
    }

    fn open_tunnel(&mut self, peer: peerway::PeerId, service: String) {
        let (replies, answers) = mpsc::channel(ANSWERS);
        let command = Command::Tunnel {
            peer,
            service: service.clone(),
            replies,
        };
        let answer = move |addr| Msg::Tunnel(peer, service.clone(), addr);
        if self.source.commands.try_send(command).is_err() {
            let refused = Err(BUSY.to_owned());
            self.answers.push(stream::iter([answer(refused)]).boxed());
            return;
        }
        let answers = stream::unfold(answers, |mut answers| async {
            answers.recv().await.map(|answer| (answer, answers))
        });
        self.answers.push(answers.map(answer).boxed());
    }

    fn dial(&self, ticket: peerway::Ticket) {
        let peer = ticket.id();
        let (reply, answer) = oneshot::channel();
        // A full or closed queue drops the command, and with it the sender whose loss is the answer.
        let _ = self
            .source
            .commands
            .try_send(Command::Connect { ticket, reply });
        self.dials.push(Box::pin(async move {
            let result = answer.await.unwrap_or_else(|_| Err(BUSY.to_owned()));
            Msg::Dialled(peer, result)
        }));
    }
}

enum Wake {
    Msg(Msg),
    Job(Change),
    FrameDue,
    End,
}

fn read_input(event: TerminalEvent) -> Wake {
    match event {
        TerminalEvent::Key(key) if key.is_press() => Wake::Msg(Msg::Key(key)),
        TerminalEvent::Mouse(event) => Wake::Msg(Msg::Mouse(event)),
        TerminalEvent::Paste(text) => Wake::Msg(Msg::Paste(text)),
        TerminalEvent::Resize(width, height) => Wake::Msg(Msg::Resize(width, height)),
        TerminalEvent::Key(_) | TerminalEvent::FocusGained | TerminalEvent::FocusLost => {
            Wake::FrameDue
        }
    }
}

/// Ready when the process is asked to end.
#[cfg(unix)]
fn signals() -> io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn signals() -> io::Result<impl Future<Output = ()> + Send> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
