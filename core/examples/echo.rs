//! Says back what a peer says, through any NAT.
//!
//! ```text
//! echo listen relay://KEY@HOST:PORT     prints a ticket
//! echo dial TICKET hello                prints "hello" as it came back
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;

use peerway::{Endpoint, RelayUrl, Ticket};

const ALPN: &[u8] = b"example/echo/1";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["listen", relay] => listen(relay.parse()?).await,
        ["dial", ticket, text] => dial(ticket.parse()?, text).await,
        _ => Err("usage: echo listen RELAY | echo dial TICKET TEXT".into()),
    }
}

async fn listen(relay: RelayUrl) -> Result<(), Box<dyn Error>> {
    let endpoint = Endpoint::builder()
        .relays([relay])
        .alpns([ALPN])
        .bind()
        .await?;
    endpoint.online().await?;
    println!("{}", endpoint.ticket());
    while let Some(connection) = endpoint.accept().await {
        let (mut send, mut recv) = connection.accept_bi().await?;
        let text = recv.read_to_end(64 * 1024).await?;
        send.write_all(&text).await?;
        send.finish()?;
        connection.closed().await;
    }
    Ok(())
}

async fn dial(ticket: Ticket, text: &str) -> Result<(), Box<dyn Error>> {
    let endpoint = Endpoint::builder().bind().await?;
    let connection = endpoint.connect(ticket, ALPN).await?;
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(text.as_bytes()).await?;
    send.finish()?;
    let answer = recv.read_to_end(64 * 1024).await?;
    println!("{}", String::from_utf8_lossy(&answer));
    connection.close(0, b"done");
    endpoint.close().await;
    Ok(())
}
