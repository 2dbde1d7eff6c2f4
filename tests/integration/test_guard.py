# SPDX-License-Identifier: Apache-2.0
"""holdfast.so in a real PostgreSQL: what happens to transactions when the lease ends (rule L7), to
starts without one (L8), to commits at the exposure's limit (E1) and under target 0 (E3)."""
import os
import time

import psycopg2
import pytest
from psycopg2 import errors

from conftest import build_dir
from guard_node import (REFUSED, Node, Running, Wire, error_code, is_cut, kinds, lease_clock_us,
                        query)
from holdfast_lab.lab import Laboratory
from holdfast_lab.process import is_alive, wait_until


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
    shared.page.open(commits_until=2 ** 63 - 1, newest_epoch=7, primary=b"", synchronous=0)
    connection = shared.connect()
    query(connection, "DROP TABLE IF EXISTS t; CREATE TABLE t (x int)")
    query(connection, "DROP SEQUENCE IF EXISTS s; CREATE SEQUENCE s")
    connection.close()
    yield shared
    shared.page.open(commits_until=2 ** 63 - 1, newest_epoch=7, synchronous=0)
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


# -- L7: before the commit --------------------------------------------------------------------------

def test_a_commit_past_the_deadline_is_refused(node):
    connection = node.connect()
    query(connection, "BEGIN; INSERT INTO t VALUES (1)")
    node.page.expire()
    refused(connection, "COMMIT")
    assert rows(node) == []


def test_the_refusal_names_epoch_and_new_primary(node):
    connection = node.connect()
    node.page.close().write(newest_epoch=9)
    error = refused(connection, "INSERT INTO t VALUES (1)")
    assert "epoch is 7" in error.diag.message_detail
    assert "epoch 9" in error.diag.message_hint and "does not know" in error.diag.message_hint
    node.page.write(primary=b"db-us.example:5432")
    error = refused(connection, "INSERT INTO t VALUES (1)")
    assert "epoch 9: db-us.example:5432" in error.diag.message_hint


def test_a_newer_epoch_ends_the_lease_before_its_deadline(node):
    connection = node.connect()
    node.page.open(newest_epoch=8)
    assert "superseded by epoch 8" in refused(connection, "SELECT 1").diag.message_detail


def test_every_client_transaction_is_refused_not_only_writing_ones(node):
    connection = node.connect()
    node.page.expire()
    for sql in ("SELECT 1", "TABLE t", "INSERT INTO t VALUES (1)", "CREATE TABLE u ()",
                "EXPLAIN ANALYZE SELECT 1", "COPY t TO STDOUT", "VACUUM t", "DO 'BEGIN END'",
                "LISTEN a", "LOCK TABLE t", "PREPARE p AS SELECT 1", "SELECT txid_current()"):
        refused(connection, sql)
    connection.close()


def test_prepare_transaction_past_the_deadline_is_refused(node):
    connection = node.connect()
    query(connection, "BEGIN; INSERT INTO t VALUES (1)")
    node.page.expire()
    refused(connection, "PREPARE TRANSACTION 'a'")
    assert node.look("SELECT * FROM pg_prepared_xacts") == []


@pytest.mark.parametrize("verb", ["COMMIT", "ROLLBACK"])
def test_a_prepared_transaction_is_not_finished_past_the_deadline(node, verb):
    connection = node.connect()
    query(connection, "BEGIN; INSERT INTO t VALUES (1)")
    query(connection, "PREPARE TRANSACTION 'a'")
    node.page.expire()
    refused(connection, f"{verb} PREPARED 'a'")
    assert node.look("SELECT gid FROM pg_prepared_xacts") == [("a",)]
    node.page.open()
    query(connection, f"{verb} PREPARED 'a'")  # the refusal was reversible
    assert rows(node) == ([1] if verb == "COMMIT" else [])


def test_notify_is_refused_although_it_has_no_identifier(node):
    listener, sender = node.connect(), node.connect()
    query(listener, "LISTEN news")
    query(sender, "BEGIN; NOTIFY news")
    node.page.expire()
    refused(sender, "COMMIT")
    refused(sender, "NOTIFY news")
    node.page.open()
    query(listener, "SELECT 1")
    assert listener.notifies == []
    query(sender, "NOTIFY news")
    wait_until("the notification", 5, lambda: query(listener, "SELECT 1") and listener.notifies)


def test_a_notification_is_not_delivered_past_the_deadline(node):
    listener, sender = Wire(node), node.connect()
    listener.ask("LISTEN news").answer()
    os.kill(listener.pid, 19)
    try:
        query(sender, "NOTIFY news")
        node.page.expire()
    finally:
        os.kill(listener.pid, 18)
    assert kinds(listener.until(b"A")) == [None]


def test_an_idle_session_survives_what_nobody_asked_for(node):
    """Catching up with invalidations is a transaction, too; past the deadline it harms nobody."""
    idle, busy = node.connect(), node.connect()
    query(idle, "TABLE t")
    os.kill(pid_of(idle), 19)
    try:
        for _ in range(40):  # more messages than the queue holds make the idle one catch up
            query(busy, "BEGIN;" + "CREATE TEMP TABLE x (a int, b text); DROP TABLE x;" * 20 +
                  "COMMIT")
        node.page.expire()
    finally:
        os.kill(pid_of(idle), 18)
    time.sleep(0.3)
    node.page.open()
    assert query(idle, "TABLE t") == []


