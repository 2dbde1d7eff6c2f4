#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How long clients wait: the primary's postmaster killed, a switchover, the primary's whole region
lost with the leading coordinator in it and outside it. A laboratory of three regions on this
machine, one client that writes through the published name. Prints every round, minimum, median and
maximum; each round also compares the client's log with the table."""
import argparse
import os
import statistics
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "deploy", "lab"))
sys.path.insert(0, os.path.join(TOP, "tests", "integration"))

from holdfast_lab.lab import Laboratory, end_on_signals  # noqa: E402
from holdfast_lab.process import wait_until  # noqa: E402
from watch import Client, finished, healthy  # noqa: E402


def other(lab, region):
    return next(r for r in lab.regions if r != region)


def crash(lab, source):
    lab.kill_postmaster(source)
    return "failover"


def switchover(lab, source):
    lab.operator.run("switchover", "run", f"{lab.tenant}/{lab.cluster}", "--to", other(lab, source))
    return "switchover"


def lose(lab, source):
    lab.kill_region(source)
    return "failover"


def lead(lab, region):
    """Makes this region's coordinator lead: the others go for a moment."""
    for name in lab.regions:
        if name != region:
            lab.coordinators[name].stop()
    wait_until(f"{region} to lead", 60,
               lambda: lab.api.get("/v1/version", region).get("leader") == region, 0.1)
    for name in lab.regions:
        if name != region:
            lab.coordinators[name].start()


def round_of(lab, name, number, hurt, leader_inside):
    source = healthy(lab, 180)
    wait_until("a switchover to be allowed", 60, lambda: ": allowed" in lab.operator.run(
        "switchover", "plan", f"{lab.tenant}/{lab.cluster}").stdout, 0.5)
    if leader_inside is not None:
        lead(lab, source if leader_inside else other(lab, source))
        healthy(lab, 60)
    known = {k: len(lab.api.operations(k)) for k in ("failover", "switchover")}
    with Client(lab, f"{name}-{number}") as client:
        client.more(100)
        began = time.time()
        kind = hurt(lab, source)
        operation = finished(lab, after=known[kind], kind=kind, seconds=120)
        wait_until("the client to write again", 60,
                   lambda: client.log().first_ack_after(began + 0.2), 0.05)
        client.more(50)
        gap, _ = client.log().longest_gap()
        client.process.stop()
        status = lab.status()
        primary = next(r for r in lab.regions if lab.node(r) == status["primary"])
        found = client.compare(primary)
    if hurt is lose:
        lab.start_region(source)
    print(f"{name:28} round {number}: {gap:6.2f} s, {len(found.lost)} of {found.acked} "
          f"acknowledged lost, {operation['result']}", flush=True)
    return gap, len(found.lost)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lease", default="3s")
    options = parser.parse_args()
    end_on_signals()
    kinds = [("postmaster killed", crash, None), ("switchover", switchover, None),
             ("region lost, leader inside", lose, True),
             ("region lost, leader outside", lose, False)]
    rows = []
    with Laboratory(options.build, lease=options.lease) as lab:
        lab.prepare().start_servers().start_programs()
        lab.apply_policy()
        for name, hurt, inside in kinds:
            found = [round_of(lab, name, n + 1, hurt, inside) for n in range(options.rounds)]
            rows.append((name, [gap for gap, _ in found], sum(lost for _, lost in found)))
    print(f"\nlease {options.lease}, {options.rounds} rounds each")
    print("longest silence at the client, seconds")
    print(f"{'':28} {'min':>6} {'median':>6} {'max':>6}  lost commits")
    for name, gaps, lost in rows:
        print(f"{name:28} {min(gaps):6.2f} {statistics.median(gaps):6.2f} {max(gaps):6.2f}  {lost}")
    # Asynchronous replication may lose with a region; never when the primary's own disk is there.
    failed = sum(1 for name, _, lost in rows if lost and "region" not in name)
    print(f"bench-failover: {len(rows) - failed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
