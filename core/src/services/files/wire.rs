//! What both sides say: messages on the control stream, frames on data streams. Numbers are big endian, texts and lists stand
//! behind their length, and everything has a maximal one.

use std::fmt;

use super::{MAX_FILES, tree::MAX_SIZE};

pub(super) const VERSION: u8 = 1;
/// Bytes of a message on the control stream.
pub(super) const MAX_MESSAGE: usize = 64 << 10;
/// Bytes of a path.
pub(super) const MAX_PATH: usize = 4096;
/// Bytes of a reason.
const MAX_REASON: usize = 512;
/// Names in an offer; what else there is is counted.
const MAX_TOPS: usize = 16;
/// Bytes of one of them.
const MAX_TOP: usize = 240;
/// Ranges of units that are said to be held. A file in more pieces counts as if the rest was not there.
pub(super) const MAX_RANGES: usize = 4096;
/// Files of one message that are there already.
pub(super) const MAX_HAVE: usize = 8192;

/// What a sender would like to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offer {
    /// The first names of what was selected, at most 16: to be made harmless before they are shown.
    pub names: Vec<String>,
    /// Files and folders that were selected.
    pub selected: u32,
    /// Files, with those in folders.
    pub files: u32,
    /// Folders, with those in folders.
    pub folders: u32,
    /// Their bytes; none for a stream whose end is not known.
    pub bytes: Option<u64>,
}

/// Why an offer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Somebody said no.
    Declined,
    /// Nobody was there to say yes.
    Unanswered,
    /// Nobody receives files there.
    NoReceiver,
    /// Other transfers have to end first.
    Busy,
    /// More files than are taken, or larger ones.
    TooMuch,
    /// Something else, of a newer version.
    Other,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Declined => "the receiver does not want them",
            Self::Unanswered => "nobody answered at the receiver: ask there, and send once more",
            Self::NoReceiver => "nobody receives files there: `peerway receive` does",
            Self::Busy => "the receiver takes others at the moment: try again later",
            Self::TooMuch => "they are more than the receiver takes: send a part of them",
            Self::Other => "the receiver does not take them",
        })
    }
}

impl Refusal {
    const ALL: [Self; 6] = [
        Self::Other,
        Self::Declined,
        Self::Unanswered,
        Self::NoReceiver,
        Self::Busy,
        Self::TooMuch,
    ];

    fn byte(self) -> u8 {
        let place = Self::ALL.iter().position(|it| *it == self);
        place.unwrap_or_default() as u8
    }

    fn of(byte: u8) -> Self {
        let known = Self::ALL.get(usize::from(byte)).copied();
        known.unwrap_or(Self::Other)
    }
}

/// When a file was last written: nanoseconds since 1970.
pub(super) type Time = i64;

/// Of what has no time, or one beyond the years that fit. What was written then is said to be a nanosecond younger.
pub(super) const UNKNOWN: Time = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File {
        executable: bool,
        /// None for a stream whose end is not known.
        size: Option<u64>,
        modified: Time,
    },
}

/// One file or folder of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) kind: Kind,
}

/// What the sender says on the control stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FromSender {
    Offer(Offer),
    Entries(Vec<Entry>),
    /// That was all of them.
    Listed,
    /// All is on its way, on so many data streams.
    Sent {
        streams: u8,
    },
    /// No more of it is sent.
    Cancelled,
}

/// What the receiver says on the control stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FromReceiver {
    Accepted,
    Refused(Refusal),
    /// Files that are there.
    Have(Vec<u32>),
    /// A file of which so much is there.
    Held {
        file: u32,
        fingerprint: [u8; 32],
        ranges: Vec<(u32, u32)>,
    },
    /// All that is there has been told.
    Ready,
    /// Nothing can be taken any more.
    Trouble(String),
    /// One file was not kept, or has another name.
    Problem {
        file: u32,
        reason: String,
    },
    /// All that came is kept.
    Received {
        files: u64,
        bytes: u64,
    },
}

/// Of a data stream: what comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    File(u32),
    /// `len` bytes follow.
    Unit {
        unit: u32,
        len: u32,
        value: [u8; 32],
    },
    /// As many zeros, which do not follow.
    Zeros {
        unit: u32,
        len: u32,
        value: [u8; 32],
    },
    /// With the hash of the whole file, and its size, which is news for a stream.
    End {
        root: [u8; 32],
        size: u64,
    },
    /// The file has changed: what came of it is void.
    Anew {
        size: u64,
        modified: Time,
    },
    Failed(String),
}

