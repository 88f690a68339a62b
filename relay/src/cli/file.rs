//! Options from a file: every option is a key of it, with `_` for `-`.
//!
//! What the file says joins the command line, unless that or the environment says something about the same option. So a
//! value means the same wherever it stands, and is checked by the same words.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::{
    ArgMatches, Command, CommandFactory, FromArgMatches, error::ContextKind, parser::ValueSource,
};
use toml::{Table, Value};

use super::Options;

/// Read if it is there and no other file is named.
const DEFAULT_FILE: &str = "/etc/peerway/relay.toml";
/// Longest file: room for 10,000 keys that are allowed or denied.
const MAX_LEN: u64 = 1 << 20;
/// From this likeness on a known key is offered for an unknown one.
const ALIKE: f64 = 0.8;

/// Why there are no options.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OptionsError {
    /// The command line or the environment is at fault, or only asked for help.
    #[error("{0}")]
    Arguments(clap::Error),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not TOML: {source}", path.display())]
    Syntax {
        path: PathBuf,
        source: toml::de::Error,
    },
    #[error("{}: there is no key `{key}`; {}", path.display(), nearest(key))]
    UnknownKey { path: PathBuf, key: String },
    #[error("{}: `{key}` takes {expected}", path.display())]
    Type {
        path: PathBuf,
        key: String,
        expected: &'static str,
    },
    #[error(
        "{}: `allow` names nobody, without it everybody is served: leave the line out for that, which was in the sample until now, or set `invited_only = true`",
        path.display()
    )]
    NobodyAllowed { path: PathBuf },
    #[error("{}: `{key}`: {cause}", path.display())]
    Value {
        path: PathBuf,
        key: String,
        cause: String,
    },
}

impl Options {
    /// The options: from `args`, else from the environment, else from the file, else as they are by default.
    pub(crate) fn load(args: &[OsString]) -> Result<Self, OptionsError> {
        let command = Self::command().ignore_errors(true);
        let said = (command.try_get_matches_from(args)).map_err(OptionsError::Arguments)?;
        let named = said.get_one::<PathBuf>("config").cloned();
        let default = || {
            let path = Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists());
            path.filter(|_| needs_file(&said))
        };
        let Some(path) = named.or_else(default) else {
            return Self::parse_with(args, Vec::new(), Path::new(DEFAULT_FILE));
        };
        let text = read(&path).map_err(|source| OptionsError::Read {
            path: path.clone(),
            source,
        })?;
        let from_file = arguments(&text, &path, &said)?;
        Self::parse_with(args, from_file, &path)
    }

    fn parse_with(
        args: &[OsString],
        from_file: Vec<(String, OsString)>,
        path: &Path,
    ) -> Result<Self, OptionsError> {
        let keys: Vec<_> = from_file.iter().map(|(key, _)| key.clone()).collect();
        let program = args.first().cloned().into_iter();
        let more = from_file.into_iter().map(|(_, argument)| argument);
        let said = args.iter().skip(1).cloned();
        let all = program.chain(more).chain(said);
        let matches = Self::command().try_get_matches_from(all);
        matches
            .and_then(|matches| Self::from_arg_matches(&matches))
            .map_err(|error| blame(error, &keys, path))
    }
}

/// The text of a file that is no longer than such a file can be.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = fs::File::open(path)?;
    if file.take(MAX_LEN + 1).read_to_string(&mut text)? as u64 > MAX_LEN {
        return Err(io::Error::other("it is longer than a configuration can be"));
    }
    Ok(text)
}

/// A relay that runs is asked by what its folder says, so that a mistake in the file keeps nobody from draining it.
fn needs_file(said: &ArgMatches) -> bool {
    said.subcommand_name().is_none() || said.value_source("state_dir").is_none()
}

