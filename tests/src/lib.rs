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
    // What was built for the tests is taken: other features, or what cargo tells a test of its package, would have it built anew.
    build.args(["build", "--workspace", "--bins", "--tests"]);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            build.env_remove(&name);
        }
    }
    build.arg("--target-dir").arg(folder);
    if profile.ends_with("release") {
        build.arg("--release");
    }
    build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let status = build.status().expect("cargo can be started");
    assert!(status.success(), "the programs could not be built");
    profile.to_owned()
});
