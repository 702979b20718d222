"""The same routing data for both servers: 10,000 numbers, 500 campaigns with two buyers each, 200 digest users.

Everything is written into one work folder, from a fixed seed:

  load.csv      numbers to dial, shuffled (sipload -n)      users.csv   digest users (sipload -f)
  quick.csv     those of campaigns without webhooks         slow.csv    those of campaigns whose webhooks are slow
  edge/         strowger.toml and its numbers                tables/, address.txt   Kamailio's
"""
import hashlib
import os
import random
import subprocess

import webhooks

NUMBERS, CAMPAIGNS, USERS = 10_000, 500, 200
REALM = "sip.bench.invalid"
# The first buyer of the last campaigns is dead, for whoever wants to see fail-over; the load does not dial these.
DEAD_CAMPAIGNS, DEAD_NUMBERS = 10, 100
# In one configuration, webhooks decide about the calls of the first campaigns, and take their time.
SLOW_CAMPAIGNS = 50
# In another one, each call has a choice: so many buyers, of which half take it, and none is closed for longer than a minute.
CHOICE = 10
ZONES = ("America/New_York", "America/Chicago", "America/Denver", "UTC")
# Ports that nothing else of the benchmark uses; they rest for a second, so that there are enough at 1,000 calls/s.
MEDIA = """[media]
ports = "20000-29999"
rest = "1s"
"""


def write(work, ports):
    """Writes all files into `work` for servers and buyers at `ports`."""
    buyer, dead_buyer = f"127.0.0.1:{ports.buyer}", f"127.0.0.1:{ports.dead_buyer}"
    dice = random.Random(20240601)
    live = CAMPAIGNS - DEAD_CAMPAIGNS
    numbers = [f"+1{n}" for n in dice.sample(range(2_000_000_000, 9_999_999_999), NUMBERS)]
    campaigns = [{"id": f"c{i}", "key": hashlib.md5(f"k{i}".encode()).hexdigest(), "afid": str(1000 + i % 97), "sid": f"sub{i % 31}",
                  "buyers": [("buyer", dead_buyer if i >= live else buyer), ("backup", buyer)]} for i in range(CAMPAIGNS)]
    lines = [(n, i % live if i < NUMBERS - DEAD_NUMBERS else live + i % DEAD_CAMPAIGNS) for i, n in enumerate(numbers)]
    users = [(f"trunk{i}", f"pw-{i}-secret") for i in range(USERS)]
    prefixes = ["127.0.0.1/32"] + [f"198.51.{100 + i // 16}.{16 * (i % 16)}/28" for i in range(199)]

    for folder in ("edge", "tables"):
        os.makedirs(f"{work}/{folder}", exist_ok=True)
    dialled = [n for n, campaign in lines if campaign < live]
    dice.shuffle(dialled)
    put(f"{work}/load.csv", (n for n in dialled))
    put(f"{work}/users.csv", (f"{name},{REALM},{password}" for name, password in users))
    kamailio(work, lines, campaigns, users, prefixes)
    certificates(f"{work}/edge")
    for transport in ("udp", "tcp", "tls"):
        edge(work, ports, lines, campaigns, users, prefixes, transport)
    edge(work, ports, lines, campaigns, users, prefixes, "udp", "relayed", MEDIA)
    slow = [dict(c, buyers=[(name, f"127.0.0.1:{ports.slow_buyer}") for name, _ in c["buyers"]]) for c in campaigns[:SLOW_CAMPAIGNS]]
    edge(work, ports, lines, slow + campaigns[SLOW_CAMPAIGNS:], users, prefixes, "udp", "hooks", hooks(ports))
    edge(work, ports, lines, campaigns, users, prefixes, "udp", "webhooks", webhooks.settings(ports), keeps="data-webhooks")
    choice = [dict(c, buyers=[(f"buyer{place}", buyer) for place in range(CHOICE)]) for c in campaigns]
    edge(work, ports, lines, choice, users, prefixes, "udp", "routing", rules=rules, tags="age:66;product:solar")
    put(f"{work}/slow.csv", (n for n, c in lines if c < SLOW_CAMPAIGNS))
    put(f"{work}/quick.csv", (n for n, c in lines if SLOW_CAMPAIGNS <= c < live))


def rules(place):
    """What the buyer at this place of a campaign asks of calls."""
    return f"""priority = 1
weight = {1 + place % 3}
tags = ["age:>=65", "product:{'solar' if place % 2 else 'roofs'}"]
hours = ["daily not 04:00-04:01"]
time_zone = "{ZONES[place % len(ZONES)]}"
max_calls = 100000

[buyer.caps]
day = 100000000
"""


def hooks(ports):
    """A webhook for each of the slow campaigns, asked before their calls are decided."""
    return '[http_client]\nallow = ["127.0.0.0/8"]\n' + "".join(
        f'\n[[webhook]]\nid = "slow-{i}"\ncampaign = "c{i}"\ntrigger = "start"\nurl = "http://127.0.0.1:{ports.hooks}/?u=[call_uuid]"\n'
        for i in range(SLOW_CAMPAIGNS))


