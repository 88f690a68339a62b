//! The handshake: Noise_IK_25519_ChaChaPoly_BLAKE2s between the dialler and the dialled key, one message each way.
//!
//! The initiator's static key is proven by the first message, the responder's by the second. A relay that forwards them can
//! read neither. All randomness comes from the caller's generator.

#[cfg(any(test, feature = "_fuzzing"))]
mod remembered;
#[cfg(feature = "aws-lc")]
mod x25519;

use blake2::{
    Blake2s256, Blake2sMac, Digest,
    digest::{Mac, consts::U16},
};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;
use snow::{
    Builder, HandshakeState,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::{CryptoResolver, DefaultResolver},
    types::{Cipher, Dh, Hash, Random},
};
use subtle::ConstantTimeEq;

use super::session::Session;
use crate::{
    PeerId, SecretKey,
    wire::{
        Malformed, VERSION, first_byte,
        intro::{self, AckPacket, Description, IntroBody, IntroPacket},
    },
};

/// The dialler's half of a handshake that has not been answered yet.
pub(crate) struct Initiation {
    noise: HandshakeState,
    /// Usable for probes at once; gets its keys for control messages with the answer.
    pub(crate) session: Session,
    /// What the peer's answer to a stale INTRO is sealed under.
    pub(crate) secret: [u8; 32],
    /// The INTRO to send, the same bytes at every repetition.
    pub(crate) packet: Vec<u8>,
}

impl Initiation {
    /// Prepares an INTRO to `peer`.
    pub(crate) fn new(
        key: &SecretKey,
        peer: PeerId,
        body: &IntroBody,
        rng: &mut ChaCha20Rng,
    ) -> Result<Self, HandshakeError> {
        let (secret, remote, prologue) = (key.to_x25519(), peer.to_x25519(), prologue(peer));
        let mut noise = builder(rng)?
            .local_private_key(secret.as_ref())?
            .remote_public_key(&remote)?
            .prologue(&prologue)?
            .build_initiator()?;
        let mut packet = vec![0; intro::PACKET_LEN];
        packet[0] = first_byte::INTRO;
        packet[1] = VERSION;
        noise.write_message(
            &body.emit(),
            &mut packet[2..intro::PACKET_LEN - intro::MAC_LEN],
        )?;
        append_mac1(&mut packet, peer);
        Ok(Self {
            noise,
            session: Session::new(body.session_index, &body.probe_secret, true),
            secret: body.probe_secret,
            packet,
        })
    }

    /// Reads the answer. On failure nothing has changed: a forged answer does not spoil the handshake.
    pub(crate) fn read(
        &mut self,
        key: &SecretKey,
        ack: AckPacket<'_>,
    ) -> Result<Description, HandshakeError> {
        check_mac1(ack.mac1(), key.id())?;
        let mut body = [0; intro::ACK_BODY_LEN];
        self.noise.read_message(ack.noise(), &mut body)?;
        Ok(Description::parse(&body)?)
    }

    /// The session, after [`Initiation::read`] succeeded.
    pub(crate) fn into_session(self) -> Result<Session, HandshakeError> {
        let mut session = self.session;
        session.establish(self.noise.into_stateless_transport_mode()?);
        Ok(session)
    }
}

/// An INTRO that was opened and proved authentic, before it is decided whether to answer.
pub(crate) struct Opened {
    noise: HandshakeState,
    pub(crate) body: IntroBody,
}

impl Opened {
    /// Opens an INTRO that is meant for `key`.
    pub(crate) fn open(
        key: &SecretKey,
        packet: IntroPacket<'_>,
        rng: &mut ChaCha20Rng,
    ) -> Result<Self, HandshakeError> {
        check_mac1(packet.mac1(), key.id())?;
        let (secret, prologue) = (key.to_x25519(), prologue(key.id()));
        let mut noise = builder(rng)?
            .local_private_key(secret.as_ref())?
            .prologue(&prologue)?
            .build_responder()?;
        let mut body = [0; intro::INTRO_BODY_LEN];
        noise.read_message(packet.noise(), &mut body)?;
        let body = IntroBody::parse(&body)?;
        if noise.get_remote_static() != Some(&body.id.to_x25519()[..]) {
            return Err(HandshakeError::Identity);
        }
        Ok(Self { noise, body })
    }

