# SPDX-License-Identifier: Apache-2.0
"""holdfast.so: commits at the limit of exposure (rule E1), and under target 0 (E3, E5)."""
import os
import statistics
import time

import pytest

from guard_fixtures import (lab, node, pid_of, rows, shared, wait_for_standby,  # noqa: F401
                            was_refused, wire)
from guard_node import FOREVER, Running, error_code, is_cut, lease_clock_us, query


# -- E1: commits at the exposure's limit -----------------------------------------------------------

def held(node, connection, sql="INSERT INTO t VALUES (1)"):
    running = Running(connection, sql)
    node.wait_event(pid_of(connection), "Extension")
    time.sleep(0.2)
    assert running.is_alive()
    return running


def test_commits_are_held_at_the_limit_and_released_soon(node):
    connection = node.connect()
    before = node.counters()
    late = []
    for i in range(5):
        node.page.hold()
        running = held(node, connection, f"INSERT INTO t VALUES ({i})")
        assert query(node.connect(), "SELECT count(*) FROM t") == [(i,)]  # reads go on
        node.page.release()
        released = time.monotonic()
        assert running.finished() == []
        late.append(running.ended_at - released)
    assert statistics.median(late) < 0.05, late
    assert rows(node) == [0, 1, 2, 3, 4]
    after = node.counters()
    assert after["waits"] == before["waits"] + 5
    assert after["waited_s"] - before["waited_s"] > 5 * 0.2


def test_the_limit_works_without_an_agent(node):
    """Nobody writes the page when the limit is reached."""
    connection = node.connect()
    node.page.write(commits_until=lease_clock_us() + 300_000)
    query(connection, "INSERT INTO t VALUES (1)")
    time.sleep(0.35)
    held(node, connection, "INSERT INTO t VALUES (2)")
    node.page.release()


def test_reads_that_leave_wal_are_not_held(node):
    connection = node.connect()
    query(connection, "INSERT INTO t SELECT generate_series(1, 2000); CHECKPOINT")
    node.page.hold()
    (before,) = query(connection, "SELECT pg_current_wal_insert_lsn()")
    outcome = Running(connection, "SELECT count(*) FROM t").finished()  # hint bits, with checksums
    assert outcome == [(2000,)]
    assert query(connection, "SELECT pg_current_wal_insert_lsn()") > [before]


def test_a_held_commit_can_be_canceled(node):
    connection = node.connect()
    node.page.hold()
    running = held(node, connection)
    connection.cancel()
    assert running.finished().pgcode == "57014"
    assert rows(node) == []
    node.page.release()
    query(connection, "INSERT INTO t VALUES (2)")
    assert rows(node) == [2]


def test_a_held_commit_ends_at_statement_timeout(node):
    connection = node.connect()
    query(connection, "SET statement_timeout = 700")
    node.page.hold()
    began = time.monotonic()
    outcome = Running(connection, "INSERT INTO t VALUES (1)").finished()
    assert outcome.pgcode == "57014" and "statement timeout" in str(outcome)
    assert 0.6 < time.monotonic() - began < 2
    assert rows(node) == []
    node.page.release()
    query(connection, "SELECT pg_sleep(0.3)")  # no alarm is left behind
    query(connection, "INSERT INTO t VALUES (2)")


def test_a_held_commit_can_be_terminated(node, wire):
    node.page.hold()
    wire.ask("INSERT INTO t VALUES (1)")
    node.wait_event(wire.pid, "Extension")
    os.kill(wire.pid, 15)
    assert error_code(wire.answer()) == "57P01"
    assert rows(node) == []


@pytest.mark.parametrize("ends", ["expire", "close"])
def test_a_lease_that_ends_during_the_wait_refuses(node, ends):
    connection = node.connect()
    node.page.hold()
    running = held(node, connection)
    getattr(node.page, ends)()
    assert was_refused(running.finished())
    assert rows(node) == []


def test_a_wait_that_ends_together_with_the_lease_refuses(node):
    """The check after the wait: released and expired in one write of the page."""
    connection = node.connect()
    node.page.hold()
    running = held(node, connection)
    node.page.write(commits_until=FOREVER, deadline=lease_clock_us() - 1)
    assert was_refused(running.finished())
    assert rows(node) == []


@pytest.mark.parametrize("sql", ["PREPARE TRANSACTION 'b'", "COMMIT PREPARED 'a'"])
def test_two_phase_commits_are_held_too(node, sql):
    connection = node.connect()
    query(connection, "BEGIN; INSERT INTO t VALUES (1)")
    query(connection, "PREPARE TRANSACTION 'a'")
    if sql.startswith("PREPARE"):
        query(connection, "BEGIN; INSERT INTO t VALUES (2)")
    node.page.hold()
    running = held(node, connection, sql)
    assert node.look("SELECT gid FROM pg_prepared_xacts") == [("a",)]
    node.page.release()
    assert running.finished() == []
    assert node.look("SELECT gid FROM pg_prepared_xacts ORDER BY 1") == \
        ([("a",), ("b",)] if sql.startswith("PREPARE") else [])


# -- E3: target 0 ----------------------------------------------------------------------------------

def canceled(node, wire, sql):
    """What comes back of a commit whose wait for a standby was canceled."""
    wire.ask(sql)
    node.wait_event(wire.pid, "SyncRep")
    os.kill(wire.pid, 2)
    return wire.answer()


def test_a_session_cannot_lower_the_commit_level(node, wire):
    wait_for_standby(node)
    wire.ask("SET synchronous_commit = off").answer()
    assert error_code(wire.ask("INSERT INTO t VALUES (1)").answer()) is None  # as PostgreSQL has it
    node.page.write(synchronous=1)
    assert is_cut(canceled(node, wire, "INSERT INTO t VALUES (2)"))  # canceled is no success
    assert rows(node) == [1, 2]


def test_a_commit_that_waited_for_nobody_is_not_answered(node, wire):
    """Rule E5: the setting may be new while commits do not wait yet."""
    node.page.write(synchronous=1)
    assert is_cut(wire.ask("INSERT INTO t VALUES (1)").answer())
    assert query(node.connect(), "TABLE t") == [(1,)]  # reads go on


@pytest.mark.parametrize("sql", ["PREPARE TRANSACTION 'b'", "COMMIT PREPARED 'a'"])
def test_two_phase_waits_that_were_canceled_are_not_answered(node, wire, sql):
    wire.ask("BEGIN; INSERT INTO t VALUES (1)").answer()
    wire.ask("PREPARE TRANSACTION 'a'").answer()
    wire.ask("SET synchronous_commit = local").answer()
    wait_for_standby(node)
    node.page.write(synchronous=1)
    if sql.startswith("PREPARE"):
        wire.ask("BEGIN; INSERT INTO t VALUES (2)").answer()
    assert is_cut(canceled(node, wire, sql))
