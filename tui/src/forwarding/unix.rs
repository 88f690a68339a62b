//! A Unix socket at a path that nothing else is at.

use std::{
    fs::{self, Permissions},
    io::{self, ErrorKind},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixSocket};

/// Programs that wait to be accepted.
const BACKLOG: u32 = 1024;

/// A listener, whose socket leaves its path when this is dropped.
pub(crate) struct Socket {
    pub(super) listener: UnixListener,
    _path: Placed,
}

struct Placed {
    path: PathBuf,
    inode: u64,
}

impl Socket {
    /// For its owner alone. A socket that nobody listens at gives way, and nothing else does.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(io::Error::new(
                    ErrorKind::AlreadyExists,
                    "something is there that is no socket",
                ));
            }
            Ok(_) => match UnixStream::connect(path) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    fs::remove_file(path)?;
                }
                Err(error) => return Err(error),
                Ok(_) => {
                    return Err(io::Error::new(
                        ErrorKind::AddrInUse,
                        "another program listens there",
                    ));
                }
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        let placed = Placed {
            inode: fs::symlink_metadata(path)?.ino(),
            path: path.to_owned(),
        };
        // Whatever the umask is: nobody connects before it listens.
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self {
            listener: socket.listen(BACKLOG)?,
            _path: placed,
        })
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_dead_socket_gives_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = Socket::open(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let taken = Socket::open(&path).err().unwrap();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());

        fs::write(&path, "precious").unwrap();
        let refused = Socket::open(&path).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        std::os::unix::fs::symlink(&path, dir.path().join("b.sock")).unwrap();
        assert!(Socket::open(&dir.path().join("b.sock")).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
