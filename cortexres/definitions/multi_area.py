"""One area -> many: a local circuit in every area, joined by the anatomical data that a user provides.

The circuit of one area holds its local projections (pathway ``"recurrent"``) and, with pathway ``"feedforward"`` and
``"feedback"``, the long-range ones; the factor of the latter is 0 (``matrix = [[0.0]]``) while the area is alone.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cortexres.definitions.circuit import Circuit
from cortexres.definitions.population import Population
from cortexres.definitions.projection import Matrix, Profile, Projection
from cortexres.errors import DataFileError, DefinitionError

Array = NDArray[np.float64]

#: What the names of the files of `load_area_data` contain.
FILES = {"fln": "fln", "hierarchy": "hierarchy", "distances_mm": "wiring"}
_MAX_BYTES = 10_000_000


@dataclass(frozen=True)
class AreaData:
    """Anatomy of a set of areas.

    Attributes
    ----------
    areas : tuple of str
        Names, in the order of all arrays.
    fln : array (target area, source area)
        Fraction of the labelled neurons outside a target area that lie in each source area.
    hierarchy : array (area,)
        Position in the hierarchy, 0 or more, in any unit.
    distances_mm : array (target area, source area) or None
        Length of the wiring between areas.
    """

    areas: tuple[str, ...]
    fln: Array
    hierarchy: Array
    distances_mm: Array | None = None

    def __post_init__(self) -> None:
        n = len(self.areas)
        for name, array, shape in (
            ("fln", self.fln, (n, n)),
            ("hierarchy", self.hierarchy, (n,)),
            ("distances_mm", self.distances_mm, (n, n)),
        ):
            if array is None:
                continue
            if array.shape != shape:
                raise DefinitionError(f"{name} has shape {array.shape}, expected {shape}, for {n} areas in one order")
            if not np.isfinite(array).all() or (array < 0).any():
                raise DefinitionError(f"{name} holds negative or non-finite values, expected numbers of 0 or more")
        if len(set(self.areas)) != n:
            raise DefinitionError("two areas have the same name, expected different ones")
        if not self.hierarchy.max(initial=0.0) > 0:
            raise DefinitionError("hierarchy is 0 in every area, expected some area above the others")


def area_data(
    areas: tuple[str, ...] | list[str], fln: ArrayLike, hierarchy: ArrayLike, distances_mm: ArrayLike | None = None
) -> AreaData:
    """Anatomical data from arrays; see `AreaData`.

    Raises
    ------
    DefinitionError
        If the arrays do not fit each other, or hold negative or non-finite values.
    """
    lengths = None if distances_mm is None else np.asarray(distances_mm, dtype=np.float64)
    return AreaData(tuple(areas), np.asarray(fln, dtype=np.float64), np.asarray(hierarchy, dtype=np.float64), lengths)


def load_area_data(folder: str | Path) -> AreaData:
    """Anatomical data from a folder of three CSV files.

    Parameters
    ----------
    folder : str or Path
        Holds one ``*fln*.csv`` (rows are targets, columns sources), one ``*hierarchy*.csv`` (one value per line) and,
        where known, one ``*wiring*.csv`` (mm). Each starts with a comment line that ends with the names of the areas,
        separated by spaces: ``# areas: V1 V2 V4``.

    Raises
    ------
    DataFileError
        If a file is missing or there are several, or one cannot be read as numbers.
    DefinitionError
        If the files name different areas, or their arrays do not fit.
    """
    path = Path(folder)
    if not path.is_dir():
        raise DataFileError(f"there is no folder {path}; give the one that holds the anatomical data")
    tables = {key: _table(path, part, needed=key != "distances_mm") for key, part in FILES.items()}
    areas, fln = tables["fln"]
    for key, (names, _) in tables.items():
        if names and names != areas:
            raise DefinitionError(f"the file of {key} in {path} names other areas than that of fln, expected the same")
    lengths = tables["distances_mm"][1]
    return area_data(areas, fln, tables["hierarchy"][1].ravel(), lengths if lengths.size else None)


def with_areas(
    circuit: Circuit,
    data: AreaData,
    *,
    gradient: float = 0.68,
    speed_m_per_s: float = 3.5,
    least_fln: float = 0.0,
) -> Circuit:
    """The circuit of one area in every area of `data`, joined by its long-range projections.

    An excitatory projection is stronger by ``1 + gradient h`` in a target area of position h, where h is `hierarchy`
    divided by its largest value. Long-range ones are scaled by the FLN; they are feedforward from lower areas, and
    feedback from others.

    Parameters
    ----------
    circuit : Circuit
        Of one area: populations of one assembly.
    data : AreaData
        From `load_area_data` or `area_data`.
    gradient : float
        Increase of excitation along the hierarchy.
    speed_m_per_s : float
        Conduction speed, with which distances become the delays of long-range projections between spiking cells.
    least_fln : float
        Pairs of areas joined by less than this are left apart, which saves the synapses of many weak projections.

    Returns
    -------
    Circuit
        Its populations have one assembly per area, in the order of `data`, and the drive one channel per area.

    Raises
    ------
    DefinitionError
        If a population of `circuit` has several assemblies, or no projection of `circuit` is a long-range one.

    References
    ----------
    Joglekar, Mejias, Yang & Wang (2018), doi:10.1016/j.neuron.2018.02.031: the gradient and the speed.
    """
    for p in circuit.populations:
        if p.assemblies != 1:
            raise DefinitionError(
                f"population {p.name} has {p.assemblies} assemblies, expected 1: give the circuit of one area"
            )
    if all(q.pathway == "recurrent" for q in circuit.projections):
        raise DefinitionError(
            f"circuit {circuit.name} has no long-range projection, expected some with pathway 'feedforward' or"
            " 'feedback'"
        )
    delays = None
    if data.distances_mm is not None and not circuit.is_rate:
        delays = np.maximum(data.distances_mm / speed_m_per_s, circuit.dt_ms)
    return dataclasses.replace(
        circuit,
        populations=tuple(_in_areas(p, data) for p in circuit.populations),
        projections=tuple(_between_areas(q, data, gradient, delays, least_fln) for q in circuit.projections),
    )


def _in_areas(population: Population, data: AreaData) -> Population:
    return dataclasses.replace(population, assemblies=len(data.areas), assembly_areas=data.areas)


def _between_areas(
    q: Projection, data: AreaData, gradient: float, delays: Array | None, least_fln: float
) -> Projection:
    h = data.hierarchy / data.hierarchy.max()
    if q.pathway == "recurrent":
        factor = np.eye(len(h))
    else:
        lower = h[None, :] < h[:, None]  # the source lies below the target
        joined = (lower if q.pathway == "feedforward" else ~lower) & (data.fln >= least_fln)
        factor = np.where(joined, data.fln, 0.0)
    if q.sign > 0:
        factor = factor * (1.0 + gradient * h)[:, None]
    long_range = delays is not None and q.pathway != "recurrent"
    return dataclasses.replace(
        q,
        profile=Profile(normalised=False),  # the matrix alone says who is joined to whom
        matrix=_rows(factor),
        delay_matrix_ms=_rows(delays) if long_range and delays is not None else (),
    )


def _rows(array: Array) -> Matrix:
    return tuple(tuple(float(v) for v in row) for row in array)


def _table(folder: Path, part: str, *, needed: bool) -> tuple[list[str], Array]:
    """The names of the areas and the numbers of the one file whose name contains `part`."""
    found = sorted(folder.glob(f"*{part}*.csv"))
    if not found and not needed:
        return [], np.empty(0)
    if len(found) != 1:
        raise DataFileError(f"{folder} has {len(found)} files named *{part}*.csv, expected one; add or remove some")
    try:
        if found[0].stat().st_size > _MAX_BYTES:
            raise DataFileError(f"{found[0]} has more than {_MAX_BYTES} bytes, expected a table of some areas")
        text = found[0].read_text(encoding="utf-8")
        comment = next((line for line in text.splitlines() if line.startswith("#")), "")
        names = comment.rsplit(":", 1)[-1].removeprefix("#").split()
        return names, np.loadtxt(text.splitlines(), delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        if isinstance(error, DataFileError):
            raise
        raise DataFileError(f"cannot read {found[0]} as numbers separated by commas: {error}") from error
