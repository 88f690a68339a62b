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
