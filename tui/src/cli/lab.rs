//! `peerway lab`: what two kinds of home come to, seen on this computer.

use std::time::Duration;

use peerway_lab::Line;

use super::{
    args::{Globals, Lab},
    failure::Failure,
};
use crate::demo::{self, Situation};

pub(super) fn run(globals: &Globals, args: &Lab) -> Result<(), Failure> {
    let situation = Situation {
        a: args.a,
        b: args.b,
        line: Line {
            loss: args.loss / 100.0,
            ..Line::delayed(Duration::from_millis(args.delay))
        },
    };
    demo::try_out(&situation, globals.json)?;
    Ok(())
}
