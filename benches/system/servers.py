"""The servers under test and the load: started, watched through /proc, ended by their ids."""
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
TICK = os.sysconf("SC_CLK_TCK")


class Ports:
    """Where all is on 127.0.0.1; carriers with digest come from 127.0.0.2."""

    def __init__(self, first):
        self.server, self.tls, self.http = first, first + 1, first + 2
        self.carrier, self.buyer, self.dead_buyer = first + 20, first + 30, first + 39
        self.slow_carrier, self.slow_buyer, self.hooks = first + 21, first + 31, first + 3
        self.webhooks = first + 4

    def taken(self):
        """The ports that somebody else has: servers that share a port would share the load."""
        found = []
        for port in (self.server, self.carrier, self.buyer):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    found.append(port)
        return found


class Server:
    """One server, freshly started; use it in a `with`."""

    def __init__(self, name, setup, transport="udp"):
        self.name, self.setup = name, setup
        work = setup.work
        if taken := setup.ports.taken():
            raise SystemExit(f"UDP ports {taken} on 127.0.0.1 are taken: another run? --port gives others")
        if name == "kamailio":
            command = ["kamailio", "-f", f"{HERE}/kamailio.cfg", f"--subst=#WORK#{work}#", "-Y", work, "-DD", "-E", "-n", "1", "-m", "4096",
                       "-M", "16", "-x", "fm", "-X", "fm", "-l", f"udp:127.0.0.1:{setup.ports.server}"]
            if transport != "udp":
                command += ["-A", "STREAM", f"--subst=#TRANSPORT#{transport}#", "-N", "1", "-l", f"tcp:127.0.0.1:{setup.ports.server}"]
            if transport == "tls":
                command += ["-A", "TLS", "-l", f"tls:127.0.0.1:{setup.ports.tls}"]
        else:
            records = f"{work}/edge/records.jsonl"
            if os.path.exists(records):
                os.unlink(records)
            command = [setup.binary, "run", "--config", f"{work}/edge/strowger-{transport}.toml"]
        self.log = f"{work}/{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["taskset", "-c", setup.server_core] + command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=work, start_new_session=True, preexec_fn=raise_file_limit)
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_ready(self):
        """Asks OPTIONS until it answers."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.bind(("127.0.0.1", 0))
            own.settimeout(0.2)
            port, server = own.getsockname()[1], self.setup.ports.server
            for i in range(100):
                if self.process.poll() is not None:
                    raise SystemExit(f"{self.name} ended with {self.process.returncode}:\n{open(self.log, errors='replace').read()[-3000:]}")
                own.sendto((f"OPTIONS sip:127.0.0.1:{server} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKready{i}\r\n"
                            f"From: <sip:bench@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: ready{i}-{port}\r\nCSeq: 1 OPTIONS\r\n"
                            f"Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n").encode(), ("127.0.0.1", server))
                try:
                    if own.recv(2048).startswith(b"SIP/2.0"):
                        time.sleep(0.5)
                        return
                except (socket.timeout, ConnectionError):
                    time.sleep(0.1)
        raise SystemExit(f"{self.name} does not answer; see {self.log}")

    def pids(self):
        return tree(self.process.pid)

    def metric(self, series):
        """What the edge's metrics say."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.setup.ports.http}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return float(next(line for line in lines if line.startswith(series)).rsplit(" ", 1)[1])

    def stop(self):
        pids = self.pids()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        for pid in pids:
            if parent_of(pid) is not None:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.process.wait()
        time.sleep(0.5)


class Load:
    """sipload on its way; `result` waits for its end."""

    def __init__(self, setup, rate, calls, auth="ip", talk_ms=200, nap=None, transport="udp", numbers="load", more=()):
        carrier = "127.0.0.1" if auth == "ip" else "127.0.0.2"
        from_port, to_port = (setup.ports.slow_carrier, setup.ports.slow_buyer) if numbers == "slow" else (setup.ports.carrier, setup.ports.buyer)
        command = ["taskset", "-c", setup.load_core, f"{setup.work}/sipload", "-t", f"127.0.0.1:{setup.ports.server}",
                   "-u", f"{carrier}:{from_port}", "-b", f"127.0.0.1:{to_port}", "-r", str(rate), "-m", str(calls), "-d", str(talk_ms),
                   "-n", f"{setup.work}/{numbers}.csv", "-z", str(setup.nap if nap is None else nap)]
        command += ["-s", transport, "-c", f"{setup.work}/edge"]
        if auth == "digest":
            command += ["-A", "-f", f"{setup.work}/users.csv"]
        self.process = subprocess.Popen(command + list(more), stdout=subprocess.PIPE, text=True)

    def result(self):
        out, _ = self.process.communicate()
        if not out:
            raise SystemExit(f"sipload ended with {self.process.returncode}")
        return json.loads(out)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def idle_cores(server, seconds):
    """What a server uses when nobody calls, in cores, measured for so long."""
    begin, before = time.monotonic(), cpu_seconds(server.pids())
    time.sleep(seconds)
    return (cpu_seconds(server.pids()) - before) / (time.monotonic() - begin)


