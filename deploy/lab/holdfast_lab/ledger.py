# SPDX-License-Identifier: Apache-2.0
"""What the writer was promised against what the database has."""


class Log:
    """A writer's log, read whole; an unfinished last line is left out."""

    def __init__(self, path):
        self.acked, self.sent, self.events = {}, {}, []
        with open(path, encoding="utf-8") as f:
            for line in f:
                if not line.endswith("\n"):
                    break
                words = line.rstrip("\n").split(" ", 3)
                at, kind, number = float(words[0]), words[1], int(words[2])
                text = words[3] if len(words) > 3 else ""
                if kind == "ack":
                    self.acked[number] = at
                elif kind == "sent":
                    self.sent[number] = at
                self.events.append((at, kind, number, text))

    def first_ack_after(self, at):
        """Time and number of the first acknowledgement after an instant, or None."""
        later = [(when, n) for n, when in self.acked.items() if when > at]
        return min(later) if later else None

    def last_ack_before(self, at):
        earlier = [(when, n) for n, when in self.acked.items() if when <= at]
        return max(earlier) if earlier else None

    def longest_gap(self):
        """Seconds between two acknowledgements, the longest, and when it began."""
        times = sorted(self.acked.values())
        return max(((b - a, a) for a, b in zip(times, times[1:])), default=(0.0, 0.0))


def rows(server, client, database="app"):
    """Number -> (seconds since 1970 by the row, xmin's commit instant or None) of one client."""
    found = server.query(
        "SELECT n, extract(epoch FROM at)::float8, "
        "extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 "
        "FROM ledger WHERE client = %s", (client,), database)
    return {n: (at, committed) for n, at, committed in found}


class Comparison:
    """Acknowledged and missing = lost. Present but never sent = invented, which must not be."""

    def __init__(self, log, present, up_to=None):
        acked = {n for n in log.acked if up_to is None or n <= up_to}
        known = {n for n in present if up_to is None or n <= up_to}
        self.acked, self.present = len(acked), len(known)
        self.lost = sorted(acked - known)
        self.invented = sorted(known - set(log.sent))
        self.unanswered = sorted(known - acked)

    def __str__(self):
        return (f"{self.acked} acknowledged, {self.present} present, {len(self.lost)} lost, "
                f"{len(self.unanswered)} present without an answer, "
                f"{len(self.invented)} invented")
