//! The constants of the traversal: every time, count and limit, with its reason.

use std::time::Duration;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// When an unanswered INTRO is repeated on direct addresses; relays carry it reliably.
pub(crate) const INTRO_REPEATS: [Duration; 2] = [ms(400), ms(1200)];
/// How long one INTRO may stay unanswered.
pub(crate) const INTRO_TIMEOUT: Duration = ms(3000);
/// Unanswered INTROs after which a dial has failed.
pub(crate) const INTRO_ATTEMPTS: u32 = 3;
/// The same while the peer is registered with its relay, but does not hear it: a router that forgot it lets it be heard again when
/// it says KEEPALIVE, after 17 s at the latest, of which it may take 3 s to see that nobody answers, and one more to register.
pub(crate) const UNREACHED_ATTEMPTS: u32 = 8;
/// When a peer that its relay does not know, or lets no more calls through to, is asked for again: it may be about to register.
pub(crate) const GONE_RETRIES: [Duration; 3] = [ms(300), ms(700), ms(1500)];
/// Callers for whom a relay had no room ask again later by up to this much.
pub(crate) const BUSY_SPREAD: Duration = ms(500);
/// Within this time after our own INTRO the smaller id's handshake wins over the other's.
pub(crate) const SIMULTANEOUS: Duration = ms(1000);
/// How far an INTRO's timestamp may lie from our clock when a relay has told both sides the time.
pub(crate) const INTRO_WINDOW_MS: u64 = 90_000;
/// The same when no relay has told us the time: clocks that nobody set are off by hours.
pub(crate) const UNSYNCED_WINDOW_MS: u64 = 26 * 3_600_000;

/// TCP connections are dialled this long after datagrams, as in RFC 8305 section 8, but only if none was answered.
pub(crate) const TCP_AFTER: Duration = ms(150);
/// A TCP connection on which nothing comes back is dead after this long: TCP itself takes a while to get over a few losses.
pub(crate) const TCP_DEAD_AFTER: Duration = ms(6000);
/// TCP connections dialled per minute to one address, over all peers.
pub(crate) const TCP_DIALS_PER_MINUTE: u32 = 2;

/// Gaps between the probes of one candidate. Doubling, so that a lost probe costs little and a dead address little too.
pub(crate) const PROBE_GAPS: [Duration; 8] = [
    ms(20),
    ms(20),
    ms(40),
    ms(80),
    ms(160),
    ms(320),
    ms(640),
    ms(1280),
];
/// First probes to different candidates leave this far apart (RFC 8445 section 14.2: Ta is at least 5 ms).
pub(crate) const PROBE_PACING: Duration = ms(5);
/// How often the pair in use is asked while it is forced and data flows.
pub(crate) const FORCED_LOOK: Duration = ms(500);
/// How long a round probes before it is called unsuccessful.
pub(crate) const ROUND: Duration = ms(3000);
/// From here on a probe has its full TTL whatever we believe of the peer: a wrong TTL must never cost the connection.
pub(crate) const LOW_TTL_FOR: Duration = ms(300);
/// The initiator that holds candidates probes when the responder has just opened: half a relay round trip after INTRO.
pub(crate) const TIMED_PROBES: [Duration; 3] = [ms(2), ms(12), ms(30)];
/// Addresses that answer without having been named, per peer (as firezone does).
pub(crate) const MAX_PEER_REFLEXIVE: usize = 4;
/// Probes that one candidate gets in one round.
pub(crate) const MAX_PROBES: u32 = 12;
/// Local addresses of a peer that are probed.
pub(crate) const MAX_LOCAL: usize = 4;

/// A path is suspect after this long without an answer, or three round trips if that is longer.
pub(crate) const SUSPECT_AFTER: Duration = ms(250);
/// Gaps between the probes of a suspect path.
pub(crate) const SUSPECT_GAPS: [Duration; 5] = [ms(50), ms(50), ms(100), ms(200), ms(400)];
/// A suspect path is dead after all its probes stayed unanswered for this long, or two round trips if that is longer.
pub(crate) const DEAD_AFTER: Duration = ms(1500);
/// A deadline that is met this much later says nothing of the path: we had no time to look for answers.
pub(crate) const LATE: Duration = ms(150);
/// For how long a path that died has to answer before it is taken again; doubles up to [`PROBATION_MAX`] when it dies again soon.
pub(crate) const PROBATION: Duration = ms(1000);
/// Longest probation.
pub(crate) const PROBATION_MAX: Duration = ms(300_000);
/// Answers in a row that a probation takes.
pub(crate) const PROBATION_ANSWERS: u32 = 3;
/// How often an address on probation is asked.
pub(crate) const PROBATION_GAP: Duration = ms(500);
/// Longest pause after an answer.
pub(crate) const PROBATION_REST: Duration = ms(5000);
/// An address that has answered nothing for this long is left to the rounds: by then its mapping may be gone, and what comes
/// to a port that nobody has opened can spoil it.
pub(crate) const PROBATION_FOR: Duration = ms(20_000);
/// A path that was in use for this long is not held responsible for its last death.
pub(crate) const FORGIVEN: Duration = ms(60_000);

