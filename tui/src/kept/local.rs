//! Where programs of this computer find what is forwarded: [`Local`].

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

/// A local address. As text IP:PORT or a port of this computer, `udp://` before it where only UDP is meant, or `unix:/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Local {
    /// By TCP or UDP, as the server wants it.
    Addr(SocketAddr),
    Udp(SocketAddr),
    #[cfg(unix)]
    Unix(PathBuf),
}

/// The text is no [`Local`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a local address is IP:PORT, as in 127.0.0.1:8080 or [::1]:8080, a port of this computer, as in 8080, udp://IP:PORT or unix:/PATH"
)]
pub(crate) struct ParseLocalError;

impl Local {
    /// Whether the system is to choose the port, another one each time.
    pub(crate) fn is_any_port(&self) -> bool {
        match self {
            Self::Addr(addr) | Self::Udp(addr) => addr.port() == 0,
            #[cfg(unix)]
            Self::Unix(_) => false,
        }
    }

    /// Without an address it is this computer itself: nobody else is to reach it by accident.
    pub(crate) fn addr(text: &str) -> Result<SocketAddr, ParseLocalError> {
        let name = text.strip_prefix("localhost:");
        let port = name.or_else(|| text.strip_prefix(':'));
        let port: Option<u16> = port.unwrap_or(text).parse().ok();
        let here = port.map(|port| (Ipv4Addr::LOCALHOST, port).into());
        here.map_or_else(|| text.parse(), Ok)
            .map_err(|_| ParseLocalError)
    }
}

impl FromStr for Local {
    type Err = ParseLocalError;

    fn from_str(text: &str) -> Result<Self, ParseLocalError> {
        #[cfg(unix)]
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return match path.is_absolute() {
                true => Ok(Self::Unix(path)),
                false => Err(ParseLocalError),
            };
        }
        match text.strip_prefix("udp://") {
            Some(addr) => Self::addr(addr).map(Self::Udp),
            None => Self::addr(text).map(Self::Addr),
        }
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addr(addr) => addr.fmt(f),
            Self::Udp(addr) => write!(f, "udp://{addr}"),
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
