//! Files that peers are sent and that they send, for who has the node do so.

use std::io::{self, Read};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{ConnectInfo, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use peerway::{
    Names as _, Ticket,
    services::files::{Inbox, Selection},
};
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    door::Caller,
    operating::Seat,
    path::Path,
    refusal::{Refusal, absolute, failed, here},
    server::{Control, parse, refused, understood},
    streams,
};
use crate::transfers::{
    Answer, Order, OrderError, ReceiveAsk, Recipient, SendAsk, Steps, Transfers, Whom, send,
};

/// Parts of a stream that wait to be sent.
const AHEAD: usize = 4;
const FOR_WHOM: &str = "a computer's files are sent and received by whoever sits at it alone";

/// Sends files and folders, as long as somebody listens.
pub(super) async fn send_files(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<SendAsk>, JsonRejection>,
) -> Result<Response, Refusal> {
    here(caller, FOR_WHOM)?;
    let SendAsk { ticket, paths } = understood(body)?;
    paths.iter().try_for_each(|path| absolute(path))?;
    let seat = begin(&control, caller, &ticket)?;
    let selecting = spawn_blocking(move || Selection::of(&paths)).await;
    let selection = selecting.map_err(|error| failed(&error))?;
    let selection = selection.map_err(|error| failed(&error))?;
    Ok(sending(&control, ticket, selection, seat))
}

/// The same for what comes in the body of the request, to its end.
pub(super) async fn send_stream(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path((ticket, name)): Path<(String, String)>,
    body: Body,
) -> Result<Response, Refusal> {
    here(caller, FOR_WHOM)?;
    let ticket = match ticket.parse::<Ticket>() {
        Ok(ticket) => ticket,
        Err(_) => parse(&ticket)?.into(),
    };
    let seat = begin(&control, caller, &ticket)?;
    let (give, given) = mpsc::channel(AHEAD);
    #[expect(clippy::disallowed_methods, reason = "the shell")]
    tokio::spawn(pour(body, give));
    let selection = Selection::stream(&name, Poured::new(given));
    Ok(sending(&control, ticket, selection, seat))
}

/// Takes what peers offer, as long as somebody listens.
pub(super) async fn receive(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<ReceiveAsk>, JsonRejection>,
) -> Result<Response, Refusal> {
    here(caller, FOR_WHOM)?;
    let ask = understood(body)?;
    absolute(&ask.folder)?;
    let (folder, overwrite) = (ask.folder, ask.overwrite);
    let opening = spawn_blocking(move || Inbox::open(folder)).await;
    let inbox = opening.map_err(|error| failed(&error))?;
    let inbox = inbox.map_err(|error| failed(&error))?;
    let from = ask.from.map_or(Whom::Anyone, Whom::Only);
    let steps = control
        .desk()
        .receive(inbox.overwrite(overwrite), from, ask.ask);
    let steps =
        steps.map_err(|error| Refusal::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()))?;
    Ok(streams::steps(steps, control.ending()).into_response())
}

/// Answers an offer that waits for it.
pub(super) async fn answer(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(transfer): Path<u64>,
    body: Result<Json<Answer>, JsonRejection>,
) -> Result<StatusCode, Refusal> {
    here(caller, FOR_WHOM)?;
    let Answer { take } = understood(body)?;
    if control.desk().answer(transfer, take) {
        return Ok(StatusCode::NO_CONTENT);
    }
    let reason = "no offer of this number waits for an answer: it was answered or withdrawn";
    Err(Refusal::new(StatusCode::NOT_FOUND, reason))
}

/// A place among those who send, unless the peer is blocked.
fn begin(control: &Control, caller: Caller, to: &Ticket) -> Result<Seat, Refusal> {
    control.links().check(to.id()).map_err(refused)?;
    control.sends().take(caller).ok_or_else(|| {
        let reason = "the node sends enough already: try again when one of its transfers is over";
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, reason)
    })
}

/// What came and went since the node began.
pub(super) async fn transfers(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<Transfers>, Refusal> {
    here(caller, FOR_WHOM)?;
    Ok(Json(control.desk().journal().transfers()))
}

/// Holds one of them up.
pub(super) async fn pause(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(transfer): Path<u64>,
) -> Result<StatusCode, Refusal> {
    order(&control, caller, transfer, Order::Pause)
}

/// Lets one of them go on.
pub(super) async fn resume(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(transfer): Path<u64>,
) -> Result<StatusCode, Refusal> {
    order(&control, caller, transfer, Order::Resume)
}

/// Ends one of them.
pub(super) async fn cancel(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(transfer): Path<u64>,
) -> Result<StatusCode, Refusal> {
    order(&control, caller, transfer, Order::Cancel)
}

fn order(
    control: &Control,
    caller: Caller,
    transfer: u64,
    order: Order,
) -> Result<StatusCode, Refusal> {
    here(caller, FOR_WHOM)?;
    let done = control.desk().journal().running().order(transfer, order);
    done.map_err(|error| {
        let status = match error {
            OrderError::Gone(_) => StatusCode::NOT_FOUND,
            OrderError::Forward(_) => StatusCode::CONFLICT,
        };
        Refusal::new(status, error.to_string())
    })?;
    Ok(StatusCode::NO_CONTENT)
}

fn sending(control: &Control, ticket: Ticket, selection: Selection, seat: Seat) -> Response {
    let journal = Some(control.desk().journal().clone());
    let name = control.book().borrow().peer(&ticket.id());
    let endpoint = control.links().endpoint().clone();
    let steps: Steps = send(endpoint, Recipient { ticket, name }, selection, journal);
    let steps = steps.map(move |step| {
        // Held for as long as anything may come.
        let _seat = &seat;
        step
    });
    streams::steps(steps, control.ending()).into_response()
}

async fn pour(body: Body, give: mpsc::Sender<io::Result<Bytes>>) {
    let mut parts = body.into_data_stream();
    loop {
        let part = match parts.next().await {
            Some(part) => part.map_err(io::Error::other),
            // That nothing is missing is said too: a stream that breaks off is no file.
            None => Ok(Bytes::new()),
        };
        let is_last = part.as_ref().map_or(true, Bytes::is_empty);
        if give.send(part).await.is_err() || is_last {
            return;
        }
    }
}

/// What is poured in, to be read by a thread.
struct Poured {
    given: mpsc::Receiver<io::Result<Bytes>>,
    part: Bytes,
    is_whole: bool,
}

impl Poured {
    fn new(given: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self {
            given,
            part: Bytes::new(),
            is_whole: false,
        }
    }
}

impl Read for Poured {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.part.is_empty() && !self.is_whole {
            let part = self.given.blocking_recv();
            self.part = part.ok_or(io::ErrorKind::UnexpectedEof)??;
            self.is_whole = self.part.is_empty();
        }
        let len = self.part.len().min(buffer.len());
        let taken = self.part.split_to(len);
        buffer
            .iter_mut()
            .zip(&taken)
            .for_each(|(to, from)| *to = *from);
        Ok(len)
    }
}
