//! What several test programs share.

#[cfg(target_os = "linux")]
pub mod pair;

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// The folder of the programs, built from the tree that this test belongs to.
///
/// # Panics
/// When they cannot be built.
pub static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = env::current_exe().expect("a test knows its own file");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("tests are built into target/PROFILE/deps");
    let folder = profile
        .parent()
        .expect("tests are built into target/PROFILE/deps");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "-p", "peerway-tui", "-p", "peerway-relay"]);
    build.arg("--target-dir").arg(folder);
    if profile.ends_with("release") {
        build.arg("--release");
    }
    build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let status = build.status().expect("cargo can be started");
    assert!(status.success(), "the programs could not be built");
    profile.to_owned()
});
