//! How the owner of the relay's folder talks to the running relay: a Unix socket there. Whoever connects writes one line, a
//! [`Request`] in JSON, gets one line of JSON, and is hung up on.

mod answer;
mod print;

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader as AsyncBufReader},
    net::UnixListener,
};

use crate::{answering::answer_all, keeper::Keeper};
pub(crate) use print::print;

const SOCKET: &str = "relay.sock";
/// How long a request and its answer may take, for either side.
const PATIENCE: Duration = Duration::from_secs(2);
/// No request is longer.
const MAX_REQUEST: u64 = 4096;

/// What may be asked of a running relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// What it does.
    Status,
    /// Stop within so many seconds, as soon as the clients have gone elsewhere: to this relay if one is named.
    Drain { within_s: u64, to: Option<String> },
    /// A URL that lets in whoever has it.
    Invite {
        uses: Option<u32>,
        expires_s: Option<u64>,
    },
    /// All invitations, and whom they let in.
    Invites,
    /// The end of an invitation, by its id, or of somebody who was invited, by their key.
    Revoke { what: String, members: bool },
}

/// Why the relay did not answer, or refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error(
        "no relay answers at {}: {source}; is it running, and is this its --state-dir?",
        path.display()
    )]
    Unreachable { path: PathBuf, source: io::Error },
    #[error("cannot open {}: {source}; its folder has to be writable and its path short", path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error("the relay's answer is none: {0}; is it of another version?")]
    Answer(#[from] serde_json::Error),
    #[error("{0}")]
    Refused(String),
    #[error("`top` needs a terminal; `status` prints the same as text")]
    NoTerminal,
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

/// Opens the socket in the relay's folder. What an earlier relay left there is replaced.
pub(crate) fn open(state_dir: &Path) -> Result<UnixListener, ControlError> {
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
    open().map_err(|source| ControlError::Socket {
        path: path.clone(),
        source,
    })
}

/// Answers for ever.
pub(crate) async fn serve(listener: UnixListener, keeper: &Keeper) {
    let accept = async || listener.accept().await.map(|(stream, _)| stream);
    answer_all("the operator", PATIENCE, accept, |stream| {
        let keeper = keeper.clone();
        async move {
            let _ = converse(stream, &keeper).await;
        }
    })
    .await;
}

async fn converse(mut stream: tokio::net::UnixStream, keeper: &Keeper) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let mut reader = AsyncBufReader::new(reader.take(MAX_REQUEST));
    reader.read_line(&mut line).await?;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => answer::answer(keeper, request).await,
        Err(error) => Err(format!("this is no request: {error}")),
    };
    let answer = answer.unwrap_or_else(|error| serde_json::json!({ "error": error }));
    writer.write_all(format!("{answer}\n").as_bytes()).await
}

/// Asks the relay of this folder.
pub(crate) fn ask(state_dir: &Path, request: &Request) -> Result<Map<String, Value>, ControlError> {
    let path = state_dir.join(SOCKET);
    let line = serde_json::to_string(request)?;
    let answer =
        exchange(&path, &line).map_err(|source| ControlError::Unreachable { path, source })?;
    let answer: Map<String, Value> = serde_json::from_str(&answer)?;
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => Err(ControlError::Refused(error.to_owned())),
        None => Ok(answer),
    }
}

fn exchange(path: &Path, line: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    // As long as it takes the relay to answer, and to write to its disk.
    stream.set_read_timeout(Some(2 * PATIENCE))?;
    writeln!(stream, "{line}")?;
    let mut answer = String::new();
    BufReader::new(&stream)
        .take(1 << 20)
        .read_line(&mut answer)?;
    Ok(answer)
}
