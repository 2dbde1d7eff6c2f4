# SPDX-License-Identifier: Apache-2.0
"""What happens, and what should come of it. The single faults are a table (matrix.py); here are
those that are a story."""
from scene import GRACE_S, LEASE_S, Expect, Scenario

FREEZE_S = 3 * LEASE_S
NEVER = Expect("stays", "nobody", 0, 6.0)


def region_lost(leaders_inside):
    def run(play):
        primary = play.primary
        place = primary if leaders_inside else play.standby()
        play.faults.lead_coordinators(place)
        play.faults.lead_etcd(place)
        play.more(10)
        play.moment()
        play.hit = {primary}
        play.faults.lose_region(primary)
        play.wait_failover()
        play.moment()
        play.faults.revive_region(primary)
    return run


def primary_frozen(play):
    """Every process of the primary's region stands still, as in a paused machine whose clocks go
    on; its clients' sessions stay open."""
    play.moment()
    play.hit = {play.primary}
    play.faults.freeze("region", play.primary)
    play.wait(FREEZE_S)
    play.faults.thaw("region", play.primary)
    play.wait(LEASE_S)


def primary_cut(way):
    def run(play):
        play.moment()
        play.hit = {play.primary}
        play.faults.cut("region", play.primary, way)
        play.wait(FREEZE_S + GRACE_S)
        play.faults.heal("region", play.primary)
        play.wait(LEASE_S)
    return run


def etcd_lost(play):
    play.moment()
    play.faults.lose_etcd()
    play.wait(30)
    play.faults.return_etcd()
    play.wait(2 * LEASE_S)


def wal_disk_full(play):
    """The primary's WAL cannot grow: PostgreSQL ends itself, somebody else takes over, and the node
    comes back once there is room."""
    play.moment()
    play.hit = {play.primary}
    play.faults.fill_wal(play.primary)
    play.wait_failover()
    play.wait(play.random.uniform(2, 10))
    play.faults.free_disk(play.primary)
    play.wait(LEASE_S)


def data_disk_full(play):
    """Tables cannot grow: PostgreSQL refuses writes one by one and stays up, a primary by every
    other sign. It stays, and the status says why nobody can write."""
    play.moment()
    play.hit = {play.primary}
    play.faults.fill_disk(play.primary)
    play.wait(20)
    play.faults.free_disk(play.primary)
    play.wait(LEASE_S)


def two_in_a_row(play):
    """The primary's region is lost; so is the region of its successor, once the first is back, but
    before it is known to stream again."""
    first = play.primary
    play.hit = {first}
    play.faults.lose_region(first)
    play.wait_failover(1)
    play.more(10, 120)
    play.faults.revive_region(first)
    play.wait(play.random.uniform(2, 6))
    name = play.status()["primary"]
    second = next(r for r in play.lab.regions if play.lab.node(r) == name)
    play.hit.add(second)
    play.faults.kill("postmaster", second)
    play.wait_failover(2)


def only_the_guard(play):
    """Agent and fencer of the primary stand still, PostgreSQL does not: nobody ends it, and what
    keeps it from acknowledging beyond its lease is the commit guard alone."""
    play.moment()
    play.hit = {play.primary}
    fencer = play.lab.fencer(play.primary)
    play.faults.freeze("fencer", play.primary)
    play.faults.freeze("agent", play.primary)
    play.wait_failover()
    play.wait(LEASE_S + GRACE_S)
    if fencer and not play.lab.postgres_processes(play.primary):
        play.findings.append("PostgreSQL was ended, by whom? The guard was not tried")
    play.faults.thaw("fencer", play.primary)
    play.faults.thaw("agent", play.primary)


def postgresql_hangs(play):
    """The primary's PostgreSQL stands still while its agent is well and renews the lease."""
    play.moment()
    play.hit = {play.primary}
    play.faults.freeze("postmaster", play.primary)
    play.wait(40)
    play.faults.thaw("postmaster", play.primary)
    play.wait(LEASE_S)


def bad_lines(play):
    """Two of a hundred packets lost everywhere, 200 ms round trips: slow, but nothing is wrong."""
    for region in play.lab.regions:
        play.faults.delay("region", region, 100, loss_percent=2)
    play.wait(20)


NAMED = [
    Scenario("region-lost-leaders-inside", Expect("moves", down_s=60), region_lost(True), True),
    Scenario("region-lost-leaders-outside", Expect("moves", down_s=60), region_lost(False), True),
    Scenario("primary-region-frozen", Expect(down_s=60), primary_frozen, True),
    Scenario("primary-region-cut", Expect(down_s=60), primary_cut("both"), True),
    Scenario("primary-region-cut-out", Expect(down_s=60), primary_cut("out"), False),
    Scenario("primary-region-cut-in", Expect(down_s=60), primary_cut("in"), False),
    Scenario("etcd-lost-30s", NEVER, etcd_lost, True),
    Scenario("wal-disk-full", Expect(loss=0, down_s=90), wal_disk_full, True),
    Scenario("data-disk-full", Expect(loss=0, down_s=90), data_disk_full, False),
    Scenario("two-in-a-row", Expect(down_s=90), two_in_a_row, True),
    Scenario("only-the-guard", Expect("moves", down_s=60), only_the_guard, True),
    Scenario("postgresql-hangs-40s", Expect(down_s=60), postgresql_hangs, False),
    Scenario("bad-lines", Expect("stays", "nobody", 0, 15.0), bad_lines, False),
]
