//! `peerway demo`: under the dashboard where there is a terminal, as a printed timeline elsewhere.

use std::io::{IsTerminal, stdin, stdout};

use super::{args::Globals, dashboard, failure::Failure, screen::Screen};
use crate::{
    dash::{Options, People},
    demo,
};

pub(super) fn run(globals: &Globals, screen: &Screen) -> Result<(), Failure> {
    if is_shown(globals) {
        let shown = screen.options(globals)?;
        demo::show(|view| async move {
            let options = Options {
                title: "home A".to_owned(),
                note: view.setting,
                people: People {
                    names: view.names,
                    ..People::default()
                },
                ..shown
            };
            dashboard::show(&view.node, None, options).await
        })??;
    } else {
        demo::print(globals.json)?;
    }
    Ok(())
}

pub(super) fn is_shown(globals: &Globals) -> bool {
    !globals.json && stdin().is_terminal() && stdout().is_terminal()
}
