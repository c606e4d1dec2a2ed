"""The 92 images of Kriegeskorte et al. (2008), where the data is there: human and monkey IT, and models of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from cortexres.compare.measures.kendall_rsa import tau_a, tau_b
from cortexres.compare.measures.pair_comparisons import pearson, rho_a, spearman

DATA = Path(__file__).parents[2] / "shared/data/recordings/rsatoolbox92/demos/92imageData"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the 92-image data is not there")


def square(condensed: np.ndarray) -> np.ndarray:
    """Return a dissimilarity matrix (1, 92, 92) of one in any form."""
    values = np.asarray(condensed, dtype=float)
    if values.shape == (92, 92):
        return values[None]
    matrix = np.zeros((92, 92))
    matrix[np.triu_indices(92, 1)] = values.ravel()
    return (matrix + matrix.T)[None]


@pytest.fixture(scope="module")
def published() -> dict[str, np.ndarray]:
    rdms = loadmat(DATA / "Kriegeskorte_Neuron2008_supplementalData.mat")["RDMs_mIT_hIT_fig1"][0]
    return {str(rdm["name"].squeeze())[:3]: square(rdm["RDM"]) for rdm in rdms}


@pytest.fixture(scope="module")
def sessions() -> np.ndarray:
    """Return human IT (subject, session, 92, 92)."""
    rdms = loadmat(DATA / "92_brainRDMs.mat")["RDMs"][0]
    return np.array([[square(session["RDM"])[0] for session in subject] for subject in rdms])


def test_monkey_and_human(published: dict[str, np.ndarray]) -> None:
    monkey, human = (published[name] for name in ("mIT", "hIT"))
    for comparison, expected in ((pearson, 0.491210), (spearman, 0.438924), (tau_b, 0.304048)):
        assert float(comparison(monkey, human)[0, 0]) == pytest.approx(expected, abs=5e-7)


def test_reliability_of_sessions(sessions: np.ndarray) -> None:
    found = np.diag(spearman(sessions[:, 0], sessions[:, 1]))
    np.testing.assert_allclose(found, [0.2770, 0.0954, 0.3825, 0.1196], atol=5e-5)


def test_published_human_matrix_is_the_mean_of_the_subjects(
    published: dict[str, np.ndarray], sessions: np.ndarray
) -> None:
    assert float(spearman(sessions.mean(axis=(0, 1))[None], published["hIT"])[0, 0]) == pytest.approx(1.0, abs=5e-5)


def test_models(sessions: np.ndarray) -> None:
    models = loadmat(DATA / "92_modelRDMs.mat")["Models"][0]
    subjects = sessions.mean(axis=1)
    expected = {
        "animacy": 0.3345,
        "monkeyIT": 0.2963,
        "EVA": 0.2454,
        "FaceBodyManmadeNatobj": 0.2053,
        "HMAX": 0.1599,
        "Silhouette": 0.0966,
        "RADON": 0.0381,
        "V1": 0.0265,
    }
    found = {}
    for model in models:
        name = str(model["name"].squeeze())
        key = next(known for known in sorted(expected, key=len, reverse=True) if known.lower() in name.lower())
        found[key] = float(rho_a(square(model["RDM"]), subjects).mean())
    assert found == pytest.approx(expected, abs=5e-5)
    # Ties cost the a-forms what they gain elsewhere: two categories cannot order 4186 pairs.
    animacy = square(next(model["RDM"] for model in models if "animacy" in str(model["name"]).lower()))
    assert float(spearman(animacy, subjects).mean()) > found["animacy"] + 0.02
    assert float(tau_a(animacy, animacy)[0, 0]) < 0.6
