//! How what is kept fares on the node that runs: [`Services`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use peerway::services::Rate;
use peerway_swarm::share::{self, Hash};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{broadcast, watch},
    time::timeout,
};

use super::{Exposure, Kept, LinkLine, Linked, Local, Remote, WatchTerms};
use crate::servers::{Client, Served};

/// Changes that wait for whoever reads slowly.
const UNREAD: usize = 256;
/// What a node may take to have a change in force.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is exposed, forwarded, watched or linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Expose,
    Forward,
    Watch,
    Link,
}

/// How one of them fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It works, as far as is known.
    Ready,
    /// It is there, and what it leads to is not yet, or no more; tried on.
    Waiting,
    /// It could not start; tried again.
    Failed,
}

/// A server that is exposed; no state while no node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExposeLine {
    pub(crate) name: String,
    pub(crate) target: String,
    pub(crate) allow: Vec<String>,
    #[serde(default)]
    pub(crate) limit: Option<String>,
    pub(crate) state: Option<State>,
    pub(crate) reason: Option<String>,
    /// Who uses it now, and what came from peers and went to them since it is exposed.
    #[serde(default)]
    pub(crate) clients: Vec<Client>,
    #[serde(default)]
    pub(crate) received: u64,
    #[serde(default)]
    pub(crate) sent: u64,
}

/// A local address that leads to a service of a peer; no state while no node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ForwardLine {
    pub(crate) service: String,
    pub(crate) listen: String,
    pub(crate) state: Option<State>,
    pub(crate) reason: Option<String>,
}

/// A folder that is shared anew whenever it changes, and as what it was shared last; no state while no node runs, or while it is first read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WatchLine {
    pub(crate) folder: String,
    pub(crate) public: bool,
    pub(crate) searchable: bool,
    pub(crate) state: Option<State>,
    pub(crate) reason: Option<String>,
    pub(crate) hash: Option<Hash>,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// How much is sent of what is shared, and how much just now; no limit where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadLine {
    pub(crate) limits: Vec<String>,
    pub(crate) now: Option<String>,
}

/// All that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptLines {
    pub(crate) expose: Vec<ExposeLine>,
    pub(crate) forward: Vec<ForwardLine>,
    #[serde(default)]
    pub(crate) link: Vec<LinkLine>,
    #[serde(default)]
    pub(crate) watch: Vec<WatchLine>,
    #[serde(default)]
    pub(crate) upload: UploadLine,
    /// Why the file as it is now is not in force.
    pub(crate) trouble: Option<String>,
}

impl KeptLines {
    /// Says of the servers what they are used for.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there is no socket to ask at"))]
    pub(crate) fn note_use(&mut self, servers: &[Served]) {
        for line in &mut self.expose {
            let mut kept = servers.iter().filter(|it| it.kept);
            if let Some(server) = kept.find(|it| it.name == line.name) {
                line.clients.clone_from(&server.clients);
                (line.received, line.sent) = (server.received, server.sent);
            }
        }
    }
}

impl From<&Kept> for KeptLines {
    fn from(kept: &Kept) -> Self {
        let exposed = |(name, exposure): (_, &Exposure)| ExposeLine {
            name: ToString::to_string(name),
            target: exposure.target.to_string(),
            allow: exposure
                .allow
                .iter()
                .map(|it| it.as_str().to_owned())
                .collect(),
            limit: exposure.limit.map(|limit| limit.to_string()),
            state: None,
            reason: None,
            clients: Vec::new(),
            received: 0,
            sent: 0,
        };
        let forwarded = |(remote, local): (&Remote, &Local)| ForwardLine {
            service: remote.to_string(),
            listen: local.to_string(),
            state: None,
            reason: None,
        };
        let watched = |(folder, terms): (&String, &WatchTerms)| WatchLine {
            folder: folder.clone(),
            public: terms.public,
            searchable: terms.searchable,
            state: None,
            reason: None,
            hash: None,
            files: 0,
            bytes: 0,
        };
        Self {
            expose: kept.expose.iter().map(exposed).collect(),
            forward: kept.forward.iter().map(forwarded).collect(),
            link: (kept.link.iter())
                .map(|(whom, terms)| LinkLine::of(whom, terms))
                .collect(),
            watch: kept.watch.iter().map(watched).collect(),
            upload: UploadLine {
                limits: kept.upload.texts(),
                now: None,
            },
            trouble: None,
        }
    }
}

/// One of them fares otherwise than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename = "service")]
pub struct ServiceChange {
    pub(crate) at_ms: u64,
    pub(crate) kind: Kind,
    pub(crate) service: String,
    /// Where it leads, or where it is found; of a folder that is watched, the hash as which it is shared; of a link, the peer's address.
    pub(crate) addr: String,
    pub(crate) state: State,
    pub(crate) reason: Option<String>,
}

