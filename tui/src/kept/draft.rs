//! Changes of what is kept that leave everything else in its file as it was written.

use peerway::services::tunnel::ServiceName;
use toml_edit::{Array, DocumentMut, Item, Table, Value, value};

use super::{
    Exposure, Kept, Local, Remote, UploadLimit, WatchTerms,
    text::{
        self, ALLOW, EXPOSE, FORWARD, LIMIT, LINK, LISTEN, Mistake, PUBLIC, SEARCHABLE, SHARE,
        TARGET, WATCH,
    },
};
#[cfg(any(test, all(feature = "subnet", target_os = "linux")))]
use super::{
    LinkTerms, Whom,
    text::{ACCEPT, ADVERTISE},
};
use crate::{book::Name, toml};

/// What a file begins with that a command makes.
const HEAD: &str = "\
# What this computer's `peerway up` serves whenever it runs. To be edited here or by `peerway expose`,
# `peerway forward` and `peerway link` with add and remove; a node that runs follows every change.
";

/// What is kept, while it is being changed.
#[derive(Debug)]
pub(crate) struct Draft {
    document: DocumentMut,
    kept: Kept,
}

impl Draft {
    pub(super) fn of(text: &str) -> Result<Self, Mistake> {
        let text = if text.trim().is_empty() { HEAD } else { text };
        let kept = text::parse(text)?;
        // Just parsed, so it is TOML.
        let document = text.parse().unwrap_or_default();
        Ok(Self { document, kept })
    }

    pub(super) fn text(&self) -> String {
        self.document.to_string()
    }

    /// Exposes a server from now on. The same once more changes nothing.
    pub(crate) fn expose(
        &mut self,
        name: &ServiceName,
        exposure: &Exposure,
    ) -> Result<(), EditError> {
        match self.kept.expose.get(name) {
            Some(known) if known == exposure => return Ok(()),
            Some(known) => {
                return Err(EditError::Exposed {
                    name: name.to_string(),
                    target: known.target.to_string(),
                });
            }
            None => {}
        }
        let mut table = Table::new();
        table.insert(TARGET, value(exposure.target.to_string()));
        if !exposure.allow.is_empty() {
            let allow = exposure.allow.iter().map(|name| name.as_str());
            table.insert(ALLOW, value(Array::from_iter(allow)));
        }
        if let Some(limit) = exposure.limit {
            table.insert(LIMIT, value(limit.to_string()));
        }
        self.insert(EXPOSE, name.as_str(), table)
    }

    /// Leads a local address to a service of a peer from now on. The same once more changes nothing.
    pub(crate) fn forward(&mut self, remote: &Remote, local: &Local) -> Result<(), EditError> {
        match self.kept.forward.get(remote) {
            Some(known) if known == local => return Ok(()),
            Some(known) => {
                return Err(EditError::Forwarded {
                    remote: remote.to_string(),
                    local: known.to_string(),
                });
            }
            None => {}
        }
        let mut others = self.kept.forward.iter();
        if let Some((other, _)) = others.find(|(_, listen)| *listen == local) {
            return Err(EditError::Taken {
                local: local.to_string(),
                remote: other.to_string(),
            });
        }
        let mut table = Table::new();
        table.insert(LISTEN, value(local.to_string()));
        self.insert(FORWARD, &remote.to_string(), table)
    }

    /// Joins this home's network with a peer's from now on. The same once more changes nothing.
    #[cfg(any(test, all(feature = "subnet", target_os = "linux")))]
    pub(crate) fn link(&mut self, whom: &Whom, terms: &LinkTerms) -> Result<(), EditError> {
        match self.kept.link.get(whom) {
            Some(known) if known == terms => return Ok(()),
            Some(_) => return Err(EditError::Linked(whom.to_string())),
            None => {}
        }
        let mut table = Table::new();
        for (key, ranges) in [(ADVERTISE, &terms.advertise), (ACCEPT, &terms.accept)] {
            if !ranges.is_empty() {
                let ranges = ranges.iter().map(ToString::to_string);
                table.insert(key, value(Array::from_iter(ranges)));
            }
        }
        self.insert(LINK, whom.as_str(), table)
    }

