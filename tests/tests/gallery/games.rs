//! Servers of games over UDP: Luanti, which was Minetest, and Teeworlds. Their clients need a screen, so what they say first
//! is said here.

use std::{collections::BTreeSet, net::UdpSocket, thread, time::Duration};

use peerway_lab as lab;

use super::homes::{BUDGET, Home, Homes, need, until};

/// Who plays at once from one home.
const PLAYERS: usize = 8;
/// Of all players together, 5 ms apart.
const ROUNDS: usize = 400;
const PACE: Duration = Duration::from_millis(5);
/// Longer than an answer takes.
const ANSWER: Duration = Duration::from_millis(500);

/// What a client says first, and what it makes of the answers.
struct Game {
    name: &'static str,
    port: &'static str,
    hello: fn(u8) -> Vec<u8>,
    /// By what the server tells this client from others, if the answer says so.
    known_as: fn(&[u8]) -> Option<Vec<u8>>,
    /// Whether it is the one answer that each hello gets.
    is_answer: fn(&[u8]) -> bool,
}

#[test]
#[ignore = "needs minetest-server"]
fn players_of_luanti_are_told_apart_and_answered_whatever_happens_to_their_links() {
    need(&[("minetestserver", "minetest-server")]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let attic = &homes.attic;
        let [world, log] = ["world", "log"].map(|it| attic.folder.join(it).display().to_string());
        let line = format!("--gameid minetest --port 30000 --world {world} --logfile {log}");
        let line: Vec<_> = line.split(' ').collect();
        let server = attic.start("minetestserver", &line);
        server.until_said("listening on");
        let luanti = Game {
            name: "Luanti",
            port: "30000",
            // A reliable packet, the first, of somebody who has no id yet.
            hello: |_| b"\x4f\x45\x74\x03\0\0\0\x03\xff\xdc\x01\0\0".to_vec(),
            known_as: |answer| match answer {
                [_, _, _, _, _, _, _, 3, _, _, 0, 1, id @ ..] => Some(id.to_vec()),
                _ => None,
            },
            is_answer: |answer| matches!(answer, [_, _, _, _, _, _, _, 0, 0, 0xff, 0xdc]),
        };
        luanti.is_played(&homes);
    });
}

#[test]
#[ignore = "needs teeworlds-server"]
fn players_of_teeworlds_are_told_apart_and_answered_whatever_happens_to_their_links() {
    need(&[("teeworlds-server", "teeworlds-server")]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let server = homes.attic.start(
            "teeworlds-server",
            &["sv_register 0", "sv_port 8303", "sv_name lab"],
        );
        server.until_said("server name is");
        let teeworlds = Game {
            name: "teeworlds",
            port: "8303",
            // A request for a token, with the player's own, which comes back with the server's.
            hello: |player| {
                let own = [player, 2, 3, 4];
                let mut hello = [b"\x04\0\0\xff\xff\xff\xff\x05", &own[..]].concat();
                hello.resize(520, 0);
                hello
            },
            known_as: |answer| match answer {
                [4, _, _, own @ .., 5, _, _, _, _] => Some(own.to_vec()),
                _ => None,
            },
            is_answer: |answer| answer.len() == 12,
        };
        teeworlds.is_played(&homes);
    });
}

impl Game {
    fn is_played(&self, homes: &Homes) {
        let port = format!("udp:{}", self.port);
        let mut links = homes.disturbed(&[&format!("game={port}")], &[("game", &port)]);
        let players = players(homes, self.port);
        let known = self.join(&players);
        let ids: BTreeSet<_> = known.iter().collect();
        assert_eq!(ids.len(), players.len(), "{known:?}");

        let answered = || {
            players.iter().for_each(|(_, player)| drop(answers(player)));
            for (player, id) in players.iter().zip(&known) {
                self.until_answered(player, id);
            }
        };
        // A link may be about to move still.
        let few_lost = || until("few are lost", || self.lost(&players) <= ROUNDS / 100);
        few_lost();
        links.outlive(answered, few_lost);
        links.restart_far(|| drop(self.join(&players)));
        few_lost();
        links.assert_carried((2 * ROUNDS * (self.hello)(0).len()) as u64);
        println!("{}: {links}", self.name);
    }

    /// Each says hello until the server says who it is. Waits until nothing more comes.
    fn join(&self, players: &[Player]) -> Vec<Vec<u8>> {
        let join = |player| {
            let mut known = None;
            until("the server knows the player", || {
                let mut answers = self.say_hello(player).into_iter();
                known = answers.find_map(|answer| (self.known_as)(&answer));
                known.is_some()
            });
            known.unwrap_or_default()
        };
        let known = players.iter().map(join).collect();
        thread::sleep(ANSWER);
        players.iter().for_each(|(_, player)| drop(answers(player)));
        known
    }

    /// Says hello until there is an answer, to whom the server takes the player for.
    fn until_answered(&self, player: &Player, id: &[u8]) {
        until("the player is answered", || {
            let answers = self.say_hello(player);
            let mut ids = answers.iter().filter_map(|answer| (self.known_as)(answer));
            assert!(ids.all(|told| told == id), "it is taken for somebody else");
            answers.iter().any(|answer| (self.is_answer)(answer))
        });
    }

    /// What has come soon after.
    fn say_hello(&self, (number, player): &Player) -> Vec<Vec<u8>> {
        player.send(&(self.hello)(*number)).unwrap();
        thread::sleep(PACE);
        answers(player)
    }

    /// How many hellos of all players in turn are not answered.
    fn lost(&self, players: &[Player]) -> usize {
        let mut answered = 0;
        let mut read = || {
            let all = players.iter().flat_map(|(_, player)| answers(player));
            answered += all.filter(|answer| (self.is_answer)(answer)).count();
        };
        for (number, player) in players.iter().cycle().take(ROUNDS) {
            player.send(&(self.hello)(*number)).unwrap();
            thread::sleep(PACE);
            read();
        }
        thread::sleep(ANSWER);
        read();
        ROUNDS.saturating_sub(answered)
    }
}

/// Its number, and its socket in its home.
type Player = (u8, UdpSocket);

/// In both homes.
fn players(homes: &Homes, port: &str) -> Vec<Player> {
    let users = homes.users().into_iter();
    let seats = users.flat_map(|user| [user; PLAYERS]);
    let player = |(number, user): (_, &Home)| {
        let room = &user.room;
        let socket = room.run(|| UdpSocket::bind((room.addr(), 0)).unwrap());
        let socket = socket.unwrap();
        socket.connect(format!("{}:{port}", room.gate())).unwrap();
        socket.set_nonblocking(true).unwrap();
        (number, socket)
    };
    (0..).zip(seats).map(player).collect()
}

/// What has come.
fn answers(player: &UdpSocket) -> Vec<Vec<u8>> {
    let mut buffer = [0; 2048];
    let mut all = Vec::new();
    while let Ok(length) = player.recv(&mut buffer) {
        all.push(buffer[..length].to_vec());
    }
    all
}
