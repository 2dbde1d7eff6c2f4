# SPDX-License-Identifier: Apache-2.0
"""Layering by include lines and by what the built objects take from outside."""
import os
import re
import subprocess

import rules

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def layer_of(path):
    """The longest entry of LAYERS that holds this path, or None."""
    best = None
    for folder in rules.LAYERS:
        if path.startswith(folder + "/") and (best is None or len(folder) > len(best)):
            best = folder
    return best


def includes(context, path):
    text = context.text(path)
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match.group(2)


def target_of(context, path, header):
    """The tree's file that an include line names, or None for one from outside."""
    for base in ("", "include/", os.path.dirname(path) + "/"):
        candidate = os.path.normpath(base + header)
        if candidate in context.files:
            return candidate
    return None


def is_third(header):
    return any(re.fullmatch(pattern, header) for pattern, _ in rules.OWNERS)


def check_includes(context):
    for path in context.c_files():
        layer = layer_of(path)
        if layer is None:
            yield path, path, "lies in no layer (tests/tidy/rules.py, LAYERS)"
            continue
        allowed = rules.LAYERS[layer]
        for line, header in includes(context, path):
            where = f"{path}:{line}"
            target = target_of(context, path, header)
            if target is not None:
                other = layer_of(target) or ""
                if not any(a in (other, target) or target.startswith(a + "/") for a in allowed):
                    yield path, where, f"{layer} may not include {target}"
                elif "agent" in layer.split("/") and target.startswith("coordinator/"):
                    yield path, where, "agent and coordinator never include each other"
            elif is_third(header):
                owner = any(re.fullmatch(p, header) and re.fullmatch(o, path)
                            for p, o in rules.OWNERS)
                if "*third" not in allowed and not owner:
                    yield path, where, f"{layer} may not include third-party <{header}>"
            elif "/" not in header and header in rules.PURE_HEADERS:
                continue
            elif "*libc" not in allowed:
                yield path, where, f"{layer} is pure and may not include <{header}>"


def check_owners(context):
    for path in context.c_files():
        for line, header in includes(context, path):
            if path.startswith("agent/pgmodule/") and header.startswith("libpq/"):
                continue  # the server's headers of that name, not the client library's
            if target_of(context, path, header) is not None:
                continue
            for pattern, owner in rules.OWNERS:
                if re.fullmatch(pattern, header) and not re.fullmatch(owner, path):
                    yield path, f"{path}:{line}", f"<{header}> belongs to {owner} alone"


def undefined_symbols(archive):
    """Object name -> symbols that it takes from outside itself."""
    text = subprocess.run(["nm", "-u", "--format=posix", archive], check=True,
                          capture_output=True, text=True).stdout
    current, found = "", {}
    for line in text.splitlines():
        if line.endswith("]:"):
            current = line.rsplit("[", 1)[1][:-2]
        elif line.strip():
            found.setdefault(current, set()).add(line.split()[0])
    return found


def check_symbols(context):
    """Pure libraries must not reach a clock, a file, a socket or the heap."""
    for library in ("hf_core", "hf_agent_core", "hf_coordinator_core"):
        archive = os.path.join(context.build, f"lib{library}.a")
        if not os.path.exists(archive):
            if any(f.startswith({"hf_core": "common/core/", "hf_agent_core": "agent/core/",
                                 "hf_coordinator_core": "coordinator/core/"}[library])
                   and f.endswith(".c") for f in context.files):
                yield library, archive, "is not built"
            continue
        for name, symbols in sorted(undefined_symbols(archive).items()):
            for symbol in sorted(symbols):
                if rules.PURE_SYMBOLS.match(symbol):
                    continue
                if name == "json.c.o" and rules.JSON_SYMBOLS.match(symbol):
                    continue
                yield f"{library}:{name}", f"lib{library}.a({name})", f"takes {symbol} from outside"


def check_programs(context):
    """No program holds code of the other side: an agent no coordinator/ object, and so on."""
    sides = {"holdfast-agent": "coordinator/", "holdfast-fencer": "coordinator/",
             "holdfast-coordinator": "agent/", "holdfast": "agent/"}
    ninja = os.path.join(context.build, "build.ninja")
    if not os.path.exists(ninja):
        yield "build", ninja, "is not there: configure the build first"
        return
    with open(ninja, encoding="utf-8") as f:
        text = f.read()
    libraries = {"coordinator/": r"libhf_coordinator\w*\.a", "agent/": r"libhf_agent\w*\.a"}
    for program, foreign in sides.items():
        rule = re.search(rf"^build {re.escape(program)}: .*$", text, re.M)
        if rule and re.search(libraries[foreign], rule.group(0)):
            yield program, f"build.ninja ({program})", f"links {foreign} libraries"
