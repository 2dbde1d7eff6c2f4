# SPDX-License-Identifier: Apache-2.0
"""What clients were promised against what a cluster may do. Pure: logs, plans and rows in, findings
out; tests/fault/test_checker.py feeds it logs that must fail.

A history is what one server acknowledged on one timeline of one system. Clients' instants are
microseconds of one monotonic clock; a server's own clock is carried over by the two clocks that the
client noted at the acknowledgement.
"""
import collections
import json

SLACK_US = 100_000  # between the clients' instants and those that a plan measured

Ack = collections.namedtuple("Ack", "client n at decided history session region server_region")
History = collections.namedtuple("History", "system timeline address")
Silence = collections.namedtuple("Silence", "client began ended failures")


class Log:
    """One client's log, read whole; an unfinished last line is left out."""

    def __init__(self, lines, region, regions_by_address):
        self.region, self.client = region, None
        self.acks, self.sent, self.failures, self.events = [], {}, [], []
        for line in lines:
            if not line.endswith("\n"):
                break
            e = json.loads(line)
            self.events.append(e)
            if e["k"] == "start":
                self.client = e["client"]
            elif e["k"] == "sent":
                self.sent[e["n"]] = e["t"]
            elif e["k"] == "fail":
                self.failures.append(e)
            elif e["k"] == "ack":
                self.acks.append(Ack(
                    self.client, e["n"], e["t"], e["t"] - (e["w"] - e["srv"]),
                    History(e["system"], e["tl"], e["addr"]), e["s"], region,
                    regions_by_address.get(e["addr"])))

    @classmethod
    def read(cls, path, region, regions_by_address):
        with open(path, encoding="utf-8") as f:
            return cls(f, region, regions_by_address)

    def longest_silence(self, began=0, ended=float("inf")):
        """Seconds between two acknowledgements, the longest that ends after an instant, and when it
        began."""
        before = [a.at for a in self.acks if a.at < began][-1:]
        times = before + [a.at for a in self.acks if began <= a.at <= ended]
        gaps = [(b - a, a) for a, b in zip(times, times[1:])]
        longest = max(gaps, default=(0, began))
        return longest[0] / 1e6, longest[1]


def histories(logs):
    """Every history in the order of timelines, with its acknowledgements by instant."""
    found = collections.defaultdict(list)
    for log in logs:
        for ack in log.acks:
            found[ack.history].append(ack)
    for acks in found.values():
        acks.sort(key=lambda a: a.at)
    return dict(sorted(found.items(), key=lambda item: (item[0].timeline, item[1][0].at)))


def _excused(ack, begins, cuts):
    """An answer that a cut line held back: given (by the server's clock) before anything was
    acknowledged on the newer history, over a line that was bad in between. A cut is (from, to,
    began, ended)."""
    return ack.decided < begins and any(
        {source, to} == {ack.server_region, ack.region} and began <= ack.at and ended >= ack.decided
        for source, to, began, ended in cuts)


def two_histories(logs, cuts=()):
    """Findings: an acknowledgement on an older history after the first on a newer one, and two
    servers on one timeline. Besides, how many answers a cut line delivered late."""
    found, late = [], 0
    ordered = list(histories(logs).items())
    for i, (old, acks) in enumerate(ordered):
        for new, newer in ordered[i + 1:]:
            if old.system != new.system:
                found.append(f"two systems acknowledged: {old.system} and {new.system}")
            if old.timeline == new.timeline:
                found.append(f"timeline {old.timeline} at {old.address} and at {new.address}")
        first = min((newer[0].at for _, newer in ordered[i + 1:]), default=None)
        begins = min((min(a.decided for a in newer) for _, newer in ordered[i + 1:]), default=None)
        for ack in acks if first is not None else ():
            if ack.at <= first:
                continue
            if _excused(ack, begins, cuts):
                late += 1
                continue
            found.append(
                f"{ack.client} row {ack.n} acknowledged by {old.address} on timeline "
                f"{old.timeline} {(ack.at - first) / 1e6:.3f} s after the first acknowledgement "
                f"on a newer one (decided {(ack.decided - first) / 1e6:+.3f} s)")
    return found, late


