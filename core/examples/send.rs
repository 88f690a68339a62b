//! Sends a file to whoever has the ticket, and shows over which path.
//!
//! ```text
//! send offer FILE relay://KEY@HOST:PORT     prints a ticket
//! send get TICKET FILE
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{error::Error, path::PathBuf};

use peerway::{Connection, Endpoint, RelayUrl, Router, Ticket};
use tokio::{fs::File, io};

const ALPN: &[u8] = b"example/send/1";

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["offer", file, relay] => offer(file.into(), relay.parse()?).await,
        ["get", ticket, file] => get(ticket.parse()?, file.into()).await,
        _ => Err("usage: send offer FILE RELAY | send get TICKET FILE".into()),
    }
}

async fn offer(path: PathBuf, relay: RelayUrl) -> Outcome<()> {
    let endpoint = Endpoint::builder().relays([relay]).bind().await?;
    let router = Router::new(endpoint.clone()).accept(ALPN, move |connection| {
        let path = path.clone();
        async move {
            match give(&connection, path).await {
                Ok(bytes) => println!("{} has {bytes} bytes", connection.peer().short()),
                Err(error) => println!("{}: {error}", connection.peer().short()),
            }
        }
    });
    endpoint.online().await?;
    println!("{}", endpoint.ticket());
    router.run().await;
    Ok(())
}

async fn give(connection: &Connection, path: PathBuf) -> Outcome<u64> {
    let mut send = connection.open_uni().await?;
    let bytes = io::copy(&mut File::open(path).await?, &mut send).await?;
    send.finish()?;
    // Until the other side has it all: a connection that is dropped loses what is under way.
    send.stopped().await?;
    Ok(bytes)
}

async fn get(peer: Ticket, path: PathBuf) -> Outcome<()> {
    let endpoint = Endpoint::builder().bind().await?;
    let connection = endpoint.connect(peer, ALPN).await?;
    let mut status = connection.watch_status();
    let mut recv = connection.accept_uni().await?;
    let mut file = File::create(path).await?;
    let show = async {
        while status.changed().await.is_ok() {
            println!("{}", *status.borrow_and_update());
        }
        std::future::pending().await
    };
    let bytes = tokio::select! {
        copied = io::copy(&mut recv, &mut file) => copied?,
        never = show => never,
    };
    file.sync_all().await?;
    println!("{bytes} bytes");
    connection.close(0, b"done");
    endpoint.close().await;
    Ok(())
}
