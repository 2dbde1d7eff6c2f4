# SPDX-License-Identifier: Apache-2.0
"""An agent whose PostgreSQL has the commit guard: at the end of a lease nothing is acknowledged and
nothing is restarted; a grant within the grace opens the same epoch again; after it PostgreSQL is
ended, by the agent or by the fencer."""
import signal
import time

import psycopg2
import pytest

from conftest import build_dir
from holdfast_lab.lab import Laboratory
from holdfast_lab.process import wait_until
from scene import TTL_S, Scene

pytestmark = pytest.mark.cluster

GRACE_S = 8.0


@pytest.fixture(scope="module")
def scene():
    with Laboratory(build_dir(), grace=f"{int(GRACE_S)}s") as lab:
        lab.prepare()
        made = Scene(lab)
        yield made
        made.script.close()


@pytest.fixture(scope="module")
def session(scene):
    """us leads, copied from eu, so that it started with the guard; a session that stays."""
    scene.lab.agents["eu"].start()
    scene.script.wait_state("eu-1", "unmanaged")
    scene.lead("eu-1")
    scene.query("eu", "CREATE TABLE t (x int); CREATE SEQUENCE s")
    scene.lab.agents["us"].start()
    scene.script.wait_state("us-1", "empty")
    scene.script.do("us-1", "copy-1", "copy", 1, address=scene.address("eu"), node="eu-1")
    scene.script.wait("us-1", "streaming", lambda b: b["streaming"])
    scene.script.granting = {}
    scene.script.wait("eu-1", "surrender", lambda b: b["surrendered"] == "1", 20)
    scene.prepare("us-1", 2)
    scene.lead("us-1", timeline=2)
    connection = scene.lab.connect("us", database="postgres")
    yield connection
    connection.close()


def refused(connection, sql):
    with pytest.raises(psycopg2.Error) as caught:
        connection.cursor().execute(sql)
    assert caught.value.pgcode == "25006", caught.value
    return str(caught.value)


def commits(connection):
    connection.cursor().execute("INSERT INTO t VALUES (1)")


def until_refused(connection, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            commits(connection)
        except psycopg2.Error as error:
            assert error.pgcode == "25006", error
            return
        time.sleep(0.02)
    raise AssertionError("commits go on past the lease")


def test_the_agent_says_that_its_primary_is_guarded(scene, session):
    commits(session)
    assert scene.query("us", "SELECT setting FROM pg_settings WHERE name = 'holdfast.page' AND "
                             "context = 'postmaster'")[0][0].endswith("/us/agent/state/lease.page")


def test_a_lease_that_ran_out_is_opened_again_without_a_restart(scene, session):
    scene.script.granting = {}
    postmaster = scene.lab.postmaster("us")
    until_refused(session, TTL_S + 2)
    beat = scene.script.wait("us-1", "no lease", lambda b: b["lease_remaining_us"] == "0")
    assert beat["state"] == "primary" and beat["surrendered"] != "2"
    assert "epoch 2" in refused(session, "INSERT INTO t VALUES (2)")
    refused(session, "SELECT nextval('s')")
    assert scene.http("us", "/primary") == 503
    assert scene.lab.postmaster("us") == postmaster
    scene.script.granting = {"us-1": 2}
    wait_until("the same session to commit again", 5, lambda: answers(session), 0.05)
    assert scene.lab.postmaster("us") == postmaster
    time.sleep(GRACE_S)  # the grace of the lapse is past: nothing comes after
    commits(session)
    assert scene.lab.postmaster("us") == postmaster


def answers(connection):
    try:
        commits(connection)
        return True
    except psycopg2.Error:
        return False


def test_a_frozen_agent_changes_nothing_for_the_guard(scene, session):
    """Neither agent nor fencer acts; the page's deadline alone ends acknowledgements."""
    scene.lab.agents["us"].signal(signal.SIGSTOP)
    frozen = time.monotonic()
    try:
        until_refused(session, TTL_S + 2)
        assert time.monotonic() - frozen < TTL_S + 1
        wait_until("the fencer to end PostgreSQL after the grace", GRACE_S + 6,
                   lambda: not scene.lab.postgres_processes("us"))
        assert time.monotonic() - frozen > GRACE_S
    finally:
        scene.lab.agents["us"].signal(signal.SIGCONT)
    scene.script.wait("us-1", "surrender", lambda b: b["surrendered"] == "2", 15)


def test_after_the_grace_the_agent_ends_it(scene, session):
    scene.prepare("us-1", 3)
    scene.lead("us-1", timeline=3)
    connection = scene.lab.connect("us", database="postgres")
    commits(connection)
    scene.script.granting = {}
    until_refused(connection, TTL_S + 2)
    refused_at = time.monotonic()
    scene.script.wait("us-1", "surrender", lambda b: b["surrendered"] == "3", GRACE_S + 10)
    assert time.monotonic() - refused_at > GRACE_S - 2
    assert scene.lab.postgres_processes("us") == []
    connection.close()
    # Whatever starts it now: in recovery (L8), or not at all without its signal file (L7).
    assert scene.signal_file("us")


def test_a_newer_epoch_gives_no_grace(scene, session):
    scene.prepare("us-1", 4)
    scene.lead("us-1", timeline=4)
    scene.script.granting = {}
    scene.script.command("us-1", "prepare-us-1-5", "prepare", 5)
    began = time.monotonic()
    scene.script.wait("us-1", "surrender", lambda b: b["surrendered"] == "4", 10)
    assert time.monotonic() - began < GRACE_S - 2
