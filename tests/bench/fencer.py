#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How long a PostgreSQL without the commit guard goes on acknowledging after the end of its lease:
the agent of the primary is frozen, so that the lease runs out, while clients commit as fast as they
can. Printed for each round: the last acknowledgement, the fencer's begin and its end, all counted
from the deadline in the lease page. A round fails when the fencer did not end PostgreSQL."""
import argparse
import os
import statistics
import struct
import sys
import threading
import time

import psycopg2

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "deploy", "lab"))
sys.path.insert(0, os.path.join(TOP, "tests", "integration"))

from guard_node import lease_clock_us  # noqa: E402
from holdfast_lab.lab import Laboratory, end_on_signals  # noqa: E402
from holdfast_lab.process import wait_until  # noqa: E402
from watch import healthy  # noqa: E402

DEADLINE, BEGAN, ENDED = 88, 2080, 2088  # offsets in the page (docs/protocol.md, section 2)


class Committer(threading.Thread):
    """Commits one row after the other until its connection ends."""

    def __init__(self, lab, region):
        super().__init__(daemon=True)
        self.connection = lab.connect(region)
        self.connection.autocommit = True
        self.last_us, self.rows = 0, 0
        self.start()

    def run(self):
        try:
            with self.connection.cursor() as cursor:
                while True:
                    cursor.execute("INSERT INTO fencer_bench VALUES (1)")
                    self.last_us = lease_clock_us()
                    self.rows += 1
        except psycopg2.Error:
            pass


def page(lab, region, offset):
    path = os.path.join(lab.region_dir(region), "agent", "state", "lease.page")
    with open(path, "rb") as f:
        f.seek(offset)
        return struct.unpack("<q", f.read(8))[0]


def one_round(lab, number, clients):
    region = healthy(lab, 180)
    with lab.connect(region) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS fencer_bench (n int)")
    committers = [Committer(lab, region) for _ in range(clients)]
    time.sleep(2)
    before = page(lab, region, ENDED)
    lab.agents[region].freeze()
    try:
        deadline = page(lab, region, DEADLINE)
        wait_until("PostgreSQL to end", 60, lambda: not lab.postgres_processes(region), 0.01)
        wait_until("the fencer to say so", 10, lambda: page(lab, region, ENDED) != before, 0.01)
        for c in committers:
            c.join(30)
        began, ended = page(lab, region, BEGAN), page(lab, region, ENDED)
    finally:
        lab.agents[region].thaw()
    last = max(c.last_us for c in committers)
    figures = [(t - deadline) / 1000 for t in (last, began, ended)]
    print(f"round {number}: last acknowledgement {figures[0]:8.1f} ms, fencer begins "
          f"{figures[1]:6.1f} ms, ends {figures[2]:6.1f} ms after the deadline "
          f"({sum(c.rows for c in committers)} commits by {clients} clients)", flush=True)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    end_on_signals()
    with Laboratory(options.build, lease="3s", guard=False) as lab:
        lab.prepare().start_servers().start_programs()
        lab.apply_policy()
        rounds = [one_round(lab, n + 1, options.clients) for n in range(options.rounds)]
    names = ("last acknowledgement", "the fencer begins", "PostgreSQL is gone")
    print(f"\nwithout the commit guard, {options.clients} clients, {options.rounds} rounds, "
          "milliseconds after the deadline")
    print(f"{'':22} {'min':>7} {'median':>7} {'max':>7}")
    for name, found in zip(names, zip(*rounds)):
        print(f"{name:22} {min(found):7.1f} {statistics.median(found):7.1f} {max(found):7.1f}")
    print(f"bench-fencer: {len(rounds)} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
