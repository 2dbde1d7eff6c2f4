# SPDX-License-Identifier: Apache-2.0
"""Real authoritative servers that take signed updates: Knot, BIND and PowerDNS, each with the zone
hf.test., on a free port of 127.0.0.1, in a directory of a laboratory."""
import base64
import os
import secrets
import socket
import sqlite3

from holdfast_lab import dns
from holdfast_lab.powerdns import SCHEMA
from holdfast_lab.process import Process, wait_until

ADDRESS = "127.0.0.1"
ZONE = "hf.test."
RECORDS = ("$ORIGIN hf.test.\n$TTL 5\n@ SOA ns hostmaster 1 2 2 3600 5\n@ NS ns\n"
           "ns A 127.0.0.1\nold 3600 A 127.9.9.9\nalias CNAME ns\n")


def free_port():
    """A port that is free for TCP and UDP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind((ADDRESS, 0))
            try:
                udp.bind((ADDRESS, tcp.getsockname()[1]))
                return tcp.getsockname()[1]
            except OSError:
                continue


class Key:
    def __init__(self, name, algorithm="hmac-sha256", size=32):
        self.name, self.algorithm = name, algorithm
        self.secret = base64.b64encode(secrets.token_bytes(size)).decode()

    def line(self):
        return f"{self.algorithm}:{self.name}:{self.secret}\n"

    def statement(self):
        return (f'key "{self.name}" {{\n    algorithm {self.algorithm};\n'
                f'    secret "{self.secret}";\n}};\n')


class NameServer:
    """One server. writers may change the zone; known is a key that may not."""

    def __init__(self, lab, name):
        self.lab, self.name, self.port = lab, name, free_port()
        self.writers = [Key("writer"), Key("writer-512", "hmac-sha512", 64)]
        self.known = Key("known")
        self.directory = lab.make_dir(name)
        self.secondary = None  # address and port that gets notifies
        self.process = None

    @property
    def server(self):
        return f"{ADDRESS}:{self.port}"

    def file(self, name, text, mode=0o600):
        return self.lab.write(os.path.join(self.directory, name), text, mode)

    def run(self, argv):
        self.process = Process(self.name, argv, self.lab.log(self.name), self.lab.directory,
                               user=self.lab.user, cwd=self.directory)
        return self.start()

    def start(self):
        self.process.start()
        self.process.ready(20, lambda: self.values("ns") or True if self._answers() else False)
        return self

    def _answers(self):
        try:
            return dns.resolve("ns." + ZONE, ADDRESS, self.port)
        except dns.DnsError:
            return None

    def values(self, host, timeout=1.0):
        """(addresses, TTL) of a host in the zone, ([], 0) when it has none."""
        try:
            return dns.resolve(f"{host}.{ZONE}", ADDRESS, self.port, timeout)
        except dns.DnsError:
            return [], 0

    def wait_value(self, host, value, seconds=5):
        wait_until(f"{host} at {self.name} to be {value}", seconds,
                   lambda: self.values(host)[0] == [value])


class Knot(NameServer):
    def __init__(self, lab, name="knot"):
        super().__init__(lab, name)
        self.file("zone", RECORDS)

    def configure(self):
        keys = [*self.writers, self.known]
        text = (f'server:\n  listen: {ADDRESS}@{self.port}\n  rundir: "{self.directory}"\n'
                '  tcp-workers: 1\n  udp-workers: 1\n  background-workers: 1\n'
                f'database:\n  storage: "{self.directory}"\n'
                'log:\n  - target: stderr\n    any: info\nkey:\n')
        for key in keys:
            text += (f'  - id: {key.name}\n    algorithm: {key.algorithm}\n'
                     f'    secret: {key.secret}\n')
        names = ", ".join(key.name for key in self.writers)
        text += 'remote:\n' + (f'  - id: second\n    address: {ADDRESS}@{self.secondary}\n'
                               if self.secondary else '')
        text += (f'acl:\n  - id: change\n    key: [{names}]\n    action: update\n'
                 f'  - id: copy\n    address: {ADDRESS}\n    action: transfer\n'
                 'zone:\n  - domain: hf.test.\n'
                 f'    file: "{self.directory}/zone"\n    acl: [change, copy]\n'
                 '    zonefile-sync: 0\n' + ('    notify: second\n' if self.secondary else ''))
        return self.file("knot.conf", text)

    def up(self):
        return self.run(["knotd", "-c", self.configure()])


class Bind(NameServer):
    def __init__(self, lab, name="bind"):
        super().__init__(lab, name)
        self.file("zone", RECORDS)

    def _zone(self):
        grants = "".join(f"grant {key.name} zonesub ANY; " for key in self.writers)
        return (f'zone "hf.test" {{ type primary; file "{self.directory}/zone"; '
                f'update-policy {{ {grants}}}; }};\n')

    def configure(self):
        keys = "".join(key.statement() for key in [*self.writers, self.known])
        return self.file("named.conf", (
            f'options {{ directory "{self.directory}"; '
            f'listen-on port {self.port} {{ {ADDRESS}; }}; '
            f'listen-on-v6 {{ none; }}; pid-file "{self.directory}/named.pid"; '
            f'session-keyfile "{self.directory}/session.key"; '
            f'managed-keys-directory "{self.directory}"; recursion no; dnssec-validation no; '
            f'notify no; }};\n{keys}controls {{ }};\n{self._zone()}'))

    def up(self):
        return self.run(["named", "-g", "-n", "1", "-c", self.configure()])


class BindSecondary(Bind):
    """A copy of another server's zone, by transfer."""

    def __init__(self, lab, primary_port):
        super().__init__(lab, "bind-secondary")
        self.primary_port = primary_port
        os.unlink(os.path.join(self.directory, "zone"))

    def _zone(self):
        return (f'zone "hf.test" {{ type secondary; file "{self.directory}/zone"; '
                f'primaries {{ {ADDRESS} port {self.primary_port}; }}; '
                f'min-refresh-time 1; min-retry-time 1; allow-notify {{ {ADDRESS}; }}; }};\n')


