//! Two people who talk, line by line: `chat relay://KEY@HOST:PORT` prints a ticket and waits, `chat TICKET` comes to it.
//! The node that waits also answers `peerway ping`.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{env::args, error::Error, io::stdin, sync::Arc, thread};

use peerway::{Connection, Endpoint, RecvStream, RelayUrl, Router, SendStream, Ticket};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::sync::{Mutex, mpsc};

const ALPN: &[u8] = b"example/chat/1";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (line, mut typed) = mpsc::unbounded_channel();
    thread::spawn(move || {
        let mut lines = stdin().lines();
        lines.try_for_each(|text| line.send(text.ok()?).ok())
    });
    let place = args().nth(1).ok_or("usage: chat RELAY | TICKET")?;
    if let Ok(relay) = place.parse() {
        return wait(relay, typed).await;
    }
    let peer: Ticket = place.parse()?;
    let endpoint = Endpoint::builder().bind().await?;
    let connection = endpoint.connect(peer, ALPN).await?;
    let (mut send, recv) = connection.open_bi().await?;
    // The other side sees the stream with its first byte.
    send.write_all(b"hello\n").await?;
    Talk::new(send, recv).run(&connection, &mut typed).await;
    endpoint.close().await;
    Ok(())
}

type Typed = mpsc::UnboundedReceiver<String>;

async fn wait(relay: RelayUrl, typed: Typed) -> Result<(), Box<dyn Error>> {
    let endpoint = Endpoint::builder().relays([relay]).bind().await?;
    // One talks, the others wait.
    let typed = Arc::new(Mutex::new(typed));
    let chat = move |connection: Connection| {
        let typed = typed.clone();
        async move {
            if let Ok((send, recv)) = connection.accept_bi().await {
                let talk = Talk::new(send, recv);
                talk.run(&connection, &mut *typed.lock().await).await;
            }
        }
    };
    let router = Router::new(endpoint.clone()).diagnostics();
    let router = router.accept(ALPN, chat);
    endpoint.online().await?;
    println!("{}", endpoint.ticket());
    router.run().await;
    Ok(())
}

struct Talk(SendStream, Lines<BufReader<RecvStream>>);

impl Talk {
    fn new(send: SendStream, recv: RecvStream) -> Self {
        Self(send, BufReader::new(recv).lines())
    }

    async fn run(mut self, connection: &Connection, typed: &mut Typed) {
        let peer = connection.peer().short();
        println!("{peer} is here, {}", connection.status());
        loop {
            tokio::select! {
                Some(line) = typed.recv() => {
                    if self.0.write_all(format!("{line}\n").as_bytes()).await.is_err() { break }
                }
                Ok(Some(line)) = self.1.next_line() => println!("{peer}: {line}"),
                _ = connection.closed() => break,
            }
        }
        println!("{peer} has left");
    }
}
