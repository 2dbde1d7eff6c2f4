# SPDX-License-Identifier: Apache-2.0
"""A client of one region that lets go of nothing: numbered rows, one after another, in a session
that it keeps as long as it can.

It asks the name server where the primary is, or, when nobody answers there, the agents' /primary.
An answer that is late does not end its session: the session is parked, a new one is made, and what
the old one still says counts, as with a pooler that sticks to a server which is none any more. A
parked session that answers goes on writing.

Each line of its log is a JSON object: "t" the instant by CLOCK_MONOTONIC in microseconds, the same
clock for all clients of a machine, "w" the wall clock at that instant, "k" the kind:
    start, connect (server identity), sent, ack (timeline, LSN, the server's own clock), fail, end

python3 client.py OPTIONS.json
"""
import concurrent.futures
import contextlib
import json
import os
import select
import signal
import sys
import time
import urllib.error
import urllib.request

import psycopg2
from psycopg2 import extensions

from holdfast_lab import dns, ledger

IDENTITY = """SELECT pg_is_in_recovery(), system_identifier::text, host(inet_server_addr()),
    extract(epoch FROM pg_postmaster_start_time())::text FROM pg_control_system()"""
INSERT = """INSERT INTO ledger (client, n, filler) VALUES (%s, %s, %s)
    RETURNING n, pg_walfile_name(pg_current_wal_insert_lsn()), pg_current_wal_insert_lsn()::text,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"""
TICK_S = 0.05
FAILURES = (psycopg2.Error, OSError)


class Late(Exception):
    """No answer within the time that the client gives."""


class Session:
    """One connection: connecting, identifying, idle, waiting for a row's answer, or ended."""

    def __init__(self, client, number, address, source):
        o = client.options
        self.client, self.number, self.address, self.source = client, number, address, source
        self.state, self.since, self.parked = "connecting", time.monotonic(), False
        self.n, self.idle_until, self.cursor, self.history = 0, 0.0, None, None
        self.connection = psycopg2.connect(
            host=address, port=o["port"], dbname=o["database"], user=o["user"],
            passfile=o["passfile"], async_=1, sslmode="disable",
            application_name=f"fault-{o['client']}-{number}")

    def close(self):
        self.state = "ended"
        with contextlib.suppress(*FAILURES):
            self.connection.close()

    def interest(self):
        """(descriptor, reads, writes) that it waits for, or None."""
        if self.state in ("idle", "ended"):
            return None
        state = self.connection.poll()
        if state == extensions.POLL_OK:
            self.answered()
            return None
        return (self.connection.fileno(), state == extensions.POLL_READ,
                state == extensions.POLL_WRITE)

    def ask(self, state, sql, parameters=None):
        self.cursor = self.connection.cursor()
        self.cursor.execute(sql, parameters)
        self.state, self.since = state, time.monotonic()

    def answered(self):
        if self.state == "connecting":
            self.ask("identifying", IDENTITY)
        elif self.state == "identifying":
            standby, system, address, started = self.cursor.fetchone()
            if standby:
                raise Late(f"{self.address} is a standby")
            self.client.note("connect", s=self.number, addr=address, system=system, up=started,
                             source=self.source)
            self.address, self.history, self.state = address, system, "idle"
        elif self.state == "waiting":
            n, segment, lsn, wall = self.cursor.fetchone()
            self.client.note("ack", s=self.number, n=n, addr=self.address, system=self.history,
                             tl=int(segment[:8], 16), lsn=lsn, srv=wall, parked=self.parked)
            self.state = "idle"
            if self.parked and all(other.parked for other in self.client.sessions):
                self.parked = False  # refused for a while, and the only one: it is kept
            pause = self.client.options["pause_s"]
            self.idle_until = time.monotonic() + (pause * 5 if self.parked else pause)

    def write(self):
        o, self.n = self.client.options, self.client.next_number()
        self.client.note("sent", s=self.number, n=self.n)
        self.ask("waiting", INSERT, (o["client"], self.n, ledger.filler(
            o["client"], self.n, o["filler"])))


