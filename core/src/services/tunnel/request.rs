//! What the two sides say to each other before they copy: [`Request`] and [`Answer`].
//!
//! A request is version, kind, length of the name, id, name; each of the first three is one byte, the id eight. The first bytes of
//! the TCP connection may follow at once. The answer is one byte.

use std::{
    fmt,
    io::{self, ErrorKind},
};

use quinn::ReadExactError;

use super::ServiceName;
use crate::RecvStream;

const VERSION: u8 = 2;
const ID_LEN: usize = 8;
const CHECK: u8 = 0;
const CONNECT: u8 = 1;
const DATAGRAMS: u8 = 2;
const LIST: u8 = 3;

/// The first bytes of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// What for.
    pub(super) kind: Purpose,
    /// Which server.
    pub(super) name: ServiceName,
    /// The TCP connection's own, so that it is not begun twice if it has to be asked for again.
    pub(super) id: u64,
}

/// What a stream is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Only to ask whether the name is exposed.
    Check,
    /// To carry one TCP connection.
    Connect,
    /// To carry the UDP datagrams of one client, which come and go beside the stream.
    Datagrams,
    /// To ask what there is; the name says nothing.
    List,
}

impl Request {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let name = self.name.as_str().as_bytes();
        let kind = match self.kind {
            Purpose::Check => CHECK,
            Purpose::Connect => CONNECT,
            Purpose::Datagrams => DATAGRAMS,
            Purpose::List => LIST,
        };
        let mut bytes = vec![VERSION, kind, name.len() as u8];
        bytes.extend_from_slice(&self.id.to_be_bytes());
        bytes.extend_from_slice(name);
        bytes
    }

    /// Reads a request; none if it is malformed or of another version.
    pub(super) async fn read(recv: &mut RecvStream) -> Result<Option<Self>, ReadExactError> {
        let mut head = [0; 3];
        recv.read_exact(&mut head).await?;
        let [version, kind, len] = head;
        let mut id = [0; ID_LEN];
        recv.read_exact(&mut id).await?;
        let mut name = vec![0; len.into()];
        recv.read_exact(&mut name).await?;
        Ok(Self::parse(version, kind, u64::from_be_bytes(id), &name))
    }

    fn parse(version: u8, kind: u8, id: u64, name: &[u8]) -> Option<Self> {
        let kind = match (version, kind) {
            (VERSION, CHECK) => Purpose::Check,
            (VERSION, CONNECT) => Purpose::Connect,
            (VERSION, DATAGRAMS) => Purpose::Datagrams,
            (VERSION, LIST) => Purpose::List,
            _ => return None,
        };
        let name = str::from_utf8(name).ok()?.parse().ok()?;
        Some(Self { kind, name, id })
    }
}

/// Why a server cannot be reached from the computer that exposes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// Nothing listens at its address: start it, or correct the address under which it is exposed.
    Refused,
    /// It did not take the connection within 3 s.
    Silence,
    /// No route leads to its computer.
    NoRoute,
    /// The system, or a firewall, does not allow connections to it.
    Forbidden,
    /// Its computer's name is not known there, or the name server does not answer.
    NoAddress,
    /// There is no socket at its path.
    NoSocket,
    /// Something else went wrong there.
    Other,
}

impl Obstacle {
    pub(super) fn of(error: &io::Error) -> Self {
        if error.kind() == ErrorKind::ConnectionRefused {
            Self::Refused
        } else if error.kind() == ErrorKind::TimedOut {
            Self::Silence
        } else if error.kind() == ErrorKind::PermissionDenied {
            Self::Forbidden
        } else if error.kind() == ErrorKind::NotFound {
            Self::NoSocket
        } else if matches!(
            error.kind(),
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
        ) {
            Self::NoRoute
        } else {
            Self::Other
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "nothing listens at its address",
            Self::Silence => "it takes no connection",
            Self::NoRoute => "there is no route to it",
            Self::Forbidden => "the system or a firewall forbids it",
            Self::NoAddress => "no address is found for its name",
            Self::NoSocket => "there is no socket at its path",
            Self::Other => "the system does not say why",
        })
    }
}