/// An idle path is asked after this long at first, and after as much as the last of these if that keeps working.
pub(crate) const KEEPALIVES: [Duration; 3] = [ms(15_000), ms(20_000), ms(25_000)];
/// Keepalives leave up to this much earlier or later, so that many do not march in step.
pub(crate) const KEEPALIVE_JITTER: Duration = ms(2000);
/// What is due for idle peers within this time is done together.
pub(crate) const TOGETHER: Duration = ms(1000);
/// As many as this at once,
pub(crate) const BATCH: u32 = 64;
/// and as many more this much earlier: what all peers that there may be are asked then takes a second.
pub(crate) const BATCH_GAP: Duration = ms(1000 / (MAX_PEERS as u64 / BATCH as u64));
/// Whoever has more peers than this asks them before they ask, so that their answers come together.
pub(crate) const CROWD: usize = 16;
/// Keepalives in a row, answered or heard, after which the next longer pause is tried.
pub(crate) const KEEPALIVE_CLEAN: u32 = 3;
/// Shortest pause between keepalives, however soon mappings die.
pub(crate) const KEEPALIVE_FLOOR: Duration = ms(10_000);
/// An unanswered keepalive is repeated after this long, and the path suspect after as much again.
pub(crate) const KEEPALIVE_RETRY: Duration = ms(1000);
/// Mappings that die at ages no further apart than this die regularly. From this long before to this long after the next
/// such moment the relay is given everything too.
pub(crate) const REGULAR_WITHIN: Duration = ms(1000);
/// Mappings that live shorter are no matter of age.
pub(crate) const REGULAR_FROM: Duration = ms(20_000);
/// A peer that hears nothing says so more often than this.
pub(crate) const DEAF_FOR: Duration = ms(250);
/// How often a path is asked that is expected to die.
pub(crate) const EXPECTED_GAP: Duration = ms(100);
/// How often a spare path is asked, which keeps it open and measures it.
pub(crate) const SPARE_EVERY: Duration = ms(25_000);
/// A path that is better by this much, or a fifth, is worth a change.
pub(crate) const CLEARLY_FASTER: Duration = ms(10);
/// IPv4 has to be this much faster than IPv6.
pub(crate) const V6_BIAS: Duration = ms(10);
/// Within this time of the first choice a clearly better path is taken at once.
pub(crate) const CHOOSING: Duration = ms(1000);
/// Later only when it was better this often in a row,
pub(crate) const WINS: u32 = 3;
/// over at least this time,
pub(crate) const WINS_SPAN: Duration = ms(3000);
/// and the present path has been in use for this long.
pub(crate) const DWELL: Duration = ms(10_000);

/// When rounds follow each other while relayed, counted from the last; then [`ROUND_LATER`].
pub(crate) const ROUND_GAPS: [Duration; 3] = [ms(5_000), ms(10_000), ms(30_000)];
/// Gap of later rounds, ± 20 %.
pub(crate) const ROUND_LATER: Duration = ms(60_000);
/// Rounds need traffic within this time: an idle relayed link is left alone.
pub(crate) const ROUND_TRAFFIC: Duration = ms(60_000);
/// Rounds that a change of candidates starts are at least this far apart.
pub(crate) const ROUND_SPACING: Duration = ms(1000);
/// A link without connections is kept for this long.
pub(crate) const LINGER: Duration = ms(10_000);
/// Who came by itself and has left is still shown for this long; then all that is known of it is forgotten.
pub(crate) const SHOWN: Duration = ms(20_000);
/// Addresses to which a hello is said because a peer asks for it.
pub const MAX_CALLED_BACK: usize = 2;
/// First and longest wait before a failed peer that is still wanted is tried again.
pub(crate) const RETRY: (Duration, Duration) = (ms(500), ms(30_000));
/// A relay that does not know the peer of an established link is asked again after this long, doubling to a minute.
pub(crate) const REBIND: Duration = ms(1000);