const OFFER: u8 = 1;
const ENTRIES: u8 = 2;
const LISTED: u8 = 3;
const SENT: u8 = 4;
const CANCELLED: u8 = 5;
const ACCEPTED: u8 = 16;
const REFUSED: u8 = 17;
const HAVE: u8 = 18;
const HELD: u8 = 19;
const READY: u8 = 20;
const TROUBLE: u8 = 21;
const PROBLEM: u8 = 22;
const RECEIVED: u8 = 23;

const FILE: u8 = 1;
const UNIT: u8 = 2;
const ZEROS: u8 = 3;
const END: u8 = 4;
const ANEW: u8 = 5;
const FAILED: u8 = 6;

const FOLDER: u8 = 0;
const PLAIN: u8 = 1;
const EXECUTABLE: u8 = 2;
const STREAM: u8 = 3;
/// Bytes of an entry beside its path.
pub(super) const ENTRY_LEN: usize = 1 + 2 + 8 + 8;

/// Not understood: of another version, or no message at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it sent what is no message of this protocol")]
pub(super) struct NoMessage;

impl FromSender {
    pub(super) fn emit(&self) -> Vec<u8> {
        match self {
            Self::Offer(offer) => {
                let mut out = Out::of(OFFER).u8(VERSION).u32(offer.selected);
                out = out.u32(offer.files).u32(offer.folders);
                out = out.u64(offer.bytes.unwrap_or(u64::MAX));
                let names = &offer.names[..offer.names.len().min(MAX_TOPS)];
                out = out.u16(names.len());
                names
                    .iter()
                    .fold(out, |out, name| out.text(name, MAX_TOP))
                    .message()
            }
            Self::Entries(entries) => {
                let out = Out::of(ENTRIES).u16(entries.len());
                entries
                    .iter()
                    .fold(out, |out, entry| out.entry(entry))
                    .message()
            }
            Self::Listed => Out::of(LISTED).message(),
            Self::Sent { streams } => Out::of(SENT).u8(*streams).message(),
            Self::Cancelled => Out::of(CANCELLED).message(),
        }
    }

    pub(super) fn parse(message: &[u8]) -> Result<Self, NoMessage> {
        let mut from = In(message);
        let parsed = match from.u8()? {
            OFFER => {
                if from.u8()? != VERSION {
                    return Err(NoMessage);
                }
                let (selected, files, folders) = (from.u32()?, from.u32()?, from.u32()?);
                let bytes = Some(from.u64()?).filter(|bytes| *bytes != u64::MAX);
                let names = from.list(MAX_TOPS, |from| from.text(MAX_TOP))?;
                Self::Offer(Offer {
                    names,
                    selected,
                    files,
                    folders,
                    bytes,
                })
            }
            ENTRIES => Self::Entries(from.list(MAX_FILES, In::entry)?),
            LISTED => Self::Listed,
            SENT => Self::Sent {
                streams: from.u8()?,
            },
            CANCELLED => Self::Cancelled,
            _ => return Err(NoMessage),
        };
        from.end().map(|()| parsed)
    }
}

impl FromReceiver {
    pub(super) fn emit(&self) -> Vec<u8> {
        match self {
            Self::Accepted => Out::of(ACCEPTED),
            Self::Refused(refusal) => Out::of(REFUSED).u8(refusal.byte()),
            Self::Have(files) => {
                let out = Out::of(HAVE).u16(files.len());
                files.iter().fold(out, |out, file| out.u32(*file))
            }
            Self::Held {
                file,
                fingerprint,
                ranges,
            } => {
                let out = Out::of(HELD).u32(*file).raw(fingerprint).u16(ranges.len());
                let ranges = ranges.iter();
                ranges.fold(out, |out, (first, count)| out.u32(*first).u32(*count))
            }
            Self::Ready => Out::of(READY),
            Self::Trouble(reason) => Out::of(TROUBLE).text(reason, MAX_REASON),
            Self::Problem { file, reason } => Out::of(PROBLEM).u32(*file).text(reason, MAX_REASON),
            Self::Received { files, bytes } => Out::of(RECEIVED).u64(*files).u64(*bytes),
        }
        .message()
    }

    pub(super) fn parse(message: &[u8]) -> Result<Self, NoMessage> {
        let mut from = In(message);
        let parsed = match from.u8()? {
            ACCEPTED => Self::Accepted,
            REFUSED => Self::Refused(Refusal::of(from.u8()?)),
            HAVE => Self::Have(from.list(MAX_HAVE, In::u32)?),
            HELD => Self::Held {
                file: from.u32()?,
                fingerprint: from.raw()?,
                ranges: from.list(MAX_RANGES, |from| Ok((from.u32()?, from.u32()?)))?,
            },
            READY => Self::Ready,
            TROUBLE => Self::Trouble(from.text(MAX_REASON)?),
            PROBLEM => Self::Problem {
                file: from.u32()?,
                reason: from.text(MAX_REASON)?,
            },
            RECEIVED => Self::Received {
                files: from.u64()?,
                bytes: from.u64()?,
            },
            _ => return Err(NoMessage),
        };
        from.end().map(|()| parsed)
    }
}

