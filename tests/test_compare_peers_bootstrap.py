"""Bootstrap samples of dissimilarities are rsatoolbox's, where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from cortexres.compare.inference.bootstrapped_maps import bootstrap_weights, bootstrapped
from cortexres.compare.measures.dissimilarities import squared_euclidean
from cortexres.compare.measures.rsa import rsa, rsa_cosine, rsa_spearman

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    ("measure", "method"), [(rsa, "corr"), (rsa_cosine, "cosine"), (rsa_spearman, "spearman")], ids=lambda m: str(m)[:9]
)
def test_a_bootstrap_sample_is_that_of_subsample_pattern(measure, method: str) -> None:  # noqa: ANN001
    rsatoolbox = pytest.importorskip("rsatoolbox")
    rng = np.random.default_rng(0)
    n = 24
    x, y = rng.standard_normal((3, n, 6)), rng.standard_normal((2, n, 7))
    x[1] += x[0]
    y[0, :, :6] += x[0]
    weights = bootstrap_weights(n, draws=8, rng=rng)
    ours = bootstrapped(measure, x, y, weights)
    brain, network = (
        rsatoolbox.rdm.RDMs(squared_euclidean(side), pattern_descriptors={"index": np.arange(n)}) for side in (x, y)
    )
    for draw, counts in enumerate(weights):
        sample = np.repeat(np.arange(n), counts)
        theirs = rsatoolbox.rdm.compare(
            brain.subsample_pattern("index", sample), network.subsample_pattern("index", sample), method=method
        )
        np.testing.assert_allclose(ours[draw], theirs, atol=1e-12)
