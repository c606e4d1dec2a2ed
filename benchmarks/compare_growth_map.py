"""One time x block map, by ours or by a peer, in a process of its own: its CPU seconds and its peak memory.

    python benchmarks/compare_growth_map.py ours "RSA, squared Euclidean" 1000 100 4 2 map.npy

prints one line of JSON and writes the map (time, block). The peak is that of the process while the map is made, beyond
what it held with everything imported and the data in memory. Threads are set by who starts it.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cortexres import compare
from cortexres.compare.encoding.left_out import left_out_predictions
from cortexres.compare.measures.measure import Comparison

Maps = Callable[[np.ndarray, np.ndarray], np.ndarray]
PENALTIES = 10.0 ** np.arange(-3, 4)
LONG_s, MOST = 1.0, 9  # shorter work is repeated
FOLDS, TARGETS = 5, 20  # of the ridge; targets are the first units of the brain


def main() -> None:
    """Make the map that the command line names."""
    who, name, *sizes, out = sys.argv[1:]
    n, p, times, blocks = map(int, sizes)
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((n, p))
    brain = shared + rng.standard_normal((times, n, p))
    network = shared + rng.standard_normal((blocks, n, p))
    del shared
    make = OURS[name] if who == "ours" else _peer(name)
    make(brain[:1, :10, :5].copy(), network[:1, :10, :5].copy())  # what happens only the first time
    before = _resident_bytes()
    seconds = [_timed(make, brain, network, out)]
    peak_MB = None if before is None else (_highest_bytes() - before) / 1e6
    while sum(seconds) < LONG_s and len(seconds) < MOST:
        seconds.append(_timed(make, brain, network, out))
    print(json.dumps({"cpu_s": statistics.median(seconds), "times": len(seconds), "peak_MB": peak_MB}))


def _timed(make: Maps, brain: np.ndarray, network: np.ndarray, out: str) -> float:
    start = time.process_time()
    found = make(brain, network)
    seconds = time.process_time() - start
    np.save(out, found)
    return seconds


def _resident_bytes() -> int | None:
    """Return the resident memory of this process, and let Linux forget the highest so far; None where it cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except OSError:
        return None


def _highest_bytes() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _mapped(measure: Comparison) -> Maps:
    def ours(brain: np.ndarray, network: np.ndarray) -> np.ndarray:
        return np.asarray(measure.scores(measure.prepared(brain), measure.prepared(network)))

    return ours


def _ridge(brain: np.ndarray, network: np.ndarray) -> np.ndarray:
    """Return R2 of left-out predictions of the brain's first units by each block, all times at once."""
    targets = np.moveaxis(brain[..., :TARGETS], 0, 1)
    flat, folds = targets.reshape(len(targets), -1), np.arange(len(targets)) % FOLDS
    maps = []
    for features in network:
        found = np.empty_like(flat)
        for left in left_out_predictions(features, flat, folds, PENALTIES):
            found[left.test] = left.deviations + left.mean
        maps.append(_r2(targets, found.reshape(targets.shape)))
    return np.stack(maps, axis=1)


def _ridge_of_peer(brain: np.ndarray, network: np.ndarray) -> np.ndarray:
    """Return the same, each time and block fitted anew, as is usual."""
    from sklearn.linear_model import RidgeCV

    targets = np.moveaxis(brain[..., :TARGETS], 0, 1)
    folds = np.arange(len(targets)) % FOLDS
    maps = []
    for features in network:
        found = np.empty_like(targets)
        for fold in range(FOLDS):
            train, test = folds != fold, folds == fold
            deviations = features[train] - features[train].mean(axis=0)
            # ours are in units of the mean eigenvalue of the features' Gram matrix
            alphas = PENALTIES * np.sum(deviations**2) / train.sum()
            for t in range(targets.shape[1]):
                fit = RidgeCV(alphas=alphas, alpha_per_target=True).fit(features[train], targets[train, t])
                found[test, t] = fit.predict(features[test])
        maps.append(_r2(targets, found))
    return np.stack(maps, axis=1)


def _r2(targets: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return R2 per time, over stimuli and units."""
    errors = ((targets - found) ** 2).sum(axis=(0, 2))
    return 1 - errors / ((targets - targets.mean(axis=0)) ** 2).sum(axis=(0, 2))


OURS: dict[str, Maps] = {
    "RSA, squared Euclidean": _mapped(compare.rsa),
    "RSA, 1 - correlation": _mapped(compare.rsa_correlation),
    "linear CKA, biased": _mapped(compare.linear_cka_biased),
    "ridge, left-out predictions": _ridge,
}


PEERS = {
    "RSA, squared Euclidean": ("euclidean", "corr"),
    "RSA, 1 - correlation": ("correlation", "corr"),
    "linear CKA, biased": ("euclidean", "cosine_cov"),
}


def _peer(name: str) -> Maps:
    """Return scikit-learn's ridge, or the maps of rsatoolbox by its (dissimilarity, comparison), imported here."""
    if name not in PEERS:
        return _ridge_of_peer
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm, concat
    from rsatoolbox.rdm import compare as compared

    dissimilarity, comparison = PEERS[name]

    def of(activity: np.ndarray) -> object:
        return concat([calc_rdm(Dataset(state), method=dissimilarity) for state in activity])

    return lambda brain, network: compared(of(brain), of(network), method=comparison)


if __name__ == "__main__":
    main()
