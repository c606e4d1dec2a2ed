"""The whole run of a dense leaky network in one Triton kernel each way. Importing this imports Triton.

A program owns some samples and takes them through all steps; programs do not wait for each other. States and their
gradients stay in registers between steps, in the precision of the sums. The weights are read once (``WHOLE``), and
stay in registers or shared memory, or they are read in rows at every step, from the cache, where one multiprocessor
cannot hold them: then the state, too, is read back by rows. What a step needs of the memory is asked for a step ahead.

Sizes are padded to powers of two by masks. Matrices are indexed (from, onto): the forward kernel is given W^T, the
backward kernel W. The functions are passed to `triton.jit` by name, for the type checker's sake.
"""

from __future__ import annotations

import triton  # type: ignore[import-not-found, import-untyped, unused-ignore]
import triton.language as tl  # type: ignore[import-not-found, import-untyped, unused-ignore]


def _tanh(x: tl.tensor) -> tl.tensor:
    """Return tanh: Triton has none that its interpreter runs, and 1 - 2 / (exp(2x) + 1) loses digits near 0."""
    # the rational form of S. Moshier's Cephes library, there
    size = tl.abs(x)
    z = x * x
    top = (-9.64399179425052238628e-1 * z - 9.92877231001918586564e1) * z - 1.61468768441708447952e3
    bottom = ((z + 1.12811678491632931402e2) * z + 2.23548839060100448583e3) * z + 4.84406305325125486048e3
    large = 1.0 - 2.0 / (tl.exp(2.0 * size) + 1.0)
    return tl.where(size < 0.625, x + x * z * (top / bottom), tl.where(x < 0, -large, large))


tanh = triton.jit(_tanh)


def _times(
    vectors: tl.tensor,  # (sample, N)
    matrix: tl.tensor,  # (N, N)
    known: tl.tensor,  # which samples there are
    N: tl.constexpr,
    PADDED: tl.constexpr,
    SAMPLES: tl.constexpr,
    ROWS: tl.constexpr,
    FACTOR: tl.constexpr,
    SUM: tl.constexpr,
    RECTIFIED: tl.constexpr,
) -> tl.tensor:
    """Return the product of vectors and a matrix, both in memory."""
    sample, onto = tl.arange(0, SAMPLES), tl.arange(0, PADDED)
    total = tl.zeros([SAMPLES, PADDED], SUM)
    for k in range(0, N, ROWS):
        source = k + tl.arange(0, ROWS)
        inside = known[:, None] & (source < N)[None, :]
        part = tl.load(vectors + sample[:, None] * N + source[None, :], mask=inside, other=0.0)
        if RECTIFIED:
            part = part.to(SUM)
            part = tl.where(part < 0, 0.0, part)
        inside = (source < N)[:, None] & (onto < N)[None, :]
        rows = tl.load(matrix + source[:, None] * N + onto[None, :], mask=inside, other=0.0)
        total = tl.dot(part.to(FACTOR), rows.to(FACTOR), total, input_precision="ieee", out_dtype=SUM)
    return total


times = triton.jit(_times)


