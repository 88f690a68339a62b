//! `peerway id`.

use peerway::PeerId;
use serde::Serialize;

use super::{
    args::{Globals, IdArgs},
    failure::Failure,
    out,
    state::StateDir,
};

pub(super) fn run(globals: &Globals, args: &IdArgs) -> Result<(), Failure> {
    let state = StateDir::open(globals)?;
    let id = state.id()?;
    if args.rotate_discovery {
        state.rotate_discovery()?;
        out::hint(
            "whoever has a ticket from before does not find what is published from now on: hand out new ones. A node that runs goes on with the old secret until it is started again",
        );
    }
    if globals.json {
        out::json(&Identity { id })?;
    } else {
        out::text(id.to_string())?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Identity {
    id: PeerId,
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_key_of_the_line_is_documented() {
        let id = SecretKey::from_seed(&[1; 32]).id();
        assert_keys("id", &Identity { id });
    }
}
