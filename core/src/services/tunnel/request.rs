//! What the two sides say to each other before they copy: [`Request`] and [`Answer`].
//!
//! A request is version, kind, length of the name, name; each of the first three is one byte. The answer is one byte.

use quinn::ReadExactError;

use super::ServiceName;
use crate::RecvStream;

const VERSION: u8 = 1;
const CHECK: u8 = 0;
const CONNECT: u8 = 1;

/// The first bytes of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// What for.
    pub(super) kind: Kind,
    /// Which server.
    pub(super) name: ServiceName,
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
        bytes.extend_from_slice(name);
        bytes
    }

    /// Reads a request; none if it is malformed or of another version.
    pub(super) async fn read(recv: &mut RecvStream) -> Result<Option<Self>, ReadExactError> {
        let mut head = [0; 3];
        recv.read_exact(&mut head).await?;
        let [version, kind, len] = head;
        let mut name = vec![0; len.into()];
        recv.read_exact(&mut name).await?;
        Ok(Self::parse(version, kind, &name))
    }

    fn parse(version: u8, kind: u8, name: &[u8]) -> Option<Self> {
        let kind = match (version, kind) {
            (VERSION, CHECK) => Kind::Check,
            (VERSION, CONNECT) => Kind::Connect,
            _ => return None,
        };
        let name = str::from_utf8(name).ok()?.parse().ok()?;
        Some(Self { kind, name })
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
}

impl Answer {
    pub(super) fn to_byte(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::UnknownService => 1,
            Self::TargetRefused => 2,
            Self::Malformed => 3,
        }
    }

    pub(super) fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Ok,
            1 => Self::UnknownService,
            2 => Self::TargetRefused,
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
            };
            let bytes = request.to_bytes();
            assert_eq!(
                Request::parse(bytes[0], bytes[1], &bytes[3..]),
                Some(request)
            );
            assert_eq!(usize::from(bytes[2]), bytes.len() - 3);
        }
    }

    #[test]
    fn strange_requests_are_refused() {
        assert_eq!(Request::parse(2, CONNECT, b"web"), None);
        assert_eq!(Request::parse(VERSION, 7, b"web"), None);
        assert_eq!(Request::parse(VERSION, CONNECT, b""), None);
        assert_eq!(Request::parse(VERSION, CONNECT, b"a/b"), None);
        assert_eq!(Request::parse(VERSION, CONNECT, &[0xff]), None);
    }

    #[test]
    fn an_answer_survives_its_byte() {
        for byte in 0..=3 {
            assert_eq!(Answer::from_byte(byte).to_byte(), byte);
        }
    }
}