impl Frame {
    /// Bytes of a frame of a unit before its data.
    pub(super) const UNIT_LEN: usize = 1 + 4 + 4 + 32;

    pub(super) fn emit(&self, buffer: &mut Vec<u8>) {
        let out = Out(std::mem::take(buffer));
        let out = match self {
            Self::File(file) => out.u8(FILE).u32(*file),
            Self::Unit { unit, len, value } => out.u8(UNIT).u32(*unit).u32(*len).raw(value),
            Self::Zeros { unit, len, value } => out.u8(ZEROS).u32(*unit).u32(*len).raw(value),
            Self::End { root, size } => out.u8(END).raw(root).u64(*size),
            Self::Anew { size, modified } => out.u8(ANEW).u64(*size).u64(*modified as u64),
            Self::Failed(reason) => out.u8(FAILED).text(reason, MAX_REASON),
        };
        *buffer = out.0;
    }

    /// Bytes of a frame behind the first, of which a reason's are still to come.
    pub(super) fn rest(kind: u8) -> Result<usize, NoMessage> {
        Ok(match kind {
            FILE => 4,
            UNIT | ZEROS => Self::UNIT_LEN - 1,
            END => 32 + 8,
            ANEW => 16,
            FAILED => 2,
            _ => return Err(NoMessage),
        })
    }

    /// How many bytes of a reason follow.
    pub(super) fn reason_len(kind: u8, rest: &[u8]) -> Result<Option<usize>, NoMessage> {
        if kind != FAILED {
            return Ok(None);
        }
        let len = usize::from(In(rest).u16()?);
        if len > MAX_REASON {
            return Err(NoMessage);
        }
        Ok(Some(len))
    }

    pub(super) fn parse(kind: u8, rest: &[u8]) -> Result<Self, NoMessage> {
        let mut from = In(rest);
        Ok(match kind {
            FILE => Self::File(from.u32()?),
            UNIT => Self::Unit {
                unit: from.u32()?,
                len: from.u32()?,
                value: from.raw()?,
            },
            ZEROS => Self::Zeros {
                unit: from.u32()?,
                len: from.u32()?,
                value: from.raw()?,
            },
            END => Self::End {
                root: from.raw()?,
                size: from.u64()?,
            },
            ANEW => Self::Anew {
                size: from.u64()?,
                modified: from.u64()? as i64,
            },
            FAILED => Self::Failed(from.text(MAX_REASON)?),
            _ => return Err(NoMessage),
        })
    }
}

/// Bytes that are put together.
pub(super) struct Out(pub(super) Vec<u8>);

impl Out {
    /// A message, behind a length that is put in at its end.
    pub(super) fn of(kind: u8) -> Self {
        Self(vec![0, 0, 0, 0, kind])
    }

    pub(super) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn u16(self, value: usize) -> Self {
        self.raw(&(value as u16).to_be_bytes())
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn u64(self, value: u64) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// What is too long of a text is cut off.
    pub(super) fn text(self, text: &str, most: usize) -> Self {
        let text = &text[..text.floor_char_boundary(most)];
        self.u16(text.len()).raw(text.as_bytes())
    }

    fn entry(self, entry: &Entry) -> Self {
        let (kind, size, modified) = match entry.kind {
            Kind::Folder => (FOLDER, 0, 0),
            Kind::File {
                size: None,
                modified,
                ..
            } => (STREAM, 0, modified),
            Kind::File {
                executable,
                size: Some(size),
                modified,
            } => (if executable { EXECUTABLE } else { PLAIN }, size, modified),
        };
        let out = self.u8(kind).u64(size).u64(modified as u64);
        out.text(&entry.path, MAX_PATH)
    }

    pub(super) fn message(mut self) -> Vec<u8> {
        let len = (self.0.len() - 4) as u32;
        self.0[..4].copy_from_slice(&len.to_be_bytes());
        self.0
    }
}

/// Bytes that are taken apart.
pub(super) struct In<'a>(pub(super) &'a [u8]);

