#!/usr/bin/env python3
"""What services and files cost on loopback, of the program PROGRAM (as target/release/peerway), each with a process for either side:

  benches/services.py PROGRAM tcp [--rounds 3] [--seconds 5]
      A forward of TCP beside `peerway speed` over the same kind of link, in turns: throughput by iperf3 with one and eight
      connections; what is added to a small request; a keystroke while the same link is full.
  benches/services.py PROGRAM udp [--rounds 3] [--seconds 5]
      A forward of UDP: processor time of either side and losses by iperf3 at several rates, 1,200 bytes each; what is added to a
      datagram at 200/s.
  benches/services.py PROGRAM send [--rounds 3] [--megabytes 1024] [--files 20000]
      `send` of a large file and of many small ones in /dev/shm beside `peerway speed` and rsync over ssh, in turns.

  benches/services.py PROGRAM share [--rounds 3] [--megabytes 1024]
      A keystroke by a forward while shared content is fetched over the same link, and on the idle link.

Needs iperf3, for send rsync, ssh and sshd. The figures of a round are printed as they come, then the medians.
"""

import argparse, json, os, shutil, socket, statistics, subprocess, tempfile, threading, time

QUIET = ["--bind", "127.0.0.1:0", "--no-lan", "--no-dht", "--json"]
LOOPBACK = "127.0.0.1"