    /// Joins it no more.
    #[cfg(any(test, all(feature = "subnet", target_os = "linux")))]
    pub(crate) fn unlink(&mut self, whom: &Whom) -> Result<LinkTerms, EditError> {
        let known = self.kept.link.get(whom).cloned();
        let known = known.ok_or_else(|| EditError::NotLinked(whom.to_string()))?;
        self.remove(LINK, whom.as_str())?;
        Ok(known)
    }

    /// Shares a folder anew whenever it changes from now on, or for others than before.
    pub(crate) fn watch(&mut self, folder: &str, terms: WatchTerms) -> Result<(), EditError> {
        match self.kept.watch.get(folder) {
            Some(known) if *known == terms => return Ok(()),
            Some(_) => self.remove(WATCH, folder)?,
            None => {}
        }
        let mut table = Table::new();
        for (key, is_so) in [(PUBLIC, terms.public), (SEARCHABLE, terms.searchable)] {
            if is_so {
                table.insert(key, value(true));
            }
        }
        self.insert(WATCH, folder, table)
    }

    /// Watches a folder no more; whether it was watched.
    pub(crate) fn unwatch(&mut self, folder: &str) -> Result<bool, EditError> {
        if !self.kept.watch.contains_key(folder) {
            return Ok(false);
        }
        self.remove(WATCH, folder)?;
        Ok(true)
    }

    /// Sends no more than this of what is shared from now on.
    pub(crate) fn limit_upload(&mut self, limit: &UploadLimit) -> Result<(), EditError> {
        if self.kept.upload == *limit {
            return Ok(());
        }
        if self.document.get(SHARE).is_none() {
            let table = self.begun(Table::new());
            self.document.insert(SHARE, Item::Table(table));
        }
        let table = toml::tables(&mut self.document, SHARE).ok_or(EditError::Unwritable)?;
        match limit.is_none() {
            true => drop(table.remove(LIMIT)),
            false => toml::put(table, LIMIT, Array::from_iter(limit.texts()).into()),
        }
        self.reread()
    }

    /// Exposes a server no more.
    pub(crate) fn conceal(&mut self, name: &ServiceName) -> Result<Exposure, EditError> {
        let known = self.kept.expose.get(name).cloned();
        let known = known.ok_or_else(|| EditError::NotExposed(name.to_string()))?;
        self.remove(EXPOSE, name.as_str())?;
        Ok(known)
    }

    /// Leads nowhere what led to a service of a peer.
    pub(crate) fn unforward(&mut self, remote: &Remote) -> Result<Local, EditError> {
        let known = self.kept.forward.get(remote).cloned();
        let known = known.ok_or_else(|| EditError::NotForwarded(remote.to_string()))?;
        self.remove(FORWARD, &remote.to_string())?;
        Ok(known)
    }

