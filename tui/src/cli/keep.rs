//! Has what is kept in force on a node that runs, from one change of the file to the next.

mod forwarding;
#[cfg_attr(
    not(all(feature = "subnet", target_os = "linux")),
    path = "keep/unlinked.rs"
)]
mod linking;
mod upload;
mod watching;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

use peerway::services::tunnel::ServiceName;
use peerway_swarm::watch::Watches;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

pub(super) use self::upload::limited;
use self::{
    forwarding::{Forwarding, Place},
    linking::Linking,
    upload::Upload,
    watching::Watching,
};
use super::{
    args::Globals,
    clock::{local_time, now_ms},
    expose::missing,
    failure::Failure,
    follow::{Due, LOOK_EVERY, Looks},
    node::Node,
    out,
    state::StateDir,
};
use crate::kept::{Exposure, Kept, KeptFile, Kind, Remote, Services, State, WatchTerms};

/// Looks at a file between two at the servers of this home.
const LOOKS_PER_CHECK: u64 = 10;

/// What a node exposes, forwards, links and watches, and the file that says so.
pub(super) struct Keeper {
    file: KeptFile,
    services: Services,
}

impl Keeper {
    pub(super) fn open(globals: &Globals) -> Result<Self, Failure> {
        Ok(Self {
            file: StateDir::open(globals)?.kept(),
            services: Services::default(),
        })
    }

    /// How all of it fares.
    pub(super) fn services(&self) -> &Services {
        &self.services
    }

    /// Ends with the future.
    pub(super) async fn run(&self, node: &Node) -> Infallible {
        let mut asked = self.services.asked();
        let mut looks = Looks::after(None);
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut running, mut count) = (Running::default(), 0);
        // What there is as it starts is not being written.
        let mut at_once = true;
        loop {
            // First, so that whoever asks after this is answered with what it wrote.
            let answered = *asked.borrow_and_update();
            let stamp = self.file.stamp();
            let due = match std::mem::take(&mut at_once) {
                true => looks.now(stamp),
                false => looks.due(stamp),
            };
            match due {
                Due::Nothing => {}
                Due::Gone => {
                    out::hint("the file of the services is gone: none is kept any more");
                    self.apply(Kept::default(), node, &mut running).await;
                }
                Due::Read => match self.file.read() {
                    Ok(kept) => self.apply(kept, node, &mut running).await,
                    Err(error) => {
                        let trouble = format!("{error}. What was in force before stays");
                        out::hint(&trouble);
                        self.services.set_trouble(Some(trouble));
                    }
                },
            }
            self.services.answer(answered).await;
            tokio::select! {
                _ = ticks.tick() => {
                    self.limit(node, &mut running);
                    count += 1;
                    if count % LOOKS_PER_CHECK == 0 {
                        self.check(&running.kept.expose, node);
                    }
                }
                Ok(()) = asked.changed() => at_once = true,
            }
        }
    }

    async fn apply(&self, kept: Kept, node: &Node, running: &mut Running) {
        self.services.set_trouble(None);
        self.services.set(&kept);
        let steps = Steps::between(&running.kept, &kept);
        for name in &steps.conceal {
            node.servers().conceal(name);
        }
        // Their addresses are free before others begin.
        for remote in &steps.end {
            if let Some(mut ended) = running.forwards.remove(remote) {
                ended.shutdown().await;
            }
        }
        for (remote, place) in steps.begin {
            let forwarding = Forwarding::new(node, &self.services, remote, place);
            let mut task = JoinSet::new();
            task.spawn(forwarding.run());
            running.forwards.insert(remote.clone(), task);
        }
        if kept.link != running.kept.link {
            let linking = running
                .linking
                .get_or_insert_with(|| Linking::begin(node, &self.services));
            linking.set(&kept.link);
        }
        for folder in &steps.unwatch {
            if let Some(watching) = running.watching.remove(*folder) {
                watching.end().await;
            }
        }
        let watches = running
            .watches
            .get_or_insert_with(|| Watches::new(node.sharing().clone(), node.search().clone()));
        for (folder, terms) in steps.watch {
            let watching = Watching::begin(watches, &self.services, folder, *terms);
            running.watching.insert(folder.clone(), watching);
        }
        self.check(&kept.expose, node);
        running.kept = kept;
        self.limit(node, running);
    }

    /// Sends of what is shared what may be at this hour.
    fn limit(&self, node: &Node, running: &mut Running) {
        if let Some(now) = running.upload.change(&running.kept.upload, local_time()) {
            node.sharing().limit_to(now);
            self.services.set_upload(now);
        }
    }

    /// Exposes what is not yet, and tells which of the servers are there, as far as that can be told without connecting.
    fn check(&self, exposed: &BTreeMap<ServiceName, Exposure>, node: &Node) {
        for (name, exposure) in exposed {
            let how = match node.servers().keep(name, exposure) {
                Err(error) => (State::Failed, Some(error.to_string())),
                Ok(()) => match missing(&exposure.target) {
                    Some(reason) => (State::Waiting, Some(reason)),
                    None => (State::Ready, None),
                },
            };
            self.services
                .tell(Kind::Expose, name.as_str(), how, now_ms());
        }
    }
}

