"""50,000 steps with summaries and checkpoints: memory, step time and open files stay the same."""

import json
import os
import statistics
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

STEPS = 50_000
# 250 steps per epoch.
FLAGS = ("--shapes_examples=600", "--validation_size=100", "--batch_size=2", "--steps_per_loop=5")
FLAGS += ("--checkpoint_every=250", "--export_dir=")
EPOCHS = 200


def resident_kb(pid):
    return (
        int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    )


def saved_step(run):
    steps = [int(path.stem[5:]) for path in (run / "ckpt").glob("ckpt-*.index")]
    return max(steps, default=0)


def test_a_long_run(runs, tmp_path, count):
    flags = [
        flag for flag in runs.flags if flag.split("=")[0] not in {f.split("=")[0] for f in FLAGS}
    ]
    flags = [flag for flag in flags if not flag.startswith("--epochs")]
    flags += [*FLAGS, f"--train_steps={STEPS}"]
    program = runs.start("train", flags, tmp_path)
    run = tmp_path / "runs" / "tiny"
    seen = []  # (step, resident kB, open files, threads)
    while program.is_running():
        try:
            step = saved_step(run)
            files = len(os.listdir(f"/proc/{program.pid}/fd"))
            threads = len(os.listdir(f"/proc/{program.pid}/task"))
            seen.append((step, resident_kb(program.pid), files, threads))
        except (FileNotFoundError, IndexError, ValueError):
            break
        time.sleep(0.5)
    outcome = program.finish()
    assert outcome.code == 0, outcome.err
    assert "retracing" not in outcome.err
    # From the first thousand steps to the last; then the figures are drawn, which need memory.
    trained = [row for row in seen if 1000 <= row[0] < STEPS]
    tenth = len(trained) // 10
    assert tenth > 3
    first, last = (
        statistics.median(row[1] for row in rows) for rows in (trained[:tenth], trained[-tenth:])
    )
    files = sorted({row[2] for row in trained})
    history = json.loads((run / "metrics.json").read_text())["history"]
    seconds = [record["seconds"] for record in history]
    # Of each tenth of the run the fastest epoch: other programs make the rest slower.
    part = len(seconds) // 10
    fastest = [min(seconds[i * part : (i + 1) * part]) for i in range(10)]
    milliseconds = [1000 * value / 250 for value in fastest]
    count(
        f"soak, {STEPS} steps",
        resident_kb_first=int(first),
        resident_kb_last=int(last),
        growth_percent=f"{100 * (last / first - 1):.2f}",
        step_ms_first_half=f"{statistics.median(milliseconds[1:5]):.3f}",
        step_ms_second_half=f"{statistics.median(milliseconds[5:]):.3f}",
        open_files=files,
        threads=sorted({row[3] for row in trained}),
    )
    assert last / first < 1.02
    # A checkpoint being written is open for a moment.
    assert statistics.mode(row[2] for row in trained[:tenth]) == statistics.mode(
        row[2] for row in trained[-tenth:]
    )
    assert statistics.median(milliseconds[5:]) < 1.15 * statistics.median(milliseconds[1:5])
    assert len(history) == EPOCHS