def _forward(
    start: tl.tensor,  # (batch, N)
    matrix: tl.tensor,  # (N, N)
    bias: tl.tensor,  # (N,)
    drive: tl.tensor,  # (batch, N), or (batch, time, N) of strides drive_b, drive_t, 1
    carried: tl.tensor,  # (N,), in the precision of the sums
    added: tl.tensor,
    states: tl.tensor,  # (steps + 1, batch, N); two rows where they are not kept and the weights not WHOLE
    rates: tl.tensor,  # (steps, batch, N)
    picked: tl.tensor,  # (batch, N), the state after step `read`
    last: tl.tensor,
    batch: tl.int64,
    steps: tl.int64,
    read: tl.int64,  # counted from 0
    drive_b: tl.int64,
    drive_t: tl.int64,
    N: tl.constexpr,
    PADDED: tl.constexpr,  # N, padded to a power of two
    SAMPLES: tl.constexpr,  # of a program
    ROWS: tl.constexpr,  # of the matrix, at a time, where it is not WHOLE
    WHOLE: tl.constexpr,
    FACTOR: tl.constexpr,  # type of the factors of products: that of the tensors, where they can be multiplied
    SUM: tl.constexpr,  # type of sums and states in registers
    FUNCTION: tl.constexpr,
    RECTIFIED: tl.constexpr,
    CARRIES: tl.constexpr,
    BIAS: tl.constexpr,
    DRIVE: tl.constexpr,  # dims of the drive, 0 where there is none
    KEEP: tl.constexpr,  # whether states are kept,
    KEEP_RATES: tl.constexpr,  # rates,
    PICK: tl.constexpr,  # and the state after one step
) -> None:
    """Write states, rates and the last state."""
    first = tl.program_id(0).to(tl.int64) * SAMPLES
    sample, unit = tl.arange(0, SAMPLES), tl.arange(0, PADDED)
    known = (first + sample) < batch
    inside = known[:, None] & (unit < N)[None, :]
    at = sample[:, None] * N + unit[None, :]
    here = first * N
    row = batch * N
    state = tl.load(start + here + at, mask=inside, other=0.0).to(SUM)
    a = tl.load(added + unit, mask=unit < N, other=0.0)[None, :]
    if CARRIES:
        c = tl.load(carried + unit, mask=unit < N, other=0.0)[None, :]
    if BIAS:
        b = tl.load(bias + unit, mask=unit < N, other=0.0).to(SUM)[None, :]
    if DRIVE == 2:
        u = tl.load(drive + here + at, mask=inside, other=0.0).to(SUM)
    if DRIVE == 3:
        frame = drive + first * drive_b + sample.to(tl.int64)[:, None] * drive_b + unit[None, :]
        coming = tl.load(frame, mask=inside, other=0.0)
    if WHOLE:
        square = (unit < N)[:, None] & (unit < N)[None, :]
        w = tl.load(matrix + unit[:, None] * N + unit[None, :], mask=square, other=0.0).to(FACTOR)
    before = states + here
    after = before + row
    rate = rates + here
    if KEEP or not WHOLE:
        tl.store(before + at, state, mask=inside)
    if not WHOLE:
        tl.debug_barrier()  # the other threads of the program read the state
    for k in range(steps):
        now = k + 0 * sample[:, None]  # the interpreter combines conditions of the same shape only
        if DRIVE == 3:
            u = coming.to(SUM)
            frame += drive_t
            coming = tl.load(frame, mask=inside & (now + 1 < steps), other=0.0)
        if WHOLE:
            sent = state
            if RECTIFIED:
                sent = tl.where(state < 0, 0.0, state)  # what is not a number stays
            current = tl.dot(sent.to(last.dtype.element_ty).to(FACTOR), w, input_precision="ieee", out_dtype=SUM)
        else:
            current = times(before, matrix, known, N, PADDED, SAMPLES, ROWS, FACTOR, SUM, RECTIFIED)
        if BIAS:
            current += b
        if DRIVE > 0:
            current += u
        if FUNCTION == "tanh":
            current = tanh(current)
        if FUNCTION == "relu":
            current = tl.where(current < 0, 0.0, current)
        if KEEP_RATES:
            tl.store(rate + at, current, mask=inside)
            rate += row
        if CARRIES:
            state = c * state + a * current
        else:
            state = a * current
        if KEEP or not WHOLE:
            tl.store(after + at, state, mask=inside)
        if PICK:
            tl.store(picked + here + at, state, mask=inside & (now == read))
        if not WHOLE:
            tl.debug_barrier()
        if KEEP:
            before = after
            after += row
        else:
            spare = before
            before = after
            after = spare
    tl.store(last + here + at, state, mask=inside)