    /// Answers: the session, and the INTRO_ACK to send.
    pub(crate) fn answer(
        mut self,
        description: &Description,
    ) -> Result<(Session, Vec<u8>), HandshakeError> {
        let mut packet = vec![0; intro::PACKET_LEN];
        packet[0] = first_byte::INTRO_ACK;
        packet[1] = VERSION;
        packet[2..10].copy_from_slice(&self.body.session_index.to_be_bytes());
        self.noise.write_message(
            &description.emit(),
            &mut packet[10..intro::PACKET_LEN - intro::MAC_LEN],
        )?;
        append_mac1(&mut packet, self.body.id);
        let mut session = Session::new(self.body.session_index, &self.body.probe_secret, false);
        // From the ephemeral key, which no other answer has.
        session.begin_at([packet[10], packet[11], packet[12], packet[13]]);
        session.establish(self.noise.into_stateless_transport_mode()?);
        Ok((session, packet))
    }
}

/// Whether an INTRO was made for this key, for the price of one hash.
pub(crate) fn is_addressed_to(packet: IntroPacket<'_>, receiver: PeerId) -> bool {
    check_mac1(packet.mac1(), receiver).is_ok()
}

/// Why a handshake message was not accepted. None of them is ever answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// Not made for us.
    #[error("mac1 does not match")]
    Mac,
    /// Noise refuses it.
    #[error("noise: {0}")]
    Noise(#[from] snow::Error),
    /// Authentic, but not understood.
    #[error("malformed body: {0}")]
    Body(#[from] Malformed),
    /// The id inside does not belong to the key that sent it.
    #[error("the id does not belong to the static key")]
    Identity,
}

/// Binds a handshake to this version and to the dialled key, so that neither can be swapped on the way.
fn prologue(responder: PeerId) -> Vec<u8> {
    [&b"peerway intro "[..], &[VERSION], responder.as_bytes()].concat()
}

fn mac1(covered: &[u8], receiver: PeerId) -> [u8; 16] {
    let key = Blake2s256::new()
        .chain_update(b"peerway mac1")
        .chain_update(receiver.as_bytes())
        .finalize();
    let mac = <Blake2sMac<U16> as Mac>::new_from_slice(&key)
        .map(|mac| mac.chain_update(covered).finalize());
    mac.map_or([0; 16], |mac| mac.into_bytes().into())
}

fn append_mac1(packet: &mut [u8], receiver: PeerId) {
    let (covered, mac) = packet.split_at_mut(intro::PACKET_LEN - intro::MAC_LEN);
    mac.copy_from_slice(&mac1(covered, receiver));
}

fn check_mac1((covered, mac): (&[u8], &[u8]), receiver: PeerId) -> Result<(), HandshakeError> {
    if bool::from(mac1(covered, receiver).ct_eq(mac)) {
        Ok(())
    } else {
        Err(HandshakeError::Mac)
    }
}

fn builder<'a>(rng: &mut ChaCha20Rng) -> Result<Builder<'a>, snow::Error> {
    let params = "Noise_IK_25519_ChaChaPoly_BLAKE2s".parse()?;
    Ok(Builder::with_resolver(
        params,
        Box::new(SeededResolver { seed: rng.random() }),
    ))
}

/// snow's own primitives but X25519, and the ephemeral key comes from our seed, so that a run can be repeated.
struct SeededResolver {
    seed: [u8; 32],
}

impl CryptoResolver for SeededResolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(SeededRandom(ChaCha20Rng::from_seed(self.seed))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        #[cfg(any(test, feature = "_fuzzing"))]
        return Some(Box::new(remembered::Remembered::new(choice)?));
        #[cfg(not(any(test, feature = "_fuzzing")))]
        resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

#[cfg(feature = "aws-lc")]
fn resolve_dh(choice: &DHChoice) -> Option<Box<dyn Dh>> {
    match choice {
        DHChoice::Curve25519 => Some(Box::new(x25519::KeyPair::default())),
        _ => None,
    }
}

#[cfg(not(feature = "aws-lc"))]
fn resolve_dh(choice: &DHChoice) -> Option<Box<dyn Dh>> {
    DefaultResolver.resolve_dh(choice)
}

struct SeededRandom(ChaCha20Rng);

impl Random for SeededRandom {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        self.0.fill_bytes(dest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        NatReport,
        wire::probe::{Probe, ProbeKind, ProbePacket},
    };

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    fn description() -> Description {
        Description {
            nat: NatReport::default(),
            direct: true,
            guess: true,
            relay_rtt_ms: 80,
            heard: 0,
            candidates: vec![],
            opened: vec![],
        }
    }

    fn initiate(from: &SecretKey, to: PeerId, claimed: PeerId) -> Initiation {
        let body = IntroBody {
            id: claimed,
            timestamp_ms: 5,
            session_index: 6,
            probe_secret: [7; 32],
            description: description(),
        };
        Initiation::new(from, to, &body, &mut ChaCha20Rng::from_seed([1; 32])).unwrap()
    }

    fn open(to: &SecretKey, packet: &[u8]) -> Result<Opened, HandshakeError> {
        let Ok(packet) = IntroPacket::parse(packet) else {
            panic!("not an INTRO");
        };
        Opened::open(to, packet, &mut ChaCha20Rng::from_seed([2; 32]))
    }

    #[test]
    fn both_sides_end_up_with_the_same_session() {
        let (alice, bob) = (key(1), key(2));
        let mut initiation = initiate(&alice, bob.id(), alice.id());
        let opened = open(&bob, &initiation.packet).unwrap();
        assert_eq!(opened.body.id, alice.id());
        let (mut bobs, ack) = opened.answer(&description()).unwrap();
        assert_eq!(
            initiation
                .read(&alice, AckPacket::parse(&ack).unwrap())
                .unwrap(),
            description()
        );
        let mut alices = initiation.into_session().unwrap();
        let sealed = alices.seal_control(b"hello").unwrap();
        assert_eq!(bobs.open_control(&sealed).unwrap(), b"hello");
        assert!(
            bobs.open_control(&sealed).is_none(),
            "a replay is not opened twice"
        );
    }

    #[test]
    fn an_intro_that_is_replayed_after_a_restart_is_not_answered_with_the_same_nonces() {
        let (alice, bob) = (key(1), key(2));
        let packet = initiate(&alice, bob.id(), alice.id()).packet;
        let probe = Probe {
            kind: ProbeKind::Request,
            tx: 1,
            observed: "192.0.2.1:4".parse().unwrap(),
        };
        let [first, second] = [3, 4].map(|start| {
            let packet = IntroPacket::parse(&packet).unwrap();
            let mut rng = ChaCha20Rng::from_seed([start; 32]);
            let opened = Opened::open(&bob, packet, &mut rng).unwrap();
            let (mut session, _) = opened.answer(&description()).unwrap();
            let datagram = session.seal_probe(&probe).unwrap();
            ProbePacket::parse(&datagram).unwrap().counter
        });
        assert!(first.abs_diff(second) > 1 << 15);
    }

    #[test]
    fn an_intro_for_another_key_is_dropped_by_its_mac() {
        let packet = initiate(&key(1), key(2).id(), key(1).id()).packet;
        assert!(matches!(open(&key(3), &packet), Err(HandshakeError::Mac)));
    }

    #[test]
    fn an_id_that_is_not_the_senders_is_refused() {
        let packet = initiate(&key(1), key(2).id(), key(3).id()).packet;
        assert!(matches!(
            open(&key(2), &packet),
            Err(HandshakeError::Identity)
        ));
    }

    #[test]
    fn a_forged_answer_does_not_spoil_the_handshake() {
        let (alice, bob) = (key(1), key(2));
        let mut initiation = initiate(&alice, bob.id(), alice.id());
        let (_, ack) = open(&bob, &initiation.packet)
            .unwrap()
            .answer(&description())
            .unwrap();
        let mut forged = ack.clone();
        forged[40] ^= 1;
        append_mac1(&mut forged, alice.id());
        assert!(
            initiation
                .read(&alice, AckPacket::parse(&forged).unwrap())
                .is_err()
        );
        assert!(
            initiation
                .read(&alice, AckPacket::parse(&ack).unwrap())
                .is_ok()
        );
    }

    #[test]
    fn a_relay_that_changes_a_hello_and_knows_both_keys_gets_it_refused_all_the_same() {
        let (alice, bob) = (key(1), key(2));
        let mut initiation = initiate(&alice, bob.id(), alice.id());
        let noise = 2..intro::PACKET_LEN - intro::MAC_LEN;
        for position in noise.step_by(13) {
            let mut changed = initiation.packet.clone();
            changed[position] ^= 1;
            append_mac1(&mut changed, bob.id());
            assert!(open(&bob, &changed).is_err(), "{position}");
        }
        let opened = open(&bob, &initiation.packet).unwrap();
        let (_, ack) = opened.answer(&description()).unwrap();
        for position in (10..intro::PACKET_LEN - intro::MAC_LEN).step_by(13) {
            let mut changed = ack.clone();
            changed[position] ^= 1;
            append_mac1(&mut changed, alice.id());
            let changed = AckPacket::parse(&changed).unwrap();
            assert!(initiation.read(&alice, changed).is_err(), "{position}");
        }
    }

    #[test]
    fn any_changed_byte_of_an_intro_is_noticed() {
        let packet = initiate(&key(1), key(2).id(), key(1).id()).packet;
        for position in (2..packet.len()).step_by(7) {
            let mut changed = packet.clone();
            changed[position] ^= 1;
            assert!(open(&key(2), &changed).is_err(), "{position}");
        }
    }
}
