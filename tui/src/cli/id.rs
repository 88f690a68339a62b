//! `peerway id`.

use peerway::PeerId;
use serde::Serialize;

use super::{args::Globals, failure::Failure, out, state::StateDir};

pub(super) fn run(globals: &Globals) -> Result<(), Failure> {
    let id = StateDir::open(globals)?.id()?;
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
