"""tools/conformance_table.py on reports made by hand."""

import json
import pathlib
import subprocess
import sys

TOOL = pathlib.Path(__file__).parents[1] / "tools" / "conformance_table.py"
NAME = "test_step_is_that_of_float32"
REST = "relu-sum"
ALLOWED = {"term": 10, "angle": 8, "norm": 6, "variable": 40, "median": 4}


def properties(kind, **ways):
    values = {"kind": kind, "allowed": json.dumps(ALLOWED)}
    values |= {way: json.dumps(differences) for way, differences in ways.items()}
    items = "".join(f"<property name='{name}' value='{values[name]}'/>" for name in values)
    return f"<properties>{items}</properties>"


def write_report(path, cases):
    """Writes {name of a case: (whether it passed, properties)}."""
    failure = {True: "", False: '<failure message="far">apart</failure>'}
    text = "".join(
        f'<testcase name="{NAME}[{name}-{REST}]">{text}{failure[passed]}</testcase>'
        for name, (passed, text) in cases.items()
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
            "mlp-iaf-flow-bernoulli-vae-float32": (True, ""),
            "mlp-iaf-flow-gaussian-conditional-float32": (False, ""),
            "conv-iaf-flow-gaussian-vae-float32": (False, ""),
        },
    )
    second = write_report(
        tmp_path / "2.xml",
        {
            "conv-iaf-flow-gaussian-vae-float32": (True, ""),
            "mlp-diagonal-standard-gaussian-sparse_autoencoder-float16": (True, ""),
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
    assert text.count("- `mlp") == 1


def test_largest_differences_are_those_of_all_cases_and_ways(tmp_path):
    small = {"term": 1.0, "angle": 2.0, "norm": 0.5, "variable": 9.0, "median": 1.0}
    kind, case = "bfloat16 with relu", "mlp-iaf-flow-bernoulli-vae-bfloat16"
    report = write_report(
        tmp_path / "1.xml",
        {
            f"{case}-a": (True, properties(kind, eager=small, compiled={**small, "term": 3.25})),
            f"{case}-b": (True, properties(kind, traced={**small, "variable": 20.5, "angle": 4.0})),
            f"{case}-c": (False, properties(kind)),
            f"{case}-d": (True, properties("float16", eager=small)),
        },
    )
    page = tmp_path / "page.md"
    result = run(str(page), report)
    assert result.returncode == 0, result.stderr
    rows = [line for line in page.read_text().splitlines() if " of 10 " in line]
    # 1 - (4 / 256)^2 / 2 and 1 - (8 / 256)^2 / 2; 1 - (2 / 2048)^2 / 2 and 1 - (8 / 2048)^2 / 2.
    assert rows == [
        "| bfloat16 with relu | 2 | 3.25 of 10 | 4 of 8 | 0.5 of 6 | 20.5 of 40 | 1 of 4 "
        "| 0.99988 of 0.99951 |",
        "| float16 | 1 | 1 of 10 | 2 of 8 | 0.5 of 6 | 9 of 40 | 1 of 4 "
        "| 0.99999952 of 0.9999924 |",
    ]


def test_a_report_of_other_tests_is_refused(tmp_path):
    report = write_report(tmp_path / "1.xml", {})
    result = run(str(tmp_path / "page.md"), report)
    assert result.returncode == 1
    assert "found none" in result.stderr
    assert not (tmp_path / "page.md").exists()


def test_a_report_that_is_not_there_is_one_line(tmp_path):
    done = run(str(tmp_path / "page.md"), str(tmp_path / "mlp.xml"))
    assert done.returncode == 1
    assert done.stderr.startswith("no report of pytest --junitxml: ")
    assert done.stderr.count("\n") == 1
