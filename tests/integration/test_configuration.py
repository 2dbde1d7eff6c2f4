# SPDX-License-Identifier: Apache-2.0
"""The files that the laboratory writes are right by the program's own word, and wrong ones are
named by file, line, column and what is allowed."""
import os
import re

import pytest
from holdfast_lab import config, powerdns, programs
from holdfast_lab.process import run


@pytest.fixture(scope="module")
def files(servers):
    """Paths of one file of each kind."""
    servers.dns = servers.dns or powerdns.PowerDns(servers)
    agent = programs.agent(servers, "eu").argv[-1]
    coordinator = programs.coordinator(servers, "eu").argv[-1]
    cluster = servers.write(os.path.join(servers.directory, "cluster.yaml"),
                            config.dump(config.cluster(servers)))
    return {"agent": agent, "coordinator": coordinator, "cluster": cluster,
            "client": programs.Operator(servers).config}


def check(lab, *words):
    return run([lab.program("holdfast"), "config", "check", *words], check=False)


def test_all_files_are_right(servers, files):
    done = check(servers, "--files", *files.values())
    assert done.returncode == 0, done.stderr
    for kind, path in files.items():
        assert f"{path}: right ({kind})" in done.stdout


@pytest.mark.parametrize("kind, line, says", [
    ("agent", "workers: \"many\"", "workers"),
    ("coordinator", "colour: \"blue\"", "colour"),
    ("cluster", "level: \"everything\"", "observe"),
])
def test_wrong_files_are_named_with_line_and_what_is_allowed(servers, files, kind, line, says):
    with open(files[kind], encoding="utf-8") as f:
        text = f.read()
    key = line.split(":")[0]
    if f"{key}:" in text:
        text = re.sub(rf"^(\s*){key}:.*$", rf"\g<1>{line}", text, flags=re.M)
    else:
        text += line + "\n"
    wrong = servers.write(os.path.join(os.path.dirname(files[kind]), f"wrong-{kind}.yaml"), text)
    done = check(servers, "--kind", kind, wrong)
    number = next(i for i, at in enumerate(text.split("\n"), 1) if at.strip() == line)
    assert done.returncode != 0
    assert re.search(rf"{re.escape(wrong)}:{number}:\d+: ", done.stderr + done.stdout)
    assert says in done.stderr + done.stdout
