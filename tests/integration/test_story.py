# SPDX-License-Identifier: Apache-2.0
"""The demo's story as a test, on both stores: each of its steps checks itself, and afterwards
nothing of it is left on the machine."""
import os
import shutil
import tempfile
from types import SimpleNamespace

import pytest
from holdfast_lab.demo import tell
from holdfast_lab.process import processes_below
from holdfast_lab.story import Story
from test_interrupt import DemoProgram

pytestmark = pytest.mark.cluster


def test_a_region_is_lost_and_comes_back_s3(tmp_path, capsys):
    """With --once it ends by itself, with --keep the data stay, and nothing else does."""
    if os.getuid() != 0:
        pytest.skip("the S3 server needs root")
    kept = tempfile.mkdtemp(prefix="hf-keep-", dir="/var/tmp")  # not below tmp_path: 0700, root's
    os.chmod(kept, 0o755)
    directory = os.path.join(kept, "lab")
    try:
        with DemoProgram("s3", tmp_path / "demo.txt", "--once", "--keep", directory) as demo:
            try:
                status = demo.child.wait(540)
            finally:
                with capsys.disabled():
                    print("\n" + demo.text())
            assert status == 0 and "Summary" in demo.text() and "FAILED" not in demo.text()
            assert demo.directory == directory
            assert processes_below(directory) == []
            assert os.path.exists(os.path.join(directory, "us", "data", "PG_VERSION"))
            assert os.path.getsize(os.path.join(directory, "log", "us-agent.log")) > 0
    finally:
        shutil.rmtree(kept)


def test_a_step_that_fails_names_itself(tmp_path, capsys):
    """Nothing after it is told, and the story as a whole has failed."""
    story, told = Story(), []

    class Broken:
        lab = SimpleNamespace(etcd={}, agents={}, coordinators={}, directory=str(tmp_path))

        def __getattr__(self, step):
            def run():
                told.append(step)
                story.begin(len(told), f"it is time to {step}")
                story.check(step != "survival", "another region leads")
            return run

    broken = Broken()
    broken.story = story
    assert not tell(broken)
    assert told[-1] == "survival" and "comeback" not in told
    text = capsys.readouterr().out
    assert f"FAILED step {len(told)} (it is time to survival): another region leads" in text
    assert "Summary" not in text


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
