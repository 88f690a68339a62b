//! The file that keeps a secret key: made once, never replaced silently, readable by its owner only.
//!
//! Two lines of text: a header that names the format, and the 32-byte seed with a 4-byte checksum in lower-case base32.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use crate::{SecretKey, identity::decode_base32};

const HEADER: &str = "peerway secret key 1";
const SEED_LEN: usize = 32;
const CHECK_LEN: usize = 4;
/// No valid file is longer; a file that is, is not read to its end.
const MAX_LEN: u64 = 256;

/// Why a key file could not be read or made.
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
    /// Check the path and the permissions of its folder.
    #[error("cannot {action} the key file {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

/// Reads the key in `path`; if there is no such file, makes a new key and writes it there, with its folder if needed.
///
/// The file gets mode 0600 and a new folder 0700, whatever the umask. Of several processes that do this at once, one makes
/// the key and all return it.
///
/// # Errors
/// See [`KeyFileError`]. A file that exists is never overwritten.
pub fn load_or_create(path: &Path) -> Result<SecretKey, KeyFileError> {
    match load(path)? {
        Some(key) => Ok(key),
        None => create(path),
    }
}

/// Reads the key in `path`; none if there is no such file.
///
/// # Errors
/// See [`KeyFileError`].
pub fn load(path: &Path) -> Result<Option<SecretKey>, KeyFileError> {
    let failed = io_error("read", path);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    check_mode(path, &file.metadata().map_err(&failed)?)?;
    let mut text = Zeroizing::new(String::new());
    match file.take(MAX_LEN).read_to_string(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(damaged(path, "it is not text"));
        }
        Err(error) => return Err(failed(error)),
    }
    parse(&text).map(Some).map_err(|what| damaged(path, what))
}

fn create(path: &Path) -> Result<SecretKey, KeyFileError> {
    let failed = io_error("write", path);
    let key = SecretKey::generate().map_err(&failed)?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    make_folder(folder).map_err(&failed)?;
    let mut unique = [0; 8];
    getrandom::fill(&mut unique).map_err(|error| failed(error.into()))?;
    let temporary = folder.join(format!(
        ".key-{}",
        BASE32_NOPAD.encode(&unique).to_ascii_lowercase()
    ));
    let written = write_new(&temporary, &emit(&key))
        // Unlike a rename, a link does not replace what another process put there meanwhile.
        .and_then(|()| fs::hard_link(&temporary, path));
    let _ = fs::remove_file(&temporary);
    match written {
        Ok(()) => {
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(&failed)?;
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            load(path)?.ok_or_else(|| failed(error))
        }
        Err(error) => Err(failed(error)),
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyFileError> {
    const OTHERS: u32 = 0o077;
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
    if mode & OTHERS != 0 {
        return Err(KeyFileError::Readable {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// Where files have no mode, they inherit their folder's access rules.
#[cfg(not(unix))]
fn check_mode(_path: &Path, _metadata: &fs::Metadata) -> Result<(), KeyFileError> {
    Ok(())
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
    use std::os::unix::fs::PermissionsExt;

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
