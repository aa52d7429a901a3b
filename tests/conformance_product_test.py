"""The product of the choices that meet in the arithmetic of a step; takes half an hour or more.

`docs/conformance.md` is made from a run of it and has the commands.
"""

from __future__ import annotations

import pytest
from conformance_cases import check_step, product_cases


@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in product_cases()])
def test_eager_traced_and_compiled_steps_agree(case):
    check_step(case)
