#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the cmocka programs of a build tree and counts test cases, not programs.

unit_runner.py BUILD [-k TEXT] [--label unit] [--only NAME,NAME] [--personality]
A program that dies, leaks or times out without a failed case of its own counts as one failure.
The last line is "unit: N passed, N failed".
"""
import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time

CASE_OK = re.compile(r"^\[ +OK \]", re.M)
CASE_SKIPPED = re.compile(r"^\[ +SKIPPED \] \S+$", re.M)
FAILED_SUM = re.compile(r"^\[ +FAILED +\] (?:[^:\n]*: )?(\d+) test\(s\), listed below", re.M)


def discover(build, label):
    """The programs that ctest knows by this label: name, command, directory, time limit."""
    text = subprocess.run(["ctest", "--test-dir", build, "-L", label, "--show-only=json-v1"],
                          check=True, capture_output=True, text=True).stdout
    for test in json.loads(text)["tests"]:
        properties = {p["name"]: p["value"] for p in test.get("properties", [])}
        if "command" in test:
            yield {"name": test["name"], "command": test["command"],
                   "cwd": properties.get("WORKING_DIRECTORY", build),
                   "timeout": float(properties.get("TIMEOUT", 300))}


def run(test, prefix):
    env = dict(os.environ)
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    env.setdefault("TSAN_OPTIONS", "halt_on_error=0:exitcode=66")
    started = time.monotonic()
    try:
        done = subprocess.run(prefix + test["command"], cwd=test["cwd"], env=env, text=True,
                              errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, timeout=test["timeout"])
        output, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode(errors="replace")
        status = f"no end within {test['timeout']:.0f} s"
    passed = len(CASE_OK.findall(output))
    failed = sum(int(n) for n in FAILED_SUM.findall(output))
    if status != 0 and failed == 0:
        failed = 1
    if status == 0 and passed == 0 and failed == 0 and not CASE_SKIPPED.search(output):
        failed, status = 1, "ran no test case"
    return {"test": test, "passed": passed, "failed": failed, "status": status, "output": output,
            "skipped": len(set(CASE_SKIPPED.findall(output))),
            "seconds": time.monotonic() - started}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("-k", default="", help="only programs whose name contains this")
    parser.add_argument("--label", default="unit")
    parser.add_argument("--only", default="", help="comma-separated exact names")
    parser.add_argument("--personality", action="store_true",
                        help="fixed addresses, for thread sanitizer on newer kernels")
    options = parser.parse_args()
    tests = list(discover(options.build, options.label))
    if options.only:
        tests = [t for t in tests if t["name"] in options.only.split(",")]
    tests = [t for t in tests if options.k in t["name"]]
    prefix = ["setarch", "-R"] if options.personality else []
    passed = failed = skipped = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for result in pool.map(lambda t: run(t, prefix), tests):
            passed += result["passed"]
            failed += result["failed"]
            skipped += result["skipped"]
            mark = "ok  " if not result["failed"] else "FAIL"
            more = f", {result['skipped']} skipped" if result["skipped"] else ""
            print(f"{mark} {result['test']['name']:<40} {result['passed']:>4} passed, "
                  f"{result['failed']} failed{more} ({result['seconds']:.1f} s)", flush=True)
            if result["failed"]:
                print(f"--- {result['test']['name']}: exit {result['status']}")
                print("\n".join(result["output"].splitlines()[-120:]))
                print("---", flush=True)
    if skipped:
        print(f"unit: {skipped} skipped")
    print(f"unit: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
