//! What the two sides say to each other before they copy: [`Request`] and [`Answer`].
//!
//! A request is version, kind, length of the name, id, name; each of the first three is one byte, the id eight. The first bytes of
//! the TCP connection may follow at once. The answer is one byte.

use quinn::ReadExactError;

use super::ServiceName;
use crate::RecvStream;

const VERSION: u8 = 2;
const ID_LEN: usize = 8;
const CHECK: u8 = 0;
const CONNECT: u8 = 1;

/// The first bytes of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// What for.
    pub(super) kind: Kind,
    /// Which server.
    pub(super) name: ServiceName,
    /// The TCP connection's own, so that it is not begun twice if it has to be asked for again.
    pub(super) id: u64,
}

/// What a stream is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only to ask whether the name is exposed.
    Check,
    /// To carry one TCP connection.
    Connect,
}

impl Request {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let name = self.name.as_str().as_bytes();
        let kind = match self.kind {
            Kind::Check => CHECK,
            Kind::Connect => CONNECT,
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
            (VERSION, CHECK) => Kind::Check,
            (VERSION, CONNECT) => Kind::Connect,
            _ => return None,
        };
        let name = str::from_utf8(name).ok()?.parse().ok()?;
        Some(Self { kind, name, id })
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
    TargetRefused,
    /// The request was not understood.
    Malformed,
    /// This TCP connection was begun already, with bytes that must not reach the server twice.
    Repeated,
}

impl Answer {
    pub(super) fn to_byte(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::UnknownService => 1,
            Self::TargetRefused => 2,
            Self::Malformed => 3,
            Self::Repeated => 4,
        }
    }

    pub(super) fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Ok,
            1 => Self::UnknownService,
            2 => Self::TargetRefused,
            4 => Self::Repeated,
            _ => Self::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_its_bytes() {
        for kind in [Kind::Check, Kind::Connect] {
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
    fn an_answer_survives_its_byte() {
        for byte in 0..=4 {
            assert_eq!(Answer::from_byte(byte).to_byte(), byte);
        }
    }
}
