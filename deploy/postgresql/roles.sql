-- SPDX-License-Identifier: Apache-2.0
-- The two roles that Holdfast uses, with the rights that it needs and no more. Run once on the
-- primary as a superuser, in the database that agent.yaml names (default: postgres):
--   psql -f roles.sql
-- with both passwords in the environment, where other users of the host cannot read them:
-- HOLDFAST_PASSWORD and REPLICATION_PASSWORD (or \set holdfast_password and replication_password
-- before, on standard input).
-- Neither role reads tables of yours: base copies and WAL come by files and by replication.

\getenv holdfast_password HOLDFAST_PASSWORD
\getenv replication_password REPLICATION_PASSWORD

SELECT format('CREATE ROLE holdfast LOGIN PASSWORD %L CONNECTION LIMIT 20', :'holdfast_password')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast') \gexec

SELECT format('CREATE ROLE holdfast_repl LOGIN REPLICATION PASSWORD %L CONNECTION LIMIT 20',
              :'replication_password')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_repl') \gexec

-- Statistics, settings and positions; requesting checkpoints; ending sessions of others.
GRANT pg_monitor, pg_checkpoint, pg_signal_backend TO holdfast;

-- Base copies, segment switches, restore points, promotion and replay: functions that are a
-- superuser's by default.
GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean) TO holdfast;
GRANT EXECUTE ON FUNCTION pg_backup_stop(boolean) TO holdfast;
GRANT EXECUTE ON FUNCTION pg_switch_wal() TO holdfast;
GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO holdfast;
GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO holdfast;
GRANT EXECUTE ON FUNCTION pg_reload_conf() TO holdfast;
GRANT EXECUTE ON FUNCTION pg_wal_replay_pause() TO holdfast;
GRANT EXECUTE ON FUNCTION pg_wal_replay_resume() TO holdfast;

-- pg_rewind of a node whose WAL went beyond the fork, over a plain connection to this database
-- (pg_hba.conf must let holdfast_repl into it from the other nodes' addresses). These four functions
-- are all that it needs. They give this role nothing that it has not got: REPLICATION lets it fetch
-- every file of the data directory by BASE_BACKUP already, and files elsewhere on the host stay out
-- of reach without pg_read_server_files.
GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean) TO holdfast_repl;
GRANT EXECUTE ON FUNCTION pg_stat_file(text, boolean) TO holdfast_repl;
GRANT EXECUTE ON FUNCTION pg_read_binary_file(text) TO holdfast_repl;
GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean) TO holdfast_repl;

-- With the commit guard: the agent looks at a node whose lease is over. It can write nothing there
-- (docs/commit-guard.md). Without the guard the setting has no effect.
ALTER ROLE holdfast SET holdfast.stale_reads = on;
