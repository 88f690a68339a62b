//! What a process takes of the computer, as Linux counts it.

use std::{fs, io, time::Duration};

use nix::time::{ClockId, clock_gettime};

/// Processor time that this process has used.
pub(crate) fn cpu_of_this_process() -> nix::Result<Duration> {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from)
}

/// Processor time that the living threads of a process have used, to the nanosecond.
pub(crate) fn cpu(pid: u32) -> io::Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path().join("schedstat");
        let text = fs::read_to_string(path)?;
        let first = text.split_whitespace().next();
        nanos += first.and_then(|used| used.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// Private memory of a process that is in RAM, KiB.
pub(crate) fn memory_kib(pid: u32) -> io::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    kib.ok_or_else(|| io::Error::other("no RssAnon in /proc"))
}
