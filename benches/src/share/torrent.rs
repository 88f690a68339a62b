//! The nodes of libtorrent: a script of Python.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::Failure;

const SCRIPT: &str = include_str!("torrent.py");

/// Writes beside a file what describes it.
pub(super) fn describe(python: &Path, file: &Path) -> Result<(), Failure> {
    let status = command(python, "describe")
        .arg(file)
        .stdin(Stdio::null())
        .status()?;
    status
        .success()
        .then_some(())
        .ok_or_else(|| "no libtorrent".into())
}

/// A node, but for the path that it is about.
pub(super) fn command(python: &Path, role: &str) -> Command {
    let mut command = Command::new(python);
    command.args(["-c", SCRIPT, role]);
    command
}
