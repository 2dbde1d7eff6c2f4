# SPDX-License-Identifier: Apache-2.0
"""A client that never stops writing: numbered rows through the published name, one after another.

It resolves the name by asking the authoritative server, keeps short deadlines of its own, resolves
and connects anew after any failure, and never sends a number twice. Each line of its log is
    SECONDS.MICROS KIND NUMBER TEXT
with KIND one of start, connect, sent, ack, fail, end; the clock is CLOCK_REALTIME. An "ack" line is
written after the server's answer and before the next row: it is what the database promised.

python3 -m holdfast_lab.writer OPTIONS.json
"""
import json
import os
import select
import signal
import sys
import time

import psycopg2
from psycopg2 import extensions

from . import dns, ledger

TABLE = """CREATE TABLE IF NOT EXISTS ledger (
    client text NOT NULL, n bigint NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp(),
    filler text NOT NULL DEFAULT '', PRIMARY KEY (client, n))"""
INSERT = "INSERT INTO ledger (client, n, filler) VALUES (%s, %s, %s) RETURNING n"


class Late(Exception):
    """The client's own deadline is over; what the server did is unknown."""


class Writer:
    def __init__(self, options):
        self.options = options
        self.log = os.open(options["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
                           0o644)
        self.connection, self.address, self.ending = None, None, False
        self.number = 0

    def note(self, kind, number=0, text=""):
        line = f"{time.time():.6f} {kind} {number} {' '.join(str(text).split())[:200]}"
        os.write(self.log, (line.rstrip() + "\n").encode())

    def wait(self, seconds):
        """Drives the connection until it is idle; Late after the time."""
        deadline = time.monotonic() + seconds
        while True:
            state = self.connection.poll()
            if state == extensions.POLL_OK:
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise Late(f"no answer within {seconds} s")
            fd = self.connection.fileno()
            reading = [fd] if state == extensions.POLL_READ else []
            writing = [fd] if state == extensions.POLL_WRITE else []
            ready = select.select(reading, writing, [], left)
            if not any(ready):
                raise Late(f"no answer within {seconds} s")

    def execute(self, sql, parameters=None):
        cursor = self.connection.cursor()
        cursor.execute(sql, parameters)
        self.wait(self.options["answer_s"])
        return cursor.fetchall() if cursor.description else None

    def connect(self):
        o = self.options
        addresses, _ttl = dns.resolve(o["name"], o["dns_address"], o["dns_port"], o["connect_s"])
        self.address = addresses[0]
        self.connection = psycopg2.connect(
            host=self.address, port=o["port"], dbname=o["database"], user=o["user"],
            passfile=o["passfile"], async_=1, sslmode="disable", keepalives_idle=1,
            keepalives_interval=1, keepalives_count=2, tcp_user_timeout=int(o["answer_s"] * 1000),
            application_name=f"writer-{o['client']}")
        self.wait(o["connect_s"])
        if self.execute("SELECT pg_is_in_recovery()")[0][0]:
            raise Late("connected to a standby")
        if self.number == 0:
            self.execute(TABLE)
        self.note("connect", 0, self.address)

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def write_one(self):
        self.number += 1
        self.note("sent", self.number)
        rows = self.execute(INSERT, (self.options["client"], self.number, ledger.filler(
            self.options["client"], self.number, self.options["filler"])))
        if rows != [(self.number,)]:
            raise Late(f"answered {rows}")
        self.note("ack", self.number, self.address)

    def run(self):
        self.note("start", 0, json.dumps({
            key: self.options[key] for key in ("client", "filler")}))
        while not self.ending:
            try:
                if self.connection is None:
                    self.connect()
                self.write_one()
                time.sleep(self.options["pause_s"])
            except (psycopg2.Error, dns.DnsError, Late, OSError) as error:
                self.note("fail", self.number, f"{type(error).__name__} {error}")
                self.close()
                time.sleep(self.options["retry_s"])
        self.close()
        self.note("end", self.number)


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        writer = Writer(json.load(f))

    def end(_signal, _frame):
        writer.ending = True
    signal.signal(signal.SIGTERM, end)
    writer.run()


if __name__ == "__main__":
    main()
