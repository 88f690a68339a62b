//! `peerway ssh`: OpenSSH, whose connection is `peerway pipe`.

use std::{env, io, os::unix::process::CommandExt, process::Command};

use super::{
    args::{Globals, Login, Ssh},
    failure::Failure,
    node,
};

/// Takes the place of this process, so that signals, the terminal and the exit code are ssh's.
pub(super) fn run(globals: &Globals, args: &Ssh) -> Result<(), Failure> {
    let peer = node::find(globals, &args.login.peer)?;
    let own = env::current_exe().map_err(Failure::Ssh)?;
    let own = own.to_str().ok_or_else(|| {
        Failure::Ssh(io::Error::other(
            "this program is in a folder whose name is no text",
        ))
    })?;
    let service = format!("{}/{}", args.login.text, args.name);
    let mut ssh = Command::new("ssh");
    ssh.arg("-o").arg(proxy_command(own, &service));
    // The key that ssh knows the peer by stays, whatever name it is given later.
    ssh.arg("-o")
        .arg(format!("HostKeyAlias=peerway-{}", peer.id()));
    ssh.arg(destination(&args.login, &peer.id().short()));
    ssh.args(&args.args).envs(variables(globals));
    Err(Failure::Ssh(ssh.exec()))
}

fn proxy_command(own: &str, service: &str) -> String {
    let command = format!("{} pipe {}", quoted(own), quoted(service));
    format!("ProxyCommand={}", command.replace('%', "%%"))
}

fn destination(login: &Login, short: &str) -> String {
    match &login.user {
        Some(user) => format!("{user}@{short}.peer"),
        None => format!("{short}.peer"),
    }
}

/// As a shell takes it for what it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The options of this command for the one that ssh runs.
fn variables(globals: &Globals) -> Vec<(&'static str, String)> {
    let folder = |folder: &Option<std::path::PathBuf>| {
        folder.as_ref().map(|it| it.to_string_lossy().into_owned())
    };
    let relays: Vec<_> = globals.relays.iter().map(ToString::to_string).collect();
    let list = |all: &[String]| (!all.is_empty()).then(|| all.join(","));
    let switch = |on: bool| on.then(|| "1".to_owned());
    let all = [
        ("PEERWAY_STATE_DIR", folder(&globals.state_dir)),
        ("PEERWAY_CONFIG_DIR", folder(&globals.config_dir)),
        ("PEERWAY_RELAY", list(&relays)),
        ("PEERWAY_BIND", globals.bind.map(|addr| addr.to_string())),
        ("PEERWAY_NO_LAN", switch(globals.no_lan)),
        ("PEERWAY_RELAY_ONLY", switch(globals.relay_only)),
        ("PEERWAY_NO_PORT_GUESSING", switch(globals.no_port_guessing)),
        ("PEERWAY_NO_TCP", switch(globals.no_tcp)),
        ("PEERWAY_NO_DHT", switch(globals.dht.no_dht)),
        ("PEERWAY_DHT_NODE", list(&globals.dht.dht_nodes)),
    ];
    let set = all.into_iter();
    set.filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_runs_is_quoted_for_its_shell_and_for_itself() {
        let said = proxy_command("/opt/a b/peerway", "it's 100%/ssh");
        assert_eq!(
            said,
            r"ProxyCommand='/opt/a b/peerway' pipe 'it'\''s 100%%/ssh'"
        );
    }

    #[test]
    fn what_ssh_runs_has_the_options_for_the_dht_too() {
        let mut globals = Globals::default();
        globals.dht.no_dht = true;
        globals.dht.dht_nodes = vec!["a:1".to_owned(), "b:2".to_owned()];
        let told = variables(&globals);
        assert!(told.contains(&("PEERWAY_NO_DHT", "1".to_owned())));
        assert!(told.contains(&("PEERWAY_DHT_NODE", "a:1,b:2".to_owned())));
    }
}
