//! Sends files and folders to whoever runs the other half, verified and resumed after breaks.
//!
//! ```text
//! files receive FOLDER [RELAY]      prints a ticket
//! files send TICKET FILE…
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{error::Error, path::PathBuf};

use peerway::{
    Endpoint, Router,
    services::files::{self, Inbox, Progress, Selection},
};

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["receive", folder, ref relay @ ..] => receive(folder, relay).await,
        ["send", peer, ref paths @ ..] => send(peer, paths).await,
        _ => Err("usage: files receive FOLDER [RELAY] | files send TICKET FILE…".into()),
    }
}

async fn receive(folder: &str, relays: &[&str]) -> Outcome {
    let relays = relays.iter().map(|relay| relay.parse());
    let relays = relays.collect::<Result<Vec<_>, _>>()?;
    let endpoint = Endpoint::builder().relays(relays).bind().await?;
    let inbox = Inbox::open(folder)?;
    let router = Router::new(endpoint.clone()).accept(files::ALPN, move |connection| {
        let inbox = inbox.clone();
        async move {
            match inbox.receive(&connection).await {
                Ok(report) => println!("{} files, {} bytes", report.files, report.bytes),
                Err(error) => println!("{error}"),
            }
        }
    });
    endpoint.online().await?;
    println!("{}", endpoint.ticket());
    router.run().await;
    Ok(())
}

async fn send(peer: &str, paths: &[&str]) -> Outcome {
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    let endpoint = Endpoint::builder().bind().await?;
    let peer: peerway::Ticket = peer.parse()?;
    let connection = endpoint.connect(peer, files::ALPN).await?;
    let report = files::send(&connection, Selection::of(&paths)?, &Progress::default()).await?;
    println!("{} files, {} bytes", report.files, report.bytes);
    endpoint.close().await;
    Ok(())
}
