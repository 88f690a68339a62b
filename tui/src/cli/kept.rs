//! `peerway expose`, `peerway forward` and `peerway link` with add, list and remove, and `peerway share --watch`: what `peerway up` serves
//! whenever it runs.

mod linked;

use std::{fs, path::Path};

use serde::Serialize;

#[cfg(all(feature = "subnet", target_os = "linux"))]
pub(super) use self::linked::link;
pub(super) use self::linked::linked_row;
#[cfg(unix)]
use super::attach;
use super::{
    args::{ExposeAction, ForwardAction, Globals, ShareArgs},
    expose::{exposures, hint_at_strangers},
    failure::Failure,
    out,
    state::StateDir,
};
use crate::dash::format;
use crate::kept::{
    ExposeLine, ForwardLine, Kept, KeptFile, KeptLines, State, UploadLimit, UploadLine, WatchLine,
    WatchTerms,
};

pub(super) async fn expose(globals: &Globals, action: &ExposeAction) -> Result<(), Failure> {
    let file = StateDir::open(globals)?.kept();
    match action {
        ExposeAction::Add(args) => {
            let exposures = exposures(&args.servers, &[], &args.terms)?;
            hint_at_strangers(&args.terms, &StateDir::open(globals)?.names());
            file.change(|draft| {
                let mut each = exposures.iter();
                each.try_for_each(|(name, exposure)| draft.expose(name, exposure))
            })?;
            let names: Vec<_> = exposures.iter().map(|(name, _)| name.as_str()).collect();
            let mut lines = in_force(globals, &file).await?.expose;
            lines.retain(|line| names.contains(&&line.name[..]));
            print_exposed(globals, &lines)
        }
        ExposeAction::List => {
            let lines = all(globals, &file).await?.expose;
            if lines.is_empty() && !globals.json {
                let text = "nothing is exposed whenever `peerway up` runs: `peerway expose add NAME=SERVER` has it be so";
                return Ok(out::text(text)?);
            }
            print_exposed(globals, &lines)
        }
        ExposeAction::Remove { names } => {
            let before = file.change(|draft| {
                let each = names.iter();
                let each = each.map(|name| Ok((name.clone(), draft.conceal(name)?)));
                each.collect::<Result<_, _>>()
            })?;
            in_force(globals, &file).await?;
            let removed = Kept {
                expose: before,
                ..Kept::default()
            };
            for line in KeptLines::from(&removed).expose {
                said(globals, &line, format!("{} is exposed no more", line.name))?;
            }
            Ok(())
        }
    }
}

pub(super) async fn forward(globals: &Globals, action: &ForwardAction) -> Result<(), Failure> {
    let file = StateDir::open(globals)?.kept();
    match action {
        ForwardAction::Add { service, listen } => {
            if listen.is_any_port() {
                return Err(Failure::AnyPort);
            }
            file.change(|draft| draft.forward(service, listen))?;
            let service = service.to_string();
            let mut lines = in_force(globals, &file).await?.forward;
            lines.retain(|line| line.service == service);
            print_forwarded(globals, &lines)
        }
        ForwardAction::List => {
            let lines = all(globals, &file).await?.forward;
            if lines.is_empty() && !globals.json {
                let text = "nothing is forwarded whenever `peerway up` runs: `peerway forward add PEER/NAME --listen ADDR` has it be so";
                return Ok(out::text(text)?);
            }
            print_forwarded(globals, &lines)
        }
        ForwardAction::Remove { services } => {
            let before = file.change(|draft| {
                let each = services.iter();
                let each = each.map(|service| Ok((service.clone(), draft.unforward(service)?)));
                each.collect::<Result<_, _>>()
            })?;
            in_force(globals, &file).await?;
            let removed = Kept {
                forward: before,
                ..Kept::default()
            };
            for line in KeptLines::from(&removed).forward {
                let text = format!("{} leads to {} no more", line.listen, line.service);
                said(globals, &line, text)?;
            }
            Ok(())
        }
    }
}

/// What `share --limit` says, from now on.
pub(super) async fn limit_upload(globals: &Globals, limit: &UploadLimit) -> Result<(), Failure> {
    let file = StateDir::open(globals)?.kept();
    file.change(|draft| draft.limit_upload(limit))?;
    let line = in_force(globals, &file).await?.upload;
    if globals.json {
        return Ok(out::json(&UploadRecord {
            event: "limit",
            line,
        })?);
    }
    let words = upload_words(&line);
    let words = words.unwrap_or_else(|| "without a limit from now on".to_owned());
    Ok(out::text(format!("what is shared is sent {words}"))?)
}

