//! People who talk: Mumble's server, which takes what is said by UDP and what is written by TLS, at one port. Its client needs a
//! screen, so another one speaks for it.

use std::{collections::BTreeSet, net::UdpSocket, time::Duration};

use peerway_lab as lab;

use super::{
    homes::{BUDGET, Home, Homes, Program, need, until},
    python::{PYTHON, need_module},
};

const PORT: &str = "64738";
/// Of 20 ms each, as Opus has them.
const FRAMES: usize = 500;
/// With how many of them something is written, too.
const WRITTEN: usize = 5;
/// Of which 98 % are heard.
const PART: usize = 100;
const ANSWER: Duration = Duration::from_millis(500);
/// A user that there is in the lab; as much to write as there is.
const CONFIG: &str = "
uname=root
host=ADDR
database=mumble.sqlite
logfile=
bonjour=false
messagelimit=1000
messageburst=1000
";
/// Comes in, says so much by UDP, writes so much, and prints what it hears and reads of others.
const CLIENT: &str = r##"
import os, socket, ssl, struct, sys, threading, time
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
host, port, name, frames, written = sys.argv[1:]
VERSION, TUNNEL, AUTHENTICATE, SYNC, TEXT, CRYPT = 0, 1, 2, 5, 11, 15
PING, OPUS = 1 << 5, 4 << 5
# In one piece: two threads do.
def say(*words):
    print(" ".join(words) + "\n", end="", flush=True)
# OCB2 with AES, as Mumble has it: a byte of the nonce and three of the tag before each datagram.
class Crypt:
    def __init__(self, key, own, theirs):
        self.aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update
        self.own, self.theirs = [int.from_bytes(nonce, "little") for nonce in (own, theirs)]
    def block(self, n):
        return int.from_bytes(self.aes(n.to_bytes(16, "big")), "big")
    def run(self, nonce, text, seals):
        double = lambda n: (n << 1 ^ (n >> 127) * 0x87) & (1 << 128) - 1
        delta = double(self.block(int.from_bytes(nonce.to_bytes(16, "little"), "big")))
        # One block is enough for what is said here.
        pad = self.block(delta ^ len(text) * 8).to_bytes(16, "big")
        out = bytes(a ^ b for a, b in zip(text, pad))
        plain = (text if seals else out) + pad[len(text):]
        tag = self.block(double(delta) ^ delta ^ int.from_bytes(plain, "big")).to_bytes(16, "big")
        return tag[:3], out
    def seal(self, text):
        self.own += 1
        tag, out = self.run(self.own, text, True)
        return bytes([self.own & 255]) + tag + out
    def open(self, datagram):
        ahead = datagram[0] - self.theirs & 255
        self.theirs += ahead - 256 * (ahead > 127)
        tag, text = self.run(self.theirs, datagram[4:], False)
        return text if tag == datagram[1:4] else b""
def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)
def number(field, n):
    return varint(field << 3) + varint(n)
def text(field, s):
    return varint(field << 3 | 2) + varint(len(s)) + s.encode()
def send(kind, body):
    tls.sendall(struct.pack(">HI", kind, len(body)) + body)
def read(n):
    part = tls.recv(n)
    if not part:
        sys.exit("the server has hung up")
    return part if len(part) == n else part + read(n - len(part))
def listen():
    while True:
        said = crypt.open(udp.recv(2048))
        if said[:1] == bytes([PING]):
            say("pong")
        at = said.rfind(b"#")
        if said[:1] == bytes([OPUS]) and at >= 0:
            say("frame", said[at + 1:].decode())
def speak():
    udp.send(crypt.seal(bytes([PING, 1])))
    while not os.path.exists("go"):
        time.sleep(0.01)
    for at in range(int(frames)):
        frame = b"#%03d" % at
        udp.send(crypt.seal(bytes([OPUS, 128 | at >> 8, at & 255, len(frame)]) + frame))
        if at % int(written) == 0:
            send(TEXT, number(3, 0) + text(5, "line %03d" % at))
        time.sleep(0.02)
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
tls = context.wrap_socket(socket.create_connection((host, int(port))))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.connect((host, int(port)))
send(VERSION, number(1, 1 << 16 | 3 << 8))
send(AUTHENTICATE, text(1, name) + number(5, 1))
while True:
    kind, length = struct.unpack(">HI", read(6))
    body = read(length)
    if kind == CRYPT:
        # Three fields of 16 bytes.
        crypt = Crypt(body[2:18], body[20:36], body[38:54])
        threading.Thread(target=listen, daemon=True).start()
    if kind == SYNC:
        say("here")
        threading.Thread(target=speak, daemon=True).start()
    if kind == TUNNEL:
        say("tunnelled")
    at = body.find(b"line ")
    if kind == TEXT and at >= 0:
        say(body[at:at + 8].decode())
