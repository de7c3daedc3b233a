"""The rehearsal of the rollout, as far as it is quick: the cutover from the old scripts, and back to them.

`scripts/rehearse_rollout` plays all of it.
"""

from scripts.rehearsal.phases import there_and_back
from scripts.rehearsal.stage import stage


def test_from_the_old_scripts_to_the_listener_and_back_every_order_is_made_once() -> None:
    with stage() as scene:
        there_and_back(scene)
