# SPDX-License-Identifier: Apache-2.0
"""The agent and its fencer with real PostgreSQL, under a coordinator that follows a script: what
each command does, and what happens when agent, postmaster, lease or coordinator go away."""
import json
import os
import shutil
import signal
import time
import urllib.request

import psycopg2
import pytest

from conftest import build_dir
from holdfast_lab.lab import Laboratory
from holdfast_lab.process import wait_until
from scene import TTL_S, Scene


@pytest.fixture(scope="module")
def scene():
    with Laboratory(build_dir(), guard=False) as lab:
        lab.prepare()
        made = Scene(lab)
        yield made
        made.script.close()


def test_a_directory_that_is_down_is_started_only_with_a_lease(scene):
    scene.lab.agents["ap"].start()
    beat = scene.script.wait_state("ap-1", "down")
    assert int(beat["system_id"]) > 0  # known although nothing runs
    scene.script.command("ap-1", "lead-1", "lead", 1)
    scene.script.wait_state("ap-1", "elected")
    time.sleep(1.0)
    assert scene.lab.postmaster("ap") is None  # no grant yet
    scene.script.granting = {"ap-1": 1}
    scene.script.wait_state("ap-1", "primary")
    assert scene.query("ap", "SELECT pg_is_in_recovery()") == [(False,)]
    assert scene.query("ap", "SHOW restart_after_crash") == [("off",)]
    assert scene.signal_file("ap")  # L8
    scene.script.granting = {}
    scene.script.wait("ap-1", "surrender", lambda b: b["surrendered"] == "1")
    assert scene.lab.postgres_processes("ap") == []


def test_a_running_primary_is_adopted_under_a_lease(scene):
    scene.lab.agents["eu"].start()
    scene.script.wait_state("eu-1", "unmanaged")
    assert scene.http("eu", "/primary") == 503
    pid = scene.lab.postmaster("eu")
    scene.lead("eu-1")
    assert scene.lab.postmaster("eu") == pid
    assert scene.query("eu", "SELECT pg_is_in_recovery()") == [(False,)]
    wait_until("the setting", 5, lambda: scene.query("eu", "SHOW restart_after_crash") ==
               [("off",)])
    assert scene.signal_file("eu")  # L8
    assert scene.lab.fencer("eu") is not None
    wait_until("/primary", 5, lambda: scene.http("eu", "/primary") == 200)
    assert scene.http("eu", "/replica") == 503
    assert scene.http("eu", "/health") == 200


def test_a_fresh_copy_follows(scene):
    scene.lab.agents["us"].start()
    scene.script.wait_state("us-1", "empty")
    scene.script.do("us-1", "copy-1", "copy", 1, address=scene.address("eu"), node="eu-1")
    scene.script.wait("us-1", "streaming", lambda b: b["streaming"])
    scene.query("eu", "CREATE TABLE t AS SELECT 1 AS x")
    scene.wait_rows("us", "SELECT x FROM t", [(1,)])
    assert scene.query("eu", "SELECT slot_name, active FROM pg_replication_slots") == \
        [("holdfast_us_1", True)]
    assert scene.http("us", "/replica") == 200
    assert scene.http("us", "/primary") == 503


def test_a_backup_ends_with_a_report_and_archived_wal(scene):
    scene.script.do("eu-1", "backup-1", "backup", 1, body='{"type": "full", "name": "nightly"}')
    wait_until("the report", 10, lambda: scene.script.reports)
    report = json.loads(scene.script.reports[0]["body"])
    assert scene.script.reports[0]["kind"] == "backup"
    assert report["state"] == "complete" and report["node"] == "eu-1"
    assert sorted(report["regions"]) == ["ap", "eu", "us"]
    beat = scene.script.wait("eu-1", "the backup in its heartbeat", lambda b:
                             b["newest_backup"] == report["label"] and b["wal_to"] != "0/0")
    assert beat["repository_ok"]
    # Acknowledged: it is not kept any longer, and not sent again after a restart.
    wait_until("the acknowledgement", 10, lambda: not os.listdir(os.path.join(
        scene.lab.region_dir("eu"), "agent", "state", "outbox")))


def test_a_probe_is_a_commit(scene):
    before = scene.query("eu", "SELECT pg_current_wal_insert_lsn()")
    scene.script.do("us-1", "probe-1", "probe", 1, address=scene.address("eu"), node="eu-1")
    assert scene.query("eu", "SELECT pg_current_wal_insert_lsn()") > before
    scene.script.command("us-1", "probe-2", "probe", 1, address=scene.address("us"), node="us-1")
    beat = scene.script.wait("us-1", "refusal", lambda b: b["op"] == "probe-2" and
                             b["op_status"] == "failed")
    assert "recovery" in beat["op_error"]


