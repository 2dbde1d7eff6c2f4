# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C of the demo, early and late, once and twice: nothing of it is left on the machine. (After
the summary: test_story.py, which has a summary.)"""
import os
import signal
import subprocess
import time

import pytest
from conftest import TOP, build_dir
from holdfast_lab.process import wait_until
from traces import Traces

pytestmark = pytest.mark.cluster


class DemoProgram:
    """deploy/demo as a user calls it, its output read line by line."""

    def __init__(self, store, output, *options):
        self.path, self.directory, self.traces = str(output), None, None
        with open(self.path, "wb") as out:
            # a test that was started in the background ignores SIGINT, and so would its children
            self.child = subprocess.Popen(
                ["env", "--default-signal=INT", os.path.join(TOP, "deploy", "demo"),
                 "--build", build_dir(), "--store", store, *options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)

    def __enter__(self):
        line = self.line("laboratory in ", 60)
        self.directory = line.split("laboratory in ")[1].split(":")[0]
        self.traces = Traces(self.directory)
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait(60)

    def text(self):
        with open(self.path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def line(self, wanted, seconds):
        """The first line that has this text, once it is there."""
        def found():
            text = self.text()
            assert self.child.poll() is None or wanted in text, text
            return next((li for li in text.splitlines() if wanted in li), None)
        return wait_until(f"'{wanted}' from the demo", seconds, found)

    def interrupt(self, times=1):
        """Ctrl-C; its exit status once it has ended."""
        for _ in range(times):
            self.child.send_signal(signal.SIGINT)
            time.sleep(0.3)
        return self.child.wait(60)


def early(_demo):
    time.sleep(3)


def in_each_region(demo):
    """While threads of their own bring up a region's S3 server each."""
    wait_until("the S3 servers to be made", 120, lambda: os.path.exists(
        os.path.join(demo.directory, "us", "s3", "keyring")), 0.02)


def mid_story(demo):
    """All programs run, PostgreSQL is Holdfast's, the client writes."""
    demo.line("rows acknowledged to the client", 240)


@pytest.mark.parametrize("moment, store, times", [
    (early, "posix", 1), (early, "posix", 3), (in_each_region, "s3", 2), (mid_story, "posix", 2)])
def test_an_interrupted_demo_leaves_nothing(tmp_path, moment, store, times):
    if store == "s3" and os.getuid() != 0:
        pytest.skip("the S3 server needs root")
    with DemoProgram(store, tmp_path / "demo.txt") as demo:
        moment(demo)
        demo.traces.look()
        assert demo.interrupt(times) == 130, demo.text()
        assert demo.traces.left() == [], demo.text()
    assert "Traceback" not in demo.text() and "FAILED" not in demo.text(), demo.text()
