//! What a node has in common with others: the content that it shares and fetches, the groups that it belongs to, and the servers that it
//! exposes.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{Stream, stream};
use peerway_swarm::{
    groups::{GroupView, Groups, PostView},
    share::{ContentView, Hash, Sharing},
};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::{
    kept::Services,
    servers::{Served, Servers},
    transfers::{Running, Transfer},
};

/// Of each group that many posts are shown, the newest.
pub(crate) const POSTS: usize = 50;
/// How often is looked what is other than before.
const LOOK: Duration = Duration::from_secs(1);

/// All of it, at a moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Commons {
    /// When, in milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    /// What is shared, being fetched, or was.
    pub(crate) contents: Vec<ContentView>,
    pub(crate) groups: Vec<Joined>,
    /// What it sends, receives and fetches now.
    #[serde(default)]
    pub(crate) transfers: Vec<Transfer>,
    /// What it exposes, and to whom.
    #[serde(default)]
    pub(crate) servers: Vec<Served>,
}

/// A group that the node belongs to, with the last that was said in it, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Joined {
    pub(crate) group: GroupView,
    pub(crate) posts: Vec<PostView>,
}

/// What has changed in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CommonsChange {
    pub(crate) at_ms: u64,
    /// Content that is new or other than before.
    pub(crate) contents: Vec<ContentView>,
    /// What is not there any more.
    pub(crate) contents_gone: Vec<Hash>,
    /// Groups that are new or other than before.
    pub(crate) groups: Vec<GroupView>,
    /// The last posts of each group, by its id, where they are others than before.
    pub(crate) posts: BTreeMap<String, Vec<PostView>>,
    /// Ids of groups that the node belongs to no more.
    pub(crate) groups_gone: Vec<String>,
    /// All that it transfers, where that is other than before.
    #[serde(default)]
    pub(crate) transfers: Option<Vec<Transfer>>,
    /// All that it exposes, where that is other than before.
    #[serde(default)]
    pub(crate) servers: Option<Vec<Served>>,
}

impl CommonsChange {
    fn is_empty(&self) -> bool {
        *self
            == Self {
                at_ms: self.at_ms,
                ..Self::default()
            }
    }
}

impl Commons {
    /// What of this is other than it was in `before`; none if nothing is.
    fn since(&self, before: &Self) -> Option<CommonsChange> {
        let known: BTreeMap<_, _> = before.contents.iter().map(|it| (it.hash, it)).collect();
        let now: BTreeMap<_, _> = self.contents.iter().map(|it| (it.hash, it)).collect();
        let was: BTreeMap<_, _> = before.groups.iter().map(|it| (&it.group.id, it)).collect();
        let is: BTreeMap<_, _> = self.groups.iter().map(|it| (&it.group.id, it)).collect();
        let contents = self.contents.iter();
        let groups = self.groups.iter();
        let change = CommonsChange {
            at_ms: self.at_ms,
            contents: contents
                .filter(|it| known.get(&it.hash) != Some(it))
                .cloned()
                .collect(),
            contents_gone: known
                .into_keys()
                .filter(|it| !now.contains_key(it))
                .collect(),
            groups: groups
                .clone()
                .map(|it| &it.group)
                .filter(|it| was.get(&it.id).is_none_or(|was| was.group != **it))
                .cloned()
                .collect(),
            posts: groups
                .filter(|it| {
                    let was = was.get(&it.group.id);
                    was.map_or(!it.posts.is_empty(), |was| was.posts != it.posts)
                })
                .map(|it| (it.group.id.clone(), it.posts.clone()))
                .collect(),
            transfers: (self.transfers != before.transfers).then(|| self.transfers.clone()),
            servers: (self.servers != before.servers).then(|| self.servers.clone()),
            groups_gone: was
                .into_keys()
                .filter(|it| !is.contains_key(it))
                .cloned()
                .collect(),
        };
        (!change.is_empty()).then_some(change)
    }

