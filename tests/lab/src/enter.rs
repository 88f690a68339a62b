//! Getting into namespaces of our own. A process can only do that before it has threads, so it starts anew inside.

use std::{
    any, env, fs, net::IpAddr, os::unix::process::CommandExt as _, process, sync::Once, thread,
    time::Duration,
};

use nix::mount::{MsFlags, mount};

use super::{
    Lab, LabError,
    netns::{feed, tool},
};

/// Set for processes that run inside.
const MARK: &str = "PEERWAY_LAB";
/// Exit code by which a test inside says that it ran to its end. libtest's success does not: no test may have matched.
const PASSED: i32 = 77;
/// A user namespace makes an ordinary user root over the network and mount namespaces that come with it.
const NAMESPACES: [&str; 4] = ["--user", "--map-root-user", "--net", "--mount"];
/// A process namespace beside them: when the test ends, however it ends, so does everything it started.
const PROCESSES: [&str; 4] = ["--pid", "--fork", "--kill-child", "--mount-proc"];
const TOOLS: [(&str, &str); 6] = [
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("iptables-nft", "iptables"),
];

/// Whether a lab can be built on this computer by this user.
///
/// # Errors
/// [`LabError::Missing`] or [`LabError::Forbidden`], which say what to install or enable.
pub fn permitted() -> Result<(), LabError> {
    if inside() {
        return Ok(());
    }
    for (program, package) in TOOLS {
        if !installed(program) {
            return Err(LabError::Missing { program, package });
        }
    }
    let mut attempt = tool("unshare");
    match feed(attempt.args(NAMESPACES).arg("true"), "") {
        Err(LabError::Command { stderr: reason, .. }) => Err(LabError::Forbidden { reason }),
        other => other.map(drop),
    }
}

/// Replaces this process by itself, with the same arguments, in namespaces where it may build a [`Lab`]. Returns only when
/// it is there already. The process keeps its id, terminal and exit code. To be called before anything that should not
/// happen twice.
///
/// # Errors
/// As [`permitted`].
pub fn enter() -> Result<(), LabError> {
    if inside() {
        return Ok(());
    }
    permitted()?;
    let program = env::current_exe().map_err(LabError::system("find this program's file"))?;
    let mut command = tool("unshare");
    command
        .args(NAMESPACES)
        .arg("--")
        .arg(program)
        .args(env::args_os().skip(1));
    let error = command.env(MARK, "inside").exec();
    Err(LabError::system("start unshare")(error))
}

/// Runs the body of a `#[test]` function in a lab of its own, by starting the test's program once more for this test alone.
/// The body must end within `budget`.
///
/// # Panics
/// When the body does, when it exceeds its budget, and when labs are not possible here.
pub fn test<F: FnOnce(Lab)>(budget: Duration, body: F) {
    if !inside() {
        return test_outside(test_name(any::type_name::<F>()));
    }
    thread::spawn(move || expire(budget));
    match Lab::new() {
        Ok(lab) => body(lab),
        Err(error) => panic!("{error}"),
    }
    process::exit(PASSED);
}

/// The name that libtest gives to the function in which a closure was written.
fn test_name(closure: &str) -> &str {
    let path = closure.split_once("::").map_or(closure, |(_, path)| path);
    path.trim_end_matches("::{{closure}}")
}

#[expect(clippy::print_stdout, reason = "libtest captures what a test prints")]
fn test_outside(name: &str) {
    let run = || {
        permitted()?;
        let program = env::current_exe().map_err(LabError::system("find the test's program"))?;
        // Whoever ends the outer test must not leave the inner one behind.
        let mut command = tool("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare"]);
        command
            .args(NAMESPACES)
            .args(PROCESSES)
            .arg("--")
            .arg(program);
        command
            .env(MARK, "inside")
            .args([name, "--exact", "--nocapture", "--include-ignored"])
            .output()
            .map_err(LabError::system("start setpriv"))
    };
    match run() {
        Err(error) => panic!("{error}"),
        Ok(output) => {
            print!("{}", String::from_utf8_lossy(&output.stdout));
            print!("{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(
                output.status.code(),
                Some(PASSED),
                "{name} failed inside its lab"
            );
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the test that waits for this process shows it"
)]
fn expire(budget: Duration) {
    thread::sleep(budget);
    eprintln!("the test exceeded its budget of {budget:?}");
    process::exit(1);
}

/// Makes `/run` ours, where the tools keep their namespaces, locks and process ids.
pub(super) fn require_inside() -> Result<(), LabError> {
    static PREPARED: Once = Once::new();
    if !inside() {
        return Err(LabError::Outside);
    }
    let mut mounted = Ok(());
    PREPARED.call_once(|| {
        let private = MsFlags::empty();
        mounted = mount(Some("tmpfs"), "/run", Some("tmpfs"), private, None::<&str>);
    });
    mounted.map_err(|error| LabError::system("mount a private /run")(error.into()))
}

/// Lets all programs in the lab know `names`, and nobody else.
pub(super) fn name_hosts(names: &[(IpAddr, &str)]) -> Result<(), LabError> {
    let lines = names.iter().map(|(addr, name)| format!("{addr} {name}\n"));
    let known = fs::read_to_string("/etc/hosts").unwrap_or_default();
    fs::write("/run/hosts", lines.collect::<String>() + &known)
        .map_err(LabError::system("write /run/hosts"))?;
    mount(
        Some("/run/hosts"),
        "/etc/hosts",
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .map_err(|error| LabError::system("cover /etc/hosts")(error.into()))
}

/// The mark alone could have been inherited. Only in a user namespace of our own is exactly one user mapped, and only there
/// the private `/run` cannot become everybody's.
fn inside() -> bool {
    let users = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    env::var_os(MARK).is_some() && users.split_whitespace().nth(2) == Some("1")
}

fn installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(Into::into);
    env::split_paths(&path)
        .chain(system)
        .any(|folder| folder.join(program).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_in_a_test_tells_the_tests_name() {
        fn name_of<F>(_: F) -> &'static str {
            test_name(any::type_name::<F>())
        }
        let name = "enter::tests::a_closure_in_a_test_tells_the_tests_name";
        assert_eq!(name_of(|| ()), name);
    }
}
