"""Mutated flagfiles and command lines: settings, or one clear error that names the flag."""

import pathlib
import random
import re
import time
import unicodedata

import pytest

from vae_lowlevel.config import Config, flags
from vae_lowlevel.errors import ConfigError, RunError

ROOT = pathlib.Path(flags.__file__).parents[2]
FLAGFILES = [path.read_bytes() for path in sorted((ROOT / "flags").glob("*.cfg"))]
FLAGFILES += [flags.format_flagfile(Config()).encode()] * len(FLAGFILES)
NAMES = [*Config().to_flat(), "flagfile", "undefok", "lr", "beta", "help", "no", ""]
VALUES = [
    *("", " ", "0", "1", "-1", "2", "1e3", "nan", "inf", "-inf", "1e400", "1e-400", "0x10", "1_0"),
    *(
        "true",
        "maybe",
        "None",
        "a\nb",
        "a\0b",
        "\x1b[2J",
        "\udce9",
        "\u2028",
        "\ufeff1",
        "\uff11\uff12",
    ),
    *(str(10**20), str(2**31), str(2**63), "9" * 5000, "x" * 100_000, "1," * 2000, ",", "1,,2"),
    *("mnist", "npz:", "npz:a/../b", "records:*", "folder:/", "resnet", "flow", "iaf", "3-2"),
    *("/", ".", "~", "~nobody/x", "/dev/null", "/dev/zero", "a" * 300, "grpc://a:99999", "=", "--"),
]
MOST_SECONDS = 1.0


def mutated_words(random_, path):
    """Returns a command line of a few flags, some of them damaged."""
    words = []
    for _ in range(random_.randint(1, 5)):
        name, value = random_.choice(NAMES), random_.choice(VALUES)
        if random_.random() < 0.2:
            at = random_.randrange(len(name) + 1)
            name = name[:at] + random_.choice(["", "s", "-", " ", "\n", "é", "\0"]) + name[at + 1 :]
        dashes = random_.choice(["--", "--", "--", "-", "", "---", "--no"])
        words += random_.choice([[f"{dashes}{name}={value}"], [dashes + name, value], [value]])
    if random_.random() < 0.3:
        words.insert(random_.randrange(len(words)), f"--flagfile={path}")
    return words


def mutated_bytes(random_, content, path):
    """Returns the content of a flagfile with one to three kinds of damage."""
    content = bytearray(content)
    for _ in range(random_.randint(1, 3)):
        start = random_.randrange(len(content) + 1)
        end = min(len(content), start + random_.randint(0, 40))
        kind = random_.randrange(8)
        if kind == 0 and content:
            content[start % len(content)] ^= 1 << random_.randrange(8)
        elif kind == 1:
            del content[start:]
        elif kind == 2:
            del content[start:end]
        elif kind == 3:
            content[start:start] = content[start:end] * random_.choice([1, 2, 1000])
        elif kind == 4:
            content[start:end] = bytes(end - start)
        elif kind == 5:
            content[start:start] = random_.randbytes(random_.randint(1, 20))
        elif kind == 6:
            line = f"\n--{random_.choice(NAMES)}={random_.choice([*VALUES, path])}\n"
            content[start:start] = line.encode(errors="surrogateescape")
        else:
            text = content.decode(errors="replace")
            content = bytearray(text.encode(random_.choice(["utf-16", "utf-8-sig", "utf-32"])))
    return bytes(content)


def check_answer(read, *arguments):
    """Reads settings; returns whether they were accepted."""
    begin = time.perf_counter()
    try:
        assert isinstance(read(*arguments), Config)
        is_accepted = True
    except (ConfigError, RunError) as error:
        text = str(error)
        assert re.search(r"-\w|flagfile|flags\.cfg|not a flag|no flag --", text), text
        assert len(text) < 1500
        assert text.count("\n") < 3, text
        assert not any(unicodedata.category(c) == "Cc" for c in text.replace("\n", "")), text
        is_accepted = False
    assert time.perf_counter() - begin < MOST_SECONDS
    return is_accepted


def campaign(folder, seeds):
    """Returns how many cases were accepted."""
    path = folder / "flags.cfg"
    accepted = 0
    for seed in seeds:
        random_ = random.Random(seed)
        path.write_bytes(random_.choice(FLAGFILES))
        if seed % 2:
            words = mutated_words(random_, path)
        else:
            path.write_bytes(mutated_bytes(random_, path.read_bytes(), path))
            words = [f"--flagfile={path}", *random_.choice([[], ["--latent_dim=3"]])]
            check_answer(flags.read_flagfile, str(path))
        try:
            accepted += check_answer(flags.parse, words, Config)
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {words!r:.2000}") from error
    return accepted


def test_mutated_flags_are_answered(tmp_path):
    assert campaign(tmp_path, range(300)) > 5


@pytest.mark.faults
def test_many_mutated_flags_are_answered(tmp_path, count):
    cases = 4000
    accepted = campaign(tmp_path, range(1000, 1000 + cases))
    count("mutated flags", cases=cases, accepted=accepted, refused=cases - accepted)