def measured(server, load, warm, seconds, idle):
    """What a load came to and cost its server, which uses `idle` cores without. CPU is read at both ends of the `seconds` that follow the
    first `warm` ones, so that the late work of earlier calls (timers, frees) stands for that of the last ones."""
    def read():
        return time.monotonic(), cpu_seconds(server.pids()), cpu_seconds([load.process.pid]), machine_busy()

    drops = receive_drops()
    try:
        time.sleep(warm)
        begin = read()
        time.sleep(seconds)
        end = read()
        run = load.result()
    finally:
        load.stop()
    took, cpu, load_cpu, busy = (b - a for a, b in zip(begin, end))
    calls = max(run["rate"] * took * run["ok"] / max(run["started"], 1), 1)
    return dict(run, cpu_us=(cpu - idle * took) / calls * 1e6, core=cpu / took, foreign=(busy - cpu - load_cpu) / took,
                drops=receive_drops() - drops, told=run["buyer_invites_told"] == run["buyer_invites"])


class Quota:
    """Holds processes to a part of a core, by a cgroup (v1 or v2); use it in a `with`. Needs root."""

    def __init__(self, share):
        self.share, self.name = share, f"strowger-bench-{os.getpid()}"

    def __enter__(self):
        self.is_v1 = os.path.isdir("/sys/fs/cgroup/cpu")
        self.folder = f"/sys/fs/cgroup/{'cpu/' if self.is_v1 else ''}{self.name}"
        quota = int(self.share * 100_000)
        try:
            if not self.is_v1:
                self.put("/sys/fs/cgroup/cgroup.subtree_control", "+cpu")
            os.mkdir(self.folder)
            if self.is_v1:
                self.put(f"{self.folder}/cpu.cfs_period_us", "100000")
                self.put(f"{self.folder}/cpu.cfs_quota_us", str(quota))
            else:
                self.put(f"{self.folder}/cpu.max", f"{quota} 100000")
        except OSError as error:
            raise SystemExit(f"needs a cgroup with a quota of the CPU, as root: {error}")
        return self

    def hold(self, pids):
        for pid in pids:
            self.put(f"{self.folder}/cgroup.procs", str(pid))

    def __exit__(self, *_):
        for _ in range(50):
            try:
                os.rmdir(self.folder)
                return
            except OSError:
                time.sleep(0.1)

    @staticmethod
    def put(path, text):
        with open(path, "w") as file:
            file.write(text)


def build_load(work):
    for program, libraries in (("sipload", ["-lssl", "-lcrypto"]), ("flood", [])):
        subprocess.run(["cc", "-O2", "-o", f"{work}/{program}", f"{HERE}/{program}.c", *libraries], check=True)


def missing_for_load():
    """Packages that are not here, of those that the load needs."""
    packages = {"cc": "gcc libc6-dev", "taskset": "util-linux", "openssl": "openssl"}
    lacks = [package for program, package in packages.items() if not shutil.which(program)]
    if not os.path.exists("/usr/include/openssl/ssl.h"):
        lacks.append("libssl-dev")
    return lacks


def missing():
    """Packages that are not here, of those that the load and Kamailio need."""
    lacks = missing_for_load()
    if not shutil.which("kamailio"):
        lacks.append("kamailio")
    for module, package in (("tls", "kamailio-tls-modules"), ("uuid", "kamailio-extra-modules")):
        if not glob.glob(f"/usr/lib/*/kamailio/modules/{module}.so"):
            lacks.append(package)
    return lacks


def raise_file_limit():
    import resource
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


# ---------------------------------------------------------------- /proc

def stat(pid):
    """The fields of /proc/PID/stat from the state on; None if it is gone."""
    try:
        text = open(f"/proc/{pid}/stat").read()
    except OSError:
        return None
    return text[text.rindex(")") + 2:].split()


def parent_of(pid):
    fields = stat(pid)
    return int(fields[1]) if fields else None


def tree(root):
    """`root` and all that descends from it."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            parent = parent_of(int(entry))
            children.setdefault(parent, []).append(int(entry))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_seconds(pids):
    """User and system time of all threads of theirs that are there."""
    total = 0
    for pid in pids:
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            try:
                total += int(open(path).read().split()[0])
            except OSError:
                pass
    return total / 1e9


def memory(pids):
    """Bytes: proportional set size, so that pages shared within the group count once."""
    total = 0
    for pid in pids:
        try:
            for line in open(f"/proc/{pid}/smaps_rollup"):
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        except OSError:
            pass
    return total


def descriptors(pids):
    """Open files and sockets."""
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def machine_busy():
    """CPU seconds that this machine has worked since it booted."""
    user, nice, system, _, _, irq, softirq = (int(x) for x in open("/proc/stat").readline().split()[1:8])
    return (user + nice + system + irq + softirq) / TICK


def receive_drops():
    """Datagrams that this machine has dropped because a receive buffer was full."""
    names, values = (line.split() for line in open("/proc/net/snmp") if line.startswith("Udp:"))
    return int(dict(zip(names, values))["RcvbufErrors"])
