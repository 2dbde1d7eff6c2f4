# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the commit guard's tests: one node for all tests of a module, made open and empty for
each; and the words in which the tests speak about it."""
import psycopg2
import pytest

from conftest import build_dir
from guard_node import FOREVER, REFUSED, Node, Running, Wire, query
from holdfast_lab.lab import Laboratory


@pytest.fixture(scope="module")
def lab():
    with Laboratory(build_dir()) as made:
        yield made


@pytest.fixture(scope="module")
def shared(lab):
    node = Node(lab, build_dir(), "shared").initdb()
    node.page.make().open()
    node.start()
    node.make_view()
    yield node
    node.stop()


@pytest.fixture
def node(shared):
    """The shared node with a lease, no limit, and an empty table."""
    shared.page.open(commits_until=FOREVER, newest_epoch=7, primary=b"", synchronous=0)
    connection = shared.connect()
    query(connection, "DROP TABLE IF EXISTS t; CREATE TABLE t (x int)")
    query(connection, "DROP SEQUENCE IF EXISTS s; CREATE SEQUENCE s")
    connection.close()
    yield shared
    shared.page.open(commits_until=FOREVER, newest_epoch=7, synchronous=0)
    if shared.settings.get("synchronous_standby_names"):
        shared.reload(synchronous_standby_names="")
    connection = shared.connect()
    for (gid,) in query(connection, "SELECT gid FROM pg_prepared_xacts"):
        query(connection, f"ROLLBACK PREPARED '{gid}'")
    connection.close()


def rows(node):
    return [x for (x,) in node.look("SELECT x FROM t ORDER BY x")]


def refused(connection, sql):
    with pytest.raises(psycopg2.Error) as caught:
        query(connection, sql)
    assert caught.value.pgcode == REFUSED, caught.value
    return caught.value


def was_refused(outcome):
    return isinstance(outcome, psycopg2.Error) and outcome.pgcode == REFUSED


def pid_of(connection):
    return connection.info.backend_pid


def wait_for_standby(node):
    """Commits wait for a standby that does not come; confirmed by one that waits (rule E5)."""
    node.reload(synchronous_standby_names="nobody")
    probe = node.connect()
    running = Running(probe, "CREATE TABLE probe ()")
    node.wait_event(pid_of(probe), "SyncRep")
    probe.cancel()
    running.finished()
    query(probe, "SET synchronous_commit = off; DROP TABLE probe")
    probe.close()


@pytest.fixture
def wire(node):
    made = Wire(node)
    yield made
    made.close()
