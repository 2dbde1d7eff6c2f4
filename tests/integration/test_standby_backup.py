# SPDX-License-Identifier: Apache-2.0
"""A backup taken by a standby of an idle cluster ends by itself: the primary is asked to switch its
WAL, so that the last segment that the backup needs is archived (rule B3)."""
from holdfast_lab.process import wait_until


def test_a_backup_from_a_standby_of_an_idle_cluster_is_published(cluster):
    lab = cluster
    lab.wait_for("one primary and two streaming standbys", 120, lambda s: sum(
        n["role"] == "standby" and n["state"] == "streaming" for n in s["nodes"]) == 2)
    us = lab.node("us")
    lab.operator.run("backup", "create", f"{lab.tenant}/{lab.cluster}", "--type", "full",
                     "--node", us, "--wait", timeout=180)
    backup = wait_until("the backup in every region", 60, lambda: next(
        (b for b in lab.api.backups()
         if b["state"] == "complete" and set(b["regions"]) == set(lab.regions)), None), 0.5)
    assert backup["node"] == us
    # Another node's data key is no stranger to the other regions.
    lab.wait_for("every region to show it", 30, lambda s: all(
        n["repository_ok"] and n["newest_backup"] == backup["label"] for n in s["nodes"]))