def certificates(folder):
    """An authority, and what it certifies: the servers and their peers, all at 127.0.0.1."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    key = ("-newkey", "rsa:2048", "-nodes", "-days", "3650")
    openssl("req", "-x509", *key, "-subj", "/CN=bench", "-keyout", "authority-key.pem", "-out", "authority.pem")
    for name in ("server", "peer"):
        openssl("req", "-x509", *key, "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE",
                "-CA", "authority.pem", "-CAkey", "authority-key.pem", "-keyout", f"{name}-key.pem", "-out", f"{name}-cert.pem")


def put(path, lines):
    with open(path, "w") as file:
        file.writelines(f"{line}\n" for line in lines)


def kamailio(work, lines, campaigns, users, prefixes):
    def table(name, rows):
        # db_text wants its separator escaped within values
        head = "id(int,auto) key_name(string) key_type(int) value_type(int) key_value(string) expires(int)"
        escaped = ((key, value.replace("\\", "\\\\").replace(":", "\\:")) for key, value in rows)
        put(f"{work}/tables/{name}", [head] + [f"{i}:{key}:0:0:{value}:0" for i, (key, value) in enumerate(escaped, 1)])

    table("number", [(n, f"c{campaign}") for n, campaign in lines])
    table("campaign", [(c["id"], ";".join((c["key"], c["afid"], c["sid"]))) for c in campaigns])
    table("buyer", [(f"{c['id']}-{place}", f"sip:{name}{c['id']}@{address}")
                    for c in campaigns for place, (name, address) in enumerate(c["buyers"])])
    table("user", [(name, hashlib.md5(f"{name}:{REALM}:{password}".encode()).hexdigest()) for name, password in users])
    put(f"{work}/tables/version", ["table_name(string) table_version(int)"] + [f"{t}:2" for t in ("number", "campaign", "buyer", "user")])
    put(f"{work}/address.txt", (f"1 {prefix.replace('/', ' ')} 0 trunk{i}" for i, prefix in enumerate(prefixes)))


def edge(work, ports, lines, campaigns, users, prefixes, transport, name=None, more="", rules="priority = {}\n".format, tags="", keeps=None):
    """The edge's configuration for buyers by `transport`, called by that or by `name`, with `more` sections, `rules` of each buyer by its
    place and `tags` of all numbers; what it `keeps` goes into that folder."""
    name = name or transport
    texts = lambda values: ", ".join(f'"{value}"' for value in values)
    logins = ",\n".join(f'  {{ name = "{user}", password = "{password}" }}' for user, password in users)
    put(f"{work}/edge/numbers-{name}.csv", ["number,campaign,afid,sid,tags"] + [
        ",".join((n, campaigns[c]["id"], campaigns[c]["afid"], campaigns[c]["sid"], tags)) for n, c in lines])
    with open(f"{work}/edge/strowger-{name}.toml", "w") as file:
        file.write(f"""\
[node]
name = "bench"
shards = 1
drain_limit = "1s"
{f'data_dir = "{work}/edge/{keeps}"' if keeps else ""}

[[listen]]
transport = "udp"
bind = "127.0.0.1:{ports.server}"

[[listen]]
transport = "tcp"
bind = "127.0.0.1:{ports.server}"

[[listen]]
transport = "tls"
bind = "127.0.0.1:{ports.tls}"

[tls]
certificate = "server-cert.pem"
key = "server-key.pem"
ca = "authority.pem"

[http]
bind = "127.0.0.1:{ports.http}"

{more}
[telemetry]
log = "warn"
records = "{work}/edge/records.jsonl"

[limits]
calls = 500000
transactions = 2000000
nonces = 1000000

[[domain]]
name = "127.0.0.1"
realm = "{REALM}"
require = "ip|digest"
algorithms = ["SHA-256", "MD5"]

[[company]]
id = "bench"
key_secret = "bench-only-secret-bench-only-secret"

[[trunk]]
id = "carrier"
company = "bench"
domains = ["127.0.0.1"]
allow = [{texts(prefixes)}]
users = [
{logins}
]

[[numbers]]
file = "numbers-{name}.csv"
""")
        for afid in sorted({campaign["afid"] for campaign in campaigns}):
            file.write(f'\n[[publisher]]\nafid = "{afid}"\ncompany = "bench"\n')
        for campaign in campaigns:
            ids = [f"{user}-{campaign['id']}" for user, _ in campaign["buyers"]]
            file.write(f'\n[[campaign]]\nid = "{campaign["id"]}"\ncompany = "bench"\nbuyers = [{texts(ids)}]\n')
            for place, (id, (user, address)) in enumerate(zip(ids, campaign["buyers"])):
                file.write(f'\n[[buyer]]\nid = "{id}"\ncompany = "bench"\nuri = "sip:{user}{campaign["id"]}@127.0.0.1"\n'
                           f'address = "{address}"\ntransport = "{transport}"\n{rules(place)}')
