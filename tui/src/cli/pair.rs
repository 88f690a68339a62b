//! `peerway pair`: two computers that know nothing of each other get into each other's address book by a code of nine letters.

use std::io::{self, IsTerminal};

use peerway::{
    PeerId, Ticket,
    services::pair::{Card, Code},
};
use serde::Serialize;

#[cfg(unix)]
use super::attach;
use super::{
    args::{Globals, Pair},
    dht,
    failure::Failure,
    node::interrupted,
    out,
    state::StateDir,
    ticket,
};
use crate::pairing::{self, Passing, host_name, keep};

pub(super) async fn run(globals: &Globals, args: &Pair) -> Result<(), Failure> {
    let code = args.code()?;
    let called = args.called.clone().unwrap_or_else(host_name);
    #[cfg(unix)]
    if let Some(node) = attach::willing(globals).await? {
        return attached::pair(globals, &node, code, called).await;
    }
    let ticket = ticket::own(globals).await?;
    let relays = ticket.relays().to_vec();
    let ours = Card::new(ticket, &called);
    let theirs = match code {
        None => {
            let waiting = pairing::wait(passing(globals)?, &relays, &ours, |code, hint| {
                print_code(globals, &code.to_string())?;
                hint.into_iter().for_each(out::hint);
                Ok(())
            });
            tokio::select! {
                met = waiting => met?,
                () = interrupted() => return Err(Failure::Interrupted),
            }
        }
        Some(code) => {
            let hint = |text: &str| out::hint(text);
            let typing = pairing::type_in(passing(globals)?, &relays, &code, &ours, &hint);
            tokio::select! {
                met = typing => met?,
                () = interrupted() => return Err(Failure::Interrupted),
            }
        }
    };
    let state = StateDir::open(globals)?;
    let name = keep(state.peers().book(), state.id()?, &theirs)?;
    tell(globals, name.as_str(), &theirs.ticket)
}

/// Of nodes of other keys, to meet somebody with.
fn passing(globals: &Globals) -> Result<Passing, Failure> {
    Ok(Passing {
        builder: builder(globals),
        directory: dht::directory(globals, &StateDir::open(globals)?),
    })
}

/// Of the same. The port may be that of the node that runs.
pub(super) fn builder(globals: &Globals) -> peerway::Builder {
    let builder = globals.builder();
    match globals.bind {
        Some(addr) => builder.bind_addr((addr.ip(), 0).into()),
        None => builder,
    }
}

fn print_code(globals: &Globals, code: &str) -> io::Result<()> {
    if globals.json {
        let code = code.to_owned();
        return out::json(&Record::Code { code });
    }
    if io::stdout().is_terminal() {
        // Who cannot scan it types it.
        if let Ok(drawn) = ticket::qr(&code.to_ascii_uppercase()) {
            out::text(drawn)?;
        }
    }
    out::text(format!(
        "on the other computer, within ten minutes: peerway pair {code}"
    ))
}

fn tell(globals: &Globals, name: &str, ticket: &Ticket) -> Result<(), Failure> {
    let id = ticket.id();
    if globals.json {
        return Ok(out::json(&Record::Paired { name, id, ticket })?);
    }
    out::text(format!("paired with {name} ({})", id.short()))?;
    out::hint(format!(
        "it is called {name} here: `peerway ping {name}` reaches it while `peerway up` runs there"
    ));
    Ok(())
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Record<'a> {
    Code {
        code: String,
    },
    Paired {
        name: &'a str,
        id: PeerId,
        ticket: &'a Ticket,
    },
}

/// By the node that runs here.
#[cfg(unix)]
mod attached {
    use futures_util::StreamExt;

    use super::{Code, Failure, Globals, interrupted, out, print_code, tell};
    use crate::{
        control::Client,
        pairing::{PairAsk, Step},
    };

    pub(super) async fn pair(
        globals: &Globals,
        node: &Client,
        code: Option<Code>,
        called: String,
    ) -> Result<(), Failure> {
        let ask = PairAsk {
            code: code.map(|code| code.to_string()),
            name: Some(called),
        };
        // Before anything is begun.
        let interrupted = interrupted();
        let pairing = async {
            let mut steps = node.pair(&ask).await?;
            while let Some(step) = steps.next().await {
                match step? {
                    Step::Hint { text } => out::hint(text),
                    Step::Code { code } => print_code(globals, &code)?,
                    Step::Paired { name, ticket, .. } => return tell(globals, &name, &ticket),
                    Step::Failed(failed) => return Err(failed.into()),
                }
            }
            Err(Failure::BrokenOff)
        };
        tokio::select! {
            paired = pairing => paired,
            () = interrupted => Err(Failure::Interrupted),
        }
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_keys_of_the_lines_are_documented() {
        let ticket = Ticket::from(SecretKey::from_seed(&[1; 32]).id());
        assert_keys(
            "pair",
            &Record::Code {
                code: String::new(),
            },
        );
        let (name, id) = ("laptop", ticket.id());
        assert_keys(
            "pair",
            &Record::Paired {
                name,
                id,
                ticket: &ticket,
            },
        );
    }
}
