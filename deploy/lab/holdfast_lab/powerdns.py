# SPDX-License-Identifier: Apache-2.0
"""One authoritative PowerDNS with an sqlite database, the zone and an API key in a file."""
import json
import os
import secrets
import sqlite3
import urllib.error
import urllib.request

from . import dns
from .process import LabError, Process

SCHEMA = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"
ZONE = "hf.test."


class PowerDns:
    def __init__(self, lab):
        self.address, self.port = lab.addresses.dns, lab.port["dns"]
        self.api_port = lab.port["dns_api"]
        self.directory = lab.make_dir("dns")
        self.key_file = os.path.join(self.directory, "api.key")
        self.key = secrets.token_hex(16)
        lab.write(self.key_file, self.key + "\n", 0o600)
        database = os.path.join(self.directory, "zones.sqlite3")
        with open(SCHEMA, encoding="utf-8") as f, sqlite3.connect(database) as connection:
            connection.executescript(f.read())
        lab.own(database)
        # No caches: a client must see a change at once, and a check must not see yesterday's.
        settings = {
            "launch": "gsqlite3", "gsqlite3-database": database, "gsqlite3-pragma-synchronous": 1,
            "local-address": self.address, "local-port": self.port, "socket-dir": self.directory,
            "webserver": "yes", "webserver-address": self.address,
            "webserver-port": self.api_port, "webserver-allow-from": lab.addresses.network,
            "api": "yes", "api-key": self.key, "cache-ttl": 0, "query-cache-ttl": 0,
            "negquery-cache-ttl": 0, "zone-cache-refresh-interval": 0, "default-ttl": 5,
            "security-poll-suffix": "", "receiver-threads": 1, "distributor-threads": 1,
            "default-soa-content": f"ns.{ZONE} hostmaster.{ZONE} 0 60 60 3600 5",
        }
        lab.write(os.path.join(self.directory, "pdns.conf"),
                  "".join(f"{key}={value}\n" for key, value in settings.items()), 0o600)
        self.process = Process(
            "PowerDNS", ["pdns_server", f"--config-dir={self.directory}", "--guardian=no",
                         "--daemon=no", "--disable-syslog", "--log-timestamp=yes"],
            lab.log("dns"), self.directory, user=lab.user, cwd=self.directory,
            inside=lab.inside("services"))

    @property
    def url(self):
        return f"http://{self.address}:{self.api_port}"

    def api(self, method, path, body=None):
        request = urllib.request.Request(
            f"{self.url}/api/v1/servers/localhost{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-API-Key": self.key, "Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=3) as answer:
                text = answer.read()
                return json.loads(text) if text else {}
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise LabError(f"PowerDNS {method} {path}: {error}") from error

    def start(self):
        self.process.start()
        return self

    def ready(self):
        """Up, with the zone made when it is not there yet."""
        self.process.ready(20, lambda: self.api("GET", ""))
        if not any(zone["name"] == ZONE for zone in self.api("GET", "/zones")):
            self.api("POST", "/zones", {"name": ZONE, "kind": "Native", "soa_edit_api": "INCREASE",
                                        "nameservers": [f"ns.{ZONE}"]})
        return self

    def lookup(self, name, timeout=0.5):
        """The address that a client gets for a name now; DnsError when none."""
        return dns.resolve(name, self.address, self.port, timeout)[0][0]
