# SPDX-License-Identifier: Apache-2.0
"""holdfast.so over a node's life: starts with and without a lease (rule L8), standbys, promotion by
hand, modes without clients, workers that write, nodes that nobody manages."""
import os
import signal
import time

import psycopg2
import psycopg2.extras
import pytest

from conftest import build_dir
from guard_node import REFUSED, Node, Running, query
from holdfast_lab.lab import Laboratory
from holdfast_lab.process import Process, wait_until


@pytest.fixture(scope="module")
def lab():
    with Laboratory(build_dir()) as made:
        yield made


@pytest.fixture
def make(lab):
    """Makes nodes that end with the test."""
    made = []

    def maker(name, **options):
        made.append(Node(lab, build_dir(), name, **options))
        return made[-1]
    yield maker
    for node in made:
        node.stop(signal.SIGQUIT)


def refused(connection, sql):
    with pytest.raises(psycopg2.Error) as caught:
        query(connection, sql)
    assert caught.value.pgcode == REFUSED, caught.value
    return caught.value


def copy_of(source, target):
    source.run("pg_basebackup", "-D", target.data, "-X", "fetch", "-c", "fast")
    return target.configure()


# -- L8: starts ------------------------------------------------------------------------------------

def test_a_managed_node_does_not_start_by_itself(make):
    node = make("alone").initdb()
    log = node.start_refused()
    assert "does not start by itself" in log and "no such file" in log
    node.page.make()
    assert "page is closed" in node.start_refused()
    node.page.open(seconds=-1)
    assert "ended 1." in node.start_refused()
    node.page.open(newest_epoch=8)
    assert "superseded" in node.start_refused()
    node.page.open(newest_epoch=7, boot=b"of another boot")
    assert "another boot" in node.start_refused()
    assert "standby.signal" in node.process.tail()


@pytest.mark.parametrize("name", ["standby.signal", "recovery.signal"])
def test_with_a_signal_file_it_starts_in_recovery(make, name):
    node = make("signal-" + name.split(".")[0]).initdb()
    node.configure(restore_command="false", recovery_target_action="pause")
    node.signal_file(name)
    node.spawn()
    wait_until("the start", 20, lambda: "entering standby mode" in node.process.log_text() or
               "starting archive recovery" in node.process.log_text())
    assert "does not start by itself" not in node.process.log_text()


def test_without_a_page_setting_it_does_not_start(make):
    node = make("pageless").initdb().configure(**{"holdfast.page": ""})
    assert "holdfast.page is empty" in node.start_refused()
    node.configure(**{"holdfast.page": "relative"})
    node.start_refused()
    assert "must be absolute" in node.process.log_text()


def test_under_a_lease_it_starts_and_starts_closed_after_it(make):
    node = make("lease").initdb()
    node.page.make().open()
    node.start()
    query(node.connect(), "CREATE TABLE t (x int)")
    node.stop()
    node.page.close()
    node.start_refused()


def test_it_loads_in_no_other_way(make):
    node = make("late", managed=False).initdb()
    del node.settings["shared_preload_libraries"]
    node.settings = {k: v for k, v in node.settings.items() if not k.startswith("holdfast.")}
    node.configure().start()
    with pytest.raises(psycopg2.Error) as caught:
        query(node.connect(), f"LOAD '{node.library}'")
    assert "shared_preload_libraries" in str(caught.value)


# -- standbys --------------------------------------------------------------------------------------

@pytest.fixture
def pair(make):
    """A primary under a lease, and a managed standby of it whose page is closed."""
    primary = make("primary").initdb()
    primary.page.make().open()
    primary.start()
    connection = primary.connect()
    query(connection, "CREATE TABLE t (x int); INSERT INTO t VALUES (1); CREATE SEQUENCE s")
    standby = copy_of(primary, make("standby"))
    standby.configure(primary_conninfo=f"host={primary.base} user=postgres")
    standby.page.make().close()
    standby.signal_file()
    standby.start()
    yield primary, standby
    for node in (standby, primary):
        node.stop(signal.SIGQUIT)
        for part in ("data", "lease.page"):
            os.rename(os.path.join(node.base, part),
                      os.path.join(node.base, f"{part}.{time.monotonic_ns()}"))


def test_a_standby_follows_and_serves_reads_without_a_lease(pair):
    primary, standby = pair
    reader = standby.connect()
    assert query(reader, "TABLE t") == [(1,)]
    query(primary.connect(), "INSERT INTO t VALUES (2)")
    wait_until("the row", 10, lambda: query(reader, "TABLE t") == [(1,), (2,)])
    # Replication goes on from a primary whose lease is over.
    primary.page.expire()
    assert primary.look("SELECT state FROM pg_stat_replication") == [("streaming",)]


