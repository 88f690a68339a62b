//! A game over TCP that both ends compute alike, and say so in each frame: OpenTTD. Its client is the real one, whose screen SDL
//! makes up.

use std::{cell::Cell, fs, path::Path};

use peerway_lab as lab;

use super::homes::{BUDGET, Home, Homes, Program, need, until};

const PORT: &str = "3979";
/// Its client does not start without pictures.
const PICTURES: &str = "/usr/share/games/openttd/baseset/opengfx";
/// A small map, and nothing that is told to a directory of servers.
const SERVER: &str = "
[network]
server_name = attic
server_game_type = local
client_name = keeper
[game_creation]
map_x = 6
map_y = 6
";
/// How many frames behind the server who keeps up may be: a third of a second.
const FRAMES_BEHIND: u32 = 10;
/// A map, twice.
const BYTES: u64 = 40_000;

#[test]
#[ignore = "needs openttd and openttd-opengfx"]
fn players_of_openttd_keep_up_and_keep_their_companies_where_the_direct_path_is_cut() {
    need(&[("openttd", "openttd")]);
    assert!(
        Path::new(PICTURES).exists(),
        "`{PICTURES}` is missing: install openttd-opengfx"
    );
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, laptop) = (&homes.attic, &homes.laptop);
        let server = Server::start(attic);
        let exposed = attic.expose(&[&format!("game={PORT}")]);
        let forward = laptop.forward(&exposed, "game", PORT);

        let ann = play(laptop, "ann");
        until("ann keeps up", || server.keeps_up("ann"));
        homes.cut();
        forward.until_path("relay");
        until("ann still keeps up", || server.keeps_up("ann"));
        let bob = play(laptop, "bob");
        until("bob keeps up", || server.keeps_up("bob"));
        assert!(server.keeps_up("ann"));

        let companies = server.tell("companies");
        assert_eq!(companies.matches("Company Name").count(), 2, "{companies}");
        for (player, company) in [("ann", 1), ("bob", 2)] {
            let joined = format!("{player} has joined the game");
            assert_eq!(server.program.said().matches(&joined).count(), 1);
            let owns = format!("name: '{player}'  company: {company}  ");
            assert!(server.tell("clients").contains(&owns), "{owns}");
        }
        drop((ann, bob));
        until("both are gone", || {
            let clients = server.tell("clients");
            !clients.contains("'ann'") && !clients.contains("'bob'")
        });
        homes.assert_carried(BYTES);
    });
}

/// The dedicated server and its console.
struct Server<'a> {
    home: &'a Home,
    program: Program,
    told: Cell<usize>,
}

impl<'a> Server<'a> {
    fn start(home: &'a Home) -> Self {
        home.write("openttd.cfg", SERVER);
        home.output("mkfifo", &["console"]);
        let addr = home.room.addr();
        let line = format!("exec openttd -D{addr}:{PORT} -c openttd.cfg -g -d net=1 <>console");
        let program = home.start("sh", &["-c", &line]);
        let told = Cell::new(0);
        let server = Self {
            home,
            program,
            told,
        };
        server.tell("companies");
        server
    }

    /// What it answers to a line at its console. It reads all that is there, heeds the first line, and the next when there is
    /// more to read: so a command that does not exist, whose refusal ends the answer, is given until it is refused.
    fn tell(&self, line: &str) -> String {
        let number = self.told.get();
        self.told.set(number + 1);
        let console = self.home.folder.join("console");
        let (before, end) = (self.program.said().len(), format!("end-{number}"));
        fs::write(&console, format!("{line}\n")).unwrap();
        until(&end, || {
            fs::write(&console, format!("{end}\n")).unwrap();
            self.program.said()[before..].contains(&format!("'{end}'"))
        });
        let said = self.program.said();
        let answer = said[before..].split(&format!("'{end}'")).next();
        answer.unwrap().to_owned()
    }

    /// Whether somebody plays, and acknowledges the frames as they come.
    fn keeps_up(&self, player: &str) -> bool {
        let status = self.tell("status");
        let playing = format!("name: '{player}'  status: 'active'  frame-lag: ");
        let lag = status.split_once(&playing).and_then(|(_, rest)| {
            let lag = rest.split_whitespace().next()?;
            lag.parse::<u32>().ok()
        });
        lag.is_some_and(|frames| frames <= FRAMES_BEHIND)
    }
}

/// Somebody whose screen nobody sees. Each has files of their own.
fn play(home: &Home, name: &str) -> Program {
    let config = format!("{name}/openttd.cfg");
    fs::create_dir(home.folder.join(name)).unwrap();
    home.write(&config, format!("[network]\nclient_name = {name}\n"));
    let gate = home.room.gate();
    let line = format!(
        "cd {name}; HOME=$PWD SDL_VIDEODRIVER=dummy \
         exec openttd -v sdl -s null -m null -n {gate}:{PORT} -c openttd.cfg -d net=3"
    );
    home.start("sh", &["-c", &line])
}
