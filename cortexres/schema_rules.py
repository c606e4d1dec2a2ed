"""The single rules that `cortexres.schema` is made of; each raises SchemaError where a Dataset breaks it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from cortexres.errors import SchemaError

COMPONENTS = ("feedforward", "recurrent_excitatory", "recurrent_inhibitory")
# Of a drive, and of the input components of brains, which are in the unit of the drive or of what it becomes.
DRIVE_UNITS = ("mV", "pA", "nA", "Hz", "1")
# Differences of float32 states carry rounding of this size, relative to the largest state.
UPDATE_TOLERANCE = 1e-5
HALF_TOLERANCE = 2e-2  # of bfloat16, which has 8 bits


def need(dataset: xr.Dataset, what: str, variables: tuple[str, ...], coordinates: tuple[str, ...]) -> None:
    """Return nothing if the Dataset holds the `variables` and `coordinates`."""
    if not isinstance(dataset, xr.Dataset):
        raise SchemaError(f"{what}: got {type(dataset).__name__}, expected an xarray.Dataset")
    missing = [name for name in variables if name not in dataset.data_vars]
    if missing:
        raise SchemaError(
            f"{what}: no variable {join_names(missing)}, got {join_names(dataset.data_vars)};"
            f" expected {join_names(variables)}: rename or add it"
        )
    missing = [name for name in coordinates if name not in dataset.coords]
    if missing:
        raise SchemaError(
            f"{what}: no coordinate {join_names(missing)}, got {join_names(dataset.coords)};"
            f" expected {join_names(coordinates)}: add it with assign_coords"
        )


def components(dataset: xr.Dataset) -> list[str]:
    """Return the names of the input components that the Dataset holds."""
    return [name for name in COMPONENTS if name in dataset.data_vars]


def check_dims(values: xr.DataArray, what: str, expected: tuple[str, ...]) -> None:
    """Return nothing if `values` has the `expected` dims in this order, none of them empty (but spike)."""
    if values.dims != expected:
        raise SchemaError(
            f"{what}: {values.name} has dims ({join_names(values.dims)}), expected"
            f" ({join_names(expected)}); transpose or rename them"
        )
    empty = [name for name in expected if name != "spike" and values.sizes[name] == 0]
    if empty:
        raise SchemaError(f"{what}: {values.name} has no {empty[0]} (size 0), expected at least one")


def check_label_dims(dataset: xr.Dataset, what: str, labels: dict[str, str]) -> None:
    """Return nothing if each coordinate of `labels` that exists lies on its dim alone."""
    for name, dim in labels.items():
        if name in dataset.coords and dataset[name].dims != (dim,):
            raise SchemaError(
                f"{what}: coordinate {name} has dims ({join_names(dataset[name].dims)}), expected ({dim})"
            )


def check_units(values: xr.DataArray, what: str, expected: str | tuple[str, ...] | None) -> None:
    """Return nothing if `values` is in the `expected` units, in one of several, or in any where None is expected."""
    units = values.attrs.get("units")
    if expected is None:
        if not (isinstance(units, str) and units):
            raise SchemaError(
                f'{what}: {values.name} has no units; set .attrs["units"], "1" where it has no dimension'
            )
        return
    allowed = (expected,) if isinstance(expected, str) else expected
    if units not in allowed:
        got = "no units" if units is None else f"units {units!r}"
        wanted = " or ".join(f'"{unit}"' for unit in allowed)
        raise SchemaError(f'{what}: {values.name} has {got}, expected {wanted}; convert and set .attrs["units"]')


def check_response(response: xr.DataArray, what: str) -> None:
    """Return nothing if `response` holds rates in Hz, or names the other signal that it holds, in units of its own."""
    signal = response.attrs.get("signal")
    if signal is None and response.attrs.get("units", "Hz") != "Hz":
        raise SchemaError(
            f"{what}: response has units {response.attrs['units']!r}, expected \"Hz\"; convert, or, where it is not a"
            ' rate, say what it is in .attrs["signal"], such as "EEG" or "z-score"'
        )
    if signal is not None and not (isinstance(signal, str) and signal):
        raise SchemaError(f"{what}: response.attrs['signal'] is {signal!r}, expected what was recorded, such as 'EEG'")
    check_units(response, what, "Hz" if signal is None else None)
    if response.attrs["units"] == "Hz" and "relative_to" not in response.attrs:
        check_rates(response, what)


def check_same_units(arrays: list[xr.DataArray], what: str) -> None:
    """Return nothing if all `arrays` have the same units, so that they can be added."""
    units = {str(values.name): values.attrs.get("units") for values in arrays}
    if len(set(units.values())) > 1:
        named = join_names(f"{name} in {unit}" for name, unit in units.items())
        raise SchemaError(f"{what}: got {named}, expected one unit for all components; convert them")


def check_drive(drive: xr.DataArray, what: str) -> None:
    """Return nothing if a drive has one of the known units and frames of a positive duration."""
    check_units(drive, what, DRIVE_UNITS)
    width = drive.attrs.get("frame_ms")
    if not isinstance(width, int | float | np.number) or not 0 < width < np.inf:
        raise SchemaError(f"{what}: drive.attrs['frame_ms'] is {width!r}, expected the duration of a frame in ms")


def check_plain(values: xr.DataArray, what: str) -> None:
    """Return nothing if `values` holds plain numbers; a Quantity inside would lose its unit when it is saved.

    Raises
    ------
    SchemaError
        For a Brian2 or pint quantity.
    """
    data = values.variable._data if hasattr(values.variable, "_data") else values.data
    if hasattr(data, "dim") or hasattr(data, "units") or hasattr(data, "magnitude"):
        raise SchemaError(
            f"{what}: {values.name} is a {type(data).__name__}, which would lose its unit; divide by the"
            ' unit and set .attrs["units"]'
        )


def as_numbers(values: xr.DataArray, what: str) -> np.ndarray:
    """Return the values as an array of real numbers."""
    check_plain(values, what)
    if values.dtype.kind not in "fiu":
        raise SchemaError(f"{what}: {values.name} has dtype {values.dtype}, expected real numbers")
    return np.asarray(values.values)


def as_integers(values: xr.DataArray, what: str) -> np.ndarray:
    """Return the values as an array of integers."""
    if values.dtype.kind not in "iu":
        raise SchemaError(
            f"{what}: {values.name} has dtype {values.dtype}, expected integers; use .astype(int)"
        )
    return np.asarray(values.values)


def check_values(values: xr.DataArray, what: str) -> np.ndarray:
    """Return the values as an array of finite real numbers."""
    numbers = as_numbers(values, what)
    check_finite(numbers, values, what)
    return numbers


def check_finite(numbers: np.ndarray, values: xr.DataArray, what: str) -> None:
    """Return nothing if all `numbers` are finite; `values` says where they stand."""
    bad = ~np.isfinite(numbers)
    if bad.any():
        raise SchemaError(
            f"{what}: {values.name} has {int(bad.sum())} values that are NaN or infinite out of {bad.size}, the"
            f" first at {name_where(bad, values)}; leave those stimuli or units out, or mend the values"
        )


def check_ids(dataset: xr.Dataset, what: str, names: tuple[str, ...]) -> None:
    """Return nothing if those coordinates among `names` that exist hold unique integers."""
    for name in names:
        if name not in dataset.coords:
            continue
        ids, counts = np.unique(as_integers(dataset[name], what), return_counts=True)
        if counts.max(initial=1) > 1:
            raise SchemaError(
                f"{what}: {name} ids {name_first(ids[counts > 1])} occur more than once, expected unique ids"
            )


def check_increasing(numbers: np.ndarray, what: str, name: str) -> None:
    """Return nothing if `numbers` are finite and strictly increasing."""
    if not np.all(np.isfinite(numbers)):
        raise SchemaError(f"{what}: {name} holds NaN or infinity, expected finite numbers")
    falls = np.flatnonzero(np.diff(numbers) <= 0)
    if falls.size:
        k = int(falls[0])
        raise SchemaError(
            f"{what}: {name} goes from {numbers[k]} to {numbers[k + 1]} at position {k + 1}, expected"
            f" strictly increasing values; use .sortby({name!r}) and drop repeats"
        )


def check_time(brain: xr.Dataset, what: str) -> None:
    """Return nothing if ``time`` increases, in ms, with the width of its bins in ``bin_ms``."""
    time = brain["time"]
    check_units(time, what, "ms")
    check_increasing(as_numbers(time, what), what, "time")
    width = time.attrs.get("bin_ms")
    if not isinstance(width, int | float | np.number) or not 0 < width < np.inf:
        raise SchemaError(
            f"{what}: time.attrs['bin_ms'] is {width!r}, expected the width of a time bin in ms"
        )
    step = float(np.median(np.diff(time.values))) if time.size > 1 else float(width)
    if any(np.isclose(ratio, 1000.0, rtol=1e-6) for ratio in (width / step, step / width)):
        raise SchemaError(
            f"{what}: time goes in steps of {step:g} and bins are {width:g} wide, a thousand times apart: one of them"
            " is in s; give both in ms"
        )


def check_blocks(network: xr.Dataset, what: str) -> None:
    """Return nothing if ``block`` is 0, 1, ... T and its times, where given, increase."""
    blocks = as_integers(network["block"], what)
    if not np.array_equal(blocks, np.arange(blocks.size)):
        raise SchemaError(
            f"{what}: block is {name_first(blocks)}, expected 0, 1, ... {blocks.size - 1} (0 is the start)"
        )
    if "t_ms" in network.coords:
        if "units" in network["t_ms"].attrs:
            check_units(network["t_ms"], what, "ms")
        check_increasing(as_numbers(network["t_ms"], what), what, "t_ms")


def check_rates(response: xr.DataArray, what: str) -> None:
    """Return nothing if no rate is negative (beyond rounding)."""
    negative = response.values < -1e-9
    if negative.any():
        raise SchemaError(
            f"{what}: response has {int(negative.sum())} negative rates out of {negative.size}, the first at"
            f" {name_where(negative, response)}; expected rates of 0 Hz or more"
        )


def check_update(network: xr.Dataset, what: str) -> None:
    """Return nothing if ``update`` is 0 at block 0 and then what makes the state from the one that was carried."""
    update = network["update"].values.astype(float)
    start = update[:, 0] != 0
    if start.any():
        raise SchemaError(
            f"{what}: update at block 0 is not 0 for {int(start.sum())} of {start.size} values, expected 0:"
            " nothing was added to arrive at the start"
        )
    response = network["response"].values.astype(float)
    if "carried" in network.data_vars:
        carried = network["carried"].values.astype(float)
        name, total = ("sum", network["sum"].values.astype(float)) if "sum" in network else ("response", response)
        expected = total[:, 1:] - carried[:, 1:]
        words = f"update differs from {name} minus carried", f"{name} = carried + update"
        _check_start(network, what)
    elif "sum" in network.data_vars:
        raise SchemaError(f"{what}: got sum without carried, expected both; record the network anew")
    else:
        expected = np.diff(response, axis=1)
        words = "update differs from the change of response", "response[k] - response[k-1]"
    tolerance = UPDATE_TOLERANCE
    if "computed_as" in network["response"].attrs:  # sums of numbers with few bits were rounded to as few
        tolerance = HALF_TOLERANCE
    wrong = np.abs(update[:, 1:] - expected) > tolerance * max(np.abs(response).max(), np.abs(update).max(), 1e-3)
    if wrong.any():
        first = name_where(wrong, network["update"].isel(block=slice(1, None)))
        raise SchemaError(
            f"{what}: {words[0]} for {int(wrong.sum())} of {wrong.size} values, the first at {first}; expected"
            f" {words[1]}"
        )


def _check_start(network: xr.Dataset, what: str) -> None:
    """Return nothing if block 0 is one state, whichever variable it is read from."""
    start = network["response"].isel(block=0)
    for name in ("carried", "sum"):
        if name in network.data_vars and not np.array_equal(network[name].isel(block=0), start):
            raise SchemaError(f"{what}: {name} at block 0 differs from response, expected the state that enters")


def check_score(name: str, values: xr.DataArray, what: str) -> None:
    """Return nothing if a score has time and block first and real values without infinity."""
    leading = tuple(dim for dim in values.dims if dim in ("time", "block"))
    if values.dims[: len(leading)] != tuple(dim for dim in ("time", "block") if dim in leading):
        raise SchemaError(
            f"{what}: {name} has dims ({join_names(values.dims)}), expected time and block first; transpose it"
        )
    if values.dtype.kind not in "fiub":
        raise SchemaError(f"{what}: {name} has dtype {values.dtype}, expected real numbers")
    if np.isinf(values.values).any():
        raise SchemaError(
            f"{what}: {name} holds infinity, expected finite values, or NaN where a score is undefined"
        )
    if name.endswith("_p") and np.any((values.values < 0) | (values.values > 1)):
        raise SchemaError(f"{what}: {name} holds values outside 0..1, expected p-values")


def name_where(bad: np.ndarray, values: xr.DataArray) -> str:
    """Return the position of the first true entry of `bad` in words, ``stimulus=3, unit=0``."""
    position = np.unravel_index(int(np.argmax(bad)), bad.shape)
    parts = []
    for dim, k in zip(values.dims, position, strict=True):
        parts.append(f"{dim}={values[dim].values[k] if dim in values.coords else int(k)}")
    return ", ".join(parts)


def name_first(ids: np.ndarray, count: int = 5) -> str:
    """Return the first `count` ids in words, and how many there are."""
    named = ", ".join(str(k) for k in ids[:count])
    return named + (f", ... ({ids.size} in all)" if ids.size > count else "")


def join_names(names: Iterable[object]) -> str:
    """Return names separated by commas, or "nothing"."""
    return ", ".join(map(str, names)) or "nothing"
