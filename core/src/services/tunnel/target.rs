//! Where an exposed server is: [`Target`].

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};
#[cfg(unix)]
use std::{fs, io::ErrorKind, os::unix::fs::FileTypeExt};

#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    time::timeout,
};

use super::{Transport, local::Local, request::Obstacle};

/// The longest host name (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 253;
/// What a name server may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where a server is, and what it speaks. As text `tcp://HOST:PORT`, `udp://HOST:PORT` or `unix:/PATH`; without a scheme it is
/// TCP, and a port alone is one of this computer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A TCP server.
    Tcp(Host),
    /// A UDP server.
    Udp(Host),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(PathBuf),
}

/// A port of a computer; a name is looked up for each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    name: String,
    port: u16,
}

impl Target {
    /// What it takes.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self {
            Self::Tcp(_) => Transport::Stream,
            Self::Udp(_) => Transport::Datagrams,
            #[cfg(unix)]
            Self::Unix(_) => Transport::Stream,
        }
    }

    /// Why nobody can connect to it now, as far as this computer knows without connecting: to a server that takes just one connection
    /// that would be it. None of a server of another computer, of one that is found by a name, and of UDP.
    #[must_use]
    pub fn obstacle(&self) -> Option<Obstacle> {
        match self {
            Self::Tcp(host) => {
                let is_missing = host.addr().is_some_and(is_free);
                is_missing.then_some(Obstacle::Refused)
            }
            Self::Udp(_) => None,
            #[cfg(unix)]
            Self::Unix(path) => match fs::metadata(path) {
                Ok(known) => (!known.file_type().is_socket()).then_some(Obstacle::Refused),
                Err(error) => (error.kind() == ErrorKind::NotFound).then_some(Obstacle::NoSocket),
            },
        }
    }

    /// Nobody connects to a UDP server.
    pub(super) async fn connect(&self) -> Result<Local, Obstacle> {
        let connected = match self {
            Self::Tcp(host) => {
                let addrs = host.resolve().await?;
                TcpStream::connect(&addrs[..]).await.map(Local::Tcp)
            }
            Self::Udp(_) => return Err(Obstacle::Other),
            #[cfg(unix)]
            Self::Unix(path) => UnixStream::connect(path).await.map(Local::Unix),
        };
        connected.map_err(|error| Obstacle::of(&error))
    }
}

/// Whether the address is this computer's and nobody listens there.
fn is_free(addr: SocketAddr) -> bool {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    socket.is_ok_and(|socket| {
        // On Linux connections that have ended count for nobody then, and a server may begin at this moment.
        let is_shared = !cfg!(target_os = "linux") || socket.set_reuseaddr(true).is_ok();
        is_shared && socket.bind(addr).is_ok()
    })
}

impl Host {
    pub(super) async fn resolve(&self) -> Result<Vec<SocketAddr>, Obstacle> {
        if let Some(addr) = self.addr() {
            return Ok(vec![addr]);
        }
        let looking = lookup_host((self.name.as_str(), self.port));
        match timeout(RESOLVE_TIMEOUT, looking).await {
            Ok(Ok(addrs)) => Ok(addrs.collect()),
            Ok(Err(_)) | Err(_) => Err(Obstacle::NoAddress),
        }
    }

    /// The address, if it is one and no name.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.to_string().parse().ok()
    }
}