def test_an_agent_that_is_away_shortly_is_not_noticed(scene):
    pid = scene.lab.postmaster("eu")
    fencer = scene.lab.fencer("eu")
    scene.lab.agents["eu"].kill()
    scene.lab.agents["eu"].start()
    scene.script.wait("eu-1", "primary with a lease of the new life", lambda b:
                      b["state"] == "primary" and int(b["lease_remaining_us"]) > 0)
    assert scene.lab.postmaster("eu") == pid
    assert scene.lab.fencer("eu") == fencer
    time.sleep(TTL_S)  # past the old life's deadline
    assert scene.lab.postmaster("eu") == pid
    assert scene.query("eu", "SELECT pg_is_in_recovery()") == [(False,)]


def test_prepare_cuts_the_standby_and_finds_its_end(scene):
    rows = scene.query("eu", "INSERT INTO t SELECT generate_series(1, 1000) RETURNING 1")
    assert len(rows) == 1000
    scene.wait_rows("us", "SELECT count(*) FROM t", [(1001,)])
    beat = scene.prepare("us-1", 2)
    assert scene.query("us", "SELECT count(*) FROM pg_stat_wal_receiver") == [(0,)]
    final = beat["final"]
    scene.query("eu", "INSERT INTO t VALUES (5)")
    time.sleep(0.5)
    assert scene.query("us", "SELECT count(*), pg_last_wal_replay_lsn()::text FROM t")[0] == \
        (1001, final)


def test_the_prepared_one_is_promoted_to_the_reserved_timeline(scene):
    # The old primary's lease is not renewed any more: its own agent ends it at the deadline.
    scene.script.granting = {}
    beat = scene.script.wait("eu-1", "surrender", lambda b: b["surrendered"] == "1", 15)
    assert beat["state"] == "down"
    assert scene.lab.postgres_processes("eu") == []
    scene.epoch = 1
    beat = scene.lead("us-1", timeline=4)
    assert scene.query("us", "SELECT timeline_id FROM pg_control_checkpoint()")[0][0] in (1, 4)
    assert scene.query("us", "SELECT pg_walfile_name(pg_current_wal_lsn())")[0][0].startswith(
        "00000004")
    histories = [n for n in os.listdir(os.path.join(scene.lab.data_dir("us"), "pg_wal"))
                 if n.endswith(".history")]
    # 2 and 3 were never used; they stay, so that a standby from timeline 1 finds its way.
    assert sorted(histories) == [f"0000000{n}.history" for n in (2, 3, 4)]
    assert scene.signal_file("us")
    scene.script.wait("us-1", "its timeline", lambda b: b["timeline"] == "4")


def test_the_end_of_a_stopped_directory_is_found(scene):
    scene.script.wait_state("eu-1", "down")
    beat = scene.prepare("eu-1", 2)
    assert beat["state"] == "prepared" and beat["final_timeline"] == "1"
    high, low = (int(x, 16) for x in beat["final"].split("/"))
    # Everything that was committed there lies before its end.
    assert (high << 32) + low > 0x1000000


def test_the_old_primary_comes_back(scene):
    scene.script.do("eu-1", "copy-2", "copy", 2, address=scene.address("us"), node="us-1")
    scene.script.wait("eu-1", "streaming", lambda b: b["streaming"] and b["timeline"] == "4")
    scene.query("us", "INSERT INTO t VALUES (777777)")
    scene.wait_rows("eu", "SELECT 1 FROM t WHERE x = 777777", [(1,)])


def test_a_start_outside_holdfast_comes_up_in_recovery(scene):
    """L8: the primary's directory, started by hand after everything of its region died."""
    scene.script.granting = {}
    scene.lab.agents["us"].kill()
    os.kill(scene.lab.fencer("us"), signal.SIGKILL)
    pid = scene.lab.kill_postmaster("us")
    wait_until("its backends to go", 15, lambda: scene.lab.postgres_processes("us") == [])
    wait_until("its number to be free", 15, lambda: not os.path.exists(f"/proc/{pid}"))
    server = scene.lab.server("us").start().ready()
    try:
        assert server.query("SELECT pg_is_in_recovery()") == [(True,)]
    finally:
        server.stop()


def test_the_fencer_ends_postgresql_when_the_agent_is_frozen(scene):
    scene.lab.agents["us"].start()
    scene.script.wait("us-1", "surrender", lambda b: b["surrendered"] == "2", 20)
    scene.prepare("us-1", 3)
    scene.epoch = 2
    scene.lead("us-1", timeline=5)
    postmaster = scene.lab.postmaster("us")
    scene.lab.agents["us"].signal(signal.SIGSTOP)
    try:
        with pytest.raises(psycopg2.Error):
            end = time.monotonic() + TTL_S * 2
            while time.monotonic() < end:
                scene.query("us", "INSERT INTO t VALUES (8)")
                time.sleep(0.02)
        # The client's connection is the first to go; the fencer counts every process.
        wait_until("the last process of the instance to go", 5,
                   lambda: scene.lab.postgres_processes("us") == [])
        assert scene.lab.postmaster("us") != postmaster
    finally:
        scene.lab.agents["us"].signal(signal.SIGCONT)
    beat = scene.script.wait("us-1", "surrender", lambda b: b["surrendered"] == "3", 15)
    assert beat["state"] == "down"


