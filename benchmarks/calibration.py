"""How often each test of `cortexres.compare` rejects where there is nothing: histograms of p under its null.

    OMP_NUM_THREADS=1 python benchmarks/calibration.py

writes ``docs/calibration.md`` and ``docs/calibration.png``. ``--runs`` is the number of simulated data sets of each
test, ``--jobs`` that of processes, and ``--only TEXT`` takes the tests whose name holds it and writes nothing.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from calibration_tests import TESTS, Calibrated
from scipy import stats

from cortexres.provenance import versions

DOCS = Path(__file__).resolve().parent.parent / "docs"
LEVELS = (0.05, 0.1, 0.5)
COLUMNS = 5
HEAD = """# Calibration of the tests

For each test of `cortexres.compare` that gives a p-value, {runs} data sets were simulated in which what it tests for is
absent, and the test was run on each. A calibrated test has p <= .05 in 5 % of them (95 % of such shares of {runs} lie
within {low:.1f} .. {high:.1f} %), and a flat histogram.

    OMP_NUM_THREADS=1 python benchmarks/calibration.py --runs {runs}

The tests are in `benchmarks/calibration_tests.py`, their data in `benchmarks/calibration_data.py`; data
set k of a test is drawn from the seed (1, k).

- *exact*: p <= a in a share a at most, by construction (permutation tests, the true order counted as one of the draws).
  It is less where scores tie with the true one: `CircularShift` draws among as many shifts as there are bins, here 20,
  and the accuracy of few examples has few values.
- *approximate*: found so by simulation only (bootstrap).
- *bound*: the least p-value of a map whose p-values are adjusted by clusters or for the false discovery rate: small
  values may be rarer than their size, never more frequent.
- *not its null*: shown for what goes wrong. Spearman's own test takes blocks for independent; p_unrelated of
  `latency_depth` tests whether brain and network are related at all, and keeps no level for the order where they are.

*Likeness* is the number of blocks over which the noise of neighbouring blocks is alike (Gaussian, standard deviation).

![Histograms of p under the null](calibration.png)

| test | kind | p <= .05 | p <= .1 | p <= .5 | undefined |
|---|---|---|---|---|---|
"""


def simulated(test: Calibrated, runs: int) -> np.ndarray:
    """Return the p-values of `runs` data sets, (run,)."""
    with warnings.catch_warnings():
        # Data without signal have no ceiling above zero, which is what the warnings are about.
        warnings.simplefilter("ignore", UserWarning)
        return np.array([test.p(np.random.default_rng([1, k])) for k in range(runs)])


def simulated_place(place: int, runs: int) -> np.ndarray:
    """Return `simulated` of a place in `TESTS`, which, unlike the test, can be sent to another process."""
    return simulated(TESTS[place], runs)


def shares(p: np.ndarray) -> list[float]:
    """Return the shares of the defined p-values that are at or below each of `LEVELS`."""
    defined = p[~np.isnan(p)]
    return [float(np.mean(defined <= level + 1e-9)) for level in LEVELS]


def row(test: Calibrated, p: np.ndarray) -> str:
    """Return the line of the table."""
    figures = " | ".join(f"{100 * share:.1f} %" for share in shares(p))
    return f"| {test.name} | {test.kind} | {figures} | {int(np.isnan(p).sum())} |"


def picture(tests: Sequence[Calibrated], values: Sequence[np.ndarray], path: Path) -> None:
    """Write the histograms, 20 bins each, with the height that a uniform p-value would have and its 95 % band."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    rows = math.ceil(len(tests) / COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(3.1 * COLUMNS, 1.9 * rows), sharex=True, layout="constrained")
    colours = {"exact": "#0072B2", "approximate": "#009E73", "bound": "#56B4E9", "not its null": "#D55E00"}
    for axes in grid.flat[len(tests) :]:
        axes.axis("off")
    for axes, test, p in zip(grid.flat, tests, values, strict=False):
        defined = p[~np.isnan(p)]
        # Edges between the multiples of 1/20 and 1/100 that p-values are.
        edges = np.concatenate([[0.0], np.linspace(0.05, 1, 20) + 1e-6])
        counts, _ = np.histogram(defined, bins=edges)
        axes.bar(edges[:-1], counts / defined.size, width=0.05, align="edge", color=colours[test.kind])
        low, high = stats.binom.interval(0.95, defined.size, 0.05)
        axes.axhspan(low / defined.size, high / defined.size, color="0.5", alpha=0.35, lw=0)
        axes.axhline(0.05, color="black", lw=0.8)
        axes.set_title(test.name.replace("; ", "\n"), fontsize=7)
        axes.set_ylim(0, max(0.12, 1.05 * counts.max() / defined.size))
        axes.tick_params(labelsize=6)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.supxlabel("p under the null (band: 95 % of bins of a uniform p)", fontsize=9)
    figure.supylabel("share of data sets", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tests, print the table, and write it with the picture unless `--only` is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="")
    options = parser.parse_args(arguments)
    places = [place for place, test in enumerate(TESTS) if options.only in test.name]
    tests = [TESTS[place] for place in places]
    values, start = [], time.perf_counter()
    with ProcessPoolExecutor(options.jobs) as pool:
        for test, p in zip(tests, pool.map(partial(simulated_place, runs=options.runs), places), strict=True):
            values.append(p)
            print(row(test, p), flush=True)
    if options.only:
        return
    low, high = (100 * end / options.runs for end in stats.binom.interval(0.95, options.runs, 0.05))
    packages = versions()
    made = ", ".join(f"{name} {packages[name]}" for name in ("numpy", "scipy", "xarray") if name in packages)
    lines = [HEAD.format(runs=options.runs, low=low, high=high) + "\n".join(map(row, tests, values)), ""]
    lines += ["With this many rows, one in twenty lies outside by chance.", ""]
    lines += [f"{made}; {(time.perf_counter() - start) / 60:.0f} minutes with {options.jobs} processes.", ""]
    DOCS.joinpath("calibration.md").write_text("\n".join(lines))
    picture(tests, values, DOCS / "calibration.png")


if __name__ == "__main__":
    main()
