//! What is kept as TOML, read with the line of what is wrong in it.

use std::{collections::BTreeMap, ops, path::Path};

use toml_edit::{Document, Item, TableLike};

use super::{
    Exposure, Kept, LimitError, LimitPart, LinkTerms, Local, MAX_OF_A_KIND, Range, Remote,
    UploadLimit, WatchTerms, Whom,
};
use crate::{
    book::Name,
    toml::{line_of, span_of},
};

pub(super) const EXPOSE: &str = "expose";
pub(super) const TARGET: &str = "target";
pub(super) const ALLOW: &str = "allow";
pub(super) const LIMIT: &str = "limit";
pub(super) const FORWARD: &str = "forward";
pub(super) const LINK: &str = "link";
pub(super) const ADVERTISE: &str = "advertise";
pub(super) const ACCEPT: &str = "accept";
pub(super) const SHARE: &str = "share";
pub(super) const LISTEN: &str = "listen";
pub(super) const WATCH: &str = "watch";
pub(super) const PUBLIC: &str = "public";
pub(super) const SEARCHABLE: &str = "searchable";

/// What cannot be understood, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {wrong}")]
pub(crate) struct Mistake {
    pub(super) line: usize,
    wrong: String,
}

/// What a text describes.
pub(super) fn parse(text: &str) -> Result<Kept, Mistake> {
    let document = Document::parse(text).map_err(|error| {
        let why = error.message().replace('\n', ", ");
        mistake(text, error.span(), format!("this is not TOML: {why}"))
    })?;
    let reader = Reader { text };
    let mut kept = Kept::default();
    let root: &dyn TableLike = document.as_table();
    for (key, item) in root.iter() {
        match key {
            EXPOSE => kept.expose = reader.exposed(item)?,
            FORWARD => kept.forward = reader.forwarded(item)?,
            LINK => kept.link = reader.linked(item)?,
            SHARE => kept.upload = reader.shared(item)?,
            WATCH => kept.watch = reader.watched(item)?,
            _ => {
                let known = "[expose.NAME], [forward.\"PEER/NAME\"], [link.PEER], [watch.\"FOLDER\"] and [share]";
                return Err(reader.unknown(root, key, known));
            }
        }
    }
    Ok(kept)
}

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn exposed(
        &self,
        item: &Item,
    ) -> Result<BTreeMap<peerway::services::tunnel::ServiceName, Exposure>, Mistake> {
        let expected = "expose is made of tables, [expose.NAME]";
        let mut exposed = BTreeMap::new();
        for (key, place, table) in self.tables(item, expected)? {
            let name = key.parse().map_err(|error| {
                self.wrong(
                    place.clone(),
                    format!("no service is called {key:?}: {error}"),
                )
            })?;
            let (mut target, mut allow, mut limit) = (None, Vec::new(), None);
            for (key, item) in table.iter() {
                match key {
                    TARGET => target = Some(self.parsed(TARGET, item)?),
                    ALLOW => allow = self.names(item)?,
                    LIMIT => limit = Some(self.parsed(LIMIT, item)?),
                    _ => return Err(self.unknown(table, key, "target, allow and limit")),
                }
            }
            let missing = || {
                let wrong = format!("{key} has no target = \"HOST:PORT\" or \"PORT\"");
                self.wrong(place.clone(), wrong)
            };
            let target = target.ok_or_else(missing)?;
            let exposure = Exposure {
                target,
                allow,
                limit,
            };
            exposed.insert(name, exposure);
        }
        Ok(exposed)
    }

    fn forwarded(&self, item: &Item) -> Result<BTreeMap<Remote, Local>, Mistake> {
        let expected = "forward is made of tables, [forward.\"PEER/NAME\"]";
        let mut forwarded = BTreeMap::<Remote, Local>::new();
        for (key, place, table) in self.tables(item, expected)? {
            let remote = key.parse::<Remote>();
            let remote = remote.map_err(|wrong| self.wrong(place.clone(), wrong))?;
            let mut listen = None;
            for (key, item) in table.iter() {
                match key {
                    LISTEN => listen = Some((self.parsed::<Local>(LISTEN, item)?, item.span())),
                    _ => return Err(self.unknown(table, key, LISTEN)),
                }
            }
            let missing = || {
                let wrong = format!("{key} has no listen = \"IP:PORT\" or \"PORT\"");
                self.wrong(place.clone(), wrong)
            };
            let (listen, span) = listen.ok_or_else(missing)?;
            if listen.is_any_port() {
                let wrong = "port 0 would be another one each time: name one that programs find";
                return Err(self.wrong(span, wrong.to_owned()));
            }
            if let Some((other, _)) = forwarded.iter().find(|(_, local)| **local == listen) {
                let wrong = format!("{listen} leads to {other} already: choose another address");
                return Err(self.wrong(span, wrong));
            }
            forwarded.insert(remote, listen);
        }
        Ok(forwarded)
    }

    fn linked(&self, item: &Item) -> Result<BTreeMap<Whom, LinkTerms>, Mistake> {
        let expected = "link is made of tables, [link.PEER]";
        let mut linked = BTreeMap::new();
        for (key, place, table) in self.tables(item, expected)? {
            let whom = key.parse().map_err(|wrong| self.wrong(place, wrong))?;
            let mut terms = LinkTerms::default();
            for (key, item) in table.iter() {
                match key {
                    ADVERTISE => terms.advertise = self.ranges(ADVERTISE, item)?,
                    ACCEPT => terms.accept = self.ranges(ACCEPT, item)?,
                    _ => return Err(self.unknown(table, key, "advertise and accept")),
                }
            }
            linked.insert(whom, terms);
        }
        Ok(linked)
    }

    /// One, or a list of them.
    fn ranges(&self, key: &str, item: &Item) -> Result<Vec<Range>, Mistake> {
        let texts: Option<Vec<_>> = match (item.as_str(), item.as_array()) {
            (Some(one), _) => Some(vec![one]),
            (None, Some(several)) => several.iter().map(|it| it.as_str()).collect(),
            (None, None) => None,
        };
        let kind = || {
            let wrong = format!("{key} is a range in quotes, or a list of them in brackets");
            self.wrong(item.span(), wrong)
        };
        let parsed = |text: &str| {
            let range = text.parse::<Range>();
            range.map_err(|why| self.wrong(item.span(), format!("{key}: {text:?}: {why}")))
        };
        texts.ok_or_else(kind)?.into_iter().map(parsed).collect()
    }

    fn watched(&self, item: &Item) -> Result<BTreeMap<String, WatchTerms>, Mistake> {
        let expected = "watch is made of tables, [watch.\"FOLDER\"]";
        let mut watched = BTreeMap::new();
        for (folder, place, table) in self.tables(item, expected)? {
            if !Path::new(folder).is_absolute() {
                let wrong = format!("{folder:?} may be anywhere: write its path from the root on");
                return Err(self.wrong(place, wrong));
            }
            let mut terms = WatchTerms::default();
            for (key, item) in table.iter() {
                let yes_or_no = || {
                    let wrong = format!("{key} is true or false, without quotes");
                    item.as_bool().ok_or_else(|| self.wrong(item.span(), wrong))
                };
                match key {
                    PUBLIC => terms.public = yes_or_no()?,
                    SEARCHABLE => terms.searchable = yes_or_no()?,
                    _ => return Err(self.unknown(table, key, "public and searchable")),
                }
            }
            watched.insert(folder.to_owned(), terms);
        }
        Ok(watched)
    }

    fn shared(&self, item: &Item) -> Result<UploadLimit, Mistake> {
        let kind = |item: &Item| {
            let wrong = "share is a table, [share], with a limit in quotes, or a list of them";
            self.wrong(item.span(), wrong.to_owned())
        };
        let table = item.as_table_like().ok_or_else(|| kind(item))?;
        let mut parts = Vec::new();
        let mut whole = item;
        for (key, item) in table.iter() {
            if key != LIMIT {
                return Err(self.unknown(table, key, LIMIT));
            }
            whole = item;
            let texts: Option<Vec<_>> = match (item.as_str(), item.as_array()) {
                (Some(one), _) => Some(vec![one]),
                (None, Some(several)) => several.iter().map(|it| it.as_str()).collect(),
                (None, None) => None,
            };
            for text in texts.ok_or_else(|| kind(item))? {
                let part = text.parse::<LimitPart>();
                let wrong =
                    |error: LimitError| self.wrong(item.span(), format!("{text:?}: {error}"));
                parts.push(part.map_err(wrong)?);
            }
        }
        let limit = UploadLimit::of(parts);
        limit.map_err(|error| self.wrong(whole.span(), error.to_string()))
    }

    /// Each with its key and where that stands.
    #[expect(clippy::type_complexity, reason = "it is taken apart at once")]
    fn tables<'i>(
        &self,
        item: &'i Item,
        expected: &str,
    ) -> Result<Vec<(&'i str, Option<ops::Range<usize>>, &'i dyn TableLike)>, Mistake> {
        let kind = |item: &Item| self.wrong(item.span(), expected.to_owned());
        let all = item.as_table_like().ok_or_else(|| kind(item))?;
        if all.len() > MAX_OF_A_KIND {
            let wrong = format!("at most {MAX_OF_A_KIND} of a kind are kept: remove some");
            return Err(self.wrong(item.span(), wrong));
        }
        let each = all.iter().map(|(key, item)| {
            let place = span_of(all, key).or_else(|| item.span());
            let table = item.as_table_like().ok_or_else(|| kind(item))?;
            Ok((key, place, table))
        });
        each.collect()
    }

    fn parsed<T: std::str::FromStr<Err: ToString>>(
        &self,
        key: &str,
        item: &Item,
    ) -> Result<T, Mistake> {
        let text = item.as_str();
        let text = text.ok_or_else(|| self.wrong(item.span(), format!("{key} is text in quotes")));
        let parsed = text?.parse::<T>();
        parsed.map_err(|error| self.wrong(item.span(), format!("{key}: {}", error.to_string())))
    }

    /// One, or a list of them.
    fn names(&self, item: &Item) -> Result<Vec<Name>, Mistake> {
        let named = |text: &str| {
            let name = text.strip_prefix('@').unwrap_or(text).parse::<Name>();
            name.map_err(|why| self.wrong(item.span(), format!("nobody is called {text:?}: {why}")))
        };
        if let Some(one) = item.as_str() {
            return Ok(vec![named(one)?]);
        }
        let kind = || {
            let wrong = "allow is a name in quotes, or a list of them in brackets";
            self.wrong(item.span(), wrong.to_owned())
        };
        let list = item.as_array().ok_or_else(kind)?;
        if list.is_empty() {
            let wrong = "allow = [] would let in everybody whom the node lets in: name somebody, or leave it out";
            return Err(self.wrong(item.span(), wrong.to_owned()));
        }
        list.iter()
            .map(|value| named(value.as_str().ok_or_else(kind)?))
            .collect()
    }

    fn unknown(&self, table: &dyn TableLike, key: &str, known: &str) -> Mistake {
        let wrong = format!("there is no key {key:?} here; there are {known}");
        self.wrong(span_of(table, key), wrong)
    }

    fn wrong(&self, span: Option<ops::Range<usize>>, wrong: String) -> Mistake {
        mistake(self.text, span, wrong)
    }
}

