"""Every test of `cortexres.compare` that gives a p-value, each on data in which its null is true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from calibration_data import (
    BIN_MS,
    BLOCKS,
    TIMES,
    UNITS,
    N,
    brain_of,
    network_of,
    nothing,
    one_course,
    smooth,
    unrelated,
)

from cortexres.compare.alignment.affine import Affine
from cortexres.compare.alignment.align import align
from cortexres.compare.alignment.isotonic import Isotonic
from cortexres.compare.ceilings import subject_ceiling, trial_ceiling
from cortexres.compare.encoding.encode import encode
from cortexres.compare.encoding.generalise import generalise
from cortexres.compare.encoding.generalise_across import generalise_across
from cortexres.compare.inference.latencies import Onset
from cortexres.compare.inference.latency_depth import latency_depth
from cortexres.compare.inference.selection import best_match
from cortexres.compare.inference.significance import significance
from cortexres.compare.maps import compare
from cortexres.compare.measures.cka import linear_cka
from cortexres.compare.measures.rsa import rsa, rsa_spearman
from cortexres.compare.nulls.models import ModelNull
from cortexres.compare.nulls.phases import PhaseRandomised
from cortexres.compare.nulls.scores import null_scores
from cortexres.compare.nulls.shifts import CircularShift
from cortexres.compare.nulls.stimuli import permute_stimuli
from cortexres.compare.updates.against_velocity import updates_against_velocity
from cortexres.compare.updates.components import components
from cortexres.compare.updates.lesion_profiles import lesion_profile
from cortexres.compare.updates.pooled import update_scores

# p-values are multiples of 1 / (DRAWS + 1), so that "p <= .05" has a chance of exactly .05 where a test is exact.
DRAWS = 99
# The same where a draw is dear.
FEW = 19


@dataclass(frozen=True)
class Calibrated:
    """One p-value of the library, and data in which what it tests for is absent.

    Parameters
    ----------
    name : str
        Function, variable and what the data are.
    p : callable
        ``p(rng)`` simulates a data set and returns the p-value.
    kind : {"exact", "approximate", "bound", "not its null"}
        Exact: uniform by construction, but for ties. Approximate: found so by simulation. Bound: small p-values at
        most as frequent as their size (the least of many p-values that are adjusted otherwise than by the largest
        value; the larger of two p-values). Not its null: shown for what goes wrong where a test is taken for one of
        something else.
    """

    name: str
    p: Callable[[np.random.Generator], float]
    kind: str = "exact"


def _least(values: xr.DataArray) -> float:
    return float(values.min())


def _compare(rng: np.random.Generator) -> float:
    scores = compare(
        *unrelated(rng), metrics=[linear_cka], nulls=[permute_stimuli], permutations=DRAWS, splits=1, rng=rng
    )
    return _least(scores["linear_cka_p"])


def _compare_models(rng: np.random.Generator) -> float:
    brain, network = unrelated(rng)
    null = ModelNull("random_weights", lambda rng: unrelated(rng)[1])
    scores = compare(brain, network, metrics=[rsa], nulls=[null], permutations=FEW, splits=1, rng=rng)
    return _least(scores["rsa_p"])


def _ceiling_of_compare(rng: np.random.Generator) -> float:
    brain = brain_of(np.zeros((N, TIMES, UNITS)), rng, trials=4)
    network = network_of(rng.standard_normal((N, BLOCKS, UNITS)))
    scores = compare(brain, network, metrics=[linear_cka], splits=2, rng=rng)
    return float(scores["linear_cka_ceiling"].attrs["p"])


def _significance(name: str) -> Callable[[np.random.Generator], float]:
    def p(rng: np.random.Generator) -> float:
        scores = significance(*unrelated(rng), metric=rsa_spearman, permutations=DRAWS, rng=rng)
        values = scores[f"rsa_spearman_{name}"]
        return float(values[3, 2]) if name == "p_cell" else _least(values)

    return p


def _latency(
    make: Callable[[np.random.Generator, float], tuple[xr.Dataset, xr.Dataset]],
    likeness: float,
    name: str = "p",
    onset: bool = False,
) -> Callable[[np.random.Generator], float]:
    def p(rng: np.random.Generator) -> float:
        latency = Onset() if onset else None
        return float(latency_depth(*make(rng, likeness), latency=latency, draws=DRAWS, rng=rng)[name])

    return p


def _best(name: str) -> Callable[[np.random.Generator], float]:
    def p(rng: np.random.Generator) -> float:
        scores = best_match(*unrelated(rng), permutations=DRAWS, splits=1, rng=rng)
        return _least(scores["p"]) if name == "p" else float(scores["p_alone"][3])

    return p


def _align(method) -> Callable[[np.random.Generator], float]:  # noqa: ANN001
    def p(rng: np.random.Generator) -> float:
        scores = align(*unrelated(rng), method=method, permutations=DRAWS, bootstraps=0, splits=0, rng=rng)
        return float(scores["score_p"])

    return p


def _in_time(null) -> Callable[[np.random.Generator], float]:  # noqa: ANN001
    """Return p of a score at fixed times, where the brain's time is a circle without a beginning."""

    def score(brain: xr.Dataset, network: xr.Dataset) -> float:
        mean = brain["response"].mean("trial").values
        states = network["response"].values
        return float(np.mean([linear_cka(mean[:, k], states[:, k]) for k in range(BLOCKS)]))

    def p(rng: np.random.Generator) -> float:
        # The same activity on both sides, but from another moment on: related, and not in time.
        response = smooth(rng.standard_normal((N, 20, UNITS)), 1.0)
        states = np.roll(response, int(rng.integers(20)), axis=1)[:, :BLOCKS]
        pair = brain_of(response, rng), network_of(states)
        if isinstance(null, PhaseRandomised):
            pair = brain_of(response, rng), network_of(smooth(rng.standard_normal((N, 20, UNITS)), 1.0)[:, :BLOCKS])
        return float(null_scores(*pair, score, [null], draws=FEW, rng=rng)["p"][0])

    return p