impl From<SocketAddr> for Host {
    fn from(addr: SocketAddr) -> Self {
        let name = match addr {
            // Of two networks that both have the address, it says which.
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            SocketAddr::V4(_) | SocketAddr::V6(_) => addr.ip().to_string(),
        };
        Self {
            name,
            port: addr.port(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.contains(':') {
            true => write!(f, "[{}]:{}", self.name, self.port),
            false => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

impl FromStr for Host {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, ParseTargetError> {
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Ok(addr.into());
        }
        let (name, port) = text.rsplit_once(':').unwrap_or(("", text));
        let port = port.parse().map_err(|_| ParseTargetError)?;
        let name = if name.is_empty() { "127.0.0.1" } else { name };
        let is_part = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if port == 0 || name.len() > MAX_HOST || !name.chars().all(is_part) {
            return Err(ParseTargetError);
        }
        let name = match name {
            "localhost" => "127.0.0.1",
            other => other,
        };
        Ok(Self {
            name: name.to_owned(),
            port,
        })
    }
}

impl From<SocketAddr> for Target {
    fn from(addr: SocketAddr) -> Self {
        Self::Tcp(addr.into())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host) => host.fmt(f),
            Self::Udp(host) => write!(f, "udp://{host}"),
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Target {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, ParseTargetError> {
        #[cfg(unix)]
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return match path.is_absolute() {
                true => Ok(Self::Unix(path)),
                false => Err(ParseTargetError),
            };
        }
        match text.split_once("://") {
            Some(("tcp", host)) => Ok(Self::Tcp(host.parse()?)),
            Some(("udp", host)) => Ok(Self::Udp(host.parse()?)),
            Some(_) => Err(ParseTargetError),
            None => Ok(Self::Tcp(text.parse()?)),
        }
    }
}

/// The text is no [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a server is HOST:PORT, as in 127.0.0.1:8080 or nas.lan:8080, a port of this computer, as in 8080, udp://HOST:PORT or unix:/PATH"
)]
#[non_exhaustive]
pub struct ParseTargetError;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_is_missing_while_nobody_listens_at_its_address() {
        // Where no other test takes the port that becomes free.
        let listener = tokio::net::TcpListener::bind("127.3.2.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let target = Target::from(addr);
        assert_eq!(target.obstacle(), None);
        let client = TcpStream::connect(addr).await.unwrap();
        // It closes first, and the system remembers the connection for a while.
        drop(listener.accept().await.unwrap());
        drop((client, listener));
        if cfg!(target_os = "linux") {
            assert_eq!(target.obstacle(), Some(Obstacle::Refused));
        }
        let other: Target = "192.0.2.1:80".parse().unwrap();
        assert_eq!(other.obstacle(), None, "another computer's");
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_socket_is_missing_until_it_is_there() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("a.sock");
        let target: Target = format!("unix:{}", path.display()).parse().unwrap();
        assert_eq!(target.obstacle(), Some(Obstacle::NoSocket));
        fs::write(&path, "").unwrap();
        assert_eq!(target.obstacle(), Some(Obstacle::Refused), "a file");
        fs::remove_file(&path).unwrap();
        let _server = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(target.obstacle(), None);
    }

    #[test]
    fn a_target_is_read_as_people_write_it_and_shown_so_that_it_is_read_again() {
        for (text, shown) in [
            ("8080", "127.0.0.1:8080"),
            (":8080", "127.0.0.1:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("nas.lan:80", "nas.lan:80"),
            ("[::1]:80", "[::1]:80"),
            ("[fe80::1%3]:80", "[fe80::1%3]:80"),
            ("tcp://nas:80", "nas:80"),
            ("udp://53", "udp://127.0.0.1:53"),
            ("udp://[::1]:53", "udp://[::1]:53"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), shown);
            assert_eq!(shown.parse(), Ok(target));
        }
        for text in [
            "",
            "0",
            "nas",
            "a b:80",
            "::1:80",
            "nas:99999",
            "http://a:80",
            "unix:a",
            "udp://",
        ] {
            assert_eq!(text.parse::<Target>(), Err(ParseTargetError), "{text}");
        }
    }

    #[tokio::test]
    async fn an_address_is_connected_to_as_it_is_with_its_scope() {
        for text in ["127.0.0.1:80", "[::1]:80", "[fe80::1%3]:80"] {
            let host: Host = text.parse().unwrap();
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(host.addr(), Some(addr));
            assert_eq!(host.resolve().await, Ok(vec![addr]));
        }
        assert_eq!("nas.lan:80".parse::<Host>().unwrap().addr(), None);
    }
}