/// What the exposing side makes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Here it is.
    Ok,
    /// No server is exposed under this name.
    UnknownService,
    /// The server exposed under this name cannot be reached.
    NoTarget(Obstacle),
    /// The request was not understood.
    Malformed,
    /// This TCP connection was begun already, with bytes that must not reach the server twice.
    Repeated,
    /// It is there, and takes UDP datagrams and no connections.
    IsUdp,
    /// It is there, and takes connections and no UDP datagrams.
    IsTcp,
    /// It is for others.
    NotAllowed,
}

impl Answer {
    pub(super) fn to_byte(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::UnknownService => 1,
            Self::NoTarget(Obstacle::Refused) => 2,
            Self::Malformed => 3,
            Self::Repeated => 4,
            Self::NoTarget(Obstacle::Silence) => 5,
            Self::NoTarget(Obstacle::NoRoute) => 6,
            Self::NoTarget(Obstacle::Forbidden) => 7,
            Self::NoTarget(Obstacle::Other) => 8,
            Self::NoTarget(Obstacle::NoAddress) => 9,
            Self::NoTarget(Obstacle::NoSocket) => 10,
            Self::IsUdp => 11,
            Self::IsTcp => 12,
            Self::NotAllowed => 13,
        }
    }

    pub(super) fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Ok,
            1 => Self::UnknownService,
            2 => Self::NoTarget(Obstacle::Refused),
            4 => Self::Repeated,
            5 => Self::NoTarget(Obstacle::Silence),
            6 => Self::NoTarget(Obstacle::NoRoute),
            7 => Self::NoTarget(Obstacle::Forbidden),
            8 => Self::NoTarget(Obstacle::Other),
            9 => Self::NoTarget(Obstacle::NoAddress),
            10 => Self::NoTarget(Obstacle::NoSocket),
            11 => Self::IsUdp,
            12 => Self::IsTcp,
            13 => Self::NotAllowed,
            _ => Self::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_its_bytes() {
        for kind in [
            Purpose::Check,
            Purpose::Connect,
            Purpose::Datagrams,
            Purpose::List,
        ] {
            let request = Request {
                kind,
                name: "web".parse().unwrap(),
                id: u64::MAX - 7,
            };
            let bytes = request.to_bytes();
            let (head, rest) = bytes.split_at(3);
            let (id, name) = rest.split_at(ID_LEN);
            let id = u64::from_be_bytes(id.try_into().unwrap());
            assert_eq!(Request::parse(head[0], head[1], id, name), Some(request));
            assert_eq!(usize::from(head[2]), name.len());
        }
    }

    #[test]
    fn strange_requests_are_refused() {
        assert_eq!(Request::parse(1, CONNECT, 0, b"web"), None);
        assert_eq!(Request::parse(VERSION, 7, 0, b"web"), None);
        assert_eq!(Request::parse(VERSION, CONNECT, 0, b""), None);
        assert_eq!(Request::parse(VERSION, CONNECT, 0, b"a/b"), None);
        assert_eq!(Request::parse(VERSION, CONNECT, 0, &[0xff]), None);
    }

    #[test]
    fn what_the_system_says_of_a_server_is_passed_on() {
        for (kind, expected) in [
            (ErrorKind::ConnectionRefused, Obstacle::Refused),
            (ErrorKind::TimedOut, Obstacle::Silence),
            (ErrorKind::HostUnreachable, Obstacle::NoRoute),
            (ErrorKind::PermissionDenied, Obstacle::Forbidden),
            (ErrorKind::NotFound, Obstacle::NoSocket),
            (ErrorKind::OutOfMemory, Obstacle::Other),
        ] {
            assert_eq!(Obstacle::of(&kind.into()), expected);
        }
    }

    #[test]
    fn an_answer_survives_its_byte() {
        for byte in 0..=13 {
            assert_eq!(Answer::from_byte(byte).to_byte(), byte);
        }
    }
}