/// What is kept, as the node that runs has it in force; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Services(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    lines: watch::Sender<KeptLines>,
    changes: broadcast::Sender<ServiceChange>,
    /// How often somebody asked to have the file read, and the last of these that was answered.
    asked: watch::Sender<u64>,
    done: watch::Sender<u64>,
}

impl Default for Services {
    fn default() -> Self {
        Self(Arc::new(Shared {
            lines: watch::Sender::default(),
            changes: broadcast::Sender::new(UNREAD),
            asked: watch::Sender::default(),
            done: watch::Sender::default(),
        }))
    }
}

impl Services {
    pub(crate) fn lines(&self) -> KeptLines {
        self.0.lines.borrow().clone()
    }

    pub(crate) fn changes(&self) -> broadcast::Receiver<ServiceChange> {
        self.0.changes.subscribe()
    }

    /// Has the file read at once; ready when what it says is in force.
    pub(crate) async fn reread(&self) {
        let mut ours = 0;
        self.0.asked.send_modify(|asked| {
            *asked += 1;
            ours = *asked;
        });
        let mut done = self.0.done.subscribe();
        // What is not in force by then shows as what it is.
        let _ = timeout(PATIENCE, done.wait_for(|done| *done >= ours)).await;
    }

    /// Tells whoever has the file in force of those who ask for it.
    pub(crate) fn asked(&self) -> watch::Receiver<u64> {
        self.0.asked.subscribe()
    }

    /// Those who asked are answered once every forward and every link has begun or failed.
    pub(crate) async fn answer(&self, asked: u64) {
        if *self.0.done.borrow() >= asked {
            return;
        }
        let mut lines = self.0.lines.subscribe();
        let begun = |lines: &KeptLines| {
            let forwards = lines.forward.iter().map(|line| line.state);
            let links = lines.link.iter().map(|line| line.state);
            forwards.chain(links).all(|state| state.is_some())
        };
        // What hangs is no reason to let others wait.
        let _ = timeout(PATIENCE, lines.wait_for(begun)).await;
        self.0.done.send_replace(asked);
    }

    /// This is in force from now on. What was before and is the same keeps its state.
    pub(crate) fn set(&self, kept: &Kept) {
        self.0.lines.send_modify(|lines| {
            let mut now = KeptLines::from(kept);
            let exposed: BTreeMap<_, _> = lines.expose.iter().map(|it| (&it.name, it)).collect();
            for line in &mut now.expose {
                if let Some(before) = exposed.get(&line.name)
                    && before.target == line.target
                {
                    (line.state, line.reason) = (before.state, before.reason.clone());
                }
            }
            let forwarded: BTreeMap<_, _> =
                lines.forward.iter().map(|it| (&it.service, it)).collect();
            for line in &mut now.forward {
                if let Some(before) = forwarded.get(&line.service)
                    && before.listen == line.listen
                {
                    (line.state, line.reason) = (before.state, before.reason.clone());
                }
            }
            for line in &mut now.watch {
                let mut known = lines.watch.iter();
                let same = |it: &&WatchLine| it.folder == line.folder;
                if let Some(before) = known.find(same)
                    && (before.public, before.searchable) == (line.public, line.searchable)
                {
                    line.clone_from(before);
                }
            }
            for line in &mut now.link {
                let mut known = lines.link.iter();
                let same = |it: &&LinkLine| it.peer == line.peer;
                if let Some(before) = known.find(same)
                    && (&before.advertise, &before.accept) == (&line.advertise, &line.accept)
                {
                    line.clone_from(before);
                }
            }
            now.upload.now = lines.upload.now.take();
            *lines = now;
        });
    }

    /// So much is sent of what is shared from now on.
    pub(crate) fn set_upload(&self, now: Option<Rate>) {
        let now = now.map(|rate| rate.to_string());
        self.0.lines.send_modify(|lines| lines.upload.now = now);
    }

