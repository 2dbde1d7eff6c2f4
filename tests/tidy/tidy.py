#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the house: layering, third-party owners, sizes, banned calls, style, analyzers.

tidy.py [--build DIR] [-k TEXT] [--all]
Each check prints its findings as "path:line: text"; the last line is "tidy: N passed, N failed".
Findings that stay are in excuses.txt, each with its reason; an idle excuse is a finding.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

import analyzers
import layering
import selftest
import source

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

CHECKS = [
    ("layering", layering.check_includes),
    ("owners", layering.check_owners),
    ("symbols", layering.check_symbols),
    ("link", layering.check_programs),
    ("file-size", source.check_file_size),
    ("function-size", source.check_function_size),
    ("banned-calls", source.check_banned),
    ("spdx", source.check_spdx),
    ("tabs", source.check_white_space),
    ("forbidden-text", source.check_forbidden_text),
    ("header-docs", source.check_headers),
    ("fault-points", source.check_fault_points),
    ("run-bits", source.check_run_bits),
    ("docs-commands", source.check_docs),
    ("docs-rules", source.check_rules),
    ("python", source.check_python),
    ("shell", source.check_shell),
    ("format", analyzers.check_format),
    ("cppcheck", analyzers.check_cppcheck),
    ("clang-tidy", analyzers.check_clang_tidy),
]


class Context:
    """What every check gets: the tree's files (tracked or about to be), the build, the options."""

    def __init__(self, top, build, files, whole=False):
        self.top, self.files, self.whole = top, sorted(files), whole
        self.build = os.path.join(top, build)
        self._text = {}

    def text(self, path):
        if path not in self._text:
            with open(os.path.join(self.top, path), encoding="utf-8", errors="replace") as f:
                self._text[path] = f.read()
        return self._text[path]

    def c_files(self, *suffixes):
        return [f for f in self.files if f.endswith(suffixes or (".c", ".h"))]


def tree_files():
    """Files of the working tree that git tracks or would."""
    listed = subprocess.run(
        ["git", "-C", TOP, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True, capture_output=True, text=True).stdout
    return [f for f in listed.split("\0") if f and os.path.isfile(os.path.join(TOP, f))]


def check_itself(_context):
    """Every check must find the fault that was planted for it, or it proves nothing."""
    for name, check in CHECKS:
        planted = selftest.PLANTED.get(name)
        if planted is None:
            if name not in selftest.NEEDS_BUILD:
                yield name, "tests/tidy/selftest.py", f"has no planted fault for {name}"
            continue
        with tempfile.TemporaryDirectory() as directory:
            selftest.write(directory, planted)
            found = list(check(Context(directory, "build", planted)))
            if not found:
                yield name, "tests/tidy/selftest.py", f"{name} did not find its planted fault"


def read_excuses(path):
    excuses = {}
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            parts = line.split(None, 2)
            if len(parts) < 3:
                sys.exit(f"{path}:{number}: wanted CHECK PATH[:NAME] REASON")
            excuses[(parts[0], parts[1])] = number
    return excuses


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("-k", default="", help="only checks whose name contains this")
    parser.add_argument("--all", action="store_true", help="clang-tidy over every file")
    options = parser.parse_args()
    context = Context(TOP, options.build, tree_files(), options.all)
    excuses_path = os.path.join(TOP, "tests/tidy/excuses.txt")
    excuses = read_excuses(excuses_path)
    used = set()
    passed = failed = 0
    for name, check in [*CHECKS, ("itself", check_itself)]:
        if options.k not in name:
            continue
        began = time.monotonic()
        findings = []
        for key, where, text in check(context):
            if (name, key) in excuses:
                used.add((name, key))
            else:
                findings.append(f"{where}: {text}")
        took = time.monotonic() - began
        print(f"{'ok  ' if not findings else 'FAIL'} {name} ({took:.1f} s)", flush=True)
        for finding in findings[:60]:
            print(f"    {finding}")
        if len(findings) > 60:
            print(f"    and {len(findings) - 60} more")
        passed, failed = passed + (not findings), failed + bool(findings)
    if not options.k:
        idle = sorted(set(excuses) - used)
        for check, path in idle:
            print(f"    tests/tidy/excuses.txt:{excuses[(check, path)]}: {check} {path} "
                  "excuses nothing any more")
        print(f"{'ok  ' if not idle else 'FAIL'} excuses")
        passed, failed = passed + (not idle), failed + bool(idle)
    print(f"tidy: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
