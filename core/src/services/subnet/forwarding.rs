//! Has the system pass packets between the device and the networks that are advertised, for as long as there is the device.
//!
//! Hosts there know no way back to the peer, so its packets reach them from this computer's own address (masquerading, by nft). What
//! was switched on is switched off in the end; a table that a node left which was killed is removed by the next one that makes a
//! device of that name.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use ipnet::IpNet;
use tokio::task::spawn_blocking;
use tracing::debug;

use super::ranges::overlap;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    /// What was switched on.
    switched: Vec<PathBuf>,
    /// The table of nft.
    table: Option<String>,
}

impl Forwarding {
    /// Gives also what is in the way and what would help.
    pub(super) async fn begin(device: &str, advertised: &[IpNet]) -> (Self, Vec<String>) {
        let (device, advertised) = (device.to_owned(), advertised.to_vec());
        let begun = spawn_blocking(move || {
            let mut forwarding = Self::default();
            let hints = forwarding.switch_on(&device, &advertised);
            (forwarding, hints)
        });
        begun.await.unwrap_or_default()
    }

    fn switch_on(&mut self, device: &str, advertised: &[IpNet]) -> Vec<String> {
        let mut hints = Vec::new();
        if advertised.is_empty() {
            return hints;
        }
        let v4: Vec<_> = advertised
            .iter()
            .filter(|net| matches!(net, IpNet::V4(_)))
            .collect();
        if !v4.is_empty() {
            let interfaces = netdev::get_interfaces();
            let has = |interface: &netdev::Interface| {
                let mut nets = interface.ipv4.iter().map(|net| IpNet::V4(*net));
                nets.any(|own| v4.iter().any(|net| overlap(own, **net)))
            };
            let names = interfaces
                .iter()
                .filter(|it| has(it))
                .map(|it| it.name.as_str());
            for name in names.chain([device]) {
                let path = PathBuf::from(format!("/proc/sys/net/ipv4/conf/{name}/forwarding"));
                if let Err(error) = self.switch(path) {
                    debug!(%error, name, "packets are not passed on");
                    hints.push(format!("hosts beside this computer are not reached: `sudo sysctl net.ipv4.ip_forward=1` ({error})"));
                    break;
                }
            }
        }
        let v6_off = fs::read_to_string("/proc/sys/net/ipv6/conf/all/forwarding")
            .is_ok_and(|it| it.trim() == "0");
        if v4.len() < advertised.len() && v6_off {
            hints.push("hosts beside this computer are not reached by IPv6: `sudo sysctl net.ipv6.conf.all.forwarding=1`, and accept_ra=2 where a router names this computer's own".to_owned());
        }
        match nft(&rules(device)) {
            Ok(()) => self.table = Some(device.to_owned()),
            Err(reason) => hints.push(format!("hosts beside this computer answer only if their router sends 100.64.0.0/10 to this computer, as nft does not let them answer to this computer itself: {reason}")),
        }
        hints
    }

    fn switch(&mut self, path: PathBuf) -> std::io::Result<()> {
        if fs::read_to_string(&path)?.trim() == "0" {
            fs::write(&path, "1")?;
            self.switched.push(path);
        }
        Ok(())
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        for path in &self.switched {
            // The device's own is gone with it, sooner or later.
            let _ = fs::write(path, "0");
        }
        if let Some(table) = &self.table
            && let Err(reason) = nft(&format!("delete table inet {table}\n"))
        {
            debug!(reason, "the table of nft stays");
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
