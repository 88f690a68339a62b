//! The sending side of a transfer.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use quinn::ConnectionError;
use tokio::{
    sync::mpsc,
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

use super::{
    CANCELLED, CANCELLED_THERE, Problem, Progress, Report, STREAMS, Selection, SendError,
    selection::{Item, Source},
    source::{Frames, Gone, Held, Look},
    wire::{ENTRY_LEN, FromReceiver, FromSender, Kind, MAX_MESSAGE},
};
use crate::{Connection, RecvStream, SendStream};

/// Batches of a stream that wait to be sent.
const QUEUE: usize = 2;
/// How long the receiver may take to say why it listens no more.
const PATIENCE: Duration = Duration::from_secs(5);

/// Offers what was selected and, if the receiver takes it, sends it, which `progress` shows. Ends when the receiver has it all, and closes
/// the connection. To end it before, cancel it by `progress.valve().cancel()` and wait for this: the receiver is told so then. Where the
/// future is dropped instead, the receiver hears that the sender left. Either way the same goes on where it was when it is sent once more.
///
/// # Errors
/// See [`SendError`]. A file that could not be read, or kept, is a [`Problem`] of the report.
pub async fn send(
    connection: &Connection,
    selection: Selection,
    progress: &Progress,
) -> Result<Report, SendError> {
    let mut control = Control::open(connection).await?;
    let offer = selection.offer();
    control.write(&FromSender::Offer(offer.clone())).await?;
    match control.read().await? {
        FromReceiver::Accepted => {}
        FromReceiver::Refused(refusal) => return Err(SendError::Refused(refusal)),
        other @ (FromReceiver::Have(_)
        | FromReceiver::Held { .. }
        | FromReceiver::Ready
        | FromReceiver::Trouble(_)
        | FromReceiver::Problem { .. }
        | FromReceiver::Received { .. }) => {
            return Err(unexpected(other));
        }
    }
    progress.begin(offer.files.into(), offer.bytes.unwrap_or(0));
    control.list(&selection).await?;
    let there = control.there().await?;
    let mut report = Report::default();
    let queue = Queue::new(selection.items, there, progress, &mut report);
    let sent = transmit(
        connection,
        &mut control,
        queue.clone(),
        progress,
        &mut report,
    )
    .await;
    if let Err(error) = sent {
        return Err(control.reason(error).await);
    }
    connection.close(0, b"sent");
    report.problems.extend(queue.problems());
    Ok(report)
}

async fn transmit(
    connection: &Connection,
    control: &mut Control,
    queue: Queue,
    progress: &Progress,
    report: &mut Report,
) -> Result<(), SendError> {
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS.min(queue.len()) {
        streams.spawn(stream(connection.clone(), queue.clone(), progress.clone()));
    }
    let mut opened = 0;
    let mut is_sent = false;
    let mut cancelled = pin!(progress.valve().cancelled());
    loop {
        if streams.is_empty() && !is_sent {
            is_sent = true;
            control.write(&FromSender::Sent { streams: opened }).await?;
        }
        tokio::select! {
                    () = &mut cancelled => {
                        // What is said by closing alone may get lost behind the data.
                        let _ = control.write(&FromSender::Cancelled).await;
                        let _ = timeout(PATIENCE, connection.closed()).await;
                        connection.close(CANCELLED, b"cancelled by the sender");
                        return Err(SendError::Cancelled);
                    }
                    Some(ended) = streams.join_next() => {
                        opened += u8::from(ended.map_err(|_| ConnectionError::LocallyClosed)??);
                    }
                    answer = control.answers.recv() => match answer.ok_or(SendError::Version)?? {
                        FromReceiver::Problem { file, reason } => {
                            // What is not to be sent for something in its way was among what is there.
                            if let Some(size) = queue.not_there(file) {
                                progress.missing(size);
                            }
                            let path = queue.path(file);
                            report.problems.push(Problem { path, reason });
                        }
                        FromReceiver::Received { files, bytes } if is_sent => {
                            (report.files, report.bytes) = (files, bytes);
                            report.resumed = progress.bytes_held();
                            return Ok(());
                        }
                        other @ (FromReceiver::Accepted | FromReceiver::Refused(_) | FromReceiver::Have(_) | FromReceiver::Held { .. } | FromReceiver::Ready | FromReceiver::Trouble(_) | FromReceiver::Received { .. }) => {
         return Err(unexpected(other));
        }
                    }
                }
    }
}

/// One data stream; whether it was opened at all.
async fn stream(
    connection: Connection,
    queue: Queue,
    progress: Progress,
) -> Result<bool, SendError> {
    let (out, mut batches) = mpsc::channel::<Bytes>(QUEUE);
    let valve = progress.valve().clone();
    let reading = spawn_blocking(move || {
        let mut frames = Frames::new(out, progress);
        while let Some((index, item)) = queue.next() {
            queue.send(&mut frames, index, item)?;
        }
        frames.flush()
    });
    let mut opened = None;
    while let Some(batch) = batches.recv().await {
        valve.open().await;
        let send = match &mut opened {
            Some(send) => send,
            none @ None => none.insert(connection.open_uni().await?),
        };
        SendStream::write_chunk(send, batch).await?;
    }
    let ended = reading.await.map_err(|_| ConnectionError::LocallyClosed)?;
    // Nobody is gone here but after an error above.
    ended.map_err(|Gone| ConnectionError::LocallyClosed)?;
    if let Some(send) = &mut opened {
        let _ = send.finish();
    }
    Ok(opened.is_some())
}

/// What is still to be sent, shared by the data streams.
#[derive(Clone)]
struct Queue(Arc<Inner>);

struct Inner {
    due: Mutex<Due>,
    paths: Vec<String>,
    problems: Mutex<Vec<Problem>>,
}

struct Due {
    items: std::vec::IntoIter<(u32, Item)>,
    held: BTreeMap<u32, Held>,
    /// Files that the receiver has, and their bytes.
    there: BTreeMap<u32, u64>,
}

/// What the receiver has.
#[derive(Default)]
struct There {
    have: std::collections::BTreeSet<u32>,
    held: BTreeMap<u32, Held>,
}

impl Queue {
    fn new(items: Vec<Item>, there: There, progress: &Progress, report: &mut Report) -> Self {
        let paths = items.iter().map(|item| item.entry.path.clone()).collect();
        let (mut due, mut had) = (Vec::new(), BTreeMap::new());
        for (index, item) in (0..).zip(items) {
            let Kind::File { size, .. } = item.entry.kind else {
                continue;
            };
            if there.have.contains(&index) {
                let size = size.unwrap_or(0);
                had.insert(index, size);
                progress.held(size);
                progress.file_done();
                report.files += 1;
            } else {
                due.push((index, item));
            }
        }
        Self(Arc::new(Inner {
            due: Mutex::new(Due {
                items: due.into_iter(),
                held: there.held,
                there: had,
            }),
            paths,
            problems: Mutex::default(),
        }))
    }

    fn len(&self) -> usize {
        self.due().items.len()
    }

    fn due(&self) -> std::sync::MutexGuard<'_, Due> {
        self.0.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<(u32, Item)> {
        self.due().items.next()
    }

    fn send(&self, frames: &mut Frames, index: u32, item: Item) -> Result<(), Gone> {
        let Kind::File { size, modified, .. } = item.entry.kind else {
            return Ok(());
        };
        let held = self.due().held.remove(&index);
        let problem = match item.source {
            Source::File(path) => {
                let look = Look {
                    size: size.unwrap_or(0),
                    modified,
                };
                frames.file(index, &path, look, held.as_ref())?
            }
            Source::Stream(Some(stream)) => {
                let mut stream = stream.into_inner().unwrap_or_else(PoisonError::into_inner);
                frames.stream(index, &mut *stream)?
            }
            Source::Stream(None) | Source::Nothing => None,
        };
        if let Some(reason) = problem {
            let path = item.entry.path;
            let mut problems = self
                .0
                .problems
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            problems.push(Problem { path, reason });
        }
        Ok(())
    }

    /// The bytes of a file that counted as one that the receiver has: it has it not.
    fn not_there(&self, file: u32) -> Option<u64> {
        self.due().there.remove(&file)
    }

    fn path(&self, file: u32) -> String {
        self.0.paths.get(file as usize).cloned().unwrap_or_default()
    }

    fn problems(&self) -> Vec<Problem> {
        let problems = self
            .0
            .problems
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        problems.clone()
    }
}

/// The control stream. What the receiver says is read all the time.
struct Control {
    send: SendStream,
    answers: mpsc::Receiver<Result<FromReceiver, SendError>>,
    _reading: JoinSet<()>,
}

impl Control {
    async fn open(connection: &Connection) -> Result<Self, SendError> {
        let (send, mut recv) = connection.open_bi().await?;
        let (tell, answers) = mpsc::channel(64);
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            loop {
                let message = read(&mut recv).await;
                let is_last = message.is_err();
                if tell.send(message).await.is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Self {
            send,
            answers,
            _reading: reading,
        })
    }

    async fn write(&mut self, message: &FromSender) -> Result<(), SendError> {
        Ok(self.send.write_all(&message.emit()).await?)
    }

    async fn read(&mut self) -> Result<FromReceiver, SendError> {
        self.answers.recv().await.ok_or(SendError::Version)?
    }

    /// Says which files there are.
    async fn list(&mut self, selection: &Selection) -> Result<(), SendError> {
        let mut some = Vec::new();
        let mut len = 0;
        for item in &selection.items {
            let more = ENTRY_LEN + item.entry.path.len();
            if len + more > MAX_MESSAGE - 16 {
                self.write(&FromSender::Entries(std::mem::take(&mut some)))
                    .await?;
                len = 0;
            }
            len += more;
            some.push(item.entry.clone());
        }
        self.write(&FromSender::Entries(some)).await?;
        self.write(&FromSender::Listed).await
    }

    /// What of them is there already.
    async fn there(&mut self) -> Result<There, SendError> {
        let mut there = There::default();
        loop {
            match self.read().await? {
                FromReceiver::Have(files) => there.have.extend(files),
                FromReceiver::Held {
                    file,
                    fingerprint,
                    ranges,
                } => {
                    let held = Held {
                        fingerprint,
                        ranges,
                    };
                    there.held.insert(file, held);
                }
                FromReceiver::Ready => return Ok(there),
                other @ (FromReceiver::Accepted
                | FromReceiver::Refused(_)
                | FromReceiver::Trouble(_)
                | FromReceiver::Problem { .. }
                | FromReceiver::Received { .. }) => {
                    return Err(unexpected(other));
                }
            }
        }
    }

    /// Why it came to `error`, if the receiver says that.
    async fn reason(&mut self, error: SendError) -> SendError {
        if !matches!(error, SendError::Version) {
            return error;
        }
        let trouble = async {
            loop {
                if let FromReceiver::Trouble(reason) = self.read().await? {
                    return Ok::<_, SendError>(reason);
                }
            }
        };
        match timeout(PATIENCE, trouble).await {
            Ok(Ok(reason)) => receiver(reason),
            Ok(Err(lost @ SendError::Connection(_))) => lost,
            Ok(Err(_)) | Err(_) => error,
        }
    }
}

async fn read(recv: &mut RecvStream) -> Result<FromReceiver, SendError> {
    let mut len = [0; 4];
    recv.read_exact(&mut len).await?;
    let len = u32::from_be_bytes(len) as usize;
    if len > MAX_MESSAGE {
        return Err(SendError::Version);
    }
    let mut message = vec![0; len];
    recv.read_exact(&mut message).await?;
    FromReceiver::parse(&message).map_err(|_| SendError::Version)
}

/// Anything may be cut short by what went wrong there.
fn unexpected(message: FromReceiver) -> SendError {
    if let FromReceiver::Trouble(reason) = message {
        return receiver(reason);
    }
    SendError::Version
}

/// Why the receiver goes on no more.
fn receiver(reason: String) -> SendError {
    if reason == CANCELLED_THERE {
        return SendError::CancelledThere;
    }
    SendError::Receiver(reason)
}