/// Bytes that may go to unproven addresses per authenticated byte from the peer that named them.
pub(crate) const CREDIT_FACTOR: i64 = 3;
/// Probes that an address attested by the relay gets on top, per round.
pub(crate) const ATTESTED_PROBES: i64 = 64;
/// Probes per second over all peers.
pub(crate) const PROBES_PER_SECOND: u32 = 400;
/// INTROs opened per second that come directly from somebody: each costs some X25519.
pub(crate) const HELLOS_PER_SECOND: u32 = 200;
/// Probes that an address which no relay attests gets in one round, all its ports together: 240 bytes.
pub(crate) const UNATTESTED_PROBES: u32 = 3;
/// Probes per minute to one address that no relay attests, over all peers.
pub(crate) const UNATTESTED_PER_MINUTE: u32 = 10;
/// Lowest and highest TTL that opens our own NAT without reaching the peer's.
pub(crate) const LOW_TTL: (u8, u8) = (2, 5);
/// Peers with any state, twice as many as may have connections. Idle ones give way; then those who came by themselves and
/// have no connection, of the greediest network the oldest first.
pub(crate) const MAX_PEERS: usize = 8192;

/// How long ports are guessed on computers at leisure.
pub(crate) const GUESS_TIME: Duration = ms(12_000);
/// The same where somebody has no time in between: whoever guesses says when all guesses are made.
pub(crate) const GUESS_LONGEST: Duration = ms(24_000);
/// Guesses in that time; it is also what an answer can be told by.
pub(crate) const GUESSES: usize = 2048;
/// Time for each guess: 200 in a second.
pub(crate) const GUESS_PACE: Duration = ms(5);
/// When the guesses that are due are sent.
pub(crate) const GUESS_TICK: Duration = ms(20);
/// Guesses that are sent together at most, after a tick came late.
pub(crate) const GUESS_BURST: u32 = 16;
/// How long connectivity checks have the line for themselves where they may well succeed.
pub(crate) const GUESS_GRACE: Duration = ms(1000);
/// Between two runs, for whatever peers.
pub(crate) const GUESS_SPACING: Duration = ms(20_000);
/// After a run in vain for the same peer; doubles up to [`GUESS_REST_MAX`].
pub(crate) const GUESS_REST: Duration = ms(60_000);
/// Longest rest.
pub(crate) const GUESS_REST_MAX: Duration = ms(3_600_000);
/// How often PUNCH_GO is repeated.
pub(crate) const GO_EVERY: Duration = ms(500);
/// Without PUNCH_GO for this long no guesses are made until it comes again: the peer stopped, or has no time.
pub(crate) const GO_TIMEOUT: Duration = ms(1000);
/// Holes in a NAT that chooses ports at random: 1,148 guesses then hit one with 99 % (docs/traversal.md, 4).
pub(crate) const HOLES: u16 = 256;
/// The same where it chooses within a block of some thousand ports.
pub(crate) const HOLES_BLOCK: u16 = 64;
/// Holes in a NAT that counts, at first.
pub(crate) const HOLES_COUNTED: u16 = 16;
/// When a NAT that counts is treated like one that chooses at random: its count was not what was believed.
pub(crate) const WIDEN_AFTER: Duration = ms(1000);
/// Holes where both NATs count.
pub(crate) const HOLES_MEET: u16 = 64;
/// How far ahead of the peer's count its port is expected, to leave room for other users of its NAT.
pub(crate) const MEET_OFFSET: i16 = 40;
/// When the packets that opened our NAT are repeated, to get through the peer's now.
pub(crate) const MEET_SECOND_PASS: Duration = ms(150);
/// How long such a try takes, and how many there are.
pub(crate) const MEET_TIME: Duration = ms(2000);
/// See [`MEET_TIME`].
pub(crate) const MEET_TRIES: u32 = 2;
/// Holes are opened this many at a time, this far apart; their packets get no further than our own NATs.
pub(crate) const OPEN_BURST: usize = 16;
/// See [`OPEN_BURST`].
pub(crate) const OPEN_GAP: Duration = ms(5);
/// How long each request for a sample waits for its answer.
pub(crate) const SAMPLE_TRIES: [Duration; 3] = [ms(200), ms(400), ms(400)];
/// A link gets one fresh port in this time: a path that keeps dying is not to be replaced for ever.
pub(crate) const FRESH_PORT_REST: Duration = ms(300_000);
/// Ports ahead of a sample that are guessed first.
pub(crate) const PREDICTED: i16 = 256;
/// Ports on either side of a known one that are guessed first, where nothing is known of how the NAT chooses.
pub(crate) const NEIGHBOURS: u16 = 16;
/// How long a dial may take, but for the time that the peer's relay does not reach it; and an incoming handshake.
pub const CONNECT_TIMEOUT: Duration = ms(9000);
/// How long a dial waits for a peer that its relay does not reach, if it is not given up before.
pub const UNREACHED_TIMEOUT: Duration = ms(25_000);

