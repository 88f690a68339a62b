//! Answers for people.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::Request;
use crate::cli::bytes;

/// What of a status operators look for; what was dropped and why comes after it.
const FIRST: [&str; 7] = [
    "url",
    "clients",
    "tcp_clients",
    "channels",
    "month_bytes",
    "client_volume",
    "relay_volume",
];

/// Prints an answer, as one JSON object or for people.
pub(crate) fn print(request: &Request, answer: Map<String, Value>, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        return writeln!(out, "{}", Value::Object(answer));
    }
    if answer.get("written") == Some(&Value::Bool(false)) {
        writeln!(
            io::stderr(),
            "warning: the relay cannot write this to its disk, so it holds until it is started again"
        )?;
    }
    match request {
        Request::Status => status(&mut out, answer),
        Request::Drain { within_s, to } => {
            let place = to.as_ref().map(|_| text(&answer, "to"));
            let place = place.map_or(String::new(), |to| format!(" for {to}"));
            writeln!(
                out,
                "The relay stops when its clients have left{place}, after {within_s} s at most."
            )
        }
        Request::Invite { .. } => {
            if answer.get("open") == Some(&Value::Bool(true)) {
                writeln!(
                    io::stderr(),
                    "warning: this relay serves everybody; set invited_only = true, or list keys to allow"
                )?;
            }
            writeln!(out, "{}", text(&answer, "url"))
        }
        Request::Invites => invites(&mut out, &answer),
        Request::Revoke { .. } => writeln!(out, "Revoked."),
    }
}

fn text<'a>(answer: &'a Map<String, Value>, name: &str) -> &'a str {
    answer.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(answer: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    let list = answer.get(name).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

fn status(out: &mut impl Write, mut answer: Map<String, Value>) -> io::Result<()> {
    let first = FIRST.map(|name| answer.remove_entry(name));
    for (name, value) in first.into_iter().flatten().chain(answer) {
        let name = name.replace('_', " ");
        match value {
            Value::Array(talkers) => {
                for talker in talkers {
                    writeln!(out, "{name:<20}{}", self::talker(&talker))?;
                }
            }
            Value::Null => writeln!(out, "{name:<20}no limit")?,
            Value::String(text) => writeln!(out, "{name:<20}{text}")?,
            Value::Number(count) if is_of_bytes(&name) => {
                let count = count.as_u64().unwrap_or_default();
                writeln!(out, "{name:<20}{}", bytes(count))?;
            }
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                writeln!(out, "{name:<20}{value}")?;
            }
        }
    }
    Ok(())
}

fn is_of_bytes(name: &str) -> bool {
    name.ends_with("bytes") || name.ends_with("volume")
}

fn talker(value: &Value) -> String {
    let number = |name: &str| value[name].as_u64().unwrap_or_default();
    let rate = bytes(number("bytes_per_second"));
    match value["keys"].as_array() {
        Some(keys) => {
            let keys: Vec<_> = keys.iter().filter_map(Value::as_str).collect();
            format!("{rate}/s  {}", keys.join(" "))
        }
        None => {
            let key = value["key"].as_str().unwrap_or_default();
            let month = bytes(number("month_bytes"));
            format!("{rate}/s  {key}  {month} this month")
        }
    }
}

fn invites(out: &mut impl Write, answer: &Map<String, Value>) -> io::Result<()> {
    let invites = list(answer, "invites");
    if invites.is_empty() {
        return writeln!(out, "There are no invitations.");
    }
    for invite in invites {
        let uses = match (&invite["revoked"], invite["uses_left"].as_u64()) {
            (Value::Bool(true), _) => "revoked".to_owned(),
            (_, Some(uses)) => format!("{uses} uses left"),
            (_, None) => "any number of uses".to_owned(),
        };
        let end = match invite["expires_in_s"].as_u64() {
            Some(0) => ", expired".to_owned(),
            Some(seconds) => format!(", for {} more hours", seconds.div_ceil(3600)),
            None => String::new(),
        };
        writeln!(
            out,
            "{}  {uses}{end}",
            invite["id"].as_str().unwrap_or_default()
        )?;
        for key in invite["members"].as_array().into_iter().flatten() {
            writeln!(out, "    {}", key.as_str().unwrap_or_default())?;
        }
    }
    Ok(())
}
