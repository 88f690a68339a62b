//! The keys with which whoever has an invite dials.
//!
//! The invite's own key would be one, but two who dial with one key are one peer to relays and to the member: the later takes the place of the
//! earlier. So each invite has several *doors*, keys that all can compute who know the invite's id, and whoever comes takes one at random.
//! A door proves nothing: it is for [`Access`](peerway::Access), which tells peers apart by nothing else. What the member asks for then is a
//! signature by the invite's key.

use peerway::{PeerId, SecretKey};

/// Doors of an invite: of eight who come at once, two take the same one in a third of all cases, and one of these tries another.
pub const DOORS: usize = 64;

const PURPOSE: &str = "peerway group invite door 1";

/// The key of one of an invite's doors.
#[must_use]
pub fn door(invite: PeerId, number: usize) -> SecretKey {
    let number = (number % DOORS) as u64;
    let which = [&invite.as_bytes()[..], &number.to_be_bytes()].concat();
    SecretKey::from_seed(&blake3::derive_key(PURPOSE, &which))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_invite_has_doors_of_its_own_and_none_is_the_invite() {
        let invites = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]).id());
        let doors = invites.map(|invite| (0..DOORS).map(move |number| door(invite, number).id()));
        let all: BTreeSet<PeerId> = doors.into_iter().flatten().chain(invites).collect();
        assert_eq!(all.len(), 2 * DOORS + 2);
    }
}
