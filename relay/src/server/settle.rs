//! From bytes on channels to what clients sent in a month, and to who sends most now.

use std::collections::BTreeMap;

use peerway_proto::{
    PeerId,
    wire::{lane::Channel, relay::CloseReason},
};

use super::{
    ClientId, Now, Server,
    invites::{Invite, InviteId, TooManyInvites},
    volume::{Month, VolumeLimits},
};

/// Of a rate, what a second leaves of the rate before: it follows within a few seconds.
const KEPT_OF_RATE: u64 = 3;
const RATE_PARTS: u64 = 4;
/// Bytes a second below which nobody is a talker.
const QUIET: u64 = 16;

/// What is written down, to be read by the relay's next life. What is none is to be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Records {
    /// Bytes that were sent in a month, by whom, or by all if that is none.
    pub volumes: Vec<(Month, Option<PeerId>, u64)>,
    /// Invitations.
    pub invites: Vec<(InviteId, Option<Invite>)>,
    /// Whom invitations let in.
    pub members: Vec<(PeerId, Option<InviteId>)>,
    /// The months whose volumes are still needed; none for all.
    pub months: Vec<Month>,
}

/// Somebody who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Talker {
    /// Who.
    pub key: PeerId,
    /// Bytes a second, in the last few seconds.
    pub rate: u64,
    /// Bytes of this month.
    pub month_bytes: u64,
}

/// Two who send to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TalkingPair {
    /// Who.
    pub ends: [PeerId; 2],
    /// Bytes a second, both directions together, in the last few seconds.
    pub rate: u64,
}

/// Who sends how much now.
#[derive(Debug, Default)]
pub(super) struct Rates {
    clients: BTreeMap<PeerId, u64>,
    pairs: BTreeMap<Channel, ([PeerId; 2], u64)>,
    /// Of all that went on the lane, what was counted already.
    counted: u64,
}

impl Rates {
    fn fade(&mut self) {
        let fade = |rate: &mut u64| {
            *rate = *rate * KEPT_OF_RATE / RATE_PARTS;
            *rate >= QUIET
        };
        self.clients.retain(|_, rate| fade(rate));
        self.pairs.retain(|_, (_, rate)| fade(rate));
    }

    fn add(&mut self, channel: Channel, ends: [PeerId; 2], sent: [u64; 2]) {
        for (key, sent) in ends.into_iter().zip(sent) {
            if sent > 0 {
                *self.clients.entry(key).or_default() += sent / RATE_PARTS;
            }
        }
        let (_, rate) = self.pairs.entry(channel).or_insert((ends, 0));
        *rate += (sent[0] + sent[1]) / RATE_PARTS;
    }
}

impl Server {
    /// Counts what was sent since the last call, and closes whose month's volume is used up. To be called once a second. True if
    /// there are commands.
    pub fn settle(&mut self, now: Now) -> bool {
        self.volumes.enter(Month::of(now.unix_ms));
        self.rates.fade();
        let mut payers = Vec::new();
        for channel in self.channels.take_busy() {
            payers.extend(self.settle_channel(channel));
        }
        self.close_used_up(payers);
        let bytes = self.counters.lane_bytes;
        let counted = std::mem::replace(&mut self.rates.counted, bytes);
        self.volumes.add_in_all(bytes.saturating_sub(counted));
        if self.volumes.is_used_up() {
            self.close_all(CloseReason::RelayVolumeUsedUp);
        }
        !self.commands.is_empty()
    }

    /// Counts what was sent on the channels of a client, before it leaves them.
    pub(super) fn settle_client(&mut self, id: ClientId) {
        for channel in self.channels.of(id) {
            self.settle_channel(channel);
        }
    }

    /// Who sends now, whoever sends most first, at most `len`.
    #[must_use]
    pub fn talkers(&self, len: usize) -> Vec<Talker> {
        let mut talkers: Vec<_> = (self.rates.clients.iter())
            .map(|(key, rate)| Talker {
                key: *key,
                rate: *rate,
                month_bytes: self.volumes.of(*key),
            })
            .collect();
        talkers.sort_by_key(|talker| std::cmp::Reverse((talker.rate, talker.key)));
        talkers.truncate(len);
        talkers
    }

