import pytest
import torch
from torch import nn

from models.training.schedule import OptimizerName, build_optimizer, rate_factor, set_learning_rate


def test_the_rate_rises_then_falls_to_its_last_share() -> None:
    factors = [rate_factor(step, 21, 4, 0.1) for step in range(21)]

    assert factors[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert factors[12] == pytest.approx(0.55)
    assert factors[20] == pytest.approx(0.1)
    assert factors[4:] == sorted(factors[4:], reverse=True)


def test_one_step_without_warmup_has_the_full_rate() -> None:
    assert rate_factor(0, 1, 0, 0.0) == 1


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_biases_and_normalisation_are_not_decayed(name: OptimizerName) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    network[0].weight.requires_grad_(False)

    optimizer = build_optimizer(name, network, learning_rate=1.0, weight_decay=0.5)

    _, _, decayed, plain = optimizer.param_groups
    assert (len(decayed["params"]), decayed["weight_decay"]) == (0, 0.5)
    assert (len(plain["params"]), plain["weight_decay"]) == (3, 0.0)


def test_a_step_uses_the_rate_that_was_set() -> None:
    network = nn.Linear(2, 1, bias=False)
    optimizer = build_optimizer("sgd", network, learning_rate=1.0, weight_decay=0.0)
    before = network.weight.detach().clone()

    set_learning_rate(optimizer, 0.25)
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()

    torch.testing.assert_close(network.weight.detach(), before - 0.25)


def test_the_backbone_learns_at_its_share_of_the_rate() -> None:
    network = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 1, bias=False))
    optimizer = build_optimizer(
        "sgd",
        network,
        learning_rate=1.0,
        weight_decay=0.0,
        backbone=list(network[0].parameters()),
        backbone_rate_factor=0.1,
    )
    before = [p.detach().clone() for p in network.parameters()]

    set_learning_rate(optimizer, 0.5)
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()

    for parameter, old, rate in zip(network.parameters(), before, (0.05, 0.5), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.detach(), old - rate * parameter.grad)
