# SPDX-License-Identifier: Apache-2.0
"""The checker against made-up logs: it must find what it is for, and nothing in a sound run."""
import json
import unittest

import checker

ADDRESS = {"10.77.1.1": "eu", "10.77.2.1": "us", "10.77.3.1": "ap"}
WALL = 1_700_000_000_000_000  # wall clock at instant 0
MS = 1000


class Made:
    """A log line by line; instants in milliseconds."""

    def __init__(self, region="eu"):
        self.region, self.lines = region, []
        self.add(0, "start", client=region)

    def add(self, ms, kind, **more):
        self.lines.append(json.dumps({"t": ms * MS, "w": WALL + ms * MS, "k": kind, **more}) + "\n")
        return self

    def ack(self, ms, n, address="10.77.1.1", tl=1, decided=None, system="s"):
        self.add(ms - 1 if decided is None else decided, "sent", s=1, n=n)
        return self.add(ms, "ack", s=1, n=n, addr=address, system=system, tl=tl, lsn="0/1",
                        srv=WALL + (ms - 1 if decided is None else decided) * MS, parked=False)

    def log(self):
        return checker.Log(self.lines, self.region, ADDRESS)


def operation(**more):
    return {"id": "f-1", "kind": "failover", "result": "done", "from_address": "10.77.1.1",
            "to_address": "10.77.2.1", "predicted_ms": "500", **more}


NEW = {"address": "10.77.2.1", "tl": 2}


class Histories(unittest.TestCase):
    def test_a_clean_failover(self):
        log = Made().ack(10, 1).ack(20, 2).ack(5000, 3, **NEW).log()
        self.assertEqual(checker.two_histories([log]), ([], 0))

    def test_an_acknowledgement_of_the_old_one_after_the_new_began(self):
        old = Made("eu").ack(10, 1).ack(5100, 2).log()
        new = Made("us").ack(5000, 1, **NEW).log()
        found, _ = checker.two_histories([old, new])
        self.assertEqual(len(found), 1)
        self.assertIn("row 2", found[0])

    def test_frozen_between_commit_and_answer_is_no_excuse(self):
        old = Made("eu").ack(9000, 1, decided=10).log()
        new = Made("us").ack(5000, 1, **NEW).log()
        self.assertEqual(len(checker.two_histories([old, new])[0]), 1)

    def test_an_answer_held_back_by_a_cut_line_is_one(self):
        old = Made("us").ack(9000, 1, decided=10).log()
        new = Made("us").ack(5000, 2, **NEW).log()
        cuts = [("eu", "us", 15 * MS, 8500 * MS)]
        self.assertEqual(checker.two_histories([old, new], cuts), ([], 1))

    def test_but_not_what_was_decided_after_the_new_history_began(self):
        old = Made("us").ack(9000, 1, decided=8600).log()
        new = Made("us").ack(5000, 2, **NEW).log()
        cuts = [("eu", "us", 15 * MS, 8900 * MS)]
        self.assertEqual(len(checker.two_histories([old, new], cuts)[0]), 1)

    def test_nor_over_a_line_that_was_whole(self):
        old = Made("ap").ack(9000, 1, decided=10).log()
        new = Made("us").ack(5000, 2, **NEW).log()
        cuts = [("eu", "us", 15 * MS, 8500 * MS)]
        self.assertEqual(len(checker.two_histories([old, new], cuts)[0]), 1)

    def test_two_servers_on_one_timeline(self):
        old = Made("eu").ack(10, 1).log()
        new = Made("us").ack(20, 1, address="10.77.2.1", tl=1).log()
        self.assertTrue(checker.two_histories([old, new])[0])

    def test_two_systems(self):
        old = Made("eu").ack(10, 1).log()
        new = Made("us").ack(20, 1, system="other", **NEW).log()
        self.assertTrue(checker.two_histories([old, new])[0])


