"""Generalisation over time against MNE-Python, where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from cortexres.compare.encoding.accuracy import left_out_accuracy
from cortexres.compare.encoding.classifiers import shrinkage_lda
from cortexres.compare.encoding.examples import Examples


@pytest.mark.filterwarnings("ignore")
def test_the_matrix_is_that_of_mne() -> None:
    decoding = pytest.importorskip("mne.decoding")
    discriminant = pytest.importorskip("sklearn.discriminant_analysis")
    pipeline, processing = pytest.importorskip("sklearn.pipeline"), pytest.importorskip("sklearn.preprocessing")
    selection = pytest.importorskip("sklearn.model_selection")
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(3), 30)
    x = rng.standard_normal((6, 90, 25)) + 0.7 * rng.standard_normal((6, 3, 25))[:, classes]
    estimator = decoding.GeneralizingEstimator(
        pipeline.make_pipeline(
            processing.StandardScaler(), discriminant.LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        ),
        scoring="accuracy",
        verbose=False,
    )
    splits = selection.StratifiedKFold(5, shuffle=True, random_state=0)
    peer = decoding.cross_val_multiscore(estimator, np.moveaxis(x, 0, 2), classes, cv=splits, verbose=False)
    fold = np.empty(90, dtype=int)
    for k, (_, test) in enumerate(splits.split(x[0], classes)):
        fold[test] = k
    ours = left_out_accuracy(Examples(x, classes, np.arange(90)), fold, shrinkage_lda)
    np.testing.assert_allclose(ours, peer.mean(axis=0), atol=1e-12)
