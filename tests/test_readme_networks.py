"""The README's example of networks, run as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

README = Path(__file__).parents[1] / "README.md"


def test_the_example_of_networks_does_what_its_comments_say() -> None:
    section = README.read_text(encoding="utf-8").split("## Residual networks that are recurrent ones")[1]
    example = re.search(r"```python\n(.*?)```", section, re.S)
    assert example is not None
    made: dict[str, Any] = {}
    exec(compile(example[1], str(README), "exec"), made)
    assert made["history"]["held_out_accuracy"][-1] > 0.9
    inputs = made["nn"].inputs_of(made["tied"], made["others"])
    assert torch.equal(made["tied"](inputs), made["untied"](inputs))
    assert set(made["blocks"].data_vars) == {"response", "update", "carried"}
    assert made["lesions"].sizes["block"] == 18
    maps = torch.ones(2, 64, 4, 4)
    output, last = made["area"](maps)
    assert torch.equal(output[:, -1], last)
