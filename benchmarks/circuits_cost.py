"""What a piece of work costs: CPU time with that of the processes it started, wall time, and how busy others were."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """CPU seconds (own and of children that ended, compilers for instance) and seconds on the clock."""

    cpu_s: float = 0.0
    wall_s: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        """Both together."""
        return Cost(self.cpu_s + other.cpu_s, self.wall_s + other.wall_s)

    def __sub__(self, other: Cost) -> Cost:
        """What this costs more."""
        return Cost(self.cpu_s - other.cpu_s, self.wall_s - other.wall_s)

    def __rmul__(self, n: float) -> Cost:
        """The same `n` times."""
        return Cost(n * self.cpu_s, n * self.wall_s)

    def as_dict(self) -> dict[str, float]:
        """As JSON takes it, and `Cost(**it)` takes it back."""
        return asdict(self)


def now() -> Cost:
    """The readings of the clocks; the difference of two is a cost."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Cost(sum(u.ru_utime + u.ru_stime for u in used), time.perf_counter())


def mean(costs: Sequence[Cost]) -> Cost:
    """The cost of one of them on average."""
    return 1.0 / len(costs) * sum(costs, Cost())


def extrapolated(runs: Sequence[Cost], n: int) -> Cost:
    """The cost of `n` runs of which a few are known: the first, which may be dearer, and n - 1 like the others."""
    return runs[0] + (n - 1) * mean(runs[1:])


def peak_memory_GB() -> float:
    """The largest resident memory of this process or of any one process that it started."""
    used = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(used) * (1 if sys.platform == "darwin" else 1024) / 1e9


def machine_busy_s() -> float:
    """CPU seconds that all processes of the machine have used since it started; nan where Linux does not say."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return float("nan")
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def load() -> list[float]:
    """The machine's load averages over 1, 5 and 15 minutes."""
    return [round(x, 2) for x in os.getloadavg()]
