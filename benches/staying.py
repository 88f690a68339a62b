#!/usr/bin/env python3
"""What a node that stays takes of a computer, and its dashboard, of the program PROGRAM (as target/release/peerway):

  benches/staying.py PROGRAM idle [--peers 10] [--seconds 60]
      `peerway up` with so many idle peers on loopback: processor time, and what is resident of it.
  benches/staying.py PROGRAM dashboard [--peers 10] [--seconds 20] [--keys f] [--unread] [--changing 1]
      The dashboard at 120x40 attached to a node of so many peers, of which each second some change: time to the first frame,
      processor time, bytes written, memory. The node is this script, which answers at the control socket what a real one did.
      50 peers are busy, and of the others the share --changing (one in 20) has something new each second: another round trip, and bytes.
      --keys are pressed first; with --unread nobody reads the terminal.
"""

import argparse, base64, fcntl, itertools, json, os, pty, select, shutil, signal, socket, struct, subprocess, tempfile, termios, threading, time

SOCKET = "run/control.sock"
# A node keeps idle links alive every 15 to 25 seconds; so long is what is played.
SECONDS = 20
# Peers of a part, as a node has it.
PART = 64


def environment():
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PEERWAY")}
    # The socket is in the state folder then.
    return kept | {"XDG_RUNTIME_DIR": "/nonexistent", "TERM": "xterm-256color", "LANG": "C.UTF-8"}


