"""The same work by ours and by a peer: what each is given, and how far what they find is apart."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
from compare_contest import Contest, Size, activities, brain_of

from cortexres import compare
from cortexres.compare.alignment.warping import warping_runs
from cortexres.compare.encoding.left_out import left_out_predictions
from cortexres.compare.inference.bootstrapped_maps import bootstrap_weights, bootstrapped
from cortexres.compare.inference.permuted_maps import permuted


def crossnobis_movie(size: Size, rng: np.random.Generator) -> Contest:
    """Return the contest of a movie of cross-validated distances."""
    from rsatoolbox.data import TemporalDataset
    from rsatoolbox.rdm import calc_rdm_movie

    trials = rng.standard_normal((size.stimuli, size.runs, size.times, size.units))
    upper = np.triu_indices(size.stimuli, 1)

    def peer() -> np.ndarray:
        rows = trials.transpose(0, 1, 3, 2).reshape(-1, size.units, size.times)
        data = TemporalDataset(
            rows,
            obs_descriptors={
                "stimulus": np.repeat(np.arange(size.stimuli), size.runs),
                "run": np.tile(np.arange(size.runs), size.stimuli),
            },
            time_descriptors={"time": np.arange(size.times)},
        )
        movie = calc_rdm_movie(data, method="crossnobis", descriptor="stimulus", cv_descriptor="run")
        return movie.dissimilarities

    return Contest(
        f"crossnobis movie, {size.stimuli} x {size.units} x {size.times} x {size.runs} runs",
        "rsatoolbox calc_rdm_movie",
        lambda: compare.crossnobis(trials, noise="white")[:, upper[0], upper[1]],
        peer,
        least=20.0,
    )


def distances(size: Size, rng: np.random.Generator, method: str) -> Contest:
    """Return the contest of one large matrix of dissimilarities."""
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm

    activity = rng.standard_normal((size.many, size.features))
    upper = np.triu_indices(size.many, 1)
    kernel = {"euclidean": compare.squared_euclidean, "correlation": compare.one_minus_correlation}[method]
    scale = size.features if method == "euclidean" else 1.0
    return Contest(
        f"{method} dissimilarities, {size.many} x {size.features}",
        "rsatoolbox calc_rdm",
        lambda: kernel(activity)[upper] / scale,
        lambda: calc_rdm(Dataset(activity), method=method).dissimilarities[0],
        least=1.0,
        tolerance=1e-6,
    )


def stimulus_bootstrap(size: Size, rng: np.random.Generator) -> Contest:
    """Return the contest of bootstrapping stimuli for a map of RSA; the peer does one time and fewer draws."""
    from rsatoolbox.data import Dataset
    from rsatoolbox.inference import eval_bootstrap_pattern
    from rsatoolbox.model import ModelFixed
    from rsatoolbox.rdm import calc_rdm

    brain, network = activities(size, rng)
    weights = bootstrap_weights(size.stimuli, draws=size.draws, rng=rng)

    def rdms(activity: np.ndarray) -> object:
        return calc_rdm(Dataset(activity, obs_descriptors={"index": np.arange(size.stimuli)}), descriptor="index")

    def peer() -> np.ndarray:
        models = [ModelFixed(f"block {k}", rdms(block)) for k, block in enumerate(network)]
        with redirect_stderr(io.StringIO()):  # a bar of progress
            found = eval_bootstrap_pattern(models, rdms(brain[0]), method="corr", N=size.peer_draws)
        return np.nanmean(found.evaluations, axis=0).ravel()

    return Contest(
        f"RSA: {size.draws} bootstraps of stimuli, {size.blocks} blocks x {size.times} times",
        "rsatoolbox eval_bootstrap_pattern",
        lambda: np.nanmean(bootstrapped(compare.rsa, brain, network, weights)[:, 0], axis=0),
        peer,
        least=20.0,
        parts=size.times * size.draws // size.peer_draws,
        tolerance=None,
    )


def stimulus_permutations(size: Size, rng: np.random.Generator) -> Contest:
    """Return the contest of Mantel's test; the peer, one pair of matrices at a time, does one permutation in many."""
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm
    from rsatoolbox.rdm import compare as compared

    brain, network = activities(size, rng)
    orders = compare.permute_stimuli.orders(size.stimuli, draws=size.draws, rng=rng)

    def ours() -> np.ndarray:
        a, b = compare.rsa.prepared(brain), compare.rsa.prepared(network)
        return np.asarray(permuted(compare.rsa, a, b, orders)[0])

    def peer() -> np.ndarray:
        times = [calc_rdm(Dataset(state)).dissimilarities[0] for state in brain]
        blocks = [calc_rdm(Dataset(state[orders[0]])).dissimilarities[0] for state in network]
        return compared(np.stack(times), np.stack(blocks), method="corr")

    return Contest(
        f"RSA: {size.draws} permutations of stimuli, {size.blocks} blocks x {size.times} times",
        "rsatoolbox compare, one order at a time",
        ours,
        peer,
        least=20.0,
        parts=size.draws,
    )


