"""The published networks, step by step: weights, losses and predictions within 1e-5 of the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bioner_fast.features.batch import Features
from bioner_fast.models.learning.optimizer import Optimizer
from bioner_fast.models.loss import clipped_cross_entropy
from bioner_fast.models.windowed.network import NetworkConfig, TaggingNetwork

TOLERANCE = 1e-5
POSITIONS = {0: 5, 1: 4, 2: 3}  # of the widths 3, 4, 5 in a window of 7


class Golden:
    """Arrays of one reference file, converted to the layout of our parameters."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            self.arrays = {name: file[name] for name in file.files}

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name].copy())

    def encoder(self, stage: str, prefix: str, hidden: str) -> dict[str, Tensor]:
        """Parameters of an encoder of three convolutions and a hidden layer."""
        state = {}
        for k in POSITIONS:
            state[f"kernels.{k}"] = self[f"{stage}_{prefix}conv{k}_W"]
            state[f"biases.{k}"] = self[f"{stage}_{prefix}conv{k}_b"]
        filters = len(state["biases.0"])
        # The published code flattens [filters, positions], ours [positions, filters].
        blocks = self[f"{stage}_{hidden}_W"].split([filters * p for p in POSITIONS.values()])
        ours = [b.view(filters, -1, b.shape[1]).transpose(0, 1).reshape(b.shape) for b in blocks]
        return state | {"hidden.0.weight": torch.cat(ours).t(), "hidden.0.bias": self[f"{stage}_{hidden}_b"]}

    def head(self, stage: str, name: str) -> dict[str, Tensor]:
        return {"weight": self[f"{stage}_{name}_W"].t(), "bias": self[f"{stage}_{name}_b"]}


def golden(shared: Path, name: str) -> Golden:
    return Golden(shared / "golden" / "networks" / f"{name}.npz")


def assert_state(module: torch.nn.Module, expected: dict[str, Tensor]) -> None:
    state = module.state_dict()
    assert set(state) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(
            state[name], value, rtol=0, atol=TOLERANCE, msg=lambda m, n=name: f"{n}: {m}"
        )


def windows(ids: Tensor, caps: Tensor | None = None) -> Features:
    """Features whose windows are given outright."""
    features = Features(ids[:, 3].long(), torch.zeros(len(ids)), torch.arange(len(ids) + 1))
    caps = torch.zeros_like(ids) if caps is None else caps
    features.derived["windows", 7] = (ids.long(), caps.long())
    return features


def cnn(tasks: tuple[tuple[str, int], ...], sharing: str = "single") -> TaggingNetwork:
    network = TaggingNetwork(
        NetworkConfig(tasks, rows=30, word_dim=12, sharing=sharing, filters=8, hidden=(20,), dropout=0.0)
    )
    return network.train()


def probabilities(network: TaggingNetwork, features: Features, task: str) -> Tensor:
    with torch.no_grad():
        return network(features, torch.arange(len(features)), [task])[task].softmax(1)


def named(*modules: torch.nn.Module) -> dict[str, Tensor]:
    return {f"{i}.{n}": p for i, m in enumerate(modules) for n, p in m.named_parameters() if p.requires_grad}


def test_single_cnn(shared: Path) -> None:
    data = golden(shared, "single_cnn")
    network = cnn((("NER", 5),))
    network.embedding.words.data = data["emb"]
    network.encoders[0].load_state_dict(data.encoder("init", "", "hidden"))
    network.heads[0].load_state_dict(data.head("init", "out"))
    features, targets = windows(data["X"]), data["Y"].argmax(1)
    torch.testing.assert_close(
        probabilities(network, features, "NER"), data["pred_init"], rtol=0, atol=TOLERANCE
    )
    optimizer = Optimizer("adam", named(network), 1e-3)
    for step in range(5):
        rows = torch.arange(8 * step, 8 * step + 8)
        loss = clipped_cross_entropy(network(features, rows)["NER"], targets[rows]) / 8
        loss.backward()
        optimizer.step()
        assert loss.item() == pytest.approx(float(data["losses"][step]), abs=TOLERANCE)
    assert_state(network.encoders[0], data.encoder("after", "", "hidden"))
    assert_state(network.heads[0], data.head("after", "out"))
    torch.testing.assert_close(
        probabilities(network, features, "NER"), data["pred_after"], rtol=0, atol=TOLERANCE
    )