    /// All of this, for who knows nothing of it.
    fn whole(&self) -> CommonsChange {
        let nothing = || CommonsChange {
            at_ms: self.at_ms,
            ..CommonsChange::default()
        };
        self.since(&Self::default()).unwrap_or_else(nothing)
    }

    /// Becomes what it is after a change.
    pub(crate) fn apply(&mut self, change: CommonsChange) {
        let CommonsChange {
            at_ms,
            contents,
            contents_gone,
            groups,
            mut posts,
            groups_gone,
            transfers,
            servers,
        } = change;
        self.at_ms = at_ms;
        if let Some(servers) = servers {
            self.servers = servers;
        }
        if let Some(transfers) = transfers {
            self.transfers = transfers;
        }
        let is_new = |it: &ContentView| contents.iter().any(|new| new.hash == it.hash);
        self.contents
            .retain(|it| !contents_gone.contains(&it.hash) && !is_new(it));
        self.contents.extend(contents);
        self.contents.sort_by(|a, b| a.place().cmp(&b.place()));
        self.groups.retain(|it| !groups_gone.contains(&it.group.id));
        for group in groups {
            match self.groups.iter_mut().find(|it| it.group.id == group.id) {
                Some(joined) => joined.group = group,
                None => self.groups.push(Joined {
                    group,
                    posts: Vec::new(),
                }),
            }
        }
        for joined in &mut self.groups {
            if let Some(posts) = posts.remove(&joined.group.id) {
                joined.posts = posts;
            }
        }
        self.groups.sort_by(|a, b| {
            let key = |it: &Joined| (it.group.name.clone(), it.group.id.clone());
            key(a).cmp(&key(b))
        });
    }
}

/// Who looks for it.
#[derive(Debug)]
pub(crate) struct Lookout {
    sharing: Sharing,
    groups: Option<Groups>,
    running: Running,
    servers: Servers,
    services: Option<Services>,
    /// What was told last; none at first.
    told: Option<Commons>,
}

impl Lookout {
    /// Of a node with these servers, and with services that it keeps, if it keeps some.
    pub(crate) fn new(
        sharing: Sharing,
        groups: Option<Groups>,
        running: Running,
        (servers, services): (Servers, Option<Services>),
    ) -> Self {
        Self {
            sharing,
            groups,
            running,
            servers,
            services,
            told: None,
        }
    }

    /// All of it now.
    pub(crate) async fn look(&self) -> Commons {
        let at_ms = u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or_default();
        let contents = self.sharing.contents().await;
        let views = self.groups.as_ref().map(Groups::all).unwrap_or_default();
        let groups = views.into_iter().map(|group| {
            let posts = self.posts(&group);
            Joined { group, posts }
        });
        let kept = self.services.as_ref().map(Services::lines);
        Commons {
            at_ms,
            contents,
            groups: groups.collect(),
            transfers: self.running.all(),
            servers: self.servers.all(kept.as_ref()),
        }
    }

    /// The last posts; read anew only where the group says that something in it has changed.
    fn posts(&self, group: &GroupView) -> Vec<PostView> {
        let told = self.told.iter().flat_map(|told| &told.groups);
        let before = told.into_iter().find(|it| it.group.id == group.id);
        let is_same = |before: &&Joined| {
            before.group.posts == group.posts
                && before.group.unread == group.unread
                && before.group.has_key == group.has_key
                && before.posts.iter().all(|post| post.text.is_some())
        };
        if let Some(before) = before.filter(is_same) {
            return before.posts.clone();
        }
        let groups = self.groups.as_ref();
        let posts = groups.and_then(|groups| {
            let id = groups.find(&group.id).ok()?;
            groups.posts(id, POSTS, false).ok()
        });
        posts.unwrap_or_default()
    }

