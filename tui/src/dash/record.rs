//! A session in a file: what the node was like and what happened, a JSON object a line, to be looked at again.

mod mask;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use peerway::{Event, NodeSnapshot, PeerId, SwarmSnapshot};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::mask::Mask;
use crate::Commons;

/// Of files that this program reads.
const FORMAT: u32 = 1;
/// Bytes of a line: a snapshot of ten thousand peers has some 50 MB.
const LONGEST_LINE: u64 = 64 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The first one.
    Recording {
        format: u32,
        version: String,
        names: BTreeMap<PeerId, String>,
    },
    Snapshot(Value),
    Event(Value),
    /// Has neither addresses nor names.
    Swarm(SwarmSnapshot),
    Commons(Value),
}

/// Writes a session. Addresses that are hidden on the screen are hidden there too.
#[derive(Debug)]
pub(super) struct Recorder<W = File> {
    file: W,
    mask: Mask,
}

impl Recorder {
    /// A new file: what was recorded before is not written over.
    pub(super) fn create(path: &Path, names: &BTreeMap<PeerId, String>) -> io::Result<Self> {
        Self::begin(File::create_new(path)?, names)
    }
}

impl<W: Write> Recorder<W> {
    fn begin(file: W, names: &BTreeMap<PeerId, String>) -> io::Result<Self> {
        let mut recorder = Self {
            file,
            mask: Mask::default(),
        };
        recorder.write(&Line::Recording {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            names: names.clone(),
        })?;
        Ok(recorder)
    }

    pub(super) fn snapshot(&mut self, snapshot: &NodeSnapshot, masked: bool) -> io::Result<()> {
        let value = self.masked(snapshot, masked)?;
        self.write(&Line::Snapshot(value))
    }

    pub(super) fn event(&mut self, event: &Event, masked: bool) -> io::Result<()> {
        let value = self.masked(event, masked)?;
        self.write(&Line::Event(value))
    }

    pub(super) fn swarm(&mut self, swarm: &SwarmSnapshot) -> io::Result<()> {
        self.write(&Line::Swarm(swarm.clone()))
    }

    pub(super) fn commons(&mut self, commons: &Commons, masked: bool) -> io::Result<()> {
        let mut commons = commons.clone();
        // Where things are on a computer says whose it is.
        for content in commons.contents.iter_mut().filter(|_| masked) {
            content.path = PathBuf::from("hidden");
        }
        for transfer in commons.transfers.iter_mut().filter(|_| masked) {
            transfer.folder = None;
        }
        for server in commons.servers.iter_mut().filter(|_| masked) {
            server.target = "hidden".to_owned();
            server.reason = server.reason.take().map(|_| "hidden".to_owned());
        }
        let value = self.masked(&commons, masked)?;
        self.write(&Line::Commons(value))
    }

    fn masked(&mut self, value: &impl Serialize, masked: bool) -> io::Result<Value> {
        let mut value = serde_json::to_value(value)?;
        if masked {
            self.mask.apply(&mut value);
        }
        Ok(value)
    }

    /// A line at once, so that a session that ends badly is whole up to there.
    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)
    }
}

/// Why a file is not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("cannot read the recording {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no recording of `peerway --record`: {reason}", path.display())]
    Foreign { path: PathBuf, reason: String },
    #[error("{} is a folder, a device or a pipe: a recording is read twice, so write it into a file and replay that", path.display())]
    NoFile { path: PathBuf },
    #[error("{}, line {line} is longer than {} MB, as none of `peerway --record` is: remove it, or replay another file", path.display(), LONGEST_LINE >> 20)]
    TooLong { path: PathBuf, line: usize },
    #[error("{}, line {line}: {reason}; the recording may have been cut off: remove what comes from there on", path.display())]
    Broken {
        path: PathBuf,
        line: usize,
        reason: String,
    },
}

/// A session that was recorded; every line of it has been read once.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    pub names: BTreeMap<PeerId, String>,
    pub first: NodeSnapshot,
}

/// Something of a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorded {
    Snapshot(Box<NodeSnapshot>),
    Event(Event),
    Swarm(Box<SwarmSnapshot>),
    Commons(Box<Commons>),
}

impl Recorded {
    fn at_ms(&self) -> u64 {
        match self {
            Self::Snapshot(snapshot) => snapshot.at_ms,
            Self::Event(event) => event.at_ms,
            Self::Swarm(swarm) => swarm.at_ms,
            Self::Commons(commons) => commons.at_ms,
        }
    }
}

