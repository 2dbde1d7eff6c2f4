# SPDX-License-Identifier: Apache-2.0
"""holdfast.so in a real PostgreSQL: what happens to transactions when the lease ends (rule L7),
before a commit and within it."""
import os
import time

import psycopg2
import pytest

from guard_fixtures import (lab, node, pid_of, refused, rows, shared,  # noqa: F401
                            wait_for_standby, was_refused, wire)
from guard_node import REFUSED, Running, Wire, error_code, kinds, query
from holdfast_lab.process import wait_until


# -- L7: before the commit -------------------------------------------------------------------------

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
    # Nothing in it writes under a transaction identifier: it is refused for being the client's.
    assert was_refused(Running(connection, "VACUUM (TRUNCATE off) t").finished(20))


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


# -- L7: at the end of the commit ------------------------------------------------------------------

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