def transitions(ordered, operations):
    """For every history but the last: the finished operation that ended it, or None. Operations
    in their order; one that left the primary where it was, on its timeline, ended none."""
    done = [o for o in operations if o["kind"] in ("failover", "switchover")
            and o["result"] == "done"]
    ended = {}
    for old, new in zip(ordered, ordered[1:]):
        mine = [o for o in done if o["from_address"] == old.address]
        mine = [o for o in mine if o["to_address"] == new.address] or mine
        ended[old] = mine[0] if mine else None
        if mine:
            done = done[done.index(mine[0]) + 1:]
    return ended


def losses(logs, rows, operations):
    """Findings and how many acknowledged rows are missing. rows: client -> numbers present at the
    final primary. What is missing of one history lies within what the plan that ended it
    predicted."""
    found, lost_total, predicted = [], 0, 0.0
    by_history = histories(logs)
    ended = transitions(list(by_history), operations)
    for history, acks in by_history.items():
        lost = [a for a in acks if a.n not in rows.get(a.client, ())]
        operation = ended.get(history)
        if operation is not None:
            predicted = max(predicted, float(operation["predicted_ms"] or 0))
        lost_total += len(lost)
        if not lost:
            continue
        span_us = max(a.decided for a in lost) - min(a.decided for a in lost)
        who = f"{len(lost)} rows of {history.address}, timeline {history.timeline}"
        if operation is None:
            found.append(f"{who} lost, and no plan ended that history")
        elif operation["predicted_ms"] is None:
            found.append(f"{who} lost, and {operation['id']} predicted nothing")
        elif span_us > float(operation["predicted_ms"]) * 1000 + SLACK_US:
            found.append(f"{who} lost over {span_us / 1000:.0f} ms, {operation['id']} predicted "
                         f"{operation['predicted_ms']} ms")
    return found, lost_total, predicted


def invented(logs, rows):
    """Rows that nobody sent."""
    sent = {log.client: set(log.sent) for log in logs}
    return [f"{client} row {n} was never sent" for client, numbers in rows.items()
            for n in sorted(set(numbers) - sent.get(client, set()))]


def unequal(tables):
    """tables: region -> what all rows of the clients there come to; all must be the same."""
    if len(set(map(repr, tables.values()))) <= 1:
        return []
    return ["regions differ: " + ", ".join(f"{r} {t}" for r, t in sorted(tables.items()))]


EXPLAINED = ("57P01", "57P02", "57P03", "25006", "53100", "08006", "08001", "08003", "55000",
             "57014", "58030")


def refusals(logs):
    """Failures that say no by an answer of the server: (sqlstate, text) -> how often."""
    found = collections.Counter()
    for log in logs:
        for e in log.failures:
            if e.get("code"):
                found[(e["code"], e["why"].split("DETAIL")[0].strip())] += 1
    return found


def unexplained(logs, statuses, silent_us, hurt_at=0):
    """Findings: a refusal of no known kind, or a silence of some client while no coordinator that
    answered gave a reason that none had given before anything was hurt. statuses: (instant,
    reasons), in order."""
    found = [f"refused for no known reason: {code} {text}"
             for (code, text) in refusals(logs) if code not in EXPLAINED]
    for log in logs:
        seconds, began = log.longest_silence()
        ended = began + seconds * 1e6
        if ended - began <= silent_us:
            continue
        told = {r for at, reasons in statuses for r in reasons if began <= at <= ended + 2e6}
        told -= {r for at, reasons in statuses for r in reasons if at < hurt_at}
        if not told:
            found.append(f"{log.client} heard nothing for {seconds:.1f} s, and status gave no "
                         "reason")
    return found


def refused(logs, began=0):
    """Failures of clients from an instant on: for scenarios that allow none."""
    return [f"{log.client} row {e['n']}: {e['why']}" for log in logs for e in log.failures
            if e["t"] >= began]
