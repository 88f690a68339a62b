//! Harnesses for fuzzing: each takes any bytes at all and panics if a promise is broken.
//!
//! The targets in `fuzz/` call them, and a test here replays the committed corpora through them on stable Rust.

mod hostile;
mod inputs;
mod machine;
mod names;

use std::{fmt::Display, str::FromStr};

use crate::{
    PeerId, RelayUrl, Ticket,
    wire::{
        datagram::DatagramKind,
        intro::{AckPacket, Description, IntroBody, IntroPacket},
        krpc, lane,
        probe::{Probe, ProbePacket},
        relay::{Frame, FrameError, FrameReader, ToClient, ToRelay},
        sealed::{Control, SealedPacket},
        stale::StalePacket,
        status::Status,
        tcp,
    },
};

pub use self::{hostile::hostile, machine::machine};

/// A harness, and the name of its target and corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 7] = [
    ("datagram", datagram),
    ("bodies", bodies),
    ("frames", frames),
    ("status", status),
    ("texts", texts),
    ("machine", machine),
    ("hostile", hostile),
];

/// A datagram from a stranger: sorted by its first byte, then split by the parser for that kind, and by all others.
pub fn datagram(data: &[u8]) {
    let kind = DatagramKind::of(data);
    if krpc::Pong::parse(data).is_some() {
        assert_eq!(kind, Some(DatagramKind::Quic));
    }
    let is = |expected, parsed: bool| assert!(!parsed || kind == Some(expected), "{kind:?}");
    is(DatagramKind::Intro, IntroPacket::parse(data).is_ok());
    is(DatagramKind::IntroAck, AckPacket::parse(data).is_ok());
    is(DatagramKind::Stale, StalePacket::parse(data).is_ok());
    is(DatagramKind::Probe, ProbePacket::parse(data).is_ok());
    is(DatagramKind::Sealed, SealedPacket::parse(data).is_ok());
    is(DatagramKind::Lane, lane::Frame::parse(data).is_some());
    if let Some(frame) = lane::Frame::parse(data) {
        let again = [&frame.channel.header(), frame.packet].concat();
        assert_eq!(again, data);
    }
    if let Ok(packet) = AckPacket::parse(data) {
        assert_eq!(packet.session_index().to_be_bytes(), data[2..10]);
        assert_eq!(
            packet.noise().len() + 10 + packet.mac1().1.len(),
            data.len()
        );
    }
}

/// Decrypted bodies: whatever parses is written and read again as the same.
pub fn bodies(data: &[u8]) {
    if let Ok(body) = IntroBody::parse(data) {
        assert_eq!(IntroBody::parse(&body.emit()), Ok(body));
    }
    if let Ok(body) = Description::parse(data) {
        assert_eq!(Description::parse(&body.emit()), Ok(body));
    }
    if let Ok(probe) = Probe::parse(data) {
        assert_eq!(Probe::parse(&probe.emit()), Ok(probe));
    }
    if let Ok(control) = Control::parse(data) {
        assert_eq!(Control::parse(&control.emit()), Ok(control));
    }
}

/// A member's status: whatever parses is written and read again as the same, and nothing of it is signed by chance.
pub fn status(data: &[u8]) {
    if let Ok(status) = Status::parse(data) {
        let again = status
            .sign(|_, _| [0; 64])
            .map(|again| Status::parse(&again));
        assert_eq!(again, Ok(Ok(status)));
    }
}

/// A stream of relay frames, both directions: the same frames come out however the stream is cut.
pub fn frames(data: &[u8]) {
    frames_of::<ToRelay>(data);
    frames_of::<ToClient>(data);
    tcp_frames_of(data);
}

/// The datagrams of a TCP connection come out as they would be written.
fn tcp_frames_of(mut data: &[u8]) {
    while let Ok(Some(len)) = tcp::frame_len(data) {
        let (frame, rest) = data.split_at(len);
        let header = tcp::header(len - tcp::HEADER_LEN);
        assert_eq!(header.as_ref(), frame.first_chunk());
        data = rest;
    }
}

/// What a stream amounts to.
#[derive(Debug, PartialEq)]
struct Read<F> {
    frames: Vec<F>,
    unknown: u64,
    error: Option<FrameError>,
}

fn frames_of<F: Frame + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let whole = read::<F>(&[data]);
    // Longer streams are cut at fewer places, so that a case takes no time.
    for cut in (0..=data.len()).step_by(1 + data.len() / 256) {
        let (head, tail) = data.split_at(cut);
        assert_eq!(read::<F>(&[head, tail]), whole, "cut at {cut}");
    }
    let mut again = Vec::new();
    for frame in &whole.frames {
        frame.emit(&mut again);
    }
    assert_eq!(read::<F>(&[&again]).frames, whole.frames);
}

fn read<F: Frame>(pieces: &[&[u8]]) -> Read<F> {
    let mut reader = FrameReader::default();
    let mut frames = Vec::new();
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.poll() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    return Read {
                        frames,
                        unknown: reader.unknown(),
                        error: Some(error),
                    };
                }
            }
        }
    }
    Read {
        frames,
        unknown: reader.unknown(),
        error: None,
    }
}

/// What people paste: ids, relay URLs and tickets have one text form, and errors have a message.
pub fn texts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    text_of::<PeerId>(&text);
    text_of::<RelayUrl>(&text);
    text_of::<Ticket>(&text);
}

fn text_of<T: FromStr<Err: Display> + Display + PartialEq>(text: &str) {
    match text.parse::<T>() {
        Ok(value) => {
            let again = value.to_string();
            assert!(again.parse().is_ok_and(|same: T| same == value), "{again}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

#[cfg(test)]
mod tests;