fn mistake(text: &str, span: Option<ops::Range<usize>>, wrong: String) -> Mistake {
    let line = line_of(text, span);
    Mistake { line, wrong }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_inline_tables_and_dotted_keys_say_the_same() {
        let table = "[expose.web]\ntarget = \"8080\"\nallow = [\"anna\", \"@family\"]\n[forward.\"nas/web\"]\nlisten = \"9000\"\n";
        let inline = "[expose]\nweb = { target = \"127.0.0.1:8080\", allow = [\"anna\", \"family\"] }\n[forward]\n\"nas/web\" = { listen = \"127.0.0.1:9000\" }\n";
        let dotted = "expose.web.target = \"tcp://8080\"\nexpose.web.allow = [\"anna\", \"family\"]\nforward.\"nas/web\".listen = \":9000\"\n";
        let kept = parse(table).unwrap();
        assert_eq!((kept.expose.len(), kept.forward.len()), (1, 1));
        assert_eq!(parse(inline).as_ref(), Ok(&kept));
        assert_eq!(parse(dotted).as_ref(), Ok(&kept));
        assert_eq!(parse(""), Ok(Kept::default()));
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_what_to_do() {
        let web = "# mine\n[expose.web]\ntarget = \"8080\"\n";
        let many: String = (0..=MAX_OF_A_KIND)
            .map(|at| format!("[expose.a{at}]\ntarget = \"80\"\n"))
            .collect();
        let cases = [
            ("expose = \n".to_owned(), 1, "not TOML"),
            ("serve = 1\n".to_owned(), 1, "no key \"serve\""),
            ("expose = 3\n".to_owned(), 1, "[expose.NAME]"),
            ("[expose]\nweb = 3\n".to_owned(), 2, "[expose.NAME]"),
            ("[expose.web]\n".to_owned(), 1, "no target"),
            ("[expose.\"a b\"]\ntarget = \"80\"\n".to_owned(), 1, "' '"),
            (
                "[expose.web]\ntarget = 80\n".to_owned(),
                2,
                "text in quotes",
            ),
            (
                "[expose.web]\ntarget = \"nas\"\n".to_owned(),
                2,
                "HOST:PORT",
            ),
            (
                format!("{web}alow = \"anna\"\n"),
                4,
                "target, allow and limit",
            ),
            (format!("{web}allow = 3\n"), 4, "in brackets"),
            (format!("{web}allow = [3]\n"), 4, "in brackets"),
            (format!("{web}allow = []\n"), 4, "leave it out"),
            (format!("{web}allow = \"a/b\"\n"), 4, "'/'"),
            ("[forward.web]\nlisten = \"1\"\n".to_owned(), 1, "PEER/NAME"),
            ("[forward.\"nas/web\"]\n".to_owned(), 1, "no listen"),
            (
                "[forward.\"nas/web\"]\nlisten = \"0\"\n".to_owned(),
                2,
                "port 0",
            ),
            (
                "[forward.\"nas/web\"]\nlisten = \"x\"\n".to_owned(),
                2,
                "unix:/PATH",
            ),
            (
                "[forward.\"PEERWAY1A/web\"]\nlisten = \"1\"\n".to_owned(),
                1,
                "ticket",
            ),
            (
                "[forward.\"PEERWAY1A+B/web\"]\nlisten = \"1\"\n".to_owned(),
                1,
                "invitation",
            ),
            (
                "[forward.\"-/web\"]\nlisten = \"1\"\n".to_owned(),
                1,
                "is no peer",
            ),
            (
                "[forward.\"a/web\"]\nlisten = \"1\"\n[forward.\"b/web\"]\nlisten = \":1\"\n"
                    .to_owned(),
                4,
                "leads to a/web already",
            ),
            (many, 1, "at most 256"),
        ];
        for (text, line, told) in cases {
            let mistake = parse(&text).unwrap_err();
            let said = mistake.to_string();
            assert!(said.contains(told), "{text}: {said}");
            assert_eq!(mistake.line, line, "{text}: {said}");
        }
    }

    #[test]
    fn a_watched_folder_is_named_from_the_root_on_and_for_whom_it_is_by_true_or_false() {
        let own = "[watch.\"/srv/films\"]\n";
        let kept = parse(&format!("{own}public = true\n")).unwrap();
        let terms = WatchTerms {
            public: true,
            searchable: false,
        };
        assert_eq!(kept.watch, [("/srv/films".to_owned(), terms)].into());
        for (text, line, told) in [
            ("watch = 3\n".to_owned(), 1, "[watch.\"FOLDER\"]"),
            ("[watch.films]\n".to_owned(), 1, "from the root on"),
            (format!("{own}public = \"yes\"\n"), 2, "true or false"),
            (format!("{own}open = true\n"), 2, "public and searchable"),
        ] {
            let mistake = parse(&text).unwrap_err();
            let said = mistake.to_string();
            assert!(said.contains(told), "{text}: {said}");
            assert_eq!(mistake.line, line, "{text}: {said}");
        }
    }

    #[test]
    fn a_link_is_with_a_peer_and_a_mistake_in_it_is_named_with_its_line() {
        let nas = "[link.nas]\n";
        let kept = parse(&format!(
            "{nas}advertise = \"192.168.7.0/24\"\naccept = [\"10.0.0.0/8\", \"10.1.2.3\"]\n[link.\"Anna's nas\"]\n"
        ));
        let kept = kept.unwrap();
        let terms = &kept.link[&"nas".parse().unwrap()];
        assert_eq!((terms.advertise.len(), terms.accept.len()), (1, 2));
        let plain = &kept.link[&"Anna's nas".parse().unwrap()];
        assert_eq!(*plain, LinkTerms::default());
        for (text, line, told) in [
            ("link = 3\n".to_owned(), 1, "[link.PEER]"),
            ("[link]\nnas = 3\n".to_owned(), 2, "[link.PEER]"),
            ("[link.\"a/b\"]\n".to_owned(), 1, "is no peer"),
            ("[link.PEERWAY1A]\n".to_owned(), 1, "ticket"),
            (format!("{nas}advertise = 3\n"), 2, "in brackets"),
            (format!("{nas}accept = [3]\n"), 2, "in brackets"),
            (format!("{nas}allow = \"a\"\n"), 2, "advertise and accept"),
        ] {
            let mistake = parse(&text).unwrap_err();
            let said = mistake.to_string();
            assert!(said.contains(told), "{text}: {said}");
            assert_eq!(mistake.line, line, "{text}: {said}");
        }
    }

    #[cfg(all(feature = "subnet", target_os = "linux"))]
    #[test]
    fn a_range_that_cannot_be_linked_is_a_mistake() {
        let nas = "[link.nas]\n";
        for (text, told) in [
            ("advertise = \"0.0.0.0/0\"", "default route"),
            ("accept = [\"10.0.0.0/8\", \"::/0\"]", "default route"),
            ("accept = \"127.0.0.0/8\"", "within one computer"),
            ("accept = \"10.0.0.0/99\"", "as in 192.168.7.0/24"),
        ] {
            let mistake = parse(&format!("{nas}{text}\n")).unwrap_err();
            let said = mistake.to_string();
            assert!(said.contains(told), "{text}: {said}");
            assert_eq!(mistake.line, 2, "{text}: {said}");
        }
    }

    #[test]
    fn a_mistake_in_a_limit_is_named_with_its_line_and_what_to_do() {
        let web = "[expose.web]\ntarget = \"8080\"\n";
        for (text, line, told) in [
            (format!("{web}limit = \"20\"\n"), 3, "as in 500kbit"),
            (format!("{web}limit = 20\n"), 3, "text in quotes"),
            ("share = 3\n".to_owned(), 1, "[share]"),
            ("[share]\nrate = 3\n".to_owned(), 2, "no key \"rate\""),
            ("[share]\nlimit = 3\n".to_owned(), 2, "a list of them"),
            (
                "[share]\nlimit = \"8-9=1mbit\"\n".to_owned(),
                2,
                "times of the day",
            ),
            (
                "[share]\nlimit = [\"1mbit\", \"2mbit\"]\n".to_owned(),
                2,
                "leave one out",
            ),
        ] {
            let mistake = parse(&text).unwrap_err();
            let said = mistake.to_string();
            assert!(said.contains(told), "{text}: {said}");
            assert_eq!(mistake.line, line, "{text}: {said}");
        }
    }
}
