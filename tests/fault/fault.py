#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real programs, real servers, real faults: three regions in network namespaces, scenarios that say
beforehand what should happen, and a checker over what clients were promised.

The order of the scenarios and the moments in them come from a seed, which is printed. A scenario
that fails leaves a directory of evidence, and the next one begins with a new laboratory.
"""
import argparse
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(TOP, "deploy", "lab"), HERE]

from holdfast_lab.lab import end_on_signals  # noqa: E402
from holdfast_lab.process import LabError  # noqa: E402

import matrix  # noqa: E402
import scenarios  # noqa: E402
from scene import Play, Stage  # noqa: E402

INSIDE = "HOLDFAST_FAULT_INSIDE"


def mounts_of_its_own():
    """Small volumes are mounted: in a namespace that goes with us, however we end."""
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "--",
                              sys.executable, *sys.argv])


def play_one(stage, scenario, seed):
    """Runs a scenario to its end; the play, with what was found."""
    play = Play(stage, scenario, seed)
    try:
        play.open()
        scenario.run(play)
        play.settle()
        play.close()
        play.check()
    except LabError as error:
        play.findings.append(str(error))
    except Exception as error:  # pylint: disable=broad-except
        play.findings.append("".join(traceback.format_exception(error)))
    finally:
        play.close()
    return play


def line(play, seconds):
    """What was measured, in one line."""
    f = play.figures
    if "silence" not in f:
        return f"did not come to its end, {seconds:.0f} s"
    silence = " ".join(f"{region} {s:.2f}" for region, s in f["silence"].items())
    operations = "; ".join(f["operations"]) or "none"
    return (f"silence s: {silence}; lost {f['lost']} of {f['acked']}, predicted "
            f"{f['predicted_ms']:.0f} ms; answers late by a cut {f['late']}; primary "
            f"{f['primary']}, epochs +{f['epochs']}, operations: {operations}; reasons: "
            f"{', '.join(f['reasons']) or 'none'}; settled "
            f"{f['settled_s']:.1f} s; {seconds:.0f} s")


def run_all(chosen, options, seed):
    """(passed, failed); a laboratory lasts until a scenario fails in it."""
    passed, failed, stage, number = 0, [], None, 0
    base = tempfile.mkdtemp(prefix="holdfast-fault-", dir="/var/tmp")
    try:
        for scenario in chosen:
            print(f"     {scenario.name}: {scenario.expect}", flush=True)
            began = time.monotonic()
            if stage is None:
                number += 1
                try:
                    stage = Stage(options.build, os.path.join(base, str(number)))
                except LabError as error:
                    print(f"FAIL {scenario.name}: no laboratory: {error}", flush=True)
                    failed.append(scenario.name)
                    continue
                print(f"     laboratory up in {time.monotonic() - began:.0f} s", flush=True)
                began = time.monotonic()
            play = play_one(stage, scenario, seed)
            fine = not play.findings
            print(f"{'ok  ' if fine else 'FAIL'} {scenario.name}: "
                  f"{line(play, time.monotonic() - began)}", flush=True)
            directory = os.path.join(options.evidence or base, f"evidence-{scenario.name}")
            if options.keep or not fine:
                play.keep(directory)
            if fine:
                passed += 1
                continue
            failed.append(scenario.name)
            for text in play.findings:
                print(f"     {text}")
            print(f"     seed {seed}, evidence in {directory}", flush=True)
            stage.close()
            stage = None
    finally:
        if stage is not None:
            stage.close()
        if os.path.isdir(base) and not os.listdir(base):
            os.rmdir(base)
    return passed, failed


def check_checker():
    """The checker's own tests first: what it does not find, no scenario would show."""
    done = subprocess.run([sys.executable, os.path.join(HERE, "test_checker.py")], check=False,
                          capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    print(done.stderr.strip().splitlines()[-3])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--all", action="store_true", help="the whole matrix")
    parser.add_argument("--seed", type=int, help="as a run before printed it")
    parser.add_argument("-k", default="", help="only scenarios whose name contains this")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--keep", action="store_true", help="evidence of all, not of failed ones")
    parser.add_argument("--evidence", help="where failed scenarios leave what explains them")
    options = parser.parse_args()
    cells, none = matrix.scenarios()
    known = scenarios.NAMED + cells
    chosen = [s for s in known if options.k in s.name and (options.all or options.k or s.default)]
    if not chosen:
        parser.error(f"no scenario has \"{options.k}\" in its name; --list shows them")
    if options.list:
        for scenario in known:
            print(f"{'*' if scenario.default else ' '} {scenario.name}: {scenario.expect}")
        for name, why in none.items():
            print(f"- {name}: {why}")
        return 0
    mounts_of_its_own()
    end_on_signals()
    check_checker()
    seed = secrets.randbelow(1 << 31) if options.seed is None else options.seed
    random.Random(seed).shuffle(chosen)
    print(f"seed {seed}, {len(chosen)} scenarios", flush=True)
    passed, failed = run_all(chosen, options, seed)
    print(f"fault: {passed} passed, {len(failed)} failed")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
