import numpy as np
import pytest

from vae_lowlevel.training.collapse import (
    CollapseWarning,
    describe_collapsed,
    describe_dead,
)

FINAL = {"kl_weight": 1.0, "capacity": None}
COLLAPSED = np.array([2.0, 0.001, 0.0, 0.5])
DEAD = {"encoder/dense_0": (97, 128), "decoder/dense_0": (1, 128)}


def record(step, kl_weight=1.0):
    return {"step": step, "train": {"kl_weight": kl_weight, "loss": 1.0}}


def lines(capsys):
    """Returns the first line of each warning."""
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]


def test_collapse_is_said_once_and_only_after_the_warm_up(capsys):
    asked = []

    def rates(step):
        asked.append(step)
        return COLLAPSED if step > 2 else COLLAPSED + 1.0

    watch = CollapseWarning(rates, lambda step: {}, FINAL)
    watch.begin(0)
    watch.epoch(record(1, kl_weight=0.7))
    watch.epoch(record(2))
    assert lines(capsys) == []
    watch.epoch(record(3, kl_weight=0.9999999))
    assert lines(capsys)[0].startswith("warning: 2 of 4 latent units carry less than 0.01 nats")
    watch.epoch(record(4))
    assert lines(capsys) == []
    # Not in the warm-up, and not once it is known.
    assert asked == [2, 3]
    watch.close()


def test_a_capacity_that_still_rises_is_a_warm_up_too(capsys):
    watch = CollapseWarning(lambda step: COLLAPSED, lambda step: {}, {**FINAL, "capacity": 25.0})
    for capacity, said in ((5.0, 0), (25.0, 1)):
        rising = record(1)
        rising["train"]["capacity"] = capacity
        watch.epoch(rising)
        assert len(lines(capsys)) == said


def test_dead_units_are_said_once_during_the_warm_up_too(capsys):
    watch = CollapseWarning(lambda step: None, lambda step: DEAD if step > 1 else {}, FINAL)
    watch.epoch(record(1, kl_weight=0.5))
    assert lines(capsys) == []
    watch.epoch(record(2, kl_weight=0.5))
    watch.epoch(record(3))
    (line,) = lines(capsys)
    assert line.startswith("warning: 97 of 128 relu units of encoder/dense_0")


@pytest.mark.parametrize(
    ("rates", "is_bad"), [([1.0, 0.0099], True), ([1.0, 0.0101], False), ([1.0, 1.0, 0.0], False)]
)
def test_half_of_the_units_make_a_collapse(rates, is_bad):
    assert bool(describe_collapsed(np.array(rates))) == is_bad


@pytest.mark.parametrize(("count", "is_bad"), [(75, True), (74, False)])
def test_three_quarters_of_a_layer_make_a_warning(count, is_bad):
    assert bool(describe_dead({"a": (count, 100), "b": (0, 4)})) == is_bad


def test_warnings_name_the_remedies_in_80_columns():
    collapsed = describe_collapsed(COLLAPSED)
    dead = describe_dead({**DEAD, "encoder/dense_1/value": (400, 500)})
    assert all(len(line) <= 80 for text in (collapsed, dead) for line in text.splitlines())
    for remedy in ("--kl_schedule=linear", "--kl_weight", "--learning_rate"):
        assert remedy in collapsed
    # The worst layer is named.
    assert "400 of 500 relu units of encoder/dense_1/value" in dead
    assert "1 more layer" in " ".join(dead.split())
    assert "--activation=silu" in dead
