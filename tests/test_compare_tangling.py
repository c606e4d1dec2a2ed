"""Tangling and time scales of Jacobians against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from linear_systems import RELAXING, operator, unrolled

from cortexres.compare.dynamics.generators import generators
from cortexres.compare.dynamics.jacobian_scales import jacobian_scales
from cortexres.compare.dynamics.tangling import tangling, tangling_of_states
from cortexres.errors import ArgumentError


def path(x: np.ndarray, y: np.ndarray, *, dt: float) -> xr.Dataset:
    """Return a brain Dataset of two rates along a closed path, one stimulus."""
    response = 100 + 10 * np.stack([x, y], axis=-1)[None, None]
    return xr.Dataset(
        {"response": (("stimulus", "trial", "time", "unit"), response, {"units": "Hz"})},
        coords={
            "stimulus": [0],
            "time": ("time", (np.arange(len(x)) + 0.5) * dt, {"units": "ms", "bin_ms": dt}),
            "unit": [0, 1],
            "population": ("unit", ["E", "E"]),
        },
    )


def test_circle_is_untangled_and_figure_eight_is_tangled_where_it_crosses() -> None:
    """On the circle |x' - y'| = omega |x - y|, so Q = omega^2 4 / (4 + 0.1); a crossing leaves in two directions."""
    t = np.arange(400) * 2 * np.pi / 400
    dt = 2.0
    omega = 2 * np.pi / (400 * dt)
    circle = tangling(path(np.cos(t), np.sin(t), dt=dt))
    np.testing.assert_allclose(circle["tangling"][0], omega**2 * 4 / 4.1, rtol=1e-3)
    np.testing.assert_array_equal(circle["time"], path(t, t, dt=dt)["time"][1:-1])
    t = t + np.pi / 2  # so that it crosses itself within, and not at the ends
    eight = tangling(path(np.sin(t), np.sin(2 * t) / 2, dt=dt))
    crossing = float(eight["tangling"].sel(time=100.5 * dt)[0])
    # At the crossing x' = omega (+-1, 1), 2 omega apart in x, and the states are as one: Q = 4 omega^2 / (0.1 var).
    assert crossing == pytest.approx(4 * omega**2 / (0.1 * (1 / 2 + 1 / 8)), rel=1e-2)
    assert float(eight["tangling_90"]) > 5 * float(circle["tangling_90"])
    assert circle["tangling"].attrs["units"] == "1/ms^2"


def test_epsilon_and_scale_and_rotation() -> None:
    rng = np.random.default_rng(0)
    states, velocities = rng.standard_normal((2, 40, 5))
    expected = tangling_of_states(states, velocities)
    rotation = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    np.testing.assert_allclose(tangling_of_states(7 * states @ rotation + 3, 7 * velocities @ rotation), expected)
    by_hand = [
        max(
            np.sum((velocities[i] - velocities[j]) ** 2)
            / (np.sum((states[i] - states[j]) ** 2) + 0.1 * states.var(axis=0).sum())
            for j in range(40)
        )
        for i in range(40)
    ]
    np.testing.assert_allclose(expected, by_hand, rtol=1e-9)
    assert (tangling_of_states(states, velocities, epsilon=1.0) < expected).all()
    assert np.isnan(tangling_of_states(np.ones((4, 2)), velocities[:4, :2])).all()
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        here = [torch.from_numpy(part).to(device) for part in (states, velocities)]
        np.testing.assert_allclose(tangling_of_states(*here).cpu().numpy(), expected, rtol=1e-9)


def test_network_leaves_with_its_next_update() -> None:
    """Every linear system is untangled: |A d|^2 / |d|^2 is at most the squared norm of A, whatever the step."""
    matrix = operator(RELAXING, np.random.default_rng(2))
    net = unrolled(matrix, h=0.5, blocks=12, units=6)
    found = tangling(net)
    assert found["tangling"].dims == ("stimulus", "block")
    assert found.sizes["block"] == 12
    states, updates = net["response"].values, net["update"].values
    by_hand = tangling_of_states(states[:, :-1].reshape(-1, 6), updates[:, 1:].reshape(-1, 6) / 0.5)
    np.testing.assert_allclose(found["tangling"].values.ravel(), by_hand, rtol=1e-9)
    assert float(found["tangling_90"]) == pytest.approx(np.quantile(by_hand, 0.9), rel=1e-9)
    flow = np.linalg.lstsq(
        np.vstack([states[:, k] - states[:, k + 1] for k in range(11)]),
        np.vstack([updates[:, k + 1] - updates[:, k + 2] for k in range(11)]) / 0.5,
        rcond=None,
    )[0]
    assert found.attrs["rank"] == 6
    axes = np.linalg.eigh(np.cov(states.reshape(-1, 6), rowvar=False))[1][:, -2:]
    first = tangling_of_states(states[:, :-1].reshape(-1, 6) @ axes, updates[:, 1:].reshape(-1, 6) @ axes / 0.5)
    few = tangling(net, rank=2)
    np.testing.assert_allclose(few["tangling"].values.ravel(), first, rtol=1e-9)
    assert few.attrs["rank"] == 2
    # Stimuli have inputs of their own: states of one stimulus alone obey one linear system.
    for k in range(8):
        alone = tangling(net.isel(stimulus=[k]))["tangling"]
        assert (alone <= np.linalg.norm(flow, 2) ** 2).all()


def test_tangling_arguments_are_checked() -> None:
    data = path(np.arange(6.0), np.zeros(6), dt=1.0)
    with pytest.raises(ArgumentError, match="got rank=3, expected 1 to 2"):
        tangling(data, rank=3)
    with pytest.raises(ArgumentError, match="got epsilon=0"):
        tangling(data, epsilon=0)
    still = tangling(path(np.zeros(6), np.zeros(6), dt=1.0))
    assert np.isnan(still["tangling"]).all()
    assert "all the same" in still["tangling"].attrs["undefined"]


def spectrum(values: list[complex]) -> xr.Dataset:
    numbers = np.array(values)
    return xr.Dataset({"eigenvalue_real": ("rank", numbers.real), "eigenvalue_imag": ("rank", numbers.imag)})


def test_leak_decays_as_its_closed_form_and_its_circuit_has_its_time_constant() -> None:
    tau, h = 20.0, 2.0
    found = jacobian_scales(spectrum([1 - h / tau]), step_ms=h)
    assert float(found["decay_ms"][0]) == pytest.approx(-h / np.log(1 - h / tau), abs=1e-12)
    assert float(found["generator_ms"][0]) == pytest.approx(tau, abs=1e-9)
    assert np.isnan(found["period_ms"][0])


def test_turns_growth_and_what_has_no_time_scale() -> None:
    found = jacobian_scales(spectrum([0.5j, 1.0, 2.0, 0.0, -0.5, complex(np.nan, np.nan)]), step_ms=3.0)
    decay, period = found["decay_ms"].values, found["period_ms"].values
    assert decay[0] == pytest.approx(3 / np.log(2))
    assert period[0] == pytest.approx(12.0)
    assert np.isnan(decay[[1, 5]]).all()
    assert np.isnan(found["generator_ms"][1])
    assert decay[2] == pytest.approx(-3 / np.log(2))
    assert float(found["generator_ms"][2]) == pytest.approx(-3.0)
    assert decay[3] == 0.0
    assert period[4] == pytest.approx(6.0)


def test_generators_have_the_same_names_and_the_system_its_time_constants() -> None:
    matrix = operator(RELAXING, np.random.default_rng(2))
    found = generators(unrolled(matrix, h=0.5, blocks=40), rank=6)
    scales = jacobian_scales(found, step_ms=found.attrs["step_ms"])
    np.testing.assert_allclose(np.sort(scales["generator_ms"]), np.sort(-1 / np.array(RELAXING)), rtol=1e-5)
    assert scales["generator_ms"].attrs["units"] == "ms"


def test_a_recording_in_wide_bins_has_the_time_constants_of_its_system() -> None:
    """A bin is no step of Euler's method, by which 10 ms of a decay in 20 ms would be one in 25."""
    seen = spectrum([np.exp(-10 / 20)]).assign_attrs(axis="time")
    assert float(jacobian_scales(seen, step_ms=10.0)["generator_ms"][0]) == pytest.approx(20.0, abs=1e-9)
    blocks = jacobian_scales(spectrum([np.exp(-10 / 20)]), step_ms=10.0)
    assert float(blocks["generator_ms"][0]) == pytest.approx(25.415, abs=1e-3)


def test_jacobian_scales_arguments_are_checked() -> None:
    with pytest.raises(ArgumentError, match="expected eigenvalue_real and eigenvalue_imag"):
        jacobian_scales(xr.Dataset({"value": 1.0}), step_ms=1.0)
    with pytest.raises(ArgumentError, match="got step_ms=0"):
        jacobian_scales(spectrum([0.5]), step_ms=0)
