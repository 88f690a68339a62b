//! What travels beside a piped connection: its bytes, in pieces, and how it fares.
//!
//! ```text
//! 0        4      5
//! ┌────────┬──────┬─────────┐
//! │ length │ kind │ content │   length: of kind and content, big-endian
//! └────────┴──────┴─────────┘   kind: 0 bytes, of which none is their end; 1 a step as JSON
//! ```

use std::io::{self, ErrorKind};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::operations::Failed;

/// Bytes of one frame, at most.
pub(in crate::control) const MAX_DATA: usize = 64 << 10;
const DATA: u8 = 0;
const STEP: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) enum Frame {
    /// The next bytes of a direction; none are its end.
    Data(Vec<u8>),
    Step(Step),
}

/// How a piped connection fares. The last is [`Step::Done`] or [`Step::Failed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Step {
    /// What whoever waits may want to know.
    Hint {
        text: String,
    },
    /// The peer and its server are there.
    Reached,
    /// Both directions have ended, and the peer has all.
    Done,
    Failed(Failed),
}

/// The next one; none at the end. What is dropped in between leaves half of one unread.
pub(in crate::control) async fn read(
    reader: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<Frame>> {
    let length = match reader.read_u32().await {
        Ok(length) => usize::try_from(length).unwrap_or(usize::MAX),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let content = length.checked_sub(1).filter(|length| *length <= MAX_DATA);
    let content = content.ok_or_else(|| malformed("its length"))?;
    let kind = reader.read_u8().await?;
    let mut bytes = vec![0; content];
    reader.read_exact(&mut bytes).await?;
    match kind {
        DATA => Ok(Some(Frame::Data(bytes))),
        STEP => Ok(Some(Frame::Step(serde_json::from_slice(&bytes)?))),
        _ => Err(malformed("its kind")),
    }
}

pub(in crate::control) async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    frame: &Frame,
) -> io::Result<()> {
    let (kind, content) = match frame {
        Frame::Data(bytes) => (DATA, bytes.as_slice()),
        Frame::Step(step) => (STEP, &*serde_json::to_vec(step)?),
    };
    let length = u32::try_from(content.len() + 1).map_err(|_| malformed("its length"))?;
    let mut bytes = Vec::with_capacity(content.len() + 5);
    bytes.extend(length.to_be_bytes());
    bytes.push(kind);
    bytes.extend(content);
    writer.write_all(&bytes).await?;
    writer.flush().await
}

fn malformed(what: &str) -> io::Error {
    let reason = format!("a frame is not understood by {what}");
    io::Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read_and_the_end_is_none() {
        let hint = Step::Hint {
            text: "a".to_owned(),
        };
        let frames = [
            Frame::Data(vec![7; MAX_DATA]),
            Frame::Step(hint),
            Frame::Data(Vec::new()),
            Frame::Step(Step::Done),
        ];
        let mut bytes = Vec::new();
        for frame in &frames {
            write(&mut bytes, frame).await.unwrap();
        }
        let mut rest = bytes.as_slice();
        for frame in frames {
            assert_eq!(read(&mut rest).await.unwrap(), Some(frame));
        }
        assert_eq!(read(&mut rest).await.unwrap(), None);
    }

    #[tokio::test]
    async fn nonsense_is_refused_before_it_takes_room() {
        for bytes in [
            &[0, 0, 0, 0][..],
            &[255, 255, 255, 255, 0],
            &[0, 1, 0, 2, 0],
            &[0, 0, 0, 1, 2],
            &[0, 0, 0, 2, 1, b'{'],
            &[0, 0, 0, 9, 0, 1],
        ] {
            let mut bytes = bytes;
            assert!(read(&mut bytes).await.is_err(), "{bytes:?}");
        }
    }
}