class Client:
    def __init__(self, options):
        self.options, self.ending = options, False
        self.log = os.open(options["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
                           0o644)
        self.sessions, self.made, self.numbers = [], 0, 0
        self.retry_at, self.asking, self.use_endpoints = 0.0, None, False
        self.asker = concurrent.futures.ThreadPoolExecutor(1)

    def note(self, kind, **more):
        line = {"t": time.monotonic_ns() // 1000, "w": time.time_ns() // 1000, "k": kind, **more}
        os.write(self.log, (json.dumps(line) + "\n").encode())

    def next_number(self):
        self.numbers += 1
        return self.numbers

    # -- where the primary is -------------------------------------------------------------------

    def locate(self, endpoints):
        """Address and who said so; asked beside the sessions, which are never kept waiting."""
        o = self.options
        if not endpoints:
            return dns.resolve(o["name"], o["dns_address"], o["dns_port"], 0.5)[0][0], "dns"
        for address in o["endpoints"]:
            try:
                with urllib.request.urlopen(f"http://{address}/primary", timeout=0.5) as answer:
                    if answer.status == 200:
                        return address.rsplit(":", 1)[0], "endpoint"
            except OSError:
                continue
        raise Late("no agent says that it has the primary")

    def look_for_primary(self):
        if self.asking is None:
            if time.monotonic() >= self.retry_at:
                self.asking = self.asker.submit(self.locate, self.use_endpoints)
            return
        if not self.asking.done():
            return
        asked, self.asking = self.asking, None
        self.retry_at = time.monotonic() + self.options["retry_s"]
        try:
            address, source = asked.result()
            self.made += 1
            self.sessions.append(Session(self, self.made, address, source))
        except (dns.DnsError, Late, OSError, psycopg2.Error) as error:
            self.use_endpoints = not self.use_endpoints
            self.note("fail", s=0, n=0, parked=False, why=f"{type(error).__name__} {error}"[:300])

    # -- the loop -------------------------------------------------------------------------------

    def failed(self, session, error):
        text = " ".join(str(error).split())[:300]
        self.note("fail", s=session.number, n=session.n if session.state == "waiting" else 0,
                  parked=session.parked, code=getattr(error, "pgcode", None),
                  why=f"{type(error).__name__} {text}")
        if session.state in ("connecting", "identifying"):
            self.use_endpoints = not self.use_endpoints
        # An answer that says no leaves the session whole: it is kept, and asked again.
        whole = session.state == "waiting" and getattr(error, "pgcode", None) and \
            not session.connection.closed
        if whole:
            session.parked, session.state = True, "idle"
            session.idle_until = time.monotonic() + 0.2
        else:
            session.close()
        self.retry_at = max(self.retry_at, time.monotonic() + self.options["retry_s"])

    def overdue(self, session):
        """A late row parks its session; a late connection is given up."""
        waited = time.monotonic() - session.since
        if session.state in ("connecting", "identifying") and waited > self.options["connect_s"]:
            self.failed(session, Late(f"no connection within {self.options['connect_s']} s"))
        elif session.state == "waiting" and not session.parked and \
                waited > self.options["answer_s"]:
            session.parked = True
            self.note("fail", s=session.number, n=session.n, parked=False,
                      why=f"Late no answer within {self.options['answer_s']} s")

    def step(self, session):
        """What the session waits for, after it has done what it can."""
        try:
            if session.state == "idle" and time.monotonic() >= session.idle_until:
                session.write()
            found = session.interest()
            self.overdue(session)
            return found
        except (*FAILURES, Late) as error:
            self.failed(session, error)
            return None

    def run(self):
        self.note("start", client=self.options["client"], filler=self.options["filler"])
        while not self.ending:
            if all(s.parked for s in self.sessions):
                self.look_for_primary()
            reads, writes, wait = [], [], TICK_S
            for session in self.sessions:
                found = self.step(session)
                if found:
                    (reads if found[1] else writes).append(found[0])
                elif session.state == "idle":
                    wait = min(wait, max(0.0, session.idle_until - time.monotonic()))
            self.sessions = [s for s in self.sessions if s.state != "ended"]
            parked = [s for s in self.sessions if s.parked]
            for session in parked[:max(0, len(parked) - self.options["parked_max"])]:
                session.close()
            if reads or writes or wait > 0:
                with contextlib.suppress(OSError, ValueError):
                    select.select(reads, writes, [], wait)
        self.note("end")


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        client = Client(json.load(f))

    def end(_signal, _frame):
        client.ending = True
    signal.signal(signal.SIGTERM, end)
    client.run()
    os._exit(0)  # the asking thread may still wait for somebody


if __name__ == "__main__":
    main()