/// How long we stay registered with a relay that is not ours after the last link that needed it is gone.
pub(crate) const UNUSED_RELAY: Duration = ms(60_000);
/// A relay that is about to stop is left so long after the last link went by it.
pub(crate) const LEAVE_AFTER: Duration = ms(1000);
/// A relay that is to become the home relay is nearer by so much at least, and by a third; by Tailscale's netcheck.
pub(crate) const NEARER_BY: Duration = ms(10);
/// For how long a round trip to a relay counts.
pub(crate) const RTT_REMEMBERED: Duration = ms(300_000);
/// For how long the home relay stays the same after it changed, unless it dies.
pub(crate) const HOME_KEPT: Duration = ms(300_000);
/// The first measurements are in by then; until then the home relay may change at any time.
pub(crate) const HOME_SETTLES: Duration = ms(10_000);
/// Mean pause between KEEPALIVEs to a relay, and how far a single one may be off, so that clients do not march in step. Whoever
/// waits knows within 15 s of a relay that died without a word, and a NAT keeps an idle UDP mapping for twice as long.
pub const RELAY_KEEPALIVE: Duration = ms(10_000);
pub const RELAY_KEEPALIVE_JITTER: Duration = ms(2_000);
/// Within this time a relay must answer a KEEPALIVE; time for two retransmissions.
pub const RELAY_ANSWERS_WITHIN: Duration = ms(3_000);
/// Without an answer for so long, or four round trips if that is longer, links look for another relay: time for one retransmission.
pub const RELAY_SILENT_AFTER: Duration = ms(1_000);
/// How often a relay is asked where it sees us in the family that we are not registered in: below the 30 s that a NAT keeps an
/// idle UDP mapping.
pub(crate) const ECHO_REFRESH: Duration = ms(25_000);
/// Such a question is repeated after this long, so often, and then with the next refreshment.
pub(crate) const ECHO_REPEAT: Duration = ms(1000);
/// See [`ECHO_REPEAT`].
pub(crate) const ECHO_TRIES: u32 = 3;
/// A relay's place goes to another one that its operator names once in this long at most.
pub(crate) const MOVED_AGAIN: Duration = ms(60_000);
/// What is tried again and again and fails for the same reason is told again after this long.
pub(crate) const TOLD_AGAIN: Duration = ms(600_000);

/// How often a link is looked at that sends, and for how long after its last packet.
pub(crate) const LOOK_EVERY: Duration = ms(50);
/// See [`LOOK_EVERY`].
pub(crate) const LOOK_FOR: Duration = ms(1000);
/// A lane that is sent on for this long, or three round trips if that is longer, without an answer has its relay checked.
pub(crate) const LANE_PATIENCE: Duration = ms(250);
/// A link that carries no more bytes than this in a second is kept alive, not used.
pub(crate) const IN_USE: u64 = 256;
/// A link that got no answer for this long begins anew when its route is set.
pub(crate) const STALLED: Duration = ms(1000);
/// After this long away, nothing that was known of the network counts.
pub(crate) const AWAY: Duration = ms(5000);
/// Waking up this much later than planned, we have not looked for what came in.
pub(crate) const INATTENTIVE: Duration = ms(150);
/// How long lane packets are held that came before their channel was known.
pub(crate) const EARLY_TIME: Duration = ms(250);

/// The NAT is measured again after this long.
pub(crate) const NAT_CHECK_EVERY: Duration = ms(300_000);
/// The NAT is measured this long after the network changed: such changes come in bursts.
pub(crate) const NAT_CHECK_SOON: Duration = ms(50);
/// A relay that was asked about the NAT less than this long ago would tell the same.
pub(crate) const NAT_CHECK_FRESH: Duration = ms(10_000);

/// Nodes of the Mainline DHT that may be asked where they see us.
pub(crate) const OBSERVERS: usize = 64;
/// Of those, how many are asked at once,
pub(crate) const OBSERVERS_AT_ONCE: usize = 8;
/// how many have to agree,
pub(crate) const OBSERVERS_WANTED: usize = 3;
/// after how many that do not it is the NAT that gives each another port,
pub(crate) const OBSERVERS_TOLD: usize = 8;
/// and how many are asked from then on,
pub(crate) const OBSERVERS_KEPT: usize = 2;
/// so often: below the 30 s that a NAT keeps an idle UDP mapping.
pub(crate) const OBSERVING_EVERY: Duration = ms(20_000);
/// For how long each may take to answer.
pub(crate) const OBSERVER_PATIENCE: Duration = ms(1000);
