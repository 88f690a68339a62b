//! Two news servers that feed each other: INN at either home, whose innfeed hands on each article as it comes.

use std::{collections::BTreeSet, fs, process::Command};

use peerway_lab as lab;

use super::{
    back::forward_back,
    homes::{BUDGET, Home, Homes, Program, need, until},
    python::PYTHON,
};

/// Where `.ci/install` unpacks what Debian installs with a mail server alone.
const INN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/unpacked/usr/lib/news"
);
const PORT: &str = "1119";
/// What is written before the other server is there.
const KEPT: usize = 5;
/// What each writes while both are.
const COUNT: usize = 60;
const CONFIG: &str = r#"
mta: "/bin/true %s"
organization: lab
doinnwatch: false
hismethod: hisv6
ovmethod: tradindexed
runasuser: news
runasgroup: news
pathhost: NAME.example
domain: NAME.example
server: ADDR
bindaddress: ADDR
port: 1119
pathnews: INN
pathbin: INN/bin
pathspool: FOLDER/spool
pathdb: FOLDER
pathetc: FOLDER
pathrun: FOLDER
pathlog: FOLDER
pathtmp: FOLDER
"#;
/// Groups, with what innd ends without. The numbers are changed in place: without zeros there would be no room for a tenth article.
const ACTIVE: &str = "\
control 0000000000 0000000001 n
control.cancel 0000000000 0000000001 n
junk 0000000000 0000000001 n
lab.talk 0000000000 0000000001 y
";
/// Everybody here may read and post.
const READERS: &str = r#"
auth "all" { hosts: "*" default: "<all>" }
access "all" { users: "<all>" newsgroups: "*" access: RP }
"#;
const FEED: &str = "
pid-file: innfeed.pid
log-file: innfeed.log
backlog-directory: FOLDER/spool/innfeed
initial-reconnect-time: 1
max-reconnect-time: 1
peer other { ip-name: GATE port-number: 1119 }
";
/// Writes so many articles, twenty a second, or reads until so many of somebody are there.
const CLIENT: &str = r#"
import nntplib, sys, time
verb, server, name, first, end = sys.argv[1:]
news = nntplib.NNTP(server, 1119, readermode=True)
def body(name, at):
    return ["%s wrote line %d of article %d" % (name, line, int(at)) for line in range(100)]
if verb == "post":
    for at in range(int(first), int(end)):
        head = ["From: %s@example.org" % name, "Newsgroups: lab.talk", "Subject: %s %d" % (name, at), ""]
        news.post([line.encode() for line in head + body(name, at)])
        time.sleep(0.05)
else:
    known, found = 0, 0
    while found < int(end):
        last = news.group("lab.talk")[3]
        for number in range(known + 1, last + 1):
            lines = [line.decode() for line in news.article(number)[1].lines]
            split = lines.index("")
            author, at = next(line for line in lines if line.startswith("Subject: ")).split()[1:]
            if author == name:
                assert lines[split + 1:] == body(name, at)
                found += 1
                print("article", at, flush=True)
        known = max(known, last)
        time.sleep(0.1)
"#;

#[test]
#[ignore = "needs inn2, unpacked by .ci/install"]
fn two_news_servers_hand_on_every_article_once_where_the_direct_path_is_cut() {
    need(&[("python3", "python3")]);
    let innd = format!("{INN}/bin/innd");
    assert!(
        fs::exists(&innd).unwrap(),
        "`{innd}` is missing: run .ci/install"
    );
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, laptop) = (&homes.attic, &homes.laptop);
        for home in [attic, laptop] {
            configure(home);
        }
        let exposed = [attic, laptop].map(|home| home.expose(&[&format!("news={PORT}")]));
        let there = attic.forward(&exposed[1], "news", PORT);
        let _back = forward_back(laptop, attic, "news", PORT);

        let _attic = serve(attic);
        client(attic, "post", "ann", 0..KEPT).finish();
        let _laptop = serve(laptop);
        let reads = client(laptop, "read", "ann", 0..KEPT + COUNT);
        reads.until_said(&format!("article {}\n", KEPT - 1));

        let back = client(attic, "read", "bob", 0..COUNT);
        let posts = [
            client(attic, "post", "ann", KEPT..KEPT + COUNT),
            client(laptop, "post", "bob", 0..COUNT),
        ];
        until("a third has come each way", || {
            articles(&reads.said()).len() > KEPT + COUNT / 3
                && articles(&back.said()).len() > COUNT / 3
        });
        homes.cut();
        there.until_path("relay");
        for posts in posts {
            posts.finish();
        }
        for (reads, count) in [(reads, KEPT + COUNT), (back, COUNT)] {
            let read = articles(&reads.finish());
            assert_eq!(read.len(), count, "each once");
            let all: BTreeSet<_> = read.into_iter().collect();
            assert_eq!(all, (0..count).collect());
        }
        homes.assert_carried((2 * COUNT * 3000) as u64);
    });
}