/// What `share --watch` says, from now on.
pub(super) async fn watch(globals: &Globals, args: &ShareArgs) -> Result<(), Failure> {
    let folders = args.paths.iter().map(|path| watchable(path));
    let folders = folders.collect::<Result<Vec<_>, _>>()?;
    let terms = WatchTerms {
        public: args.public,
        searchable: args.searchable,
    };
    let file = StateDir::open(globals)?.kept();
    file.change(|draft| {
        let mut each = folders.iter();
        each.try_for_each(|folder| draft.watch(folder, terms))
    })?;
    let mut lines = in_force(globals, &file).await?.watch;
    lines.retain(|line| folders.contains(&line.folder));
    for line in lines {
        let text = watched_row(&line).join(" ");
        let event = "watching";
        said(globals, &WatchRecord { event, line }, text)?;
    }
    out::hint("`peerway ls` has the link once it is read; `peerway share --stop` ends it");
    Ok(())
}

fn watchable(path: &Path) -> Result<String, Failure> {
    let folder = fs::canonicalize(path).ok().filter(|it| it.is_dir());
    let folder = folder.and_then(|it| it.into_os_string().into_string().ok());
    folder.ok_or_else(|| Failure::NoFolder(path.to_owned()))
}

/// Watches no more what somebody means by a folder, its name, or as what it is shared; those that it was.
pub(super) async fn unwatch(
    globals: &Globals,
    is_meant: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Failure> {
    let file = StateDir::open(globals)?.kept();
    let mut meant: Vec<_> = file.read()?.watch.into_keys().collect();
    meant.retain(|folder| is_meant(folder));
    if meant.is_empty() {
        return Ok(meant);
    }
    file.change(|draft| {
        for folder in &meant {
            draft.unwatch(folder)?;
        }
        Ok(())
    })?;
    in_force(globals, &file).await?;
    Ok(meant)
}

#[derive(Serialize)]
struct WatchRecord {
    event: &'static str,
    #[serde(flatten)]
    line: WatchLine,
}

#[derive(Serialize)]
struct UploadRecord {
    event: &'static str,
    #[serde(flatten)]
    line: UploadLine,
}

/// How much is sent of what is shared; none if there is no limit.
pub(super) fn upload_words(line: &UploadLine) -> Option<String> {
    if line.limits.is_empty() {
        return None;
    }
    let limits = line.limits.iter().map(|limit| match limit.split_once('=') {
        Some((hours, rate)) => format!("{hours} up to {rate}"),
        None => format!("up to {limit}"),
    });
    let limits = limits.collect::<Vec<_>>().join(", ");
    let now = line.now.as_ref();
    let now = now.map_or_else(String::new, |now| format!("; now {now}"));
    Some(format!("{limits}{now}"))
}

/// As the node that runs here has it, once that is what the file says; without one, as the next one will.
async fn in_force(globals: &Globals, file: &KeptFile) -> Result<KeptLines, Failure> {
    #[cfg(unix)]
    if let Some(node) = attach::running(globals).await? {
        match node.reread_services().await {
            Ok(lines) => return Ok(lines),
            Err(error) => out::hint(format!(
                "the node that runs here does not serve it ({error}): the next `peerway up` will"
            )),
        }
        return Ok(KeptLines::from(&file.read()?));
    }
    out::hint("no node runs here: the next `peerway up` has it in force");
    Ok(KeptLines::from(&file.read()?))
}

/// The same as it is now.
async fn all(globals: &Globals, file: &KeptFile) -> Result<KeptLines, Failure> {
    #[cfg(unix)]
    if let Some(node) = attach::running(globals).await?
        && let Some(lines) = node.services().await?
    {
        if let Some(trouble) = &lines.trouble {
            out::hint(trouble);
        }
        return Ok(lines);
    }
    let kept = file.read()?;
    out::hint("no `peerway up` runs here: this is what the next one serves");
    Ok(KeptLines::from(&kept))
}

fn print_exposed(globals: &Globals, lines: &[ExposeLine]) -> Result<(), Failure> {
    if globals.json {
        return Ok(lines.iter().try_for_each(out::json)?);
    }
    let rows: Vec<_> = lines.iter().map(exposed_row).collect();
    Ok(out::aligned(&rows).iter().try_for_each(out::text)?)
}

fn print_forwarded(globals: &Globals, lines: &[ForwardLine]) -> Result<(), Failure> {
    if globals.json {
        return Ok(lines.iter().try_for_each(out::json)?);
    }
    let rows: Vec<_> = lines.iter().map(forwarded_row).collect();
    Ok(out::aligned(&rows).iter().try_for_each(out::text)?)
}

pub(super) fn exposed_row(line: &ExposeLine) -> Vec<String> {
    let mut whom = match &line.allow[..] {
        [] => "for whoever is let in".to_owned(),
        allow => format!("for {}", allow.join(", ")),
    };
    if let Some(limit) = &line.limit {
        whom.push_str(&format!(", up to {limit}"));
    }
    let mut how = how(line.state, line.reason.as_ref());
    if let Some(used) = used(line) {
        how.push_str(&format!(", {used}"));
    }
    vec![line.name.clone(), line.target.clone(), whom, how]
}

/// By how many a server is used now, and how much; none of one that nobody has used yet.
fn used(line: &ExposeLine) -> Option<String> {
    let by = match line.clients.len() {
        0 if line.received + line.sent == 0 => return None,
        0 => "used by nobody now".to_owned(),
        1 => "used by 1 peer".to_owned(),
        count => format!("used by {count} peers"),
    };
    let (received, sent) = (format::bytes(line.received), format::bytes(line.sent));
    Some(format!("{by}, {received} in, {sent} out"))
}

pub(super) fn forwarded_row(line: &ForwardLine) -> Vec<String> {
    let how = how(line.state, line.reason.as_ref());
    vec![line.service.clone(), format!("at {}", line.listen), how]
}

pub(super) fn watched_row(line: &WatchLine) -> Vec<String> {
    let mut whom = match line.public {
        true => "for whoever has a link".to_owned(),
        false => "for peers of the address book".to_owned(),
    };
    if line.searchable {
        whom.push_str(", who find it by its names");
    }
    whom.push(':');
    let how = match (line.state, line.hash) {
        (Some(State::Ready), Some(_)) => {
            let files = match line.files {
                1 => "1 file".to_owned(),
                files => format!("{files} files"),
            };
            let late = line.reason.as_ref();
            let late = late.map_or_else(String::new, |reason| format!("; {reason}"));
            format!("shared, {files}, {}{late}", format::bytes(line.bytes))
        }
        (Some(state), _) => how(Some(state), line.reason.as_ref()),
        (None, _) => "to be shared anew whenever it changes".to_owned(),
    };
    vec![line.folder.clone(), whom, how]
}

fn how(state: Option<State>, reason: Option<&String>) -> String {
    let word = match state {
        Some(State::Ready) => "ready",
        Some(State::Waiting) => "waiting",
        Some(State::Failed) => "failed",
        None => return String::new(),
    };
    match reason {
        Some(reason) => format!("{word}: {reason}"),
        None => word.to_owned(),
    }
}

fn said(globals: &Globals, line: &impl Serialize, text: String) -> Result<(), Failure> {
    match globals.json {
        true => Ok(out::json(line)?),
        false => Ok(out::text(text)?),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::documented::assert_keys, *};

    #[test]
    fn how_much_is_sent_of_what_is_shared_is_said() {
        let line = UploadLine {
            limits: vec!["08:00-23:00=2mbit".to_owned(), "20mbit".to_owned()],
            now: Some("2mbit".to_owned()),
        };
        let words = "08:00-23:00 up to 2mbit, up to 20mbit; now 2mbit";
        assert_eq!(upload_words(&line).as_deref(), Some(words));
        assert_eq!(upload_words(&UploadLine::default()), None);
        assert_keys(
            "share",
            &UploadRecord {
                event: "limit",
                line,
            },
        );
    }

    #[test]
    fn the_lines_keep_their_keys_and_say_what_is_in_the_way() {
        let exposed = ExposeLine {
            name: "web".to_owned(),
            target: "127.0.0.1:80".to_owned(),
            allow: vec!["anna".to_owned()],
            limit: Some("20mbit".to_owned()),
            state: Some(State::Ready),
            reason: None,
            clients: Vec::new(),
            received: 0,
            sent: 0,
        };
        let watched = WatchLine {
            folder: "/films".to_owned(),
            public: false,
            searchable: true,
            state: Some(State::Ready),
            reason: None,
            hash: Some(peerway_swarm::share::Hash::of(b"")),
            files: 1,
            bytes: 1000,
        };
        assert_eq!(
            watched_row(&watched).join(" "),
            "/films for peers of the address book, who find it by its names: shared, 1 file, 1.0 kB"
        );
        let event = "watching";
        let line = watched;
        assert_keys("share", &WatchRecord { event, line });
        let forwarded = ForwardLine {
            service: "nas/web".to_owned(),
            listen: "127.0.0.1:9000".to_owned(),
            state: Some(State::Failed),
            reason: Some("the port is taken".to_owned()),
        };
        assert_keys("expose list", &exposed);
        assert_keys("forward list", &forwarded);
        assert_eq!(
            exposed_row(&exposed)[2..],
            ["for anna, up to 20mbit", "ready"]
        );
        let used = ExposeLine {
            received: 2_000,
            sent: 30_000,
            ..exposed
        };
        assert_eq!(
            exposed_row(&used)[3],
            "ready, used by nobody now, 2.0 kB in, 30.0 kB out"
        );
        assert_eq!(
            forwarded_row(&forwarded)[1..],
            ["at 127.0.0.1:9000", "failed: the port is taken"]
        );
    }
}
