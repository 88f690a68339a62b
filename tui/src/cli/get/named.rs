//! `peerway get PEER/NAME`: what a peer shares under a name now, and with `--follow` each later state of it.

use std::{str::FromStr, time::Duration};

use peerway::Ticket;
use peerway_swarm::share::{Got, Hash, Link, Target};
use tokio::time::sleep;

use super::{by_itself, by_node};
use crate::{
    book::Name,
    cli::{
        args::{ArgError, GetArgs, Globals, PeerName},
        browse::names,
        failure::Failure,
        group,
        node::{find, interrupted},
        out,
        state::StateDir,
    },
    control::{Client, GetFailure},
    shares::Wanted,
};

/// How often a peer is asked whether what it shares is still the same.
const EVERY: Duration = Duration::from_secs(10);

/// Why what has a name at a peer is not fetched.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum NamedError {
    #[error(
        "{peer} lets this computer find nothing called {name}: `peerway browse {}` lists what it does",
        peer.quoted()
    )]
    Nothing { peer: Name, name: String },
    #[error(
        "{peer} has {count} different things called {name}: `peerway browse {}` lists the link of each",
        peer.quoted()
    )]
    Several {
        peer: Name,
        name: String,
        count: usize,
    },
    #[error(
        "a link or a hash names one state of something, which is never another: --follow takes PEER/NAME, as in nas/Public"
    )]
    OneState,
}

/// What a peer shares under a name, as text PEER/NAME.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Named {
    peer: PeerName,
    name: String,
}

impl FromStr for Named {
    type Err = ArgError;

    fn from_str(text: &str) -> Result<Self, ArgError> {
        let parts = text.split_once('/');
        let (peer, name) = parts
            .filter(|(_, name)| !name.is_empty())
            .ok_or(ArgError::NoName)?;
        Ok(Self {
            peer: peer.parse()?,
            name: name.to_owned(),
        })
    }
}

/// Fetches what the peer has under that name now, and goes on with `--follow`.
pub(super) async fn run(
    globals: &Globals,
    args: &GetArgs,
    target: Target,
    named: &Named,
) -> Result<(), Failure> {
    let ticket = find(globals, &named.peer)?;
    let seeking = Seeking {
        globals,
        ticket,
        name: &named.name,
    };
    if args.stay {
        let asking = async |node| seeking.ask(&node).await;
        let link = group::with(globals, false, asking).await?;
        return by_itself(globals, args, &Wanted::Link(link), &target).await;
    }
    group::with(globals, false, async |node| {
        let link = seeking.ask(&node).await?;
        let hash = link.hash;
        let over = over(&target, &link);
        let next = match by_node(globals, Wanted::Link(link), target, &node).await {
            Ok(_) if !args.follow => return Ok(()),
            Ok(got) => replacing(&got),
            Err(failure) if args.follow && args.overwrite && is_in_the_way(&failure) => {
                out::hint(later(&failure));
                over
            }
            Err(failure) => return Err(failure),
        };
        tokio::select! {
            never = seeking.follow(&node, hash, &next) => match never? {},
            () = interrupted() => Ok(()),
        }
    })
    .await
}

/// Where the next state goes: over the one that came.
fn replacing(got: &Got) -> Target {
    let folder = got.path.parent().unwrap_or(&got.path);
    let name = got.path.file_name();
    let mut target = Target::folder(folder);
    target.name = name.map(|name| name.to_string_lossy().into_owned());
    target.overwrite = true;
    target
}

/// The same where something was in the way of what was to be overwritten.
fn over(target: &Target, link: &Link) -> Target {
    let mut target = target.clone();
    target.name.get_or_insert_with(|| link.name.clone());
    target.overwrite = true;
    target
}

/// Whether all came but what has something in its way here: the same state does not come again for that.
fn is_in_the_way(failure: &Failure) -> bool {
    let kind = GetFailure::InTheWay;
    matches!(failure, Failure::NodeGet { kind: it, .. } if *it == kind)
}

fn later(failure: &Failure) -> String {
    format!("{failure}; the next state is waited for")
}

struct Seeking<'a> {
    globals: &'a Globals,
    ticket: Ticket,
    name: &'a str,
}

impl Seeking<'_> {
    /// The link to what the peer shares under the name.
    async fn ask(&self, node: &Client) -> Result<Link, Failure> {
        let mut found: Vec<Link> = Vec::new();
        names(node, &self.ticket, |line| {
            let is_new = found.iter().all(|known| known.hash != line.hash);
            if line.name == self.name && is_new {
                found.push(line.link);
            }
            Ok(())
        })
        .await?;
        let [link] = &found[..] else {
            let peer = self.peer()?;
            let (name, count) = (self.name.to_owned(), found.len());
            return Err(match count {
                0 => NamedError::Nothing { peer, name },
                _ => NamedError::Several { peer, name, count },
            }
            .into());
        };
        Ok(link.clone())
    }

    /// Fetches whatever is another state than the one before. A peer that is away is asked again, and a fetch that fails tried again.
    async fn follow(
        &self,
        node: &Client,
        mut had: Hash,
        target: &Target,
    ) -> Result<std::convert::Infallible, Failure> {
        out::hint(format!(
            "{} is asked every {} s whether it has changed: Ctrl-C ends that",
            self.peer()?,
            EVERY.as_secs()
        ));
        let mut told = None;
        loop {
            sleep(EVERY).await;
            match self.renew(node, had, target).await {
                Ok(hash) => (had, told) = (hash, None),
                Err(ended @ (Failure::Interrupted | Failure::NoNode)) => return Err(ended),
                Err(failure) => {
                    let words = failure.to_string();
                    // Once, and not every time that it is tried.
                    if told.as_ref() != Some(&words) {
                        out::hint(format!("{words}; it is tried again"));
                    }
                    told = Some(words);
                }
            }
        }
    }

    /// Fetches the state of now if it is another one; says which is here then, but for what has something in its way.
    async fn renew(&self, node: &Client, had: Hash, target: &Target) -> Result<Hash, Failure> {
        let link = self.ask(node).await?;
        let hash = link.hash;
        if hash != had {
            let link = Wanted::Link(link);
            match by_node(self.globals, link, target.clone(), node).await {
                Err(failure) if is_in_the_way(&failure) => out::hint(later(&failure)),
                fetched => drop(fetched?),
            }
        }
        Ok(hash)
    }

    /// The peer as the address book calls it.
    fn peer(&self) -> Result<Name, Failure> {
        let (book, id) = (StateDir::open(self.globals)?.names(), self.ticket.id());
        let named = book.of(id).map(|(name, _)| name.clone());
        Ok(named.unwrap_or_else(|| Name::short(id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_slashes_and_a_peer_has_none() {
        let named: Named = "nas/Public/songs/a b.mp3".parse().unwrap();
        assert_eq!(named.name, "Public/songs/a b.mp3");
        for wrong in ["nas", "nas/", "/Public", ""] {
            assert!(wrong.parse::<Named>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_next_state_goes_over_the_one_that_came() {
        let got = Got::new("/x/Public 1".into(), 1, 1, 0);
        let target = replacing(&got);
        assert_eq!(target.folder, std::path::Path::new("/x"));
        assert_eq!(target.name.as_deref(), Some("Public 1"));
        assert!(target.overwrite);
    }
}