"##;

#[test]
#[ignore = "needs mumble-server and python3-cryptography"]
fn people_on_a_mumble_server_hear_and_read_each_other_where_the_direct_path_is_cut() {
    need(&[("murmurd", "mumble-server"), ("python3", "python3")]);
    need_module("cryptography", "python3-cryptography");
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, laptop) = (&homes.attic, &homes.laptop);
        let own = attic.room.addr().to_string();
        let config = attic.write("mumble.ini", CONFIG.replace("ADDR", &own));
        let server = attic.start("murmurd", &["-fg", "-ini", &config]);
        server.until_said("Server listening");
        let exposed = attic.expose(&[&format!("mumble={PORT}"), &format!("mumble-udp=udp:{PORT}")]);
        let forward = laptop.forward(&exposed, "mumble", PORT);
        let udp = laptop.forward(&exposed, "mumble-udp", &format!("udp:{PORT}"));
        until("the ping is answered", || users(laptop) == Some(0));

        let gate = laptop.room.gate().to_string();
        let clients = [join(attic, &own, "bob"), join(laptop, &gate, "ann")];
        for home in [attic, laptop] {
            home.write("go", "");
        }
        clients[1].until_said("frame 100");
        homes.cut();
        forward.until_path("relay");
        udp.until_path("relay");
        for client in &clients {
            client.until_said(&format!("line {}", FRAMES - WRITTEN));
            let lines: Vec<_> = (0..FRAMES).step_by(WRITTEN).collect();
            assert_eq!(numbers(client, "line "), lines);
            let heard: BTreeSet<_> = numbers(client, "frame ").into_iter().collect();
            let [before, after] = [PART, FRAMES - WRITTEN].map(|end| heard.range(end - PART..end));
            let parts = [before.count(), after.count()];
            assert!(
                parts.iter().all(|part| *part >= PART * 98 / 100),
                "{parts:?}"
            );
            assert!(heard.len() > FRAMES / 2, "{} in all", heard.len());
            assert!(!client.said().contains("tunnelled"), "all by UDP");
        }
        until("both are still there", || users(laptop) == Some(2));
        homes.assert_carried((2 * FRAMES * 40) as u64);
    });
}

/// Comes in, and waits for the file `go` to speak.
fn join(home: &Home, server: &str, name: &str) -> Program {
    let counts = [FRAMES, WRITTEN].map(|count| count.to_string());
    let how = [server, PORT, name, &counts[0], &counts[1]];
    let client = home.start(PYTHON, &[&["-c", CLIENT], &how[..]].concat());
    client.until_said("pong");
    client
}

/// Of what it heard or read.
fn numbers(client: &Program, what: &str) -> Vec<usize> {
    let said = client.said();
    let numbers = said.lines().filter_map(|line| line.strip_prefix(what));
    numbers.map(|number| number.parse().unwrap()).collect()
}

/// How many the server says are there, if it answers.
fn users(laptop: &Home) -> Option<u32> {
    let ping = || {
        let socket = UdpSocket::bind((laptop.room.addr(), 0)).ok()?;
        socket.set_read_timeout(Some(ANSWER)).ok()?;
        let target = format!("{}:{PORT}", laptop.room.gate());
        socket.send_to(b"\0\0\0\0peerway!", target).ok()?;
        let mut answer = [0; 24];
        (socket.recv(&mut answer).ok()? == answer.len()).then_some(answer)
    };
    let answer = laptop.room.run(ping).unwrap()?;
    assert_eq!(&answer[4..12], b"peerway!");
    answer[12..16].try_into().ok().map(u32::from_be_bytes)
}
