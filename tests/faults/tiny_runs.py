"""Tiny runs of the package's programs, with faults; and whether two runs ended the same.

`Runs` starts programs in forks of one process that has imported TensorFlow (`run_server.py`), below
a library that counts file operations (`file_operations.c`).
"""

import dataclasses
import functools
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
# What every fault must end in: an exit code of these, and no traceback.
DOCUMENTED = {0, 1, 2, 75, 130}

# Shapes 16 x 16, 8 steps in 2 epochs; a checkpoint every second step, two of which are kept.
TRAIN = (
    "--dataset=shapes",
    "--image_size=16",
    "--shapes_examples=100",
    "--validation_size=20",
    "--latent_dim=2",
    "--network=mlp",
    "--encoder_units=4",
    "--decoder_units=4",
    "--jit_compile=false",
    "--batch_size=20",
    "--epochs=2",
    "--steps_per_loop=2",
    "--checkpoint_every=2",
    "--max_to_keep=2",
    "--ema_decay=0.9",
    "--intra_op_threads=1",
    "--model_dir=runs/tiny",
)
STEPS = 8
# Parts of the names of what a process is about to write, or holds while it runs.
LEFTOVERS = (".partial", "_temp/", ".tmp", ".tempstate", ".publishing", "lock")


@dataclasses.dataclass(frozen=True)
class Fault:
    """What the library does below the folders `runs` and `saved_models`.

    Attributes:
        action: one of the names of `ACTIONS`.
        at: the operation, from 1; for `fail_after_bytes`, how much may be written.
        number: the signal or errno.
        log: a file that lists the operations; "" for none.
        folders: below which it does it.
    """

    action: str = "nothing"
    at: int = 0
    number: int = 0
    log: str = ""
    folders: tuple[str, ...] = ("runs", "saved_models")


# In the order of the library.
ACTIONS = ("nothing", "signal_once", "signal_each", "fail_once", "fail_from", "fail_after_bytes")
ACTIONS += ("fail_reads",)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a program ended: exit code (-9 for SIGKILL), what it printed, seconds."""

    code: int
    out: str
    err: str
    seconds: float
    processor_seconds: float = 0.0

    def complaint(self):
        """Returns what is wrong with this as the answer to a fault; "" for nothing."""
        text = self.out + self.err
        if "Traceback" in text:
            return f"traceback, exit {self.code}: {self.err.strip()[-300:]}"
        if self.code not in DOCUMENTED:
            return f"exit code {self.code}: {self.err.strip()[-300:]}"
        if self.code and not self.err.strip():
            return f"exit code {self.code} without a word"
        return ""


def build_library(folder):
    """Compiles `file_operations.c`; returns its path, or None without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        return None
    path = str(Path(folder) / "file_operations.so")
    source = str(HERE / "file_operations.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", path, source, "-ldl"], check=True)
    return path


