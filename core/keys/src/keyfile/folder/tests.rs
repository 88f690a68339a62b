use std::{
    fs::{self as files, Permissions},
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
};

use super::*;
use crate::keyfile::{claim, load, load_or_create};

fn set_mode(path: &Path, mode: u32) {
    files::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Makes something that is no file; a device only for root.
fn make(kind: &str, path: &Path) {
    match kind {
        "FIFO" => fs::mknodat(CWD, path, FileType::Fifo, PRIVATE, 0).unwrap(),
        "folder" => files::create_dir(path).unwrap(),
        "socket" => drop(UnixListener::bind(path).unwrap()),
        _ => {
            let null = fs::makedev(1, 3);
            let _ = fs::mknodat(CWD, path, FileType::CharacterDevice, PRIVATE, null);
        }
    }
}

/// What all operations on this key say, which is the same.
fn refusals(key: &Path) -> Vec<KeyFileError> {
    let lock = key.with_file_name("lock");
    vec![
        load(key).map(drop).unwrap_err(),
        load_or_create(key).map(drop).unwrap_err(),
        claim(&lock).map(drop).unwrap_err(),
    ]
}

#[test]
fn a_folder_that_others_can_write_is_refused_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    load_or_create(&key).unwrap();
    for bits in [0o770, 0o720, 0o702, 0o1777] {
        set_mode(folder.path(), bits);
        for error in refusals(&key) {
            assert!(matches!(error, KeyFileError::Writable { mode, .. } if mode == bits));
            let cure = format!("chmod 700 {}", folder.path().display());
            assert!(error.to_string().contains(&cure), "{error}");
        }
    }
    set_mode(folder.path(), 0o755);
    load(&key).unwrap().unwrap();
}

/// Only root can give files away.
#[test]
fn a_folder_or_key_of_another_user_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    load_or_create(&key).unwrap();
    let somebody = Some(12_345);
    if std::os::unix::fs::chown(&key, somebody, None).is_err() {
        return;
    }
    let error = load(&key).map(drop).unwrap_err();
    assert!(
        matches!(error, KeyFileError::Foreign { owner: 12_345, .. }),
        "{error}"
    );
    std::os::unix::fs::chown(folder.path(), somebody, None).unwrap();
    for error in refusals(&key) {
        let words = error.to_string();
        assert!(
            matches!(error, KeyFileError::Foreign { owner: 12_345, .. }),
            "{words}"
        );
        assert!(
            words.contains("12345") && words.contains("chown"),
            "{words}"
        );
    }
}

#[test]
fn what_a_link_points_to_is_neither_read_nor_truncated_nor_locked() {
    let folder = tempfile::tempdir().unwrap();
    let (key, lock) = (folder.path().join("key"), folder.path().join("lock"));
    let target = folder.path().join("diary");
    files::write(&target, "dear diary").unwrap();
    for link in [&key, &lock] {
        symlink(&target, link).unwrap();
    }
    for error in refusals(&key) {
        let words = error.to_string();
        assert!(words.contains("symbolic link"), "{words}");
        assert!(matches!(error, KeyFileError::WrongKind { .. }), "{words}");
    }
    assert_eq!(files::read(&target).unwrap(), b"dear diary");
    // A link to nowhere does not make its target.
    files::remove_file(&target).unwrap();
    refusals(&key);
    assert!(!target.exists());
}

#[test]
fn what_is_in_the_lock_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("lock");
    files::write(&lock, "something else").unwrap();
    let held = claim(&lock).unwrap();
    assert!(held.is_some() && claim(&lock).unwrap().is_none());
    drop(held);
    assert!(claim(&lock).unwrap().is_some());
    assert_eq!(files::read(&lock).unwrap(), b"something else");
}

/// Whoever opens a FIFO waits for the other end, unless it is done with care.
#[test]
fn what_is_no_file_is_refused_with_its_kind_and_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (key, lock) = (folder.path().join("key"), folder.path().join("lock"));
    for kind in ["FIFO", "folder", "socket", "device"] {
        for path in [&key, &lock] {
            make(kind, path);
        }
        if !key.exists() {
            continue;
        }
        for error in refusals(&key) {
            assert!(
                matches!(error, KeyFileError::WrongKind { is, .. } if is == kind),
                "{error}"
            );
        }
        for path in [&key, &lock] {
            let _ = files::remove_file(path).or_else(|_| files::remove_dir(path));
        }
    }
}

#[test]
fn what_is_no_folder_is_refused_with_its_kind_and_at_once() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    make("FIFO", &folder);
    for error in refusals(&folder.join("key")) {
        let words = error.to_string();
        assert!(words.contains("is a FIFO, not a folder"), "{words}");
        assert!(words.contains(&folder.display().to_string()), "{words}");
    }
}

#[test]
fn without_a_rename_that_replaces_nothing_there_is_one_key_all_the_same() {
    let parent = tempfile::tempdir().unwrap();
    for denied in [Errno::PERM, Errno::ACCESS, Errno::NOSYS, Errno::INVAL] {
        let key = parent.path().join(format!("{denied:?}")).join("key");
        let folder = Folder::make(&key).unwrap();
        let name = Path::new("key");
        let publish = |text: &str| {
            let temporary = PathBuf::from(format!(".key-{text}"));
            folder.create(&temporary).unwrap();
            files::write(folder.path.join(&temporary), text).unwrap();
            folder.publish_with(&temporary, name, |_, _, _| Err(denied))
        };
        publish("first").unwrap();
        let second = publish("second").unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(files::read(&key).unwrap(), b"first");
    }
}

#[test]
fn a_key_is_whole_or_not_there_whatever_was_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    // As after a crash before the file got its name.
    files::write(folder.path().join(".key-abcdefgh"), "peerway sec").unwrap();
    assert!(load(&key).unwrap().is_none());
    let id = load_or_create(&key).unwrap().id();
    assert_eq!(load(&key).unwrap().unwrap().id(), id);
}

/// Every step that the system refuses is told with the path, its reason, and what to do.
#[test]
fn a_folder_that_cannot_be_used_is_named_with_the_systems_reason() {
    let too_long = Path::new("/tmp").join("x".repeat(300)).join("key");
    for error in refusals(&too_long) {
        let words = error.to_string();
        assert!(
            words.contains("xxx") && words.contains("too long"),
            "{words}"
        );
        assert!(words.contains("choose another folder"), "{words}");
    }
}
