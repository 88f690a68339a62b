//! The receiving side of a transfer: reads both kinds of streams and hands what comes to whoever writes it.

use std::{collections::BTreeSet, io, pin::pin, sync::Arc};

use quinn::{ConnectionError, ReadError};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinSet, spawn_blocking},
};

use super::{
    CANCELLED, CANCELLED_THERE, Offered, Progress, ReceiveError, Refusal, Report, STREAMS,
    inbox::goodbye,
    intake::Intake,
    name::sanitise,
    tree::MAX_UNIT,
    wire::{Entry, Frame, FromReceiver, FromSender, Kind, MAX_MESSAGE, NoMessage},
    work::Work,
};
use crate::{Connection, PeerId, RecvStream, SendStream};

/// Application error code (RFC 9000 section 20.2): the peer broke its word.
const CUT_OFF: u32 = 2;
/// Frames of a stream that came together, at most, and how many such wait to be written.
const TOGETHER: usize = 64;
const QUEUE: usize = 3;
/// Bytes that are read at a time, where no unit is due.
const READ: usize = 64 << 10;

/// The control stream.
#[derive(Debug)]
pub(super) struct Control {
    send: SendStream,
    recv: RecvStream,
}

impl Control {
    pub(super) fn new(send: SendStream, recv: RecvStream) -> Self {
        Self { send, recv }
    }

    pub(super) async fn read(&mut self) -> Result<FromSender, ReceiveError> {
        let message = read_message(&mut self.recv).await?;
        FromSender::parse(&message).map_err(lied)
    }

    pub(super) async fn write(&mut self, message: &FromReceiver) -> Result<(), ReceiveError> {
        Ok(self.send.write_all(&message.emit()).await?)
    }

    pub(super) fn into_send(self) -> SendStream {
        self.send
    }
}

async fn read_message(recv: &mut RecvStream) -> Result<Vec<u8>, ReceiveError> {
    let mut len = [0; 4];
    recv.read_exact(&mut len).await?;
    let len = u32::from_be_bytes(len) as usize;
    if len > MAX_MESSAGE {
        return Err(lied(NoMessage));
    }
    let mut message = vec![0; len];
    recv.read_exact(&mut message).await?;
    Ok(message)
}

/// Takes what is offered, and says at the end what came of it, also to the sender.
pub(super) async fn take(offered: Offered, progress: &Progress) -> Result<Report, ReceiveError> {
    let connection = offered.connection.clone();
    let mut control = offered.control;
    let taken = transfer(
        &offered.inbox,
        &offered.offer,
        &connection,
        &mut control,
        progress,
    );
    match taken.await {
        Ok(report) => {
            goodbye(control.into_send(), &connection).await;
            Ok(report)
        }
        Err(error) => {
            let error = told(error);
            say_why(&error, control, &connection).await;
            Err(error)
        }
    }
}

/// A sender that sends no more also says so by how it hangs up.
fn told(error: ReceiveError) -> ReceiveError {
    if let ReceiveError::Connection(ConnectionError::ApplicationClosed(closed)) = &error
        && closed.error_code == CANCELLED.into()
    {
        return ReceiveError::CancelledThere;
    }
    error
}

async fn say_why(error: &ReceiveError, control: Control, connection: &Connection) {
    match error {
        ReceiveError::Lied(what) => {
            let reason = format!("cut off: {what}");
            connection.close(CUT_OFF, reason.as_bytes());
        }
        ReceiveError::Write { what, source } => {
            let reason = format!("cannot write {what}: {source}");
            trouble(reason, control, connection).await;
        }
        ReceiveError::Displaced => trouble(error.to_string(), control, connection).await,
        ReceiveError::Cancelled => trouble(CANCELLED_THERE.to_owned(), control, connection).await,
        // The sender waits for it.
        ReceiveError::CancelledThere => connection.close(CANCELLED, b""),
        ReceiveError::Left => connection.close(CANCELLED, b"the sender left"),
        ReceiveError::Connection(_) | ReceiveError::Refused => {}
    }
}

async fn trouble(reason: String, mut control: Control, connection: &Connection) {
    let said = control.write(&FromReceiver::Trouble(reason)).await;
    if said.is_ok() {
        goodbye(control.into_send(), connection).await;
    }
}