class Losses(unittest.TestCase):
    def setUp(self):
        self.log = Made().ack(10, 1).ack(300, 2).ack(700, 3).ack(5000, 4, **NEW).log()

    def test_nothing_lost(self):
        self.assertEqual(checker.losses([self.log], {"eu": {1, 2, 3, 4}}, [operation()]),
                         ([], 0, 500.0))

    def test_within_what_was_predicted(self):
        self.assertEqual(checker.losses([self.log], {"eu": {1, 4}}, [operation()])[:2], ([], 2))

    def test_more_than_was_predicted(self):
        found, lost, _ = checker.losses([self.log], {"eu": {4}}, [operation()])
        self.assertEqual((len(found), lost), (1, 3))

    def test_a_prediction_that_is_not_known_excuses_nothing(self):
        plan = operation(predicted_ms=None)
        self.assertEqual(len(checker.losses([self.log], {"eu": {1, 4}}, [plan])[0]), 1)

    def test_no_plan_no_excuse(self):
        self.assertEqual(len(checker.losses([self.log], {"eu": {1, 4}}, [])[0]), 1)

    def test_a_plan_of_another_primary_excuses_nothing(self):
        plan = operation(from_address="10.77.3.1")
        self.assertEqual(len(checker.losses([self.log], {"eu": {1, 4}}, [plan])[0]), 1)

    def test_a_restart_in_place_is_not_the_plan_that_ended_the_history(self):
        plans = [operation(id="f-0", to_address="10.77.1.1", predicted_ms="0"), operation()]
        self.assertEqual(checker.losses([self.log], {"eu": {1, 4}}, plans)[:2], ([], 2))

    def test_what_the_last_primary_acknowledged_is_never_lost(self):
        self.assertEqual(len(checker.losses([self.log], {"eu": {1, 2, 3}}, [operation()])[0]), 1)

    def test_a_row_that_nobody_sent(self):
        self.assertEqual(len(checker.invented([self.log], {"eu": {1, 9}})), 1)


class Refusals(unittest.TestCase):
    def test_silence_needs_a_reason(self):
        log = Made().ack(10, 1).ack(9000, 2).log()
        told = [(4000 * MS, ["LEASE_OVER"])]
        self.assertEqual(checker.unexplained([log], told, 3e6), [])
        self.assertEqual(len(checker.unexplained([log], [], 3e6)), 1)
        self.assertEqual(len(checker.unexplained([log], [(60_000 * MS, ["LATER"])], 3e6)), 1)
        self.assertEqual(len(checker.unexplained([log], [(5 * MS, ["OLD"]), *(
            (at * MS, ["OLD"]) for at in (1000, 2000))], 3e6, 8 * MS)), 1)

    def test_an_error_of_no_known_kind(self):
        log = Made().ack(10, 1).add(20, "fail", s=1, n=2, code="XX000", why="InternalError").log()
        self.assertEqual(len(checker.unexplained([log], [], 3e6)), 1)

    def test_refused_counts_from_an_instant_on(self):
        log = Made().add(20, "fail", s=1, n=2, why="Late").log()
        self.assertEqual(len(checker.refused([log], 10 * MS)), 1)
        self.assertEqual(checker.refused([log], 30 * MS), [])

    def test_the_longest_silence(self):
        log = Made().ack(10, 1).ack(20, 2).ack(2020, 3).ack(2030, 4).log()
        self.assertEqual(log.longest_silence(), (2.0, 20 * MS))

    def test_regions_that_differ(self):
        self.assertEqual(checker.unequal({"eu": (1, "a"), "us": (1, "a")}), [])
        self.assertEqual(len(checker.unequal({"eu": (1, "a"), "us": (1, "b")})), 1)

    def test_an_unfinished_line_is_left_out(self):
        made = Made().ack(10, 1)
        made.lines.append('{"t": 5')
        self.assertEqual(len(made.log().acks), 1)


if __name__ == "__main__":
    unittest.main()
