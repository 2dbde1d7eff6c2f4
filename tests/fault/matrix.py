# SPDX-License-Identifier: Apache-2.0
"""Part × fault as a table: what should come of each, or why there is no such case."""
from scene import LEASE_S, Expect, Scenario

PAST_LEASE_S = 3 * LEASE_S
STAYS = Expect("stays", "nobody", 0, 8.0)
LOCAL = Expect("stays", "inside", 0, 8.0)    # its region's own client is behind the same line
MAY_MOVE = Expect("any", "anybody", "predicted", 60.0)
NO_LOSS = Expect("any", "anybody", 0, 60.0)  # the old primary's disk is there: it reports its end

NO_LINE = "has no line to another region"
SAME = "is what killing it is: a directory is reachable or not"
AGENTS = "its agent starts another at once: nothing stays dead to flap"

FAULTS = ("kill", "freeze", "cut", "cut-out", "flap", "slow")
#                     kill      freeze    cut       cut-out   flap      slow
TABLE = {
    "primary":       (NO_LOSS,  MAY_MOVE, MAY_MOVE, MAY_MOVE, MAY_MOVE, MAY_MOVE),
    "standby":       (STAYS,    STAYS,    LOCAL,    LOCAL,    LOCAL,    STAYS),
    "agent":         (MAY_MOVE, MAY_MOVE, MAY_MOVE, MAY_MOVE, STAYS,    STAYS),
    "fencer":        (MAY_MOVE, MAY_MOVE, NO_LINE,  NO_LINE,  AGENTS,   STAYS),
    "leader":        (STAYS,    STAYS,    STAYS,    STAYS,    STAYS,    STAYS),
    "etcd-leader":   (STAYS,    STAYS,    STAYS,    STAYS,    STAYS,    STAYS),
    "etcd-minority": (STAYS,    STAYS,    STAYS,    STAYS,    STAYS,    STAYS),
    "etcd-majority": (STAYS,    STAYS,    STAYS,    STAYS,    STAYS,    STAYS),
    "repository":    (STAYS,    SAME,     SAME,     SAME,     STAYS,    SAME),
    "dns":           (STAYS,    STAYS,    STAYS,    STAYS,    STAYS,    STAYS),
}
DEFAULT = {("primary", "kill"), ("agent", "freeze"), ("leader", "kill"), ("etcd-leader", "freeze"),
           ("standby", "kill"), ("etcd-majority", "cut")}


def targets(play, row):
    """Which things a row means now: (part, region) each."""
    if row in ("primary", "standby"):
        return [("postmaster", play.primary if row == "primary" else play.standby())]
    if row in ("agent", "fencer", "repository"):
        return [(row, play.primary)]
    if row == "leader":
        return [("coordinator", play.leader())]
    if row == "dns":
        return [("dns", None)]
    leader = play.etcd_leader()
    others = [r for r in play.lab.regions if r != leader]
    play.random.shuffle(others)
    return [("etcd", r) for r in {"etcd-leader": [leader], "etcd-minority": others[:1],
                                  "etcd-majority": [leader, others[0]]}[row]]


def hurt(play, fault, things):
    faults = play.faults
    local = things[0][0] in ("postmaster", "fencer")
    if fault in ("kill", "freeze", "cut", "cut-out"):
        for part, region in things:
            if fault == "cut-out":
                faults.cut(part, region, "out")
            else:
                getattr(faults, fault)(part, region)
        play.wait(PAST_LEASE_S)
        for part, region in things:
            {"kill": faults.revive, "freeze": faults.thaw}.get(fault, faults.heal)(part, region)
    elif fault == "flap":
        verbs = ("kill", "revive") if things[0][0] == "repository" else ("cut", "heal")
        for part, region in things:
            faults.flap(part, region, 4, 0.2 * LEASE_S, 0.3 * LEASE_S, verbs)
    elif local:
        faults.slow(*things[0], PAST_LEASE_S)
    else:
        for part, region in things:
            faults.delay(part, region, 150)
        play.wait(PAST_LEASE_S)
        for part, region in things:
            faults.heal(part, region)
    play.wait(LEASE_S)


def cell(row, fault):
    def run(play):
        things = targets(play, row)
        play.hit = {region for _part, region in things}
        play.moment()
        hurt(play, fault, things)
    return run


def scenarios():
    """(scenarios, {name: why there is none})."""
    found, none = [], {}
    for row, cells in TABLE.items():
        for fault, wanted in zip(FAULTS, cells):
            name = f"{row}-{fault}"
            if isinstance(wanted, str):
                none[name] = wanted
            else:
                found.append(Scenario(name, wanted, cell(row, fault), (row, fault) in DEFAULT))
    return found, none
