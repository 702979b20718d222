"""Servers side by side: all are up on one core, and the load goes to one and then to the other, a few seconds each. What the machine
does meanwhile (its clock, its neighbours) changes within a minute, and so hits all of them alike."""
import os
import statistics
from types import SimpleNamespace

import data
import servers
from servers import Load, Server, idle_cores, measured


def side_by_side(setup, contenders, rate, nap, auth="ip", transport="udp"):
    """Loads the contenders, {label: (server, configuration)}, in turns; says what each turn cost, and returns them."""
    up = []
    try:
        for number, (label, (name, config)) in enumerate(contenders.items()):
            own = place(setup, label, number)
            up.append(Contender(label, own, Server(name, own, config)))
        for one in up:
            one.idle = idle_cores(one.server, 5)
        for one in up:
            # What is made only once is made now: memory, tables.
            Load(one.setup, rate, int(rate * setup.warm), auth, nap=nap, transport=transport).result()
        for _ in range(setup.turns):
            for one in up:
                one.turn(rate, nap, auth, transport)
    finally:
        for one in up:
            one.server.stop()
    for costs in zip(*(one.costs for one in up)):
        print("  " + "  ".join(f"{one.label} {cost:6.1f}" for one, cost in zip(up, costs)) + " us/call")
    for one in up:
        one.show()
    return up


def place(setup, label, number):
    """The same set-up with a folder and ports of its own."""
    own = SimpleNamespace(**vars(setup))
    own.work, own.ports = f"{setup.work}/{label}", servers.Ports(setup.port + 100 * (number + 1))
    os.makedirs(own.work, exist_ok=True)
    data.write(own.work, own.ports)
    servers.build_load(own.work)
    return own


class Contender:
    """A server that is up, and what its turns cost."""

    def __init__(self, label, setup, server):
        self.label, self.setup, self.server = label, setup, server
        self.idle = self.failed = self.calls = self.drops = 0
        self.costs, self.foreign, self.p50, self.p99, self.told = [], [], [], [], True

    def cost(self):
        """CPU per call in us."""
        return statistics.median(self.costs)

    def show(self):
        drops = f"  drops {self.drops}" if self.drops else ""
        print(f"  {self.label:<9} CPU {self.cost():6.1f} us/call ({min(self.costs):.1f} to {max(self.costs):.1f})  failed {self.failed} of {self.calls}"
              f"  INVITE to 180: p50 {statistics.median(self.p50):.2f} p99 {statistics.median(self.p99):.2f} ms"
              f"{'' if self.told else '  X-PH HEADERS MISSING'}{drops}  other work {max(statistics.mean(self.foreign), 0):.2f} cores", flush=True)

    def turn(self, rate, nap, auth, transport):
        """Load for a second, and then for the turn."""
        load = Load(self.setup, rate, int(rate * (1 + self.setup.turn + 0.3)), auth, nap=nap, transport=transport)
        run = measured(self.server, load, 1, self.setup.turn, self.idle)
        self.costs.append(run["cpu_us"])
        self.foreign.append(run["foreign"])
        self.p50.append(run["ringing_ms"][0])
        self.p99.append(run["ringing_ms"][1])
        self.failed += run["failed"]
        self.calls += run["started"]
        self.drops += run["drops"]
        self.told &= run["told"]
