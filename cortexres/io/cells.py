"""Which cells there are, silent ones among them: one row per cell with what is known of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cortexres import provenance
from cortexres.errors import ArgumentError, SchemaError
from cortexres.schema import check_spikes

TEXT_LABELS = ("population", "cell_type", "area", "layer")
MAX_CELLS = 10_000_000  # a stranger's file may claim any number


def cell_table(spikes: xr.Dataset, cells: xr.Dataset | int | None = None) -> xr.Dataset:
    """Return one row per cell of the circuit or the recording, silent cells among them.

    Parameters
    ----------
    spikes : Dataset (`spike`,)
        Spikes that keep the schema, with ``cell``.
    cells : Dataset (`cell`,), int or None
        What is known of the cells where the circuit in the provenance of `spikes` does not say it: a table with the
        ids as coordinate ``cell`` and any of the columns below, or the number of cells, with ids from 0. None takes the
        circuit; without one, those cells that have spikes, because silent ones cannot be known of.

    Returns
    -------
    Dataset (`cell`,)
        Coordinate ``cell`` (id as in `spikes`), ``node`` (index within its population), ``unit`` (-1 where unknown),
        ``population``, ``cell_type``, ``area`` and ``layer`` (empty where unknown). It can be changed and given back
        as `cells`.

    Raises
    ------
    SchemaError
        Where `spikes` does not keep the schema, has no ``cell``, has cells that the table lacks, or other units.
    ArgumentError
        Where `cells` is no such table or number, or there are none.
    """
    check_spikes(spikes)
    if "cell" not in spikes.variables:
        raise SchemaError(
            "spikes: no cell, expected the cell of every spike; where each unit is one cell, use"
            ' assign(cell=spikes["unit"])'
        )
    record = spike_record(spikes)
    table = _given(cells) if cells is not None else _of_circuit(record) if "circuit" in record else _found(spikes)
    if table.sizes["cell"] == 0:
        raise ArgumentError("there are no cells, because no cell has a spike; give cells")
    return _with_units(table, spikes)


def spike_record(spikes: xr.Dataset) -> dict[str, Any]:
    """Return the provenance of `spikes`, empty where it has none; a circuit is in it only if its cells can be told."""
    text = spikes.attrs.get("cortexres_provenance")
    record = dict((provenance.read(text) if isinstance(text, str) else None) or {})
    if not _is_circuit(record.get("circuit")):
        record.pop("circuit", None)
    return record


def _is_circuit(circuit: object) -> bool:
    populations = circuit.get("populations") if isinstance(circuit, dict) else None
    return isinstance(populations, list) and bool(populations) and all(map(_is_population, populations))


def _is_population(population: object) -> bool:
    if not isinstance(population, dict):
        return False
    numbers = (population.get("size"), population.get("assemblies", 1))
    labels = (population.get("name"), *(population.get(name, "") for name in TEXT_LABELS[1:]))
    return all(type(n) is int and n > 0 for n in numbers) and all(isinstance(label, str) for label in labels)


def _of_circuit(record: dict[str, Any]) -> xr.Dataset:
    """The cells of the circuit, population by population and assembly by assembly, as they are simulated."""
    populations = record["circuit"]["populations"]
    sizes = [p["size"] for p in populations]
    assemblies = [p.get("assemblies", 1) for p in populations]
    counts = [size * parts for size, parts in zip(sizes, assemblies, strict=True)]
    if sum(counts) > MAX_CELLS:
        raise SchemaError(
            f"spikes: the circuit in the provenance has {sum(counts):,} cells, expected at most {MAX_CELLS:,}; give"
            " cells"
        )
    columns: dict[str, NDArray[Any]] = {
        "node": np.concatenate([np.arange(count) for count in counts]),
        "unit": np.repeat(np.arange(sum(assemblies)), np.repeat(sizes, assemblies)),
        "population": np.repeat([p["name"] for p in populations], counts),
    }
    for name in TEXT_LABELS[1:]:
        columns[name] = np.repeat([p.get(name, "") for p in populations], counts)
    return _table(np.arange(sum(counts)), columns)


def _found(spikes: xr.Dataset) -> xr.Dataset:
    ids = np.unique(spikes["cell"].values)
    # Ids below 0 mark noise in some recordings, and are no index.
    return _table(ids, {"node": ids if ids.min(initial=0) >= 0 else np.arange(ids.size)})


def _given(cells: object) -> xr.Dataset:
    if isinstance(cells, int | np.integer) and not isinstance(cells, bool):
        if not 0 < cells <= MAX_CELLS:
            raise ArgumentError(f"cells is {cells}, expected a number of cells from 1 to {MAX_CELLS:,}")
        return _table(np.arange(int(cells)), {"node": np.arange(int(cells))})
    if not isinstance(cells, xr.Dataset) or "cell" not in cells.coords or cells["cell"].dims != ("cell",):
        raise ArgumentError(
            f"cells is a {type(cells).__name__}, expected a Dataset with the coordinate cell, or the number of cells"
        )
    ids = _whole(cells["cell"])
    if np.unique(ids).size != ids.size:
        raise ArgumentError("cells: some ids occur more than once, expected one row per cell; drop the repeats")
    columns = {name: _column(cells, name) for name in ("node", "unit", *TEXT_LABELS) if name in cells.variables}
    population = columns.get("population", np.full(ids.size, ""))
    columns.setdefault("node", _rank_within(population) if "population" in columns else ids)
    pairs = set(zip(population.tolist(), columns["node"].tolist(), strict=True))
    if len(pairs) != ids.size or columns["node"].min(initial=0) < 0:
        raise ArgumentError("cells: node is negative or occurs twice in a population, expected its index there")
    return _table(ids, columns)


def _column(cells: xr.Dataset, name: str) -> NDArray[Any]:
    values = cells[name]
    if values.dims != ("cell",):
        raise ArgumentError(f"cells: {name} has dims {values.dims}, expected ('cell',); one value per cell")
    return values.values.astype(str) if name in TEXT_LABELS else _whole(values)


def _whole(values: xr.DataArray) -> NDArray[np.int64]:
    if values.dtype.kind not in "iu":
        raise ArgumentError(f"cells: {values.name} has dtype {values.dtype}, expected integers; use .astype(int)")
    return np.asarray(values.values, dtype=np.int64)


def _rank_within(population: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many rows of the same population stand before each row."""
    rank = np.zeros(population.size, dtype=np.int64)
    for name in np.unique(population):
        rank[population == name] = np.arange(np.count_nonzero(population == name))
    return rank


