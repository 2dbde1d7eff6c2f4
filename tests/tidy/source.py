# SPDX-License-Identifier: Apache-2.0
"""Checks on the text of sources: sizes, banned calls, licence lines, words, documents."""
import ast
import os
import re
import shutil
import subprocess

import rules

COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
SOURCE_SUFFIXES = (".c", ".h", ".py", ".sh", ".js", ".css", ".sql", ".yaml", ".yml", ".cmake")


def blank(text):
    """The text without comments and literals, line numbers kept."""
    def keep_lines(match):
        found = match.group(0)
        filler = "" if found.startswith("/") else found[0] * 2
        return filler + "\n" * found.count("\n")
    return COMMENT.sub(keep_lines, text)


def is_script(context, path):
    return context.text(path).startswith("#!")


def check_file_size(context):
    for path in context.files:
        if path.endswith((".c", ".h", ".py", ".js")) or is_script(context, path):
            lines = context.text(path).count("\n")
            if lines > rules.MAX_FILE_LINES:
                yield (path, path,
                       f"{lines} lines, more than {rules.MAX_FILE_LINES}: split by purpose")


def functions(text):
    """C functions as clang-format writes them: a head line, then a pair of lone braces."""
    lines = blank(text).split("\n")
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            head = start - 1
            while head > 0 and not re.match(r"\w[^;]*\(", lines[head - 1]):
                head -= 1
            match = re.search(r"(\w+)\s*\(", lines[head - 1]) if head > 0 else None
            yield match.group(1) if match else "?", start, number
            start = None


def check_function_size(context):
    for path in context.c_files(".c"):
        for name, first, last in functions(context.text(path)):
            if last - first > rules.MAX_FUNCTION_LINES:
                yield (f"{path}:{name}", f"{path}:{first}",
                       f"{name}: {last - first} lines, more than {rules.MAX_FUNCTION_LINES}")
    for path in context.files:
        if not path.endswith(".py"):
            continue
        try:
            tree = ast.parse(context.text(path))
        except SyntaxError:
            continue  # the check "python" reports it
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                size = node.end_lineno - node.lineno
                if size > rules.MAX_FUNCTION_LINES:
                    yield (f"{path}:{node.name}", f"{path}:{node.lineno}",
                           f"{node.name}: {size} lines, more than {rules.MAX_FUNCTION_LINES}")


def check_banned(context):
    calls = re.compile(r"(?<![\w.>])(" + "|".join(rules.BANNED) + r")\s*\(")
    for path in context.c_files():
        text = blank(context.text(path))
        for match in calls.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            name = match.group(1)
            if path.startswith("tests/") and name in rules.TESTS_MAY_CALL:
                continue
            yield f"{path}:{name}", f"{path}:{line}", f"{name}() is banned: {rules.BANNED[name]}"
        for name, pattern in rules.FORBIDDEN_STATEMENTS.items():
            for match in re.finditer(pattern, text):
                line = text.count("\n", 0, match.start()) + 1
                yield f"{path}:{name}", f"{path}:{line}", f"{name} is not used here"


def check_spdx(context):
    for path in context.files:
        wanted = path.endswith(SOURCE_SUFFIXES) or os.path.basename(path) == "CMakeLists.txt"
        if (wanted or is_script(context, path)) and not path.startswith("tests/vectors/"):
            if rules.SPDX not in "\n".join(context.text(path).split("\n")[:5]):
                yield path, f"{path}:1", f"no line {rules.SPDX}"


def check_white_space(context):
    for path in context.files:
        if not (path.endswith(SOURCE_SUFFIXES + (".md", ".txt")) or is_script(context, path)):
            continue
        text = context.text(path)
        for number, line in enumerate(text.split("\n"), 1):
            if "\t" in line:
                yield path, f"{path}:{number}", "tab"
            elif line.endswith((" ", "\r")) and not path.endswith(".md"):
                yield path, f"{path}:{number}", "white space at the end of the line"
        if text and not text.endswith("\n"):
            yield path, path, "no newline at the end"


def check_forbidden_text(context):
    patterns = [(re.compile(pattern), why) for pattern, why in rules.FORBIDDEN_TEXT]
    for path in context.files:
        for number, line in enumerate(context.text(path).split("\n"), 1):
            for pattern, why in patterns:
                found = pattern.search(line)
                if found:
                    yield path, f"{path}:{number}", f"{why}: {found.group(0)}"


def check_headers(context):
    """Every header is guarded and opens with a comment that says more than the licence."""
    for path in context.c_files(".h"):
        text = context.text(path)
        opening = re.match(r"/\*(.*?)\*/", text, re.S)
        words = opening.group(1).replace("*", " ").split() if opening else []
        if len(words) < 10:
            yield path, f"{path}:1", "does not open with its purpose and invariant"
        guard = re.search(r"^#ifndef (\w+_H)\n#define \1\n", text, re.M)
        if not guard:
            yield path, f"{path}:1", "has no include guard NAME_H"