    /// Nobody gets by a new name what is kept for who had that name before.
    fn is_free_of(&self, from: &Name, to: &Name) -> Result<(), EditError> {
        let has_link = |peer: &Name| self.kept.link.keys().any(|it| it.as_str() == peer.as_str());
        if has_link(from) && has_link(to) {
            return Err(EditError::Linked(to.to_string()));
        }
        let forwards = self.kept.forward.keys();
        for remote in forwards.filter(|it| it.peer == from.as_str()) {
            let new = Remote {
                peer: to.to_string(),
                name: remote.name.clone(),
            };
            if let Some(local) = self.kept.forward.get(&new) {
                return Err(EditError::Forwarded {
                    remote: new.to_string(),
                    local: local.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Means by `to` from now on whom `from` meant: of whom services are forwarded, with whom networks are joined, and who may reach the
    /// servers of this home. False if nobody was meant by it.
    pub(crate) fn rename(&mut self, from: &Name, to: &Name) -> Result<bool, EditError> {
        let is_forwarded = self.kept.forward.keys().any(|it| it.peer == from.as_str());
        let is_linked = self.kept.link.keys().any(|it| it.as_str() == from.as_str());
        let is_allowed = self.kept.expose.values().any(|it| it.allow.contains(from));
        self.is_free_of(from, to)?;
        if is_forwarded {
            let forwarded =
                toml::tables(&mut self.document, FORWARD).ok_or(EditError::Unwritable)?;
            toml::rename(forwarded, |key| {
                let (peer, service) = key.rsplit_once('/')?;
                (peer == from.as_str()).then(|| format!("{to}/{service}"))
            });
        }
        if is_linked {
            let linked = toml::tables(&mut self.document, LINK).ok_or(EditError::Unwritable)?;
            toml::rename(linked, |key| (key == from.as_str()).then(|| to.to_string()));
        }
        if is_allowed {
            let exposed = toml::tables(&mut self.document, EXPOSE).ok_or(EditError::Unwritable)?;
            for (_, exposure) in exposed.iter_mut() {
                let allow = exposure
                    .as_table_like_mut()
                    .and_then(|it| it.get_mut(ALLOW));
                if let Some(allow) = allow.and_then(Item::as_value_mut) {
                    rename_among(allow, from, to);
                }
            }
        }
        self.reread()?;
        Ok(is_forwarded || is_linked || is_allowed)
    }

    fn insert(&mut self, group: &str, key: &str, table: Table) -> Result<(), EditError> {
        let table = self.begun(table);
        let tables = toml::tables(&mut self.document, group).ok_or(EditError::Unwritable)?;
        tables.insert(key, Item::Table(table));
        self.reread()
    }

    /// A table that is to be inserted. What stands in a file without any is to stay above it.
    fn begun(&mut self, mut table: Table) -> Table {
        if self.kept == Kept::default() {
            let head = self.document.trailing().as_str().unwrap_or_default();
            table.decor_mut().set_prefix(format!("{head}\n"));
            self.document.set_trailing("");
        }
        table
    }

    fn remove(&mut self, group: &str, key: &str) -> Result<(), EditError> {
        toml::tables(&mut self.document, group).ok_or(EditError::Unwritable)?;
        toml::remove(&mut self.document, group, key);
        self.reread()
    }

    /// What others will read is what was meant.
    fn reread(&mut self) -> Result<(), EditError> {
        self.kept = text::parse(&self.text()).map_err(EditError::Spoilt)?;
        Ok(())
    }
}

/// Of the one, or the several, who may reach a server.
fn rename_among(allow: &mut Value, from: &Name, to: &Name) {
    if let Some(several) = allow.as_array_mut() {
        several.iter_mut().for_each(|it| rename_among(it, from, to));
    } else if allow.as_str() == Some(from.as_str()) {
        let mut new = Value::from(to.as_str());
        *new.decor_mut() = allow.decor().clone();
        *allow = new;
    }
}

/// Why what is kept was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    #[error(
        "{name} is kept already, for {target}, other peers or another limit: `peerway expose remove {name}` first"
    )]
    Exposed { name: String, target: String },
    #[error("{remote} is kept already, at {local}: `peerway forward remove {remote}` first")]
    Forwarded { remote: String, local: String },
    #[error("a link with {0} is kept already, with other ranges: `peerway link remove {0}` first")]
    Linked(String),
    #[cfg(any(test, all(feature = "subnet", target_os = "linux")))]
    #[error("no link with {0} is kept: `peerway link list` lists those that are")]
    NotLinked(String),
    #[error("{local} leads to {remote} already: choose another address with --listen")]
    Taken { local: String, remote: String },
    #[error("no server is kept under the name {0}: `peerway expose list` lists those that are")]
    NotExposed(String),
    #[error("no forward to {0} is kept: `peerway forward list` lists those that are")]
    NotForwarded(String),
    #[error("the file is written in a way that only an editor can change")]
    Unwritable,
    #[error("the change would spoil the file ({0}): make it with an editor")]
    Spoilt(Mistake),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposure(target: &str, allow: &[&str]) -> Exposure {
        Exposure {
            target: target.parse().unwrap(),
            allow: allow.iter().map(|name| name.parse().unwrap()).collect(),
            limit: None,
        }
    }

    /// Written by somebody who likes comments.
    const BY_HAND: &str = "# Ours.\n\n# The page.\n[expose.web] # of the cellar\ntarget = '8080' # old\n\n# Shells.\n[expose.ssh]\ntarget = \"22\"\n# The end.\n";

    #[test]
    fn the_first_service_makes_a_file_that_says_how_it_is_used() {
        let mut draft = Draft::of("").unwrap();
        let mut web = exposure("8080", &["anna", "family"]);
        web.limit = Some("20mbit".parse().unwrap());
        draft.expose(&"web".parse().unwrap(), &web).unwrap();
        let nas = "nas/web".parse().unwrap();
        draft.forward(&nas, &"9000".parse().unwrap()).unwrap();
        let text = draft.text();
        assert!(text.starts_with("# What this computer"), "{text}");
        assert!(
            text.ends_with("\n[expose.web]\ntarget = \"127.0.0.1:8080\"\nallow = [\"anna\", \"family\"]\nlimit = \"20mbit\"\n\n[forward.\"nas/web\"]\nlisten = \"127.0.0.1:9000\"\n"),
            "{text}"
        );
        assert_eq!(text::parse(&text).unwrap(), draft.kept);
        draft.conceal(&"web".parse().unwrap()).unwrap();
        draft.unforward(&nas).unwrap();
        assert_eq!(draft.text().trim(), HEAD.trim());
        draft.expose(&"web".parse().unwrap(), &web).unwrap();
        assert!(draft.text().starts_with(HEAD), "{}", draft.text());
    }

    #[test]
    fn nobody_gets_by_a_new_name_what_is_kept_for_who_had_it_before() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let kept = "[link.loft]\nadvertise = [\"192.168.7.0/24\"]\n[forward.\"loft/web\"]\nlisten = \"9000\"\n";
        for own in ["[link.nas]\n", "[forward.\"nas/web\"]\nlisten = \"9001\"\n"] {
            let mut draft = Draft::of(&format!("{kept}{own}")).unwrap();
            let before = draft.text();
            let refused = draft.rename(&name("nas"), &name("loft")).unwrap_err();
            assert!(refused.to_string().contains("is kept already"), "{refused}");
            assert_eq!(draft.text(), before);
        }
        let mut draft =
            Draft::of(&format!("{kept}[forward.\"nas/ssh\"]\nlisten = \"9002\"\n")).unwrap();
        assert!(draft.rename(&name("nas"), &name("loft")).unwrap());
    }

    #[test]
    fn a_service_goes_with_its_own_comment_and_no_other() {
        let mut draft = Draft::of(BY_HAND).unwrap();
        let new = exposure("udp://53", &[]);
        draft.expose(&"dns".parse().unwrap(), &new).unwrap();
        draft.conceal(&"web".parse().unwrap()).unwrap();
        let text = draft.text();
        assert_eq!(
            text,
            "# Ours.\n\n# Shells.\n[expose.ssh]\ntarget = \"22\"\n\n[expose.dns]\ntarget = \"udp://127.0.0.1:53\"\n# The end.\n"
        );
    }

    #[test]
    fn how_much_is_sent_of_what_is_shared_is_changed_and_taken_away() {
        let limit = |parts: &[&str]| {
            let parts = parts.iter().map(|part| part.parse().unwrap());
            UploadLimit::of(parts.collect()).unwrap()
        };
        let mut draft = Draft::of("").unwrap();
        let first = limit(&["08:00-23:00=2mbit", "20mbit"]);
        draft.limit_upload(&first).unwrap();
        let written = "\n[share]\nlimit = [\"08:00-23:00=2mbit\", \"20mbit\"]\n";
        assert_eq!(draft.text(), format!("{HEAD}{written}"));
        let before = "[share]\n# Ours.\nlimit = \"1mbit\" # slow\n";
        let mut draft = Draft::of(before).unwrap();
        draft.limit_upload(&limit(&["1mbit"])).unwrap();
        assert_eq!(draft.text(), before);
        draft.limit_upload(&limit(&["2mbit"])).unwrap();
        assert_eq!(
            draft.text(),
            "[share]\n# Ours.\nlimit = [\"2mbit\"] # slow\n"
        );
        draft.limit_upload(&UploadLimit::default()).unwrap();
        assert!(draft.kept.upload.is_none());
        draft
            .expose(&"web".parse().unwrap(), &exposure("80", &[]))
            .unwrap();
        draft.limit_upload(&first).unwrap();
        assert_eq!(draft.kept.upload, first);
    }

    #[test]
    fn a_watched_folder_is_for_others_when_it_is_watched_again_and_goes_alone() {
        let mut draft = Draft::of(BY_HAND).unwrap();
        let public = WatchTerms {
            public: true,
            searchable: false,
        };
        draft.watch("/srv/my films", WatchTerms::default()).unwrap();
        draft.watch("/srv/my films", public).unwrap();
        let written = "[watch.\"/srv/my films\"]\npublic = true\n";
        assert!(draft.text().contains(written), "{}", draft.text());
        assert_eq!(draft.kept.watch.len(), 1);
        assert!(draft.unwatch("/srv/my films").unwrap());
        assert!(!draft.unwatch("/srv/my films").unwrap());
        assert_eq!(draft.text(), BY_HAND);
    }

    #[test]
    fn who_may_reach_a_server_is_not_changed_by_adding_it_again() {
        let mut draft = Draft::of("[expose.web]\ntarget = \"80\"\nallow = \"anna\"\n").unwrap();
        let before = draft.text();
        let web = "web".parse().unwrap();
        let refused = draft.expose(&web, &exposure("80", &[])).unwrap_err();
        assert!(
            refused.to_string().contains("expose remove web"),
            "{refused}"
        );
        draft.expose(&web, &exposure("80", &["anna"])).unwrap();
        assert_eq!(draft.text(), before);
        let none = draft.conceal(&"ssh".parse().unwrap()).unwrap_err();
        assert!(none.to_string().contains("expose list"), "{none}");
    }

    #[test]
    fn whom_a_name_meant_is_meant_by_the_new_one() {
        let mut draft = Draft::of(
            "[expose.web]\ntarget = \"80\"\nallow = [\"anna\", \"nas\"] # both\n\n[expose.ssh]\ntarget = \"22\"\nallow = 'nas'\n\n# Pages.\n[forward.\"nas/web\"]\nlisten = \"9000\"\n\n[forward.\"nas2/web\"]\nlisten = \"9001\"\n",
        )
        .unwrap();
        let name = |name: &str| name.parse::<Name>().unwrap();
        assert!(draft.rename(&name("nas"), &name("Anna's nas")).unwrap());
        assert_eq!(
            draft.text(),
            "[expose.web]\ntarget = \"80\"\nallow = [\"anna\", \"Anna's nas\"] # both\n\n[expose.ssh]\ntarget = \"22\"\nallow = \"Anna's nas\"\n\n# Pages.\n[forward.\"Anna's nas/web\"]\nlisten = \"9000\"\n\n[forward.\"nas2/web\"]\nlisten = \"9001\"\n"
        );
        let before = draft.text();
        assert!(!draft.rename(&name("nas"), &name("other")).unwrap());
        assert_eq!(draft.text(), before);
    }

    #[test]
    fn a_link_is_written_once_renamed_with_its_peer_and_goes_alone() {
        let mut draft = Draft::of(BY_HAND).unwrap();
        let nas: Whom = "nas".parse().unwrap();
        let terms = LinkTerms {
            advertise: vec!["192.168.7.0/24".parse().unwrap()],
            accept: vec![],
        };
        draft.link(&nas, &terms).unwrap();
        let written = "[link.nas]\nadvertise = [\"192.168.7.0/24\"]\n";
        assert!(draft.text().contains(written), "{}", draft.text());
        let before = draft.text();
        draft.link(&nas, &terms).unwrap();
        assert_eq!(draft.text(), before, "the same once more");
        let other = draft.link(&nas, &LinkTerms::default()).unwrap_err();
        assert!(other.to_string().contains("link remove nas"), "{other}");
        let renamed = draft.rename(&"nas".parse().unwrap(), &"Anna's nas".parse().unwrap());
        assert!(renamed.unwrap());
        let now: Whom = "Anna's nas".parse().unwrap();
        assert_eq!(draft.kept.link.keys().collect::<Vec<_>>(), [&now]);
        assert!(draft.unlink(&nas).is_err());
        assert_eq!(draft.unlink(&now).unwrap(), terms);
        assert_eq!(draft.text(), BY_HAND);
    }

    #[test]
    fn two_forwards_do_not_share_an_address() {
        let mut draft = Draft::of("").unwrap();
        let (web, dns) = ("nas/web".parse().unwrap(), "nas/dns".parse().unwrap());
        let local = "127.0.0.1:9000".parse().unwrap();
        draft.forward(&web, &local).unwrap();
        draft.forward(&web, &local).unwrap();
        let taken = draft.forward(&dns, &local).unwrap_err().to_string();
        assert!(taken.contains("leads to nas/web already"), "{taken}");
        let moved = draft.forward(&web, &"9001".parse().unwrap()).unwrap_err();
        assert!(
            moved.to_string().contains("forward remove nas/web"),
            "{moved}"
        );
        assert_eq!(draft.unforward(&web).unwrap(), local);
        assert!(draft.unforward(&web).is_err());
    }
}
