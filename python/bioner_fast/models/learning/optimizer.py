"""SGD, Adam and AdamW for the network's parameters, and for those rows of the word table that a step used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bioner_fast.ops import dense, gated, step

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
ADAMW_BETA2 = 0.98  # a memory of fifty steps: runs have few thousands
# So many steps that Adam's corrections for the start are 1.
_ENDLESS = 1e6

Gradient = Tensor | dense.WeightGradient


@dataclass(frozen=True, slots=True)
class AdamRule:
    """The constants of Adam or AdamW, and the corrections for the start: moments begin at zero.

    A value goes down by ``step_size * first / (sqrt(second) + epsilon)``, after ``decay`` of it is left.

    Attributes:
        beta2: of the second moments; ``BETA1`` is that of the first ones.
        corrected: whether epsilon is added to the corrected root (AdamW) or to the root as it is (Adam).
        weight_decay: share of a value that goes for each unit of the learning rate.
    """

    beta2: float
    corrected: bool = False
    weight_decay: float = 0.0

    def root(self, steps: int) -> float:
        """What the root of the second moments is divided by after so many steps."""
        return math.sqrt(1 - self.beta2**steps)

    def step_size(self, rate: float, steps: int) -> float:
        """The learning rate with both corrections."""
        return rate * self.root(steps) / (1 - BETA1**steps)

    def epsilon(self, steps: int) -> float:
        """What is added to the root as it is."""
        return EPSILON * self.root(steps) if self.corrected else EPSILON

    def torch_epsilon(self, steps: int) -> float:
        """What is added to the corrected root."""
        return EPSILON if self.corrected else EPSILON / self.root(steps)

    def decay(self, rate: float) -> float:
        """What is left of a value."""
        return 1 - rate * self.weight_decay if self.weight_decay else 1.0


# Rows of the word table, whatever the parameters have.
_ROWS = AdamRule(BETA2)


class Optimizer:
    """One optimiser for all that a phase of training changes.

    Adam is the form of the published code (and of the Adam paper's remark on efficiency): the step size is
    corrected for the start, epsilon is added to the uncorrected root. Torch's adds it to the corrected one,
    so its epsilon is set anew for every step.

    Rows of the word table get the same rules, but a row that a step does not use stays as it is, moments
    included (as in torch's SparseAdam): a table of a million rows costs no more than the rows in use.

    Args:
        kind: ``adam``, ``adamw`` or ``sgd``.
        parameters: by name; all of them are stepped, those without a gradient as if it were zero.
        learning_rate: of the parameters.
        table: the word table, if it is trained.
        table_learning_rate: of its rows.
        weight_decay: of adamw, not for the table.
        clip: longest gradient (of all parameters together, without the table); 0 for any.
        schedule: factor of the learning rates at each step, counted from 0; always 1 without.
    """

    def __init__(
        self,
        kind: str,
        parameters: Mapping[str, Tensor],
        learning_rate: float,
        table: Tensor | None = None,
        table_learning_rate: float = 0.0,
        *,
        weight_decay: float = 0.0,
        clip: float = 0.0,
        schedule: Callable[[int], float] | None = None,
    ) -> None:
        self.kind, self.steps = kind, 0
        self.learning_rate, self.clip, self.schedule = learning_rate, clip, schedule
        self.parameters = dict(parameters)
        self.table, self.table_learning_rate = table, table_learning_rate
        self._moments: dict[str, Tensor] = {}
        self._low: dict[str, Tensor] = {}
        self._blocks: dict[str, Tensor] = {}
        self._rule = AdamRule(BETA2) if kind == "adam" else AdamRule(ADAMW_BETA2, True, weight_decay)
        self._values = list(self.parameters.values())
        zeros = [] if kind == "sgd" else [torch.zeros_like(value) for value in self._values]
        self._first, self._second = zeros, [torch.zeros_like(value) for value in zeros]
        # The fused kernels take the number of steps as tensors, one for each parameter.
        device = self._values[0].device if self._values else torch.device("cpu")
        self._count = torch.zeros((), device=device)
        # The kernels of a GPU read a learning rate in float32.
        self._rate = self._count.to(torch.float32 if device.type == "cuda" else torch.float64)
        if table is not None and kind != "sgd":
            # Pages of zeros that are never touched take no memory.
            self._moments = {"first": torch.zeros_like(table), "second": torch.zeros_like(table)}

    def low_copy(self, name: str, dtype: torch.dtype) -> Tensor:
        """A parameter in another type, which steps with gradients of that type keep up to date."""
        held = self._low.get(name)
        if held is None or held.dtype != dtype:
            held = self._low[name] = self.parameters[name].detach().to(dtype)
        return held

    def blocks(self, name: str) -> Tensor:
        """A parameter [O, ...] as :func:`bioner_fast.ops.dense.blocks`, which steps with a
        :class:`~bioner_fast.ops.dense.WeightGradient` keep up to date."""
        held = self._blocks.get(name)
        if held is None:
            held = self._blocks[name] = dense.blocks(self.parameters[name])
        return held

    def step(
        self,
        row_gradients: tuple[Tensor, Tensor] | None = None,
        gradients: Mapping[str, Gradient] | None = None,
    ) -> None:
        """Update the parameters from their gradients, and rows of the table, and forget the gradients.

        Args:
            row_gradients: row numbers int64 [R], repeats allowed, and gradients [R, D or more], of which the
                first D columns count.
            gradients: by name, where they are not with the parameters; of a parameter's type, or (on a CPU)
                bfloat16 or not yet multiplied where it is float32. The last do not go with ``clip``.
        """
        self.steps += 1
        if gradients is not None:
            self._step_given(gradients)
        else:
            self._step_own()
            self._low.clear()
            self._blocks.clear()
        if self.table is not None and row_gradients is not None:
            self._step_rows(self.table, self.table_learning_rate * self._factor, *row_gradients)

    def count(self) -> tuple[float, float]:
        """Count a step that is taken elsewhere, by SGD.

        Returns:
            Its learning rates: of the parameters and of the table.
        """
        assert self.kind == "sgd"
        assert self.clip == 0
        self.steps += 1
        return self.learning_rate * self._factor, self.table_learning_rate * self._factor

    def advance(self) -> None:
        """Count a step, and write to the device what differs between steps; :meth:`apply` does the rest."""
        self.steps += 1
        rate, count = self.learning_rate * self._factor, float(self.steps)
        if not self._rule.corrected:  # with all corrections in the rate, epsilon stays as it is
            rate, count = self._rule.step_size(rate, self.steps), _ENDLESS
        self._rate.fill_(rate)
        self._count.fill_(count)

    def apply(self, gradients: Sequence[Tensor]) -> None:
        """Update the parameters after :meth:`advance`, by launches that are the same for every step.

        The two together are :meth:`step`, in a form that a CUDA graph can hold.

        Args:
            gradients: of all parameters, in their order.
        """
        grads = list(gradients)
        with torch.no_grad():
            if self.clip > 0:
                _clip(grads, self.clip)
            if self.kind == "sgd":
                torch._foreach_sub_(self._values, torch._foreach_mul(grads, self._rate))
            else:
                self._adam(self._values, grads, self._first, self._second, self._rate, EPSILON)

    @property
    def _factor(self) -> float:
        """Of the learning rates, at this step."""
        return 1.0 if self.schedule is None else self.schedule(self.steps - 1)

    def _step_given(self, given: Mapping[str, Gradient]) -> None:
        """As :meth:`_step_own`; rounded gradients are taken one by one, together with the rounded values."""
        if self.clip > 0:
            for name, value in self.parameters.items():
                grad = given.get(name)
                assert not isinstance(grad, dense.WeightGradient)
                value.grad = None if grad is None else grad.to(value.dtype)
            self._step_own()
            for name, low in self._low.items():
                low.copy_(self.parameters[name].detach())
            return
        rest: list[int] = []
        gradients: list[Tensor] = []
        rate = self.learning_rate * self._factor
        with torch.no_grad():
            for index, (name, value) in enumerate(self.parameters.items()):
                grad = given.get(name)
                if isinstance(grad, dense.WeightGradient) or (grad is not None and grad.dtype != value.dtype):
                    self._step_rounded(index, name, value, grad, rate)
                else:
                    rest.append(index)
                    gradients.append(torch.zeros_like(value) if grad is None else grad)
            if not rest:  # torch takes no empty list
                return
            values = [self._values[i] for i in rest]
            first, second = ([m[i] for i in rest] if m else [] for m in (self._first, self._second))
            self._step(values, gradients, first, second, rate)

    def _step_rounded(self, index: int, name: str, value: Tensor, grad: Gradient, rate: float) -> None:
        """The same arithmetic for one parameter and a gradient of another form."""
        rule = self._rule
        rates = {
            "beta1": BETA1,
            "beta2": rule.beta2,
            "step_size": rule.step_size(rate, self.steps),
            "epsilon": rule.epsilon(self.steps),
            "decay": rule.decay(rate),
        }
        # Of the rounded copies, the one of the other form is no longer the weights'.
        if isinstance(grad, dense.WeightGradient):
            self._low.pop(name, None)
            if self.kind == "sgd":
                dense.sgd(value, grad, self.blocks(name), rate=rate)
            else:
                first, second = self._first[index], self._second[index]
                dense.adam(value, grad, first, second, self.blocks(name), **rates)
            return
        self._blocks.pop(name, None)
        if self.kind == "sgd":
            step.sgd(value, grad, self._low.get(name), rate=rate)
        else:
            step.adam(value, grad, self._first[index], self._second[index], self._low.get(name), **rates)

    def _step_own(self) -> None:
        gradients = []
        for value in self._values:
            if value.grad is None:  # a head without rows in this batch: its momentum still moves it
                gradients.append(torch.zeros_like(value))
            else:
                gradients.append(value.grad)
                value.grad = None
        if self.clip > 0:
            _clip(gradients, self.clip)
        with torch.no_grad():
            self._step(self._values, gradients, self._first, self._second, self.learning_rate * self._factor)

    def _step(
        self,
        values: list[Tensor],
        gradients: list[Tensor],
        first: list[Tensor],
        second: list[Tensor],
        rate: float,
    ) -> None:
        """Update the parameters, by the kernels behind ``fused=True`` of torch.optim.

        What surrounds them there takes as long as all the rest of a small network's step.
        """
        if self.kind == "sgd":
            torch._foreach_add_(values, gradients, alpha=-rate)
            return
        self._count.fill_(self.steps)
        self._adam(values, gradients, first, second, rate, self._rule.torch_epsilon(self.steps))

    def _adam(
        self,
        values: list[Tensor],
        gradients: list[Tensor],
        first: list[Tensor],
        second: list[Tensor],
        rate: float | Tensor,
        epsilon: float,
    ) -> None:
        rule = self._rule
        adam = torch._fused_adamw_ if rule.corrected else torch._fused_adam_
        adam(
            values, gradients, first, second, [], [self._count] * len(gradients),
            lr=rate, beta1=BETA1, beta2=rule.beta2, weight_decay=rule.weight_decay, eps=epsilon,
            amsgrad=False, maximize=False,
        )  # fmt: skip

    def _step_rows(self, table: Tensor, rate: float, rows: Tensor, gradients: Tensor) -> None:
        with torch.no_grad():
            if self.kind == "sgd" and gated.available(table):
                step.rows_sgd(table, rows, gradients, rate=rate)
                return
            gradients = gradients[:, : table.shape[1]]
            if self.kind == "sgd":
                table.index_add_(0, rows, gradients, alpha=-rate)
                return
            used, places = rows.unique(return_inverse=True)  # type: ignore[no-untyped-call]
            total = gradients.new_zeros(len(used), gradients.shape[1]).index_add_(0, places, gradients)
            first = self._moments["first"].index_select(0, used).lerp_(total, 1 - BETA1)
            second = self._moments["second"].index_select(0, used).mul_(_ROWS.beta2)
            second.addcmul_(total, total, value=1 - _ROWS.beta2)
            self._moments["first"].index_copy_(0, used, first)
            self._moments["second"].index_copy_(0, used, second)
            step_size = _ROWS.step_size(rate, self.steps)
            table.index_add_(
                0, used, first.div_(second.sqrt_().add_(_ROWS.epsilon(self.steps))), alpha=-step_size
            )

    def state(self) -> dict[str, Tensor]:
        """All that a resumed run needs, as named tensors."""
        tensors = {"steps": torch.tensor(self.steps)}
        for name, first, second in zip(self.parameters, self._first, self._second, strict=False):
            tensors |= {f"first/{name}": first, f"second/{name}": second}
        return tensors | {f"table/{key}": value for key, value in self._moments.items()}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of :meth:`state`."""
        self.steps = int(tensors["steps"])
        for name, first, second in zip(self.parameters, self._first, self._second, strict=False):
            first.copy_(tensors[f"first/{name}"])
            second.copy_(tensors[f"second/{name}"])
        for key, moment in self._moments.items():
            moment.copy_(tensors[f"table/{key}"])


def _clip(gradients: list[Tensor], longest: float) -> None:
    """Shorten gradients that are together longer than ``longest``, as ``clip_grad_norm_`` does."""
    length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    torch._foreach_mul_(gradients, (longest / (length + 1e-6)).clamp_(max=1.0))


def linear_decay(total: int, warmup: int, floor: float = 0.02) -> Callable[[int], float]:
    """A schedule that rises over the first ``warmup`` steps and falls in a line to ``floor`` at ``total``."""

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / max(warmup, 1)) * max(floor, 1 - step / max(total, 1))

    return factor
