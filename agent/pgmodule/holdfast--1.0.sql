-- SPDX-License-Identifier: Apache-2.0
-- Objects of the extension "holdfast": docs/commit-guard.md explains the columns.

CREATE FUNCTION holdfast.guard_state(
    OUT managed boolean,
    OUT page text,
    OUT state text,
    OUT epoch bigint,
    OUT newest_epoch bigint,
    OUT serial bigint,
    OUT deadline_s double precision,
    OUT commits_until_s double precision,
    OUT synchronous boolean,
    OUT primary_address text,
    OUT refusals bigint,
    OUT silent_ends bigint,
    OUT waits bigint,
    OUT waited_s double precision)
RETURNS record
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'holdfast_guard_state';

CREATE VIEW holdfast.guard AS SELECT * FROM holdfast.guard_state();

REVOKE ALL ON FUNCTION holdfast.guard_state() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION holdfast.guard_state() TO pg_monitor;
GRANT USAGE ON SCHEMA holdfast TO pg_monitor;
GRANT SELECT ON holdfast.guard TO pg_monitor;
