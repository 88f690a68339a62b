//! Where the control socket is, that nobody else gets at it, and that it stays there: [`Place`], [`Socket`].

use std::{
    env, fs,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use peerway::PeerId;
use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};

use super::ControlError;

/// A socket, in a folder of its owner's.
#[derive(Clone, Debug)]
pub struct Place {
    folder: PathBuf,
    socket: PathBuf,
    /// None if it is always the same.
    choice: Option<Choice>,
}

/// Between two folders, of which the user's runtime folder comes and goes with their sessions.
#[derive(Clone, Debug)]
struct Choice {
    id: PeerId,
    runtime: PathBuf,
    state: PathBuf,
}

impl Choice {
    /// As it is now.
    fn place(self) -> Place {
        let place = if is_mine(&self.runtime) {
            Place::in_folder(self.runtime.join("peerway"), &format!("{}.sock", self.id))
        } else {
            Place::in_folder(self.state.join("run"), "control.sock")
        };
        Place {
            choice: Some(self),
            ..place
        }
    }
}

impl Place {
    /// The socket of the node `id`: in the user's runtime folder or, on computers without, in the node's state folder.
    #[must_use]
    pub fn of(id: PeerId, state: &Path) -> Self {
        let named = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        // Where it is usually, for commands of cron and of other sessions, which lack the variable.
        let usual = || PathBuf::from(format!("/run/user/{}", geteuid().as_raw()));
        let runtime = named.filter(|dir| dir.is_absolute()).unwrap_or_else(usual);
        let state = state.to_owned();
        Choice { id, runtime, state }.place()
    }

    /// The same where it is now, as a runtime folder may have come or gone since.
    fn anew(&self) -> Self {
        let choice = self.choice.clone();
        choice.map_or_else(|| self.clone(), Choice::place)
    }

    /// A socket of this name in this folder, which is made if there is none.
    #[must_use]
    pub fn in_folder(folder: PathBuf, name: &str) -> Self {
        let socket = folder.join(name);
        let choice = None;
        Self {
            folder,
            socket,
            choice,
        }
    }

    /// The socket's path.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Opens the socket. What a node of this identity left behind is replaced.
    ///
    /// # Errors
    /// [`ControlError::Taken`] if a node of this identity listens there, as of a copy of the state folder, [`ControlError::Folder`] if
    /// others can write to its folder, [`ControlError::NotOurs`] if something else is in its place, [`ControlError::Open`] if the
    /// system does not open it.
    pub async fn open(&self) -> Result<Socket, ControlError> {
        let listener = self.bind().await?;
        let place = self.clone();
        let named = Name::of(&self.socket);
        Ok(Socket {
            listener,
            place,
            named,
        })
    }

    async fn bind(&self) -> Result<UnixListener, ControlError> {
        self.keep_folder()?;
        let open = |source| ControlError::Open {
            path: self.socket.clone(),
            source,
        };
        match fs::symlink_metadata(&self.socket) {
            Ok(found) if found.file_type().is_socket() && found.uid() == geteuid().as_raw() => {
                self.is_free().await?;
                fs::remove_file(&self.socket).map_err(open)?;
            }
            Ok(_) => {
                let path = self.socket.clone();
                return Err(ControlError::NotOurs { path });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(open(error)),
        }
        let listener = UnixListener::bind(&self.socket).map_err(open)?;
        // Nobody else can enter the folder meanwhile.
        fs::set_permissions(&self.socket, fs::Permissions::from_mode(0o600)).map_err(open)?;
        Ok(listener)
    }

    /// That nobody listens there.
    async fn is_free(&self) -> Result<(), ControlError> {
        let taken = |pid| {
            let path = self.socket.clone();
            Err(ControlError::Taken { path, pid })
        };
        match UnixStream::connect(&self.socket).await {
            Ok(stream) => taken(stream.peer_cred().ok().and_then(|peer| peer.pid())),
            // Who listens has not taken those who came before, as a process that was stopped.
            Err(error) if error.kind() == ErrorKind::WouldBlock => taken(None),
            Err(_) => Ok(()),
        }
    }

    /// A connection to the node, or none if no node is there, where it is now.
    ///
    /// # Errors
    /// [`ControlError::Unreachable`] if there is a socket that does not let us in, [`ControlError::NotOurs`] if it is another user's.
    pub async fn connect(&self) -> Result<Option<UnixStream>, ControlError> {
        // Of a node that ended without a word the socket remains, and nobody listens.
        let is_absent = |error: &io::Error| {
            matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            )
        };
        let socket = self.anew().socket;
        let unreachable = |source| ControlError::Unreachable {
            path: socket.clone(),
            source,
        };
        match UnixStream::connect(&socket).await {
            // Who listens is told things, and believed; root knows whose folder it named.
            Ok(stream) if geteuid().is_root() || is_let_in(&stream).map_err(unreachable)? => {
                Ok(Some(stream))
            }
            Ok(_) => Err(ControlError::NotOurs {
                path: socket.clone(),
            }),
            Err(error) if is_absent(&error) => Ok(None),
            Err(source) => Err(unreachable(source)),
        }
    }