class Runs:
    """Starts programs in forks of one server process."""

    def __init__(self, folder, library):
        self.library = library
        self.flags = TRAIN
        self._socket = str(Path(folder) / "server")
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": _package_folder()}
        environment |= {"MPLBACKEND": "agg", "OPENBLAS_NUM_THREADS": "1"}
        if library:
            environment["LD_PRELOAD"] = library
        lesson = {"program": "train", "flags": TRAIN, "cwd": str(folder), "fault": None}
        lesson |= {"out": os.devnull, "err": os.devnull, "replay": False, "environment": {}}
        server = [str(HERE / "run_server.py"), self._socket, library or "", json.dumps(lesson)]
        self._server = subprocess.Popen(
            [sys.executable, *server],
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        while not os.path.exists(self._socket):
            if self._server.poll() is not None:
                raise RuntimeError("the server of runs did not start")
            time.sleep(0.05)

    def close(self):
        """Ends the server; programs that still run end by themselves."""
        self._server.kill()
        self._server.wait()

    def start(
        self, program, flags, cwd, *, fault=None, replay=False, environment=None, limits=None
    ):
        """Starts a program in the folder `cwd`; returns a `Program`."""
        cwd = Path(cwd)
        stream = cwd.parent / f".{cwd.name}-{time.monotonic_ns()}"
        described = None
        if fault is not None:
            described = {**dataclasses.asdict(fault), "action": ACTIONS.index(fault.action)}
            described["folders"] = [str(cwd / name) for name in fault.folders]
        task = {"program": program, "flags": list(flags), "cwd": str(cwd), "fault": described}
        task |= {"out": f"{stream}.out", "err": f"{stream}.err", "replay": replay}
        task |= {"environment": environment or {}}
        return Program(self._socket, task)

    def run(self, program, flags, cwd, **keywords):
        """Runs a program to its end; returns the `Outcome`."""
        return self.start(program, flags, cwd, **keywords).finish()

    def kill_when(self, cwd, predicate):
        """Trains until `predicate()` is true before an operation on a file, and kills it there."""
        fault = Fault("signal_each", number=signal.SIGSTOP)
        program = self.start("train", self.flags, cwd, fault=fault)
        for _ in program.stops():
            if predicate():
                program.send(signal.SIGKILL)
        assert program.finish().code == -signal.SIGKILL

    def train(self, cwd, *flags, **keywords):
        """Trains the tiny run."""
        return self.run("train", (*TRAIN, *flags), cwd, **keywords)


class Program:
    """A program that runs in a fork of the server.

    Attributes:
        pid: of its process.
    """

    def __init__(self, address, task):
        self._task = task
        self._start = time.monotonic()
        self._code = None
        self._processor_seconds = 0.0
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(address)
        self._connection.settimeout(120)
        self._lines = self._connection.makefile("rw")
        self._say(task)
        self.pid = self._read()["pid"]

    def send(self, number):
        """Sends a signal, if the process still runs."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def is_running(self):
        """Returns whether the process exists and has not ended."""
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state != "Z"

    def printed(self):
        """Returns what it printed so far."""
        return Path(self._task["out"]).read_text(errors="replace")

    def stops(self):
        """Yields each time the process has stopped, and lets it continue; ends as it ends."""
        while self._code is None:
            event = self._read()
            self._code = event.get("code")
            self._processor_seconds = event.get("processor_seconds", 0.0)
            if self._code is None:
                yield
                self._say({})

    def finish(self):
        """Waits for the end; returns the `Outcome`."""
        try:
            for _ in self.stops():
                pass
        except TimeoutError:
            self.send(signal.SIGKILL)
            self._code = 999
        seconds = time.monotonic() - self._start
        self._connection.close()
        texts = []
        for name in ("out", "err"):
            texts.append(Path(self._task[name]).read_text(errors="replace"))
            os.unlink(self._task[name])
        return Outcome(self._code, *texts, seconds, self._processor_seconds)

    def _say(self, content):
        self._lines.write(json.dumps(content) + "\n")
        self._lines.flush()

    def _read(self):
        return json.loads(self._lines.readline() or '{"code": 998}')


def _package_folder():
    import vae_lowlevel

    return str(Path(vae_lowlevel.__file__).parents[1])


def difference(whole, found, *, with_answers=False):
    """Compares a run with an unbroken one; returns the first difference, "" for none.

    Args:
        whole: folder that has `runs/tiny` and `saved_models/tiny` of the unbroken run.
        found: likewise.
        with_answers: also load both exports and compare what they answer.
    """
    wanted = _whole_content(Path(whole))
    try:
        seen = _content(Path(found))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        return f"cannot be read: {error!r}"
    if with_answers and (_answers(whole) != _answers(found)):
        return "the exports answer differently"
    for name in sorted(set(wanted) | set(seen)):
        if name not in seen:
            return f"{name} is missing"
        if name not in wanted:
            return f"{name} is there"
        if wanted[name] != seen[name]:
            return f"{name} differs: {str(wanted[name])[:200]} / {str(seen[name])[:200]}"
    return left_behind(found)


def left_behind(folder):
    """Returns what a finished run should not have left in its folders; "" for nothing."""
    names = [
        str(path.relative_to(folder)) + "/" * path.is_dir()
        for path in Path(folder).rglob("*")
        if "request_examples" not in path.parts
    ]
    strange = [name for name in names if any(part in name for part in LEFTOVERS)]
    return f"left behind: {strange}" if strange else ""


@functools.cache
def _whole_content(folder):
    return _content(folder)


def _content(folder):
    """Returns what has to be equal bit for bit, by name."""
    run, export = folder / "runs" / "tiny", folder / "saved_models" / "tiny"
    content = {}
    for kind in ("ckpt", "best"):
        content |= {f"{kind}/{name}": value for name, value in variables(run / kind).items()}
        content[f"{kind}/"] = _names(run / kind)
    content["run/"] = _names(run)
    for path in sorted((run / "figures").iterdir()):
        content[f"figures/{path.name}"] = _digest(path)
    content |= {f"metrics/{k}": v for k, v in _without_times(run / "metrics.json").items()}
    with np.load(run / "anomaly_scores.npz") as scores:
        content |= {f"anomaly_scores/{name}": scores[name].tobytes() for name in scores.files}
    if export.exists():
        content["export/"] = _names(export)
        for name, value in _exported(export / "1").items():
            content[f"export/{name}"] = value
    return content


def variables(folder):
    """Returns the bytes of every variable of the latest checkpoint; not the number of saves."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(folder))
    return {
        name: reader.get_tensor(name).tobytes()
        for name in reader.get_variable_to_shape_map()
        if name.endswith("VARIABLE_VALUE") and "save_counter" not in name
    }


def _without_times(path):
    metrics = json.loads(path.read_text())
    times = ("seconds", "train_seconds", "images_per_second", "train")

    def cleaned(value):
        if isinstance(value, dict):
            return {k: cleaned(v) for k, v in value.items() if k not in times or k == "train"}
        return [cleaned(v) for v in value] if isinstance(value, list) else value

    return cleaned(metrics)


def _names(folder):
    """Returns the names in a folder; not of damaged files that were set aside."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".damaged"))


def _exported(version):
    """Returns the files and the variables of an export.

    The file of the graph holds names that depend on the order in which functions are traced.
    """
    import tensorflow as tf

    content = {"files": sorted(str(path.relative_to(version)) for path in version.rglob("*"))}
    reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    for name in reader.get_variable_to_shape_map():
        if name.endswith("VARIABLE_VALUE"):
            content[name] = reader.get_tensor(name).tobytes()
    return content


def _answers(folder):
    """Returns what the export of a run decodes."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(Path(folder) / "saved_models" / "tiny" / "1"))
    answer = loaded.signatures["decode"](z=tf.constant([[0.5, -1.0]]))
    return {name: value.numpy().tobytes() for name, value in answer.items()}


def check_results(count, what, results, **counts):
    """Counts and shows what was found; results: description -> what is wrong, "" for nothing."""
    wrong = [f"{name}: {complaint}" for name, complaint in results.items() if complaint]
    count(what, cases=len(results), failed=len(wrong), **counts)
    assert not wrong, "\n".join(wrong)


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def copy_state(cwd, target):
    """Copies the folders `runs` and `saved_models` as they are; returns the copy."""
    Path(target).mkdir(parents=True)
    for name in ("runs", "saved_models"):
        if (Path(cwd) / name).exists():
            shutil.copytree(Path(cwd) / name, Path(target) / name, symlinks=True)
    return Path(target)


def tree(folder):
    """Returns the content of every file, by path; None for a folder. Without lock files."""
    return {
        str(path.relative_to(folder)): _digest(path) if path.is_file() else None
        for path in sorted(Path(folder).rglob("*"))
        if "lock" not in path.name
    }


def state_key(folder):
    """Returns a digest of what a program can find in a folder.

    What is never read does not count: the content of summaries, of temporary files, and of exports
    that are not published yet. Random parts of names do not count either.
    """
    found = set()
    for path in sorted(Path(folder).rglob("*")):
        name = re.sub(r"[0-9a-f]{16,}|tempstate\d+|events.*", "*", str(path.relative_to(folder)))
        if ".publishing" in name:
            found.add(".publishing")
        elif path.is_dir() or any(part in name for part in ("summaries", *LEFTOVERS)):
            found.add(name)
        else:
            found.add(f"{name} {_digest(path)}")
    return frozenset(found)