/// What is in force.
#[derive(Default)]
struct Running {
    kept: Kept,
    /// A task each.
    forwards: BTreeMap<Remote, JoinSet<()>>,
    /// Once there is a link.
    linking: Option<Linking>,
    watches: Option<Watches>,
    watching: BTreeMap<String, Watching>,
    upload: Upload,
}

/// What leads from what was kept to what is.
#[derive(Debug, PartialEq)]
struct Steps<'a> {
    conceal: BTreeSet<&'a ServiceName>,
    end: BTreeSet<&'a Remote>,
    begin: BTreeMap<&'a Remote, Place<'a>>,
    unwatch: BTreeSet<&'a String>,
    watch: BTreeMap<&'a String, &'a WatchTerms>,
}

impl<'a> Steps<'a> {
    /// What stays the same is not touched.
    fn between(before: &'a Kept, after: &'a Kept) -> Self {
        let exposed = |kept: &'a Kept| kept.expose.iter().collect();
        let (conceal, _) = steps(exposed(before), exposed(after));
        let (end, begin) = steps(forwards(before), forwards(after));
        let watched = |kept: &'a Kept| kept.watch.iter().collect();
        let (unwatch, watch) = steps(watched(before), watched(after));
        Self {
            conceal,
            end,
            begin,
            unwatch,
            watch,
        }
    }
}

fn forwards(kept: &Kept) -> BTreeMap<&Remote, Place<'_>> {
    let forwards = kept.forward.iter();
    forwards
        .map(|(remote, local)| (remote, Place::of(local, kept)))
        .collect()
}

fn steps<K: Ord + Copy, V: PartialEq + Copy>(
    before: BTreeMap<K, V>,
    after: BTreeMap<K, V>,
) -> (BTreeSet<K>, BTreeMap<K, V>) {
    let gone = before
        .iter()
        .filter(|(key, old)| after.get(key) != Some(old));
    let gone = gone.map(|(key, _)| *key).collect();
    let is_new = |key: &K, new: &mut V| before.get(key) != Some(new);
    let mut new = after;
    new.retain(is_new);
    (gone, new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_ended_and_begun() {
        let exposure = |target: &str| Exposure {
            target: target.parse().unwrap(),
            allow: Vec::new(),
            limit: None,
        };
        let name = |name: &str| name.parse::<ServiceName>().unwrap();
        let remote = |text: &str| text.parse::<Remote>().unwrap();
        let (mut before, mut after) = (Kept::default(), Kept::default());
        for kept in [&mut before, &mut after] {
            kept.expose.insert(name("same"), exposure("80"));
            kept.forward
                .insert(remote("nas/same"), "9000".parse().unwrap());
        }
        before.expose.insert(name("gone"), exposure("81"));
        before.expose.insert(name("moved"), exposure("82"));
        after.expose.insert(name("moved"), exposure("83"));
        after
            .forward
            .insert(remote("nas/new"), "9001".parse().unwrap());
        let public = WatchTerms {
            public: true,
            searchable: false,
        };
        for (kept, terms) in [(&mut before, WatchTerms::default()), (&mut after, public)] {
            kept.watch.insert("/same".to_owned(), public);
            kept.watch.insert("/films".to_owned(), terms);
        }
        let steps = Steps::between(&before, &after);
        let (gone, moved, new) = (name("gone"), name("moved"), remote("nas/new"));
        assert_eq!(steps.conceal, [&gone, &moved].into());
        assert_eq!(steps.end, [].into());
        let films = "/films".to_owned();
        assert_eq!(steps.unwatch, [&films].into());
        assert_eq!(steps.watch, [(&films, &public)].into());
        let local = "9001".parse().unwrap();
        assert_eq!(steps.begin, [(&new, Place::of(&local, &after))].into());
    }

    /// Or the one would have the port that the other is to have.
    #[test]
    fn a_forward_begins_anew_where_udp_at_its_port_becomes_anothers_or_is_no_more() {
        let remote = |text: &str| text.parse::<Remote>().unwrap();
        let (iperf, udp, other) = (remote("nas/iperf"), remote("nas/udp"), remote("nas/other"));
        let mut alone = Kept::default();
        for (remote, local) in [(&iperf, "5201"), (&other, "5202")] {
            alone.forward.insert(remote.clone(), local.parse().unwrap());
        }
        let mut both = alone.clone();
        both.forward
            .insert(udp.clone(), "udp://5201".parse().unwrap());
        let begun = |steps: &Steps<'_>| {
            let begun = steps.begin.iter();
            begun
                .map(|(remote, place)| ((*remote).clone(), place.is_beside_udp))
                .collect::<Vec<_>>()
        };
        let added = Steps::between(&alone, &both);
        assert_eq!(added.end, [&iperf].into());
        assert_eq!(begun(&added), [(iperf.clone(), true), (udp.clone(), false)]);
        let removed = Steps::between(&both, &alone);
        assert_eq!(removed.end, [&iperf, &udp].into());
        assert_eq!(begun(&removed), [(iperf, false)]);
    }
}