def test_a_promotion_by_hand_commits_nothing(pair):
    _, standby = pair
    reader, within = standby.connect(), standby.connect()
    query(within, "BEGIN; SELECT 1")
    refused(reader, "SELECT pg_promote()")  # it is done, and the node takes no transaction now
    refused(within, "COMMIT")  # began in recovery
    connection = standby.connect()
    assert standby.look("SELECT pg_is_in_recovery()") == [(False,)]
    refused(connection, "INSERT INTO t VALUES (2)")
    refused(connection, "SELECT nextval('s')")
    assert standby.look("TABLE t") == [(1,)]
    # With a lease it is what the promotion made of it.
    standby.page.open()
    query(connection, "INSERT INTO t VALUES (2)")


# -- modes without clients -------------------------------------------------------------------------

def test_single_user_mode_works(make):
    node = make("single").initdb()
    done = node.run("postgres", "--single", "-D", node.data, "postgres",
                    text="CREATE TABLE t (x int)\nINSERT INTO t VALUES (5)\nSELECT x FROM t\n")
    assert 'x = "5"' in done.stdout


def test_binary_upgrade_mode_works(make):
    node = make("upgrade").initdb()
    node.process = Process("PostgreSQL upgrade", [
        node.program("postgres"), "-D", node.data, "-b", "-c", "autovacuum=off"],
        node.lab.log("upgrade"), node.base, user=node.lab.user, cwd=node.base).start()

    def written():
        try:
            query(node.connect(), "COMMENT ON DATABASE postgres IS 'x'")
            return True
        except psycopg2.OperationalError:
            return False
    node.process.ready(20, written)


# -- background workers ----------------------------------------------------------------------------

def test_workers_that_write_are_refused(make):
    """The apply worker of a subscription: the fence holds back what it writes, the next lease lets
    it through."""
    source = make("source", managed=False, settings={"wal_level": "logical"}).initdb().start()
    target = make("target", settings={"wal_retrieve_retry_interval": "500ms"}).initdb()
    target.page.make().open()
    target.start()
    writer, reader = source.connect(), target.connect()
    query(writer, "CREATE TABLE t (x int); CREATE PUBLICATION p FOR TABLE t")
    query(reader, "CREATE TABLE t (x int)")
    query(reader, f"CREATE SUBSCRIPTION s CONNECTION 'host={source.base} user=postgres "
          "dbname=postgres' PUBLICATION p")
    query(writer, "INSERT INTO t VALUES (1)")
    wait_until("the first row", 20, lambda: query(reader, "TABLE t") == [(1,)])
    # A fence within the last transaction of a table's first copy would break that for good: its
    # slot is dropped before the commit (PostgreSQL: replication/logical/tablesync.c).
    wait_until("the end of the first copy", 30, lambda: query(
        reader, "SELECT srsubstate FROM pg_subscription_rel") == [("r",)])
    target.page.expire()
    query(writer, "INSERT INTO t VALUES (2)")
    wait_until("the refusal", 10, lambda: "transaction refused" in target.process.log_text())
    assert target.look("TABLE t") == [(1,)]
    target.page.open()
    wait_until("the second row", 20, lambda: query(reader, "TABLE t") == [(1,), (2,)])
    # Its commits are held at the limit as anybody's.
    target.page.hold()
    query(writer, "INSERT INTO t VALUES (3)")
    time.sleep(0.5)
    assert query(reader, "TABLE t") == [(1,), (2,)]
    target.page.release()
    wait_until("the third row", 20, lambda: query(reader, "SELECT count(*) FROM t") == [(3,)])
    query(reader, "ALTER SUBSCRIPTION s DISABLE")
    query(reader, "ALTER SUBSCRIPTION s SET (slot_name = NONE)")
    query(reader, "DROP SUBSCRIPTION s")


def test_a_session_of_logical_replication_is_a_client(make):
    """replication=database runs ordinary statements, too."""
    node = make("logical", settings={"wal_level": "logical"}).initdb()
    node.page.make().open()
    node.start()
    connection = psycopg2.connect(host=node.base, user="postgres", dbname="postgres",
                                  connection_factory=psycopg2.extras.LogicalReplicationConnection)
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    node.page.close()
    with pytest.raises(psycopg2.Error) as caught:
        cursor.execute("SELECT 1")
    assert caught.value.pgcode == REFUSED
    connection.close()


# -- nodes that nobody manages ---------------------------------------------------------------------

def test_an_unmanaged_node_notices_nothing(make):
    node = make("unmanaged", managed=False).initdb().configure(**{"holdfast.page": ""})
    node.start()
    node.make_view()
    connection = node.connect()
    query(connection, "CREATE TABLE t (x int); INSERT INTO t VALUES (1)")
    query(connection, "BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION 'a'")
    query(connection, "COMMIT PREPARED 'a'")
    assert query(connection, "SELECT managed, state, epoch, refusals FROM holdfast.guard") == \
        [(False, None, None, None)]
    assert query(connection, "SELECT name FROM pg_shmem_allocations WHERE name = 'holdfast'") == []


def test_a_page_does_not_fence_an_unmanaged_node(make):
    node = make("unfenced", managed=False).initdb()
    node.page.make().close().hold()
    node.start()
    assert Running(node.connect(), "CREATE TABLE t (x int)").finished() == []
