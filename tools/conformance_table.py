"""Writes the table of the conformance product from the JUnit reports of its runs.

python tools/conformance_table.py docs/conformance.md mlp.xml conv.xml resnet.xml

Of a case that stands in several reports the last counts. The page has the commands of the runs.
"""

import collections
import sys
import xml.etree.ElementTree

TEST = "test_eager_traced_and_compiled_steps_agree"
# The first values of a case's name.
FACTORS = ("network", "posterior", "prior", "likelihood", "model", "precision")

INTRODUCTION = """# Conformance

What `tests/conformance_product_test.py` found: one training step of every combination of network,
posterior, prior, likelihood and precision that the settings allow, of VAEs and sparse autoencoders,
run eagerly, traced by `tf.function` and compiled by XLA. In each, all terms are finite, every
variable has a part in the loss, and the three ways give the same terms and gradients within
rounding. All other choices (conditional or not, scales, activations, normalisation, schedules,
bounds and estimators of the KL, corruption, binarisation, image sizes) vary from case to case at
random; the ordinary tests have every pair of all of these. In float32 the ways have to agree with
the first initial weights tried; in bfloat16 and float16 with one of four, as rounding alone may
take a unit over the kink of its activation.

```
for network in mlp conv resnet; do
  pytest tests/conformance_product_test.py -m slow -n 2 --dist load -k "$network-" \\
    --junitxml=$network.xml
done
python tools/conformance_table.py docs/conformance.md mlp.xml conv.xml resnet.xml
```

A run a network, because a process keeps all that it has compiled: after some 190 cases it has as
many memory maps as Linux allows (65,530), and crashes.
"""


def read_results(paths):
    """Returns {values of `FACTORS`: [whether each case of them passed]} of JUnit reports."""
    passed = {}
    for path in paths:
        for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
            name, bracket, values = case.get("name").partition("[")
            if name != TEST or not bracket or case.find("skipped") is not None:
                continue
            is_bad = case.find("failure") is not None or case.find("error") is not None
            passed[values.removesuffix("]")] = not is_bad
    results = collections.defaultdict(list)
    for values, is_good in passed.items():
        results[tuple(values.split("-")[: len(FACTORS)])].append(is_good)
    return passed, results


def format_table(passed, results):
    """Returns the page: a row a pair of distributions, a column a network and precision."""
    columns = sorted({(values[0], values[5]) for values in results})
    rows = sorted({_row(values) for values in results})
    lines = [
        f"{len(passed)} cases, {sum(passed.values())} passed. A cell has the likelihoods that "
        "passed, of those tried.",
        "",
        "| posterior | prior | " + " | ".join(" ".join(column) for column in columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for row in rows:
        cells = []
        for column in columns:
            found = [
                is_good
                for values, cases in results.items()
                if _row(values) == row and (values[0], values[5]) == column
                for is_good in cases
            ]
            cells.append(f"{sum(found)} of {len(found)}" if found else "not run")
        lines.append(f"| {row[0]} | {row[1]} | " + " | ".join(cells) + " |")
    failures = sorted(values for values, is_good in passed.items() if not is_good)
    if failures:
        lines += ["", "Failed:", "", *(f"- `{values}`" for values in failures)]
    return "\n".join([INTRODUCTION, *lines]) + "\n"


def _row(values):
    _, posterior, prior, _, model, _ = values
    return ("sparse autoencoder", "-") if model == "sparse_autoencoder" else (posterior, prior)


def main(argv):
    if len(argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    page, *reports = argv
    passed, results = read_results(reports)
    if not passed:
        print(f"{', '.join(reports)}: expected cases of {TEST}, found none", file=sys.stderr)
        return 1
    with open(page, "w", encoding="utf-8") as file:
        file.write(format_table(passed, results))
    print(f"{page}: {len(passed)} cases, {sum(passed.values())} passed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