/// The file's part of the command line, each argument with the key that it comes from.
fn arguments(
    text: &str,
    path: &Path,
    said: &ArgMatches,
) -> Result<Vec<(String, OsString)>, OptionsError> {
    let table = text.parse::<Table>();
    let table = table.map_err(|source| OptionsError::Syntax {
        path: path.to_owned(),
        source,
    })?;
    let is_free = |key: &str| {
        let source = said.value_source(key);
        matches!(source, None | Some(ValueSource::DefaultValue))
    };
    let known = known_keys();
    // Who takes the last key off the list does not mean to let in everybody.
    let names_nobody = (table.get("allow").and_then(Value::as_array)).is_some_and(Vec::is_empty);
    let invited_only = said.get_flag("invited_only")
        || table.get("invited_only").and_then(Value::as_bool) == Some(true);
    if names_nobody && is_free("allow") && !invited_only {
        let path = path.to_owned();
        return Err(OptionsError::NobodyAllowed { path });
    }
    let mut arguments = Vec::new();
    for (key, value) in table {
        if !known.contains(&key) {
            let path = path.to_owned();
            return Err(OptionsError::UnknownKey { path, key });
        }
        let values = written(&key, value).map_err(|expected| OptionsError::Type {
            path: path.to_owned(),
            key: key.clone(),
            expected,
        })?;
        if is_free(&key) {
            arguments.extend(values.into_iter().map(|value| (key.clone(), value)));
        }
    }
    Ok(arguments)
}

/// A key and its value as arguments; else what kind of value it takes.
fn written(key: &str, value: Value) -> Result<Vec<OsString>, &'static str> {
    let option = format!("--{}", key.replace('_', "-"));
    let is_flag = Options::command()
        .get_arguments()
        .any(|arg| arg.get_id() == key && matches!(arg.get_action(), clap::ArgAction::SetTrue));
    let is_count = key == "verbose";
    let with = |value: String| OsString::from(format!("{option}={value}"));
    match value {
        Value::Boolean(true) if is_flag => Ok(vec![option.into()]),
        Value::Boolean(false) if is_flag => Ok(Vec::new()),
        _ if is_flag => Err("true or false"),
        Value::Integer(count @ 0..=3) if is_count => Ok(vec![option.into(); count as usize]),
        _ if is_count => Err("a number from 0 to 3"),
        Value::String(text) => Ok(vec![with(text)]),
        Value::Integer(number) => Ok(vec![with(number.to_string())]),
        Value::Array(values) => values
            .into_iter()
            .map(|value| text(value).map(with))
            .collect(),
        Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Table(_) => {
            Err("text in quotes, a whole number, or a list of texts")
        }
    }
}

fn text(value: Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) => Ok(text),
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table(_) => Err("texts in quotes"),
    }
}

/// Names the file where the fault is in what it says.
fn blame(error: clap::Error, keys: &[String], path: &Path) -> OptionsError {
    let about = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    let about = about.as_deref().and_then(|about| about.split(' ').next());
    let key = about.map(|option| option.trim_start_matches('-').replace('-', "_"));
    match key.filter(|key| keys.contains(key)) {
        Some(key) => OptionsError::Value {
            path: path.to_owned(),
            key,
            cause: match (
                std::error::Error::source(&error),
                error.get(ContextKind::ValidValue),
            ) {
                (Some(source), _) => source.to_string(),
                (None, Some(values)) => format!("expected one of {values}"),
                (None, None) => error.kind().to_string(),
            },
        },
        None => OptionsError::Arguments(error),
    }
}

fn nearest(unknown: &str) -> String {
    let likeness = |key: &String| strsim::jaro_winkler(unknown, key);
    let nearest = (known_keys().into_iter()).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|key| likeness(key) >= ALIKE) {
        Some(key) => format!("did you mean `{key}`?"),
        None => format!("there are {}", known_keys().join(", ")),
    }
}

