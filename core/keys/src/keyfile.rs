//! The file that keeps a secret key: made once, never replaced silently, readable by its owner only, in a folder that only its
//! owner can write.
//!
//! Two lines of text: a header that names the format, and the 32-byte seed with a 4-byte checksum in lower-case base32.

#[cfg(unix)]
mod folder;
#[cfg(not(unix))]
#[path = "keyfile/plain.rs"]
mod folder;

use std::{
    fs::{File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use self::folder::Folder;
use peerway_proto::{SecretKey, identity::decode_base32};

const HEADER: &str = "peerway secret key 1";
const SEED_LEN: usize = 32;
const CHECK_LEN: usize = 4;
/// No valid file is longer; a file that is, is not read to its end.
const MAX_LEN: u64 = 256;

/// Why a key file could not be read, made or claimed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Other users of this computer can read the key. If they may have done so, make a new one instead.
    #[error(
        "the key file {path} can be read by others (mode {mode:04o}): run `chmod 600 {path}`",
        path = path.display()
    )]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Whoever can write the folder can put another key in the place of ours.
    #[error(
        "others can write the folder {path} (mode {mode:04o}): run `chmod 700 {path}`, or choose another folder",
        path = path.display()
    )]
    Writable {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Its owner can do with it what they like.
    #[error(
        "{path} belongs to another user (uid {owner}, and we are {us}): run as that user, give it to us with `chown`, or choose \
         another folder",
        path = path.display()
    )]
    Foreign {
        /// The file or folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// Links are not followed, and what is no file is not opened.
    #[error("{path} is a {is}, not a {expected}: move it away, or choose another folder", path = path.display())]
    WrongKind {
        /// What is in the file's or folder's place.
        path: PathBuf,
        /// What it is.
        is: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A key there would be everybody's.
    #[error(
        "the file system of {path} lets others read new files (mode {mode:04o}): choose another folder, or mount it with umask=077",
        path = path.display()
    )]
    NoModes {
        /// The folder.
        path: PathBuf,
        /// The permission bits that a new file got.
        mode: u32,
    },
    /// Restore the file from a backup; or move it away, and the next start makes a new identity.
    #[error(
        "the key file {path} is damaged ({what}): restore it, or move it away to start with a new identity",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Check the path, the permissions of its folder, and the room there.
    #[error(
        "cannot {action} {path}: {source}; check its permissions and the room there, or choose another folder",
        path = path.display()
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

/// The right to use a key, for one process at a time; ends when it is dropped, or with the process.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "held for its lock")] File);

/// Reads the key in `path`; if there is no such file, makes a new key and writes it there, with its folder if needed.
///
/// The file gets mode 0600 and a new folder 0700, whatever the umask. Of several processes that do this at once, one makes
/// the key and all return it. A crash leaves the whole file or none.
///
/// # Errors
/// See [`KeyFileError`]. A file that exists is never overwritten, and no link is followed. On Unix the folder has to belong to
/// us or to root, and nobody else may write it.
pub fn load_or_create(path: &Path) -> Result<SecretKey, KeyFileError> {
    match load(path)? {
        Some(key) => Ok(key),
        None => create(path),
    }
}

/// Reads the key in `path`; none if there is no such file.
///
/// # Errors
/// As [`load_or_create`].
pub fn load(path: &Path) -> Result<Option<SecretKey>, KeyFileError> {
    match Folder::of(path)? {
        Some(folder) => read(&folder, path),
        None => Ok(None),
    }
}

/// Claims the key that this lock file stands for, in the key's folder, which is made if needed; none if somebody has it. What is
/// in the file stays as it is.
///
/// # Errors
/// As [`load_or_create`].
pub fn claim(path: &Path) -> Result<Option<Claim>, KeyFileError> {
    let file = Folder::make(path)?.lockable(name(path)?)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Claim(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(io_error("lock", path)(error)),
    }
}

fn read(folder: &Folder, path: &Path) -> Result<Option<SecretKey>, KeyFileError> {
    let Some(file) = folder.read(name(path)?)? else {
        return Ok(None);
    };
    let mut text = Zeroizing::new(String::new());
    match file.take(MAX_LEN).read_to_string(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(damaged(path, "it is not text"));
        }
        Err(error) => return Err(io_error("read", path)(error)),
    }
    parse(&text).map(Some).map_err(|what| damaged(path, what))
}