class PowerDnsUpdates(NameServer):
    """PowerDNS by its own update interface, not its API."""

    def __init__(self, lab, name="powerdns"):
        super().__init__(lab, name)
        self.database = os.path.join(self.directory, "zones.sqlite3")

    def up(self):
        with open(SCHEMA, encoding="utf-8") as f, sqlite3.connect(self.database) as c:
            c.executescript(f.read())
            c.execute("INSERT INTO domains (id, name, type) VALUES (1, 'hf.test', 'NATIVE')")
            for name, kind, content, ttl in (
                    ("hf.test", "SOA", "ns.hf.test hostmaster.hf.test 1 60 60 3600 5", 5),
                    ("hf.test", "NS", "ns.hf.test", 5), ("ns.hf.test", "A", "127.0.0.1", 5),
                    ("old.hf.test", "A", "127.9.9.9", 3600),
                    ("alias.hf.test", "CNAME", "ns.hf.test", 5)):
                c.execute("INSERT INTO records (domain_id, name, type, content, ttl, auth) "
                          "VALUES (1, ?, ?, ?, ?, 1)", (name, kind, content, ttl))
            for key in [*self.writers, self.known]:
                c.execute("INSERT INTO tsigkeys (name, algorithm, secret) VALUES (?, ?, ?)",
                          (key.name, key.algorithm, key.secret))
            for kind, content in [("ALLOW-DNSUPDATE-FROM", "127.0.0.0/8"),
                                  *(("TSIG-ALLOW-DNSUPDATE", k.name) for k in self.writers)]:
                c.execute("INSERT INTO domainmetadata (domain_id, kind, content) "
                          "VALUES (1, ?, ?)", (kind, content))
        self.lab.own(self.database)
        settings = {"launch": "gsqlite3", "gsqlite3-database": self.database,
                    "local-address": ADDRESS, "local-port": self.port,
                    "socket-dir": self.directory, "dnsupdate": "yes", "cache-ttl": 0,
                    "query-cache-ttl": 0, "negquery-cache-ttl": 0,
                    "zone-cache-refresh-interval": 0, "security-poll-suffix": "",
                    "receiver-threads": 1, "distributor-threads": 1}
        self.file("pdns.conf", "".join(f"{k}={v}\n" for k, v in settings.items()))
        return self.run(["pdns_server", f"--config-dir={self.directory}", "--guardian=no",
                         "--daemon=no", "--disable-syslog"])