/// All keys that a file may have.
fn known_keys() -> Vec<String> {
    let mut command: Command = Options::command();
    command.build();
    let names = command.get_arguments().map(|arg| arg.get_id().to_string());
    let elsewhere = ["help", "version", "config"];
    names
        .filter(|name| !elsewhere.contains(&name.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use peerway_proto::SecretKey;

    use super::*;
    use crate::cli::ByteCount;

    const SAMPLE: &str = include_str!("../../peerway-relay.toml");

    #[expect(
        clippy::unwrap_in_result,
        reason = "the test ends where it cannot write"
    )]
    fn load(text: &str, more: &[&str]) -> Result<Options, OptionsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.toml");
        fs::write(&path, text).unwrap();
        let mut args = vec![
            OsString::from("peerway-relay"),
            "--config".into(),
            path.into(),
        ];
        args.extend(more.iter().map(OsString::from));
        Options::load(&args)
    }

    fn complaint(text: &str) -> String {
        load(text, &["--state-dir", "x"]).unwrap_err().to_string()
    }

    #[test]
    fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
        let file = "state_dir = \"x\"\nclient_rate = \"5M\"\nclients = 7\ntrusted_proxies = [\"192.0.2.1\", \"192.0.2.2\"]";
        let options = load(file, &["--clients", "9"]).unwrap();
        assert_eq!(options.state_dir, Some(PathBuf::from("x")));
        assert_eq!(options.client_rate, ByteCount(5 << 20));
        assert_eq!(options.pair_rate, ByteCount(64 << 20));
        assert_eq!(options.clients, 9);
        assert_eq!(options.trusted_proxies.len(), 2);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let said = complaint("client_rat = \"5M\"");
        assert!(
            said.contains("`client_rat`; did you mean `client_rate`?"),
            "{said}"
        );
        let said = complaint("zzz = 1");
        assert!(said.contains("there are bind, state_dir"), "{said}");
    }

    #[test]
    fn a_bad_value_is_named_with_its_file_key_and_form() {
        for (text, expected) in [
            (
                "client_rate = \"fast\"",
                "relay.toml: `client_rate`: expected a number of bytes",
            ),
            ("client_rate = 1.5", "`client_rate` takes text in quotes"),
            ("json = 1", "`json` takes true or false"),
            ("clients = 0", "`clients`: expected a whole number from 1"),
            (
                "log_format = \"x\"",
                "`log_format`: expected one of text, json",
            ),
            ("verbose = 9", "`verbose` takes a number from 0 to 3"),
            ("tls_cert = \"a\"", "--tls-key"),
            ("bind = ", "is not TOML"),
            (
                "allow = []",
                "`allow` names nobody, without it everybody is served",
            ),
            ("allow = []\ninvited_only = false", "`allow` names nobody"),
        ] {
            let said = complaint(text);
            assert!(said.contains(expected), "{text}: {said}");
        }
        let long = complaint(&"#".repeat(1 + MAX_LEN as usize));
        assert!(long.contains("longer than a configuration"), "{long}");
        let missing = Options::load(&["x".into(), "--config=/nowhere/relay.toml".into()]);
        assert!(matches!(missing, Err(OptionsError::Read { .. })));
    }

    #[test]
    fn a_list_of_nobody_lets_nobody_in_but_who_is_invited() {
        let empty = "state_dir = \"x\"\nallow = []";
        for (text, more) in [
            (format!("{empty}\ninvited_only = true"), &[][..]),
            (empty.to_owned(), &["--invited-only"]),
        ] {
            assert!(!load(&text, more).unwrap().access().is_open(), "{text}");
        }
        let key = format!("--allow={}", SecretKey::from_seed(&[7; 32]).id());
        assert!(!load(empty, &[&key]).unwrap().access().is_open());
    }

    #[test]
    fn the_sample_has_every_key_and_says_the_defaults() {
        let plain = load("", &["--state-dir", "x"]).unwrap();
        assert_eq!(
            load(SAMPLE, &["--state-dir", "x"]).unwrap().values(),
            plain.values()
        );
        let uncommented: String = SAMPLE
            .lines()
            .map(|line| {
                line.strip_prefix('#')
                    .filter(|rest| !rest.starts_with(' '))
                    .unwrap_or(line)
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let table: Table = uncommented.parse().unwrap();
        for key in known_keys() {
            assert!(table.contains_key(&key), "{key}");
        }
        assert!(load(&uncommented, &[]).is_ok());
    }

    #[test]
    fn a_relay_that_runs_is_drained_though_its_file_has_a_mistake() {
        for (line, needs) in [
            ("relay", true),
            ("relay --state-dir folder", true),
            ("relay status", true),
            ("relay --state-dir folder drain --within 5m", false),
        ] {
            let command = Options::command().ignore_errors(true);
            let said = command.try_get_matches_from(line.split(' ')).unwrap();
            assert_eq!(needs_file(&said), needs, "{line}");
        }
    }
}
