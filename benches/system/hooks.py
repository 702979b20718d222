"""What slow webhooks of some campaigns do to the calls of others."""
import http.server
import statistics
import threading
import time

from servers import Load, Server

# Within the five seconds that are waited for webhooks.
SLOW_SECONDS = 4
RATE, SECONDS = 100, 15


def hooks(setup):
    """Set-up time of calls without webhooks at 100/s, alone and beside 30 calls/s that wait for theirs; alternating."""
    print(f"\nhooks: INVITE to 200 of campaigns without webhooks, alone and beside others that wait {SLOW_SECONDS} s for theirs")
    p99, failed, asked = {False: [], True: []}, 0, 0
    with Slow(setup.ports.hooks) as slow, Server("strowger", setup, "hooks") as server:
        Load(setup, RATE, 2 * RATE, numbers="quick").result()
        for number in range(setup.rounds):
            for is_beside in (False, True) if number % 2 == 0 else (True, False):
                before = slow.asked
                other = Load(setup, 30, 30 * (SECONDS + SLOW_SECONDS), numbers="slow", more=["-w", "8"]) if is_beside else None
                if other:
                    time.sleep(SLOW_SECONDS)
                load = Load(setup, RATE, RATE * SECONDS, nap=0, numbers="quick")
                try:
                    run = load.result()
                    theirs = other.result() if other else None
                finally:
                    load.stop()
                    if other:
                        other.stop()
                p99[is_beside].append(run["answer_ms"][1])
                failed += run["failed"]
                asked += slow.asked - before
                print(f"  {'beside' if is_beside else 'alone '} ok {run['ok']} failed {run['failed']}  p50 {run['answer_ms'][0]} p99 {run['answer_ms'][1]} ms"
                      + (f"; theirs ok {theirs['ok']} failed {theirs['failed']} p50 {theirs['answer_ms'][0]} ms, {slow.asked - before} webhooks" if theirs else ""), flush=True)
        assert server.process.poll() is None
    more = statistics.median(p99[True]) - statistics.median(p99[False])
    return [("hooks: p99 more beside slow webhooks, ms", f"{more:.2f}", "<= 5", more <= 5), ("hooks: failed calls", failed, "0", failed == 0),
            ("hooks: webhooks asked meanwhile", asked, "> 0", asked > 0)]


class Slow:
    """An HTTP server that takes its time; use it in a `with`."""

    def __init__(self, port):
        slow = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                slow.asked += 1
                time.sleep(SLOW_SECONDS)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "13")
                self.end_headers()
                self.wfile.write(b'{"age": "66"}')

            def log_message(self, *_):
                pass

        self.asked = 0
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
