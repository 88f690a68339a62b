//! A server of eDonkey, as far as two programs need it: it tells who asks for a file of the others that offer it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read as _, Write as _},
    net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

pub(super) const PORT: u16 = 4661;

/// The first byte of each message; its length follows in four, and what it is about in one.
const PROTOCOL: u8 = 0xe3;
const LOGIN: u8 = 0x01;
const OFFER: u8 = 0x15;
const ASK_SOURCES: u8 = 0x19;
const ID: u8 = 0x40;
const SOURCES: u8 = 0x42;
/// Messages of programs are shorter.
const MAX_LEN: usize = 1 << 16;

/// Who offers what, by its hash.
type Offers = BTreeMap<[u8; 16], BTreeSet<SocketAddrV4>>;

/// It ends with its test.
pub(super) struct Server {
    offers: Arc<Mutex<Offers>>,
}

impl Server {
    pub(super) fn serve(listener: TcpListener) -> Self {
        let offers: Arc<Mutex<Offers>> = Arc::default();
        let all = offers.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, offers) = (stream.unwrap(), all.clone());
                // Who says something else is hung up on.
                thread::spawn(move || attend(stream, &offers));
            }
        });
        Self { offers }
    }

    /// How many files are offered to it.
    pub(super) fn offers(&self) -> usize {
        self.offers.lock().unwrap().len()
    }
}

fn attend(mut stream: TcpStream, offers: &Mutex<Offers>) -> io::Result<()> {
    let SocketAddr::V4(peer) = stream.peer_addr()? else {
        return Ok(());
    };
    let mut own = peer;
    loop {
        let (kind, body) = read(&mut stream)?;
        let mut body = Body(&body);
        match kind {
            LOGIN => {
                // The user's hash and the id of before.
                body.take(20)?;
                own.set_port(body.u16()?);
                // Whose id is its address can be reached, they say. The other four bytes are what the server can: nothing.
                let id = [own.ip().octets(), [0; 4]].concat();
                write(&mut stream, ID, &id)?;
            }
            OFFER => {
                for _ in 0..body.u32()? {
                    let hash = body.hash()?;
                    // The id and port of who has it, which are known.
                    body.take(6)?;
                    body.skip_tags()?;
                    let mut offers = offers.lock().map_err(|_| io::ErrorKind::Other)?;
                    offers.entry(hash).or_default().insert(own);
                }
            }
            ASK_SOURCES => {
                let hash = body.hash()?;
                let offers = offers.lock().map_err(|_| io::ErrorKind::Other)?;
                let mut sources = offers.get(&hash).cloned().unwrap_or_default();
                sources.remove(&own);
                let count = u8::try_from(sources.len()).unwrap_or(u8::MAX);
                let mut answer = [&hash[..], &[count]].concat();
                for source in sources.iter().take(count.into()) {
                    answer.extend(source.ip().octets());
                    answer.extend(source.port().to_le_bytes());
                }
                write(&mut stream, SOURCES, &answer)?;
            }
            // Searches, the list of servers, and the like.
            _ => {}
        }
    }
}

fn read(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 6];
    stream.read_exact(&mut head)?;
    let [protocol, length @ .., kind] = head;
    let length = u32::from_le_bytes(length) as usize;
    if protocol != PROTOCOL || !(1..MAX_LEN).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length - 1];
    stream.read_exact(&mut body)?;
    Ok((kind, body))
}

fn write(stream: &mut TcpStream, kind: u8, body: &[u8]) -> io::Result<()> {
    let length = (body.len() as u32 + 1).to_le_bytes();
    stream.write_all(&[&[PROTOCOL], &length[..], &[kind], body].concat())
}

/// What has not been read of a message.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let taken = self.take(N)?;
        taken.try_into().map_err(io::Error::other)
    }

    fn hash(&mut self) -> io::Result<[u8; 16]> {
        self.array()
    }

    fn u16(&mut self) -> io::Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// What is told of a file: a kind, whose first bit says that a name of one byte follows and no length, and a value.
    fn skip_tags(&mut self) -> io::Result<()> {
        for _ in 0..self.u32()? {
            let [kind] = self.array()?;
            let name = if kind & 0x80 == 0 { self.u16()? } else { 1 };
            self.take(name.into())?;
            let length = match kind & 0x7f {
                0x02 => self.u16()?.into(),
                0x03 => 4,
                0x08 => 2,
                0x09 => 1,
                0x0b => 8,
                short @ 0x11..=0x20 => usize::from(short - 0x10),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            };
            self.take(length)?;
        }
        Ok(())
    }
}
