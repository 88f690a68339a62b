"""One node of libtorrent for `peerway-benches share`, as `node.rs` is one of Peerway, and what describes a file to it:

  torrent.py describe FILE      writes FILE.torrent, of version 1
  torrent.py seed FILE          says "ready CPU CONTACT" once all is checked, and serves until its input ends
  torrent.py get FOLDER         says "ready CPU", reads a line "CONTACT...", and says "done SECONDS"

CPU is the processor time so far, in seconds.
"""

import os, sys, time
import libtorrent as lt

QUIET = {
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "allow_multiple_connections_per_ip": True,
    # Neither is encryption, which costs processor time.
    "out_enc_policy": int(lt.enc_policy.disabled),
    "in_enc_policy": int(lt.enc_policy.disabled),
    "alert_mask": 0,
}


def say(*words):
    print(*words, flush=True)


def describe(file):
    torrent = lt.create_torrent(lt.list_files(file), flags=lt.create_torrent.v1_only)
    lt.set_piece_hashes(torrent, os.path.dirname(file))
    with open(file + ".torrent", "wb") as out:
        out.write(lt.bencode(torrent.generate()))


def add(session, torrent, folder):
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(torrent)
    params.save_path = folder
    params.flags &= ~(lt.torrent_flags.paused | lt.torrent_flags.auto_managed)
    return session.add_torrent(params)


def seed(file):
    session = lt.session(QUIET)
    handle = add(session, file + ".torrent", os.path.dirname(file))
    while not handle.status().is_seeding or not session.listen_port():
        time.sleep(0.01)
    say("ready", time.process_time(), f"{file}.torrent:{session.listen_port()}")
    sys.stdin.read()


def get(folder):
    session = lt.session(QUIET)
    while not session.listen_port():
        time.sleep(0.01)
    say("ready", time.process_time())
    seeds = [seed.rsplit(":", 1) for seed in sys.stdin.readline().split()]
    begun = time.monotonic()
    handle = add(session, seeds[0][0], folder)
    for _, port in seeds:
        handle.connect_peer(("127.0.0.1", int(port)))
    while not handle.status().is_seeding:
        time.sleep(0.002)
    say("done", time.monotonic() - begun)
    sys.stdin.read()


if __name__ == "__main__":
    {"describe": describe, "seed": seed, "get": get}[sys.argv[1]](sys.argv[2])
