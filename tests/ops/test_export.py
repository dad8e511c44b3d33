"""torch.export, ONNX, and what a start loads."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from bioner_fast import ops
from bioner_fast.ops import CRF

# Of Torch itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Model(nn.Module):
    """The example of docs/kernels.md."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(4, 3)
        self.crf = CRF(3, batch_first=True)

    def forward(self, values: Tensor, tags: Tensor | None = None) -> Tensor:
        emissions = self.encoder(values)
        return emissions if tags is None else -self.crf(emissions, tags)


def test_a_module_exports_its_emissions_and_decodes_outside() -> None:
    torch.manual_seed(1)
    model = Model().eval()
    values = torch.randn(2, 5, 4)
    program = torch.export.export(model, (values,))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    emissions = torch.export.load(file).module()(values)
    assert model.crf.decode(emissions) == model.crf.decode(model(values))
    assert all("bioner_fast" not in str(node.target) for node in program.graph.nodes)


def test_packed_ops_and_the_loss_export() -> None:
    torch.manual_seed(1)
    model = Model().eval()
    values, tags = torch.randn(2, 5, 4), torch.zeros(2, 5, dtype=torch.int64)
    program = torch.export.export(model, (values, tags))
    assert any("bioner_fast" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(values, tags), model(values, tags))


class Decoding(Model):
    def forward(self, values: Tensor, tags: Tensor | None = None) -> object:
        return self.crf.decode(self.encoder(values))


def test_lists_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"CRF\.decode returns Python lists: export the emissions"):
        torch.export.export(Decoding().eval(), (torch.randn(2, 5, 4),))


def test_onnx_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch.onnx.export sees, without the packages that it needs."""
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    with pytest.raises(RuntimeError, match="window_gather is no operator of ONNX: export what it reads"):
        torch.export.export(Windows(), (torch.randn(4, 2), torch.tensor([0, 4])))


class Windows(nn.Module):
    def forward(self, values: Tensor, offsets: Tensor) -> Tensor:
        return ops.window_gather(values, offsets, 3)


def test_a_start_loads_no_compiler() -> None:
    code = (
        "import sys, bioner_fast.ops; print(sorted(m for m in sys.modules if m.startswith('torch._dynamo')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
