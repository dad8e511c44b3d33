"""Signatures of the native kernels: tensors travel as DLPack capsules (``ops._native.argument``)."""

from collections.abc import Sequence
from typing import Any

commit: str
compiler: str
cuda_architectures: str | None
gated_tokens_per_block: int
hardware_threads: int
is_intel: bool
recycled_bytes: int
window_keys_per_block: int
window_tokens_per_block: int

def check_ids(ids: Any, name: str, limit: int) -> None: ...
def check_offsets(offsets: Any, tokens: int) -> None: ...
def crf_bend(
    emissions: Any,
    tags: Any,
    transitions: Any,
    offsets: Any,
    start: Any,
    end: Any,
    along: Sequence[Any],
    other: Sequence[Any],
    out: Any,
    threads: int,
) -> None: ...
def crf_curvature(
    upstream: Any,
    emissions: Any,
    tags: Any,
    transitions: Any,
    offsets: Any,
    start: Any,
    end: Any,
    along: Sequence[Any],
    d_emissions: Any,
    d_transitions: Any,
    d_start: Any,
    d_end: Any,
    threads: int,
) -> None: ...
def crf_gradients(
    upstream: Any,
    emissions: Any,
    tags: Any,
    transitions: Any,
    offsets: Any,
    start: Any,
    end: Any,
    d_emissions: Any,
    d_transitions: Any,
    d_start: Any,
    d_end: Any,
    workspace: Any,
    threads: int,
    stream: int,
) -> None: ...
def crf_log_likelihood(
    emissions: Any,
    tags: Any,
    transitions: Any,
    offsets: Any,
    start: Any,
    end: Any,
    out: Any,
    threads: int,
    stream: int,
) -> None: ...
def crf_marginals(
    emissions: Any,
    transitions: Any,
    offsets: Any,
    start: Any,
    end: Any,
    out: Any,
    workspace: Any,
    threads: int,
    stream: int,
) -> None: ...
def crf_span_marginals(
    emissions: Any,
    tags: Any,
    transitions: Any,
    offsets: Any,
    start: Any,
    end: Any,
    spans: Any,
    out: Any,
    threads: int,
    stream: int,
) -> None: ...
def crf_tangent(
    emissions: Any,
    tags: Any,
    transitions: Any,
    offsets: Any,
    start: Any,
    end: Any,
    along: Sequence[Any],
    out: Any,
    threads: int,
) -> None: ...
def dense_available() -> bool: ...
def dense_backward(grad: Any, outputs: int, weights: Any, out: Any, threads: int, stream: int) -> None: ...
def dense_forward(x: Any, inputs: int, weights: Any, out: Any, threads: int, stream: int) -> None: ...
def dense_in_tiles() -> bool: ...
def dense_operand(
    values: Any, columns: int, over_columns: Any, over_rows: Any, threads: int, stream: int
) -> None: ...
def dense_step(
    weights: Any,
    grad: Any,
    x: Any,
    rows: int,
    first: Any,
    second: Any,
    low: Any,
    size: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    decay: float,
    threads: int,
    stream: int,
) -> None: ...
def drop_buffers() -> None: ...
def embedding_grad_weight(
    grad: Any,
    keys: Any,
    offsets: Any,
    window: int,
    limit: int,
    padding_idx: int,
    padding_is_apart: bool,
    padding_sum: Any,
    workspace: Any,
    run_rows: Any,
    run_blocks: Any,
    run_tokens: Any,
    rows: Any,
    out: Any,
    threads: int,
    stream: int,
) -> None: ...
def embedding_sort(
    ids: Any, limit: int, padding_idx: int, window: int, keys: Any, scratch: Any
) -> tuple[Any, ...]: ...
def embedding_window(
    weight: Any, ids: Any, offsets: Any, window: int, padding_idx: int, out: Any, threads: int, stream: int
) -> None: ...
def force_simd(level: str) -> None: ...
def gated_gate(
    rows: Any,
    bias: Any,
    hidden: Any,
    weight: Any,
    shift: Any,
    epsilon: float,
    stats: Any,
    out: Any,
    threads: int,
    stream: int,
) -> None: ...
def gated_gate_grad(
    grad: Any,
    rows: Any,
    bias: Any,
    hidden: Any,
    weight: Any,
    stats: Any,
    workspace: Any,
    grad_rows: Any,
    grad_hidden: Any,
    grad_weight: Any,
    grad_shift: Any,
    grad_bias: Any,
    threads: int,
    stream: int,
) -> None: ...
def gated_taps(
    values: Any,
    first: Any,
    last: Any,
    shift: int,
    dilation: int,
    seed: int,
    share: float,
    out: Any,
    threads: int,
    stream: int,
) -> None: ...
def gated_taps_grad(
    grad: Any,
    residual: Any,
    first: Any,
    last: Any,
    shift: int,
    dilation: int,
    seed: int,
    share: float,
    out: Any,
    threads: int,
    stream: int,
) -> None: ...
def infer_characters(
    characters: Any, tables: Any, bias: Any, out: Any, filters: int, column: int, threads: int
) -> None: ...
def infer_is_native(type: int) -> bool: ...
def infer_linear(
    type: int,
    values: Any,
    index: Any,
    lengths: Sequence[int],
    weights: Any,
    bias: Any,
    scale: Any,
    shift: Any,
    epilogue: dict[str, Any],
    threads: int,
) -> None: ...
def infer_table_sum(
    table: Any,
    narrow: bool,
    index: Any,
    rows: int,
    index_step: int,
    taps: Any,
    bias: Any,
    scale: Any,
    epilogue: dict[str, Any],
    threads: int,
) -> None: ...
def kept_buffer_bytes() -> int: ...
def mlp_sgd(
    word_table: Any,
    cap_table: Any,
    weights: Any,
    low: Any,
    bias: Any,
    head_weights: Any,
    head_bias: Any,
    word_ids: Any,
    cap_ids: Any,
    starts: Any,
    gold: Any,
    window: int,
    size: int,
    least: float,
    most: float,
    seed: int,
    share: float,
    rate: float,
    word_rate: float,
    threads: int,
    stream: int,
) -> float: ...
def simd_extension() -> str | None: ...
def simd_extensions() -> list[str]: ...
def simd_level() -> str: ...
def simd_levels() -> list[str]: ...
def sparse_kept(
    left: Any, right: Any, bias: Any, seed: int, share: float, out: Any, threads: int, stream: int
) -> None: ...
def sparse_multiply(left: Any, right: Any, out: Any, threads: int, stream: int) -> None: ...
def step_adam(
    values: Any,
    grad: Any,
    first: Any,
    second: Any,
    low: Any,
    beta1: float,
    beta2: float,
    size: float,
    epsilon: float,
    decay: float,
    threads: int,
    stream: int,
) -> None: ...
def step_fold(windows: Any, starts: Any, out: Any, threads: int, stream: int) -> None: ...
def step_head(
    hidden: Any,
    weights: Any,
    bias: Any,
    gold: Any,
    factor: float,
    least: float,
    most: float,
    grad_logits: Any,
    grad_hidden: Any,
    grad_weights: Any,
    grad_bias: Any,
    threads: int,
    stream: int,
) -> float: ...
def step_positions(
    values: Any, bias: Any, starts: Any, slots: int, features: Any, column: int, threads: int, stream: int
) -> None: ...
def step_positions_grad(
    grad: Any,
    values: Any,
    starts: Any,
    slots: int,
    column: int,
    grad_rows: Any,
    grad_columns: Any,
    grad_bias: Any,
    threads: int,
    stream: int,
) -> None: ...
def step_rows(
    table: Any, ids: Any, caps: Any, cap_ids: Any, rows: Any, threads: int, stream: int
) -> None: ...
def step_rows_caps(grad: Any, cap_ids: Any, grad_caps: Any, threads: int, stream: int) -> None: ...
def step_rows_sgd(table: Any, ids: Any, grad: Any, rate: float, threads: int, stream: int) -> None: ...
def step_sgd(values: Any, grad: Any, low: Any, rate: float, threads: int, stream: int) -> None: ...
def step_units(
    sums: Any, bias: Any, seed: int, share: float, out: Any, threads: int, stream: int
) -> None: ...
def step_units_grad(
    grad: Any,
    out: Any,
    share: float,
    grad_rows: Any,
    grad_columns: Any,
    grad_bias: Any,
    threads: int,
    stream: int,
) -> None: ...
def take_output(rows: int, columns: int, dtype: str) -> Any: ...
def viterbi_decode(
    emissions: Any,
    transitions: Any,
    offsets: Any,
    start: Any,
    end: Any,
    readout: int,
    tags: Any,
    scores: Any,
    workspace: Any,
    threads: int,
    stream: int,
) -> None: ...
def viterbi_top_k(
    emissions: Any,
    transitions: Any,
    offsets: Any,
    start: Any,
    end: Any,
    tags: Any,
    scores: Any,
    threads: int,
    stream: int,
) -> None: ...
def window_gather(
    values: Any, offsets: Any, window: int, padding: Any, out: Any, threads: int, stream: int
) -> None: ...
def window_grad_padding(
    grad: Any, offsets: Any, window: int, workspace: Any, out: Any, threads: int, stream: int
) -> None: ...
def window_grad_values(grad: Any, offsets: Any, window: int, out: Any, threads: int, stream: int) -> None: ...