async fn transfer(
    inbox: &super::Inbox,
    offer: &super::Offer,
    connection: &Connection,
    control: &mut Control,
    progress: &Progress,
) -> Result<Report, ReceiveError> {
    if offer.files as usize + offer.folders as usize > super::MAX_FILES {
        control
            .write(&FromReceiver::Refused(Refusal::TooMuch))
            .await?;
        return Err(ReceiveError::Refused);
    }
    control.write(&FromReceiver::Accepted).await?;
    let entries = list(offer, control).await?;
    let sender = (!inbox.any_sender).then(|| connection.peer());
    let id = id(sender, &entries);
    let mut displaced = inbox.begin(&id);
    progress.begin(offer.files.into(), offer.bytes.unwrap_or(0));
    let opening = {
        let (inbox, progress) = (inbox.clone(), progress.clone());
        spawn_blocking(move || Work::open(&inbox, &id, entries, &progress))
    };
    let work = Arc::new(opening.await.map_err(io::Error::from).map_err(broke)??);
    let receiving = async {
        for message in work.held() {
            control.write(&message).await?;
        }
        control.write(&FromReceiver::Ready).await?;
        data(connection, control, &work).await?;
        let closing = work.clone();
        let report = spawn_blocking(move || closing.close()).await;
        let report = report.map_err(io::Error::from).map_err(broke)?;
        control
            .write(&FromReceiver::Received {
                files: report.files,
                bytes: report.bytes,
            })
            .await?;
        Ok(report)
    };
    tokio::select! {
        received = receiving => received,
        () = is_set(&mut displaced) => Err(ReceiveError::Displaced),
        () = progress.valve().cancelled() => Err(ReceiveError::Cancelled),
    }
}

async fn is_set(displaced: &mut watch::Receiver<bool>) {
    if displaced.wait_for(|displaced| *displaced).await.is_err() {
        std::future::pending().await
    }
}

/// The files that were offered, as many and as large as was said.
async fn list(
    offer: &super::Offer,
    control: &mut Control,
) -> Result<Vec<(Entry, super::name::SafePath)>, ReceiveError> {
    let mut entries = Vec::new();
    let mut paths = BTreeSet::new();
    let (mut files, mut folders, mut bytes) = (0, 0, 0);
    loop {
        let some = match control.read().await? {
            FromSender::Entries(some) => some,
            FromSender::Listed => break,
            FromSender::Cancelled => return Err(ReceiveError::CancelledThere),
            FromSender::Offer(_) | FromSender::Sent { .. } => return Err(lied(NoMessage)),
        };
        for entry in some {
            match entry.kind {
                Kind::Folder => folders += 1,
                Kind::File { size, .. } => {
                    files += 1;
                    bytes += size.unwrap_or(0);
                    if size.is_none() && offer.bytes.is_some() {
                        return Err(lied("it sends more than it offered"));
                    }
                }
            }
            let is_more = offer.bytes.is_some_and(|offered| bytes > offered);
            if files > offer.files || folders > offer.folders || is_more {
                return Err(lied("it sends more than it offered"));
            }
            let path = sanitise(&entry.path).map_err(|bad| lied(format!("it names {bad}")))?;
            if !paths.insert(entry.path.clone()) {
                return Err(lied("it names a file twice"));
            }
            entries.push((entry, path));
        }
    }
    Ok(entries)
}

