//! What several test programs share.

#[cfg(target_os = "linux")]
pub mod computer;
#[cfg(target_os = "linux")]
pub mod pair;
#[cfg(target_os = "linux")]
pub mod terminal;

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
    let name = test.file_name().unwrap_or_default().to_string_lossy();
    let (name, _) = name
        .rsplit_once('-')
        .expect("a test's file is named after it");
    let mut build = Command::new(env!("CARGO"));
    // What was built for this test is taken: with other features, or told of the package as cargo tells a test, all would be built anew.
    build.args(["build", "--workspace", "--bins", "--test", name]);
    for (variable, _) in env::vars_os() {
        let text = variable.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            build.env_remove(&variable);
        }
    }
    build.arg("--target-dir").arg(folder);
    // The folder of the profile `dev`, which tests of `test` share, has another name; all others have their profile's.
    if let Some(name) = profile.file_name().filter(|name| *name != "debug") {
        build.arg("--profile").arg(name);
    }
    build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let status = build.status().expect("cargo can be started");
    assert!(status.success(), "the programs could not be built");
    profile.to_owned()
});