def ridge_over_time(size: Size, rng: np.random.Generator) -> Contest:
    """Return the contest of left-out predictions at all times; the peer fits each time anew, as is usual."""
    from sklearn.linear_model import RidgeCV

    brain, network = activities(size, rng)
    features, folds = network[-1], np.arange(size.stimuli) % 5
    penalties = 10.0 ** np.arange(-3, 4)
    targets = np.moveaxis(brain, 0, 1)

    def ours() -> np.ndarray:
        found = np.empty(targets.shape)
        flat = targets.reshape(size.stimuli, -1)
        for left in left_out_predictions(features, flat, folds, penalties):
            found[left.test] = (left.deviations + left.mean).reshape(-1, *targets.shape[1:])
        return found

    def peer() -> np.ndarray:
        found = np.empty(targets.shape)
        for fold in np.unique(folds):
            train, test = folds != fold, folds == fold
            deviations = features[train] - features[train].mean(axis=0)
            # Our penalties are in units of the mean eigenvalue of the features' Gram matrix.
            scaled = penalties * np.sum(deviations**2) / train.sum()
            for t in range(size.times):
                fit = RidgeCV(alphas=scaled, alpha_per_target=True).fit(features[train], targets[train, t])
                found[test, t] = fit.predict(features[test])
        return found

    return Contest(
        f"ridge to {size.units} units at {size.times} times, 5 folds, {penalties.size} penalties",
        "scikit-learn RidgeCV per time",
        ours,
        peer,
        least=5.0,
        tolerance=1e-6,
    )


def path_search(size: Size, rng: np.random.Generator) -> Contest:
    """Return the contest of many monotone paths, as an interval and a null need them."""
    from tslearn.metrics import dtw_path_from_metric

    cost = rng.random((size.draws, size.times, size.blocks))

    def peer() -> np.ndarray:
        return np.asarray([dtw_path_from_metric(one, metric="precomputed")[1] for one in cost])

    return Contest(
        f"{size.draws} monotone paths through {size.times} x {size.blocks}",
        "tslearn dtw_path_from_metric",
        lambda: warping_runs(cost).totals,
        peer,
        least=1.0,
    )


def generalisation(size: Size, rng: np.random.Generator) -> Contest:
    """Return the contest of decoding at every time what was learned at every time."""
    import mne
    from mne.decoding import GeneralizingEstimator, cross_val_multiscore
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.model_selection import PredefinedSplit

    mne.set_log_level("ERROR")
    classes, repeats, times, units = 7, max(10, size.draws // 50), max(4, size.times // 6), min(size.units, 132)
    means = rng.standard_normal((classes, times, units)) * 0.3
    trials = means[:, None] + rng.standard_normal((classes, repeats, times, units))
    fold = np.tile(np.arange(repeats) % 5, classes)
    brain = brain_of(trials)

    def peer() -> np.ndarray:
        model = GeneralizingEstimator(LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"), verbose=False)
        x = trials.transpose(0, 1, 3, 2).reshape(-1, units, times)
        y = np.repeat(np.arange(classes), repeats)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return cross_val_multiscore(model, x, y, cv=PredefinedSplit(fold), verbose=False).mean(axis=0)

    return Contest(
        f"generalisation, {classes * repeats} trials x {units} units x {times} times, LDA, 5 folds",
        "MNE GeneralizingEstimator",
        lambda: compare.generalise(brain, "stimulus", folds=fold[:repeats])["accuracy"].values,
        peer,
        least=1.0,
        tolerance=1e-6,
    )


def dynamics(size: Size, rng: np.random.Generator) -> Contest:
    """Return the contest of comparing two linear systems by their operators."""
    from DSA import DSA

    steps, rank = 4 * size.times, 4
    rotation = np.linalg.qr(rng.standard_normal((rank, rank)))[0] * 0.95
    states = [rng.standard_normal((size.stimuli, rank)) for _ in range(2)]
    seen = [_trajectory(rotation, start, steps) @ rng.standard_normal((rank, 30)) for start in states]
    brains = [brain_of(one[:, None], bin_ms=1.0) for one in seen]

    def ours() -> np.ndarray:
        spectra = [compare.generators(brain, rank=rank) for brain in brains]
        return np.asarray([float(compare.generator_distance(*spectra)["generator_distance"])])

    def peer() -> np.ndarray:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = DSA(seen[0], seen[1], n_delays=1, rank=rank, score_method="wasserstein").fit_score()
        return np.atleast_1d(np.asarray(found, dtype=float))

    return Contest(
        f"operators of {size.stimuli} x {steps} steps x 30 channels, Wasserstein",
        "dsa-metric DSA",
        ours,
        peer,
        least=1.0,
        tolerance=None,
    )


def _trajectory(operator: np.ndarray, start: np.ndarray, steps: int) -> np.ndarray:
    states = [start]
    for _ in range(steps - 1):
        states.append(states[-1] @ operator.T)
    return np.stack(states, axis=1)


CONTESTS: tuple[Callable[[Size, np.random.Generator], Contest], ...] = (
    crossnobis_movie,
    lambda size, rng: distances(size, rng, "euclidean"),
    lambda size, rng: distances(size, rng, "correlation"),
    stimulus_bootstrap,
    stimulus_permutations,
    ridge_over_time,
    generalisation,
    path_search,
    dynamics,
)
