"""Signed webhooks of Twilio's beside calls: how soon they are answered, and what they do to the calls."""
import base64
import collections
import hashlib
import hmac
import json
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.parse

from servers import HERE, Load, Server

CALL_RATE, SECONDS = 100, 15
ACCOUNT, TOKEN = f"AC{1:032x}", "bench-only-auth-token"
BASE = "https://edge.bench.invalid"
# More than can be under way at 1,000/s, unless a request takes more than 30 ms.
CONNECTIONS = 32
# Calls that are told of before anything more is told of the first.
AHEAD = 100


def settings(ports):
    """What the edge's configuration has besides."""
    return f"""[[http.listen]]
bind = "127.0.0.1:{ports.webhooks}"
serves = "vendors"

[twilio]
public_url = "{BASE}"
sip = "127.0.0.1:{ports.server}"
transport = "udp"
self_check = false

[[twilio.org]]
id = "bench"
company = "bench"
company_id = 1
account_sid = "{ACCOUNT}"
auth_token = "{TOKEN}"
"""


def webhooks(setup):
    """Set-up time of 100 calls/s, alone and beside webhooks; alternating. Each webhook of a call that comes in is followed by one that
    says how it gets on, and all of them are written down before they are answered."""
    rate = setup.webhooks
    print(f"\nwebhooks: {rate}/s signed, half of them calls (voice) and half what became of them (status), beside {CALL_RATE} SIP calls/s")
    shutil.rmtree(f"{setup.work}/edge/data-webhooks", ignore_errors=True)
    p99, of_webhooks, failed, refused, requests = {False: [], True: []}, [], 0, 0, 0
    with Server("strowger", setup, "webhooks") as server:
        Load(setup, CALL_RATE, 2 * CALL_RATE, numbers="quick").result()
        for number in range(setup.rounds):
            for is_beside in (False, True) if number % 2 == 0 else (True, False):
                first = (2 * number + is_beside) * rate * SECONDS
                other = Sender(setup, rate, rate * SECONDS, first) if is_beside else None
                load = Load(setup, CALL_RATE, CALL_RATE * SECONDS, nap=0, numbers="quick")
                try:
                    run = load.result()
                    theirs = other.result() if other else None
                finally:
                    load.stop()
                    if other:
                        other.stop()
                p99[is_beside].append(run["answer_ms"][1])
                failed += run["failed"]
                print(f"  {'beside' if is_beside else 'alone '} calls ok {run['ok']} failed {run['failed']}  p50 {run['answer_ms'][0]} p99 {run['answer_ms'][1]} ms"
                      + (f"; webhooks {theirs['ok']} wrong {theirs['wrong']}  p50 {theirs['p50']:.2f} p99 {theirs['p99']:.2f} max {theirs['max']:.2f} ms, "
                         f"{theirs['rate']:.0f}/s" if theirs else ""), flush=True)
                if theirs:
                    of_webhooks.append(theirs["p99"])
                    refused += theirs["wrong"]
                    requests = max(requests, theirs["rate"])
        assert server.process.poll() is None
    slowest = statistics.median(of_webhooks)
    more = statistics.median(p99[True]) - statistics.median(p99[False])
    return [("webhooks: p99, ms", f"{slowest:.2f}", "<= 20", slowest <= 20), ("webhooks: not answered as they should be", refused, "0", refused == 0),
            ("webhooks: per second", f"{requests:.0f}", f">= {rate * 0.98:.0f}", requests >= rate * 0.98),
            ("webhooks: p99 more of calls beside them, ms", f"{more:.2f}", "<= 5", more <= 5), ("webhooks: failed calls", failed, "0", failed == 0)]