def test_sequences_give_no_value_past_the_deadline(node):
    """After an aborted transaction nextval() writes nothing and needs no identifier."""
    connection = node.connect()
    query(connection, "BEGIN; SELECT nextval('s'); ROLLBACK")
    node.page.expire()
    refused(connection, "SELECT nextval('s')")
    refused(connection, "DO $$ DECLARE v bigint; BEGIN v := nextval('s'); END $$")
    node.page.open()
    assert query(connection, "SELECT nextval('s')") == [(2,)]


def test_sequences_give_no_value_by_the_function_call_message(node):
    wire = Wire(node)
    oid, sequence = node.look(
        "SELECT 'nextval(regclass)'::regprocedure::oid::int, 's'::regclass::oid::int")[0]
    assert kinds(wire.send(wire.call(oid, sequence)).until(b"Z")) == [b"V", b"Z"]
    node.page.expire()
    answer = wire.send(wire.call(oid, sequence)).until(b"Z")
    assert kinds(answer) == [b"E", b"Z"] and error_code(answer) == REFUSED
    wire.close()


def test_an_open_portal_gives_no_more_rows(node):
    wire = Wire(node)
    sql = "SELECT nextval('s') FROM generate_series(1, 10)"
    wire.ask("BEGIN").answer()
    answer = wire.send(wire.parse(sql), wire.bind(b"p"), wire.execute(1, b"p"),
                       wire.message(b"H")).until(b"s")
    assert kinds(answer) == [b"1", b"2", b"D", b"s"]
    node.page.expire()
    answer = wire.send(wire.execute(1, b"p"), wire.sync()).until(b"Z")
    assert kinds(answer) == [b"E", b"Z"] and error_code(answer) == REFUSED
    wire.close()


def test_a_cursor_gives_no_more_rows(node):
    connection = node.connect()
    query(connection, "BEGIN; DECLARE c CURSOR FOR SELECT nextval('s') FROM generate_series(1, 9)")
    assert query(connection, "FETCH c") == [(1,)]
    node.page.expire()
    refused(connection, "FETCH c")


def test_extended_protocol(node):
    wire = Wire(node)
    sql = "INSERT INTO t VALUES (1)"
    answer = wire.send(wire.parse(sql, b"n"), wire.sync()).until(b"Z")
    assert kinds(answer) == [b"1", b"Z"]
    node.page.expire()
    answer = wire.send(wire.bind(name=b"n"), wire.execute(), wire.sync()).until(b"Z")
    assert error_code(answer) == REFUSED and b"C" not in kinds(answer)
    answer = wire.send(wire.parse("SHOW port", b"m"), wire.sync(), wire.bind(name=b"m"),
                       wire.execute(), wire.sync()).until(b"Z")
    assert kinds(answer) == [b"1", b"Z"]
    assert kinds(wire.until(b"Z")) == [b"2", b"D", b"C", b"Z"]
    wire.close()
    assert rows(node) == []


def test_deferred_triggers_run_before_the_check(node):
    connection = node.connect()
    query(connection, """
        CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(0.8); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION slow()""")
    query(connection, "BEGIN; INSERT INTO t VALUES (1)")
    node.page.open(seconds=0.4)
    refused(connection, "COMMIT")
    assert rows(node) == []


def test_a_statement_that_outlives_the_lease_is_refused(node):
    connection = node.connect()
    node.page.open(seconds=0.3)
    assert "ended 0." in refused(connection, "SELECT pg_sleep(0.6)").diag.message_detail


def test_a_block_that_commits_keeps_what_it_had_committed(node):
    connection = node.connect()
    running = Running(connection, """DO $$ BEGIN FOR i IN 1..100 LOOP
        INSERT INTO t VALUES (i); COMMIT; PERFORM pg_sleep(0.05); END LOOP; END $$""")
    wait_until("some rows", 5, lambda: len(rows(node)) > 2)
    node.page.expire()
    before = len(rows(node))
    assert was_refused(running.finished())
    assert before <= len(rows(node)) <= before + 1


def test_a_refusal_cannot_be_caught_and_outlived(node):
    connection = node.connect()
    node.page.open(seconds=0.3)
    refused(connection, """DO $$ BEGIN PERFORM pg_sleep(0.5); INSERT INTO t VALUES (1);
        EXCEPTION WHEN OTHERS THEN NULL; END $$""")
    assert rows(node) == []


def test_vacuum_that_outlives_the_lease_is_not_answered_well(node):
    connection = node.connect()
    query(connection, "INSERT INTO t SELECT generate_series(1, 30000); DELETE FROM t WHERE x > 9")
    query(connection, "SET vacuum_cost_delay = 20; SET vacuum_cost_limit = 20")
    node.page.open(seconds=0.2)
    assert was_refused(Running(connection, "VACUUM t").finished(20))


