//! Two people who talk, line by line: `chat relay://KEY@HOST:PORT` prints a ticket and waits, `chat TICKET` comes to it.
//! The node that waits also answers `peerway ping`.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{error::Error, io::stdin, thread};

use peerway::{Connection, Endpoint, RecvStream, RelayUrl, Router, SendStream, Ticket};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::sync::mpsc::{UnboundedReceiver, channel, unbounded_channel};

const ALPN: &[u8] = b"example/chat/1";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (line, mut typed) = unbounded_channel();
    thread::spawn(move || {
        stdin()
            .lines()
            .try_for_each(|text| line.send(text.ok()?).ok())
    });
    let place = std::env::args()
        .nth(1)
        .ok_or("usage: chat RELAY | chat TICKET")?;
    if let Ok(relay) = place.parse::<RelayUrl>() {
        return wait(relay, typed).await;
    }
    let peer: Ticket = place.parse()?;
    let endpoint = Endpoint::builder().bind().await?;
    let connection = endpoint.connect(peer, ALPN).await?;
    let (mut send, recv) = connection.open_bi().await?;
    // The other side sees the stream with its first byte.
    send.write_all(b"hello\n").await?;
    Talk::new(connection, send, recv).run(&mut typed).await;
    endpoint.close().await;
    Ok(())
}

type Typed = UnboundedReceiver<String>;

async fn wait(relay: RelayUrl, mut typed: Typed) -> Result<(), Box<dyn Error>> {
    let endpoint = Endpoint::builder().relays([relay]).bind().await?;
    let (arrived, mut talks) = channel(1);
    let accept = move |connection: Connection| {
        let arrived = arrived.clone();
        async move {
            if let Ok((send, recv)) = connection.accept_bi().await {
                let _ = arrived.send(Talk::new(connection, send, recv)).await;
            }
        }
    };
    let router = Router::new(endpoint.clone())
        .diagnostics()
        .accept(ALPN, accept);
    endpoint.online().await?;
    println!("{}", endpoint.ticket());
    let talking = async {
        while let Some(talk) = talks.recv().await {
            talk.run(&mut typed).await;
        }
    };
    tokio::join!(router.run(), talking);
    Ok(())
}

struct Talk {
    connection: Connection,
    send: SendStream,
    heard: Lines<BufReader<RecvStream>>,
}

impl Talk {
    fn new(connection: Connection, send: SendStream, recv: RecvStream) -> Self {
        let heard = BufReader::new(recv).lines();
        Self {
            connection,
            send,
            heard,
        }
    }

    async fn run(mut self, typed: &mut Typed) {
        let peer = self.connection.peer().short();
        println!("{peer} is here, {}", self.connection.status());
        loop {
            tokio::select! {
                Some(line) = typed.recv() => {
                    if self.send.write_all(format!("{line}\n").as_bytes()).await.is_err() { break }
                }
                line = self.heard.next_line() => {
                    let Ok(Some(line)) = line else { break };
                    println!("{peer}: {line}");
                }
            }
        }
        println!("{peer} has left");
    }
}
