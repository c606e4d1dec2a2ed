"""The silencing experiment: closed forms in rates, exact bookkeeping in spikes, pairing by common random numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from cortexres import circuits, stimuli
from cortexres.circuits import perturb, silencing
from cortexres.definitions import Circuit, with_values
from cortexres.errors import ArgumentError


def rate_experiment(name: str, drives: list[float], **options: Any) -> xr.Dataset:
    """Return the experiment on a noiseless rate circuit that has come to rest."""
    circuit = with_values(circuits.load(name), {"populations.*.noise": 0.0, "dt_ms": 0.5})
    arguments: dict[str, Any] = {"trials": 1, "duration_ms": 600.0, "window_ms": (500.0, 600.0), "rng": 0}
    return silencing(circuit, stimuli.steps(drives, units=unit_of(circuit)), progress=False, **{**arguments, **options})


def unit_of(circuit: Circuit) -> str:
    from cortexres.circuits.drives import drive_unit

    return drive_unit(circuit)


def value(found: xr.Dataset, name: str, unit: int = 0) -> float:
    """Return one definition of one unit."""
    return float(found[name].values[unit])


def test_balanced_amplification() -> None:
    """Murphy & Miller 2009: net F/x is exactly 3, the rate gain 4, and the current shares are far from both."""
    found = rate_experiment("murphy_miller_2009", [1.0, 2.0])
    excitation = 4 * 30 / 7
    assert value(found, "net_ratio") == pytest.approx(3.0, rel=1e-6)
    assert value(found, "rate_gain") == pytest.approx(4.0, rel=1e-6)
    assert value(found, "excitatory_share") == pytest.approx(1 / (1 + excitation), rel=1e-6)
    assert value(found, "amplification") == pytest.approx(1 + excitation, rel=1e-6)
    # Nothing but x is left of the excitation, so the experiment finds the share.
    assert value(found, "excitatory_share_silenced") == pytest.approx(1 / (1 + excitation), rel=1e-6)
    assert found["net_ratio"].attrs["space"] == "net current"
    assert found["rate_gain"].attrs["definition"] == "evoked response / evoked response with all recurrence cut"
    # The other population receives no x.
    assert np.isnan(value(found, "net_ratio", 1))


@pytest.mark.parametrize(
    ("h", "share", "net", "gain"), [(2.0, 0.329, 0.65, 2.72), (5.0, 0.32, 0.06, 1.13), (15.0, 0.52, -0.59, 0.17)]
)
def test_supralinear_network(h: float, share: float, net: float, gain: float) -> None:
    """Hennequin et al. 2018: the net recurrent input changes its sign, the excitatory share does not tell."""
    found = rate_experiment("hennequin_2018", [h])
    assert value(found, "excitatory_share") == pytest.approx(share, abs=0.006)
    assert value(found, "net_ratio") == pytest.approx(net, abs=0.006)
    assert value(found, "rate_gain") == pytest.approx(gain, abs=0.006)


def test_silencing_inhibition_alone() -> None:
    """Without I, E amplifies itself: r = x / (1 - w) of a linear circuit with w < 1."""
    values = {"projections.*->E.strength": -0.3, "projections.E->E.strength": 0.5, "dt_ms": 0.5}
    circuit = with_values(circuits.load("murphy_miller_2009"), values)
    found = silencing(
        circuit, stimuli.steps([1.0], units=unit_of(circuit)), silence="I", trials=1, duration_ms=800.0, progress=False
    )
    assert found["silenced"].values[0, 0, -1, 0] == pytest.approx(2.0, rel=1e-4)
    assert found.attrs["silenced"] == "I"
    assert found["rate_gain"].attrs["definition"].endswith("evoked response with I silenced")
    assert (found["silenced_recurrent_inhibitory"].values == 0).all()


# Spiking circuits


@pytest.fixture(scope="module")
def small() -> Circuit:
    circuit = circuits.load("ei_assemblies")
    few = tuple(replace(p, size=20 if p.name == "E" else 5) for p in circuit.populations)
    degree = {"E": 20, "I": 5}
    sparse = tuple(replace(q, in_degree=degree[q.source]) for q in circuit.projections)
    return replace(circuit, populations=few, projections=sparse)


@pytest.fixture(scope="module")
def images() -> xr.Dataset:
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {"image": (("stimulus", "y", "x"), rng.random((3, 8, 8)))},
        coords={"stimulus": [3, 7, 8], "label": ("stimulus", [0, 1, 0])},
    )


def experiment(circuit: Circuit, images: xr.Dataset, **options: Any) -> xr.Dataset:
    """Return a short experiment on the numpy target."""
    arguments = {"trials": 1, "duration_ms": 20.0, "settle_ms": 10.0, "rng": 5, "target": "numpy", "progress": False}
    return silencing(circuit, images, **{**arguments, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def cut(small: Circuit, images: xr.Dataset) -> xr.Dataset:
    return experiment(small, images, silence="E->E")


def test_bookkeeping_of_a_spiking_circuit(small: Circuit, images: xr.Dataset, cut: xr.Dataset) -> None:
    assert dict(cut["difference"].sizes) == {"stimulus": 3, "trial": 1, "time": 4, "unit": 16}
    np.testing.assert_array_equal(cut["difference"], cut["intact"] - cut["silenced"])
    excitatory = cut["population"].values == "E"
    assert (cut["silenced_recurrent_excitatory"].values[..., excitatory] == 0).all()
    assert (cut["silenced_recurrent_excitatory"].values[..., ~excitatory] > 0).any()
    np.testing.assert_array_equal(cut["intact_feedforward"], cut["silenced_feedforward"])
    # The definitions, from the stored inputs: late, without what is there without a stimulus.
    noise, _, synapses = (int(n) for n in np.random.default_rng(5).integers(2**62, size=3))
    options: dict[str, Any] = {"rng": noise, "connectivity_rng": synapses, "target": "numpy", "progress": False}
    options |= {"trials": 1, "duration_ms": 20.0, "settle_ms": 10.0}
    blank = circuits.simulate(small, None, **options)
    parts = {"feedforward": "x", "recurrent_excitatory": "e", "recurrent_inhibitory": "i"}
    late = {
        short: cut[f"intact_{part}"].values[:, :, 2:].mean((0, 1, 2)) - blank[part].values[:, :, 2:].mean((0, 1, 2))
        for part, short in parts.items()
    }
    x, excitation, inhibition = late["x"], late["e"], late["i"]
    driven = slice(0, 8)
    np.testing.assert_allclose(cut["excitatory_share"][driven], x[driven] / (x + excitation)[driven])
    np.testing.assert_allclose(cut["net_ratio"][driven], (excitation + inhibition)[driven] / x[driven])
    np.testing.assert_allclose(
        cut["evoked_intact"].mean("stimulus"),
        cut["intact"].values[:, :, 2:].mean((0, 1, 2)) - blank["response"].values[:, :, 2:].mean((0, 1, 2)),
        atol=1e-12,
    )
    # Both circuits are the ones that `simulate` would run from these seeds.
    for which, circuit in (("intact", small), ("silenced", perturb.cut(small, "E->E"))):
        alone = circuits.simulate(circuit, images.isel(stimulus=[1]), **options)
        np.testing.assert_array_equal(cut[which].values[1], alone["response"].values[0])


def test_intervals_hold_the_estimate_and_come_from_stimuli(cut: xr.Dataset) -> None:
    driven = {"unit": slice(0, 8)}
    for name in ("excitatory_share", "amplification", "net_ratio"):
        low, mid, high = (cut[n].isel(driven).values for n in (f"{name}_low", name, f"{name}_high"))
        assert ((low < mid) & (mid < high)).all()
    assert "over stimulus" in cut["net_ratio_low"].attrs["long_name"]
    one = cut["evoked_intact_feedforward"]
    assert one.dims == ("stimulus", "unit")


def test_intervals_are_those_of_the_mean_where_x_is_fixed() -> None:
    """With equal x, the net ratio is a mean over stimuli, whose jackknife interval is Student's."""
    from scipy import stats

    from cortexres.circuits.silencing import _Means, _with_intervals

    rng = np.random.default_rng(1)
    n = 6
    recurrent = rng.normal(2.0, 0.5, (n, 1, 1))
    parts = {
        "response": np.ones((n, 1, 1)),
        "feedforward": np.full((n, 1, 1), 2.0),
        "recurrent_excitatory": recurrent,
        "recurrent_inhibitory": np.zeros((n, 1, 1)),
    }
    means = xr.Dataset({name: (("stimulus", "trial", "unit"), array) for name, array in parts.items()})
    found = _with_intervals(_Means(means, means))
    ratio = recurrent.ravel() / 2.0
    half = stats.t.ppf(0.975, n - 1) * ratio.std(ddof=1) / np.sqrt(n)
    assert float(found["net_ratio"][0]) == pytest.approx(ratio.mean())
    assert float(found["net_ratio_low"][0]) == pytest.approx(ratio.mean() - half)
    assert float(found["net_ratio_high"][0]) == pytest.approx(ratio.mean() + half)
    few = _with_intervals(_Means(*(m.isel(stimulus=[0]) for m in (means, means))))
    assert np.isnan(float(few["net_ratio_low"][0]))


