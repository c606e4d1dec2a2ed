"""verify(name) -> what was measured of a circuit, beside what was published."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cortexres.definitions import Protocol, Target, load_circuit, load_verification
from cortexres.definitions.names import did_you_mean
from cortexres.definitions.targets import Setting
from cortexres.errors import DefinitionError
from cortexres.verify.protocols import PROTOCOLS


@dataclass(frozen=True, kw_only=True)
class Result:
    """One published value and the measured one.

    Parameters
    ----------
    protocol, quantity, unit : str
        What was measured how; see `cortexres.definitions.Target`.
    published, low, high : float
        The value, and what counts as reproduced.
    measured : float
        NaN where it is undefined, which is never met.
    met : bool
        Whether `measured` lies in `low` to `high`.
    seconds : float
        Wall time of the whole protocol, which may measure other quantities too.
    source : str
        Where the published value comes from, where not the circuit's own source.
    """

    protocol: str
    quantity: str
    unit: str
    published: float
    low: float
    high: float
    measured: float
    met: bool
    seconds: float
    source: str = ""


def verify(
    name: str | Path,
    *,
    data: str | Path | None = None,
    slow: bool = True,
    seed: int = 0,
    target: str = "auto",
) -> list[Result]:
    """Rerun the targets of a definition.

    Parameters
    ----------
    name : str or Path
        As for `cortexres.circuits.load`; with a variant, the protocols of that variant alone.
    data : str, Path or None
        Folder of data that the package may not ship, for the protocols that need them.
    slow : bool
        Run protocols of more than about ten seconds too.
    seed : int
        Of everything random.
    target : str
        How Brian2 runs; see `cortexres.circuits.simulate`.

    Returns
    -------
    list of Result
        One per target, in the order of the definition's protocols.

    Raises
    ------
    DefinitionError
        If there is no such definition, or a protocol or target asks for what does not exist.
    DataFileError
        If a protocol needs `data`; the message says which.
    """
    return [
        result
        for protocol, targets in chosen(name, slow=slow)
        for result in measure(name, protocol, targets, data=data, seed=seed, target=target)
    ]


def chosen(name: str | Path, *, slow: bool = True) -> list[tuple[Protocol, list[Target]]]:
    """The protocols of a definition that `verify` would run, each with its targets; arguments as there.

    Raises
    ------
    DefinitionError
        If there is no such definition or variant.
    """
    load_circuit(name)  # a misspelt variant has no protocols, and nothing would be found wrong with it
    verification = load_verification(name)
    variant = _variant(name)
    return [
        (protocol, [t for t in verification.targets if t.protocol == protocol.name])
        for protocol in verification.protocols
        if (slow or not protocol.slow) and variant in ("", protocol.variant)
    ]


def measure(
    name: str | Path,
    protocol: Protocol,
    targets: list[Target],
    *,
    data: str | Path | None = None,
    seed: int = 0,
    target: str = "auto",
) -> Iterator[Result]:
    """Run one protocol and yield a result per target; arguments and errors as in `verify`."""
    if protocol.kind not in PROTOCOLS:
        raise DefinitionError(
            f"protocol {protocol.name} of {name} is of kind {protocol.kind!r}{did_you_mean(protocol.kind, PROTOCOLS)}"
        )
    base = str(name).removesuffix(f":{_variant(name)}") if _variant(name) else str(name)
    circuit = load_circuit(f"{base}:{protocol.variant}" if protocol.variant else base)
    settings: dict[str, Setting] = {**protocol.settings, "seed": float(seed), "target": target}
    if data is not None:
        settings["data_folder"] = str(data)
    begin = time.perf_counter()
    found = PROTOCOLS[protocol.kind](circuit, settings)
    seconds = time.perf_counter() - begin
    for wanted in targets:
        yield _compared(wanted, found, seconds)


def _compared(target: Target, found: dict[str, float], seconds: float) -> Result:
    if target.quantity not in found:
        raise DefinitionError(
            f"protocol {target.protocol} does not measure {target.quantity!r}{did_you_mean(target.quantity, found)}"
        )
    measured = float(found[target.quantity])
    return Result(
        protocol=target.protocol,
        quantity=target.quantity,
        unit=target.unit,
        published=target.value,
        low=target.low,
        high=target.high,
        measured=measured,
        met=target.met_by(measured),
        seconds=seconds,
        source=target.source,
    )


def _variant(name: str | Path) -> str:
    """The variant that a name asks for; a colon in a folder's name asks for none."""
    last = Path(str(name)).name
    return "" if Path(str(name)).exists() else last.partition(":")[2]
