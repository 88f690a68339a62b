//! A real miniupnpd on a router: UPnP, NAT-PMP and PCP.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, ChildStderr, Stdio},
    thread,
};

use super::{LabError, netns::Netns};

const RULESET: &str = "
table inet upnp {
    chain miniupnpd { }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
    chain prerouting { type nat hook prerouting priority dstnat; jump prerouting_miniupnpd; }
}";
const CONFIG: &str = "
ext_ifname=wan
listening_ip=lan
ipv6_disable=yes
enable_upnp=yes
enable_natpmp=yes
secure_mode=yes
upnp_table_name=upnp
upnp_nat_table_name=upnp
uuid=7d9b5b1e-54b1-4b68-9d3a-2c1f3c2f6a10
allow 1024-65535 0.0.0.0/0 1024-65535
";

#[derive(Debug)]
pub(super) struct Upnp {
    daemon: Child,
}

impl Upnp {
    /// Starts the daemon and waits until it serves.
    pub(super) fn start(router: &Netns) -> Result<Self, LabError> {
        router.nft(RULESET)?;
        let config = format!("/run/{}.miniupnpd.conf", router.name());
        fs::write(&config, CONFIG).map_err(LabError::system(format!("write {config}")))?;
        let mut daemon = router
            .command("miniupnpd")
            .args(["-d", "-f", &config, "-P", &format!("{config}.pid")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(LabError::system("start miniupnpd"))?;
        let log = daemon.stderr.take();
        let upnp = Self { daemon };
        log.map_or(Ok(()), wait_until_serving)?;
        Ok(upnp)
    }
}

impl Drop for Upnp {
    fn drop(&mut self) {
        if let Err(error) = self.daemon.kill().and_then(|()| self.daemon.wait()) {
            tracing::warn!(%error, "miniupnpd does not end");
        }
    }
}

fn wait_until_serving(log: ChildStderr) -> Result<(), LabError> {
    let mut lines = BufReader::new(log).lines().map_while(Result::ok);
    let mut said = String::new();
    let serving = lines.by_ref().any(|line| {
        said.push_str(&line);
        said.push('\n');
        line.contains("Listening for NAT-PMP/PCP traffic")
    });
    if !serving {
        return Err(LabError::Command {
            command: "miniupnpd".to_owned(),
            stderr: said,
        });
    }
    thread::spawn(move || lines.for_each(|line| tracing::trace!(line, "miniupnpd")));
    Ok(())
}