def test_backends_without_a_postmaster_are_ended_before_the_surrender(scene):
    """L6: a postmaster killed by -9 leaves backends that go on committing."""
    scene.prepare("us-1", 4)
    scene.epoch = 3
    scene.lead("us-1", timeline=6)
    connection = scene.lab.connect("us", database="postgres")
    connection.cursor().execute("CREATE TABLE IF NOT EXISTS busy (x int)")
    scene.lab.kill_postmaster("us")
    with pytest.raises(psycopg2.Error):
        while True:
            connection.cursor().execute("INSERT INTO busy VALUES (1)")
    scene.script.wait("us-1", "surrender", lambda b: b["surrendered"] == "4", 15)
    assert scene.lab.postgres_processes("us") == []
    connection.close()


def test_the_end_lies_on_the_timeline_that_was_replayed_last(scene):
    """pg_control names the timeline of the last restart point: for a while after a switch that is
    the parent. A standby that reports it is off the cluster's history, and nobody can be chosen in
    the second of two failovers."""
    scene.prepare("us-1", 5)
    scene.lead("us-1", timeline=7)
    # Nothing diverged, but the source has not kept the WAL of a timeline that it led for moments:
    # following is tried, and given up after 30 s for a copy.
    scene.script.do("eu-1", "copy-5", "copy", 5, address=scene.address("us"), node="us-1",
                    seconds=120)
    # The database of another system there is not for a command to replace.
    scene.script.command("ap-1", "copy-4", "copy", 5, address=scene.address("us"), node="us-1")
    beat = scene.script.wait("ap-1", "refusal", lambda b: b["op"] == "copy-4" and
                             b["op_status"] == "failed")
    assert beat["op_error"].startswith("FOREIGN_SYSTEM")
    assert os.path.exists(os.path.join(scene.lab.data_dir("ap"), "PG_VERSION"))
    shutil.rmtree(scene.lab.data_dir("ap"))
    scene.lab.make_dir("ap/data", mode=0o700)
    scene.script.do("ap-1", "copy-5", "copy", 5, address=scene.address("us"), node="us-1")
    for node in ("eu-1", "ap-1"):
        scene.script.wait(node, "streaming", lambda b: b["streaming"])
    scene.script.granting = {}
    scene.script.wait("us-1", "surrender", lambda b: b["surrendered"] == "5", 15)
    assert scene.prepare("eu-1", 6)["final_timeline"] == "7"
    assert scene.prepare("ap-1", 6)["final_timeline"] == "7"
    scene.lead("eu-1", timeline=10)  # 8 and 9 were reserved and not used
    scene.script.do("ap-1", "follow-6", "follow", 6, address=scene.address("eu"), node="eu-1")
    scene.script.wait("ap-1", "streaming", lambda b: b["streaming"] and
                      b["timeline"] == "10")
    scene.query("eu", "INSERT INTO t VALUES (888888)")
    scene.wait_rows("ap", "SELECT 1 FROM t WHERE x = 888888", [(1,)])
    assert scene.query("ap", "SELECT timeline_id FROM pg_control_checkpoint()") == [(7,)]
    beat = scene.prepare("ap-1", 7)
    assert beat["final_timeline"] == "10"
    # The same of its files, when the server died before any restart point on the new timeline.
    scene.lab.kill_postmaster("ap")
    wait_until("its processes to go", 15, lambda: scene.lab.postgres_processes("ap") == [])
    scene.script.wait("ap-1", "no PostgreSQL", lambda b: b["flushed"] == "0/0")
    found = scene.prepare("ap-1", 8)
    assert (found["final_timeline"], found["final"]) == ("10", beat["final"])
    scene.script.granting = {}
    scene.script.wait("eu-1", "surrender", lambda b: b["surrendered"] == "6", 15)


def test_status_and_metrics(scene):
    answer = scene.lab.agent_command("us", "status").stdout
    assert '"node":"us-1"' in answer and '"connected":1' in answer
    url = f"http://{scene.lab.address('us')}:{scene.lab.port['http']}/metrics"
    with urllib.request.urlopen(url, timeout=3) as response:
        text = response.read().decode()
    assert 'holdfast_lease_remaining_seconds{node="us-1",region="us"} 0' in text
    # The other agent was never stopped: its loop shows what the work of all these tests cost.
    url = f"http://{scene.lab.address('eu')}:{scene.lab.port['http']}/metrics"
    with urllib.request.urlopen(url, timeout=3) as response:
        text = response.read().decode()
    stall = [line for line in text.split("\n")
             if line.startswith("holdfast_loop_stall_max_seconds{")]
    assert float(stall[0].split()[-1]) < 1.0