def up(program, state):
    options = ["--state-dir", state, "--bind", "127.0.0.1:0", "--no-lan", "--json", "up"]
    node = subprocess.Popen([program, *options], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return node, json.loads(node.stdout.readline())


def curl(ready, path, body=None):
    command = ["curl", "-sf", "--unix-socket", ready["socket"], "http://peerway" + path]
    command += ["--json", json.dumps(body)] if body else []
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def processor_time(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat") as stat:
                total += int(stat.read().split()[0])
        except FileNotFoundError:
            pass
    return total / 1e9


def memory(pid, program):
    """MiB: all that is resident, its own, pages of the program's file."""
    resident = own = of_file = 0
    name = ""
    with open(f"/proc/{pid}/smaps") as maps:
        for line in maps:
            words = line.split()
            if not words[0].endswith(":"):
                name = words[-1] if len(words) > 5 else ""
            elif words[0] == "Rss:":
                resident += int(words[1])
                of_file += int(words[1]) if name == os.path.realpath(program) else 0
            elif words[0] == "Anonymous:":
                own += int(words[1])
    return f"{resident / 1024:.1f} MiB resident, {own / 1024:.1f} its own, {of_file / 1024:.1f} of the program's file"


def idle(args, work):
    nodes = [up(args.program, f"{work}/{number}") for number in range(args.peers + 1)]
    try:
        node, ready = nodes[0]
        for _, peer in nodes[1:]:
            curl(ready, "/v1/peers", {"ticket": peer["ticket"]})
        time.sleep(30)
        before, begin = processor_time(node.pid), time.monotonic()
        time.sleep(args.seconds)
        share = (processor_time(node.pid) - before) / (time.monotonic() - begin)
        linked = [peer["state"] for peer in json.loads(curl(ready, "/v1/peers"))]
        print(f"{linked.count('direct')} direct peers: {100 * share:.3f} % of a core; {memory(node.pid, args.program)}")
    finally:
        for node, _ in nodes:
            node.terminate()
        for node, _ in nodes:
            node.wait()


def template(program, work):
    """What a node with one peer says, from which the others are made."""
    nodes = [up(program, f"{work}/{name}") for name in ("a", "b")]
    try:
        curl(nodes[0][1], "/v1/peers", {"ticket": nodes[1][1]["ticket"]})
        time.sleep(3)
        return json.loads(curl(nodes[0][1], "/v1/status"))
    finally:
        for node, _ in nodes:
            node.terminate()
            node.wait()


def snapshots(program, work, count, changing):
    """The node in each of some seconds: 50 peers are busy, and of the others so large a share has something new each second."""
    said = template(program, work)
    ids = sorted(peer_ids(count), key=lambda text: base64.b32decode(text.upper() + "===="))
    seconds = []
    # Twice, as the first time some have not been heard of.
    for second in [*range(SECONDS), *range(SECONDS)]:
        peers = []
        for number, peer_id in enumerate(ids):
            is_heard = number < 50 or (number + second) % SECONDS < changing * SECONDS
            if seconds and not is_heard:
                peers.append(seconds[-1]["peers"][number])
                continue
            peer = said["peers"][0] | {"id": peer_id, "rtt_ms": 20 + (number * 7 + second) % 150}
            rate = (number * 131 + second * 17) % 100_000 if number < 50 else 0
            told = {"rx_bytes": peer["traffic"]["rx_bytes"] + 1200 * len(seconds), "rx_rate": rate}
            flows = [flow | {"traffic": flow["traffic"] | told} for flow in peer["flows"]]
            peers.append(peer | {"traffic": peer["traffic"] | told, "flows": flows})
        seconds.append(said | {"peers": peers, "at_ms": said["at_ms"] + 1000 * second})
    return said["id"], seconds[SECONDS:]


def peer_ids(count):
    """Points of the curve, as public keys are: multiples of its base point (RFC 8032)."""
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p
    base = (15112221349535400772501151409588531511454012693041857206046113283949847762202, 4 * pow(5, -1, p) % p)
    (x, y), ids = base, []
    for _ in range(count):
        key = y | (x & 1) << 255
        ids.append(base64.b32encode(key.to_bytes(32, "little")).decode().rstrip("=").lower())
        product = d * x * y * base[0] * base[1] % p
        x, y = (
            (x * base[1] + y * base[0]) * pow(1 + product, -1, p) % p,
            (y * base[1] + x * base[0]) * pow(1 - product, -1, p) % p,
        )
    return ids


def to_json(value):
    return json.dumps(value, separators=(",", ":")).encode()


def lines(values):
    return [b"data: %s\n\n" % to_json(value) for value in values]


def in_parts(changed):
    return [to_json(changed[at : at + PART]) for at in range(0, max(len(changed), 1), PART)]


def told(seconds):
    """By path, what a node tells at once, and what in each second after it."""
    whole, parts = seconds[0], []
    times = {key: whole[key] for key in ("at_ms", "uptime_ms")}
    for at in range(0, len(whole["peers"]), PART):
        node = (times if at else whole) | {"peers": whole["peers"][at : at + PART]}
        parts.append({"seq": len(parts), "more": at + PART < len(whole["peers"]), "node": node})
    peers, fields = [], []
    for number in range(SECONDS):
        pairs = list(enumerate(zip(seconds[(number + 1) % SECONDS]["peers"], seconds[number]["peers"])))
        changed = [(place, now, before) for place, (now, before) in pairs if now != before]
        peers.append(in_parts([now for _, now, _ in changed]))
        news = [(place, {key: now[key] for key in now if now[key] != before.get(key)}) for place, now, before in changed]
        fields.append(in_parts([{"place": place} | new for place, new in news]))

    def changes(key, each):
        seq = len(parts)
        for number in itertools.count():
            at_ms, said = whole["at_ms"] + 1000 * (number + 1), each[number % SECONDS]
            second = []
            for at, part in enumerate(said):
                node = b'{"at_ms":%d,"uptime_ms":%d,"%s":%s}' % (at_ms, whole["uptime_ms"], key, part)
                more = b"false" if at + 1 == len(said) else b"true"
                second.append(b'data: {"seq":%d,"more":%s,"node":%s}\n\n' % (seq, more, node))
                seq += 1
            yield b"".join(second)

    every_second = lines(seconds)
    return {
        "/v1/watch": (every_second[:1], lambda: itertools.cycle(every_second[1:] + every_second[:1])),
        "/v1/changes": (lines(parts), lambda: changes(b"peers", peers)),
        "/v1/changes/fields": (lines(parts), lambda: changes(b"changed", fields)),
        "/v1/events": ([], lambda: itertools.repeat(b"")),
    }


def answer(client, own_id, streams):
    asked = b""
    while b"\r\n\r\n" not in asked:
        more = client.recv(65536)
        if not more:
            return
        asked += more
    path = asked.split()[1].decode()
    head = b"HTTP/1.1 200 OK\r\nserver: peerway/0.1.0\r\n"
    whole = {
        "/v1/version": {"version": "0.1.0", "id": own_id, "pid": 1, "options": {}, "rights": "owner"},
        "/v1/swarm": {"at_ms": 0, "groups": [], "refused": 0, "sent_bytes": 0, "received_bytes": 0},
    }
    try:
        if path in whole:
            body = json.dumps(whole[path]).encode()
            client.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            return
        if path not in streams:
            body = b'{"error":"there is nothing here"}'
            client.sendall(b"HTTP/1.1 404 Not Found\r\nserver: peerway/0.1.0\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            return
        client.sendall(head + b"content-type: text/event-stream\r\n\r\n:\n\n")
        at_once, later = streams[path]
        client.sendall(b"".join(at_once))
        for line in later():
            time.sleep(1)
            client.sendall(line)
    except OSError:
        pass


def serve(path, own_id, streams):
    os.makedirs(os.path.dirname(path), mode=0o700)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(64)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=answer, args=(client, own_id, streams), daemon=True).start()


def dashboard(args, work):
    own_id, seconds = snapshots(args.program, work, args.peers, args.changing)
    state = f"{work}/shown"
    subprocess.run([args.program, "--state-dir", state, "id"], check=True, capture_output=True)
    threading.Thread(target=serve, args=(f"{state}/{SOCKET}", own_id, told(seconds)), daemon=True).start()
    time.sleep(1)
    begin = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        os.execve(args.program, [args.program, "--state-dir", state], environment())
    first, printed, total = None, b"", 0

    def read_for(seconds):
        nonlocal first, printed, total
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([terminal], [], [], left)[0]:
                new = os.read(terminal, 1 << 16)
                printed, total = (printed + new)[-65536:], total + len(new)
                if first is None and b"Peers" in printed:
                    first = time.monotonic() - begin

    try:
        read_for(10)
        os.write(terminal, args.keys.encode())
        read_for(3)
        before, written, since = processor_time(pid), total, time.monotonic()
        if args.unread:
            time.sleep(args.seconds)
        else:
            read_for(args.seconds)
        took = time.monotonic() - since
        share = (processor_time(pid) - before) / took
        shown = f"{1000 * first:.0f} ms" if first else "none"
        rate = "nobody reads" if args.unread else f"{(total - written) / took:.0f} bytes/s"
        print(f"{args.peers} peers: first frame {shown}; {100 * share:.2f} % of a core; {rate}; {memory(pid, args.program)}")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=os.path.realpath)
    parser.add_argument("what", choices=["idle", "dashboard"])
    parser.add_argument("--peers", type=int, default=10)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--keys", default="")
    parser.add_argument("--changing", type=float, default=0.05)
    parser.add_argument("--unread", action="store_true")
    args = parser.parse_args()
    args.seconds = args.seconds or {"idle": 60, "dashboard": 20}[args.what]
    with tempfile.TemporaryDirectory() as work:
        {"idle": idle, "dashboard": dashboard}[args.what](args, work)


main()