fn create(path: &Path) -> Result<SecretKey, KeyFileError> {
    let failed = io_error("write", path);
    let name = name(path)?;
    let folder = Folder::make(path)?;
    let key = SecretKey::generate().map_err(&failed)?;
    let mut unique = [0; 8];
    getrandom::fill(&mut unique).map_err(|error| failed(error.into()))?;
    let unique = BASE32_NOPAD.encode(&unique).to_ascii_lowercase();
    let temporary = PathBuf::from(format!(".key-{unique}"));
    let file = folder.create(&temporary)?;
    let published = write(file, &emit(&key)).and_then(|()| folder.publish(&temporary, name));
    if published.is_err() {
        folder.remove(&temporary);
    }
    match published {
        Ok(()) => Ok(key),
        // Somebody was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read(&folder, path)?.ok_or_else(|| failed(error))
        }
        Err(error) => Err(failed(error)),
    }
}

fn write(mut file: File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The file's name in its folder.
fn name(path: &Path) -> Result<&Path, KeyFileError> {
    let name = path.file_name().map(Path::new);
    name.ok_or_else(|| io_error("use", path)(io::ErrorKind::InvalidInput.into()))
}

fn emit(key: &SecretKey) -> Zeroizing<String> {
    let seed = key.seed();
    let mut bytes = Zeroizing::new(seed.to_vec());
    bytes.extend_from_slice(&checksum(seed.as_ref()));
    let mut body = Zeroizing::new(BASE32_NOPAD.encode(&bytes));
    body.make_ascii_lowercase();
    Zeroizing::new(format!("{HEADER}\n{}\n", *body))
}

fn parse(text: &str) -> Result<SecretKey, &'static str> {
    let rest = text
        .strip_prefix(HEADER)
        .and_then(|rest| rest.strip_prefix('\n'))
        .ok_or("its first line is not `peerway secret key 1`")?;
    let body = rest.strip_suffix('\n').ok_or("its end is missing")?;
    let bytes = decode_base32(body)
        .map(Zeroizing::new)
        .map_err(|_| "its second line is not base32")?;
    let Some((seed, check)) = bytes.split_first_chunk::<SEED_LEN>() else {
        return Err("its second line is too short");
    };
    if check != checksum(seed) {
        return Err("its checksum does not match");
    }
    Ok(SecretKey::from_seed(seed))
}

fn checksum(seed: &[u8]) -> [u8; CHECK_LEN] {
    use blake2::{Blake2s256, Digest};
    let hash: [u8; 32] = Blake2s256::new()
        .chain_update(b"peerway secret key 1")
        .chain_update(seed)
        .finalize()
        .into();
    let [a, b, c, d, ..] = hash;
    [a, b, c, d]
}

fn damaged(path: &Path, what: &'static str) -> KeyFileError {
    KeyFileError::Damaged {
        path: path.to_owned(),
        what,
    }
}

fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> KeyFileError {
    let path = path.to_owned();
    move |source| KeyFileError::Io {
        action,
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_key_that_was_made_is_loaded_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/deep/key");
        let id = load_or_create(&path).unwrap().id();
        assert_eq!(load_or_create(&path).unwrap().id(), id);
        assert_eq!(load(&path).unwrap().unwrap().id(), id);
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "temporary files are gone");
    }

    /// In a child process, because the umask belongs to the whole process.
    #[test]
    fn an_open_umask_does_not_open_the_key() {
        const MARK: &str = "PEERWAY_TEST_KEYFILE";
        if let Some(path) = std::env::var_os(MARK) {
            load_or_create(Path::new(&path)).unwrap();
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/key");
        let test = "keyfile::tests::an_open_umask_does_not_open_the_key";
        let status = std::process::Command::new("sh")
            .args(["-c", "umask 000; exec \"$0\" --exact \"$1\""])
            .arg(std::env::current_exe().unwrap())
            .arg(test)
            .env(MARK, &path)
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_cure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        load_or_create(&path).unwrap();
        for bits in [0o640, 0o604, 0o620, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
            let error = load_or_create(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Readable { mode, .. } if mode == bits));
            let cure = format!("chmod 600 {}", path.display());
            assert!(error.to_string().contains(&cure), "{error}");
        }
    }

    #[test]
    fn a_damaged_key_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        load_or_create(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        let truncated = (0..whole.len()).map(|len| whole[..len].to_vec());
        let changed = (0..whole.len()).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            bytes
        });
        let longer = std::iter::once([whole.as_slice(), b"a"].concat());
        for bytes in truncated.chain(changed).chain(longer) {
            fs::write(&path, &bytes).unwrap();
            let error = load_or_create(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Damaged { .. }), "{error}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }

    #[test]
    fn many_who_start_at_once_agree_on_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let ids: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| load_or_create(&path).unwrap().id()))
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]));
    }
}
