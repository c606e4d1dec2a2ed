"""Which cells there are: those of the circuit, of a table, or of the spikes, numbered as the simulation does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from spikes_synthetic import UNIT, make_spikes, record, table

from cortexres import circuits, io
from cortexres.definitions import Circuit, unit_coordinates
from cortexres.errors import ArgumentError, SchemaError


def test_cells_of_a_simulation_are_numbered_as_it_numbers_them(tiny_circuit: Circuit) -> None:
    images = np.random.default_rng(0).uniform(size=(1, 8, 8))
    stimuli = xr.Dataset(
        {"image": (("stimulus", "y", "x"), images)},
        {"stimulus": [5], "y": range(8), "x": range(8), "label": ("stimulus", [0])},
    )
    spikes = circuits.spikes(
        tiny_circuit, stimuli, trials=1, duration_ms=30, settle_ms=10, rng=0, target="numpy", progress=False
    )
    assert spikes.sizes["spike"] > 20
    table = io.cell_table(spikes)  # refuses where the unit of any spike is another
    units = unit_coordinates(tiny_circuit)
    for name in ("population", "cell_type", "area", "layer"):
        np.testing.assert_array_equal(table[name], units[name][table["unit"].values])
    sizes = {p.name: p.size for p in tiny_circuit.populations}
    expected = [sizes[str(population)] for population in units["population"]]
    np.testing.assert_array_equal(np.bincount(table["unit"]), expected)


def test_cells_of_the_circuit_with_the_silent_ones(tmp_path: Path) -> None:
    table = io.cell_table(make_spikes())
    np.testing.assert_array_equal(table["cell"], np.arange(13))
    np.testing.assert_array_equal(table["unit"], UNIT)
    np.testing.assert_array_equal(table["node"], [*range(8), *range(3), *range(2)])
    np.testing.assert_array_equal(table["layer"], ["2/3"] * 8 + ["4"] * 5)
    assert io.cell_table(make_spikes(), table).identical(table)
    assert io.cell_table(io.load(io.save(make_spikes(), tmp_path / "spikes.nc"), kind="spikes")).identical(table)


def test_cells_without_a_circuit() -> None:
    spikes = make_spikes(with_provenance=False)
    found = io.cell_table(spikes)
    np.testing.assert_array_equal(found["cell"], np.unique(spikes["cell"]))
    np.testing.assert_array_equal(found["unit"], UNIT[found["cell"].values])
    np.testing.assert_array_equal(found["node"], found["cell"])
    np.testing.assert_array_equal(io.cell_table(spikes.assign(cell=spikes["cell"] - 1))["node"], np.arange(10))
    counted = io.cell_table(spikes, 15)
    np.testing.assert_array_equal(counted["unit"], [0, 0, -1, 0, 1, 1, 1, 1, 2, 2, 2, -1, -1, -1, -1])
    ids, population = [10, 9, 8, 7, 6, 5, 4, 3, 1, 0], ["b", "a"] * 5
    given = io.cell_table(spikes, xr.Dataset({"population": ("cell", population)}, {"cell": ids}))
    np.testing.assert_array_equal(given["node"], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    np.testing.assert_array_equal(given["unit"], UNIT[ids])


@pytest.mark.parametrize(
    "circuit",
    [
        "text",
        {"populations": []},
        {"populations": [{"name": "E", "size": "many"}]},
        {"populations": ["E"]},
        {"populations": [{"name": 3, "size": 3}]},
    ],
)
def test_a_strangers_circuit_that_is_none_is_not_followed(circuit: object) -> None:
    spikes = make_spikes()
    spikes.attrs["cortexres_provenance"] = record(circuit=circuit)
    assert io.cell_table(spikes).sizes["cell"] == 10


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (0, "cells is 0, expected a number of cells from 1"),
        (True, "cells is a bool, expected a Dataset with the coordinate cell"),
        (xr.Dataset(), "cells is a Dataset, expected a Dataset with the coordinate cell"),
        (table(unit=np.zeros(13)), "cells: unit has dtype float64, expected integers"),
        (table().assign(layer=("other", ["4"])), r"cells: layer has dims \('other',\)"),
        (xr.Dataset(coords={"cell": [1, 1]}), "some ids occur more than once"),
        (table(node=np.zeros(13, dtype=int)), "node is negative or occurs twice"),
        (table(node=np.arange(13) - 1), "node is negative or occurs twice"),
    ],
)
def test_cells_that_are_none(cells: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        io.cell_table(make_spikes(), cells)


def test_spikes_that_do_not_fit_the_cells() -> None:
    spikes = make_spikes()
    with pytest.raises(SchemaError, match="no cell, expected the cell of every spike"):
        io.cell_table(spikes.drop_vars("cell"))
    with pytest.raises(SchemaError, match="cell 9 is none of the 9 cells"):
        io.cell_table(spikes, 9)
    with pytest.raises(SchemaError, match=r"cell \d+ has unit \d, expected \d as elsewhere"):
        io.cell_table(spikes.assign(unit=spikes["unit"] + 1))
    with pytest.raises(ArgumentError, match="there are no cells, because no cell has a spike"):
        io.cell_table(make_spikes(with_provenance=False).isel(spike=slice(0)))
    spikes.attrs["cortexres_provenance"] = record(circuit={"populations": [{"name": "E", "size": 10**15}]})
    with pytest.raises(SchemaError, match="has 1,000,000,000,000,000 cells, expected at most"):
        io.cell_table(spikes)