    /// Why the file as it is now is not in force; what was before stays.
    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        self.0.lines.send_modify(|lines| lines.trouble = trouble);
    }

    /// A watched folder fares so at this time, in milliseconds since the Unix epoch, and is shared as this, if that is known. Whoever
    /// listens is told where it is news.
    pub(crate) fn tell_watched(
        &self,
        folder: &str,
        how: (State, Option<String>),
        shared: Option<&share::Shared>,
        at_ms: u64,
    ) {
        let mut news = None;
        self.0.lines.send_if_modified(|lines| {
            let line = lines.watch.iter_mut().find(|it| it.folder == folder);
            let Some(line) = line else {
                return false;
            };
            let before = line.clone();
            (line.state, line.reason) = (Some(how.0), how.1);
            if let Some(shared) = shared {
                line.hash = Some(shared.hash);
                (line.files, line.bytes) = (shared.files, shared.bytes);
            }
            if *line == before {
                return false;
            }
            news = Some(ServiceChange {
                at_ms,
                kind: Kind::Watch,
                service: folder.to_owned(),
                addr: line.hash.map_or_else(String::new, |hash| hash.to_string()),
                state: how.0,
                reason: line.reason.clone(),
            });
            true
        });
        if let Some(news) = news {
            // Nobody may listen.
            let _ = self.0.changes.send(news);
        }
    }

    /// A link fares so at this time, in milliseconds since the Unix epoch, and this is what there is of it. Whoever listens is told where
    /// it is up or not, or why not, and that is news.
    pub(crate) fn tell_linked(
        &self,
        whom: &str,
        how: (State, Option<String>),
        linked: Linked,
        at_ms: u64,
    ) {
        self.0.lines.send_if_modified(|lines| {
            let mut all = lines.link.iter_mut();
            let Some(line) = all.find(|it| it.peer == whom) else {
                return false;
            };
            let is_other = line.linked != linked;
            line.linked = linked;
            is_other
        });
        self.tell(Kind::Link, whom, how, at_ms);
    }

    /// One of them fares so at this time, in milliseconds since the Unix epoch. Whoever listens is told where that is news.
    pub(crate) fn tell(&self, kind: Kind, service: &str, how: (State, Option<String>), at_ms: u64) {
        let (state, reason) = how;
        let (mut news, mut is_first) = (None, false);
        self.0.lines.send_if_modified(|lines| {
            let known = match kind {
                Kind::Expose => {
                    let line = lines.expose.iter_mut().find(|it| it.name == service);
                    line.map(|it| (&mut it.state, &mut it.reason, it.target.clone()))
                }
                Kind::Forward => {
                    let line = lines.forward.iter_mut().find(|it| it.service == service);
                    line.map(|it| (&mut it.state, &mut it.reason, it.listen.clone()))
                }
                Kind::Link => {
                    let line = lines.link.iter_mut().find(|it| it.peer == service);
                    line.map(|it| {
                        let addr = it.linked.addresses.first();
                        let addr = addr.map(ToString::to_string).unwrap_or_default();
                        (&mut it.state, &mut it.reason, addr)
                    })
                }
                Kind::Watch => None,
            };
            let Some((known_state, known_reason, addr)) = known else {
                return false;
            };
            if *known_state == Some(state) && *known_reason == reason {
                return false;
            }
            is_first = known_state.is_none();
            (*known_state, *known_reason) = (Some(state), reason.clone());
            news = Some(ServiceChange {
                at_ms,
                kind,
                service: service.to_owned(),
                addr,
                state,
                reason,
            });
            true
        });
        // That it has begun says nothing yet.
        let has_begun =
            |it: &ServiceChange| is_first && it.state == State::Waiting && it.reason.is_none();
        let news = news.filter(|news| !has_begun(news));
        if let Some(news) = news {
            // Nobody may listen.
            let _ = self.0.changes.send(news);
        }
    }
}

impl ServiceChange {
    /// Whether it is about files of this computer, of which nobody elsewhere is told.
    pub(crate) fn is_about_files(&self) -> bool {
        self.kind == Kind::Watch
    }

