"""rtpengine in user space, and sessions set up by its ng protocol: bencode over UDP."""
import itertools
import os
import socket
import time

CONTROL = ("127.0.0.1", 22922)


def command(address, threads):
    """What starts it: no kernel module (--table=-1), and no end to a session that is quiet."""
    return ["rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=3", "--table=-1", f"--interface={address}",
            "--listen-ng=%s:%d" % CONTROL, "--port-min=30000", "--port-max=60000", f"--num-threads={threads}", "--delete-delay=0",
            "--timeout=3600", "--silent-timeout=3600"]


def sessions(process, count):
    """So many sessions: where their callers send, and where their buyers do."""
    ask = Client(process)
    gates = []
    for number in range(count):
        high, low = divmod(number, 256)
        call = f"bench-{os.getpid()}-{number}"
        common = {"call-id": call, "from-tag": "caller", "ICE": "remove", "replace": ["origin", "session-connection"]}
        offer = ask("offer", sdp=description(f"127.1.{high}.{low}", 20000), **common)
        answer = ask("answer", sdp=description(f"127.2.{high}.{low}", 20001), **common | {"to-tag": "buyer"})
        gates.append(place(answer["sdp"]) + place(offer["sdp"]))
    return gates


class Client:
    """Asks, and waits for the answer."""

    def __init__(self, process):
        self.process, self.numbers = process, itertools.count()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(CONTROL)
        self.socket.settimeout(0.5)
        for _ in range(40):
            try:
                self("ping")
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("rtpengine does not answer")

    def __call__(self, command, **fields):
        cookie = b"%d_%d" % (os.getpid(), next(self.numbers))
        if self.process.poll() is not None:
            raise SystemExit("rtpengine has ended")
        self.socket.send(cookie + b" " + encode({"command": command, **fields}))
        while True:
            reply = self.socket.recv(65535)
            if reply.startswith(cookie + b" "):
                result, _ = decode(reply, len(cookie) + 1)
                if result.get("result") not in (b"ok", b"pong"):
                    raise SystemExit(f"rtpengine: {result}")
                return result


def description(address, port):
    return (f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n"
            "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n")


def place(text):
    lines = text.decode().splitlines()
    address = next(line[9:] for line in lines if line.startswith("c=IN IP4 "))
    port = next(line.split()[1] for line in lines if line.startswith("m=audio "))
    return address.strip(), int(port)


def encode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(encode, value)) + b"e"
    return b"d" + b"".join(encode(key) + encode(entry) for key, entry in sorted(value.items())) + b"e"


def decode(text, at=0):
    kind = text[at:at + 1]
    if kind == b"i":
        end = text.index(b"e", at)
        return int(text[at + 1:end]), end + 1
    if kind in (b"l", b"d"):
        at, found = at + 1, []
        while text[at:at + 1] != b"e":
            value, at = decode(text, at)
            found.append(value)
        if kind == b"d":
            found = {key.decode(): value for key, value in zip(found[::2], found[1::2])}
        return found, at + 1
    colon = text.index(b":", at)
    end = colon + 1 + int(text[at:colon])
    return text[colon + 1:end], end