class Sender:
    """The webhooks on their way, from a process of their own."""

    def __init__(self, setup, rate, count, first):
        command = ["taskset", "-c", setup.load_core, sys.executable, f"{HERE}/webhooks.py", str(setup.ports.webhooks), f"{setup.work}/quick.csv",
                   str(rate), str(count), str(first)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        # What is sent was signed before.
        assert self.process.stdout.readline() == "ready\n"

    def result(self):
        out, _ = self.process.communicate()
        return json.loads(out)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def signed(target, fields):
    """A whole request, signed as Twilio signs."""
    text = BASE + target + "".join(name + fields[name] for name in sorted(fields))
    signature = base64.b64encode(hmac.new(TOKEN.encode(), text.encode(), hashlib.sha1).digest()).decode()
    body = urllib.parse.urlencode(fields)
    return (f"POST {target} HTTP/1.1\r\nHost: edge.bench.invalid\r\nX-Twilio-Signature: {signature}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()


def requests_of(numbers, count, first):
    """Each request with the status that it is to get."""
    voices = statuses = first
    for place in range(count):
        # A call is told of long before it is told how it gets on.
        is_voice = place < AHEAD or (place - AHEAD) % 2 == 0
        call = voices if is_voice else statuses
        voices, statuses = voices + is_voice, statuses + (not is_voice)
        sid = f"CA{call:032x}"
        if is_voice:
            yield 200, signed("/connect/webhook/twilio/voice?orgid=bench", {
                "AccountSid": ACCOUNT, "ApiVersion": "2010-04-01", "CallSid": sid, "CallStatus": "ringing", "Direction": "inbound",
                "From": f"+1415555{call % 10000:04}", "To": numbers[call % len(numbers)]})
        else:
            yield 204, signed("/connect/webhook/twilio/status?orgid=bench", {
                "AccountSid": ACCOUNT, "CallSid": sid, "CallStatus": "in-progress", "SequenceNumber": "2", "CallbackSource": "call-progress-events"})


def send(port, requests, rate):
    """Sends each when its time has come, whether others are answered or not; the times are from when it was due."""
    selector, idle = selectors.DefaultSelector(), collections.deque()
    for _ in range(CONNECTIONS):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        idle.append(connection)
    under_way, took, wrong, sent = {}, [], 0, 0
    start = time.perf_counter() + 0.05
    while sent < len(requests) or under_way:
        now = time.perf_counter()
        while sent < len(requests) and idle and start + sent / rate <= now:
            # The one that has rested longest, so that none rests until the server closes it.
            connection = idle.popleft()
            connection.sendall(requests[sent][1])
            selector.register(connection, selectors.EVENT_READ)
            under_way[connection] = (start + sent / rate, requests[sent][0], b"")
            sent += 1
        due = start + sent / rate - time.perf_counter() if sent < len(requests) and idle else 0.2
        for key, _ in selector.select(max(due, 0)):
            connection = key.fileobj
            begun, status, heard = under_way[connection]
            more = connection.recv(65536)
            heard += more
            head, end, body = heard.partition(b"\r\n\r\n")
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
            if more and (not end or len(body) < length):
                under_way[connection] = (begun, status, heard)
                continue
            took.append(time.perf_counter() - begun)
            wrong += not heard.startswith(b"HTTP/1.1 %d " % status)
            selector.unregister(connection)
            del under_way[connection]
            if more:
                idle.append(connection)
        if now - start > len(requests) / rate + 30:
            break
    took.sort()
    seconds = time.perf_counter() - start
    at = lambda share: 1000 * took[min(len(took) - 1, int(share * len(took)))] if took else 1e9
    return {"ok": len(took) - wrong, "wrong": wrong + len(requests) - len(took), "p50": at(0.5), "p99": at(0.99), "max": at(1), "rate": len(took) / seconds}


if __name__ == "__main__":
    port, path, rate, count, first = sys.argv[1:]
    with open(path) as file:
        dialled = file.read().split()
    ready = list(requests_of(dialled, int(count), int(first)))
    print("ready", flush=True)
    print(json.dumps(send(int(port), ready, float(rate))))
