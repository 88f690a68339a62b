//! The local end of what is forwarded: a TCP connection or one of a Unix socket.

use std::io;

use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

#[derive(Debug)]
pub(super) enum Local {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Local {
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.readable().await,
            #[cfg(unix)]
            Self::Unix(unix) => unix.readable().await,
        }
    }

    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.try_read(buffer),
            #[cfg(unix)]
            Self::Unix(unix) => unix.try_read(buffer),
        }
    }

    /// Until both directions have ended, an end of ours is a reset.
    pub(super) fn reset_on_drop(&self) {
        if let Self::Tcp(tcp) = self {
            let _ = tcp.set_zero_linger();
        }
    }
}

impl From<TcpStream> for Local {
    fn from(tcp: TcpStream) -> Self {
        Self::Tcp(tcp)
    }
}

/// Where local ends come from.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<Local> {
        match self {
            Self::Tcp(tcp) => Ok(tcp.accept().await?.0.into()),
            #[cfg(unix)]
            Self::Unix(unix) => Ok(Local::Unix(unix.accept().await?.0)),
        }
    }
}