    /// Which pairs send now, whichever sends most first, at most `len`.
    #[must_use]
    pub fn talking_pairs(&self, len: usize) -> Vec<TalkingPair> {
        let mut pairs: Vec<_> = (self.rates.pairs.values())
            .map(|(ends, rate)| TalkingPair {
                ends: *ends,
                rate: *rate,
            })
            .collect();
        pairs.sort_by_key(|pair| std::cmp::Reverse((pair.rate, pair.ends)));
        pairs.truncate(len);
        pairs
    }

    /// What was sent through the relay this month.
    #[must_use]
    pub fn month_bytes(&self) -> u64 {
        self.volumes.in_all()
    }

    /// What may be sent in a month.
    #[must_use]
    pub fn volume_limits(&self) -> VolumeLimits {
        self.limits.volumes
    }

    /// Other volumes than [`Server::new`] got.
    pub fn set_volumes(&mut self, limits: VolumeLimits) {
        self.limits.volumes = limits;
        self.volumes.set_limits(limits);
    }

    /// An invitation. Whoever shows its token is let in, and stays.
    ///
    /// # Errors
    /// There are too many.
    pub fn invite(&mut self, id: InviteId, invite: Invite) -> Result<(), TooManyInvites> {
        self.invites.add(id, invite)
    }

    /// All invitations, also revoked ones that let somebody in, with whom each let in.
    #[must_use]
    pub fn invites(&self) -> Vec<(InviteId, Option<Invite>, Vec<PeerId>)> {
        self.invites.list()
    }

    /// An invitation lets in nobody any more, and if `members` go with it, those whom it did are closed.
    pub fn revoke(&mut self, id: InviteId, members: bool) {
        self.invites.revoke(id, members);
        self.close_strangers();
    }

    /// Somebody who was invited is let in no more. False if they were not.
    pub fn expel(&mut self, key: PeerId) -> bool {
        let was_in = self.invites.expel(key);
        self.close_strangers();
        was_in
    }

    /// Takes over what an earlier life of the relay wrote down.
    pub fn restore(&mut self, now: Now, records: Records) {
        self.volumes.enter(Month::of(now.unix_ms));
        for (month, key, bytes) in records.volumes {
            self.volumes.restore(month, key, bytes);
        }
        let invites = records.invites.into_iter();
        let members = records.members.into_iter();
        self.invites.restore(
            invites.filter_map(|(id, invite)| Some((id, invite?))),
            members.filter_map(|(key, by)| Some((key, by?))),
        );
    }

    /// What is to be written down since the last call.
    pub fn take_records(&mut self) -> Records {
        Records {
            volumes: self.volumes.take_changes(),
            invites: self.invites.take_changed_invites(),
            members: self.invites.take_changed_members(),
            months: self.volumes.months(),
        }
    }

    /// Returns who pays for what was sent on the channel.
    fn settle_channel(&mut self, channel: Channel) -> Vec<PeerId> {
        let mut payers = Vec::new();
        let Some((clients, sent)) = self.channels.take_sent(channel) else {
            return payers;
        };
        let keys = clients.map(|id| self.clients.get(&id).map(|client| client.key));
        let [Some(opener), Some(callee)] = keys else {
            return payers;
        };
        self.rates.add(channel, [opener, callee], sent);
        for (sender, other, sent) in [(opener, callee, sent[0]), (callee, opener, sent[1])] {
            if sent > 0 {
                // Keys of visitors cost nothing, so whoever lets them in pays.
                let payer = if self.is_member(sender) {
                    sender
                } else {
                    other
                };
                self.volumes.add(payer, sent);
                payers.push(payer);
            }
        }
        payers
    }

    /// Closes those of them whose volume is used up.
    fn close_used_up(&mut self, payers: Vec<PeerId>) {
        for payer in payers {
            if let Some(reason) = self.volumes.used_up(payer)
                && let Some(id) = self.by_key.get(&payer)
            {
                self.close(*id, reason);
            }
        }
    }

    fn close_all(&mut self, reason: CloseReason) {
        #[expect(clippy::disallowed_methods, reason = "sorted below")]
        let mut all: Vec<_> = self.clients.keys().copied().collect();
        all.sort_unstable();
        for client in all {
            self.close(client, reason);
        }
    }
}
