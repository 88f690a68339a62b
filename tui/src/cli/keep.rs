//! Has what is kept in force on a node that runs, from one change of the file to the next.

mod forwarding;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

use peerway::services::tunnel::ServiceName;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use self::forwarding::Forwarding;
use super::{
    args::Globals,
    clock::now_ms,
    expose::missing,
    failure::Failure,
    follow::{Due, LOOK_EVERY, Looks},
    node::Node,
    out,
    state::StateDir,
};
use crate::kept::{Exposure, Kept, KeptFile, Kind, Local, Remote, Services, State};

/// Looks at a file between two at the servers of this home.
const LOOKS_PER_CHECK: u64 = 10;

/// What a node exposes and forwards, and the file that says so.
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
        for (remote, local) in steps.begin {
            let forwarding = Forwarding::new(node, &self.services, &kept, remote, local);
            let mut task = JoinSet::new();
            task.spawn(forwarding.run());
            running.forwards.insert(remote.clone(), task);
        }
        self.check(&kept.expose, node);
        running.kept = kept;
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
}

/// What leads from what was kept to what is.
#[derive(Debug, PartialEq)]
struct Steps<'a> {
    conceal: BTreeSet<&'a ServiceName>,
    end: BTreeSet<&'a Remote>,
    begin: BTreeMap<&'a Remote, &'a Local>,
}

impl<'a> Steps<'a> {
    /// What stays the same is not touched.
    fn between(before: &'a Kept, after: &'a Kept) -> Self {
        let (conceal, _) = steps(&before.expose, &after.expose);
        let (end, begin) = steps(&before.forward, &after.forward);
        Self {
            conceal,
            end,
            begin,
        }
    }
}

fn steps<'a, K: Ord, V: PartialEq>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, V>,
) -> (BTreeSet<&'a K>, BTreeMap<&'a K, &'a V>) {
    let gone = before
        .iter()
        .filter(|(key, old)| after.get(key) != Some(old));
    let new = after
        .iter()
        .filter(|(key, new)| before.get(key) != Some(new));
    (gone.map(|(key, _)| key).collect(), new.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_ended_and_begun() {
        let exposure = |target: &str| Exposure {
            target: target.parse().unwrap(),
            allow: Vec::new(),
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
        let steps = Steps::between(&before, &after);
        let (gone, moved, new) = (name("gone"), name("moved"), remote("nas/new"));
        assert_eq!(steps.conceal, [&gone, &moved].into());
        assert_eq!(steps.end, [].into());
        assert_eq!(steps.begin, [(&new, &"9001".parse().unwrap())].into());
    }
}