impl Recording {
    /// Reads a file to its end, so that nothing of it surprises later.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let foreign = |reason: String| ReplayError::Foreign {
            path: path.to_owned(),
            reason,
        };
        let mut lines = lines(path)?;
        let begin = lines.next().transpose()?;
        let begin = begin.map(|(_, text)| serde_json::from_str(&text));
        let names = match begin {
            Some(Ok(Line::Recording { format, names, .. })) if format == FORMAT => names,
            Some(Ok(Line::Recording { version, .. })) => {
                return Err(foreign(format!("it was made by version {version}")));
            }
            Some(Ok(Line::Snapshot(_) | Line::Event(_) | Line::Swarm(_) | Line::Commons(_))) => {
                return Err(foreign("its first line is missing".to_owned()));
            }
            Some(Err(error)) => return Err(foreign(error.to_string())),
            None => return Err(foreign("it is empty".to_owned())),
        };
        let mut first = None;
        for recorded in recorded(path)? {
            match recorded? {
                Recorded::Snapshot(snapshot) if first.is_none() => first = Some(*snapshot),
                Recorded::Snapshot(_)
                | Recorded::Event(_)
                | Recorded::Swarm(_)
                | Recorded::Commons(_) => {}
            }
        }
        Ok(Self {
            path: path.to_owned(),
            names,
            first: first.ok_or_else(|| foreign("no node is in it".to_owned()))?,
        })
    }

    /// What was recorded, and how long after the first snapshot it came.
    ///
    /// # Errors
    /// [`ReplayError::Read`].
    pub fn play(
        &self,
    ) -> Result<impl Iterator<Item = (Duration, Recorded)> + Send + use<>, ReplayError> {
        let begin = self.first.at_ms;
        let recorded = recorded(&self.path)?.map_while(Result::ok);
        Ok(recorded.map(move |recorded| {
            let after = recorded.at_ms().saturating_sub(begin);
            (Duration::from_millis(after), recorded)
        }))
    }
}

/// The lines of a file, numbered from one; none of a device, which may have no end, nor of a pipe, which has no second beginning.
fn lines(
    path: &Path,
) -> Result<impl Iterator<Item = Result<(usize, String), ReplayError>> + Send + use<>, ReplayError>
{
    let path = path.to_owned();
    let unread = |path: &Path, source| ReplayError::Read {
        path: path.to_owned(),
        source,
    };
    // Before it is opened: a pipe would be waited for.
    let kind = std::fs::metadata(&path).map_err(|source| unread(&path, source))?;
    if !kind.is_file() {
        return Err(ReplayError::NoFile { path });
    }
    let file = File::open(&path).map_err(|source| unread(&path, source))?;
    let mut file = BufReader::new(file);
    Ok((1..).map_while(move |number| {
        let line = line(&mut file, LONGEST_LINE);
        let line = line.map_err(|source| unread(&path, source));
        Some(line.transpose()?.and_then(|text| match text {
            Some(text) => Ok((number, text)),
            None => Err(ReplayError::TooLong {
                path: path.clone(),
                line: number,
            }),
        }))
    }))
}

/// The next line, if there is one; of one that has more bytes than `longest`, only that it is there.
fn line(file: &mut impl BufRead, longest: u64) -> io::Result<Option<Option<String>>> {
    let mut bytes = Vec::new();
    let read = file.take(longest + 1).read_until(b'\n', &mut bytes)?;
    if read == 0 {
        return Ok(None);
    }
    if bytes.pop_if(|last| *last == b'\n').is_none() && read as u64 > longest {
        return Ok(Some(None));
    }
    let text = String::from_utf8(bytes);
    let text = text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Some(Some(text)))
}

fn recorded(
    path: &Path,
) -> Result<impl Iterator<Item = Result<Recorded, ReplayError>> + Send + use<>, ReplayError> {
    let path = path.to_owned();
    let lines = lines(&path)?.skip(1);
    Ok(lines.map(move |line| {
        let (number, text) = line?;
        read(&text).map_err(|error| ReplayError::Broken {
            path: path.clone(),
            line: number,
            reason: error.to_string(),
        })
    }))
}

