import runpy

import vae_lowlevel.__main__
from vae_lowlevel import cli


def test_every_program_is_listed_and_exists(capsys):
    runpy.run_path(vae_lowlevel.__main__.__file__, run_name="__main__")
    shown = capsys.readouterr().out
    lines = [line.split()[0] for line in shown.splitlines()[2:] if line and not line[0].isupper()]
    assert lines == ["train", "evaluate", "visualize", "report", "inference", "export"]
    assert shown == vae_lowlevel.__main__.PROGRAMS + "\n"


def test_a_group_of_flags_is_explained_on_the_command_line(capsys):
    from vae_lowlevel.config import Config

    assert cli.main("Usage: me", Config, lambda _: None, ["--help=optimizer"]) == 0
    assert "--learning_rate " in capsys.readouterr().out
    assert cli.main("Usage: me", Config, lambda _: None, ["--help=nothing"]) == 2
    assert "expected all, a group (" in capsys.readouterr().err
