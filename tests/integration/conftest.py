# SPDX-License-Identifier: Apache-2.0
"""Fixtures: laboratories of real servers and programs. HF_BUILD_DIR names the build to test,
HF_PLAIN_BUILD_DIR one without sanitizers, for what they would measure instead of the programs."""
import os
import sys

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "deploy", "lab"))

from holdfast_lab.lab import Laboratory, end_on_signals  # noqa: E402
from holdfast_lab.process import LabError  # noqa: E402

end_on_signals()


def build_dir():
    return os.environ.get("HF_BUILD_DIR", os.path.join(TOP, "build"))


def plain_build_dir():
    return os.environ.get("HF_PLAIN_BUILD_DIR", os.path.join(TOP, "build"))


def pytest_configure(config):
    config.addinivalue_line("markers", "cluster: whole clusters, or timing that other tests' work "
                            "would spoil: one after the other (tests/run has two lanes)")
    config.addinivalue_line("markers", "long: not in the half hour of tests/run; its suite "
                            "integration-long")


@pytest.fixture(scope="module")
def servers():
    """A laboratory with its servers up (posix repositories) and none of Holdfast's programs."""
    with Laboratory(build_dir()) as lab:
        lab.prepare().start_servers()
        yield lab


@pytest.fixture(scope="module")
def s3_servers():
    """As servers, with an S3 gateway a region."""
    if os.getuid() != 0:
        pytest.skip("the S3 server needs root")
    with Laboratory(build_dir(), store="s3") as lab:
        lab.prepare().start_gateways()
        yield lab


@pytest.fixture(scope="module")
def cluster():
    """Everything up, with a short lease; directories as repositories."""
    with Laboratory(build_dir(), lease="3s", grace="1s") as lab:
        lab.prepare().start_servers().start_programs()
        lab.apply_policy()
        yield lab


@pytest.fixture(scope="module")
def alone():
    """A host whose agent is used from its command line alone: one running PostgreSQL, three S3
    servers as repositories, no coordinator."""
    if os.getuid() != 0:
        pytest.skip("the S3 server needs root")
    with Laboratory(build_dir(), store="s3") as lab:
        lab.prepare().start_gateways()
        lab.start_alone()
        yield lab


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """On a failure: the last lines of every log of the laboratory that the test used."""
    report = (yield).get_result()
    if report.when != "call" or not report.failed:
        return
    for value in item.funcargs.values():
        directory = getattr(value, "directory", None)
        logs = os.path.join(directory, "log") if directory else None
        if logs and os.path.isdir(logs):
            for name in sorted(os.listdir(logs)):
                if not any(part in name for part in ("agent", "coordinator", "stranger")):
                    continue
                with open(os.path.join(logs, name), encoding="utf-8", errors="replace") as f:
                    report.sections.append((name, "".join(f.readlines()[-60:])))


__all__ = ["LabError"]
