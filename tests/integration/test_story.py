# SPDX-License-Identifier: Apache-2.0
"""The demo's story as a test, on both stores: each of its steps checks itself."""
import os

import pytest
from conftest import build_dir
from holdfast_lab.demo import Demo, tell
from holdfast_lab.lab import Laboratory
from holdfast_lab.story import Story


@pytest.mark.parametrize("store", ["posix", "s3"])
def test_a_region_is_lost_and_comes_back(store, capsys):
    if store == "s3" and os.getuid() != 0:
        pytest.skip("the S3 server needs root")
    with Laboratory(build_dir(), store=store) as lab:
        with capsys.disabled():
            print()
            assert tell(Demo(lab, Story())), "a step failed; it is named above"
        directory = lab.directory
    assert not os.path.exists(directory)