/// A server's folder, with an empty history and spool.
fn configure(home: &Home) {
    let folder = home.folder.to_str().unwrap();
    let (addr, gate) = (home.room.addr().to_string(), home.room.gate().to_string());
    let fill = |text: &str| {
        text.replace("FOLDER", folder)
            .replace("INN", INN)
            .replace("ADDR", &addr)
            .replace("GATE", &gate)
            .replace("NAME", home.name)
    };
    for name in ["incoming", "outgoing", "innfeed", "articles", "overview"] {
        fs::create_dir_all(home.folder.join("spool").join(name)).unwrap();
    }
    let files = [
        ("inn.conf", CONFIG),
        ("active", ACTIVE),
        ("readers.conf", READERS),
        ("innfeed.conf", FEED),
        ("incoming.conf", "peer other { hostname: GATE }\n"),
        (
            "storage.conf",
            "method tradspool { newsgroups: * class: 0 }\n",
        ),
        ("expire.ctl", "/remember/:11\n*:A:1:10:never\n"),
        ("control.ctl", "all:*:drop\n"),
        (
            "newsfeeds",
            "ME:!*::\ninnfeed!:!*:Tc,Wnm*:INN/bin/innfeed\nother:*,!junk,!control*:Tm:innfeed!\n",
        ),
    ];
    for (name, text) in files {
        home.write(name, fill(text));
    }
    for name in ["active.times", "newsgroups", "history", "localgroups"] {
        home.write(name, "");
    }
    let history = home.folder.join("history");
    let index = ["-i", "-o", "-f", history.to_str().unwrap()];
    let indexed = as_news(home, "makedbz", &index).status().unwrap();
    assert!(indexed.success());
}

/// Its server, which becomes `news` and nobody else, who is the one user of a namespace.
fn serve(home: &Home) -> Program {
    let server = home.start_command("innd", as_news(home, "innd", &["-d"]));
    let control = home.folder.join("control");
    until("innd is there", || control.exists());
    server
}

/// One of INN's programs.
fn as_news(home: &Home, program: &str, arguments: &[&str]) -> Command {
    let mut command = home.command("unshare");
    command
        .args(["--user", "--map-user=news", "--map-group=news"])
        .arg(format!("{INN}/bin/{program}"))
        .args(arguments)
        .env("INNCONF", home.folder.join("inn.conf"))
        .env("LD_LIBRARY_PATH", INN);
    command
}

/// Who writes or reads at the server of the same home.
fn client(home: &Home, verb: &str, name: &str, articles: std::ops::Range<usize>) -> Program {
    let server = home.room.addr().to_string();
    let ends = [articles.start, articles.end].map(|end| end.to_string());
    let who = [verb, &server, name, &ends[0], &ends[1]];
    let line = [&["-W", "ignore", "-c", CLIENT], &who[..]].concat();
    home.start(PYTHON, &line)
}

/// What has been read so far.
fn articles(said: &str) -> Vec<usize> {
    let lines = said
        .lines()
        .filter_map(|line| line.strip_prefix("article "));
    lines.map(|number| number.parse().unwrap()).collect()
}
