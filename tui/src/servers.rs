//! Servers of this home that peers reach by name: those that are kept, and those of commands for as long as they run.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use peerway::{
    PeerId,
    services::{
        Rate,
        tunnel::{Exposed, Offer, ServiceName, Target},
    },
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    book::{Book, Name},
    kept::{Exposure, KeptLines, State},
    written::Written,
};

/// What is to be exposed.
#[cfg_attr(not(unix), expect(dead_code, reason = "there is no socket to ask at"))]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExposeAsk {
    pub(crate) servers: Vec<Server>,
}

/// One server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) name: Written<ServiceName>,
    pub(crate) target: Written<Target>,
    /// Peers and groups that may reach it; whoever is let in, if there are none.
    #[serde(default)]
    pub(crate) allow: Vec<Written<Name>>,
    /// What may pass each way, of all peers together.
    // A node of before there were any takes it for a mistake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<Written<Rate>>,
}

impl Server {
    pub(crate) fn new(name: ServiceName, exposure: Exposure) -> Self {
        Self {
            name: Written(name),
            target: Written(exposure.target),
            allow: exposure.allow.into_iter().map(Written).collect(),
            limit: exposure.limit.map(Written),
        }
    }
}

/// How servers fare that a command exposes. It goes on until nobody listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Step {
    /// Peers reach them from now on.
    Exposed { names: Vec<String> },
}

/// A server that is exposed now, whether it is kept or of a command, and what it is used for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) target: String,
    /// Peers and groups that may reach it; whoever is let in, if there are none.
    pub(crate) allow: Vec<String>,
    pub(crate) limit: Option<String>,
    /// Whether it is exposed whenever the node runs.
    pub(crate) kept: bool,
    /// Of one that is kept, whether it is there.
    pub(crate) state: Option<State>,
    pub(crate) reason: Option<String>,
    /// Who uses it now.
    pub(crate) clients: Vec<Client>,
    /// Bytes that came from peers.
    pub(crate) received: u64,
    /// Bytes that went to them.
    pub(crate) sent: u64,
}

/// A peer that uses a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) id: PeerId,
    /// Its connections and flows.
    pub(crate) open: usize,
}

/// The servers of one node; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    exposed: Exposed,
    book: watch::Receiver<Arc<Book>>,
    owners: Arc<Mutex<BTreeMap<ServiceName, Owner>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    /// The file of what is kept says so.
    Kept(Exposure),
    /// A command that runs.
    Command(Exposure),
}

/// Why a server is not exposed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExposeError {
    #[error(
        "another server is exposed as {0} here: choose another name, or end that first (`peerway expose list` lists those that are kept)"
    )]
    Taken(ServiceName),
    #[error("two servers are named {0}: give each a name of its own")]
    Twice(ServiceName),
}

impl Servers {
    /// None yet, on a node whose address book says who is among whom.
    pub(crate) fn new(book: watch::Receiver<Arc<Book>>) -> Self {
        Self {
            exposed: Exposed::default(),
            book,
            owners: Arc::default(),
        }
    }

    /// What leads peers to them.
    pub(crate) fn exposed(&self) -> &Exposed {
        &self.exposed
    }

    /// Has one be exposed that is kept. The same once more changes nothing.
    ///
    /// # Errors
    /// [`ExposeError::Taken`] while a command exposes one of that name.
    pub(crate) fn keep(&self, name: &ServiceName, exposure: &Exposure) -> Result<(), ExposeError> {
        let mut owners = self.owners();
        match owners.get(name) {
            Some(Owner::Command(_)) => return Err(ExposeError::Taken(name.clone())),
            Some(Owner::Kept(same)) if same == exposure => return Ok(()),
            Some(Owner::Kept(_)) | None => {}
        }
        owners.insert(name.clone(), Owner::Kept(exposure.clone()));
        self.expose(name, exposure);
        Ok(())
    }

    /// Ends what was kept under a name.
    pub(crate) fn conceal(&self, name: &ServiceName) {
        let mut owners = self.owners();
        if let Some(Owner::Kept(_)) = owners.get(name) {
            owners.remove(name);
            self.exposed.remove(name);
        }
    }

    /// Exposes servers until what it returns is dropped: all of them or none.
    ///
    /// # Errors
    /// See [`ExposeError`].
    pub(crate) fn lend(
        &self,
        servers: impl IntoIterator<Item = (ServiceName, Exposure)>,
    ) -> Result<Lent, ExposeError> {
        let mut lent = BTreeMap::new();
        for (name, exposure) in servers {
            match lent.entry(name) {
                Entry::Occupied(twice) => return Err(ExposeError::Twice(twice.key().clone())),
                Entry::Vacant(place) => place.insert(exposure),
            };
        }
        let mut owners = self.owners();
        if let Some(taken) = lent.keys().find(|name| owners.contains_key(name)) {
            return Err(ExposeError::Taken(taken.clone()));
        }
        for (name, exposure) in &lent {
            owners.insert(name.clone(), Owner::Command(exposure.clone()));
            self.expose(name, exposure);
        }
        drop(owners);
        Ok(Lent {
            servers: self.clone(),
            names: lent.into_keys().collect(),
        })
    }

