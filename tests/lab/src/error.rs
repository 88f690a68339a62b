use std::io;

/// Why a lab could not be built or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// This user may not make namespaces.
    #[error(
        "network namespaces are not permitted here ({reason}): allow them with \
         `sysctl -w user.max_user_namespaces=10000`, on Debian also `kernel.unprivileged_userns_clone=1`, \
         on Ubuntu also `kernel.apparmor_restrict_unprivileged_userns=0`, in a container with `--privileged`"
    )]
    Forbidden {
        /// What the kernel said.
        reason: String,
    },
    /// A tool that the lab drives is not installed.
    #[error("`{program}` is not installed: install the package {package}")]
    Missing {
        /// What could not be started.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The process did not enter its namespaces first.
    #[error(
        "a lab needs namespaces of its own: call `lab::enter` first, or run inside `lab::test`"
    )]
    Outside,
    /// A public home was asked for what only routers do.
    #[error("a public home has no router")]
    NoRouter,
    /// A tool failed.
    #[error("`{command}` failed: {stderr}")]
    Command {
        /// What was run.
        command: String,
        /// What it said.
        stderr: String,
    },
    /// A system call failed.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl LabError {
    pub(super) fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::System { action, source }
    }
}
