# SPDX-License-Identifier: Apache-2.0
"""The demo's story as a test, on both stores: each of its steps checks itself, and afterwards
nothing of it is left on the machine."""
import os

import pytest
from conftest import build_dir
from holdfast_lab.demo import Demo, tell
from holdfast_lab.lab import Laboratory
from holdfast_lab.story import Story
from test_interrupt import DemoProgram
from traces import Traces

pytestmark = pytest.mark.cluster


def test_a_region_is_lost_and_comes_back_s3(capsys):
    if os.getuid() != 0:
        pytest.skip("the S3 server needs root")
    with Laboratory(build_dir(), store="s3") as lab:
        traces = Traces(lab.directory)
        with capsys.disabled():
            print()
            assert tell(Demo(lab, Story())), "a step failed; it is named above"
    assert traces.left() == []


def test_a_region_is_lost_and_comes_back_posix(tmp_path, capsys):
    """The program itself, without --once: it stays up after the summary, until Ctrl-C."""
    with DemoProgram("posix", tmp_path / "demo.txt") as demo:
        try:
            demo.line("it stays up until Ctrl-C", 500)
        finally:
            with capsys.disabled():
                print("\n" + demo.text())
        assert demo.interrupt() == 0
        assert demo.traces.left() == []
    assert "Summary" in demo.text() and "FAILED" not in demo.text()
