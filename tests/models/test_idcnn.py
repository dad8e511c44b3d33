"""The idcnn: packed text equals sentences by themselves, gradients, training noise, the chain."""

from __future__ import annotations

import itertools
import random

import pytest
import torch

from bioner_fast.features.batch import Features
from bioner_fast.models.bundle import load_bundle
from bioner_fast.models.decoders import decode
from bioner_fast.models.idcnn.network import WORD_NORM, IdcnnConfig
from bioner_fast.models.idcnn.packed import gather_neighbours, neighbours
from bioner_fast.models.registry import build_network
from bioner_fast.models.sentences import sentence_bounds
from bioner_fast.models.transitions import Transitions, constraints, first_illegal
from bioner_fast.ops import gated
from tiny_bundle import heads, iobes
from tiny_idcnn import TOKENS, idcnn, save_idcnn, text


def sentences(seed: int, lengths: list[int]) -> list[list[str]]:
    rng = random.Random(seed)
    return [[rng.choice(TOKENS) for _ in range(length)] for length in lengths]


def test_packed_equals_each_sentence_by_itself() -> None:
    network = idcnn().double()
    several = sentences(0, [5, 1, 0, 40, 2, 9])
    together = network(text(several))
    for name in network.task_names:
        alone = torch.cat([network(text([sentence]))[name] for sentence in several])
        torch.testing.assert_close(together[name], alone, rtol=0, atol=1e-12)


def test_a_slice_sees_its_neighbours() -> None:
    network = idcnn().double()
    features = text(sentences(1, [30, 3, 25]))
    whole = network(features)["medical"]
    for start, stop in ((0, 7), (12, 13), (28, 36), (57, 58)):
        part = network(features, slice(start, stop))["medical"]
        torch.testing.assert_close(part, whole[start:stop], rtol=0, atol=1e-12)
    assert network(features, slice(4, 4))["medical"].shape == (0, 9)


def test_the_context_is_what_an_emission_depends_on() -> None:
    network = idcnn(dilations=(1, 3)).double()
    assert network.context == 4
    base, changed = sentences(2, [20])[0], sentences(2, [20])[0]
    changed[10] = "Crohn" if base[10] != "Crohn" else "the"
    before, after = (network(text([words]))["cells"] for words in (base, changed))
    moved = (before != after).any(1).nonzero().flatten().tolist()
    assert moved
    assert min(moved) >= 6
    assert max(moved) <= 14


def test_gather_neighbours_by_hand_and_its_gradient() -> None:
    features = Features(torch.arange(7), torch.zeros(7, dtype=torch.uint8), torch.tensor([0, 4, 4, 7]))
    values = torch.arange(1.0, 8.0, dtype=torch.float64)[:, None].requires_grad_()
    bounds = sentence_bounds(features)
    read, write = neighbours(bounds.first, bounds.last, 0, 2)
    rows = [[0, 1, 3], [0, 2, 4], [1, 3, 0], [2, 4, 0], [0, 5, 7], [0, 6, 0], [5, 7, 0]]
    assert gather_neighbours(values, read, write).tolist() == rows
    assert torch.autograd.gradcheck(lambda v: gather_neighbours(v, read, write), (values,))


def test_gradients() -> None:
    network = idcnn(channels=6, char_filters=3, dilations=(2,), char_dim=2, affix_dim=1).double()
    features = text(sentences(3, [4, 2, 3]))
    parameters = [p for name, p in network.named_parameters() if p.requires_grad and name != "affixes"]
    names = [n for n, p in network.named_parameters() if p.requires_grad and n != "affixes"]

    def loss(*values: torch.Tensor) -> torch.Tensor:
        replaced = dict(zip(names, values, strict=True))
        output = torch.func.functional_call(network, replaced, (features,))
        return sum(part.square().sum() for part in output.values())  # type: ignore[return-value]

    assert torch.autograd.gradcheck(loss, tuple(p.detach().requires_grad_() for p in parameters), atol=1e-4)