    pub(crate) fn words(&self) -> String {
        let (service, addr) = (&self.service, &self.addr);
        let reason = self.reason.as_deref().unwrap_or("no reason is known");
        match (self.kind, self.state) {
            (Kind::Expose, State::Ready) => format!("{service} is exposed, {addr}"),
            (Kind::Expose, State::Waiting | State::Failed) => {
                format!("{service} is exposed, and not there yet: {reason}")
            }
            (Kind::Forward, State::Ready) => format!("{addr} leads to {service}"),
            (Kind::Forward, State::Waiting) => {
                format!("{addr} does not lead to {service} at the moment, trying on: {reason}")
            }
            (Kind::Forward, State::Failed) => {
                format!("{service} is not forwarded, trying on: {reason}")
            }
            (Kind::Link, State::Ready) => format!("{service} is linked, at {addr}"),
            (Kind::Link, State::Waiting) => {
                format!("{service} is not linked at the moment, trying on: {reason}")
            }
            (Kind::Link, State::Failed) => {
                format!("there is no link with {service}, trying on: {reason}")
            }
            (Kind::Watch, State::Ready) => match &self.reason {
                None => format!("{service} is shared as it is now, {addr}"),
                Some(reason) => format!("{service} is shared as it is now, {addr}; {reason}"),
            },
            (Kind::Watch, State::Waiting | State::Failed) => {
                format!("{service} is not shared as it is, trying on: {reason}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> Kept {
        super::super::text::parse(text).unwrap()
    }

    #[tokio::test]
    async fn only_what_is_news_is_told_and_what_stays_the_same_keeps_its_state() {
        let services = Services::default();
        let mut changes = services.changes();
        let web = "[forward.\"nas/web\"]\nlisten = \"9000\"\n";
        services.set(&kept(web));
        let tell = |state, reason: Option<&str>| {
            services.tell(
                Kind::Forward,
                "nas/web",
                (state, reason.map(str::to_owned)),
                1,
            );
        };
        tell(State::Waiting, None);
        assert!(changes.try_recv().is_err());
        tell(State::Waiting, Some("away"));
        tell(State::Waiting, Some("away"));
        assert_eq!(changes.try_recv().unwrap().reason.as_deref(), Some("away"));
        assert!(changes.try_recv().is_err());
        tell(State::Ready, None);
        assert_eq!(
            changes.try_recv().unwrap().words(),
            "127.0.0.1:9000 leads to nas/web"
        );
        services.tell(Kind::Forward, "nas/other", (State::Ready, None), 1);
        assert!(changes.try_recv().is_err(), "it is not kept any more");
        services.set(&kept(&format!("{web}[expose.a]\ntarget = \"80\"\n")));
        assert_eq!(services.lines().forward[0].state, Some(State::Ready));
        services.set(&kept(&web.replace("9000", "9001")));
        assert_eq!(services.lines().forward[0].state, None);
    }

    #[tokio::test]
    async fn a_link_is_told_of_when_it_is_up_or_why_not_and_keeps_what_it_has_while_its_ranges_stay()
     {
        let services = Services::default();
        let mut changes = services.changes();
        let nas = "[link.nas]\naccept = \"10.0.0.0/8\"\n";
        services.set(&kept(nas));
        let tell = |state, reason: Option<&str>, at: Option<&str>| {
            let linked = Linked {
                addresses: at.iter().map(|at| at.parse().unwrap()).collect(),
                ..Linked::default()
            };
            services.tell_linked("nas", (state, reason.map(str::to_owned)), linked, 1);
        };
        tell(State::Waiting, None, None);
        assert!(changes.try_recv().is_err(), "it has only begun");
        tell(State::Ready, None, Some("100.64.1.2"));
        let told = changes.try_recv().unwrap();
        assert_eq!(told.words(), "nas is linked, at 100.64.1.2");
        tell(State::Ready, None, Some("100.64.1.3"));
        assert!(changes.try_recv().is_err());
        services.set(&kept(&format!("{nas}[expose.a]\ntarget = \"80\"\n")));
        let line = services.lines().link.remove(0);
        assert_eq!(
            (line.state, line.linked.addresses.len()),
            (Some(State::Ready), 1)
        );
        services.set(&kept(&nas.replace("/8", "/9")));
        assert_eq!(services.lines().link[0].state, None);
        tell(State::Failed, Some("no right"), None);
        let told = changes.try_recv().unwrap().words();
        assert!(told.ends_with("trying on: no right"), "{told}");
    }

    #[tokio::test]
    async fn a_watched_folder_is_told_of_each_time_that_it_is_shared_as_something_else() {
        let services = Services::default();
        let mut changes = services.changes();
        services.set(&kept("[watch.\"/films\"]\n"));
        let tell = |state, reason: Option<&str>| {
            services.tell_watched("/films", (state, reason.map(str::to_owned)), None, 1);
        };
        tell(State::Failed, Some("away"));
        tell(State::Failed, Some("away"));
        let told = changes.try_recv().unwrap().words();
        assert!(told.contains("/films is not shared as it is"), "{told}");
        assert!(changes.try_recv().is_err());
        tell(State::Ready, None);
        assert_eq!(changes.try_recv().unwrap().state, State::Ready);
        services.set(&kept("[watch.\"/films\"]\n[expose.a]\ntarget = \"80\"\n"));
        assert_eq!(services.lines().watch[0].state, Some(State::Ready));
        services.set(&kept("[watch.\"/films\"]\npublic = true\n"));
        assert_eq!(services.lines().watch[0].state, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_is_answered_when_what_it_wrote_has_begun() {
        let services = Services::default();
        let mut asked = services.asked();
        let serving = services.clone();
        let serve = async {
            asked.changed().await.unwrap();
            let now = *asked.borrow_and_update();
            serving.set(&kept("[forward.\"nas/web\"]\nlisten = \"9000\"\n"));
            tokio::join!(serving.answer(now), async {
                serving.tell(Kind::Forward, "nas/web", (State::Failed, None), 1);
            });
        };
        tokio::join!(serve, services.reread());
        assert_eq!(services.lines().forward[0].state, Some(State::Failed));
    }
}
