"""The plain loop: a call of the block per step. Always right, and what every other loop is tested against."""

from __future__ import annotations

from dataclasses import dataclass

from cortexres.nn.constrained import computed_once
from cortexres.nn.loops.run import Output, Run


@dataclass(frozen=True)
class Plain:
    """A call of the block per step; autograd keeps what each needs."""

    def refusal(self, run: Run) -> str | None:
        """Return None: it runs everything."""
        return None

    def __call__(self, run: Run) -> Output:
        """Return (output, last state)."""
        run.check_reached()
        state, read = run.start, []
        with computed_once(run.shared is not None, *run.blocks()):
            for step in range(run.steps):
                state = run.after(state, step)
                if run.wanted(step):
                    read.append(state)
        return run.output(read, state)
