//! Whether the other side of a transfer is reached, for whoever waits for it.

use peerway::{LinkStatus, PeerState};

/// Whether it was reached when it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Contact {
    is_lost: bool,
}

impl Contact {
    /// What is told, where that is other than before.
    pub(super) fn news(&mut self, link: &LinkStatus) -> Option<String> {
        let was_lost = self.is_lost;
        self.is_lost = is_lost(was_lost, link.state);
        match (was_lost, self.is_lost) {
            (false, true) => Some(format!(
                "the other side is not reached any more ({link}): it is waited for, up to three minutes from when it fell silent"
            )),
            (true, false) => Some("the other side is reached again".to_owned()),
            (true, true) | (false, false) => None,
        }
    }
}

/// Between two attempts it is as lost as before.
fn is_lost(was_lost: bool, state: PeerState) -> bool {
    match state {
        PeerState::Failed => true,
        PeerState::Direct | PeerState::Relayed | PeerState::Suspect => false,
        PeerState::Punch | PeerState::Intro | PeerState::Idle | PeerState::Unknown | _ => was_lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_is_lost_until_a_path_carries_data_again() {
        use PeerState::{Direct, Failed, Intro, Punch, Relayed, Suspect};
        let states = [
            Direct, Suspect, Intro, Failed, Intro, Failed, Punch, Relayed, Intro,
        ];
        let mut lost = false;
        let told = states.map(|state| {
            lost = is_lost(lost, state);
            lost
        });
        assert_eq!(
            told,
            [false, false, false, true, true, true, true, false, false]
        );
    }
}
