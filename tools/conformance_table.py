"""Writes docs/conformance.md from the JUnit reports of the conformance product.

python tools/conformance_table.py docs/conformance.md mlp.xml conv.xml resnet.xml

A case that is in several reports counts as in the last one. The page has the commands of the runs.
"""

import collections
import json
import math
import sys
import xml.etree.ElementTree

TEST = "test_step_is_that_of_float32"
# The first values in the name of a case.
FACTORS = ("network", "posterior", "prior", "likelihood", "model", "precision")
WAYS = ("eager", "traced", "compiled")
# Unit round-off of each precision.
UNIT = {"float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}

INTRODUCTION = """# Conformance

`tests/conformance_product_test.py` runs one training step of every combination of network,
posterior, prior, likelihood and precision that the settings allow, for VAEs and sparse
autoencoders: eagerly, traced by `tf.function`, and compiled by XLA. This page has its results.

All other settings (labels, kinds of scales, activations, normalization, schedules, bounds and
estimators of the KL, corruption, binarization, image sizes) vary at random from case to case. The
ordinary tests and the longer ones cover every pair of values of all of these settings
(`python -m pytest -m "not slow and not faults" tests/conformance_test.py`).

## What is checked

Each step is compared with the eager float32 step of the same weights, images and noise. There is
one set of weights per case, and no second try. A step passes if

- all terms and gradients are finite, and every variable has a gradient;
- every term of the objective (loss, ELBO, distortion, rate, squared error, ...) is close over the
  batch: `||a - b|| / ||b||`;
- the gradient of all variables together has nearly the same direction (cosine) and norm;
- the gradient of every variable is close, `||a - b|| / ||b||`, and the median over the variables
  is closer still;
- in bfloat16 and float16, the layer before the posterior, the posterior, the KL and the likelihood
  are computed in float32.

Two details of the comparison: a term of less than 1 nat is compared with 1 nat, and the gradient of
a variable with at least 1% of the norm of the whole gradient.

## Bounds

The unit is u, the unit round-off of the format, which is the largest relative error of rounding
once: 2^-8 in bfloat16, 2^-11 in float16, 2^-24 in float32. A bound is about twice the largest
difference of all cases of the product. Where a unit of a relu (of a hidden layer, or of a sparse
code) is within rounding of 0, rounding turns it on or off. This changes the gradient by about the
square root of u rather than by u, so cases with a relu have their own bounds.

`tests/conformance_mutation_test.py` breaks one detail of one layer and checks that the comparison
fails: a kernel scaled by 1.05 (1.1 with a relu), a bias or an activation left out, half of a
gradient lost, a posterior or a KL in low precision, the gradient of biases summed in bfloat16. The
last one is an error that these bounds found: TensorFlow sums the gradient of `tf.nn.bias_add` in
bfloat16 on CPUs, and for 128 feature maps of 28 x 28 an eighth of it is left (`layers/bias.py`).
"""

RUNS = """## How to repeat it

```
for network in mlp conv resnet; do
  pytest tests/conformance_product_test.py -m slow -n 2 --dist load -k "$network-" \\
    --junitxml=$network.xml
done
python tools/conformance_table.py docs/conformance.md mlp.xml conv.xml resnet.xml
```

Each network has its own run, in two processes, because a process keeps everything that XLA
compiled: after some 130 residual cases it reaches Linux's limit on memory maps (65,530) and
crashes.
"""


def read_results(paths):
    """Returns {name of a case: (whether it passed, its properties)} of JUnit reports."""
    results = {}
    for path in paths:
        for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
            name, bracket, values = case.get("name").partition("[")
            if name != TEST or not bracket or case.find("skipped") is not None:
                continue
            is_bad = case.find("failure") is not None or case.find("error") is not None
            properties = {item.get("name"): item.get("value") for item in case.iter("property")}
            results[values.removesuffix("]")] = (not is_bad, properties)
    return results


def format_differences(results):
    """Returns a table with one row per kind of case: largest differences and bounds."""
    kinds = collections.defaultdict(list)
    for _, properties in results.values():
        if any(way in properties for way in WAYS):
            kinds[properties["kind"]].append(properties)
    lines = []
    for kind, cases in sorted(kinds.items()):
        steps = [json.loads(case[way]) for case in cases for way in WAYS if way in case]
        allowed = json.loads(cases[0]["allowed"])
        largest = {name: max(step[name] for step in steps) for name in allowed}
        cells = [f"{largest[name]:.3g} of {allowed[name]:g}" for name in allowed]
        unit = UNIT[kind.split()[0]]
        cosines = [format_cosine(angles["angle"] * unit) for angles in (largest, allowed)]
        cells = [kind, str(len(cases)), *cells, " of ".join(cosines)]
        lines.append(f"| {' | '.join(cells)} |")
    return [
        "| kind of case | cases | term | angle | norm | variable | median | smallest cosine |",
        "|---|---|---|---|---|---|---|---|",
        *lines,
    ]


def format_cosine(angle):
    """Returns 1 - angle^2 / 2 with the digits in which it differs from 1."""
    loss = 0.5 * angle**2
    return f"{1.0 - loss:.{max(2, 1 - math.floor(math.log10(loss)))}f}" if loss else "1"


def format_counts(results):
    """Returns a table with a row per pair of distributions and a column per network, precision."""
    cells = collections.defaultdict(list)
    for name, (is_good, _) in results.items():
        values = name.split("-")[: len(FACTORS)]
        network, posterior, prior, _, model, precision = values
        is_sparse = model == "sparse_autoencoder"
        row = ("sparse autoencoder", "-") if is_sparse else (posterior, prior)
        cells[row, (network, precision)].append(is_good)
    rows, columns = (sorted({key[i] for key in cells}) for i in (0, 1))
    lines = [
        "| posterior | prior | " + " | ".join(" ".join(column) for column in columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for row in rows:
        found = [cells.get((row, column)) for column in columns]
        counts = [f"{sum(cases)} of {len(cases)}" if cases else "not run" for cases in found]
        lines.append(f"| {row[0]} | {row[1]} | " + " | ".join(counts) + " |")
    return lines


def format_page(results):
    """Returns the page."""
    passed = sum(is_good for is_good, _ in results.values())
    failed = sorted(name for name, (is_good, _) in results.items() if not is_good)
    lines = [
        INTRODUCTION,
        "Largest difference of all cases, and the bound, in u:",
        "",
        *format_differences(results),
        "",
        "- term: largest relative error of a term.",
        "- angle: `sqrt(2 - 2 cosine)` of the gradients of all variables; the last column has the",
        "  cosine itself.",
        "- norm: relative error of the norm of that gradient.",
        "- variable, median: largest and median relative error of the gradient of one variable.",
        "",
        "## Results",
        "",
        f"{len(results)} cases, {passed} passed. A cell has the number of likelihoods that passed, "
        "of those tried.",
        "",
        *format_counts(results),
    ]
    if failed:
        lines += ["", "Failed:", "", *(f"- `{name}`" for name in failed)]
    return "\n".join([*lines, "", RUNS])


def main(argv):
    if len(argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    page, *reports = argv
    try:
        results = read_results(reports)
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        print(f"no report of pytest --junitxml: {error}", file=sys.stderr)
        return 1
    if not results:
        print(f"{', '.join(reports)}: expected cases of {TEST}, found none", file=sys.stderr)
        return 1
    with open(page, "w", encoding="utf-8") as file:
        file.write(format_page(results))
    print(f"{page}: {len(results)} cases, {sum(is_good for is_good, _ in results.values())} passed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
