"""A claim that anybody can check, for the tests of `cortexres.claims`, and its script as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, judge
from cortexres.plots import Figure, style

FIGURE = "weight (kg)"
CONTROL = "nothing on the scales"


def claim(*checks: Check, **changes: Any) -> Claim:
    """Return a claim with the checks given, or one check with a control."""
    fields: dict[str, Any] = {
        "name": "toy_2000",
        "title": "Things have weight",
        "source": "Nobody 2000, arXiv:0000.00000",
        "statement": "What is put on scales weighs something.",
        "published": Published("9.8 N per kg"),
        "checks": checks or (Check(figure=FIGURE, at_least=1.0, control=CONTROL),),
    }
    return Claim(**(fields | changes))


def sample(value: float, without: float = 0.0, **others: float) -> Sample:
    """Return what one seed gave, with and without the effect."""
    return Sample(figures={FIGURE: value, **others}, controls={CONTROL: {FIGURE: without}})


def samples(values: Sequence[float], without: Sequence[float] | None = None) -> list[Sample]:
    """Return what several seeds gave."""
    return [sample(*pair) for pair in zip(values, without or [0.0] * len(values), strict=True)]


def draw(outcome: Outcome, found: Sequence[Sample]) -> Figure:
    """Return a small figure."""
    figure = style.blank(height=1.0, title=outcome.title)
    figure.subplots().plot([one.figures[FIGURE] for one in found])
    return figure


def measure(seed: int, setting: Setting) -> Sample:
    """Return a weight above 1 kg that differs between seeds."""
    return sample(2.0 + seed)


def script(name: str, *, value: float = 2.0, setting: str = "quick") -> str:
    """Return the text of a script that does what those of claims do, without the seconds that their imports take.

    It leaves the outcome that it would have measured, and exits by whether the claim holds.
    """
    outcomes = {
        seeds: judge(
            claim(name=name), samples([value] * seeds), minutes=0.0, setting=setting, script="DIGEST"
        ).to_json()
        for seeds in (1, 3)
    }
    return f'''import ast, hashlib, sys
from pathlib import Path
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
assert options["--setting"] == "quick", options
folder = Path(options["--out"]) / {name!r}
digest = hashlib.sha256(ast.dump(ast.parse(Path(__file__).read_bytes())).encode()).hexdigest()[:16]
new = folder / "new"
new.write_text({outcomes!r}[int(options.get("--seeds", 3))].replace("DIGEST", digest))
new.replace(folder / "outcome.json")
(folder / "figure.png").write_bytes(b"")
print("measured")
sys.exit({int(value < 1.0)})
'''


REAL = """import sys
from toy_claims import claim, draw, measure
from cortexres.claims import main
if __name__ == "__main__":
    sys.exit(main(claim(name="real_2003"), measure, draw))
"""
