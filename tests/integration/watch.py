# SPDX-License-Identifier: Apache-2.0
"""What the scenarios share: a healthy start, a client that watches, and what it may not see."""
from holdfast_lab import ledger
from holdfast_lab.process import wait_until

ROUTE_TTL_S = 2


def healthy(lab, seconds=120):
    """Waits for one primary and streaming standbys everywhere else; the primary's region."""
    def settled(status):
        roles = {n["node"]: n for n in status["nodes"]}
        standbys = [n for n in roles.values() if n["role"] == "standby" and n["ok"]]
        return (status["primary"] and len(standbys) == len(lab.regions) - 1
                and roles[status["primary"]]["ok"] and status)
    primary = lab.wait_for("a healthy cluster", seconds, settled)["primary"]
    return next(r for r in lab.regions if lab.node(r) == primary)


def epoch(lab):
    return int(lab.status()["epoch"])


class Client:
    """A writer for one scenario and the questions to its log."""

    def __init__(self, lab, name, **options):
        self.lab, self.name = lab, name
        self.process = lab.start_writer(name, **options)
        self.more(50)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stop()

    def log(self):
        return ledger.Log(self.process.ledger)

    def more(self, rows, seconds=40):
        goal = len(self.log().acked) + rows
        wait_until(f"{rows} more rows for {self.name}", seconds,
                   lambda: len(self.log().acked) >= goal, 0.02)

    def failures(self):
        return [e for e in self.log().events if e[1] == "fail"]

    def compare(self, region, up_to=None):
        """The log against the table in one region, once it answers."""
        wait_until(f"{region} to answer", 30, lambda: self.lab.server(region).answer("SELECT 1"))
        return ledger.Comparison(self.log(), ledger.rows(self.lab.server(region), self.name),
                                 up_to)


def finished(lab, identity=None, after=0, kind="failover", seconds=60):
    """The operation of this id (or the first beyond `after` earlier ones), once it has ended."""
    def ended():
        found = lab.api.operations(kind)
        if identity is None and len(found) <= after:
            return None
        chosen = found[0] if identity is None else next(
            (o for o in found if o["id"] == identity), {"state": "unknown"})
        return lab.api.operation(chosen["id"]) if chosen["state"] == "finished" else None
    return wait_until(f"the {kind} to end", seconds, ended, 0.2)


def assert_loss_as_predicted(client, operation, region, lost_at=None):
    """Nothing invented; what is lost lies within the prediction that the plan persisted: from the
    first lost acknowledgement to the loss of the primary (else to the last lost one)."""
    client.process.stop()
    log, found = client.log(), client.compare(region)
    assert not found.invented and not found.altered
    if found.lost:
        first, newest = (pick(log.acked[n] for n in found.lost) for pick in (min, max))
        last = max(newest, lost_at or newest)
        assert operation["predicted_ms"] is not None, found
        assert (last - first) * 1000 <= float(operation["predicted_ms"]), found
        assert len(found.lost) * ledger.ROW_WAL_BYTES <= int(operation["predicted_bytes"]), found
    return found
