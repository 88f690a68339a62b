//! `peerway forward`: a local address that leads to a server at a peer.

mod line;

use std::{io, pin::pin};

use futures_util::{Stream, StreamExt};
use peerway::{Event, Names as _, Ticket, services::tunnel::ServiceName};
use tokio::time::Instant;

use self::line::Repeats;
use super::{
    args::{Forward, Globals, PeerName, Service},
    datagrams,
    failure::Failure,
    invite, kept,
    node::{self, Node, relays_for},
    out,
    state::StateDir,
    up, words,
};
use crate::{
    book::Book,
    forwarding::{self, Bound, Datagrams, Step},
    kept::Local,
};

pub(super) async fn run(globals: &Globals, args: &Forward) -> Result<(), Failure> {
    if let Some(action) = &args.action {
        return kept::forward(globals, action).await;
    }
    // The command line has both where it has no action.
    let (Some(service), Some(listen)) = (&args.service, &args.listen) else {
        return Ok(());
    };
    #[cfg(unix)]
    if let Some(client) = super::attach::willing(globals).await? {
        return attached::forward(globals, &client, (service, listen), args.fail_fast).await;
    }
    by_itself(globals, service, listen, args.fail_fast).await
}

/// A node for the duration of the command.
async fn by_itself(
    globals: &Globals,
    service: &Service,
    listen: &Local,
    fail_fast: bool,
) -> Result<(), Failure> {
    let (bound, addr) = Bound::open(listen).await?;
    let peer = node::meet(globals, &service.peer).await?;
    let node = Node::dialling(globals, relays_for(globals, &peer)).await?;
    if !node.is_temporary() {
        out::hint(node::OWN);
    }
    let forward = forwarding::Forward::new(node.links(), peer.clone(), service.name.clone());
    let steps = forward.begin(bound, addr, fail_fast).map(Ok);
    let mut following = Following::new(globals, service, &peer);
    let at_identity = || node.hint_at_identity();
    let body = async {
        let mut steps = pin!(steps);
        tokio::select! {
            followed = up::served_without_reader(following.follow(&mut steps, at_identity)) => followed,
            never = node.book().follow(&node.endpoint, out::hint) => match never {},
        }
    };
    let ran = node.run(body).await;
    datagrams::print(forward.datagrams().into(), globals.json)?;
    ran?;
    Ok(())
}

/// Prints how a forward fares.
struct Following<'a> {
    globals: &'a Globals,
    service: &'a Service,
    peer: &'a Ticket,
    repeats: Repeats,
    /// As they were told last.
    datagrams: Datagrams,
}

impl<'a> Following<'a> {
    fn new(globals: &'a Globals, service: &'a Service, peer: &'a Ticket) -> Self {
        Self {
            globals,
            service,
            peer,
            repeats: Repeats::default(),
            datagrams: Datagrams::default(),
        }
    }

    /// Ends with the forward. `unreached` is called each time that the peer was not reached.
    async fn follow(
        &mut self,
        steps: &mut (impl Stream<Item = Result<Step, Failure>> + Unpin),
        unreached: impl Fn(),
    ) -> Result<(), Failure> {
        while let Some(step) = steps.next().await {
            let step = step?;
            if let Step::Waiting(_) = &step {
                unreached();
            }
            self.note(step).await?;
        }
        Err(Failure::NodeEnded)
    }

    async fn note(&mut self, step: Step) -> Result<(), Failure> {
        let (json, state) = (self.globals.json, StateDir::open(self.globals)?);
        match step {
            Step::Hint { text } => out::hint(text),
            Step::Listening { addr } => {
                let (book, peer) = (state.names(), self.peer.clone());
                let name = self.service.name.clone();
                out::aside(move || announce(addr, &book, &peer, &name, json)).await?;
            }
            Step::Reached => state.peers().remember(self.peer),
            Step::Waiting(failed) => {
                out::hint(format!("not reached yet, trying on: {failed}"));
                // Who invites may have been away.
                if let PeerName::Invited(_, invitation) = &self.service.peer {
                    invite::use_up(self.globals, self.peer, invitation).await?;
                }
            }
            Step::Way { happened } => {
                let book = state.names();
                out::aside(move || print_event(&happened, &book, json)).await?;
            }
            failed @ (Step::Refused { .. } | Step::Cut { .. }) => {
                let text = self.repeats.say(line::text(&failed), Instant::now());
                out::aside(move || print_failure(&failed, text, json)).await?;
            }
            Step::Datagrams(counts) => self.datagrams = counts,
            Step::Failed(failed) => return Err(failed.into()),
        }
        Ok(())
    }
}

fn announce(
    addr: String,
    book: &Book,
    peer: &Ticket,
    name: &ServiceName,
    json: bool,
) -> io::Result<()> {
    if json {
        return out::json(&Step::Listening { addr });
    }
    let peer = book.peer(&peer.id());
    out::text(format!("{addr} leads to {name} at {peer}"))
}

fn print_event(event: &Event, book: &Book, json: bool) -> io::Result<()> {
    if json {
        out::json(event)
    } else {
        out::text(words::event(&event.kind, book))
    }
}

fn print_failure(failed: &Step, text: Option<String>, json: bool) -> io::Result<()> {
    match text {
        _ if json => out::json(failed),
        Some(text) => out::text(text),
        None => Ok(()),
    }
}

/// By the node that runs here.
#[cfg(unix)]
mod attached {
    use futures_util::StreamExt;

    use super::{
        Failure, Following, Globals, Local, Service, datagrams,
        node::{self, interrupted},
        up,
    };
    use crate::{control::Client, forwarding::ForwardAsk, written::Written};

    pub(super) async fn forward(
        globals: &Globals,
        client: &Client,
        (service, listen): (&Service, &Local),
        fail_fast: bool,
    ) -> Result<(), Failure> {
        // Before anything is begun.
        let interrupted = interrupted();
        let peer = node::meet(globals, &service.peer).await?;
        let ask = ForwardAsk {
            ticket: peer.clone(),
            service: Written(service.name.clone()),
            listen: Written(listen.clone()),
            fail_fast,
        };
        let mut following = Following::new(globals, service, &peer);
        let forwarding = async {
            let mut steps = client.forward(&ask).await?.map(|step| Ok(step?));
            up::served_without_reader(following.follow(&mut steps, || ())).await
        };
        let followed = tokio::select! {
            followed = forwarding => followed,
            () = interrupted => Ok(()),
        };
        datagrams::print(following.datagrams, globals.json)?;
        followed
    }
}
