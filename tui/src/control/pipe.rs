//! A connection to a service of a peer for a program, which has both of its ends in the connection to the socket.
//!
//! After the answer 101 both sides send [frames](frame): the program what is for the server, the node what comes from it and,
//! between that, how it fares. The last frame of the node says what became of it. A program whose direction has ended says so by a
//! frame, and does not close its side: whoever closes it before that last frame, if only for writing, breaks the connection off.

pub(super) mod frame;

use std::{convert::Infallible, io};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use peerway::{
    Ticket,
    services::tunnel::{Forwarder, ServiceName, Transport},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split},
    sync::mpsc,
};

use self::frame::{Frame, MAX_DATA, Step};
use super::{
    door::Caller,
    path::Path,
    refusal::{Refusal, here},
    server::{Control, parse, refused},
    serving::{FOR_WHOM, seat},
};
use crate::{
    forwarding::{ForwardingError, misfit},
    links::Links,
    operations::{Dialling, Patience},
};

/// What is spoken once the node has agreed to it.
pub(super) const PROTOCOL: &str = "peerway-pipe/1";
/// What waits for a program that does not read, besides what the system holds.
const AHEAD: usize = 2;

/// A service of a peer.
struct Service {
    peer: Ticket,
    name: ServiceName,
}

/// Pipes, for as long as the program stays.
pub(super) async fn pipe(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path((peer, name)): Path<(String, String)>,
    mut request: Request,
) -> Result<Response, Refusal> {
    here(caller, FOR_WHOM)?;
    let ticket = peer.parse::<Ticket>();
    let peer = ticket.or_else(|_| parse(&peer).map(Ticket::from))?;
    let name = name.parse::<ServiceName>();
    let name = name.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    control.links().check(peer.id()).map_err(refused)?;
    let wanted = request.headers().get(header::UPGRADE);
    let is_wanted = wanted.is_some_and(|wanted| wanted == PROTOCOL);
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let Some(upgrade) = upgrade.filter(|_| is_wanted) else {
        let reason = format!("this takes the header `Upgrade: {PROTOCOL}`");
        return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, reason));
    };
    let seat = seat(&control, caller)?;
    let (links, mut ending) = (control.links().clone(), control.ending());
    let service = Service { peer, name };
    #[expect(clippy::disallowed_methods, reason = "the shell")]
    tokio::spawn(async move {
        // Held for as long as it is carried.
        let _seat = seat;
        let ended = async {
            // The sender is gone with the node.
            let _ = ending.wait_for(|ended| *ended).await;
        };
        if let Ok(upgraded) = upgrade.await {
            tokio::select! {
                () = serve(&links, &service, TokioIo::new(upgraded)) => {}
                () = ended => {}
            }
        }
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static(PROTOCOL)),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

async fn serve(links: &Links, service: &Service, program: TokioIo<Upgraded>) {
    let (from_program, to_program) = split(program);
    let (tell, told) = mpsc::channel(AHEAD);
    let (stdin, given) = duplex(MAX_DATA);
    let carrying = async {
        let step = match carry(links, service, given, &tell).await {
            Ok(()) => Step::Done,
            Err(error) => Step::Failed(error.failed()),
        };
        // A program that is gone ends this anyway.
        let _ = tell.send(Frame::Step(step)).await;
        drop(tell);
        Ok(())
    };
    tokio::select! {
        _ = async { tokio::try_join!(carrying, hand_over(told, to_program)) } => {}
        () = take(from_program, stdin) => {}
    }
}

/// A connection to the service, from its first byte to its end.
async fn carry(
    links: &Links,
    service: &Service,
    given: DuplexStream,
    tell: &mpsc::Sender<Frame>,
) -> Result<(), ForwardingError> {
    let hint = |text: &str| {
        let text = text.to_owned();
        let _ = tell.try_send(Frame::Step(Step::Hint { text }));
    };
    let endpoint = links.endpoint();
    let dialling = Dialling {
        endpoint,
        hint: &hint,
    };
    let forwarder = Forwarder::new(endpoint.clone(), service.peer.clone(), service.name.clone());
    dialling.settled().await;
    let checking = async { forwarder.check().await.map_err(ForwardingError::from) };
    let patience = Patience::within(None);
    let found = dialling.answer(&service.peer, patience, checking).await?;
    if found == Transport::Datagrams {
        return Err(misfit(found, &service.name).into());
    }
    let _ = tell.send(Frame::Step(Step::Reached)).await;
    let (stdout, mut coming) = duplex(MAX_DATA);
    let reading = async {
        loop {
            let mut data = vec![0; MAX_DATA];
            let read = coming.read(&mut data).await.unwrap_or_default();
            data.truncate(read);
            if tell.send(Frame::Data(data)).await.is_err() || read == 0 {
                return;
            }
        }
    };
    let barred = async { Err::<Infallible, _>(links.until_barred(service.peer.id()).await) };
    let piped = async { tokio::join!(forwarder.pipe(given, stdout), reading).0 };
    tokio::select! {
        piped = piped => Ok(piped?),
        barred = barred => match barred? {},
    }
}

/// Gives the program all that it is told. Ends with that, or with the program.
async fn hand_over(
    mut told: mpsc::Receiver<Frame>,
    mut to_program: WriteHalf<TokioIo<Upgraded>>,
) -> io::Result<()> {
    while let Some(frame) = told.recv().await {
        frame::write(&mut to_program, &frame).await?;
    }
    Ok(())
}

/// Takes what the program sends to the service. Ends only where the program does, or talks nonsense.
async fn take(mut from_program: ReadHalf<TokioIo<Upgraded>>, mut stdin: DuplexStream) {
    while let Ok(Some(Frame::Data(data))) = frame::read(&mut from_program).await {
        // What the service does not want any more is nobody's.
        let _ = match data.is_empty() {
            true => stdin.shutdown().await,
            false => stdin.write_all(&data).await,
        };
    }
}
