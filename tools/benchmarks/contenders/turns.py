"""The protocol of all contenders: each is a process that trains when it is its turn.

A contender reads its case from the file that its argument names and writes one line of JSON when it
is ready. Each line that it then reads is a number of seconds: it trains for about that long and
answers with one line of JSON. Between its turns it waits and uses no processor time. Standard
output is for these lines only; what a framework prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

TRIAL_SECONDS = 1.0

# steps -> (images, seconds, loss of the last steps).
Run = Callable[[int], tuple[int, float, float]]


class Contender(NamedTuple):
    """One way to train the network.

    Attributes:
        run: trains for a number of steps, a multiple of `block`.
        parameters: number of trained parameters.
        block: the fewest steps of a run.
    """

    run: Run
    parameters: int
    block: int


def timed(train: Callable[[int], float], batch_size: int) -> Run:
    """Returns a run from train(steps) -> loss, which must return after its last step is done."""

    def run(steps: int) -> tuple[int, float, float]:
        start = time.perf_counter()
        loss = train(steps)
        return steps * batch_size, time.perf_counter() - start, loss

    return run


def take_turns(build: dict[str, Callable[[dict[str, Any]], Contender]]) -> None:
    """Chooses the fastest of several settings, then trains in it, one turn per line of input.

    Args:
        build: for each setting, a function from the case to a contender.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with open(sys.argv[1], encoding="utf-8") as file:
        case = json.load(file)
    if case["is_quick"]:
        build = dict(list(build.items())[:1])
    contenders, trials = {}, {}
    for setting, make in build.items():
        contender = make(case)
        contender.run(contender.block)  # Compiles.
        contenders[setting] = contender
        if len(build) > 1:
            seconds = min(TRIAL_SECONDS, case["seconds"])
            trials[setting] = measure(contender, seconds, None)[0]["images_per_second"]
    setting = max(trials, key=trials.get, default=setting)
    contender = contenders.pop(setting)
    contenders.clear()
    ready = {
        "setting": setting,
        "parameters": contender.parameters,
        "trials": trials,
    }
    print(json.dumps(ready), file=answers, flush=True)
    steps_per_second = None
    for line in sys.stdin:
        answer, steps_per_second = measure(contender, float(line), steps_per_second)
        print(json.dumps(answer), file=answers, flush=True)


def measure(
    contender: Contender, seconds: float, steps_per_second: float | None
) -> tuple[dict[str, Any], float]:
    """Trains for about `seconds`, in one run if the speed is known.

    Returns:
        The answer, and the speed in steps per second for the next turn.
    """
    is_known = steps_per_second is not None
    blocks = max(1, round(seconds * steps_per_second / contender.block)) if is_known else 1
    steps = blocks * contender.block
    start = time.perf_counter()
    images, elapsed, loss = contender.run(steps)
    speed = steps / (time.perf_counter() - start)
    if not is_known and steps / speed < seconds:
        return measure(contender, seconds, speed)
    return {"images_per_second": images / elapsed, "seconds": elapsed, "loss": loss}, speed
