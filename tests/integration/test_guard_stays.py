# SPDX-License-Identifier: Apache-2.0
"""holdfast.so: what stays possible without a lease (rule L7), which pages count (L3), its view."""
import os

import psycopg2
import pytest
from psycopg2 import errors

from guard_fixtures import lab, node, pid_of, refused, rows, shared, wire  # noqa: F401
from guard_node import REFUSED, is_cut, lease_clock_us, query
from holdfast_lab.process import is_alive, wait_until


# -- L7: what stays possible -----------------------------------------------------------------------

def test_harmless_commands_work_without_a_lease(node):
    node.page.close()
    connection = node.connect()
    for sql in ("SHOW port", "SET work_mem = '1MB'", "RESET work_mem", "BEGIN", "SAVEPOINT a",
                "ROLLBACK TO a", "RELEASE a", "ROLLBACK", "BEGIN; COMMIT", "DISCARD ALL",
                "CHECKPOINT", "DEALLOCATE ALL", "UNLISTEN *", "CLOSE ALL",
                "ALTER SYSTEM SET work_mem = '2MB'", "ALTER SYSTEM RESET work_mem", ""):
        try:
            query(connection, sql)
        except psycopg2.ProgrammingError as error:
            assert sql == "" and "empty query" in str(error)
    refused(connection, "SELECT 1")
    assert connection.closed == 0


def test_the_fence_is_reversible_for_the_session(node):
    connection = node.connect()
    query(connection, "CREATE TEMP TABLE mine AS SELECT 5 AS x")
    node.page.close()
    refused(connection, "TABLE mine")
    node.page.open()
    assert query(connection, "TABLE mine") == [(5,)]
    query(connection, "INSERT INTO t VALUES (1)")
    assert rows(node) == [1]


def test_stale_reads_are_for_those_who_ask_and_may(node):
    ordinary, person = node.connect(), node.connect()
    query(person, "INSERT INTO t VALUES (1)")
    query(ordinary, "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') THEN "
                    "CREATE ROLE app LOGIN; END IF; END $$; SET ROLE app")
    node.page.expire()
    with pytest.raises(errors.InsufficientPrivilege):
        query(ordinary, "SET holdfast.stale_reads = on")
    refused(ordinary, "SELECT 1")
    query(person, "SET holdfast.stale_reads = on")
    assert query(person, "SELECT pg_is_in_recovery(), x FROM t") == [(False, 1)]
    query(person, "BEGIN; DECLARE c CURSOR FOR TABLE t")
    assert query(person, "FETCH c") == [(1,)]
    query(person, "COMMIT")


def test_stale_reads_never_write(node):
    person = node.connect()
    query(person, "SELECT nextval('s'); SET holdfast.stale_reads = on")
    node.page.expire()
    for sql in ("INSERT INTO t VALUES (1)", "SELECT nextval('s')", "CREATE TABLE u ()",
                "SELECT txid_current()", "SELECT lo_create(0)",
                "BEGIN; SET TRANSACTION READ WRITE; SELECT nextval('s')",
                "DO $$ DECLARE v bigint; BEGIN SET TRANSACTION READ WRITE; v := nextval('s'); "
                "END $$",
                "DO $$ DECLARE v bigint; BEGIN COMMIT; v := nextval('s'); END $$",
                "DO $$ DECLARE v bigint; BEGIN COMMIT; LOCK TABLE t IN ACCESS SHARE MODE; "
                "SET TRANSACTION READ WRITE; v := nextval('s'); END $$"):
        with pytest.raises(psycopg2.Error) as caught:
            query(person, sql)
        assert caught.value.pgcode in (REFUSED, "25001"), sql
        query(person, "ROLLBACK")
    node.page.open()
    assert query(person, "SELECT nextval('s')") == [(2,)]
    assert rows(node) == []


def test_a_transaction_that_wrote_is_no_stale_read(node):
    person = node.connect()
    query(person, "SET holdfast.stale_reads = on")
    query(person, "BEGIN; INSERT INTO t VALUES (1)")
    node.page.expire()
    refused(person, "SELECT 1")
    query(person, "ROLLBACK")
    refused(person, "NOTIFY news")
    assert rows(node) == []


def test_what_gets_its_identifier_after_the_check_is_not_answered(node, wire):
    wire.ask("SET holdfast.stale_reads = on").answer()
    node.page.expire()
    assert is_cut(wire.ask("SELECT pg_notify('news', '')").answer())


def test_a_role_may_be_given_stale_reads(node):
    """What the agent's role has: it looks at a fenced node, and writes nothing there."""
    person = node.connect()
    query(person, "DROP ROLE IF EXISTS looker; CREATE ROLE looker LOGIN")
    query(person, "ALTER ROLE looker SET holdfast.stale_reads = on")
    node.page.expire()
    looker = node.connect("looker")
    assert query(looker, "SELECT pg_is_in_recovery()") == [(False,)]
    with pytest.raises(errors.ReadOnlySqlTransaction):
        query(looker, "CREATE TABLE u ()")
    looker.close()
    node.page.open()
    query(person, "DROP ROLE looker")