    /// What has changed, each time that something has; all of it at first.
    pub(crate) fn changes(self) -> impl Stream<Item = CommonsChange> + Send {
        stream::unfold(self, move |mut lookout| async move {
            loop {
                if lookout.told.is_some() {
                    sleep(LOOK).await;
                }
                let now = lookout.look().await;
                let change = match &lookout.told {
                    Some(told) => now.since(told),
                    // Also that there is nothing.
                    None => Some(now.whole()),
                };
                if let Some(change) = change {
                    lookout.told = Some(now);
                    return Some((change, lookout));
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn content(number: u8, sent: u8) -> ContentView {
        serde_json::from_value(json!({
            "hash": Hash::of(&[number]), "name": format!("{number}"), "kind": "file", "state": "shared", "reason": null,
            "public": true, "path": "/a", "files": 1, "files_done": 1, "bytes": 9, "bytes_done": 9,
            "received": 0, "sent": sent, "pieces": [], "peers": [],
        }))
        .unwrap()
    }

    fn joined(number: u8, unread: u8, posts: u8) -> Joined {
        let author = peerway::SecretKey::from_seed(&[1; 32]).id();
        let group = json!({
            "id": format!("{number}"), "name": format!("group {number}"), "role": "member", "members": [], "posts": posts,
            "unread": unread, "invites": 0, "has_key": true, "refused": 0,
        });
        let post = |at: u8| json!({"id": at.to_string(), "author": author, "sent_ms": at, "text": "hello"});
        Joined {
            group: serde_json::from_value(group).unwrap(),
            posts: (0..posts)
                .map(|at| serde_json::from_value(post(at)).unwrap())
                .collect(),
        }
    }

    fn transfer(id: u64) -> Transfer {
        serde_json::from_value(json!({
            "id": id, "direction": "fetching", "peer": null, "name": "a", "folder": "/a", "paused": false,
            "files": 1, "files_done": 0, "bytes": 9, "bytes_done": 3, "bytes_held": 1,
        }))
        .unwrap()
    }

    fn served(sent: u64) -> Served {
        serde_json::from_value(json!({
            "name": "web", "target": "127.0.0.1:80", "allow": [], "limit": null, "kept": true, "state": "ready", "reason": null,
            "clients": [], "received": 1, "sent": sent,
        }))
        .unwrap()
    }

    fn commons(at_ms: u64, contents: &[(u8, u8)], groups: &[(u8, u8, u8)]) -> Commons {
        let contents: BTreeMap<_, _> = contents.iter().copied().collect();
        let groups: BTreeMap<_, _> = groups.iter().map(|it| (it.0, (it.1, it.2))).collect();
        let mut contents: Vec<_> = contents.iter().map(|it| content(*it.0, *it.1)).collect();
        contents.sort_by(|a, b| a.place().cmp(&b.place()));
        Commons {
            at_ms,
            contents,
            groups: groups
                .iter()
                .map(|(id, it)| joined(*id, it.0, it.1))
                .collect(),
            transfers: (0..at_ms % 3).map(transfer).collect(),
            servers: (0..at_ms % 2).map(served).collect(),
        }
    }

    #[test]
    fn where_nothing_changes_nothing_is_told() {
        let before = commons(1, &[(1, 1)], &[(1, 0, 2)]);
        assert_eq!(commons(7, &[(1, 1)], &[(1, 0, 2)]).since(&before), None);
        let change = commons(2, &[(1, 2)], &[(1, 1, 2)]).since(&before).unwrap();
        assert_eq!((change.contents.len(), change.groups.len()), (1, 1));
        // Posts that are the same are not told again.
        assert!(change.posts.is_empty());
    }

    proptest! {
        #[test]
        fn who_hears_all_changes_has_what_the_node_has(
            steps in prop::collection::vec((prop::collection::vec((0..5u8, 0..3u8), 0..5), prop::collection::vec((0..4u8, 0..2u8, 0..3u8), 0..4)), 1..8)
        ) {
            let (mut told, mut heard) = (Commons::default(), Commons::default());
            for (at, (contents, groups)) in (1..).zip(steps) {
                let now = commons(at, &contents, &groups);
                if let Some(change) = now.since(&told) {
                    let text = serde_json::to_string(&change).unwrap();
                    heard.apply(serde_json::from_str(&text).unwrap());
                    prop_assert_eq!(&heard, &now);
                    told = now;
                }
            }
        }
    }
}