def check_run_bits(context):
    for path in context.files:
        runs = os.access(os.path.join(context.top, path), os.X_OK)
        if is_script(context, path) and not runs:
            yield path, path, "begins with #! and has no run bit"
        elif runs and not is_script(context, path):
            yield path, path, "has a run bit and no #! line"


def check_fault_points(context):
    """Each fault point is injected by some test; plan.step.* by a test that asks the program."""
    point = re.compile(r'HF_FAULT(?:_HIT)?\("([a-z_.]+)"')
    tests = "\n".join(context.text(f) for f in context.files
                      if f.startswith("tests/") and not f.startswith("tests/tidy/")
                      and f.endswith((".c", ".py")))
    for path in (f for f in context.c_files(".c") if not f.startswith("tests/")):
        for number, line in enumerate(context.text(path).split("\n"), 1):
            for name in point.findall(line):
                group = name.rsplit(".", 1)[0] + ".{"
                if not any(mark + what in tests for mark in '";' for what in (name, group)):
                    yield f"{path}:{name}", f"{path}:{number}", f"no test injects {name}"


def check_docs(context):
    """Commands and links that documents name are there."""
    command = re.compile(r"(?:^|[\s`(])\./((?:deploy|tests|docs|\.ci)/[\w./-]+)")
    link = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
    for path in (f for f in context.files if f.endswith(".md")):
        for number, line in enumerate(context.text(path).split("\n"), 1):
            for match in command.finditer(line):
                name = match.group(1).rstrip(".")
                if not os.path.exists(os.path.join(context.top, name)):
                    yield path, f"{path}:{number}", f"names ./{name}, which is not there"
            for match in link.finditer(line):
                target = os.path.normpath(os.path.join(os.path.dirname(path), match.group(1)))
                if not os.path.exists(os.path.join(context.top, target)):
                    yield path, f"{path}:{number}", f"links to {match.group(1)}, which is not there"


def rule_ids(context):
    """Rule ids of the sources: "RULE_ID: text", and those that are given by themselves."""
    folders = ("coordinator/", "common/core/", "agent/core/", "agent/node/", "agent/wal/")
    name = r'"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)'
    told = re.compile(name + ": ")
    alone = re.compile(r"(?:\bwarn\([^;]*?|\.rule = )" + name + '"', re.S)
    returned = re.compile("return " + name + '"')  # a core's refusal; an edge's may be a verdict
    for path in context.c_files(".c"):
        if path.startswith(folders) and path != "common/core/statetable.c":
            text = context.text(path)
            kinds = [told, alone] + ([returned] if "/core/" in path else [])
            for found in (f for kind in kinds for f in kind.finditer(text)):
                yield found.group(1), f"{path}:{text.count(chr(10), 0, found.start(1)) + 1}"


def check_rules(context):
    """docs/rules.md explains every rule id that the sources use, and no other."""
    page = "docs/rules.md"
    text = context.text(page) if page in context.files else ""
    explained = set(re.findall(r"^\| `([A-Z][A-Z0-9_]*)` \|", text, re.M))
    used = {}
    for rule, where in rule_ids(context):
        used.setdefault(rule, where)
    for rule in sorted(set(used) - explained):
        yield rule, used[rule], f"rule id {rule} is not in {page}"
    for rule in sorted(explained - set(used)):
        yield rule, page, f"explains {rule}, which no source uses"


def check_python(context):
    for path in context.files:
        python = is_script(context, path) and "python" in context.text(path).split("\n")[0]
        if not (path.endswith(".py") or python):
            continue
        try:
            tree = ast.parse(context.text(path))
        except SyntaxError as error:
            yield path, f"{path}:{error.lineno}", f"does not parse: {error.msg}"
            continue
        for node in ast.walk(tree):
            for keyword in getattr(node, "keywords", []):
                if (keyword.arg == "shell" and isinstance(keyword.value, ast.Constant)
                        and keyword.value.value):
                    yield path, f"{path}:{node.lineno}", "shell=True: use an argument vector"
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                yield path, f"{path}:{node.lineno}", "bare except"
        for number, line in enumerate(context.text(path).split("\n"), 1):
            if len(line) > 100:
                yield path, f"{path}:{number}", f"{len(line)} columns, more than 100"


def check_shell(context):
    shellcheck = shutil.which("shellcheck")
    for path in context.files:
        first = context.text(path).split("\n")[0]
        if not (path.endswith(".sh") or re.match(r"#!.*\b(ba)?sh\b", first)):
            continue
        parsed = subprocess.run(["bash", "-n", os.path.join(context.top, path)],
                                capture_output=True, text=True, check=False)
        if parsed.returncode:
            yield path, path, parsed.stderr.strip()
        if is_script(context, path) and "set -euo pipefail" not in context.text(path):
            yield path, f"{path}:1", "has no set -euo pipefail"
        if shellcheck:
            found = subprocess.run([shellcheck, "-f", "gcc", "-S", "warning", "-x",
                                    os.path.join(context.top, path)],
                                   capture_output=True, text=True, check=False).stdout
            for line in found.splitlines():
                yield path, path, line
