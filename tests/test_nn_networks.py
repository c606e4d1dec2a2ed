"""Whole networks: recording by the schema, and every error."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from cortexres import front_ends, nn, schema
from cortexres.definitions import FrontEnd
from cortexres.errors import ArgumentError

FRONT_END = FrontEnd(kind="random_fields", channels=6, gain_mV=4.0, seed=3)
STEPS = 5


def stimuli(n: int = 12, *, classes: int = 3) -> xr.Dataset:
    """Noise images around one mean image per class, with ids that do not start at 0."""
    rng = np.random.default_rng(7)
    label = np.arange(n) % classes
    image = np.clip(rng.random((classes, 8, 8))[label] + 0.05 * rng.normal(size=(n, 8, 8)), 0, 1)
    coords = {
        "stimulus": np.arange(n) + 100,
        "label": ("stimulus", label),
        "y": np.arange(8),
        "x": np.arange(8),
    }
    return xr.Dataset({"image": (("stimulus", "y", "x"), image)}, coords=coords)


def network(*, tied: bool = True, steps: int = STEPS, rng: int = 0) -> nn.ResidualNetwork:
    return nn.ResidualNetwork(6, 10, 3, steps=steps, tied=tied, front_end=FRONT_END, rng=rng)


class Derived:
    """A stand-in with the protocol of a network derived from a circuit: two units, one block per 5 ms."""

    name, dt_ms = "stand-in", 5.0

    def __init__(self, **replaced: Tensor) -> None:
        self.unit_coords = {"name": np.array(["E0", "I0"]), "assembly": np.array([0, 0])}
        self.replaced = replaced

    def inputs(self, images: xr.Dataset) -> Tensor:
        return torch.as_tensor(images["image"].mean(("y", "x")).to_numpy())

    def trajectory(self, inputs: Tensor, steps: int | None = None) -> dict[str, Tensor]:
        k = torch.arange((4 if steps is None else steps) + 1, dtype=torch.float64)
        response = inputs[:, None, None] * (k**2)[:, None].expand(-1, 2)
        return {"response": response, "feedforward": response + 1, "hidden": response} | self.replaced


def test_inputs_are_of_the_type_asked_for() -> None:
    assert nn.inputs_of(network(), stimuli()).dtype == torch.float64
    assert nn.inputs_of(network().float(), stimuli(), dtype=torch.float32).dtype == torch.float32


def test_tied_and_untied_compute_the_same() -> None:
    tied = network()
    untied = tied.to_untied()
    x = tied.inputs(stimuli())
    assert torch.equal(tied(x), untied(x))
    assert (tied.name, untied.name) == ("tied ResNet", "untied ResNet")
    assert (tied.tied, untied.tied) == (True, False)


def test_parameters_of_the_tied_network_do_not_depend_on_depth() -> None:
    def count(model: nn.ResidualNetwork) -> int:
        return sum(parameter.numel() for parameter in model.parameters())

    assert count(network(steps=2)) == count(network(steps=40))
    block = 10 * 10 + 10
    assert count(network(tied=False, steps=40)) - count(network(steps=40)) == 39 * block


def test_untied_blocks_start_different() -> None:
    blocks = network(tied=False).recurrent.blocks
    first, second = (block.transform.layers[0].weight for block in blocks[:2])
    assert not torch.equal(first, second)


def test_inputs_are_the_front_end_drive() -> None:
    expected = front_ends.drive(stimuli(), FRONT_END).to_numpy()
    np.testing.assert_array_equal(network().inputs(stimuli()).numpy(), expected)


def test_state_dict_round_trip() -> None:
    first, second = network(rng=1), network(rng=2)
    second.load_state_dict(first.state_dict(), strict=True)
    x = first.inputs(stimuli())
    assert torch.equal(first(x), second(x))
    pointers = [value.data_ptr() for value in first.state_dict().values()]
    assert len(set(pointers)) == len(pointers)


def test_record_keeps_the_schema() -> None:
    blocks = schema.check_network(nn.record(network(), stimuli()))
    assert blocks["response"].dims == ("stimulus", "block", "unit")
    assert dict(blocks.sizes) == {"stimulus": 12, "block": STEPS + 1, "unit": 10}
    np.testing.assert_array_equal(blocks["stimulus"], np.arange(12) + 100)
    np.testing.assert_array_equal(blocks["label"], np.arange(12) % 3)
    assert "t_ms" not in blocks.coords
    assert blocks["response"].attrs["units"] == "1"
    assert json.loads(blocks.attrs["cortexres_provenance"])


def test_updates_add_up_to_the_state() -> None:
    blocks = nn.record(network(), stimuli())
    assert (blocks["update"].sel(block=0) == 0).all()
    summed = blocks["response"].isel(block=[0]).to_numpy() + blocks["update"].cumsum("block")
    np.testing.assert_allclose(summed.to_numpy(), blocks["response"].to_numpy(), atol=1e-14)


def test_record_takes_anything_with_the_protocol() -> None:
    blocks = schema.check_network(nn.record(Derived(), stimuli(), steps=3))
    np.testing.assert_array_equal(blocks["t_ms"], [0, 5, 10, 15])
    assert list(blocks["name"].to_numpy()) == ["E0", "I0"]
    assert blocks.attrs["model"] == "stand-in"
    assert blocks["response"].attrs["units"] == "Hz"
    assert blocks["feedforward"].attrs["units"] == "mV"
    assert "hidden" not in blocks
    assert nn.record(Derived(), stimuli()).sizes["block"] == 5


def test_record_names_the_fault() -> None:
    with pytest.raises(ArgumentError, match="steps=-2, expected 0 or more"):
        nn.record(network(), stimuli(), steps=-2)
    with pytest.raises(ArgumentError, match=r"got response of shape \(12, 2\), expected \(12 stimuli"):
        nn.record(Derived(response=torch.zeros(12, 2)), stimuli())
    with pytest.raises(ArgumentError, match="got feedforward of shape"):
        nn.record(Derived(feedforward=torch.zeros(12, 5, 3)), stimuli())
    with pytest.raises(ArgumentError, match="got response with NaN or infinite values"):
        nn.record(Derived(response=torch.full((12, 5, 2), torch.nan)), stimuli())

    class Mute(Derived):
        def trajectory(self, inputs: Tensor, steps: int | None = None) -> dict[str, Tensor]:
            return {"state": inputs}

    with pytest.raises(ArgumentError, match=r"trajectory with \['state'\], expected 'response'"):
        nn.record(Mute(), stimuli())


def test_network_arguments_out_of_range() -> None:
    with pytest.raises(ArgumentError, match="n_inputs=5, expected 6: the channels"):
        nn.ResidualNetwork(5, 10, 3, steps=2, tied=True, front_end=FRONT_END)
    with pytest.raises(ArgumentError, match="n_classes=1, expected 2 or more"):
        nn.ResidualNetwork(6, 10, 1, steps=2, tied=True, front_end=FRONT_END)
    with pytest.raises(ArgumentError, match="steps=0, expected 1 or more"):
        network(tied=False, steps=0)