def test_temporary_tables_are_dropped_when_a_fenced_session_ends(node):
    connection = node.connect()
    query(connection, "CREATE TEMP TABLE left_behind (x int)")
    pid = pid_of(connection)
    node.page.close()
    connection.close()
    wait_until("the session's end", 5, lambda: not is_alive(pid))
    assert node.look("SELECT count(*) FROM pg_class WHERE relname = 'left_behind'") == [(0,)]


def test_autovacuum_goes_on_without_a_lease(node):
    connection = node.connect()
    query(connection, "INSERT INTO t SELECT generate_series(1, 1000); DELETE FROM t WHERE x > 500")
    node.page.expire()
    node.reload(autovacuum="on", autovacuum_naptime="1s", autovacuum_vacuum_threshold="10",
                autovacuum_analyze_threshold="10")
    # Its ANALYZE writes under a transaction identifier: what it wrote is there.
    wait_until("autovacuum", 30, lambda: node.look(
        "SELECT autovacuum_count > 0 AND EXISTS (SELECT FROM pg_stats WHERE tablename = 't') "
        "FROM pg_stat_user_tables WHERE relname = 't'") == [(True,)])
    node.reload(autovacuum="off")


def test_a_base_backup_works_without_a_lease(node, lab):
    node.page.close()
    target = os.path.join(node.base, "copy")
    node.run("pg_basebackup", "-D", target, "-X", "fetch", "-c", "fast")
    assert os.path.exists(os.path.join(target, "backup_label"))


def test_pg_dump_works_under_a_lease_and_as_a_stale_read(node):
    query(node.connect(), "INSERT INTO t VALUES (42)")
    assert "42\n" in node.run("pg_dump", "-t", "t", "postgres").stdout
    node.page.close()
    refused_dump = node.run("pg_dump", "-t", "t", "postgres", check=False)
    assert refused_dump.returncode != 0 and "holds no lease" in refused_dump.stderr
    assert "42\n" in node.run("pg_dump", "-t", "t", "postgres",
                              env={"PGOPTIONS": "-c holdfast.stale_reads=on"}).stdout


def test_parallel_workers_are_not_asked(node):
    connection = node.connect()
    query(connection, "INSERT INTO t SELECT generate_series(1, 1000); SET force_parallel_mode = on;"
                      "SET holdfast.stale_reads = on")
    assert query(connection, "SELECT count(*) FROM t") == [(1000,)]
    node.page.close()
    assert query(connection, "SELECT count(*) FROM t") == [(1000,)]


# -- the page --------------------------------------------------------------------------------------

def test_pages_that_are_not_ours_count_as_closed(node):
    connection = node.connect()
    good = dict(node.page.fields)
    for field, value, words in (
            ("boot", b"00000000-0000-4000-8000-000000000000", "another boot"),
            ("time_namespace", 1, "another time namespace"), ("open", 2, "out of bounds")):
        node.page.write(**{field: value})
        assert words in refused(connection, "SELECT 1").diag.message_detail
        node.page.write(**{field: good[field]})
        assert query(connection, "SELECT 1") == [(1,)]
    node.page.version = 2
    node.page.write()
    assert "layout" in refused(connection, "SELECT 1").diag.message_detail
    node.page.version = 1
    node.page.write()
    assert query(connection, "SELECT 1") == [(1,)]


def test_a_writer_that_died_within_counts_as_closed(node):
    connection = node.connect()
    node.page.leave_half_written()
    assert "being written" in refused(connection, "SELECT 1").diag.message_detail
    node.page.write()
    assert query(connection, "SELECT 1") == [(1,)]


def test_a_new_file_in_the_place_of_the_page_is_found(node):
    connection = node.connect()
    node.page.close()
    refused(connection, "SELECT 1")
    node.page.make().open()
    assert query(connection, "SELECT 1") == [(1,)]


def test_the_view(node):
    node.page.open(seconds=100, primary=b"a:1", commits_until=lease_clock_us() + 50_000_000)
    (row,) = node.look(
        "SELECT managed, page, state, epoch, newest_epoch, serial, deadline_s, commits_until_s, "
        "synchronous, primary_address FROM holdfast.guard")
    assert row[:6] == (True, node.page.path, "open", 7, 7, 3)
    assert 95 < row[6] <= 100 and 45 < row[7] <= 50
    assert row[8:] == (False, "a:1")
    before = node.counters()["refusals"]
    node.page.close().release()
    refused(node.connect(), "SELECT 1")
    assert node.look("SELECT state, commits_until_s FROM holdfast.guard") == \
        [("closed", float("inf"))]
    assert node.counters()["refusals"] == before + 1
    node.page.write(boot=b"another")
    assert node.look("SELECT state, epoch, deadline_s FROM holdfast.guard") == \
        [("unreadable", None, None)]
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
        node.page.write(boot=f.read().strip().encode())


def test_an_agent_can_tell_that_it_is_loaded(node):
    assert node.look("SELECT setting FROM pg_settings WHERE name = 'holdfast.page' "
                     "AND context = 'postmaster'") == [(node.page.path,)]
