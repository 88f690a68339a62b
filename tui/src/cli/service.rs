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
    state::StateDir,
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
            // A file that cannot be read is complained of by the node.
            let kept = StateDir::open(globals)?.kept().read().unwrap_or_default();
            let program = env::current_exe().map_err(failed)?;
            let text = unit(&program, globals, !kept.link.is_empty());
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

/// What takes from a node what it does not need.
const CONFINED: &str = "\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native
";
/// Each of these would have systemd withhold the right that the program's file has, and there would be no network device.
const LINKS: &str = "\
# For links of networks the program needs the right of its file (setcap), so NoNewPrivileges and what implies it are left out.
";

/// Has `program` run with the options that this command was given, and link networks or not.
fn unit(program: &Path, globals: &Globals, links: bool) -> String {
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
{}UMask=0077

[Install]
WantedBy=default.target
",
        variables.concat(),
        if links { LINKS } else { CONFINED },
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
        let text = unit(Path::new("/opt/$x/peerway"), &globals, false);
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

    /// What filters system calls implies it in a user's units.
    #[test]
    fn a_node_that_keeps_links_has_the_right_that_its_program_has() {
        let unit = |links| unit(Path::new("/peerway"), &Globals::default(), links);
        let confined = ["NoNewPrivileges", "LockPersonality", "RestrictRealtime"];
        let has = |text: &str, what: &str| text.lines().any(|line| line.starts_with(what));
        for what in confined.into_iter().chain(["SystemCallArchitectures"]) {
            assert!(has(&unit(false), what) && !has(&unit(true), what), "{what}");
        }
    }

    #[test]
    fn systemd_understands_the_unit_where_there_is_one() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(NAME);
        let program = env::current_exe().unwrap();
        for links in [false, true] {
            fs::write(&path, unit(&program, &Globals::default(), links)).unwrap();
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
}