def test_a_concurrent_index_build_stops_at_the_deadline(node):
    older, connection = node.connect(), node.connect()
    query(older, "BEGIN; INSERT INTO t VALUES (1)")
    running = Running(connection, "CREATE INDEX CONCURRENTLY i ON t (x)")
    node.wait_event(pid_of(connection), "virtualxid")
    node.page.expire()
    query(older, "ROLLBACK")
    assert was_refused(running.finished())
    assert node.look("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == \
        [(False,)]


# -- L7: at the end of the commit ---------------------------------------------------------------------

def held_for_a_standby(node, wire, *messages):
    """What comes back of these, when the lease ends while their commit waits for a standby."""
    wait_for_standby(node)
    wire.send(*messages)
    node.wait_event(wire.pid, "SyncRep")
    node.page.expire()
    node.reload(synchronous_standby_names="")
    return wire.answer()


def late(node, wire, sql):
    return held_for_a_standby(node, wire, wire.message(b"Q", sql.encode() + b"\0"))


@pytest.fixture
def wire(node):
    made = Wire(node)
    yield made
    made.close()


@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (1)", "COMMIT"])
def test_a_lease_that_ends_during_the_commit_leaves_no_answer(node, wire, sql):
    if sql == "COMMIT":
        wire.ask("BEGIN; INSERT INTO t VALUES (1)").answer()
    before = node.counters()["silent_ends"]
    assert kinds(late(node, wire, sql)) == [None]
    assert rows(node) == [1]  # the row is there: an error would have been a lie, too
    assert node.counters()["silent_ends"] == before + 1


def test_no_answer_in_the_extended_protocol_either(node, wire):
    answer = held_for_a_standby(node, wire, wire.parse("INSERT INTO t VALUES (1)"), wire.bind(),
                                wire.execute(), wire.sync())
    assert kinds(answer) == [None]
    assert rows(node) == [1]


def test_prepare_transaction_that_outlives_the_lease_is_not_answered(node, wire):
    wire.ask("BEGIN; INSERT INTO t VALUES (1)").answer()
    assert kinds(late(node, wire, "PREPARE TRANSACTION 'a'")) == [None]
    assert node.look("SELECT gid FROM pg_prepared_xacts") == [("a",)]


@pytest.mark.parametrize("verb", ["COMMIT", "ROLLBACK"])
def test_a_prepared_transaction_finished_too_late_is_not_answered(node, wire, verb):
    wire.ask("BEGIN; INSERT INTO t VALUES (1)").answer()
    wire.ask("PREPARE TRANSACTION 'a'").answer()
    assert kinds(late(node, wire, f"{verb} PREPARED 'a'")) == [None]
    assert rows(node) == ([1] if verb == "COMMIT" else [])
    assert node.look("SELECT gid FROM pg_prepared_xacts") == []


def test_a_commit_within_a_procedure_is_not_answered_too_late(node, wire):
    query(node.connect(), """CREATE OR REPLACE PROCEDURE p() LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO t VALUES (1); COMMIT; RAISE NOTICE 'committed'; END $$""")
    assert kinds(late(node, wire, "CALL p()")) == [None]
    assert rows(node) == [1]


def test_the_rest_of_a_message_is_not_run_after_a_lost_answer(node, wire):
    sql = "BEGIN; INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2)"
    assert kinds(late(node, wire, sql)) == [None]
    assert rows(node) == [1]


# -- L7: what stays possible ----------------------------------------------------------------------------

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
                "END $$"):
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
    query(connection, "INSERT INTO t SELECT generate_series(1, 1000); DELETE FROM t")
    node.page.expire()
    node.reload(autovacuum="on", autovacuum_naptime="1s", autovacuum_vacuum_threshold="10")
    wait_until("autovacuum", 20, lambda: node.look(
        "SELECT autovacuum_count FROM pg_stat_user_tables WHERE relname = 't'")[0][0] > 0)
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


# -- the page ---------------------------------------------------------------------------------------------

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


# -- E1: commits at the exposure's limit -----------------------------------------------------------------

def held(node, connection, sql="INSERT INTO t VALUES (1)"):
    running = Running(connection, sql)
    node.wait_event(pid_of(connection), "Extension")
    time.sleep(0.2)
    assert running.is_alive()
    return running


def test_commits_are_held_at_the_limit_and_released_soon(node):
    connection = node.connect()
    before = node.counters()
    node.page.hold()
    running = held(node, connection)
    assert query(node.connect(), "TABLE t") == []  # reads go on
    node.page.release()
    released = time.monotonic()
    assert running.finished() == []
    assert running.ended_at - released < 0.05
    assert rows(node) == [1]
    after = node.counters()
    assert after["waits"] == before["waits"] + 1
    assert after["waited_s"] - before["waited_s"] > 0.2


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
    assert query(connection, "SELECT count(*) FROM t") == [(2000,)]  # hint bits, with checksums
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
    node.page.write(commits_until=2 ** 63 - 1, deadline=lease_clock_us() - 1)
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


# -- E3: target 0 -----------------------------------------------------------------------------------------

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
