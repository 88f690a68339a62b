//! Those that are measured.

use std::pin::Pin;

use peerway::RelayUrl;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Ends, Failure, peerway_pair, quinn_pair};

/// A connection that is being made.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Flow, Failure>> + Send + 'a>>;

/// A connection that is being taken down.
pub type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A way to carry bulk from one computer to another.
pub trait Contestant {
    /// What to call it in `--flows` and in tables.
    fn name(&self) -> &'static str;

    /// Connects the two, of which each may be asked for several flows at a time.
    fn connect<'a>(&self, ends: &'a Ends, relay: &'a RelayUrl) -> Connecting<'a>;
}

/// One stream from the sending end to the receiving end.
#[expect(
    missing_debug_implementations,
    reason = "streams of all kinds, which have none in common"
)]
pub struct Flow {
    /// Where to write.
    pub sender: Box<dyn AsyncWrite + Send + Unpin>,
    /// Where it arrives.
    pub receiver: Box<dyn AsyncRead + Send + Unpin>,
    /// Takes the connection down.
    pub close: Closing,
}

/// Two Peerway nodes on a direct path.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to be set")]
pub struct Peerway;

impl Contestant for Peerway {
    fn name(&self) -> &'static str {
        "peerway"
    }

    fn connect<'a>(&self, ends: &'a Ends, relay: &'a RelayUrl) -> Connecting<'a> {
        Box::pin(async {
            let pair = peerway_pair::connect(ends, relay).await?;
            Ok(Flow {
                sender: Box::new(pair.sender),
                receiver: Box::new(pair.receiver),
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

    fn connect<'a>(&self, ends: &'a Ends, _: &'a RelayUrl) -> Connecting<'a> {
        Box::pin(async {
            let pair = quinn_pair::connect(ends).await?;
            Ok(Flow {
                sender: Box::new(pair.sender),
                receiver: Box::new(pair.receiver),
                close: Box::pin(async {
                    for endpoint in pair.endpoints {
                        endpoint.close(0_u32.into(), b"");
                    }
                }),
            })
        })
    }
}
