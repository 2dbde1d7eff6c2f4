#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the commit guard costs: pgbench (TPC-B-like) with holdfast.so loaded and managed, against
the same cluster without it, in alternating pairs.

guard.py [--build DIR] [--pairs N] [--seconds S] [--clients N] [--scale N] [--fsync]
Without --fsync the disk is left out: its noise would hide what a processor has to do more.
Prints each pair, the median ratio with against without, and its 95 % interval (bootstrap over the
pairs): of transactions a second, and of the processor time that the server took a transaction,
which says more on a machine that is busy with other things. Fails when even the better end of the
interval of the former is worse than 2 %.
"""
import argparse
import os
import random
import re
import statistics
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(TOP, "deploy", "lab"), os.path.join(TOP, "tests", "integration")]

from guard_node import Node  # noqa: E402
from holdfast_lab.lab import Laboratory, end_on_signals  # noqa: E402

LIMIT = 0.98


def cpu_of_ended(pid):
    """Seconds of processor time of a process' children that have ended."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[13]) + int(words[14])) / os.sysconf("SC_CLK_TCK")


def measure(node, guarded, options):
    """(transactions a second, processor time of one in us) of a run on a server started for it."""
    node.settings["shared_preload_libraries"] = node.library if guarded else ""
    node.configure(**{"holdfast.managed": "on" if guarded else "off"})
    node.page.open(seconds=3600)
    node.start()
    try:
        load = ["-n", "-c", str(options.clients), "-j", "2", "postgres"]
        node.run("psql", "-qc", "VACUUM pgbench_branches, pgbench_tellers", "-c", "CHECKPOINT",
                 "postgres")
        node.run("pgbench", "-T", "1", *load)
        pid = int(open(os.path.join(node.data, "postmaster.pid"), encoding="ascii").readline())
        time.sleep(0.3)  # the warming sessions end
        before = cpu_of_ended(pid)
        done = node.run("pgbench", "-T", str(options.seconds), *load)
        time.sleep(0.3)
        count = int(re.search(r"actually processed: (\d+)", done.stdout).group(1))
        return (float(re.search(r"tps = ([\d.]+)", done.stdout).group(1)),
                (cpu_of_ended(pid) - before) * 1e6 / count)
    finally:
        node.stop()


def interval(ratios, draws=10000):
    """95 % interval of the median, by resampling the pairs; the same seed each time."""
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios)))
                     for _ in range(draws))
    return medians[int(draws * 0.025)], medians[int(draws * 0.975)]


def run_pairs(node, options):
    """[(with the guard, without it)], each as measure() gives it."""
    pairs = []
    for i in range(options.pairs):
        # The order alternates: a machine that grows slower favours neither side.
        order = (True, False) if i % 2 else (False, True)
        got = {guarded: measure(node, guarded, options) for guarded in order}
        pairs.append((got[True], got[False]))
        print(f"pair {i + 1:2}: without {got[False][0]:7.1f} tps {got[False][1]:6.1f} us, "
              f"with {got[True][0]:7.1f} tps {got[True][1]:6.1f} us, "
              f"ratios {got[True][0] / got[False][0]:.4f} {got[True][1] / got[False][1]:.4f}",
              flush=True)
    return pairs


def report(what, pairs, which, options):
    """Prints median and interval of the ratio of one of the measures; returns the interval."""
    ratios = [with_guard[which] / without[which] for with_guard, without in pairs]
    low, high = interval(ratios)
    print(f"{what}: without {statistics.median(w[which] for _, w in pairs):.1f}, "
          f"with {statistics.median(g[which] for g, _ in pairs):.1f}; "
          f"median ratio {statistics.median(ratios):.4f}, 95 % interval {low:.4f} to {high:.4f} "
          f"({options.pairs} pairs of {options.seconds} s)")
    return low, high


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(TOP, "build"))
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--scale", type=int, default=10)
    parser.add_argument("--fsync", action="store_true")
    options = parser.parse_args()
    end_on_signals()
    with Laboratory(options.build) as lab:
        node = Node(lab, options.build, "bench", settings={
            "shared_buffers": "256MB", "max_wal_size": "2GB",
            "fsync": "on" if options.fsync else "off"}).initdb()
        node.page.make().open(seconds=3600)
        node.start()
        node.run("pgbench", "-i", "-q", "-s", str(options.scale), "postgres")
        node.stop()
        pairs = run_pairs(node, options)
    report("processor time a transaction, us", pairs, 1, options)
    _, high = report("transactions a second", pairs, 0, options)
    good = high >= LIMIT
    print(f"bench-guard: {int(good)} passed, {int(not good)} failed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