def _trial_ceiling(rng: np.random.Generator) -> float:
    brain = brain_of(np.zeros((N, TIMES, UNITS)), rng)
    return _least(trial_ceiling(brain, splits=2, permutations=DRAWS, rng=rng)["p"])


def _subject_ceiling(rng: np.random.Generator) -> float:
    subjects = {f"s{k}": unrelated(rng)[0] for k in range(3)}
    return _least(subject_ceiling(subjects, permutations=DRAWS, rng=rng)["p"])


def _velocity(name: str) -> Callable[[np.random.Generator], float]:
    def p(rng: np.random.Generator) -> float:
        scores = updates_against_velocity(*unrelated(rng), metrics=[rsa], permutations=DRAWS, splits=1, rng=rng)
        return _least(scores[name])

    return p


def _components(name: str) -> Callable[[np.random.Generator], float]:
    def p(rng: np.random.Generator) -> float:
        brain, network = unrelated(rng)
        network = network_of(100 + network["response"].values, units="Hz")
        silenced = brain_of(smooth(rng.standard_normal((N, TIMES, UNITS)), 1.0), rng)
        scores = components(
            brain, network, silenced=silenced, metrics=[rsa], permutations=DRAWS, splits=1, rng=rng
        )
        return float(scores[name].sel(part="recurrent").min())

    return p


def _lesions(rng: np.random.Generator) -> float:
    """Return p of the profiles' correlation, where both are smooth round the circle and unrelated."""
    steps = 20
    sizes = [1 + 0.5 * smooth(rng.standard_normal((1, steps)), 2.0)[0] for _ in range(2)]
    pattern = rng.standard_normal((2, N, UNITS))
    response = np.repeat(rng.standard_normal((N, 1, UNITS)), 2 * steps, axis=1)
    brain, states = brain_of(response, rng, sd=0.05), rng.standard_normal((N, steps + 1, UNITS))
    perturbed = {
        (k + 0.5) * BIN_MS: brain.assign(response=brain["response"] + xr.DataArray(
            sizes[0][k] * pattern[0], dims=("stimulus", "unit")
        )).transpose("stimulus", "trial", "time", "unit")
        for k in range(steps)
    }
    for run in perturbed.values():
        run["response"].attrs.update(units="Hz")
    lesioned = {}
    for k in range(steps):
        changed = states.copy()
        changed[:, -1] += sizes[1][k] * pattern[1]
        lesioned[k + 1] = network_of(changed)
    scores = lesion_profile(
        brain, network_of(states), perturbed=perturbed, lesioned=lesioned, splits=1, rng=rng
    )
    return float(scores["pearson_p"])


def _encode(name: str) -> Callable[[np.random.Generator], float]:
    def p(rng: np.random.Generator) -> float:
        scores = encode(*unrelated(rng, n=15), folds=3, permutations=FEW, splits=1, rng=rng)
        return _least(scores[name])

    return p


