//! `peerway up --serve-relay`: a relay within the node, for the group of whoever runs it.

use std::{
    convert::Infallible,
    fmt,
    future::pending,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    str::FromStr,
    sync::Arc,
};

use peerway::{Endpoint, RelayUrl, SecretKey};
use peerway_relay::{Access, BindError, Config, Limits, Rate, Relay};
use peerway_swarm::directory::Directory;
use tokio::sync::watch;

use super::out;
use crate::book::Book;

/// The port that relays have, unless they are told otherwise.
const PORT: u16 = 4433;
/// More clients than a group has.
const CLIENTS: usize = 128;
const CHANNELS_PER_CLIENT: usize = 128;
/// What all clients together may send through a home's line, which its owner wants to use as well: 32 Mbit/s.
const LANE_RATE: u64 = 4;

/// Where a relay is reached: at the host under which others dial it, this computer's address if there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    host: Option<String>,
    port: u16,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("write the relay's port, or the name or address under which others dial it as HOST:PORT")]
pub(super) struct ParsePlaceError;

impl FromStr for Place {
    type Err = ParsePlaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = match text.rsplit_once(':') {
            Some(("", port)) => (None, port),
            Some((host, port)) => (Some(host), port),
            None => (None, text),
        };
        let port = port.parse().map_err(|_| ParsePlaceError)?;
        let bare = host.map(|host| {
            let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
            inner.unwrap_or(host).to_owned()
        });
        // An IPv6 address without brackets would lose its last group to the port.
        let is_bracketed = host.is_some_and(|host| host.starts_with('['));
        if bare.as_ref().is_some_and(|host| host.contains(':')) != is_bracketed {
            return Err(ParsePlaceError);
        }
        Ok(Self { host: bare, port })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            None => write!(f, "{}", self.port),
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self {
            host: None,
            port: PORT,
        }
    }
}

/// A relay that ends with the node.
pub(super) struct OwnRelay(Relay);

impl OwnRelay {
    /// Opens the ports.
    pub(super) async fn open(
        place: &Place,
        key: SecretKey,
        directory: Option<&Directory>,
    ) -> Result<Self, BindError> {
        let config = |ip| {
            let mut config = config(ip, place, key.clone());
            config.directory = directory.map(|directory| directory.dht().clone());
            config
        };
        let ip = place.host.as_ref().and_then(|host| host.parse().ok());
        let bound = Relay::bind(config(ip)).await;
        Ok(Self(match bound {
            // The address of a router that forwards the port, or one that a cloud translates.
            Err(BindError::Socket { source, .. })
                if ip.is_some() && source.kind() == ErrorKind::AddrNotAvailable =>
            {
                Relay::bind(config(None)).await?
            }
            bound => bound?,
        }))
    }

    pub(super) fn url(&self) -> RelayUrl {
        self.0.url()
    }

    /// Has the node itself be met at the relay too; returns when its ticket says so.
    pub(super) async fn admit(&self, node: &Endpoint, others: &[RelayUrl]) {
        let url = self.url();
        let own = [url.clone()].into_iter().chain(others.iter().cloned());
        node.set_relays(own).await;
        let mut snapshots = node.snapshots();
        let named = snapshots.wait_for(|it| it.ticket.relays().contains(&url));
        // The node ended, which whoever waits for it sees as well.
        let _ = named.await;
    }

    /// Serves while `work` goes on, but nobody whom the address book blocks, and then asks clients to go elsewhere.
    pub(super) async fn during<T>(
        &self,
        book: watch::Receiver<Arc<Book>>,
        work: impl Future<Output = T>,
    ) -> T {
        let (mut work, mut running) = (pin!(work), pin!(self.0.run()));
        tokio::select! {
            biased;
            never = self.keep_out(book) => match never {},
            done = &mut work => {
                tokio::join!(running, self.0.shutdown());
                done
            }
            () = &mut running => work.await,
        }
    }

