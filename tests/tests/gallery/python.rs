//! Clients without a screen, written for a test in Python.

use std::process::{Command, Stdio};

/// Debian's, whatever else is installed.
pub(super) const PYTHON: &str = "/usr/bin/python3";

/// Looks for a module, given with its package.
pub(super) fn need_module(module: &str, package: &str) {
    let mut import = Command::new(PYTHON);
    let import = import.args(["-c", &format!("import {module}")]);
    let status = import.stderr(Stdio::null()).status();
    let is_there = status.is_ok_and(|status| status.success());
    assert!(is_there, "{module} is missing: install {package}");
}
