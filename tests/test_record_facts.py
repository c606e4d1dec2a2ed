"""A recording says which network it is of, and of which stimuli."""

from __future__ import annotations

import json

import torch

from cortexres import bridge, nn, stimuli
from cortexres.definitions import from_json, load_circuit


def made_by(network: nn.Recordable) -> dict[str, object]:
    return json.loads(nn.record(network, stimuli.patterns(3, rng=0), steps=1).attrs["cortexres_provenance"])


def test_derived_network_and_its_controls() -> None:
    circuit = load_circuit("ei_assemblies")
    network = bridge.residual_network(circuit, duration_ms=20.0)
    record = made_by(network)
    assert record["stimulus_ids"] == [0, 1, 2]
    assert record["network"]["weights"] == "derived"
    assert record["network"]["dt_ms"] == 5.0
    assert from_json(json.dumps(record["network"]["circuit"])) == circuit
    shuffled = {keep: bridge.shuffle_weights(network, rng=0, keep=keep) for keep in ("in_degree", "sign")}
    for keep, other in shuffled.items():
        assert made_by(other)["network"]["weights"] == f"shuffled {keep}"
    assert made_by(bridge.without_recurrence(network))["network"]["weights"] == "none"
    with torch.no_grad():
        network.block.weights[0].mul_(0.9)
    assert made_by(network)["network"]["weights"] == "derived, changed since"


def test_residual_network() -> None:
    front_end = load_circuit("ei_assemblies").drive.front_end
    network = nn.ResidualNetwork(front_end.channels, 7, 3, steps=2, tied=False, front_end=front_end, rng=0)
    assert made_by(network)["network"] == {"tied": False, "n_units": 7, "n_classes": 3}