    /// Serves nobody whom the book blocks, from one change to the next.
    async fn keep_out(&self, mut book: watch::Receiver<Arc<Book>>) -> Infallible {
        loop {
            let blocked: Vec<_> = book.borrow_and_update().all_blocked().collect();
            self.0.set_access(Access::new([], blocked));
            if book.changed().await.is_err() {
                return pending().await;
            }
        }
    }

    /// What is to be done for others to reach it.
    pub(super) fn say_what_it_needs(&self) {
        let (host, port) = (self.url().host().to_owned(), self.url().port());
        let ip: Option<IpAddr> = host.parse().ok();
        let is_private = |ip: Ipv4Addr| ip.is_private() || ip.is_link_local() || ip.is_loopback();
        let is_private = matches!(ip, Some(IpAddr::V4(ip)) if is_private(ip));
        let beyond = if is_private {
            ". Its address is one of this network only: for others name the public one, HOST:PORT, to which the router forwards"
        } else {
            ""
        };
        out::hint(format!(
            "the relay needs UDP and TCP port {port} of {host} let in by firewalls{beyond}"
        ));
    }
}

fn config(ip: Option<IpAddr>, place: &Place, key: SecretKey) -> Config {
    let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let mut config = Config::new((ip.unwrap_or(everywhere), place.port).into(), key);
    config.public_host.clone_from(&place.host);
    config.limits = Limits {
        lane_rate: Some(Rate::mib_per_second(LANE_RATE)),
        client_rate: Rate::mib_per_second(LANE_RATE),
        pair_rate: Rate::mib_per_second(LANE_RATE),
        clients: CLIENTS,
        channels: CLIENTS * CHANNELS_PER_CLIENT,
        channels_per_client: CHANNELS_PER_CLIENT,
        waiting_per_client: CHANNELS_PER_CLIENT,
        ..Limits::default()
    };
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::BookFile;

    #[test]
    fn a_place_is_a_port_or_what_others_dial() {
        for (text, host, port) in [
            ("4433", None, 4433),
            (":7000", None, 7000),
            ("relay.example.org:443", Some("relay.example.org"), 443),
            ("192.0.2.7:4433", Some("192.0.2.7"), 4433),
            ("[2001:db8::7]:4433", Some("2001:db8::7"), 4433),
        ] {
            let host = host.map(str::to_owned);
            let place = Place { host, port };
            assert_eq!(text.parse(), Ok(place.clone()), "{text}");
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for wrong in [
            "",
            "relay.example.org",
            "2001:db8::7",
            "host:99999",
            "[host]:1",
        ] {
            assert_eq!(wrong.parse::<Place>(), Err(ParsePlaceError), "{wrong}");
        }
        assert_eq!(Place::default().to_string(), "4433");
    }

    #[tokio::test]
    async fn whom_the_book_blocks_the_relay_does_not_serve_from_then_on() {
        let place = "127.0.0.1:0".parse().unwrap();
        let relay = OwnRelay::open(&place, SecretKey::generate().unwrap(), None).await;
        let relay = relay.unwrap();
        let key = SecretKey::from_seed(&[1; 32]);
        let folder = tempfile::tempdir().unwrap();
        let text = format!("[peers.a]\npeer = \"{}\"\ntrust = \"block\"\n", key.id());
        std::fs::write(folder.path().join("book.toml"), text).unwrap();
        let blocking = BookFile::in_folder(folder.path()).read().unwrap();
        let (change, book) = watch::channel(Arc::default());
        let work = async {
            let node = Endpoint::builder().secret_key(key).relays([relay.url()]);
            let node = node.bind().await.unwrap();
            node.online().await.unwrap();
            change.send_replace(Arc::new(blocking));
            let mut snapshots = node.snapshots();
            let refused = snapshots.wait_for(|it| {
                let errors = it.relays.iter().filter_map(|relay| relay.error.as_ref());
                errors
                    .into_iter()
                    .any(|error| error.contains("does not let this key in"))
            });
            refused.await.unwrap();
        };
        relay.during(book, work).await;
    }
}
