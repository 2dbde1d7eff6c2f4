-- SPDX-License-Identifier: Apache-2.0
-- History for people: what the coordinators saw and did. Nothing is decided by it; losing it stops
-- nothing. Coordinators write through holdfast_take_event alone, which takes each event once.

CREATE TABLE events_taken (
    id text PRIMARY KEY,
    kind text NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE events_taken IS 'ids of events that are in the tables below: each is taken once';

CREATE TABLE backup_history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz,
    completed_at timestamptz,
    status text NOT NULL,
    path text,
    size_bytes bigint,
    checksum text,
    error_message text,
    tenant text NOT NULL,
    cluster text NOT NULL,
    region text,
    node text,
    type text,
    label text NOT NULL,
    stored_bytes bigint,
    start_lsn pg_lsn,
    stop_lsn pg_lsn,
    timeline bigint,
    regions text[],
    operation text,
    UNIQUE (tenant, cluster, label)
);
CREATE INDEX backup_history_started ON backup_history (tenant, cluster, started_at DESC);

CREATE TABLE restore_history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz,
    completed_at timestamptz,
    status text NOT NULL,
    path text,
    size_bytes bigint,
    error_message text,
    tenant text NOT NULL,
    cluster text NOT NULL,
    region text,
    node text,
    label text,
    target text,
    operation text
);

CREATE TABLE operations (
    tenant text NOT NULL,
    cluster text NOT NULL,
    operation text NOT NULL,
    kind text NOT NULL,
    epoch bigint,
    from_node text,
    to_node text,
    state text NOT NULL,
    result text,
    started_at timestamptz,
    finished_at timestamptz,
    writable_at timestamptz,
    down_ms bigint,
    predicted_bytes numeric,
    predicted_ms bigint,
    reasons jsonb NOT NULL DEFAULT '[]',
    PRIMARY KEY (tenant, cluster, operation)
);
CREATE INDEX operations_started ON operations (tenant, cluster, started_at DESC);

CREATE TABLE operation_steps (
    tenant text NOT NULL,
    cluster text NOT NULL,
    operation text NOT NULL,
    step text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (tenant, cluster, operation, step)
);

CREATE TABLE drills (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    cluster text NOT NULL,
    kind text NOT NULL,
    started_at timestamptz,
    completed_at timestamptz,
    result text,
    evidence jsonb
);

CREATE TABLE exposure_minute (
    tenant text NOT NULL,
    cluster text NOT NULL,
    at timestamptz NOT NULL,
    primary_node text,
    known boolean NOT NULL,
    ms bigint,
    bytes numeric,
    PRIMARY KEY (tenant, cluster, at)
);

CREATE TABLE alerts (
    id text PRIMARY KEY,
    tenant text NOT NULL,
    cluster text NOT NULL,
    at timestamptz NOT NULL,
    rule text,
    severity text,
    message text
);

-- Each row holds the digest of the one before it: a row that is changed or taken out afterwards
-- shows. The first has an empty predecessor.
CREATE TABLE audit_events (
    number bigint PRIMARY KEY,
    id text NOT NULL UNIQUE,
    at timestamptz NOT NULL,
    tenant text,
    cluster text,
    actor text NOT NULL,
    action text NOT NULL,
    detail jsonb NOT NULL,
    previous bytea NOT NULL,
    digest bytea NOT NULL
);

CREATE FUNCTION holdfast_audit_digest(previous bytea, number bigint, id text, at timestamptz,
                                      tenant text, cluster text, actor text, action text,
                                      detail jsonb) RETURNS bytea
LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(previous || convert_to(jsonb_build_array(
        number, id, extract(epoch FROM at), tenant, cluster, actor, action, detail)::text, 'UTF8'))
$$;

-- Rows whose chain is broken; none when all is well.
CREATE VIEW audit_broken AS
SELECT a.number, a.id
FROM audit_events a
LEFT JOIN audit_events p ON p.number = a.number - 1
WHERE a.previous IS DISTINCT FROM coalesce(p.digest, ''::bytea)
   OR a.digest IS DISTINCT FROM holdfast_audit_digest(a.previous, a.number, a.id, a.at, a.tenant,
                                                      a.cluster, a.actor, a.action, a.detail)
   OR (a.number > 1 AND p.number IS NULL);

