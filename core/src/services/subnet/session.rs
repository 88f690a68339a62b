//! One connection with a peer, from the hello to its end.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use tracing::debug;

use super::{
    frame::{FRAME_HEADER, Frame, MAX_PACKET},
    hello::{Hello, HelloError},
    members::Member,
    packet::Checksum,
    shared::{Shared, UNWANTED},
    uplink::{NONSENSE, STREAMS, Uplink},
};
use crate::{
    Connection, RecvStream, SendStream,
    quic::{ConnectionError, close},
};

/// What the hello may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Application error code: the hello failed.
const NO_HELLO: u32 = 2;

/// Who opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Dialler,
    Dialled,
}

/// Gives why the link did not come about, if so.
pub(super) async fn run(
    shared: &Arc<Shared>,
    member: &Arc<Member>,
    connection: &Connection,
    side: Side,
) -> Option<String> {
    let ours = shared.hello(member);
    let agreed = timeout(PATIENCE, agree(&ours, connection, side)).await;
    let agreed = agreed.map_err(|_| "the peer said nothing".to_owned());
    let agreed = agreed.and_then(|agreed| agreed.map_err(|error| error.to_string()));
    let (_streams, theirs) = match agreed {
        Ok(agreed) => agreed,
        Err(why) => {
            // It would take the place of the peer's own reason.
            if connection.close_reason().is_none() {
                connection.close(NO_HELLO, why.as_bytes());
            }
            return Some(why);
        }
    };
    let uplink = Arc::new(Uplink::new(connection));
    if !shared.attach(connection, member, theirs, &uplink).await {
        connection.close(close::NOT_LET_IN, UNWANTED);
        return None;
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(uplink.send(connection.clone(), shared.counters()));
    tokio::select! {
        _ = connection.closed() => {}
        () = receive_datagrams(shared, connection) => {}
        () = receive_streams(shared, connection) => {}
    }
    shared.detach(connection);
    None
}

/// The stream stays open: its end would be the end of the link for whoever comes after us.
async fn agree(
    ours: &Hello,
    connection: &Connection,
    side: Side,
) -> Result<((SendStream, RecvStream), Hello), AgreeError> {
    let (mut send, mut recv) = match side {
        Side::Dialler => connection.open_bi().await?,
        Side::Dialled => connection.accept_bi().await?,
    };
    let theirs = ours.exchange(&mut send, &mut recv).await?;
    Ok(((send, recv), theirs))
}

#[derive(Debug, thiserror::Error)]
enum AgreeError {
    #[error(transparent)]
    Ended(#[from] ConnectionError),
    #[error(transparent)]
    Hello(#[from] HelloError),
}

async fn receive_datagrams(shared: &Shared, connection: &Connection) {
    let peer = connection.peer();
    while let Ok(datagram) = connection.read_datagram().await {
        // Nobody else has it, so this copies nothing.
        let mut packet = datagram.try_into_mut().unwrap_or_else(|it| it[..].into());
        let Ok(length) = u16::try_from(packet.len()) else {
            continue;
        };
        let frame = Frame {
            length,
            segment: 0,
            checksum: Checksum::Complete,
        };
        shared.receive(peer, frame, &mut packet).await;
    }
}

async fn receive_streams(shared: &Arc<Shared>, connection: &Connection) {
    let mut streams = JoinSet::new();
    while let Ok(recv) = connection.accept_uni().await {
        while streams.try_join_next().is_some() {}
        if streams.len() >= STREAMS {
            streams.join_next().await;
        }
        let (shared, peer) = (shared.clone(), connection.peer());
        streams.spawn(async move {
            if let Err(error) = receive_stream(&shared, peer, recv).await {
                debug!(%error, "a lane of the peer's ended");
            }
        });
    }
}

async fn receive_stream(
    shared: &Shared,
    peer: crate::PeerId,
    mut recv: RecvStream,
) -> Result<(), quinn::ReadExactError> {
    let mut buffer = vec![0; MAX_PACKET];
    loop {
        let mut head = [0; FRAME_HEADER];
        recv.read_exact(&mut head).await?;
        let frame = Frame::decode(head);
        if frame.length == 0 {
            // Whoever sends this makes us turn for nothing.
            let _ = recv.stop(NONSENSE);
            return Ok(());
        }
        let packet = &mut buffer[..usize::from(frame.length)];
        recv.read_exact(packet).await?;
        shared.receive(peer, frame, packet).await;
    }
}
