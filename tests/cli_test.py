from __future__ import annotations

import configparser
import dataclasses
import importlib.metadata
import pathlib
import re
import subprocess
import sys
import time

import pytest

from vae_lowlevel import cli
from vae_lowlevel.config import Config
from vae_lowlevel.config.fields import Options, option
from vae_lowlevel.errors import ConfigError, DataError, Interrupted, RunError

ROOT = pathlib.Path(cli.__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Settings(Options):
    """Settings."""

    count: int = option(1, "A count.", at_least=1)
    # On, so that these tests leave the descriptors of their own process alone.
    tensorflow_log: bool = option(True, "Show the log.")


def main(*argv, run=lambda options: None):
    return cli.main("Usage: me", Settings, run, list(argv))


def test_run_gets_the_parsed_options_and_success_is_0():
    seen = []
    assert main("--count=3", run=seen.append) == 0
    assert seen == [Settings(count=3)]


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (ConfigError("batch too large"), 2, "error: batch too large\nSee --help.\n"),
        (DataError("file is damaged"), 1, "error: file is damaged\n"),
        (RunError("no checkpoint"), 1, "error: no checkpoint\n"),
        (Interrupted("stopped at step 7"), 75, "stopped at step 7\n"),
        (
            KeyboardInterrupt(),
            130,
            "Ctrl-C: stopped before the end, with nothing to resume from; run the same command "
            "again\n",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_error_has_its_exit_code_and_one_message(capsys, error, code, shown):
    def run(options):
        raise error

    assert main(run=run) == code
    assert capsys.readouterr() == ("", shown)


def test_other_errors_keep_their_traceback():
    def run(options):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main(run=run)


@pytest.mark.parametrize("argv", [["--count=x"], ["--no_such=1"], ["word"], ["--flagfile=/no/x"]])
def test_bad_flags_are_usage_errors_and_nothing_runs(capsys, argv):
    assert main(*argv, run=lambda options: pytest.fail("ran")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.endswith("\nSee --help.\n")


@pytest.mark.parametrize("flag", ["-h", "-help", "--help", "--helpfull", "--helpshort"])
def test_help_goes_to_stdout_and_nothing_runs(capsys, flag):
    assert main("--no_such=1", flag, run=lambda options: pytest.fail("ran")) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Usage: me\n")
    assert "--count" in out
    assert err == ""


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["--help"], 0),
        (["--latent_dim=x"], 2),
        (["latent_dim=2"], 2),
        (["--epochs=0"], 2),
        (["--init_from=/nowhere"], 1),
        (["--init_from=docs"], 1),
        (["--cluster_resolver=slurm", "--distribution_strategy=multi_worker_mirrored"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_training_answers_help_and_bad_flags_at_once_and_without_tensorflow(argv, code):
    # -X importtime lists every module that was imported, on stderr.
    command = [sys.executable, "-X", "importtime", "-m", "vae_lowlevel.train", *argv]
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        seconds.append(time.perf_counter() - begin)
        if seconds[-1] < 1.5:
            break
    assert done.returncode == code, done.stderr[-2000:]
    imported = {
        line.split("|")[-1].strip() for line in done.stderr.splitlines() if "import time:" in line
    }
    assert "vae_lowlevel.config" in imported
    assert not {name for name in imported if name.split(".")[0].startswith(("tensorflow", "keras"))}
    # The best of three: a busy machine is no failure.
    assert min(seconds) < 1.5
    if code == 0:
        assert "--latent_dim" in done.stdout
    else:
        assert argv[0].lstrip("-").split("=")[0] in done.stderr.split("error: ")[1]


@pytest.mark.parametrize("module", ["train", "evaluate", "export", "inference"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(module):
    missing = ["absl", "tf_keras", "tensorflow", "tensorflow_probability", "numpy"]
    program = (
        "import runpy, sys; sys.modules.update(dict.fromkeys(sys.argv[2].split())); "
        "sys.argv[1:] = ['--no_such=1']; "
        f"runpy.run_module('vae_lowlevel.{module}', run_name='__main__')"
    )
    command = [sys.executable, "-c", program, "", " ".join(missing)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: absl-py is not installed; numpy is not installed; ")
    assert "-m pip install 'absl-py>=2.1' 'numpy>=1.26' 'tensorflow>=2.18'" in line


def test_a_package_that_is_too_old_is_named(capsys, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.9.1")
    assert main(run=lambda options: pytest.fail("ran")) == 1
    error = capsys.readouterr().err
    assert "tensorflow is 2.9.1, expected 2.18 or newer" in error
    assert "'tensorflow>=2.18'" in error
    assert "numpy is" not in error


def test_what_is_left_of_a_removed_package_is_not_taken_for_one(tmp_path, monkeypatch):
    (tmp_path / "left_over" / "python").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(cli, "_PACKAGES", ("left_over: left-over>=1.0",))
    with pytest.raises(RunError, match=r"left-over is not installed.*'left-over>=1\.0'"):
        cli.check_packages()


def test_the_packages_that_are_checked_are_those_of_setup_cfg():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    listed = settings["options"]["install_requires"].split()
    wanted = [re.fullmatch(r"(.*),<[\d.]+", line)[1].replace("[tf]", "") for line in listed]
    assert [line.split(": ")[1] for line in cli._PACKAGES] == wanted


def test_the_constraints_are_within_the_ranges_of_setup_cfg():
    lines = (ROOT / "tools/constraints.txt").read_text().splitlines()
    exact = dict(line.split("==") for line in lines if not line.startswith("#"))
    for line in cli._PACKAGES:
        package, oldest = line.split(": ")[1].split(">=")
        assert cli._numbers(exact[package]) >= cli._numbers(oldest)


def shell(line):
    """Returns exit codes of the commands of a pipe, and stderr; $0 is the interpreter."""
    command = ["bash", "-c", f'{line}; echo "${{PIPESTATUS[@]}}"', sys.executable]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.splitlines()[-1], done.stderr


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("$0 -m vae_lowlevel.train --help | true", "0 0"),
        ("$0 -m vae_lowlevel.train --help | head -1", "0 0"),
        ("$0 -u -m vae_lowlevel.train --help | true", "0 0"),
        ("$0 -m vae_lowlevel.train --no_such 2>&1 | true", "2 0"),
        ("$0 -m vae_lowlevel.train --help >&-", "0"),
        ("$0 -m vae_lowlevel.train --no_such 2>&-", "2"),
    ],
)
def test_a_closed_output_is_no_failure(line, codes):
    assert shell(line) == (codes, "")


PRINTER = """
import os, sys
from vae_lowlevel import cli
from vae_lowlevel.evaluate import EvaluateOptions
def run(options):
    result = os.open(path, os.O_WRONLY | os.O_CREAT)
    assert result > 2
    for number in range(3):
        print("x" * 100_000)
        print("y", file=sys.stderr, flush=True)
        os.write(1, b"from C++")
    os.write(result, b"done")
path = sys.argv.pop()
sys.exit(cli.main("me", EvaluateOptions, run, ["--model_dir=x", "--tensorflow_log"]))
"""


@pytest.mark.parametrize(
    ("ending", "code", "message"),
    [
        ("2>&1 | true", "0 0", ""),
        (">&- 2>&-", "0", ""),
        ("<&- >&-", "0", "y\ny\ny\n"),
        (">/dev/full", "1", "error: the program's output: No space left on device\n"),
    ],
)
def test_a_program_continues_without_its_output_but_not_on_a_full_disk(
    tmp_path, monkeypatch, ending, code, message
):
    monkeypatch.setenv("PRINTER", PRINTER)
    result = tmp_path / "result"
    codes, errors = shell(f'$0 -c "$PRINTER" {result} {ending}')
    assert codes == code
    assert errors == message
    if code != "1":
        assert result.read_bytes() == b"done"


@pytest.mark.parametrize(
    ("argv", "environment", "wanted"),
    [
        (["--tensorflow_log"], {}, False),
        ([], {}, True),
        ([], {"TF_CPP_MIN_LOG_LEVEL": "0"}, False),
    ],
)
def test_filter_is_left_out_when_the_log_is_wanted(monkeypatch, argv, environment, wanted):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    filtered = []
    monkeypatch.setattr(cli, "quiet_tensorflow", lambda: filtered.append(True))
    assert cli.main("Usage: me", Config, lambda config: None, argv) == 0
    assert bool(filtered) == wanted


WITHOUT_KERAS = """
import sys
from vae_lowlevel import cli
from vae_lowlevel.config.visualize import VisualizeOptions

def run(options):
    import tensorflow_probability as tfp

    tfp.distributions.Normal(0.0, 1.0)
    print("tf_keras" in sys.modules, "keras" in sys.modules)

sys.exit(cli.main("", VisualizeOptions, run, ["--model_dir=x"]))
"""


@pytest.mark.long
def test_a_program_starts_without_importing_keras():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_KERAS], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "False"]
