"""The watch of a chaos run sees what it is there to see, and the table counts it."""

from pathlib import Path

import pytest

from tests.chaos.kinds import KINDS
from tests.chaos.run import Round, drawn
from tests.chaos.table import BEGIN, END, Line, as_markdown, lines_of, publish
from tests.chaos.watch import MISSED, Watch
from tests.chaos.world import World


def test_what_is_lost_or_made_twice_or_left_behind_or_missed_is_seen() -> None:
    with World() as world:
        watch = Watch(world)
        assert watch.drain()[0]
        watch.begin()
        fine, lost, twice = (world.commit_probe(name) for name in ("FINE", "LOST", "TWICE"))
        assert watch.drain()[0]
        assert watch.judge(may_miss=False).wrong == []
        assert watch.judge_all().wrong == []

        world.account.user.delete(int(world.account.order_by_number(lost)[0]["orderId"]))
        world.account.user.create_manual(twice)
        world.account.user.create_manual("NOBODYS")
        world.sql("update listener.ledger set state = 'unknown', not_before = 'infinity' where order_key = %s", fine)
        world.listener._lines.append(f"WARNING {MISSED}")
        outcome, everything = watch.judge(may_miss=False), watch.judge_all()
    assert (outcome.orders, outcome.lost, outcome.twice) == (3, [lost], [twice])
    assert (everything.lost, everything.twice) == ([lost], [twice])
    assert "NOBODYS was never committed" in everything.wrong
    said = " ".join(outcome.wrong)
    assert all(words in said for words in (f"{fine} is left unknown", "1 notifications were missed"))


def test_a_run_deals_out_every_kind_before_one_comes_again_and_the_seed_fixes_which() -> None:
    dealt = [drawn(KINDS, 7, number).name for number in range(2 * len(KINDS))]
    assert set(dealt[: len(KINDS)]) == set(dealt[len(KINDS) :]) == {kind.name for kind in KINDS}
    assert dealt == [drawn(KINDS, 7, number).name for number in range(2 * len(KINDS))]
    assert dealt != [drawn(KINDS, 8, number).name for number in range(2 * len(KINDS))]


def test_the_table_has_a_line_a_kind_and_one_of_all(tmp_path: Path) -> None:
    rounds = [Round(number, "cut", recovered=number / 100) for number in range(1, 101)]
    rounds.append(Round(101, "crash", recovered=None, eased=2, lost=["A-1"]))
    cut = Line("cut", runs=100, lost=0, twice=0, p50=0.5, p99=0.99, longest=1.0, eased=0)
    crash = Line("crash", runs=1, lost=1, twice=0, p50=None, p99=None, longest=None, eased=1)
    assert lines_of(rounds)[:2] == [crash, cut]
    assert lines_of(rounds)[2].runs == 101

    paper = tmp_path / "paper.md"
    paper.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    publish(paper, as_markdown(lines_of(rounds)))
    assert "| cut | 100 | 0 | 0 | 0.50 s | 0.99 s | 1.00 s | 0 |" in paper.read_text().splitlines()
    assert paper.read_text().startswith(f"before\n{BEGIN}\n| fault")
    assert paper.read_text().endswith(f"\n{END}\nafter\n")
    with pytest.raises(ValueError, match="has no lines"):
        publish(Path(__file__).with_name("conftest.py"), "")
