//! Those that are measured.

use std::pin::Pin;

use peerway::RelayUrl;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    Ends, Failure,
    peerway_pair::{self, Way},
    quinn_pair,
};

/// A connection that is being made.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Flow, Failure>> + Send + 'a>>;

/// A connection that is being taken down.
pub type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a stream is written to.
pub type Sender = Box<dyn AsyncWrite + Send + Unpin>;

/// Where a stream is read from.
pub type Receiver = Box<dyn AsyncRead + Send + Unpin>;

/// A way to carry bulk from one computer to another.
pub trait Contestant {
    /// What to call it in `--flows` and in tables.
    fn name(&self) -> &'static str;

    /// Connects the two, of which each may be asked for several flows at a time.
    fn connect<'a>(&'a self, ends: &'a Ends, relay: &'a RelayUrl) -> Connecting<'a>;
}

/// Streams of one connection from the sending end to the receiving end.
#[expect(
    missing_debug_implementations,
    reason = "streams of all kinds, which have none in common"
)]
pub struct Flow {
    /// Where to write.
    pub senders: Vec<Sender>,
    /// Where it arrives.
    pub receivers: Vec<Receiver>,
    /// Takes the connection down.
    pub close: Closing,
}

/// Two Peerway nodes on a direct path.
#[derive(Debug)]
pub struct Peerway {
    name: &'static str,
    streams: usize,
}

impl Peerway {
    /// With one stream.
    pub const ONE: Self = Self {
        name: "peerway",
        streams: 1,
    };
    /// With four, which share the connection.
    pub const FOUR: Self = Self {
        name: "peerway4",
        streams: 4,
    };
}

impl Contestant for Peerway {
    fn name(&self) -> &'static str {
        self.name
    }

    fn connect<'a>(&'a self, ends: &'a Ends, relay: &'a RelayUrl) -> Connecting<'a> {
        Box::pin(async {
            let pair = peerway_pair::connect(ends, relay, Way::Direct, self.streams).await?;
            let senders = pair.senders.into_iter();
            let receivers = pair.receivers.into_iter();
            Ok(Flow {
                senders: senders.map(|s| Box::new(s) as Sender).collect(),
                receivers: receivers.map(|r| Box::new(r) as Receiver).collect(),
                close: Box::pin(async {
                    for endpoint in pair.endpoints {
                        endpoint.close().await;
                    }
                }),
            })
        })
    }
}

/// quinn on plain sockets with CUBIC, its default.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to be set")]
pub struct Quinn;

impl Contestant for Quinn {
    fn name(&self) -> &'static str {
        "quinn"
    }

    fn connect<'a>(&'a self, ends: &'a Ends, _: &'a RelayUrl) -> Connecting<'a> {
        Box::pin(async {
            let pair = quinn_pair::connect(ends).await?;
            Ok(Flow {
                senders: vec![Box::new(pair.sender)],
                receivers: vec![Box::new(pair.receiver)],
                close: Box::pin(async {
                    for endpoint in pair.endpoints {
                        endpoint.close(0_u32.into(), b"");
                    }
                }),
            })
        })
    }
}
