import os
import re
import shutil

import numpy as np
import pytest

from vae_lowlevel import report
from vae_lowlevel.cli import main
from vae_lowlevel.config.report import ReportOptions
from vae_lowlevel.experiment.folder import RunFolder


def call(*words):
    return main(report.__doc__, ReportOptions, report.run, [*words, "--tensorflow_log"])


MEASURED = {
    "step": 10,
    "best_epoch": 1,
    "train_seconds": 2.0,
    "images_per_second": 100.0,
    "test": {"elbo": -20.5, "latents": [{"min": 0.0}]},
    "history": [{"epoch": 1}],
    "versions": {"tensorflow": "2.21.0"},
}


@pytest.fixture
def run(tiny_run, tmp_path):
    """A run folder with metrics and a figure, as at the end of a run."""
    folder = RunFolder(str(shutil.copytree(tiny_run, tmp_path / "run")))
    folder.write_metrics(MEASURED)
    os.makedirs(folder.figures, exist_ok=True)
    (tmp_path / "run" / "figures" / "samples.png").write_bytes(b"\x89PNG")
    return tmp_path / "run"


def test_the_report_shows_what_was_measured_and_drawn_since(run, capsys):
    folder = RunFolder(str(run))
    folder.update_metrics({"likelihood": {"nll": 12.25, "bounds": {"1": -13.5}}})
    shutil.copy(folder.figure("samples"), folder.figure("interpolations"))
    assert call(f"--model_dir={run}") == 0
    assert capsys.readouterr().out == f"{folder.report}\n"
    page = (run / "report.html").read_text()
    assert "<caption>likelihood</caption>" in page
    assert "<td>12.2500</td>" in page
    assert "<td>-20.5000</td>" in page
    assert "1 epochs, 10 steps in 2 s" in page
    assert ">bounds.1</th><td>-13.5000</td>" in page
    assert 'id="figure-interpolations"' in page
    assert "latent_explorer" not in page


def test_the_explorer_is_written_next_to_the_report_and_linked(run):
    assert call(f"--model_dir={run}", "--explorer") == 0
    assert (run / "latent_explorer.html").stat().st_size > 10_000
    assert 'href="latent_explorer.html"' in (run / "report.html").read_text()


def test_a_run_that_is_not_finished_has_no_report(run, capsys):
    os.remove(run / "metrics.json")
    assert call(f"--model_dir={run}") == 1
    assert re.search("expected a finished run, found no test metrics", capsys.readouterr().err)


def test_a_folder_is_needed(capsys):
    assert call() == 2
    assert "--model_dir is needed" in capsys.readouterr().err
    assert call(f"--model_dir={np.pi}") == 1
