"""What is left of the service when there is too much to do, and when somebody wants to spoil it."""
import json
import statistics
import subprocess
import time

from servers import Load, Quota, Server, memory, receive_drops

# The offered window, in seconds, as in the figures of Kamailio that this is laid beside.
OFFERED = 12


def overload(setup, both):
    """Goodput: calls completed while load is offered, beside what the server holds; carriers send again what is not answered."""
    bounds = []
    for name in [setup.only] if setup.only else both:
        print(f"\n{name} held to {setup.quota:.0%} of a core")
        capacity = held(setup, name)
        if not capacity:
            bounds.append((f"{name}: calls/s that it holds", 0, "> 0", False))
            continue
        print(f"  holds {capacity:.0f} calls/s")
        for times in (1.0, 1.5, 2.0, 3.0):
            goods = []
            for _ in range(setup.rounds):
                run = offered(setup, name, capacity * times, OFFERED)
                goods.append(run["ok_in_time"] / OFFERED / capacity)
                print(f"  offered {times:.1f}x = {capacity * times:.0f}/s: completed {run['ok_in_time']} in {OFFERED} s = {goods[-1]:.0%} of what it holds,"
                      f" {run['ok']} of {run['started']} in the end, {run['refused']} refused, {run['again']} sent again,"
                      f" INVITE to 200 p99 {run['answer_ms'][1]} ms", flush=True)
            good = statistics.median(goods)
            if name == "strowger" and times in (2.0, 3.0):
                least = 0.90 if times == 2.0 else 0.85
                bounds.append((f"goodput at {times:.0f} times what it holds", f"{good:.2f}", f">= {least:.2f}", good >= least))
            elif times == 2.0:
                bounds.append((f"{name}, goodput at twice what it holds", f"{good:.2f}", "to compare", True))
    return bounds


def held(setup, name):
    """The highest rate at which all but one in a hundred calls are completed in the window."""
    passed, fails_at, rate = 0, None, 500.0
    while fails_at is None or fails_at / max(passed, 1) > 1.06:
        run = offered(setup, name, rate, 8)
        # Those begun in the last fifth of a second still talk.
        is_good = run["ok_in_time"] >= 0.99 * (run["started"] - rate * 0.4) and run["refused"] == 0 and run["ok"] >= 0.999 * run["started"]
        print(f"    {rate:.0f}/s: {run['ok_in_time']} of {run['started']} in time, {run['again']} sent again{'' if is_good else ', too much'}", flush=True)
        if is_good:
            passed = rate
        else:
            fails_at = rate
        if rate < 20:
            return passed
        rate = rate * 1.5 if fails_at is None else (passed * fails_at) ** 0.5 if passed else rate / 2
    return passed


def offered(setup, name, rate, seconds):
    with Quota(setup.quota) as quota, Server(name, setup) as server:
        quota.hold(server.pids())
        load = Load(setup, rate, int(rate * seconds), more=["-R", "-w", "32"])
        try:
            return load.result()
        finally:
            load.stop()


def flood(setup):
    """Good calls beside a flood, from one address and from ten thousand."""
    bounds = []
    for rate, sources, least in ((0, 1, 300), (20_000, 1, 300), (60_000, 1, 298), (20_000, 10_000, 300)):
        with Server("strowger", setup) as server:
            Load(setup, 20, 40).result()
            before, drops = memory(server.pids()), receive_drops()
            enemy = None
            if rate:
                enemy = subprocess.Popen(["taskset", "-c", setup.load_core, f"{setup.work}/flood", "-t", f"127.0.0.1:{setup.ports.server}", "-r", str(rate),
                                          "-s", "17", "-c", str(sources)], stdout=subprocess.PIPE, text=True)
                time.sleep(1)
            load = Load(setup, 20, 300)
            try:
                run = load.result()
                said = json.loads(enemy.communicate()[0]) if enemy else {"rate": 0}
            finally:
                load.stop()
                if enemy and enemy.poll() is None:
                    enemy.kill()
            grown = (memory(server.pids()) - before) / 2**20
        what = f"{rate} datagrams/s from {sources} address{'es' if sources > 1 else ''}"
        p99 = run["answer_ms"][1]
        print(f"  {what} (got {said['rate']:.0f}): {run['ok']} of 300 calls, INVITE to 200 p50 {run['answer_ms'][0]} p99 {p99} ms,"
              f" memory {grown:+.1f} MiB, {receive_drops() - drops} lost in full buffers, answers {said.get('answers', 0)}", flush=True)
        bounds.append((f"{what}: calls completed of 300", run["ok"], f">= {least}", run["ok"] >= least))
        if rate <= 20_000:
            bounds.append((f"{what}: INVITE to 200, p99, ms", p99, "<= 12", p99 <= 12))
        bounds.append((f"{what}: memory, MiB", f"{grown:.1f}", "<= 32", grown <= 32))
    return bounds