def test_common_random_numbers_pair_the_runs(small: Circuit, images: xr.Dataset) -> None:
    """What silences nothing makes no difference with them, and does without them."""
    apart = with_values(small, {"projections.*.weight_mV": 0.0})
    one = images.isel(stimulus=[0])
    paired = experiment(apart, one, silence="E->E")
    assert (paired["difference"].values == 0).all()
    independent = experiment(apart, one, silence="E->E", common_random_numbers=False)
    assert (independent["difference"].values != 0).any()
    np.testing.assert_array_equal(paired["intact"], independent["intact"])


def test_silenced_cells_fall_silent_and_still_receive(small: Circuit, images: xr.Dataset) -> None:
    found = experiment(small, images.isel(stimulus=[0]), silence=["I", "E->E"])
    inhibitory = found["population"].values == "I"
    assert (found["silenced"].values[..., inhibitory] == 0).all()
    assert (found["silenced_recurrent_excitatory"].values[..., inhibitory] > 0).any()
    assert (found["silenced_recurrent_excitatory"].values[..., ~inhibitory] == 0).all()
    assert (found["silenced_recurrent_inhibitory"].values == 0).all()


def test_what_cannot_be_silenced_is_refused(small: Circuit, images: xr.Dataset) -> None:
    with pytest.raises(ArgumentError, match="no population is named 'X'"):
        experiment(small, images, silence="X")
    with pytest.raises(ArgumentError, match="silence is empty, expected populations or projections"):
        experiment(small, images, silence=[])
    with pytest.raises(ArgumentError, match=r"window_ms is 50 to 60, expected a bin of 5 ms or more in 0 to 20"):
        experiment(small, images.isel(stimulus=[0]), silence="I", window_ms=(50.0, 60.0))