    /// All that are exposed now; of those that are kept, how they fare is said there.
    pub(crate) fn all(&self, kept: Option<&KeptLines>) -> Vec<Served> {
        let mut used = self.exposed.usage();
        let owners = self.owners();
        let all = owners.iter().map(|(name, owner)| {
            let (exposure, is_kept) = match owner {
                Owner::Kept(exposure) => (exposure, true),
                Owner::Command(exposure) => (exposure, false),
            };
            let lines = kept.filter(|_| is_kept).map(|kept| &kept.expose);
            let line = lines.and_then(|lines| lines.iter().find(|it| it.name == name.as_str()));
            let usage = used.remove(name).unwrap_or_default();
            let clients = usage.open.into_iter();
            let allow = exposure.allow.iter();
            Served {
                name: name.to_string(),
                target: exposure.target.to_string(),
                allow: allow.map(|it| it.as_str().to_owned()).collect(),
                limit: exposure.limit.map(|limit| limit.to_string()),
                kept: is_kept,
                state: line.and_then(|line| line.state),
                reason: line.and_then(|line| line.reason.clone()),
                clients: clients.map(|(id, open)| Client { id, open }).collect(),
                received: usage.from_peers,
                sent: usage.to_peers,
            }
        });
        all.collect()
    }

    fn expose(&self, name: &ServiceName, exposure: &Exposure) {
        let mut offer = Offer::new(exposure.target.clone());
        if !exposure.allow.is_empty() {
            let (book, who) = (self.book.clone(), exposure.allow.clone());
            offer = offer.only_for(move |peer| book.borrow().is_among(peer, &who));
        }
        if let Some(limit) = exposure.limit {
            offer = offer.limited_to(limit);
        }
        self.exposed.offer(name.clone(), offer);
    }

    fn owners(&self) -> MutexGuard<'_, BTreeMap<ServiceName, Owner>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Servers that are exposed until this is dropped.
#[derive(Debug)]
#[must_use = "they are exposed until it is dropped"]
pub(crate) struct Lent {
    servers: Servers,
    names: Vec<ServiceName>,
}

impl Lent {
    pub(crate) fn step(&self) -> Step {
        let names = self.names.iter().map(ToString::to_string).collect();
        Step::Exposed { names }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut owners = self.servers.owners();
        for name in &self.names {
            owners.remove(name);
            self.servers.exposed.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposure(target: &str) -> Exposure {
        Exposure {
            target: target.parse().unwrap(),
            allow: Vec::new(),
            limit: None,
        }
    }

    fn servers() -> Servers {
        let (_, book) = watch::channel(Arc::default());
        Servers::new(book)
    }

    #[test]
    fn a_name_is_of_the_command_or_the_file_that_took_it_first_until_that_ends() {
        let (servers, web) = (servers(), "web".parse::<ServiceName>().unwrap());
        let taken = ExposeError::Taken(web.clone());
        let lent = servers.lend([(web.clone(), exposure("80"))]).unwrap();
        assert_eq!(servers.keep(&web, &exposure("81")), Err(taken.clone()));
        servers.conceal(&web);
        assert!(servers.owners().contains_key(&web), "it was not kept");
        drop(lent);
        servers.keep(&web, &exposure("81")).unwrap();
        servers.keep(&web, &exposure("81")).unwrap();
        let other = "other".parse::<ServiceName>().unwrap();
        let both = [(other, exposure("82")), (web.clone(), exposure("80"))];
        assert_eq!(servers.lend(both).unwrap_err(), taken);
        servers.conceal(&web);
        assert!(servers.owners().is_empty(), "of the other nothing is left");
        let _lent = servers.lend([(web.clone(), exposure("80"))]).unwrap();
        assert!(servers.exposed.remove(&web));
    }

    #[test]
    fn all_servers_are_told_of_those_of_commands_too() {
        let (servers, web) = (servers(), "web".parse::<ServiceName>().unwrap());
        servers.keep(&web, &exposure("81")).unwrap();
        let ssh = "ssh".parse::<ServiceName>().unwrap();
        let lent = servers.lend([(ssh, exposure("22"))]).unwrap();
        let mut kept = KeptLines::default();
        let line = serde_json::json!({
            "name": "web", "target": "81", "allow": [], "state": "waiting", "reason": "nobody listens",
        });
        kept.expose = vec![serde_json::from_value(line).unwrap()];
        let told = |servers: &Servers| -> Vec<_> {
            let all = servers.all(Some(&kept)).into_iter();
            all.map(|it| (it.name, it.kept, it.state)).collect()
        };
        let web = ("web".to_owned(), true, Some(State::Waiting));
        assert_eq!(
            told(&servers),
            [("ssh".to_owned(), false, None), web.clone()]
        );
        drop(lent);
        assert_eq!(told(&servers), [web]);
    }

    #[test]
    fn no_command_takes_a_name_twice() {
        let (servers, web) = (servers(), "web".parse::<ServiceName>().unwrap());
        let twice = [(web.clone(), exposure("80")), (web.clone(), exposure("81"))];
        assert_eq!(servers.lend(twice).unwrap_err(), ExposeError::Twice(web));
    }
}
