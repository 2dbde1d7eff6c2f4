# SPDX-License-Identifier: Apache-2.0
"""What the writer was promised against what the database has."""
import json

ROW_WAL_BYTES = 100  # of WAL at least for a row that was committed alone: its insert and its commit


def filler(client, number, size):
    """What the writer puts into this row: other text in each, so that rows cannot be mixed up."""
    word = f"{client}.{number}/"
    return (word * (size // len(word) + 1))[:size]


class Log:
    """A writer's log, read whole; an unfinished last line is left out."""

    def __init__(self, path):
        self.acked, self.sent, self.events, self.options = {}, {}, [], {}
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
                elif kind == "start":
                    self.options = json.loads(text)
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
    """Number -> what the row holds (its instant by the server, its filler) of one client."""
    return {n: (at, text) for n, at, text in server.query(
        "SELECT n, at, filler FROM ledger WHERE client = %s", (client,), database)}


class Comparison:
    """Acknowledged and missing = lost. Present but never sent = invented, present with other
    content than was sent = altered: neither must be."""

    def __init__(self, log, present, up_to=None):
        acked = {n for n in log.acked if up_to is None or n <= up_to}
        known = {n for n in present if up_to is None or n <= up_to}
        self.acked, self.present = len(acked), len(known)
        self.lost = sorted(acked - known)
        self.invented = sorted(known - set(log.sent))
        self.unanswered = sorted(known - acked)
        client, size = log.options.get("client"), log.options.get("filler")
        self.altered = sorted(n for n in known & set(log.sent)
                              if present[n][1] != filler(client, n, size))

    def __str__(self):
        return (f"{self.acked} acknowledged, {self.present} present, {len(self.lost)} lost, "
                f"{len(self.unanswered)} present without an answer, "
                f"{len(self.invented)} invented, {len(self.altered)} altered")