def _table(ids: NDArray[Any], columns: dict[str, NDArray[Any]]) -> xr.Dataset:
    unknown = {"unit": np.full(ids.size, -1), **{name: np.full(ids.size, "") for name in TEXT_LABELS}}
    variables = {name: ("cell", values) for name, values in {**unknown, **columns}.items()}
    return xr.Dataset(variables, coords={"cell": ids})


def _with_units(table: xr.Dataset, spikes: xr.Dataset) -> xr.Dataset:
    """Return the table with the units that the spikes tell where the table has none, if the two agree."""
    cell, first = np.unique(spikes["cell"].values, return_index=True)
    missing = np.setdiff1d(cell, table["cell"].values)
    if missing.size:
        raise SchemaError(
            f"spikes: cell {missing[0]} is none of the {table.sizes['cell']} cells, expected ids as in the table of"
            " cells; give cells"
        )
    row = rows_of(table, spikes)
    seen = spikes["unit"].values
    unit = table["unit"].values.copy()
    unknown = unit[rows_of(table, cell)] < 0
    unit[rows_of(table, cell)[unknown]] = seen[first[unknown]]
    wrong = np.flatnonzero(unit[row] != seen)
    if wrong.size:
        k = int(wrong[0])
        raise SchemaError(
            f"spikes: cell {spikes['cell'].values[k]} has unit {seen[k]}, expected {unit[row[k]]} as elsewhere; give"
            " the cells of this Dataset as cells"
        )
    return table.assign(unit=("cell", unit))


def rows_of(table: xr.Dataset, cells: xr.Dataset | NDArray[Any]) -> NDArray[np.int64]:
    """Return the row in `table` of every spike, or of every cell id; all must be there."""
    wanted = cells["cell"].values if isinstance(cells, xr.Dataset) else cells
    ids = table["cell"].values
    order = np.argsort(ids, kind="stable")
    return np.asarray(order[np.searchsorted(ids, wanted, sorter=order)], dtype=np.int64)
