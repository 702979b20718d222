"""What is left of the service when there is too much to do, and when somebody wants to spoil it."""
import json
import statistics
import subprocess
import time

from servers import Load, Quota, Server, memory, receive_drops

# The offered window, in seconds, as in the figures of Kamailio that this is laid beside.
OFFERED = 12


def overload(setup, both):
    """Goodput: calls completed while load is offered, beside what the server holds; carriers send again what is not answered.

    What a server holds is found before each round and once behind the last, for a shared machine is another one a minute later: a round
    is laid beside the mean of what was held before and behind it.
    """
    bounds = []
    for name in [setup.only] if setup.only else both:
        print(f"\n{name} held to {setup.quota:.0%} of a core")
        completed, capacities = {times: [] for times in (1.0, 1.5, 2.0, 3.0)}, [held(setup, name)]
        for _ in range(setup.rounds):
            print(f"  holds {capacities[-1]:.0f} calls/s")
            for times, counts in completed.items():
                run = offered(setup, name, capacities[-1] * times, OFFERED)
                counts.append(run["ok_in_time"] / OFFERED)
                print(f"  offered {times:.1f}x = {capacities[-1] * times:.0f}/s: completed {counts[-1]:.0f}/s = {counts[-1] / capacities[-1]:.0%} of what it held before,"
                      f" {run['ok']} of {run['started']} in the end, {run['refused']} refused, {run['again']} sent again,"
                      f" INVITE to 200 p99 {run['answer_ms'][1]} ms", flush=True)
            capacities.append(held(setup, name, capacities[-1]))
        print(f"  holds {capacities[-1]:.0f} calls/s")
        means = [(before + behind) / 2 for before, behind in zip(capacities, capacities[1:])]
        for times, counts in completed.items():
            goods = [count / mean for count, mean in zip(counts, means)]
            good, spread = statistics.median(goods), ", ".join(f"{one:.2f}" for one in goods)
            if name == "strowger" and times in (2.0, 3.0):
                least = 0.90 if times == 2.0 else 0.85
                bounds.append((f"goodput at {times:.0f} times what it holds ({spread})", f"{good:.2f}", f">= {least:.2f}", good >= least))
            elif times == 2.0:
                bounds.append((f"{name}, goodput at twice what it holds ({spread})", f"{good:.2f}", "to compare", True))
    return bounds


def held(setup, name, near=None):
    """The highest rate at which all but one in a hundred calls are completed in the window, to a sixteenth; looked for around `near`."""
    passed, fails_at, rate, step = 0, None, near or 500.0, 1.06 if near else 1.5
    while fails_at is None or fails_at / max(passed, 1) > 1.061:
        run = offered(setup, name, rate, 8)
        # Those begun in the last fifth of a second still talk.
        is_good = run["ok_in_time"] >= 0.99 * (run["started"] - rate * 0.4) and run["refused"] == 0 and run["ok"] >= 0.999 * run["started"]
        print(f"    {rate:.0f}/s: {run['ok_in_time']} of {run['started']} in time, {run['again']} sent again{'' if is_good else ', too much'}", flush=True)
        if is_good:
            passed = rate
        else:
            fails_at = rate
        if rate < 20:
            break
        rate = rate * step if fails_at is None else (passed * fails_at) ** 0.5 if passed else rate / min(step, 1.25)
    return max(passed, 20)


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
