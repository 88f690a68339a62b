//! Transfers between two connections on loopback.

use std::{
    fs::{self, File},
    io::{Cursor, Seek, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tempfile::TempDir;
use tokio::time::timeout;

use super::{
    tree::{MIN_UNIT, value},
    wire::{Entry, Frame, FromReceiver, FromSender, Kind},
    *,
};
use crate::{
    Connection, SendStream,
    services::testing::{NodePair, pair},
};

/// Far longer than anything takes.
const LONG: Duration = Duration::from_secs(60);

fn noise(len: u64, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

fn write(folder: &Path, name: &str, data: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, data).unwrap();
    path
}

/// Every file below a folder, with what is in it.
fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            if path.is_dir() {
                found.push((name, Vec::new()));
                folders.push(path);
            } else {
                found.push((name, fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

type Both = (Result<Report, SendError>, Result<Report, ReceiveError>);

async fn exchange(pair: &NodePair, paths: &[PathBuf], inbox: &Inbox) -> Both {
    exchange_of(pair, Selection::of(paths).unwrap(), inbox).await
}

async fn exchange_of(pair: &NodePair, selection: Selection, inbox: &Inbox) -> Both {
    let progress = Progress::default();
    let sending = send(&pair.client, selection, &progress);
    let both = async { tokio::join!(sending, inbox.receive(&pair.server)) };
    timeout(LONG, both).await.unwrap()
}

fn folders() -> (TempDir, TempDir) {
    (TempDir::new().unwrap(), TempDir::new().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_arrives_as_it_is() {
    let (from, to) = folders();
    let photos = from.path().join("photos");
    let large = 3 * MIN_UNIT + 17;
    write(&photos, "large.raw", &noise(large, 1));
    write(&photos, "empty", b"");
    let script = write(&photos, "deep/er/run.sh", b"#!/bin/sh\n");
    fs::create_dir(photos.join("nothing in it")).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let written = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    File::options()
        .write(true)
        .open(&script)
        .unwrap()
        .set_modified(written)
        .unwrap();
    let single = write(from.path(), "single.txt", b"hello");
    let pair = pair(ALPN).await;
    let inbox = Inbox::open(to.path()).unwrap();
    let (sent, received) = exchange(&pair, &[photos.clone(), single], &inbox).await;
    let (sent, received) = (sent.unwrap(), received.unwrap());
    assert!(
        sent.is_complete() && received.is_complete(),
        "{sent:?} {received:?}"
    );
    assert_eq!((sent.files, sent.bytes), (4, large + 10 + 5));
    assert_eq!(
        (received.files, received.bytes, received.resumed),
        (4, sent.bytes, 0)
    );
    assert_eq!(tree(to.path()), tree(from.path()));
    let there = fs::metadata(to.path().join("photos/deep/er/run.sh")).unwrap();
    assert_eq!(there.modified().unwrap(), written);
    #[cfg(unix)]
    assert!(std::os::unix::fs::PermissionsExt::mode(&there.permissions()) & 0o100 != 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_stays_and_what_comes_gets_another_name() {
    let (from, to) = folders();
    let note = write(from.path(), "note.txt", b"new");
    let album = from.path().join("album");
    write(&album, "a", b"new");
    write(to.path(), "note.txt", b"old");
    write(to.path(), "album/b", b"old");
    let inbox = Inbox::open(to.path()).unwrap();
    let (_, received) = exchange(&pair(ALPN).await, &[note.clone(), album.clone()], &inbox).await;
    received.unwrap();
    let names = |folder| {
        tree(folder)
            .into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    let expected = [
        "album",
        "album (1)",
        "album (1)/a",
        "album/b",
        "note (1).txt",
        "note.txt",
    ];
    assert_eq!(names(to.path()), expected);
    assert_eq!(fs::read(to.path().join("note.txt")).unwrap(), b"old");
    // Unless that is wanted.
    let inbox = inbox.overwrite(true);
    let (_, received) = exchange(&pair(ALPN).await, &[note, album], &inbox).await;
    received.unwrap();
    assert_eq!(fs::read(to.path().join("note.txt")).unwrap(), b"new");
    assert_eq!(fs::read(to.path().join("album/a")).unwrap(), b"new");
    assert_eq!(fs::read(to.path().join("album/b")).unwrap(), b"old");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn links_are_not_followed_on_either_side() {
    use std::os::unix::fs::symlink;
    let (from, to) = folders();
    let outside = TempDir::new().unwrap();
    let folder = from.path().join("f");
    write(&folder, "a/b", b"here");
    symlink("/etc/passwd", folder.join("link")).unwrap();
    let selection = Selection::of(std::slice::from_ref(&folder)).unwrap();
    assert_eq!(selection.skipped().len(), 1);
    assert!(selection.skipped()[0].path.ends_with("link"));
    // One that stands where the folder would go, and one within it where a former one went.
    fs::create_dir(to.path().join("f")).unwrap();
    symlink(outside.path(), to.path().join("f/a")).unwrap();
    let inbox = Inbox::open(to.path()).unwrap().overwrite(true);
    let (sent, received) = exchange_of(&pair(ALPN).await, selection, &inbox).await;
    for report in [received.unwrap(), sent.unwrap()] {
        let problems = report.problems.iter().map(|it| &*it.path);
        assert_eq!(problems.collect::<Vec<_>>(), ["f/a", "f/a/b"]);
        assert_eq!(report.problems[1].reason, "f/a is in the way there");
    }
    assert_eq!(tree(outside.path()), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_unknown_length_arrives_whole() {
    let (_, to) = folders();
    let began = fs::metadata(to.path()).unwrap().modified().unwrap();
    for (name, len) in [
        ("a", 0),
        ("b", 5),
        ("c", 2 * MIN_UNIT),
        ("d", 3 * MIN_UNIT + 1),
    ] {
        let data = noise(len, 3);
        let selection = Selection::stream(name, Cursor::new(data.clone()));
        assert_eq!(selection.offer().bytes, None);
        let inbox = Inbox::open(to.path()).unwrap();
        let (sent, received) = exchange_of(&pair(ALPN).await, selection, &inbox).await;
        assert_eq!((sent.unwrap().bytes, received.unwrap().bytes), (len, len));
        assert_eq!(fs::read(to.path().join(name)).unwrap(), data);
        // Nobody knows when it was written, so it is as of now.
        let written = fs::metadata(to.path().join(name)).unwrap().modified();
        assert!(written.unwrap() >= began);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_no_message_holds_is_not_passed_on() {
    let (from, to) = folders();
    let path = write(from.path(), "later", b"x");
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(430 * 365 * 86_400);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(far))
        .unwrap();
    let began = fs::metadata(to.path()).unwrap().modified().unwrap();
    let inbox = Inbox::open(to.path()).unwrap();
    let (_, received) = exchange(&pair(ALPN).await, &[path], &inbox).await;
    received.unwrap();
    let written = fs::metadata(to.path().join("later")).unwrap().modified();
    assert!(written.unwrap() >= began);
}

#[test]
fn folders_too_deep_for_any_receiver_are_left_out_with_a_word() {
    let from = TempDir::new().unwrap();
    let deep = "d/".repeat(70);
    write(from.path(), "d/whole", b"here");
    write(from.path(), &format!("{deep}lost"), b"there");
    let selection = Selection::of(&[from.path().join("d")]).unwrap();
    assert_eq!(selection.skipped().len(), 1);
    assert!(
        selection.skipped()[0]
            .reason
            .contains("more than 64 folders")
    );
    assert_eq!(selection.offer().files, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn holes_of_a_sparse_file_are_not_sent_and_read_as_zeros() {
    let (from, to) = folders();
    let path = from.path().join("image");
    let mut file = File::create(&path).unwrap();
    file.write_all(&noise(1000, 4)).unwrap();
    file.seek(std::io::SeekFrom::Start(64 * MIN_UNIT)).unwrap();
    file.write_all(b"end").unwrap();
    file.set_len(80 * MIN_UNIT).unwrap();
    let pair = pair(ALPN).await;
    let inbox = Inbox::open(to.path()).unwrap();
    let (sent, received) = exchange(&pair, &[path], &inbox).await;
    assert!(sent.unwrap().is_complete() && received.unwrap().is_complete());
    assert!(tree(from.path()) == tree(to.path()));
    assert!(pair.client.stats().udp_tx.bytes < 4 * MIN_UNIT);
}

/// As if the connection broke after so many bytes.
async fn cut_after(pair: &NodePair, paths: &[PathBuf], inbox: &Inbox, bytes: u64) {
    let progress = Progress::default();
    let sending = send(&pair.client, Selection::of(paths).unwrap(), &progress);
    let received = Progress::default();
    let receiving = async {
        let offered = inbox.offered(&pair.server).await?;
        offered.accept(&received).await
    };
    let cutting = async {
        while received.bytes_done() < bytes {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        pair.server.close(9, b"cut");
    };
    let all = async { tokio::join!(sending, receiving, cutting) };
    let (sent, received, ()) = timeout(LONG, all).await.unwrap();
    assert!(matches!(sent, Err(SendError::Connection(_))), "{sent:?}");
    assert!(
        matches!(received, Err(ReceiveError::Connection(_))),
        "{received:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_break_only_the_rest_is_sent() {
    let (from, to) = folders();
    let folder = from.path().join("f");
    let len = 100 * MIN_UNIT + 5;
    write(&folder, "large", &noise(len, 5));
    for number in 0..200 {
        write(&folder, &format!("small/{number}"), &noise(1000, number));
    }
    let inbox = Inbox::open(to.path()).unwrap();
    let paths = [folder];
    for part in [20, 50, 70] {
        cut_after(&pair(ALPN).await, &paths, &inbox, part * MIN_UNIT).await;
    }
    let pair = pair(ALPN).await;
    let (sent, received) = exchange(&pair, &paths, &inbox).await;
    let (sent, received) = (sent.unwrap(), received.unwrap());
    assert!(
        received.resumed >= 70 * MIN_UNIT && received.is_complete(),
        "{received:?}"
    );
    assert_eq!(sent.resumed, received.resumed);
    assert_eq!((received.files, received.bytes), (201, len + 200_000));
    // What a busy system lost at its sockets was sent again.
    let stats = pair.client.stats();
    let carried = stats.udp_tx.bytes - stats.path.lost_bytes;
    assert!(
        carried < 34 * MIN_UNIT,
        "{carried} bytes for the last 30 units"
    );
    assert!(
        tree(from.path()) == tree(to.path()),
        "with nothing left over"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_on_either_side_since_a_break_is_sent_again() {
    let (from, to) = folders();
    let len = 20 * MIN_UNIT;
    let path = write(from.path(), "large", &noise(len, 6));
    let inbox = Inbox::open(to.path()).unwrap();
    let paths = [path.clone()];
    cut_after(&pair(ALPN).await, &paths, &inbox, 10 * MIN_UNIT).await;
    // Somebody writes into the partial file.
    let work = fs::read_dir(to.path().join(name::WORK))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let part = work.join("0.part");
    let mut file = File::options().write(true).open(part).unwrap();
    file.seek(std::io::SeekFrom::Start(3 * MIN_UNIT + 7))
        .unwrap();
    file.write_all(b"spoilt").unwrap();
    cut_after(&pair(ALPN).await, &paths, &inbox, 12 * MIN_UNIT).await;
    // And into the file itself, without a trace in its time.
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut file = File::options().write(true).open(&path).unwrap();
    file.write_all(b"another beginning").unwrap();
    file.set_modified(modified).unwrap();
    let (sent, received) = exchange(&pair(ALPN).await, &paths, &inbox).await;
    assert!(sent.unwrap().is_complete());
    assert!(received.unwrap().is_complete());
    assert!(tree(from.path()) == tree(to.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_why() {
    let (from, to) = folders();
    let path = write(from.path(), "a", b"a");
    let pair = pair(ALPN).await;
    let inbox = Inbox::open(to.path()).unwrap();
    let refusing = async {
        let offered = inbox.offered(&pair.server).await.unwrap();
        assert_eq!(offered.offer().names, ["a"]);
        assert_eq!((offered.offer().files, offered.offer().bytes), (1, Some(1)));
        offered.refuse(Refusal::Declined).await;
    };
    let progress = Progress::default();
    let sending = async {
        let sent = send(&pair.client, Selection::of(&[path]).unwrap(), &progress).await;
        pair.client.close(0, b"");
        sent
    };
    let (sent, ()) = tokio::join!(sending, refusing);
    assert!(
        matches!(sent, Err(SendError::Refused(Refusal::Declined))),
        "{sent:?}"
    );
    assert_eq!(tree(to.path()), []);
}

/// A sender that says whatever a test wants.
struct Liar<'a> {
    connection: &'a Connection,
    control: SendStream,
    answers: crate::RecvStream,
}

impl<'a> Liar<'a> {
    async fn offers(connection: &'a Connection, entries: Vec<Entry>, bytes: u64) -> Self {
        let (mut control, answers) = connection.open_bi().await.unwrap();
        let offer = Offer {
            names: vec!["a".to_owned()],
            selected: 1,
            files: 1,
            folders: 0,
            bytes: Some(bytes),
        };
        for message in [
            FromSender::Offer(offer),
            FromSender::Entries(entries),
            FromSender::Listed,
        ] {
            control.write_all(&message.emit()).await.unwrap();
        }
        Self {
            connection,
            control,
            answers,
        }
    }

    async fn sends(mut self, frames: &[(Frame, &[u8])]) {
        let ready = FromReceiver::Ready.emit();
        let mut answer = vec![0; ready.len() + FromReceiver::Accepted.emit().len()];
        if self.answers.read_exact(&mut answer).await.is_err() {
            return;
        }
        let mut data = self.connection.open_uni().await.unwrap();
        for (frame, bytes) in frames {
            let mut message = Vec::new();
            frame.emit(&mut message);
            message.extend_from_slice(bytes);
            if data.write_all(&message).await.is_err() {
                return;
            }
        }
        let _ = data.finish();
        let sent = FromSender::Sent { streams: 1 };
        let _ = self.control.write_all(&sent.emit()).await;
        self.connection.closed().await;
    }
}

fn file(path: &str, size: u64) -> Entry {
    Entry {
        path: path.to_owned(),
        kind: Kind::File {
            executable: false,
            size: Some(size),
            modified: 0,
        },
    }
}

async fn lie(entries: Vec<Entry>, bytes: u64, frames: &[(Frame, &[u8])]) -> String {
    let to = TempDir::new().unwrap();
    let inbox = Inbox::open(to.path()).unwrap();
    let pair = pair(ALPN).await;
    let lying = async {
        Liar::offers(&pair.client, entries, bytes)
            .await
            .sends(frames)
            .await
    };
    let both = async { tokio::join!(lying, inbox.receive(&pair.server)) };
    let ((), received) = timeout(LONG, both).await.unwrap();
    let Err(ReceiveError::Lied(what)) = received else {
        panic!("{received:?}");
    };
    assert!(pair.server.close_reason().is_some(), "it is cut off");
    let whole: Vec<_> = tree(to.path())
        .into_iter()
        .filter(|(name, _)| !name.starts_with(name::WORK))
        .collect();
    assert_eq!(whole, [], "nothing is kept");
    what
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_lies_is_cut_off() {
    let data = noise(2 * MIN_UNIT, 8);
    let (size, len) = (2 * MIN_UNIT, MIN_UNIT as u32);
    let (first, second) = data.split_at(MIN_UNIT as usize);
    let unit = |unit, len, data: &[u8]| {
        let value = value(size, u64::from(unit) * MIN_UNIT, data);
        Frame::Unit { unit, len, value }
    };
    let root = *blake3::hash(&data).as_bytes();
    let good = [
        (Frame::File(0), &[][..]),
        (unit(0, len, first), first),
        (unit(1, len, second), second),
    ];
    let wrong = |at: usize, frame: Frame, data| {
        let mut frames = good.to_vec();
        frames.truncate(at);
        frames.push((frame, data));
        frames
    };
    let end = |root, size| (Frame::End { root, size }, &[][..]);
    let lies = [
        ("hash of a part", wrong(1, unit(0, len, second), first)),
        ("the same part twice", wrong(2, unit(0, len, first), first)),
        (
            "a part behind the end",
            wrong(2, unit(2, len, first), first),
        ),
        (
            "a short part",
            wrong(2, unit(1, len - 1, &second[1..]), &second[1..]),
        ),
        ("a huge part", wrong(1, unit(0, u32::MAX, first), first)),
        (
            "an end too early",
            [&good[..2], &[end(root, size)]].concat(),
        ),
        ("another root", [&good[..], &[end([0; 32], size)]].concat()),
        ("another size", [&good[..], &[end(root, size + 1)]].concat()),
        ("a file within a file", wrong(2, Frame::File(0), &[])),
        ("a file that was not listed", wrong(0, Frame::File(1), &[])),
        ("data of no file", wrong(0, unit(0, len, first), first)),
        (
            "much more than offered",
            wrong(
                1,
                Frame::Anew {
                    size: 1 << 40,
                    modified: 0,
                },
                &[],
            ),
        ),
        ("no end", good[..2].to_vec()),
    ];
    for (lie_is, frames) in lies {
        let what = lie(vec![file("a", size)], size, &frames).await;
        assert!(!what.is_empty(), "{lie_is}");
    }
    for entries in [
        vec![file("a", size + 1)],
        vec![file("a", 1), file("b", 1)],
        vec![file("../a", 1)],
        vec![file("/a", 1)],
        vec![file("a/../../b", 1)],
    ] {
        lie(entries, size, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_sent_arrives_as_it_is_then() {
    let (from, to) = folders();
    let path = write(from.path(), "log", &noise(MIN_UNIT, 9));
    let selection = Selection::of(std::slice::from_ref(&path)).unwrap();
    // After it was looked at, and before it is read.
    let now = noise(3 * MIN_UNIT + 1, 10);
    fs::write(&path, &now).unwrap();
    let inbox = Inbox::open(to.path()).unwrap();
    let (sent, received) = exchange_of(&pair(ALPN).await, selection, &inbox).await;
    assert!(sent.unwrap().is_complete());
    assert_eq!(received.unwrap().bytes, now.len() as u64);
    assert!(fs::read(to.path().join("log")).unwrap() == now);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_is_told_on_both_sides_and_others_arrive() {
    let (from, to) = folders();
    let folder = from.path().join("f");
    write(&folder, "a", b"a");
    let gone = write(&folder, "b", b"b");
    let selection = Selection::of(&[folder]).unwrap();
    fs::remove_file(gone).unwrap();
    let inbox = Inbox::open(to.path()).unwrap();
    let (sent, received) = exchange_of(&pair(ALPN).await, selection, &inbox).await;
    for problems in [sent.unwrap().problems, received.unwrap().problems] {
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path, "f/b");
        assert!(problems[0].reason.contains("No such file"), "{problems:?}");
    }
    assert_eq!(fs::read(to.path().join("f/a")).unwrap(), b"a");
}

/// So long nothing moves where nothing is to.
const STILL: Duration = Duration::from_millis(300);

/// Until nothing more comes, as what was under way has come.
async fn settled(progress: &Progress) -> u64 {
    loop {
        let before = progress.bytes_done();
        tokio::time::sleep(STILL).await;
        if progress.bytes_done() == before {
            return before;
        }
    }
}

async fn until(progress: &Progress, bytes: u64) {
    while progress.bytes_done() < bytes {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_either_side_pauses_stands_still_and_goes_on_when_it_is_resumed() {
    let (from, to) = folders();
    let len = 400 * MIN_UNIT;
    let path = write(from.path(), "large", &noise(len, 21));
    for pauses_sender in [true, false] {
        let pair = pair(ALPN).await;
        let inbox = Inbox::open(to.path()).unwrap();
        let (sent, received) = (Progress::default(), Progress::default());
        let selection = Selection::of(std::slice::from_ref(&path)).unwrap();
        let sending = send(&pair.client, selection, &sent);
        let receiving = async {
            let offered = inbox.offered(&pair.server).await?;
            offered.accept(&received).await
        };
        let valve = if pauses_sender {
            sent.valve()
        } else {
            received.valve()
        };
        let pausing = async {
            until(&received, 20 * MIN_UNIT).await;
            assert!(valve.pause());
            let there = settled(&received).await;
            assert!(there < len, "it was not through");
            assert!(pair.client.close_reason().is_none(), "the connection stays");
            assert!(valve.resume());
        };
        let all = async { tokio::join!(sending, receiving, pausing) };
        let (sent, received, ()) = timeout(LONG, all).await.unwrap();
        assert_eq!((sent.unwrap().bytes, received.unwrap().resumed), (len, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cancels_is_named_to_the_other_side_and_the_next_try_goes_on_from_there() {
    let (from, to) = folders();
    let len = 400 * MIN_UNIT;
    let path = write(from.path(), "large", &noise(len, 22));
    let inbox = Inbox::open(to.path()).unwrap();
    for (cancels_sender, at) in [(true, 20), (false, 60)] {
        let pair = pair(ALPN).await;
        let (sent, received) = (Progress::default(), Progress::default());
        let selection = Selection::of(std::slice::from_ref(&path)).unwrap();
        let sending = send(&pair.client, selection, &sent);
        let receiving = async {
            let offered = inbox.offered(&pair.server).await?;
            offered.accept(&received).await
        };
        let valve = if cancels_sender {
            sent.valve()
        } else {
            received.valve()
        };
        let cancelling = async {
            until(&received, at * MIN_UNIT).await;
            // Also what stands still.
            assert!(valve.pause() && valve.cancel());
        };
        let all = async { tokio::join!(sending, receiving, cancelling) };
        let (sent, received, ()) = timeout(LONG, all).await.unwrap();
        let (sent, received) = (sent.unwrap_err(), received.unwrap_err());
        let (here, there) = (sent.to_string(), received.to_string());
        if cancels_sender {
            assert!(matches!(sent, SendError::Cancelled), "{sent:?}");
            assert!(there.starts_with("cancelled by the sender"), "{there}");
        } else {
            assert!(matches!(received, ReceiveError::Cancelled), "{received:?}");
            assert!(here.starts_with("cancelled by the receiver"), "{here}");
        }
    }
    let (sent, received) = exchange(&pair(ALPN).await, &[path], &inbox).await;
    assert_eq!(sent.unwrap().bytes, len);
    let resumed = received.unwrap().resumed;
    assert!(resumed >= 60 * MIN_UNIT, "{resumed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_is_dropped_has_left_and_the_next_try_goes_on_from_there() {
    let (from, to) = folders();
    let len = 400 * MIN_UNIT;
    let path = write(from.path(), "large", &noise(len, 23));
    let inbox = Inbox::open(to.path()).unwrap();
    let nodes = pair(ALPN).await;
    let (sent, received) = (Progress::default(), Progress::default());
    let selection = Selection::of(std::slice::from_ref(&path)).unwrap();
    let receiving = async {
        let offered = inbox.offered(&nodes.server).await?;
        offered.accept(&received).await
    };
    let sending = async {
        tokio::select! {
            sent = send(&nodes.client, selection, &sent) => panic!("it was through: {sent:?}"),
            () = until(&received, 20 * MIN_UNIT) => {}
        }
    };
    let both = async { tokio::join!(sending, receiving) };
    let ((), error) = timeout(LONG, both).await.unwrap();
    let error = error.unwrap_err();
    assert!(matches!(error, ReceiveError::Left), "{error:?}");
    let words = error.to_string();
    assert!(words.contains("goes on where it was"), "{words}");
    let (sent, received) = exchange(&pair(ALPN).await, &[path], &inbox).await;
    assert_eq!(sent.unwrap().bytes, len);
    assert!(received.unwrap().resumed > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_stays_and_is_named_on_both_sides_and_others_arrive() {
    let (from, to) = folders();
    let photos = from.path().join("photos");
    write(&photos, "a", &noise(20 * MIN_UNIT, 24));
    write(&photos, "b/in", b"in a folder");
    write(&photos, "c", b"comes");
    let own = [
        write(to.path(), "photos/a/own", b"own"),
        write(to.path(), "photos/b", b"own too"),
    ];
    let nodes = pair(ALPN).await;
    let inbox = Inbox::open(to.path()).unwrap().overwrite(true);
    let paths = [photos];
    let (sent, received) = exchange(&nodes, &paths, &inbox).await;
    let (sent, received) = (sent.unwrap(), received.unwrap());
    let told = |problems: &[Problem]| {
        let each = problems.iter();
        let mut told: Vec<_> = each
            .map(|it| format!("{}: {}", it.path, it.reason))
            .collect();
        told.sort();
        told
    };
    let there = told(&received.problems);
    assert_eq!(
        there,
        [
            "photos/a: photos/a is in the way there",
            "photos/b/in: photos/b is in the way there",
            "photos/b: photos/b is in the way there",
        ]
    );
    assert_eq!(told(&sent.problems), there);
    assert_eq!((sent.files, sent.bytes, sent.resumed), (1, 5, 0));
    let carried = nodes.client.stats().udp_tx.bytes;
    assert!(carried < 4 * MIN_UNIT, "{carried} bytes");
    assert_eq!(fs::read(&own[0]).unwrap(), b"own");
    assert_eq!(fs::read(&own[1]).unwrap(), b"own too");
    assert_eq!(fs::read(to.path().join("photos/c")).unwrap(), b"comes");
    // Once that is gone, nothing comes again but what it was in the way of.
    fs::remove_dir_all(to.path().join("photos/a")).unwrap();
    fs::remove_file(&own[1]).unwrap();
    let (sent, received) = exchange(&pair(ALPN).await, &paths, &inbox).await;
    let (sent, received) = (sent.unwrap(), received.unwrap());
    assert!(sent.is_complete() && received.is_complete(), "{received:?}");
    assert_eq!((received.files, received.resumed), (3, 5));
    assert!(
        tree(from.path()) == tree(to.path()),
        "with nothing left over"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_comes_where_a_file_is_goes_over_no_other_folder() {
    let (from, to) = folders();
    let photos = from.path().join("photos");
    write(&photos, "a", b"new");
    write(to.path(), "photos", b"own");
    write(to.path(), "photos (1)/a", b"own too");
    let before = tree(to.path());
    let inbox = Inbox::open(to.path()).unwrap().overwrite(true);
    let (sent, received) = exchange(&pair(ALPN).await, &[photos], &inbox).await;
    for report in [received.unwrap(), sent.unwrap()] {
        let problems = report.problems.iter().map(|it| &*it.path);
        assert_eq!(problems.collect::<Vec<_>>(), ["photos", "photos/a"]);
        assert_eq!(report.problems[1].reason, "photos is in the way there");
    }
    let mut after = tree(to.path());
    after.retain(|(name, _)| !name.starts_with(name::WORK));
    assert_eq!(after, before);
}
