"""Optimizers that torch has not, or has not so."""

import pytest

torch = pytest.importorskip("torch")

from selfsort.training.lars import LARS  # noqa: E402
from selfsort.training.muon import Muon, orthogonal  # noqa: E402


def test_lars_takes_steps_of_one_share_of_the_weights_in_every_layer():
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(scale * torch.randn(5, 7)) for scale in (0.01, 1.0, 100.0)]
    bias = torch.nn.Parameter(torch.ones(3))
    groups = [{"params": weights, "weight_decay": 0.1}, {"params": [bias], "weight_decay": 0.0}]
    optimizer = LARS(groups, lr=2.0, momentum=0.5, trust=0.01)
    before = [weight.detach().clone() for weight in weights]
    gradients = [torch.randn(5, 7) for _ in weights]
    for _ in range(2):
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.clone()
        bias.grad = torch.full((3,), 0.25)
        optimizer.step()
    for weight, start, gradient in zip(weights, before, gradients, strict=True):
        velocity, w = torch.zeros_like(start), start
        for _ in range(2):
            g = gradient + 0.1 * w
            velocity = 0.5 * velocity + 2.0 * 0.01 * w.norm() / g.norm() * g
            w = w - velocity
        torch.testing.assert_close(weight.detach(), w)
    torch.testing.assert_close(bias.detach(), torch.full((3,), 1 - 0.5 - 0.75))
    weights[0].data.zero_()
    weights[0].grad = gradients[0]
    optimizer.step()
    assert torch.isfinite(weights[0]).all()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="needs torch 2.9")
@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (8, 3, 3, 3)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_muon_steps_as_that_of_torch_does_for_all_weights_of_a_shape(shape, layout):
    torch.manual_seed(0)
    values = torch.randn(3, *shape)
    layout = layout if len(shape) == 4 else torch.contiguous_format
    ours = [torch.nn.Parameter(value.clone(memory_format=layout)) for value in values]
    theirs = [torch.nn.Parameter(value.flatten(1).clone()) for value in values]
    optimizer = Muon([{"params": ours, "weight_decay": 0.1}], lr=0.02)
    reference = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for weight, other in zip(ours, theirs, strict=True):
            weight.grad = torch.randn(shape).contiguous(memory_format=layout)
            other.grad = weight.grad.flatten(1).clone()
        optimizer.step()
        reference.step()
    for weight, other, value in zip(ours, theirs, values, strict=True):
        moved = (other.detach() - value.flatten(1)).abs().mean()
        assert (weight.detach().flatten(1) - other.detach()).abs().mean() < 0.02 * moved


def test_muon_makes_all_directions_of_a_step_alike_and_leaves_what_has_no_gradient():
    torch.manual_seed(0)
    low_rank = torch.randn(2, 30, 4) @ torch.randn(2, 4, 50)
    values = torch.linalg.svdvals(orthogonal(low_rank).float())
    assert values[:, :4].min() > 0.6
    assert values[:, :4].max() < 1.3
    assert values[:, 4:].max() < 0.6  # bf16's noise
    assert (orthogonal(torch.zeros(1, 3, 5)) == 0).all()
    weights = [torch.nn.Parameter(torch.ones(4, 4)), torch.nn.Parameter(torch.ones(4, 4))]
    bias = torch.nn.Parameter(torch.ones(3))
    groups = [{"params": weights, "weight_decay": 0.5}, {"params": [bias], "weight_decay": 0.0}]
    optimizer = Muon(groups, lr=0.1)
    weights[0].grad, bias.grad = torch.zeros(4, 4), torch.full((3,), 1e-3)
    optimizer.step()
    torch.testing.assert_close(weights[0].detach(), torch.full((4, 4), 0.95))
    assert (weights[1] == 1).all()
    torch.testing.assert_close(bias.detach(), torch.full((3,), 0.9), atol=1e-4, rtol=0)