    /// Has the folder there, for us alone.
    fn keep_folder(&self) -> Result<(), ControlError> {
        let wrong = |reason: String| ControlError::Folder {
            path: self.folder.clone(),
            reason,
        };
        let made = fs::DirBuilder::new().mode(0o700).create(&self.folder);
        if let Err(error) = made
            && error.kind() != ErrorKind::AlreadyExists
        {
            return Err(wrong(error.to_string()));
        }
        // As it is, and not what a symbolic link in its place leads to.
        let found = fs::symlink_metadata(&self.folder).map_err(|error| wrong(error.to_string()))?;
        if !found.is_dir() {
            return Err(wrong("not a folder".to_owned()));
        }
        if found.uid() != geteuid().as_raw() {
            return Err(wrong("somebody else's".to_owned()));
        }
        if found.mode() & 0o077 != 0 {
            // Under a umask of 000, or of another program's making.
            fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o700))
                .map_err(|error| wrong(error.to_string()))?;
        }
        Ok(())
    }
}

/// A socket that is listened at. Dropped, it is gone, unless another one has its place.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    place: Place,
    named: Option<Name>,
}

/// Which socket a path leads to. The number alone would soon be another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    device: u64,
    inode: u64,
    changed_s: i64,
    changed_ns: i64,
}

impl Name {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::symlink_metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            changed_s: found.ctime(),
            changed_ns: found.ctime_nsec(),
        })
    }
}

impl Socket {
    /// Whoever comes next.
    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.listener.accept().await?.0)
    }

    /// Has it where it is looked for: again, if it was taken away there, and elsewhere, if the folder that comes first came or went,
    /// as it does with the owner's first and last session.
    pub(super) async fn renew(&mut self) -> Result<(), ControlError> {
        let place = self.place.anew();
        let is_gone = fs::symlink_metadata(&self.place.socket)
            .is_err_and(|error| error.kind() == ErrorKind::NotFound);
        if is_gone || place.socket != self.place.socket {
            // What is left of the former one goes with it.
            *self = place.open().await?;
        }
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let path = &self.place.socket;
        if self.named.is_some() && Name::of(path) == self.named {
            // What is left of it would be replaced by the next node.
            let _ = fs::remove_file(path);
        }
    }
}

fn is_mine(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|dir| dir.is_dir() && dir.uid() == geteuid().as_raw())
}

/// Whether whoever is at the other end may talk to this node: its owner, and root, who can do as the owner anyway.
pub(super) fn is_let_in(stream: &UnixStream) -> io::Result<bool> {
    Ok(may_talk(stream.peer_cred()?.uid(), geteuid().as_raw()))
}