fn read(text: &str) -> serde_json::Result<Recorded> {
    Ok(match serde_json::from_str(text)? {
        Line::Snapshot(value) => Recorded::Snapshot(serde_json::from_value(value)?),
        Line::Event(value) => Recorded::Event(serde_json::from_value(value)?),
        Line::Swarm(swarm) => Recorded::Swarm(Box::new(swarm)),
        Line::Commons(value) => Recorded::Commons(serde_json::from_value(value)?),
        Line::Recording { .. } => {
            return Err(<serde_json::Error as serde::de::Error>::custom(
                "a second recording begins here",
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::dash::tests::{
        commons::commons,
        fixtures::{names, node, snapshot, swarm, twelve},
    };

    fn text(masked: bool) -> Vec<u8> {
        let mut recorder = Recorder::begin(Vec::new(), &names()).unwrap();
        let first = snapshot(&node(twelve()));
        let mut second = (*first).clone();
        second.at_ms += 1500;
        recorder.snapshot(&first, masked).unwrap();
        recorder.snapshot(&second, masked).unwrap();
        recorder.file
    }

    #[test]
    fn what_was_recorded_is_played_in_its_time() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("session.jsonl");
        std::fs::write(&path, text(false)).unwrap();
        let recording = Recording::open(&path).unwrap();
        assert_eq!(recording.names, names());
        assert_eq!(recording.first, *snapshot(&node(twelve())));
        let times: Vec<_> = recording.play().unwrap().map(|(after, _)| after).collect();
        assert_eq!(times, [Duration::ZERO, Duration::from_millis(1500)]);
        assert!(Recorder::create(&path, &names()).is_err(), "written over");
    }

    #[test]
    fn what_was_known_of_groups_is_played_too_and_old_recordings_have_none() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("session.jsonl");
        let mut recorder = Recorder::create(&path, &names()).unwrap();
        recorder.snapshot(&snapshot(&node(twelve())), true).unwrap();
        recorder.swarm(&swarm()).unwrap();
        let recording = Recording::open(&path).unwrap();
        let groups = |recording: &Recording| -> Vec<_> {
            let played = recording.play().unwrap();
            played
                .filter_map(|(_, recorded)| match recorded {
                    Recorded::Swarm(swarm) => Some(*swarm),
                    Recorded::Snapshot(_) | Recorded::Event(_) | Recorded::Commons(_) => None,
                })
                .collect()
        };
        assert_eq!(groups(&recording), [(*swarm()).clone()]);
        std::fs::write(&path, text(false)).unwrap();
        assert_eq!(groups(&Recording::open(&path).unwrap()), []);
    }

    #[test]
    fn what_is_shared_and_said_is_played_too_and_a_mask_hides_where_it_is() {
        let folder = TempDir::new().unwrap();
        for masked in [false, true] {
            let path = folder.path().join(format!("{masked}.jsonl"));
            let mut recorder = Recorder::create(&path, &names()).unwrap();
            recorder.snapshot(&snapshot(&node(twelve())), true).unwrap();
            recorder.commons(&commons(1), masked).unwrap();
            let recording = Recording::open(&path).unwrap();
            let (after, last) = recording.play().unwrap().last().unwrap();
            assert_eq!(after, Duration::from_secs(1));
            let is_same = last == Recorded::Commons(Box::new((*commons(1)).clone()));
            assert_eq!(is_same, !masked);
            let text = std::fs::read_to_string(&path).unwrap();
            for private in ["/home/anna", "192.0.2.7 ", "27015"] {
                assert_eq!(text.contains(private), !masked, "{private}");
            }
        }
    }

    #[test]
    fn a_masked_recording_holds_no_address_and_can_be_played() {
        let masked = String::from_utf8(text(true)).unwrap();
        let open = String::from_utf8(text(false)).unwrap();
        for address in [
            "203.0.113.77",
            "2001:db8:9::7",
            "192.168.1.20",
            "198.51.100.9",
        ] {
            assert!(
                open.contains(address) && !masked.contains(address),
                "{address}"
            );
        }
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("session.jsonl");
        std::fs::write(&path, masked).unwrap();
        let recording = Recording::open(&path).unwrap();
        assert_eq!(recording.first.peers.len(), 12);
    }

    #[test]
    fn nonsense_is_refused_with_the_line_it_is_in() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("session.jsonl");
        let whole = String::from_utf8(text(false)).unwrap();
        let cut = &whole[..whole.len() - 20];
        for (content, said) in [
            ("", "it is empty"),
            ("nonsense\n", "is no recording"),
            (cut, "line 3"),
            (
                whole.split_inclusive('\n').next().unwrap(),
                "no node is in it",
            ),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = Recording::open(&path).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(Recording::open(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_line_is_read_up_to_a_limit_and_no_further() {
        let mut endless = BufReader::new(io::repeat(0));
        assert_eq!(line(&mut endless, 1000).unwrap(), Some(None));
        let mut lines = &b"four\nfives\n\nlast"[..];
        let mut next = || line(&mut lines, 4).unwrap();
        assert_eq!(next(), Some(Some("four".to_owned())));
        assert_eq!(next(), Some(None));
        let mut lines = &b"\nlast"[..];
        let mut next = || line(&mut lines, 4).unwrap();
        assert_eq!(next(), Some(Some(String::new())));
        assert_eq!(next(), Some(Some("last".to_owned())));
        assert_eq!(next(), None);
        assert!(line(&mut &b"\xff\n"[..], 4).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn what_has_no_end_or_no_second_beginning_is_refused_at_once() {
        let folder = TempDir::new().unwrap();
        for path in [
            Path::new("/dev/zero"),
            Path::new("/dev/null"),
            folder.path(),
        ] {
            let error = Recording::open(path).unwrap_err();
            assert!(matches!(error, ReplayError::NoFile { .. }), "{error}");
        }
        let path = folder.path().join("sparse");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let error = Recording::open(&path).unwrap_err();
        assert!(
            matches!(error, ReplayError::TooLong { line: 1, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_disk_that_is_full_is_an_error_and_nothing_else() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut recorder = Recorder {
            file: Full,
            mask: Mask::default(),
        };
        let snapshot = snapshot(&node(vec![]));
        let error = recorder.snapshot(&snapshot, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