CREATE FUNCTION holdfast_take_audit(event text, b jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    last audit_events%ROWTYPE;
    n bigint;
    before bytea;
    t timestamptz := (b->>'at')::timestamptz;
BEGIN
    LOCK TABLE audit_events IN EXCLUSIVE MODE;
    SELECT * INTO last FROM audit_events ORDER BY number DESC LIMIT 1;
    n := coalesce(last.number, 0) + 1;
    before := coalesce(last.digest, ''::bytea);
    INSERT INTO audit_events VALUES (
        n, event, t, b->>'tenant', b->>'cluster', b->>'actor', b->>'action',
        coalesce(b->'detail', '{}'), before,
        holdfast_audit_digest(before, n, event, t, b->>'tenant', b->>'cluster', b->>'actor',
                              b->>'action', coalesce(b->'detail', '{}')));
END $$;

CREATE FUNCTION holdfast_take_backup(b jsonb) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO backup_history (started_at, completed_at, status, path, size_bytes, checksum,
        error_message, tenant, cluster, region, node, type, label, stored_bytes, start_lsn,
        stop_lsn, timeline, regions, operation)
    VALUES ((b->>'started_at')::timestamptz, (b->>'completed_at')::timestamptz,
        coalesce(b->>'state', 'unknown'), b->>'path', (b->>'size_bytes')::bigint, b->>'checksum',
        b->>'error', b->>'tenant', b->>'cluster', b->>'region', b->>'node', b->>'type',
        b->>'label', (b->>'stored_bytes')::bigint, (b->>'start_lsn')::pg_lsn,
        (b->>'stop_lsn')::pg_lsn, (b->>'timeline')::bigint,
        CASE WHEN jsonb_typeof(b->'regions') = 'array'
             THEN ARRAY(SELECT jsonb_array_elements_text(b->'regions')) END,
        coalesce(b->>'operation', b->>'command'))
    ON CONFLICT (tenant, cluster, label) DO UPDATE SET
        completed_at = excluded.completed_at, status = excluded.status,
        path = coalesce(excluded.path, backup_history.path),
        size_bytes = excluded.size_bytes, stored_bytes = excluded.stored_bytes,
        checksum = coalesce(excluded.checksum, backup_history.checksum),
        error_message = excluded.error_message, stop_lsn = excluded.stop_lsn,
        regions = excluded.regions
$$;

CREATE FUNCTION holdfast_take_operation(b jsonb) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO operations (tenant, cluster, operation, kind, epoch, from_node, to_node, state,
        result, started_at, finished_at, writable_at, down_ms, predicted_bytes, predicted_ms,
        reasons)
    VALUES (b->>'tenant', b->>'cluster', b->>'operation', b->>'kind', (b->>'epoch')::bigint,
        nullif(b->>'from_node', ''), nullif(b->>'to_node', ''), b->>'state', b->>'result',
        (b->>'started_at')::timestamptz, (b->>'finished_at')::timestamptz,
        (b->>'writable_at')::timestamptz, (b->>'down_ms')::bigint,
        (b->>'predicted_bytes')::numeric, (b->>'predicted_ms')::bigint,
        coalesce(b->'reasons', '[]'))
    ON CONFLICT (tenant, cluster, operation) DO UPDATE SET
        to_node = excluded.to_node, state = excluded.state, result = excluded.result,
        finished_at = excluded.finished_at, writable_at = excluded.writable_at,
        down_ms = excluded.down_ms, predicted_bytes = excluded.predicted_bytes,
        predicted_ms = excluded.predicted_ms, reasons = excluded.reasons
    WHERE operations.state <> 'finished'
$$;

-- Takes one event, once. Kinds that have no table yet are only remembered as taken.
CREATE FUNCTION holdfast_take_event(event text, kind text, b jsonb) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events_taken (id, kind) VALUES (event, kind) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF kind = 'backup' THEN
        PERFORM holdfast_take_backup(b);
    ELSIF kind = 'operation' THEN
        PERFORM holdfast_take_operation(b);
    ELSIF kind = 'step' AND b ? 'operation' AND b->>'at' IS NOT NULL THEN
        INSERT INTO operation_steps (tenant, cluster, operation, step, at)
        VALUES (b->>'tenant', b->>'cluster', b->>'operation', b->>'step',
                (b->>'at')::timestamptz)
        ON CONFLICT DO NOTHING;
    ELSIF kind = 'exposure' THEN
        INSERT INTO exposure_minute (tenant, cluster, at, primary_node, known, ms, bytes)
        VALUES (b->>'tenant', b->>'cluster', (b->>'at')::timestamptz, b->>'primary_node',
                (b->>'known')::boolean, (b->>'ms')::bigint, (b->>'bytes')::numeric)
        ON CONFLICT DO NOTHING;
    ELSIF kind = 'alert' THEN
        INSERT INTO alerts (id, tenant, cluster, at, rule, severity, message)
        VALUES (event, b->>'tenant', b->>'cluster', (b->>'at')::timestamptz, b->>'rule',
                b->>'severity', b->>'message');
    ELSIF kind = 'audit' THEN
        PERFORM holdfast_take_audit(event, b);
    ELSIF kind = 'restore' THEN
        INSERT INTO restore_history (started_at, completed_at, status, path, size_bytes,
            error_message, tenant, cluster, region, node, label, target, operation)
        VALUES ((b->>'started_at')::timestamptz, (b->>'completed_at')::timestamptz,
            coalesce(b->>'state', 'unknown'), b->>'path', (b->>'size_bytes')::bigint, b->>'error',
            b->>'tenant', b->>'cluster', b->>'region', b->>'node', b->>'label', b->>'target',
            b->>'operation');
    END IF;
    RETURN true;
END $$;