def test_composed_blocks_are_the_native_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices without the native block compose it; a slice that cuts sentences is the harder case."""
    features = text(sentences(3, [4, 0, 12, 3]))
    outcomes = []
    for native in (True, False):
        if not native:
            monkeypatch.setattr(gated, "available", lambda values: False)
        network = idcnn(dilations=(1, 3)).double()
        values = network(features, slice(2, 15))["cells"]
        gradients = torch.autograd.grad(values.square().sum(), list(network.blocks.parameters()))
        outcomes.append([values, *gradients])
    for a, b in zip(*outcomes, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_bfloat16_products_are_of_training_only() -> None:
    features = text(sentences(3, [40]))
    network = idcnn(dropout=0.0, input_dropout=0.0, word_dropout=0.0)
    exact = network(features)["cells"]
    network.training_product = torch.bfloat16
    assert torch.equal(network(features)["cells"], exact)
    with network.judged():
        judged = network(features)["cells"]
    rounded = network.train()(features)["cells"]
    assert torch.equal(rounded, judged)
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0.1, atol=0.1)


def test_padding_characters_and_their_count_change_nothing() -> None:
    network = idcnn()
    assert network.characters is not None
    words = torch.tensor([[1, 70, 80, 2, 0, 0], [1, 90, 2, 0, 0, 0]], dtype=torch.uint8)
    more = torch.cat([words, torch.zeros(2, 5, dtype=torch.uint8)], 1)
    assert torch.equal(network.characters(words), network.characters(more))
    assert torch.equal(network.characters(torch.zeros(1, 4, dtype=torch.uint8)), torch.zeros(1, 8))


def test_training_has_noise_and_evaluation_none() -> None:
    network = idcnn(word_dropout=0.5)
    features = text(sentences(4, [30]))
    network.train()
    torch.manual_seed(0)
    first, second = network(features)["pos"], network(features)["pos"]
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(network(features)["pos"], first)
    network.eval()
    assert torch.equal(network(features)["pos"], network(features)["pos"])


def test_unknown_words_take_the_learnt_vector_and_not_the_table() -> None:
    network = idcnn()
    features = text([["unseen"]])
    before = network(features)["pos"]
    with torch.no_grad():
        network.embedding.words[1] += 5
        assert torch.equal(network(features)["pos"], before)
        network.unknown += 5
    assert not torch.equal(network(features)["pos"], before)


def test_calibration_scales_the_words_that_training_knows() -> None:
    network = idcnn()
    features = text([["the", "of", "unseen", "the"]])
    network.calibrate([features])
    rows = network.embedding.words[features.word_ids[:2]] * network.word_scale
    assert float(rows.norm(dim=1).mean()) == pytest.approx(WORD_NORM, rel=1e-5)
    network.calibrate([text([["unseen"]])])
    assert float(network.word_scale) == 1.0


def test_a_network_is_rebuilt_from_its_configuration(tmp_path: object) -> None:
    network = idcnn(dilations=(1, 5))
    again = build_network(network.config)
    again.load_state_dict(network.state_dict())
    features = text(sentences(5, [9, 9]))
    assert torch.equal(again.eval()(features)["pos"], network(features)["pos"])
    with pytest.raises(ValueError, match="colour"):
        build_network(network.config | {"colour": 1})
    with pytest.raises(ValueError, match="not complete"):
        build_network({"arch": "idcnn", "tasks": []})
    with pytest.raises(ValueError, match="dilations"):
        IdcnnConfig((("A", 1),), rows=3, word_dim=2, dilations=())


def test_wrong_features_are_refused() -> None:
    network = idcnn()
    features = text([["the"]])
    with pytest.raises(ValueError, match="slice"):
        network(features, torch.tensor([0]))
    with pytest.raises(ValueError, match="forms"):
        network(Features(features.word_ids, features.caps, features.offsets))


def test_only_the_heads_in_training_learn() -> None:
    network = idcnn()
    learning = network.learning([1])
    assert "heads.1.weight" in learning
    assert "chains.1.start" in learning
    assert "input.weight" in learning
    assert not [name for name in learning if name.startswith(("heads.0", "heads.2", "chains.0", "chains.2"))]
    assert network.word_table_key not in learning


def test_a_chain_with_constraints_is_a_crf_over_legal_sequences() -> None:
    tagset = iobes("A")
    chain = Transitions(5).double()
    torch.manual_seed(1)
    for parameter in chain.parameters():
        torch.nn.init.normal_(parameter)
    emissions = torch.randn(3, 5, dtype=torch.float64)
    allowed = constraints(tagset, emissions)
    offsets = torch.tensor([0, 3])
    scores = {}
    for path in itertools.product(range(5), repeat=3):
        value = allowed[1][path[0]] + chain.start[path[0]] + allowed[2][path[2]] + chain.end[path[2]]
        value = value + sum(emissions[i, t] for i, t in enumerate(path))
        value = value + sum(allowed[0][a, b] + chain.transitions[a, b] for a, b in itertools.pairwise(path))
        scores[path] = value.item()
    total = torch.logsumexp(torch.tensor(list(scores.values()), dtype=torch.float64), 0)
    for path in ((0, 0, 0), (1, 2, 3), (4, 1, 3)):
        found = chain.log_likelihood(emissions, torch.tensor(path), offsets, allowed)
        assert found.item() == pytest.approx(scores[path] - float(total), abs=1e-10)
    best = decode(emissions.log_softmax(1), offsets, "crf", tagset, chain.tables())
    assert tuple(best.tolist()) == max(scores, key=lambda path: scores[path])
    with pytest.raises(ValueError, match="tables"):
        decode(emissions, offsets, "crf", tagset)


def test_the_first_illegal_sentence_is_found() -> None:
    tagset = iobes("A")  # O B I E S
    legal = [[0, 1, 3], [], [4], [1, 2, 2, 3]]
    offsets = torch.tensor([0, 3, 3, 4, 8])

    def flat(parts: list[list[int]]) -> torch.Tensor:
        return torch.tensor([tag for part in parts for tag in part])

    assert first_illegal(flat(legal), offsets, tagset) is None
    assert first_illegal(torch.zeros(0, dtype=torch.int64), torch.tensor([0, 0]), tagset) is None
    for sentence, position, tag in ((0, 0, 2), (0, 2, 2), (2, 0, 1), (3, 1, 0)):
        changed = [list(part) for part in legal]
        changed[sentence][position] = tag
        assert first_illegal(flat(changed), offsets, tagset) == sentence


def test_the_bundle_holds_the_chain(tmp_path) -> None:  # type: ignore[no-untyped-def]
    bundle = load_bundle(save_idcnn(tmp_path / "model"))
    network = idcnn()
    for index, head in enumerate(bundle.tasks):
        assert head.decoder == "crf"
        for name, table in network.decoder_tables(index).items():
            assert torch.equal(head.tables[name], table)
    assert [head.name for head in bundle.tasks] == [head.name for head in heads()]