/// What a transfer is known by when it goes on: who sends, and what was selected.
fn id(sender: Option<PeerId>, entries: &[(Entry, super::name::SafePath)]) -> String {
    let mut hasher = blake3::Hasher::new();
    if let Some(sender) = sender {
        hasher.update(sender.as_bytes());
    }
    let tops: BTreeSet<_> = entries.iter().map(|(_, path)| path.top()).collect();
    for top in tops {
        hasher
            .update(&(top.len() as u64).to_be_bytes())
            .update(top.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

/// All data streams, to their end.
async fn data(
    connection: &Connection,
    control: &mut Control,
    work: &Arc<Work>,
) -> Result<(), ReceiveError> {
    let mut streams = JoinSet::new();
    let (mut opened, mut announced, mut is_cut) = (0, None, false);
    let (mut problems, Control { send, recv }) = (work.problems(), control);
    // One future for all turns, as one that is dropped may have read half of the message.
    let mut message = pin!(read_message(recv));
    loop {
        if announced.is_some() && is_cut {
            return Err(lied("it ended in the middle of a file"));
        }
        if announced == Some(opened) && streams.is_empty() {
            break;
        }
        tokio::select! {
            accepted = connection.accept_uni(), if opened < STREAMS => {
                opened += 1;
                streams.spawn(stream(accepted?, work.clone()));
            }
            message = &mut message, if announced.is_none() => {
                match FromSender::parse(&message?).map_err(lied)? {
                    FromSender::Sent { streams } if usize::from(streams) <= STREAMS => {
                        announced = Some(usize::from(streams));
                    }
                    FromSender::Cancelled => return Err(ReceiveError::CancelledThere),
                    FromSender::Sent { .. } | FromSender::Offer(_) | FromSender::Entries(_) | FromSender::Listed => {
                        return Err(lied(NoMessage));
                    }
                }
            }
            Some(ended) = streams.join_next() => match ended.map_err(io::Error::from).map_err(broke)? {
                // Whether it says that this was all, or is gone, is heard next.
                Err(ReceiveError::Left) => is_cut = true,
                ended => ended?,
            },
            Some(problem) = problems.recv() => send.write_all(&problem.emit()).await?,
        }
        if announced.is_some_and(|announced| opened > announced) {
            return Err(lied(NoMessage));
        }
    }
    while let Ok(problem) = problems.try_recv() {
        send.write_all(&problem.emit()).await?;
    }
    Ok(())
}

/// One data stream: read here, written elsewhere.
async fn stream(recv: RecvStream, work: Arc<Work>) -> Result<(), ReceiveError> {
    let valve = work.progress.valve().clone();
    let (frames, mut queue) = mpsc::channel(QUEUE);
    let writing = spawn_blocking(move || {
        let mut intake = Intake::new(work);
        while let Some(frames) = queue.blocking_recv() {
            for (frame, data) in frames {
                intake.take(frame, data)?;
            }
        }
        Ok::<_, ReceiveError>(intake)
    });
    let mut reader = Reader::new(recv);
    let read = loop {
        // What is not read is not sent either, once the stream's credit is used up.
        valve.open().await;
        match reader.next_ones().await {
            Ok(some) => {
                // Who writes no more says why.
                if some.is_empty() || frames.send(some).await.is_err() {
                    break Ok(());
                }
            }
            Err(error) => break Err(error),
        }
    };
    drop(frames);
    let intake = writing.await.map_err(io::Error::from).map_err(broke)??;
    read?;
    intake.end()
}

/// Takes a data stream apart.
struct Reader {
    recv: RecvStream,
    buffer: Vec<u8>,
    at: usize,
}

impl Reader {
    fn new(recv: RecvStream) -> Self {
        Self {
            recv,
            buffer: Vec::new(),
            at: 0,
        }
    }

    /// The next frame and those behind it that need not be waited for: small files come many at a time. None at the end.
    async fn next_ones(&mut self) -> Result<Vec<(Frame, Vec<u8>)>, ReceiveError> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await? {
            frames.push(frame);
            if frames.len() == TOGETHER || !self.is_next_there() {
                break;
            }
        }
        Ok(frames)
    }

    async fn next(&mut self) -> Result<Option<(Frame, Vec<u8>)>, ReceiveError> {
        let (frame, len) = loop {
            if let Some(head) = self.head()? {
                break head;
            }
            let had = self.buffer.len() - self.at;
            if !self.fill(had + 1).await? {
                return match had {
                    0 => Ok(None),
                    _ => Err(ReceiveError::Left),
                };
            }
        };
        self.at += len;
        let data = match frame {
            Frame::Unit { len, .. } => self.data(len).await?,
            Frame::File(_)
            | Frame::Zeros { .. }
            | Frame::End { .. }
            | Frame::Anew { .. }
            | Frame::Failed(_) => Vec::new(),
        };
        Ok(Some((frame, data)))
    }

    /// The next frame without its data, and how long it is, if all of it has come.
    fn head(&self) -> Result<Option<(Frame, usize)>, ReceiveError> {
        let Some((&kind, rest)) = self.buffer[self.at..].split_first() else {
            return Ok(None);
        };
        let mut len = Frame::rest(kind).map_err(lied)?;
        let Some(fixed) = rest.get(..len) else {
            return Ok(None);
        };
        len += Frame::reason_len(kind, fixed).map_err(lied)?.unwrap_or(0);
        let Some(rest) = rest.get(..len) else {
            return Ok(None);
        };
        Ok(Some((Frame::parse(kind, rest).map_err(lied)?, 1 + len)))
    }

    /// Whether the next frame is there with its data, or is none.
    fn is_next_there(&self) -> bool {
        let there = self.buffer.len() - self.at;
        match self.head() {
            Ok(Some((Frame::Unit { len: data, .. }, len))) => there - len >= data as usize,
            Ok(head) => head.is_some(),
            Err(_) => true,
        }
    }

    async fn data(&mut self, len: u32) -> Result<Vec<u8>, ReceiveError> {
        let len = len as usize;
        if len as u64 > MAX_UNIT {
            return Err(lied("it sends a unit that is too long"));
        }
        let there = &self.buffer[self.at..];
        let there = &there[..there.len().min(len)];
        let mut data = Vec::with_capacity(len);
        data.extend_from_slice(there);
        self.at += there.len();
        let from = data.len();
        data.resize(len, 0);
        self.recv.read_exact(&mut data[from..]).await?;
        Ok(data)
    }

    /// Reads until so much is there; false at the end of the stream.
    async fn fill(&mut self, len: usize) -> Result<bool, ReceiveError> {
        while self.buffer.len() - self.at < len {
            self.buffer.drain(..self.at);
            self.at = 0;
            let had = self.buffer.len();
            self.buffer.resize(had + READ, 0);
            let read = self.recv.read(&mut self.buffer[had..]).await;
            self.buffer
                .truncate(had + read.as_ref().ok().copied().flatten().unwrap_or(0));
            if read.map_err(ended)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn ended(error: ReadError) -> ReceiveError {
    match error {
        ReadError::ConnectionLost(error) => error.into(),
        ReadError::Reset(_)
        | ReadError::ClosedStream
        | ReadError::IllegalOrderedRead
        | ReadError::ZeroRttRejected => lied("it broke a stream off"),
    }
}

pub(super) fn lied(what: impl ToString) -> ReceiveError {
    ReceiveError::Lied(what.to_string())
}

/// The runtime ends.
fn broke(_: io::Error) -> ReceiveError {
    ConnectionError::LocallyClosed.into()
}
