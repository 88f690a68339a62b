//! Has the system pass packets between the device and the networks that are advertised, for as long as there is the device.
//!
//! Hosts there know no way back to the peer, so its packets reach them from this computer's own address (masquerading, by nft). What
//! was switched on is switched off in the end; a table that a node left which was killed is removed by the next one that makes a
//! device of that name.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;
use tracing::debug;

use super::ranges::overlap;

/// How many devices of this process need what was switched on, or a table: one that comes may have the name of one that is about to go.
static HELD: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());

fn held() -> MutexGuard<'static, BTreeMap<PathBuf, usize>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    /// What was switched on.
    switched: Vec<PathBuf>,
    /// The table of nft.
    table: Option<String>,
}

impl Forwarding {
    /// Has what is needed for these ranges be on, and nothing else. Gives what is in the way and what would help.
    pub(super) fn adapt(&mut self, device: &str, advertised: &[IpNet]) -> Vec<String> {
        let mut hints = Vec::new();
        let v4 = advertised.iter().filter(|net| matches!(net, IpNet::V4(_)));
        let v4: Vec<_> = v4.copied().collect();
        let needed = switches(device, &v4);
        self.switched.retain(|path| {
            let is_needed = needed.iter().any(|(_, needed)| needed == path);
            if !is_needed {
                switch_off(path);
            }
            is_needed
        });
        for (name, path) in needed {
            if let Err(error) = self.switch(path) {
                debug!(%error, name, "packets are not passed on");
                hints.push(format!("hosts beside this computer are not reached: `sudo sysctl net.ipv4.ip_forward=1` ({error})"));
                break;
            }
        }
        let v6_off = fs::read_to_string("/proc/sys/net/ipv6/conf/all/forwarding")
            .is_ok_and(|it| it.trim() == "0");
        if v4.len() < advertised.len() && v6_off {
            hints.push("hosts beside this computer are not reached by IPv6: `sudo sysctl net.ipv6.conf.all.forwarding=1`, and accept_ra=2 where a router names this computer's own".to_owned());
        }
        if advertised.is_empty() {
            self.remove_table();
        } else if self.table.is_none() {
            let mut held = held();
            match nft(&rules(device)) {
                Ok(()) => {
                    *held.entry(device.into()).or_default() += 1;
                    self.table = Some(device.to_owned());
                }
                Err(reason) => hints.push(format!("hosts beside this computer answer only if their router sends 100.64.0.0/10 to this computer, as nft does not let them answer to this computer itself: {reason}")),
            }
        }
        hints
    }

    fn switch(&mut self, path: PathBuf) -> std::io::Result<()> {
        if self.switched.contains(&path) {
            return Ok(());
        }
        let mut held = held();
        if held.contains_key(&path) || fs::read_to_string(&path)?.trim() == "0" {
            fs::write(&path, "1")?;
            *held.entry(path.clone()).or_default() += 1;
            self.switched.push(path);
        }
        Ok(())
    }

    fn remove_table(&mut self) {
        let Some(table) = self.table.take() else {
            return;
        };
        let mut held = held();
        if is_last(&mut held, Path::new(&table))
            && let Err(reason) = nft(&format!("delete table inet {table}\n"))
        {
            debug!(reason, "the table of nft stays");
        }
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        self.switched.iter().for_each(switch_off);
        self.remove_table();
    }
}

/// What has the system pass packets between the device and the interfaces that have these ranges, by the interfaces' names.
fn switches(device: &str, v4: &[IpNet]) -> Vec<(String, PathBuf)> {
    if v4.is_empty() {
        return Vec::new();
    }
    let interfaces = netdev::get_interfaces();
    let has = |interface: &netdev::Interface| {
        let mut nets = interface.ipv4.iter().map(|net| IpNet::V4(*net));
        nets.any(|own| v4.iter().any(|net| overlap(own, *net)))
    };
    let names = interfaces
        .iter()
        .filter(|it| has(it))
        .map(|it| it.name.as_str());
    let switch = |name: &str| {
        let path = format!("/proc/sys/net/ipv4/conf/{name}/forwarding");
        (name.to_owned(), path.into())
    };
    names.chain([device]).map(switch).collect()
}

fn switch_off(path: impl AsRef<Path>) {
    let mut held = held();
    if is_last(&mut held, path.as_ref()) {
        // The device's own is gone with it, sooner or later.
        let _ = fs::write(path, "0");
    }
}

/// Takes away one who needs it; true if nobody is left who does.
fn is_last(held: &mut BTreeMap<PathBuf, usize>, what: &Path) -> bool {
    match held.get_mut(what) {
        Some(count) if *count > 1 => {
            *count -= 1;
            false
        }
        Some(_) | None => {
            held.remove(what);
            true
        }
    }
}

/// The table is made first, so that it can be deleted whether it was left or not.
fn rules(device: &str) -> String {
    format!(
        "table inet {device}\ndelete table inet {device}\ntable inet {device} {{\n chain way_back {{\n  \
         type nat hook postrouting priority srcnat; policy accept;\n  \
         iifname \"{device}\" oifname != \"{device}\" masquerade\n }}\n}}\n"
    )
}

fn nft(script: &str) -> Result<(), String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let child = Command::new("nft")
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .args(["--file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|error| format!("nft: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(script.as_bytes())
            .map_err(|error| error.to_string())?;
    }
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said
        .lines()
        .next()
        .unwrap_or("nft failed")
        .trim()
        .to_owned())
}