class Process:
    """A program with --json, until it is left."""

    def __init__(self, command, **options):
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **options)

    def first(self, event):
        for line in self.child.stdout:
            said = json.loads(line)
            if said.get("event") == event:
                # What comes after it has to go somewhere.
                threading.Thread(target=self.child.stdout.read, daemon=True).start()
                return said
        raise SystemExit(f"{self.child.args}: ended before it said {event}")

    def time(self):
        """Processor seconds so far, of all threads."""
        with open(f"/proc/{self.child.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def time_with_children(self):
        """The same, with that of processes which it started and that have ended."""
        with open(f"/proc/{self.child.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait()


def environment():
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PEERWAY")}
    return kept | {"XDG_RUNTIME_DIR": "/nonexistent"}


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def speed(args, work, ticket):
    """MB/s of one direction over a link of the same kind."""
    command = [args.program, "--state-dir", f"{work}/speed", *QUIET, "speed", "--seconds", str(args.seconds), ticket]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment()).stdout
    return json.loads(said.splitlines()[-1])["up_mbps"] / 8


def iperf(port, seconds, *options):
    command = ["iperf3", "-c", LOOPBACK, "-p", str(port), "-t", str(seconds), "-J", *options]
    done = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    if "error" in done:
        raise SystemExit(f"iperf3: {done['error']}")
    return done["end"]


def echo_tcp(listener):
    while True:
        client, _ = listener.accept()
        threading.Thread(target=echo_stream, args=(client,), daemon=True).start()


def echo_stream(client):
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while data := client.recv(4096):
            client.sendall(data)
    except ConnectionResetError:
        pass


def echo_udp(server):
    while True:
        data, client = server.recvfrom(2048)
        server.sendto(data, client)


def asked(client, payload, count, pause=0.0):
    """Milliseconds of each question."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        client.send(payload)
        client.recv(2048)
        times.append(1000 * (time.perf_counter() - began))
        time.sleep(pause)
    return times


def dial(port, kind):
    client = socket.socket(socket.AF_INET, kind)
    client.settimeout(10)
    if kind == socket.SOCK_STREAM:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.connect((LOOPBACK, port))
    return client


def await_answers(port, kind):
    """A forward may not listen yet."""
    for _ in range(100):
        try:
            return asked(dial(port, kind), b"?", 10)
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise SystemExit("the forward does not lead to its server")


def p99(times):
    return statistics.quantiles(times, n=100)[98]


class Figures:
    def __init__(self):
        self.of = {}

    def add(self, name, value):
        self.of.setdefault(name, []).append(value)
        print(f"  {name}: {value:.3f}", flush=True)

    def medians(self):
        print("medians:")
        for name, values in self.of.items():
            print(f"  {name}: {statistics.median(values):.3f}  ({min(values):.3f} to {max(values):.3f})")


class Homes:
    """Two nodes, one of which exposes these servers, and the other forwards to each at a port of its own."""

    def __init__(self, args, work, targets):
        self.ports = {name: free_port(socket.SOCK_STREAM) for name in targets}
        if "load" in targets:
            # iperf3 has one port for its words by TCP and for the load.
            self.ports["load"] = self.ports["control"]
        self.nodes = []
        home = self.up(args, f"{work}/home", "".join(f'[expose.{name}]\ntarget = "{target}"\n' for name, target in targets.items()))
        self.ticket = home["ticket"]
        lines = []
        for name, target in targets.items():
            scheme = "udp://" if target.startswith("udp://") else ""
            lines.append(f'[forward."{self.ticket}/{name}"]\nlisten = "{scheme}{LOOPBACK}:{self.ports[name]}"\n')
        self.up(args, f"{work}/away", "".join(lines))

    def up(self, args, state, services):
        os.makedirs(state)
        with open(f"{state}/services.toml", "w") as file:
            file.write(services)
        self.nodes.append(Process([args.program, "--state-dir", state, *QUIET, "up"], env=environment()))
        return self.nodes[-1].first("ready")

    def times(self):
        """Processor seconds of who exposes, and of who forwards."""
        return [node.time() for node in self.nodes]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.__exit__()


def tcp(args, work, figures):
    port = free_port(socket.SOCK_STREAM)
    echo = socket.create_server((LOOPBACK, 0))
    threading.Thread(target=echo_tcp, args=(echo,), daemon=True).start()
    own = echo.getsockname()[1]
    with Process(["iperf3", "-s", "-p", str(port)]), Homes(args, work, {"bulk": f"{LOOPBACK}:{port}", "echo": f"{LOOPBACK}:{own}"}) as homes:
        await_answers(homes.ports["echo"], socket.SOCK_STREAM)
        iperf(homes.ports["bulk"], 1)
        for _ in range(args.rounds):
            before = speed(args, work, homes.ticket)
            for connections in (1, 8):
                began = homes.times()
                done = iperf(homes.ports["bulk"], args.seconds, "-P", str(connections))["sum_received"]
                spent = sum(homes.times()) - sum(began)
                after = speed(args, work, homes.ticket)
                rate = done["bits_per_second"] / 8e6
                figures.add(f"{connections} connections, MB/s", rate)
                figures.add(f"{connections} connections, of what speed shows before and after", 2 * rate / (before + after))
                figures.add(f"{connections} connections, CPU s/GB of both nodes", spent / (done["bytes"] / 1e9))
                before = after
            direct = asked(dial(own, socket.SOCK_STREAM), b"?" * 64, 1000)
            through = dial(homes.ports["echo"], socket.SOCK_STREAM)
            idle = asked(through, b"?" * 64, 1000)
            figures.add("request of 64 bytes, ms more than directly", statistics.median(idle) - statistics.median(direct))
            paced = asked(through, b"k", 100, 0.02)
            filling = threading.Thread(target=iperf, args=(homes.ports["bulk"], 4))
            filling.start()
            time.sleep(1)
            busy = asked(through, b"k", 100, 0.02)
            filling.join()
            figures.add("keystroke beside a full link, of an idle one, median", statistics.median(busy) / statistics.median(paced))
            figures.add("keystroke beside a full link, ms, p99", p99(busy))


def udp(args, work, figures):
    port = free_port(socket.SOCK_STREAM)
    echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    echo.bind((LOOPBACK, 0))
    threading.Thread(target=echo_udp, args=(echo,), daemon=True).start()
    own = echo.getsockname()[1]
    targets = {"control": f"{LOOPBACK}:{port}", "load": f"udp://{LOOPBACK}:{port}", "echo": f"udp://{LOOPBACK}:{own}"}
    with Process(["iperf3", "-s", "-p", str(port)]), Homes(args, work, targets) as homes:
        await_answers(homes.ports["echo"], socket.SOCK_DGRAM)
        # A forward whose service is not known yet listens for both, so the one of UDP at its port is tried again after 5 s.
        time.sleep(8)
        for _ in range(args.rounds):
            for thousands in (20, 50, 100):
                began = homes.times()
                load = ["-u", "-l", "1200", "-b", str(thousands * 9_600_000)]
                done = iperf(homes.ports["control"], args.seconds, *load)["sum"]
                spent = [after - before for after, before in zip(homes.times(), began)]
                came = done["packets"] - done["lost_packets"]
                figures.add(f"{thousands},000/s: sent, thousands/s", done["packets"] / done["seconds"] / 1000)
                figures.add(f"{thousands},000/s: lost, %", done["lost_percent"])
                figures.add(f"{thousands},000/s: who forwards, µs of CPU a datagram", 1e6 * spent[1] / done["packets"])
                figures.add(f"{thousands},000/s: who exposes, µs of CPU a datagram", 1e6 * spent[0] / max(came, 1))
            direct = asked(dial(own, socket.SOCK_DGRAM), b"?" * 64, 400, 0.005)
            through = asked(dial(homes.ports["echo"], socket.SOCK_DGRAM), b"?" * 64, 400, 0.005)
            figures.add("at 200/s, ms more than directly, median", statistics.median(through) - statistics.median(direct))
            figures.add("at 200/s, ms more than directly, p99", p99(through) - p99(direct))


def share(args, work, figures):
    echo = socket.create_server((LOOPBACK, 0))
    threading.Thread(target=echo_tcp, args=(echo,), daemon=True).start()
    with Homes(args, work, {"echo": f"{LOOPBACK}:{echo.getsockname()[1]}"}) as homes:
        await_answers(homes.ports["echo"], socket.SOCK_STREAM)
        for _ in range(args.rounds):
            content = f"{work}/content"
            with open(content, "wb") as file:
                for _ in range(args.megabytes):
                    file.write(os.urandom(1 << 20))
            link = command(args, f"{work}/home", "share", "--public", content)["link"]
            through = dial(homes.ports["echo"], socket.SOCK_STREAM)
            idle = asked(through, b"k", 100, 0.02)
            fetching = threading.Thread(target=command, args=(args, f"{work}/away", "get", link, "--output", f"{work}/copy"))
            began = time.monotonic()
            fetching.start()
            busy = []
            while fetching.is_alive():
                busy += asked(through, b"k", 5, 0.02)
            took = time.monotonic() - began
            check(content, f"{work}/copy")
            os.remove(f"{work}/copy")
            figures.add("fetched, MB/s", args.megabytes * (1 << 20) / 1e6 / took)
            figures.add("keystrokes meanwhile", len(busy))
            figures.add("keystroke on the idle link, ms", statistics.median(idle))
            figures.add("keystroke beside a fetch, of an idle link, median", statistics.median(busy) / statistics.median(idle))
            figures.add("keystroke beside a fetch, ms, p99", p99(busy))


def command(args, state, *words):
    """The last line of what a command says at a node that runs."""
    line = [args.program, "--state-dir", state, "--json", *words]
    said = subprocess.run(line, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()).stdout
    return json.loads(said.splitlines()[-1])


class Sshd:
    """A server of its own for rsync, with keys of its own."""

    def __init__(self, work):
        self.work, self.port = work, free_port(socket.SOCK_STREAM)
        for key in ("host", "own"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{work}/{key}"], check=True)
        os.makedirs("/run/sshd", exist_ok=True)
        options = {"HostKey": f"{work}/host", "AuthorizedKeysFile": f"{work}/own.pub", "StrictModes": "no", "PidFile": "none"}
        options |= {"ListenAddress": LOOPBACK, "UsePAM": "no", "PermitRootLogin": "yes"}
        command = [shutil.which("sshd", path="/usr/sbin:/usr/bin"), "-D", "-p", str(self.port), "-f", "/dev/null"]
        self.process = Process(command + [word for option in options.items() for word in ("-o", "=".join(option))])

    def shell(self):
        known = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o IdentitiesOnly=yes"
        return f"ssh -p {self.port} -i {self.work}/own {known}"


def spent_by_children():
    times = os.times()
    return times.children_user + times.children_system


def timed(run):
    began, before = time.monotonic(), spent_by_children()
    run()
    return time.monotonic() - began, spent_by_children() - before


def send(args, work, figures):
    sources = {"large": (1, args.megabytes << 20), "many": (args.files, 4096)}
    sshd = Sshd(work)
    try:
        for name, (count, size) in sources.items():
            os.makedirs(f"{work}/{name}")
            for number in range(count):
                with open(f"{work}/{name}/{number}", "wb") as file:
                    for _ in range(0, size, 1 << 20):
                        file.write(os.urandom(min(size, 1 << 20)))
        # Whose link `speed` measures.
        answers = [args.program, "--state-dir", f"{work}/answers", *QUIET, "up"]
        with Process(answers, env=environment()) as node:
            ticket = node.first("ready")["ticket"]
            for _ in range(args.rounds):
                before = speed(args, work, ticket)
                for name, (count, size) in sources.items():
                    rate = figures_of_a_send(args, work, figures, sshd, name, count * size / 1e6)
                    after = speed(args, work, ticket)
                    figures.add(f"{name}: send, of what speed shows before and after", 2 * rate / (before + after))
                    before = after
    finally:
        sshd.process.__exit__()


def figures_of_a_send(args, work, figures, sshd, name, megabytes):
    source, to = f"{work}/{name}", f"{work}/to"
    receiver = Process([args.program, "--state-dir", f"{work}/home", *QUIET, "receive", "--yes", "--once", to], env=environment())
    os.makedirs(to, exist_ok=True)
    ticket = receiver.first("ready")["ticket"]
    command = [args.program, "--state-dir", f"{work}/away", *QUIET, "send", source, "--to", ticket]

    def ours():
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment())
        receiver.child.wait()

    took, spent = timed(ours)
    check(source, f"{to}/{name}")
    shutil.rmtree(to)
    os.makedirs(to)
    # Both of rsync's ends: the far one belongs to sshd, whose processor time is waited for there.
    far = sshd.process.time_with_children()
    theirs = ["rsync", "-a", "--inplace", "--whole-file", "-e", sshd.shell(), source, f"root@{LOOPBACK}:{to}/"]
    other, other_spent = timed(lambda: subprocess.run(theirs, check=True))
    other_spent += sshd.process.time_with_children() - far
    check(source, f"{to}/{name}")
    shutil.rmtree(to)
    figures.add(f"{name}: send, MB/s", megabytes / took)
    figures.add(f"{name}: CPU s/GB of both ends", 1000 * spent / megabytes)
    figures.add(f"{name}: rsync over ssh, MB/s", megabytes / other)
    figures.add(f"{name}: its CPU s/GB of both ends", 1000 * other_spent / megabytes)
    figures.add(f"{name}: send, of rsync's speed", other / took)
    return megabytes / took


def check(source, copy):
    if subprocess.run(["diff", "-rq", source, copy]).returncode:
        raise SystemExit(f"{copy} is not {source}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("what", choices=["tcp", "udp", "send", "share"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--files", type=int, default=20000)
    args = parser.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as work:
        {"tcp": tcp, "udp": udp, "send": send, "share": share}[args.what](args, work, figures)
    figures.medians()


main()
