#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the commit guard costs: pgbench (TPC-B-like) with holdfast.so loaded and managed, against the
same cluster without it, in alternating pairs.

guard.py [--build DIR] [--pairs N] [--seconds S] [--clients N] [--scale N] [--fsync]
Without --fsync the disk is left out: its noise would hide what a processor has to do more.
Prints each pair, the median ratio with against without, and its 95 % interval (bootstrap over the
pairs). Fails when even the upper end of the interval is below 0.98: slower by more than 2 %.
"""
import argparse
import os
import random
import re
import statistics
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(TOP, "deploy", "lab"), os.path.join(TOP, "tests", "integration")]

from guard_node import Node  # noqa: E402
from holdfast_lab.lab import Laboratory, end_on_signals  # noqa: E402

LIMIT = 0.98


def measure(node, guarded, options):
    """Transactions a second of one run on a server started for it."""
    node.settings["shared_preload_libraries"] = node.library if guarded else ""
    node.configure(**{"holdfast.managed": "on" if guarded else "off"})
    node.page.open(seconds=3600)
    node.start()
    try:
        load = ["-n", "-c", str(options.clients), "-j", "2", "postgres"]
        node.run("psql", "-qc", "VACUUM pgbench_branches, pgbench_tellers", "-c", "CHECKPOINT",
                 "postgres")
        node.run("pgbench", "-T", "1", *load)
        done = node.run("pgbench", "-T", str(options.seconds), *load)
        return float(re.search(r"tps = ([\d.]+)", done.stdout).group(1))
    finally:
        node.stop()


def interval(ratios, draws=10000):
    """95 % interval of the median, by resampling the pairs; the same seed each time."""
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios)))
                     for _ in range(draws))
    return medians[int(draws * 0.025)], medians[int(draws * 0.975)]


def run_pairs(node, options):
    ratios, with_guard, without = [], [], []
    for i in range(options.pairs):
        # The order alternates: a machine that grows slower favours neither side.
        order = (True, False) if i % 2 else (False, True)
        tps = {guarded: measure(node, guarded, options) for guarded in order}
        with_guard.append(tps[True])
        without.append(tps[False])
        ratios.append(tps[True] / tps[False])
        print(f"pair {i + 1:2}: without {tps[False]:8.1f} tps, with {tps[True]:8.1f} tps, "
              f"ratio {ratios[-1]:.4f}", flush=True)
    return ratios, with_guard, without


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
        ratios, with_guard, without = run_pairs(node, options)
    low, high = interval(ratios)
    print(f"median {statistics.median(without):.1f} tps without, "
          f"{statistics.median(with_guard):.1f} tps with")
    print(f"median ratio {statistics.median(ratios):.4f}, 95 % interval {low:.4f} to {high:.4f} "
          f"({options.pairs} pairs of {options.seconds} s)")
    good = high >= LIMIT
    print(f"bench-guard: {int(good)} passed, {int(not good)} failed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