def _backward(
    gradient: tl.tensor,  # (batch, N), of the last state; becomes that of the first
    given: tl.tensor,  # of the output: (batch, time, N) of strides given_b, given_t, 1, or (batch, N) of one step
    matrix: tl.tensor,  # (N, N)
    carried: tl.tensor,  # (N,), in the precision of the sums
    added: tl.tensor,
    states: tl.tensor,  # (steps + 1, batch, N)
    rates: tl.tensor,  # (steps, batch, N)
    currents: tl.tensor,  # (steps, batch, N), written: the gradients of the input currents
    batch: tl.int64,
    steps: tl.int64,
    read: tl.int64,  # the step, counted from 0, whose gradient is given
    given_b: tl.int64,
    given_t: tl.int64,
    N: tl.constexpr,
    PADDED: tl.constexpr,
    SAMPLES: tl.constexpr,
    ROWS: tl.constexpr,
    WHOLE: tl.constexpr,
    FACTOR: tl.constexpr,
    SUM: tl.constexpr,
    FUNCTION: tl.constexpr,
    RECTIFIED: tl.constexpr,
    CARRIES: tl.constexpr,
    GIVEN: tl.constexpr,  # dims of the given gradient, 0 where there is none
) -> None:
    """Write the gradients of the input currents at every step, and of the state before the first."""
    first = tl.program_id(0).to(tl.int64) * SAMPLES
    sample, unit = tl.arange(0, SAMPLES), tl.arange(0, PADDED)
    known = (first + sample) < batch
    inside = known[:, None] & (unit < N)[None, :]
    at = sample[:, None] * N + unit[None, :]
    row = batch * N
    here = first * N + (steps - 1) * row
    g = tl.load(gradient + first * N + at, mask=inside, other=0.0).to(SUM)
    a = tl.load(added + unit, mask=unit < N, other=0.0)[None, :]
    if CARRIES:
        c = tl.load(carried + unit, mask=unit < N, other=0.0)[None, :]
    if GIVEN == 3:
        frame = given + first * given_b + sample.to(tl.int64)[:, None] * given_b + unit[None, :]
        frame += (steps - 1) * given_t
        coming = tl.load(frame, mask=inside, other=0.0)
    if WHOLE:
        square = (unit < N)[:, None] & (unit < N)[None, :]
        w = tl.load(matrix + unit[:, None] * N + unit[None, :], mask=square, other=0.0).to(FACTOR)
    coming_rate = tl.load(rates + here + at, mask=inside, other=0.0)
    for k in range(steps):
        now = k + 0 * sample[:, None]
        more = inside & (now + 1 < steps)
        if GIVEN == 3:
            g += coming.to(SUM)
            frame -= given_t
            coming = tl.load(frame, mask=more, other=0.0)
        if GIVEN == 2:
            g += tl.load(given + first * N + at, mask=inside & (steps - 1 - now == read), other=0.0).to(SUM)
        rate = coming_rate.to(SUM)
        coming_rate = tl.load(rates + here - row + at, mask=more, other=0.0)
        if RECTIFIED:
            state = tl.load(states + here + at, mask=inside, other=0.0).to(SUM)
        into = a * g
        if FUNCTION == "tanh":
            into = into * (1.0 - rate * rate)
        if FUNCTION == "relu":
            into = tl.where(rate <= 0, 0.0, into)
        tl.store(currents + here + at, into, mask=inside)
        if WHOLE:
            back = tl.dot(into.to(currents.dtype.element_ty).to(FACTOR), w, input_precision="ieee", out_dtype=SUM)
        else:
            tl.debug_barrier()  # the other threads of the program read what was written
            back = times(currents + here, matrix, known, N, PADDED, SAMPLES, ROWS, FACTOR, SUM, False)
        if RECTIFIED:
            back = tl.where(state <= 0, 0.0, back)
        if CARRIES:
            g = c * g + back
        else:
            g = back
        here -= row
    tl.store(gradient + first * N + at, g, mask=inside)


# Batches and numbers of steps do not make kernels of their own.
forward = triton.jit(_forward, do_not_specialize=["batch", "steps", "read", "drive_b", "drive_t"])
backward = triton.jit(_backward, do_not_specialize=["batch", "steps", "read", "given_b", "given_t"])
INTERPRETED = not isinstance(forward, triton.runtime.JITFunction)
