"""tools/conformance_table.py on reports made by hand."""

import pathlib
import subprocess
import sys

TOOL = pathlib.Path(__file__).parents[1] / "tools" / "conformance_table.py"
NAME = "test_eager_traced_and_compiled_steps_agree"
REST = "relu-sum"


def write_report(path, cases):
    bodies = {True: "", False: "<failure message='far'>apart</failure>"}
    text = "".join(
        f'<testcase name="{NAME}[{values}-{REST}]">{bodies[passed]}</testcase>'
        for values, passed in cases.items()
    )
    path.write_text(
        f'<testsuites><testsuite>{text}<testcase name="another"/></testsuite></testsuites>'
    )
    return str(path)


def run(*args):
    return subprocess.run(
        [sys.executable, TOOL, *args], capture_output=True, text=True, check=False
    )


def test_cells_count_what_passed_and_failures_are_named(tmp_path):
    first = write_report(
        tmp_path / "1.xml",
        {
            "mlp-iaf-flow-bernoulli-vae-float32": True,
            "mlp-iaf-flow-gaussian-conditional-float32": False,
            "conv-iaf-flow-gaussian-vae-float32": False,
        },
    )
    second = write_report(
        tmp_path / "2.xml",
        {
            "conv-iaf-flow-gaussian-vae-float32": True,
            "mlp-diagonal-standard-gaussian-sparse_autoencoder-float16": True,
        },
    )
    page = tmp_path / "page.md"
    result = run(str(page), first, second)
    assert result.returncode == 0, result.stderr
    text = page.read_text()
    assert "4 cases, 3 passed" in text
    assert "| posterior | prior | conv float32 | mlp float16 | mlp float32 |" in text
    assert "| iaf | flow | 1 of 1 | not run | 1 of 2 |" in text
    assert "| sparse autoencoder | - | not run | 1 of 1 | not run |" in text
    assert f"- `mlp-iaf-flow-gaussian-conditional-float32-{REST}`" in text
    assert text.count("- `") == 1


def test_a_report_of_other_tests_is_refused(tmp_path):
    report = write_report(tmp_path / "1.xml", {})
    result = run(str(tmp_path / "page.md"), report)
    assert result.returncode == 1
    assert "found none" in result.stderr
    assert not (tmp_path / "page.md").exists()