def _generalise(rng: np.random.Generator) -> float:
    brain = brain_of(smooth(rng.standard_normal((8, 4, UNITS)), 1.0), rng, trials=3)
    labels = rng.permutation(np.repeat([0, 1], 4))
    return _least(generalise(brain, labels, leave_out="stimulus", folds=4, permutations=FEW, rng=rng)["accuracy_p"])


def _generalise_across(rng: np.random.Generator) -> float:
    brain, network = unrelated(rng, n=18)
    labels = rng.permutation(np.repeat([0, 1], 9))
    network, brain = network.isel(block=slice(0, 3)), brain.isel(time=slice(0, 3))
    return _least(generalise_across(brain, network, labels, folds=3, permutations=FEW, rng=rng)["accuracy_p"])


def _updates(rng: np.random.Generator) -> float:
    brain, network = unrelated(rng)
    network = network_of(100 + network["response"].values, units="Hz")
    return float(update_scores(brain, network, permutations=DRAWS, splits=1, rng=rng)["specific_p"])


LATENCIES: tuple[Calibrated, ...] = (
    *(
        Calibrated(f"latency_depth p; {what}, likeness {likeness:g}", _latency(make, likeness), "approximate")
        for make, what in ((one_course, "one time course"), (nothing, "unrelated"))
        for likeness in (0.0, 0.5, 1.0, 2.0, 3.0)
    ),
    Calibrated(
        "latency_depth p, onset; one time course, likeness 2", _latency(one_course, 2.0, onset=True), "approximate"
    ),
    Calibrated("latency_depth p_unrelated; unrelated, likeness 3", _latency(nothing, 3.0, "p_unrelated")),
    Calibrated(
        "latency_depth p_unrelated; one time course, likeness 3",
        _latency(one_course, 3.0, "p_unrelated"),
        "not its null",
    ),
    *(
        Calibrated(f"Spearman's own p; unrelated, likeness {k}", _latency(nothing, k, "p_naive"), "not its null")
        for k in (0, 1, 3)
    ),
)
TESTS: tuple[Calibrated, ...] = (
    Calibrated("compare NAME_p, permuted stimuli; unrelated", _compare),
    Calibrated("compare NAME_p, other networks; unrelated", _compare_models),
    Calibrated("compare NAME_ceiling p; no signal", _ceiling_of_compare),
    Calibrated("significance p_cell, one cell; unrelated", _significance("p_cell")),
    Calibrated("significance p_max; unrelated", _significance("p_max")),
    Calibrated("significance p_cluster; unrelated", _significance("p_cluster"), "bound"),
    Calibrated("significance p_fdr_bh; unrelated", _significance("p_fdr_bh"), "bound"),
    Calibrated("best_match p; unrelated", _best("p")),
    Calibrated("best_match p_alone; unrelated", _best("p_alone")),
    *LATENCIES,
    Calibrated("align score_p, monotone path; unrelated", _align(None)),
    Calibrated("align score_p, affine; unrelated", _align(Affine())),
    Calibrated("align score_p, isotonic; unrelated", _align(Isotonic())),
    Calibrated("null_scores p, CircularShift; related, at another time", _in_time(CircularShift())),
    Calibrated("null_scores p, PhaseRandomised; unrelated", _in_time(PhaseRandomised())),
    Calibrated("trial_ceiling p; no signal", _trial_ceiling),
    Calibrated("subject_ceiling p; unrelated subjects", _subject_ceiling),
    Calibrated("updates_against_velocity NAME_p; unrelated", _velocity("rsa_p")),
    Calibrated("updates_against_velocity NAME_mean_p; unrelated", _velocity("rsa_mean_p")),
    Calibrated("components NAME_mean_p; unrelated", _components("rsa_mean_p")),
    Calibrated("components r2_p; unrelated", _components("r2_p")),
    Calibrated("lesion_profile pearson_p, circular; unrelated profiles", _lesions),
    Calibrated("encode encoding_r_p; unrelated", _encode("encoding_r_p")),
    Calibrated("encode encoding_r_best_p; unrelated", _encode("encoding_r_best_p")),
    Calibrated("update_scores specific_p; unrelated", _updates),
    Calibrated("generalise_across accuracy_p; unrelated", _generalise_across, "bound"),
    Calibrated("generalise accuracy_p; labels without meaning", _generalise),
)