def test_baseline_mlp(shared: Path) -> None:
    data = golden(shared, "baseline_mlp")
    network = TaggingNetwork(
        NetworkConfig(
            (("NER", 5),), rows=30, word_dim=12, filter_widths=(), hidden=(20,), dropout=0.0,
            caps_dim=5, caps_classes=6, tune_words=True,
        )
    ).train()  # fmt: skip
    network.embedding.words.data = data["emb_init"]
    assert network.embedding.caps is not None
    network.embedding.caps.data = data["caps_init"]

    def encoder(stage: str) -> dict[str, Tensor]:
        return {"hidden.0.weight": data[f"{stage}_hidden_W"].t(), "hidden.0.bias": data[f"{stage}_hidden_b"]}

    network.encoders[0].load_state_dict(encoder("init"))
    network.heads[0].load_state_dict(data.head("init", "out"))
    features, targets = windows(data["X"], data["Xcaps"]), data["Y"].argmax(1)
    torch.testing.assert_close(
        probabilities(network, features, "NER"), data["pred_init"], rtol=0, atol=TOLERANCE
    )
    optimizer = Optimizer("sgd", named(network), 0.1, network.embedding.words, 0.1)
    for step in range(5):
        rows = torch.arange(8 * step, 8 * step + 8)
        loss = clipped_cross_entropy(network(features, rows)["NER"], targets[rows]) / 8
        loss.backward()
        optimizer.step(network.embedding.take_row_gradients())
        assert loss.item() == pytest.approx(float(data["losses"][step]), abs=TOLERANCE)
    assert_state(network.encoders[0], encoder("after"))
    assert_state(network.heads[0], data.head("after", "out"))
    torch.testing.assert_close(network.embedding.words.data, data["emb_after"], rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(network.embedding.caps.data, data["caps_after"], rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(
        probabilities(network, features, "NER"), data["pred_after"], rtol=0, atol=TOLERANCE
    )


def test_multi_output(shared: Path) -> None:
    data = golden(shared, "multi_output")
    network = cnn((("A", 9), ("B", 9)), "multi-output")
    network.embedding.words.data = data["emb"]
    network.encoders[0].load_state_dict(data.encoder("init", "", "hidden"))
    for head in range(2):
        network.heads[head].load_state_dict(data.head("init", f"out{head + 1}"))
    features = windows(data["X"])
    optimizer = Optimizer("adam", named(network), 1e-3)
    for step in range(5):
        rows = torch.arange(8 * step, 8 * step + 8)
        hidden = network.hidden(features, rows, {0})
        losses = []
        for head in range(2):
            targets = data[f"Y{head + 1}"][rows]
            own = targets.sum(1).nonzero()[:, 0]  # rows of the other task have no target
            losses.append(torch.zeros(()))
            if len(own):
                part = slice(int(own[0]), int(own[-1]) + 1)
                assert part.stop - part.start == len(own)
                losses[head] = (
                    clipped_cross_entropy(network.logits(hidden, head, part), targets[own].argmax(1)) / 8
                )
        loss = losses[0] + losses[1]
        loss.backward()
        optimizer.step()
        expected = data["loss_total_and_each"][step]
        found = [loss.item(), losses[0].item(), losses[1].item()]
        np.testing.assert_allclose(found, expected[:3].numpy(), rtol=0, atol=TOLERANCE)
    assert_state(network.encoders[0], data.encoder("after", "", "hidden"))
    for head, task in enumerate("AB"):
        assert_state(network.heads[head], data.head("after", f"out{head + 1}"))
        expected = data[f"pred{head + 1}_after"]
        torch.testing.assert_close(probabilities(network, features, task), expected, rtol=0, atol=TOLERANCE)


def test_dependent(shared: Path) -> None:
    data = golden(shared, "dependent")
    network = cnn((("pos", 7), ("ner", 5)), "dependent")
    network.embedding.words.data = data["emb"]
    for index, task in enumerate(("pos", "ner")):
        network.encoders[index].load_state_dict(data.encoder("init", f"{task}_", f"hidden_{task}"))
        network.heads[index].load_state_dict(data.head("init", f"out_{task}"))
    features = windows(data["X"])
    for index, task in enumerate(("pos", "ner")):
        predicted = probabilities(network, features, task)
        if task == "pos":
            torch.testing.assert_close(predicted, data["pos_pred_init"], rtol=0, atol=TOLERANCE)
        trained = (
            [network.encoders[0], network.heads[0]] if index == 0 else [*network.encoders, network.heads[1]]
        )
        optimizer = Optimizer("adam", named(*trained), 1e-3)
        targets = data[f"Y{task}"].argmax(1)
        for step in range(5):
            rows = torch.arange(8 * step, 8 * step + 8)
            loss = clipped_cross_entropy(network(features, rows, [task])[task], targets[rows]) / 8
            loss.backward()
            optimizer.step()
            assert loss.item() == pytest.approx(float(data[f"{task}_losses"][step]), abs=TOLERANCE)
        stage = "mid" if index == 0 else "after"
        for encoder, other in enumerate(("pos", "ner")):
            assert_state(network.encoders[encoder], data.encoder(stage, f"{other}_", f"hidden_{other}"))
            assert_state(network.heads[encoder], data.head(stage, f"out_{other}"))
    for task in ("pos", "ner"):
        expected = data[f"{task}_pred_after"]
        torch.testing.assert_close(probabilities(network, features, task), expected, rtol=0, atol=TOLERANCE)
