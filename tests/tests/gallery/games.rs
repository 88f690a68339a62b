//! Servers of games over UDP: Luanti, which was Minetest, and Teeworlds. Their clients need a screen, so what they say first
//! is said here.

use std::{collections::BTreeSet, net::UdpSocket, thread, time::Duration};

use peerway_lab as lab;

use super::homes::{BUDGET, Homes, need, until};

/// Who plays at once.
const PLAYERS: u8 = 8;
/// Of all players together, 5 ms apart.
const ROUNDS: usize = 400;
const PACE: Duration = Duration::from_millis(5);
/// Longer than an answer takes.
const ANSWER: Duration = Duration::from_millis(500);

/// What a client says first, and what it makes of the answers.
struct Game {
    port: &'static str,
    hello: fn(u8) -> Vec<u8>,
    /// By what the server tells this client from others, if the answer says so.
    known_as: fn(&[u8]) -> Option<Vec<u8>>,
    /// Whether it is the one answer that each hello gets.
    is_answer: fn(&[u8]) -> bool,
}

#[test]
#[ignore = "needs minetest-server"]
fn players_of_luanti_are_told_apart_and_answered_before_and_after_the_direct_path_is_cut() {
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
fn players_of_teeworlds_are_told_apart_and_answered_before_and_after_the_direct_path_is_cut() {
    need(&[("teeworlds-server", "teeworlds-server")]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let server = homes.attic.start(
            "teeworlds-server",
            &["sv_register 0", "sv_port 8303", "sv_name lab"],
        );
        server.until_said("server name is");
        let teeworlds = Game {
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
        let (attic, laptop) = (&homes.attic, &homes.laptop);
        let exposed = attic.expose(&[&format!("game=udp:{}", self.port)]);
        let forward = laptop.forward(&exposed, "game", &format!("udp:{}", self.port));
        let target = format!("{}:{}", laptop.room.gate(), self.port);
        let players: Vec<_> = (0..PLAYERS)
            .map(|number| {
                let room = &laptop.room;
                let socket = room.run(|| UdpSocket::bind((room.addr(), 0)).unwrap());
                let socket = socket.unwrap();
                socket.connect(&target).unwrap();
                socket.set_nonblocking(true).unwrap();
                (number, socket)
            })
            .collect();
        let known: BTreeSet<_> = players.iter().map(|player| self.join(player)).collect();
        assert_eq!(known.len(), usize::from(PLAYERS), "{known:?}");

        assert!(self.lost(&players) <= ROUNDS / 100, "while direct");
        homes.cut();
        let cut = self.lost(&players);
        forward.until_path("relay");
        assert!(cut < ROUNDS / 2, "{cut} lost by the cut");
        assert!(self.lost(&players) <= ROUNDS / 100, "by the relay");
        homes.assert_carried((3 * ROUNDS * (self.hello)(0).len()) as u64);
    }

    /// Says hello until the server says who it is.
    fn join(&self, (number, player): &(u8, UdpSocket)) -> Vec<u8> {
        let mut known = None;
        until("the server knows the player", || {
            player.send(&(self.hello)(*number)).unwrap();
            thread::sleep(PACE);
            known = known.take().or_else(|| {
                let mut answers = answers(player).into_iter();
                answers.find_map(|answer| (self.known_as)(&answer))
            });
            known.is_some()
        });
        thread::sleep(ANSWER);
        answers(player);
        known.unwrap_or_default()
    }

    /// How many hellos of all players in turn are not answered.
    fn lost(&self, players: &[(u8, UdpSocket)]) -> usize {
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

/// What has come.
fn answers(player: &UdpSocket) -> Vec<Vec<u8>> {
    let mut buffer = [0; 2048];
    let mut all = Vec::new();
    while let Ok(length) = player.recv(&mut buffer) {
        all.push(buffer[..length].to_vec());
    }
    all
}
