//! Whom a relay serves.
//!
//! A relay is *open*, and serves everybody, or it serves its *members*: those whom the operator lists and those who were invited.
//! Others may *visit* it, to meet members: a channel needs a member at one end at least, so visitors find only whoever wants to
//! talk with them, and can use nothing of the relay among themselves.

use std::collections::BTreeSet;

use peerway_proto::{InviteToken, PeerId, wire::relay::CloseReason};

use super::{ClientId, ClientPath, Now, Server};

/// The operator's lists of keys. Where both name a key, it is not served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Access {
    /// If there are any, these are members, and the relay is not open.
    pub allow: BTreeSet<PeerId>,
    /// These are not served, nor may they visit.
    pub deny: BTreeSet<PeerId>,
    /// Whether the relay is not open though nobody is allowed by key.
    pub invited_only: bool,
}

impl Access {
    /// The lists of these keys.
    #[must_use]
    pub fn new(
        allow: impl IntoIterator<Item = PeerId>,
        deny: impl IntoIterator<Item = PeerId>,
    ) -> Self {
        Self {
            allow: allow.into_iter().collect(),
            deny: deny.into_iter().collect(),
            invited_only: false,
        }
    }

    /// The same for a relay that is not open in any case.
    #[must_use]
    pub fn invited_only(mut self, invited_only: bool) -> Self {
        self.invited_only = invited_only;
        self
    }

    /// Whether everybody is served who is not denied.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.allow.is_empty() && !self.invited_only
    }
}

/// What somebody who registers shows for it, besides their key.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Credentials {
    /// The operator's invitation.
    pub token: Option<InviteToken>,
    /// They are here to meet others, not to be found.
    pub visits: bool,
    /// They leave the registration to whoever else has it.
    pub yields: bool,
}

impl Server {
    /// A connection that proved to hold `key` and to be at `path` said HELLO, and before it what is in `credentials`.
    ///
    /// # Errors
    /// Why it is not registered.
    pub fn admit(
        &mut self,
        now: Now,
        key: PeerId,
        path: ClientPath,
        credentials: &Credentials,
    ) -> Result<ClientId, CloseReason> {
        if self.is_denied(key) {
            return Err(CloseReason::Forbidden);
        }
        if credentials.yields && self.by_key.contains_key(&key) {
            return Err(CloseReason::Replaced);
        }
        let is_listed = self.access.allow.contains(&key) || self.invites.is_member(key);
        let token = credentials.token.as_ref().filter(|_| !is_listed);
        let redeemed = token.map(|token| self.invites.redeem(now.unix_ms, key, token));
        if !self.is_member(key) && !credentials.visits {
            return Err(match redeemed {
                Some(_) => CloseReason::NotInvited,
                None => CloseReason::Forbidden,
            });
        }
        if let Some(reason) = self.volumes.used_up(key) {
            return Err(reason);
        }
        let id = self.register(now, key, path);
        if let Some(client) = self.clients.get_mut(&id) {
            client.visits = credentials.visits;
        }
        Ok(id)
    }

    /// Whether whoever holds this key need not even say HELLO.
    #[must_use]
    pub fn is_denied(&self, key: PeerId) -> bool {
        self.access.deny.contains(&key)
    }

    /// Whether everybody is served who is not denied.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.access.is_open()
    }

    /// Other lists than before, at first empty ones. Clients that they do not let in are closed.
    pub fn set_access(&mut self, access: Access) {
        self.access = access;
        self.close_strangers();
    }

    /// Whether others find this key here, and its own volume is used.
    pub(super) fn is_member(&self, key: PeerId) -> bool {
        let access = &self.access;
        access.is_open() || access.allow.contains(&key) || self.invites.is_member(key)
    }

    /// Closes who may not be here, or no more.
    pub(super) fn close_strangers(&mut self) {
        let stays = |key: PeerId, id: &ClientId| {
            let visits = self.clients.get(id).is_some_and(|client| client.visits);
            !self.is_denied(key) && (visits || self.is_member(key))
        };
        #[expect(clippy::disallowed_methods, reason = "sorted below")]
        let clients = self.by_key.iter();
        let mut out: Vec<_> = clients
            .filter(|(key, id)| !stays(**key, id))
            .map(|(_, client)| *client)
            .collect();
        out.sort_unstable();
        for client in out {
            self.close(client, CloseReason::Forbidden);
        }
        self.part_visitors();
    }

    /// Closes the channels of those who may not meet any more, as neither is a member.
    fn part_visitors(&mut self) {
        #[expect(clippy::disallowed_methods, reason = "sorted below")]
        let clients = self.clients.iter();
        let mut visitors: Vec<_> = clients
            .filter(|(_, client)| !self.is_member(client.key))
            .map(|(id, _)| *id)
            .collect();
        visitors.sort_unstable();
        for id in &visitors {
            self.settle_client(*id);
            let is_member = |other: ClientId| visitors.binary_search(&other).is_err();
            self.channels.retain_of(*id, is_member);
        }
    }
}
