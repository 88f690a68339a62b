//! What a running relay says about itself to whoever may read its folder: a Unix socket there, which gives each that
//! connects one JSON object and hangs up.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use peerway_relay::Relay;
use serde_json::{Map, Value};
use tokio::{
    io::AsyncWriteExt,
    net::UnixListener,
    time::{sleep, timeout},
};
use tracing::warn;

const SOCKET: &str = "relay.sock";
/// How long an answer may take, for either side.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long nobody is answered after the system refused a connection.
const PAUSE: Duration = Duration::from_secs(1);

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatusError {
    #[error(
        "no relay answers at {}: {source}; is it running, and is this its --state-dir?",
        path.display()
    )]
    Unreachable { path: PathBuf, source: io::Error },
    #[error("cannot open {}: {source}; its folder has to be writable and its path short", path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error("the relay's answer is none: {0}; is it of another version?")]
    Answer(#[from] serde_json::Error),
    #[error("cannot print: {0}")]
    Print(io::Error),
}

/// Opens the socket in the relay's folder. What an earlier relay left there is replaced.
pub(crate) fn open(state_dir: &Path) -> Result<UnixListener, StatusError> {
    let path = state_dir.join(SOCKET);
    let new = state_dir.join(format!("{SOCKET}.new"));
    let open = || {
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&new)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        fs::rename(&new, &path)?;
        Ok(listener)
    };
    open().map_err(|source| StatusError::Socket {
        path: path.clone(),
        source,
    })
}

/// Answers one after the other, for ever.
pub(crate) async fn serve(listener: Option<UnixListener>, relay: &Relay) {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((mut stream, _)) => {
                let answer = answer(relay);
                let _ = timeout(PATIENCE, stream.write_all(answer.as_bytes())).await;
            }
            Err(error) => {
                warn!(%error, "cannot take a request for the status");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Asks the relay of this folder, and prints what it says, as JSON or for people.
pub(crate) fn show(state_dir: &Path, json: bool) -> Result<(), StatusError> {
    let path = state_dir.join(SOCKET);
    let answer = ask(&path).map_err(|source| StatusError::Unreachable { path, source })?;
    let status: Map<String, Value> = serde_json::from_str(&answer)?;
    let mut out = io::stdout().lock();
    if json {
        return writeln!(out, "{}", Value::Object(status)).map_err(StatusError::Print);
    }
    for (name, value) in status {
        let name = name.replace('_', " ");
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        writeln!(out, "{name:<20}{value}").map_err(StatusError::Print)?;
    }
    Ok(())
}

fn answer(relay: &Relay) -> String {
    let mut status = Map::new();
    status.insert("url".to_owned(), relay.url().to_string().into());
    if let Ok(Value::Object(stats)) = serde_json::to_value(relay.stats()) {
        status.extend(stats);
    }
    Value::Object(status).to_string()
}

fn ask(path: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
