//! SOCKS5 and HTTP CONNECT for programs of this computer, for as long as somebody listens to what they ask for in vain.
//!
//! The [`Steps`] are data, and the same whether a command runs the node itself or the one that runs here does it for it over the
//! control socket. Who drops them ends the proxy.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use futures_util::stream::BoxStream;
use peerway::{
    Ticket,
    services::tunnel::{self, AssociateCounts, ProxyError},
};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::mpsc, time::sleep};

use crate::{
    book::{Book, Trust},
    forwarding::ListenError,
    links::Links,
    listened,
};

/// How often is told what became of datagrams, while any come.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Where programs are to find it.
#[cfg_attr(not(unix), expect(dead_code, reason = "there is no socket to ask at"))]
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProxyAsk {
    pub(crate) listen: SocketAddr,
}

/// One after the other, for as long as the node runs.
pub(crate) type Steps = BoxStream<'static, Step>;

/// How it fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Step {
    /// Programs find it there.
    Listening { addr: SocketAddr },
    /// What a program asked for in vain.
    Refused { name: String, reason: String },
    /// What became of UDP datagrams so far.
    Datagrams(Datagrams),
}

/// [`AssociateCounts`] as they are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Datagrams {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) fragments: u64,
    pub(crate) refused: u64,
    pub(crate) strangers: u64,
}

impl From<AssociateCounts> for Datagrams {
    fn from(counts: AssociateCounts) -> Self {
        Self {
            sent: counts.sent,
            received: counts.received,
            fragments: counts.fragments,
            refused: counts.refused,
            strangers: counts.strangers,
        }
    }
}

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyingError {
    #[error(
        "a proxy at {0} would lead others into your peers' homes: choose an address of this computer, as in 127.0.0.1:1080"
    )]
    Open(SocketAddr),
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// A place that is listened at, and the node that leads from there.
#[derive(Debug)]
pub(crate) struct Proxying {
    proxy: tunnel::Proxy,
    listener: TcpListener,
    addr: SocketAddr,
}

impl Proxying {
    /// For programs of this computer alone.
    ///
    /// # Errors
    /// See [`ProxyingError`].
    #[cfg(unix)]
    pub(crate) async fn open(links: &Links, listen: SocketAddr) -> Result<Self, ProxyingError> {
        let (listener, addr) = self::listen(listen).await?;
        Ok(Self::new(links, listener, addr))
    }

    /// Of what is listened at already.
    pub(crate) fn new(links: &Links, listener: TcpListener, addr: SocketAddr) -> Self {
        let book = links.book();
        let endpoint = links.endpoint().clone();
        Self {
            proxy: tunnel::Proxy::new(endpoint, move |name| whom(&book.borrow(), name)),
            listener,
            addr,
        }
    }

    /// What has become of UDP datagrams whenever it is asked.
    pub(crate) fn counts(&self) -> impl Fn() -> Datagrams + use<> {
        let proxy = self.proxy.clone();
        move || proxy.datagrams().into()
    }

    /// Leads programs from there.
    pub(crate) fn begin(self) -> Steps {
        listened::steps(async move |tell: mpsc::Sender<Step>| {
            let Self {
                proxy,
                listener,
                addr,
            } = self;
            // Whoever does not listen any more ends the work.
            let _ = tell.send(Step::Listening { addr }).await;
            let refusing = tell.clone();
            let refused = move |name: &str, error: &ProxyError| {
                let (name, reason) = (name.to_owned(), error.to_string());
                // Whoever does not read is served all the same.
                let _ = refusing.try_send(Step::Refused { name, reason });
            };
            tokio::select! {
                () = proxy.run(listener, refused) => {}
                never = count(&proxy, &tell) => match never {},
            }
        })
    }
}

/// Listens at an address of this computer, and says at which port.
///
/// # Errors
/// See [`ProxyingError`].
pub(crate) async fn listen(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), ProxyingError> {
    only_here(addr)?;
    let failed = |source| ListenError {
        addr: addr.to_string(),
        source,
    };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((listener, addr))
}

/// Only for an address that none but this computer reaches.
///
/// # Errors
/// [`ProxyingError::Open`].
pub(crate) fn only_here(addr: SocketAddr) -> Result<(), ProxyingError> {
    match addr.ip().is_loopback() {
        true => Ok(()),
        false => Err(ProxyingError::Open(addr)),
    }
}

async fn count(proxy: &tunnel::Proxy, tell: &mpsc::Sender<Step>) -> Infallible {
    let mut told = AssociateCounts::default();
    loop {
        sleep(COUNT_EVERY).await;
        let now = proxy.datagrams();
        if now != told && tell.try_send(Step::Datagrams(now.into())).is_ok() {
            told = now;
        }
    }
}

/// The peer of that name, which programs may have written in lower case.
fn whom(book: &Book, name: &str) -> Option<Ticket> {
    let entry = book.called(name)?;
    (entry.trust != Trust::Block).then(|| entry.ticket.clone())
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use peerway::SecretKey;

    use super::*;
    use crate::book::Name;

    #[test]
    fn a_name_is_the_peer_that_is_called_so_and_in_other_letters_only_where_that_is_one() {
        let ids = [1, 2, 3].map(|seed| SecretKey::from_seed(&[seed; 32]).id());
        let mut draft = crate::book::Draft::of("").unwrap();
        for (name, id) in ["NAS", "nas", "Box"].into_iter().zip(ids) {
            let ticket = id.into();
            draft
                .add(&Name::from_str(name).unwrap(), &ticket, None)
                .unwrap();
        }
        let called = |name| whom(draft.book(), name).map(|ticket| ticket.id());
        assert_eq!(called("NAS"), Some(ids[0]));
        assert_eq!(called("nas"), Some(ids[1]));
        assert_eq!(called("Nas"), None, "either");
        assert_eq!(called("box"), Some(ids[2]));
    }
}