fn may_talk(uid: u32, own: u32) -> bool {
    uid == own || uid == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener as StdListener};

    use tempfile::TempDir;

    use super::*;

    fn place(dir: &TempDir) -> Place {
        Place::in_folder(dir.path().join("peerway"), "a.sock")
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[tokio::test]
    async fn the_socket_is_its_owners_alone_whatever_was_left_open_before() {
        let dir = TempDir::new().unwrap();
        let place = place(&dir);
        fs::create_dir(&place.folder).unwrap();
        fs::set_permissions(&place.folder, fs::Permissions::from_mode(0o777)).unwrap();
        let listener = place.open().await.unwrap();
        assert_eq!((mode(&place.folder), mode(&place.socket)), (0o700, 0o600));
        let stream = place.connect().await.unwrap().unwrap();
        let accepted = listener.accept().await.unwrap();
        assert!(is_let_in(&accepted).unwrap());
        drop(stream);
    }

    /// On either side: nobody else is answered, and nobody else's node is told anything or believed.
    #[test]
    fn another_user_is_not_talked_to_but_root_is() {
        let talked_to = [1000, 0, 1001].map(|uid| may_talk(uid, 1000));
        assert_eq!(talked_to, [true, true, false]);
        assert!(!may_talk(1000, 0), "nor by root");
    }

    #[tokio::test]
    async fn the_socket_of_a_node_that_is_dead_counts_as_none_and_is_replaced() {
        let dir = TempDir::new().unwrap();
        let place = place(&dir);
        assert!(place.connect().await.unwrap().is_none());
        drop(place.open().await.unwrap());
        assert!(!place.socket.exists());
        // As of one that was killed.
        drop(StdListener::bind(&place.socket).unwrap());
        assert!(place.connect().await.unwrap().is_none());
        let _socket = place.open().await.unwrap();
        assert!(place.connect().await.unwrap().is_some());
    }

    /// As of a copy of its state folder.
    #[tokio::test]
    async fn another_node_of_the_identity_is_told_which_one_listens_and_takes_nothing_away() {
        let dir = TempDir::new().unwrap();
        let place = place(&dir);
        let _socket = place.open().await.unwrap();
        let refused = place.open().await.unwrap_err();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(
            matches!(refused, ControlError::Taken { pid: Some(pid), .. } if pid == own),
            "{refused}"
        );
        assert!(place.connect().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_socket_that_was_taken_away_comes_back_and_leaves_anothers_alone() {
        let dir = TempDir::new().unwrap();
        let place = place(&dir);
        let mut socket = place.open().await.unwrap();
        fs::remove_dir_all(&place.folder).unwrap();
        socket.renew().await.unwrap();
        assert!(place.connect().await.unwrap().is_some());
        fs::remove_file(&place.socket).unwrap();
        let _next = place.open().await.unwrap();
        socket.renew().await.unwrap();
        drop(socket);
        assert!(place.connect().await.unwrap().is_some());
    }

    /// As with the owner's last session and the next one.
    #[tokio::test]
    async fn the_socket_follows_where_the_runtime_folder_goes_and_comes_back() {
        let dir = TempDir::new().unwrap();
        let (runtime, state) = (dir.path().join("runtime"), dir.path().join("state"));
        for folder in [&runtime, &state] {
            fs::create_dir(folder).unwrap();
        }
        let choice = Choice {
            id: peerway::SecretKey::from_seed(&[1; 32]).id(),
            runtime: runtime.clone(),
            state: state.clone(),
        };
        // Of a command that began before, as a dashboard.
        let before = choice.clone().place();
        let mut socket = before.open().await.unwrap();
        fs::remove_dir_all(&runtime).unwrap();
        socket.renew().await.unwrap();
        let meanwhile = choice.clone().place();
        assert!(meanwhile.socket.starts_with(&state));
        for place in [&before, &meanwhile] {
            assert!(place.connect().await.unwrap().is_some());
        }
        fs::create_dir(&runtime).unwrap();
        socket.renew().await.unwrap();
        assert!(choice.place().socket.starts_with(&runtime));
        for place in [&before, &meanwhile] {
            assert!(place.connect().await.unwrap().is_some());
        }
        assert!(!meanwhile.socket.exists(), "nothing is left there");
    }

    #[tokio::test]
    async fn what_is_no_socket_in_its_place_is_left_alone() {
        let dir = TempDir::new().unwrap();
        let place = place(&dir);
        fs::create_dir(&place.folder).unwrap();
        fs::write(&place.socket, "a diary").unwrap();
        let refused = place.open().await.unwrap_err();
        assert!(matches!(refused, ControlError::NotOurs { .. }), "{refused}");
        assert_eq!(fs::read_to_string(&place.socket).unwrap(), "a diary");
        fs::remove_file(&place.socket).unwrap();

        let elsewhere = dir.path().join("elsewhere.sock");
        let _other = StdListener::bind(&elsewhere).unwrap();
        symlink(&elsewhere, &place.socket).unwrap();
        let refused = place.open().await.unwrap_err();
        assert!(matches!(refused, ControlError::NotOurs { .. }), "{refused}");
    }

    #[tokio::test]
    async fn a_folder_that_is_a_link_to_another_is_refused() {
        let dir = TempDir::new().unwrap();
        let place = place(&dir);
        let elsewhere = dir.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        symlink(&elsewhere, &place.folder).unwrap();
        let refused = place.open().await.unwrap_err();
        assert!(refused.to_string().contains("not a folder"), "{refused}");
    }
}
