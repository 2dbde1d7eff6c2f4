# SPDX-License-Identifier: Apache-2.0
"""clang-format, cppcheck and clang-tidy, in parallel, with what they found last time remembered.

clang-tidy takes seconds a file: a file whose own text, included project headers, flags and rules
are the same as when it was last found clean is not looked at again (build/tidy-clean/).
"""
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess

from layering import includes, target_of


def check_format(context):
    files = context.c_files()
    for start in range(0, len(files), 50):
        batch = [os.path.join(context.top, f) for f in files[start:start + 50]]
        done = subprocess.run(
            ["clang-format-14", "--dry-run", "-Werror", "-ferror-limit=1", *batch],
            capture_output=True, text=True, check=False)
        for line in done.stderr.splitlines():
            match = re.match(r"(.*?):(\d+):\d+: error: code should be clang-formatted", line)
            if match:
                path = os.path.relpath(match.group(1), context.top)
                yield path, f"{path}:{match.group(2)}", "not formatted: clang-format-14 -i"


def compile_commands(context):
    path = os.path.join(context.build, "compile_commands.json")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as f:
        return {os.path.relpath(c["file"], context.top): c for c in json.load(f)}


def check_cppcheck(context):
    if compile_commands(context) is None:
        yield "build", context.build, "has no compile_commands.json: build first"
        return
    cache = os.path.join(context.build, "cppcheck")
    os.makedirs(cache, exist_ok=True)
    done = subprocess.run(
        ["cppcheck", f"--project={context.build}/compile_commands.json", "-q", "-j",
         str(os.cpu_count() or 1), f"--cppcheck-build-dir={cache}", "-D__cppcheck__",
         "--enable=warning,performance,portability", "--inline-suppr", "--std=c11",
         f"--suppressions-list={context.top}/tests/tidy/cppcheck.txt",
         "--template={file}\t{line}\t{id}\t{message}"],
        capture_output=True, text=True, check=False)
    for line in sorted(set(done.stderr.splitlines())):
        parts = line.split("\t")
        if len(parts) == 4:
            path = os.path.relpath(parts[0], context.top)
            yield path, f"{path}:{parts[1]}", f"{parts[2]}: {parts[3]}"


def fingerprint(context, path, command, salt):
    """Changes when the file, a project header that it reaches, its flags or the rules change."""
    digest = hashlib.sha256(salt)
    digest.update(command["command"].encode())
    seen, left = set(), [path]
    while left:
        current = left.pop()
        if current in seen:
            continue
        seen.add(current)
        digest.update(context.text(current).encode())
        for _, header in includes(context, current):
            target = target_of(context, current, header)
            if target:
                left.append(target)
    return digest.hexdigest()


def check_clang_tidy(context):
    commands = compile_commands(context)
    if commands is None:
        yield "build", context.build, "has no compile_commands.json: build first"
        return
    with open(os.path.join(context.top, ".clang-tidy"), "rb") as f:
        salt = f.read()
    clean = os.path.join(context.build, "tidy-clean")
    os.makedirs(clean, exist_ok=True)
    work = []
    for path in context.c_files(".c"):
        if path in commands:
            mark = os.path.join(clean, fingerprint(context, path, commands[path], salt))
            if context.whole or not os.path.exists(mark):
                work.append((path, mark))

    def one(item):
        path, mark = item
        done = subprocess.run(["nice", "clang-tidy-14", "--quiet", "-p", context.build,
                               os.path.join(context.top, path)],
                              capture_output=True, text=True, check=False)
        found = sorted(set(re.findall(r"^(/[^:\n]+):(\d+):\d+: (?:warning|error): (.*)$",
                                      done.stdout, re.M)))
        if not found and done.returncode == 0:
            with open(mark, "w", encoding="utf-8"):
                pass
        elif not found:
            found = [(os.path.join(context.top, path), "1", done.stderr.strip()[-300:])]
        return found

    seen = set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for found in pool.map(one, work):
            for name, line, text in found:
                path = os.path.relpath(name, context.top)
                if (path, line, text) not in seen:
                    seen.add((path, line, text))
                    yield path, f"{path}:{line}", text