impl<'a> In<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], NoMessage> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(NoMessage)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn raw<const N: usize>(&mut self) -> Result<[u8; N], NoMessage> {
        self.take(N)?.try_into().map_err(|_| NoMessage)
    }

    pub(super) fn u8(&mut self) -> Result<u8, NoMessage> {
        self.raw().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, NoMessage> {
        self.raw().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, NoMessage> {
        self.raw().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, NoMessage> {
        self.raw().map(u64::from_be_bytes)
    }

    pub(super) fn text(&mut self, most: usize) -> Result<String, NoMessage> {
        let len = usize::from(self.u16()?);
        if len > most {
            return Err(NoMessage);
        }
        let text = str::from_utf8(self.take(len)?).map_err(|_| NoMessage)?;
        Ok(text.to_owned())
    }

    fn list<T>(
        &mut self,
        most: usize,
        item: impl Fn(&mut Self) -> Result<T, NoMessage>,
    ) -> Result<Vec<T>, NoMessage> {
        let len = usize::from(self.u16()?);
        if len > most {
            return Err(NoMessage);
        }
        (0..len).map(|_| item(self)).collect()
    }

    fn entry(&mut self) -> Result<Entry, NoMessage> {
        let (kind, size, modified) = (self.u8()?, self.u64()?, self.u64()? as i64);
        let path = self.text(MAX_PATH)?;
        if size > MAX_SIZE {
            return Err(NoMessage);
        }
        let file = |executable, size| Kind::File {
            executable,
            size,
            modified,
        };
        let kind = match kind {
            FOLDER => Kind::Folder,
            PLAIN => file(false, Some(size)),
            EXECUTABLE => file(true, Some(size)),
            STREAM => file(false, None),
            _ => return Err(NoMessage),
        };
        Ok(Entry { path, kind })
    }

    pub(super) fn end(&self) -> Result<(), NoMessage> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(NoMessage)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offer() -> FromSender {
        FromSender::Offer(Offer {
            names: vec!["photos".to_owned(), "ä.txt".to_owned()],
            selected: 2,
            files: 1001,
            folders: 3,
            bytes: Some(1 << 40),
        })
    }

    fn entries() -> FromSender {
        let file = |executable, size| Kind::File {
            executable,
            size,
            modified: -7,
        };
        let kinds = [
            Kind::Folder,
            file(false, Some(0)),
            file(true, Some(MAX_SIZE)),
            file(false, None),
        ];
        let entry = |kind| Entry {
            path: "a/b".to_owned(),
            kind,
        };
        FromSender::Entries(kinds.map(entry).to_vec())
    }

    #[test]
    fn what_one_side_says_the_other_understands() {
        for message in [
            offer(),
            entries(),
            FromSender::Listed,
            FromSender::Sent { streams: 4 },
            FromSender::Cancelled,
        ] {
            assert_eq!(FromSender::parse(&message.emit()[4..]), Ok(message));
        }
        let mut messages = vec![
            FromReceiver::Accepted,
            FromReceiver::Have(vec![1, 7, u32::MAX]),
            FromReceiver::Held {
                file: 3,
                fingerprint: [9; 32],
                ranges: vec![(0, 5), (7, 1)],
            },
            FromReceiver::Ready,
            FromReceiver::Trouble("the disk is full".to_owned()),
            FromReceiver::Problem {
                file: 1,
                reason: "no".to_owned(),
            },
            FromReceiver::Received { files: 1, bytes: 2 },
        ];
        messages.extend(Refusal::ALL.map(FromReceiver::Refused));
        for message in messages {
            assert_eq!(FromReceiver::parse(&message.emit()[4..]), Ok(message));
        }
    }

    #[test]
    fn frames_are_as_long_as_they_say() {
        let (unit, len, value) = (7, 9, [1; 32]);
        let frames = [
            Frame::File(3),
            Frame::Unit { unit, len, value },
            Frame::Zeros { unit, len, value },
            Frame::End {
                root: [2; 32],
                size: 5,
            },
            Frame::Anew {
                size: 1,
                modified: -1,
            },
            Frame::Failed("gone".to_owned()),
        ];
        for frame in frames {
            let mut bytes = Vec::new();
            frame.emit(&mut bytes);
            let rest = Frame::rest(bytes[0]).unwrap();
            let reason = Frame::reason_len(bytes[0], &bytes[1..=rest]).unwrap();
            assert_eq!(bytes.len(), 1 + rest + reason.unwrap_or(0));
            assert_eq!(Frame::parse(bytes[0], &bytes[1..]), Ok(frame));
        }
    }

    #[test]
    fn a_reason_that_is_too_long_is_cut_between_letters() {
        let message = FromReceiver::Trouble("ä".repeat(1000)).emit();
        let FromReceiver::Trouble(reason) = FromReceiver::parse(&message[4..]).unwrap() else {
            panic!("another message");
        };
        assert_eq!(reason, "ä".repeat(MAX_REASON / 2));
    }

    proptest! {
        #[test]
        fn nothing_that_comes_is_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..30u8) {
            let message = [&[kind][..], &bytes].concat();
            let _ = (FromSender::parse(&message), FromReceiver::parse(&message));
            let _ = (Frame::parse(kind, &bytes), Frame::reason_len(kind, &bytes));
        }
    }
}
