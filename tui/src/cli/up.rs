//! `peerway up`: a node that others can reach, until it is told to end.

use peerway::{Event, PeerId, Ticket, services::Services};
use serde::Serialize;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{
    args::{Globals, Up},
    failure::Failure,
    node::Node,
    out, words,
};

pub(super) async fn run(globals: &Globals, args: &Up) -> Result<(), Failure> {
    let services = Services::new().diagnostics(!args.no_diagnostics);
    serve(globals, &services, |ticket| {
        format!("peerway ping {ticket}")
    })
    .await
}

/// Offers `services` until Ctrl-C; `command` is what the other side has to type.
pub(super) async fn serve(
    globals: &Globals,
    services: &Services,
    command: impl Fn(&Ticket) -> String,
) -> Result<(), Failure> {
    let node = Node::listening(globals, &services.alpns()).await?;
    let mut events = node.endpoint.events();
    let body = async {
        node.reachable().await?;
        let ticket = node.endpoint.ticket();
        let command = command(&ticket);
        let print = async {
            print_ready(ticket, command, globals.json).await?;
            print_events(&mut events, globals.json).await
        };
        tokio::select! {
            () = services.run(&node.endpoint) => Ok(()),
            result = print => result,
        }
    };
    node.run(body).await?;
    Ok(())
}

async fn print_ready(ticket: Ticket, command: String, json: bool) -> Result<(), Failure> {
    let ready = move || {
        if json {
            let (id, ticket) = (ticket.id, &ticket);
            return out::json(&Line::Ready { id, ticket });
        }
        out::text(format!("ready as {}", ticket.id))?;
        out::text(format!("on the other side: {command}"))
    };
    Ok(out::aside(ready).await?)
}

async fn print_events(events: &mut Receiver<Event>, json: bool) -> Result<(), Failure> {
    loop {
        let event = events.recv().await;
        if let Err(RecvError::Closed) = event {
            return Ok(());
        }
        let print = move || match event {
            Ok(event) if json => out::json(&event),
            Ok(event) => out::text(words::event(&event.kind)),
            Err(RecvError::Lagged(count)) if json => out::json(&Line::Missed { count }),
            Err(RecvError::Lagged(count)) => out::text(format!("{count} events were missed")),
            Err(RecvError::Closed) => Ok(()),
        };
        out::aside(print).await?;
    }
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Ready { id: PeerId, ticket: &'a Ticket },
    Missed { count: u64 },
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    #[test]
    fn the_ready_line_keeps_its_keys() {
        let id = SecretKey::from_seed(&[1; 32]).id();
        let ticket = Ticket::from(id);
        let line = serde_json::to_string(&Line::Ready {
            id,
            ticket: &ticket,
        });
        assert_eq!(
            line.unwrap(),
            format!(r#"{{"event":"ready","id":"{id}","ticket":"{ticket}"}}"#)
        );
    }
}
