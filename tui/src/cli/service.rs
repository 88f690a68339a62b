//! `peerway service`: a unit by which systemd runs the node whenever its owner is logged in, or always.

use std::{
    env, fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::{
    args::{Globals, Unit, UnitAction},
    failure::Failure,
    out,
};

const NAME: &str = "peerway.service";

pub(super) fn run(globals: &Globals, args: &Unit) -> Result<(), Failure> {
    let path = place().ok_or(Failure::NoHome)?;
    let failed = |source: io::Error| Failure::Unit {
        path: path.clone(),
        source,
    };
    match args.action {
        UnitAction::Install => {
            let text = unit(&env::current_exe().map_err(failed)?, globals);
            let folder = path.parent().unwrap_or_else(|| Path::new("."));
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(&path, text))
                .map_err(failed)?;
            out::text(format!("written: {}", path.display()))?;
            out::hint(
                "run it from now on, whenever you are logged in: systemctl --user daemon-reload && systemctl --user enable --now peerway\nalso while you are not: loginctl enable-linger",
            );
        }
        UnitAction::Remove => {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
                removed => {
                    let done = if removed.is_ok() {
                        "removed"
                    } else {
                        "there is none"
                    };
                    out::text(format!("{done}: {}", path.display()))?;
                }
            }
            out::hint("one that runs goes on until: systemctl --user disable --now peerway");
        }
    }
    Ok(())
}

/// Where systemd looks for its user's units.
fn place() -> Option<PathBuf> {
    let absolute = |name| {
        let path = env::var_os(name).map(PathBuf::from);
        path.filter(|path: &PathBuf| path.is_absolute())
    };
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    config.map(|config| config.join("systemd/user").join(NAME))
}

/// Has `program` run with the options that this command was given.
fn unit(program: &Path, globals: &Globals) -> String {
    let mut variables = Vec::new();
    let mut set = |name: &str, value: String| {
        let value = quoted(&format!("PEERWAY_{name}={value}"), "");
        variables.push(format!("Environment={value}\n"));
    };
    let relays: Vec<String> = globals.relays.iter().map(ToString::to_string).collect();
    if !relays.is_empty() {
        set("RELAY", relays.join(","));
    }
    for (name, folder) in [
        ("STATE_DIR", &globals.state_dir),
        ("CONFIG_DIR", &globals.config_dir),
    ] {
        if let Some(folder) = folder {
            let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
            set(name, whole.display().to_string());
        }
    }
    if let Some(bind) = globals.bind {
        set("BIND", bind.to_string());
    }
    for (name, is_set) in [
        ("NO_LAN", globals.no_lan),
        ("RELAY_ONLY", globals.relay_only),
        ("NO_PORT_GUESSING", globals.no_port_guessing),
        ("NO_TCP", globals.no_tcp),
    ] {
        if is_set {
            set(name, "1".to_owned());
        }
    }
    let program = quoted(&program.display().to_string(), "$");
    format!(
        "[Unit]
Description=Peerway node
After=network-online.target

[Service]
Type=exec
ExecStart={program} up
{}Restart=on-failure
RestartSec=5
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native
UMask=0077

[Install]
WantedBy=default.target
",
        variables.concat()
    )
}

/// As systemd reads it back (systemd.syntax(7)); `doubled` is what it would take for something else besides.
fn quoted(text: &str, doubled: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            letter if letter == '%' || doubled.contains(letter) => quoted.extend([letter, letter]),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use peerway::{RelayUrl, SecretKey};
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_unit_has_the_options_of_the_command() {
        let relay = RelayUrl::new(SecretKey::from_seed(&[1; 32]).id(), "192.0.2.9", 4433).unwrap();
        let globals = Globals {
            relays: vec![relay.clone(), relay.clone()],
            state_dir: Some("/home/a \"b\" 100%".into()),
            bind: Some(([0, 0, 0, 0], 41641).into()),
            no_tcp: true,
            ..Globals::default()
        };
        let text = unit(Path::new("/opt/$x/peerway"), &globals);
        for line in [
            "ExecStart=\"/opt/$$x/peerway\" up",
            &format!("Environment=\"PEERWAY_RELAY={relay},{relay}\"")[..],
            r#"Environment="PEERWAY_STATE_DIR=/home/a \"b\" 100%%""#,
            "Environment=\"PEERWAY_BIND=0.0.0.0:41641\"",
            "Environment=\"PEERWAY_NO_TCP=1\"",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} not in {text}"
            );
        }
        assert!(!text.contains("NO_LAN"), "{text}");
    }

    #[test]
    fn systemd_understands_the_unit_where_there_is_one() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(NAME);
        let program = env::current_exe().unwrap();
        fs::write(&path, unit(&program, &Globals::default())).unwrap();
        let verify = Command::new("systemd-analyze")
            .arg("verify")
            .arg(&path)
            .output();
        // Without systemd nobody reads units either.
        if let Ok(verified) = verify {
            let said = String::from_utf8_lossy(&verified.stderr);
            assert!(!said.contains(NAME), "{said}");
        }
    }
}
