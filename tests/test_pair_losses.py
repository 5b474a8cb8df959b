"""NT-Xent and SCAN's losses, and why the entropy is there."""

import math
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.neighbors import NearestNeighbors

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from selfsort.losses import contrastive  # noqa: E402
from selfsort.losses.consistency import confident_cross_entropy, mean_entropy, scan_loss  # noqa: E402
from selfsort.losses.contrastive import nt_xent  # noqa: E402


def views(n=20, d=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, d, generator=generator).requires_grad_() for _ in range(2)]


def reference(first, second, temperature):
    """Return SimCLR's equation 1, written out in float64."""
    z = functional.normalize(torch.cat([first, second]).double(), dim=1)
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(z)):
        similar = z @ z[i] / temperature
        others = torch.cat([similar[:i], similar[i + 1 :]])
        total = total + others.logsumexp(0) - similar[(i + len(first)) % len(z)]
    return total / len(z)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("n", [2, 3, 20])
def test_nt_xent_is_the_papers_equation_and_so_is_its_gradient(n, temperature):
    pair = views(n)
    loss, wanted = nt_xent(*pair, temperature)["loss"], reference(*pair, temperature)
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-5)
    for ours, theirs in zip(torch.autograd.grad(3 * loss, pair), torch.autograd.grad(3 * wanted, pair), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_keys_of_another_network_are_what_views_are_compared_with():
    pair, keys = views(), [key.detach() for key in views(seed=1)]
    of_views, of_keys = (functional.normalize(torch.cat(part).double(), dim=1) for part in (pair, keys))
    similar = of_views @ of_keys.T / 0.2
    others = similar.masked_fill(torch.eye(40, dtype=torch.bool), -torch.inf)  # its own key is no other
    wanted = functional.cross_entropy(others, torch.arange(40).roll(20))
    loss = nt_xent(*pair, 0.2, tuple(keys))["loss"]
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-5)
    for ours, theirs in zip(torch.autograd.grad(loss, pair), torch.autograd.grad(wanted, pair), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    wanting = [key.requires_grad_() for key in keys]
    loss = nt_xent(*pair, 0.2, tuple(wanting))["loss"]
    of_keys = functional.normalize(torch.cat(wanting).double(), dim=1)
    similar = (functional.normalize(torch.cat(pair).double(), dim=1) @ of_keys.T / 0.2).masked_fill(
        torch.eye(40, dtype=torch.bool), -torch.inf
    )
    wanted = functional.cross_entropy(similar, torch.arange(40).roll(20))
    for ours, theirs in zip(torch.autograd.grad(loss, wanting), torch.autograd.grad(wanted, wanting), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    assert nt_xent(*pair, 0.2, tuple(pair))["loss"].item() == pytest.approx(nt_xent(*pair, 0.2)["loss"].item())


@pytest.mark.parametrize("values", [1, 41, 400])
def test_blocks_change_nothing(values, monkeypatch):
    pair = views()
    whole = nt_xent(*pair)
    gradient = torch.autograd.grad(whole["loss"], pair)
    monkeypatch.setattr(contrastive, "_VALUES", values)
    blocks = nt_xent(*pair)
    assert blocks["loss"].item() == pytest.approx(whole["loss"].item(), rel=1e-5)
    assert blocks["found"] == whole["found"]
    for one, other in zip(gradient, torch.autograd.grad(blocks["loss"], pair), strict=True):
        torch.testing.assert_close(one, other)


def test_neither_order_nor_length_matters():
    first, second = views()
    loss = nt_xent(first, second)["loss"].item()
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    for pair in ((second, first), (first[order], second[order]), (first * 7, second * 0.01)):
        assert nt_xent(*pair)["loss"].item() == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("make", [torch.zeros_like, torch.ones_like, lambda x: x * 1e18, lambda x: x * 1e-18])
def test_nt_xent_is_finite_at_the_extremes(make):
    pair = [make(x).detach().requires_grad_() for x in views()]
    loss = nt_xent(*pair, 0.01)["loss"]
    assert all(torch.isfinite(x).all() for x in (loss, *torch.autograd.grad(loss, pair)))


def test_what_is_found():
    one = torch.eye(6)
    assert nt_xent(one, one)["found"] == 1
    assert nt_xent(one, one.roll(1, 0))["found"] == 0


def test_a_batch_of_4096_needs_little_memory():
    pytest.importorskip("resource")
    code = """
import resource, torch
from selfsort.losses.contrastive import nt_xent
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pair = [torch.randn(4096, 128).requires_grad_() for _ in range(2)]
nt_xent(*pair)["loss"].backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if sys.platform != "darwin":  # where it counts bytes
        assert float(done.stdout) < 300  # MiB; the similarities alone, kept with their gradient, are 512


def logits(*shape, seed=0, scale=3.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_scan_is_the_papers_equation():
    a, b = logits(30, 4), logits(30, 4, seed=1)
    p, q = a.double().softmax(1), b.double().softmax(1)
    consistency = -(p * q).sum(1).log().mean()
    mean = p.mean(0)
    entropy = -(mean * mean.log()).sum()
    parts = scan_loss(a, b, 2.0)
    assert parts["consistency"].item() == pytest.approx(consistency.item(), rel=1e-5)
    assert parts["entropy"].item() == pytest.approx(entropy.item(), rel=1e-5)
    assert parts["loss"].item() == pytest.approx((consistency - 2 * entropy).item(), rel=1e-5)


def test_heads_are_each_on_their_own():
    a, b = logits(3, 30, 4), logits(3, 30, 4, seed=1)
    for name, values in scan_loss(a, b).items():
        for head in range(3):
            assert values[head] == pytest.approx(scan_loss(a[head], b[head])[name])


def test_an_equal_prior_is_the_entropy_and_another_one_pulls_towards_it():
    a, b = logits(30, 4), logits(30, 4, seed=1)
    equal = scan_loss(a, b, 3.0, torch.full((4,), 0.25).log())["loss"]
    assert (equal - scan_loss(a, b, 3.0)["loss"]).item() == pytest.approx(3 * math.log(4), rel=1e-5)
    prior = torch.tensor([0.7, 0.1, 0.1, 0.1])
    free = torch.zeros(1, 4, requires_grad=True)
    optimizer = torch.optim.Adam([free], 0.05)
    for _ in range(300):
        optimizer.zero_grad()
        scan_loss(free.expand(2, 4), 1000 * torch.eye(4)[:2], 1000.0, prior.log())["loss"].backward()
        optimizer.step()
    np.testing.assert_allclose(free.detach().softmax(1)[0], prior, atol=0.02)


def test_the_penalty_is_least_where_shares_are_as_asked():
    log_p, prior = logits(30, 4).log_softmax(1), torch.tensor([0.7, 0.1, 0.1, 0.1])
    mean = log_p.double().exp().mean(0)
    parts = mean_entropy(log_p, prior.log())
    assert parts["entropy"].item() == pytest.approx(-(mean * mean.log()).sum().item(), rel=1e-5)
    assert parts["penalty"].item() == pytest.approx((mean * (mean / prior).log()).sum().item(), rel=1e-4)
    assert mean_entropy(prior.log().expand(5, 4), prior.log())["penalty"].item() == pytest.approx(0, abs=1e-6)
    assert mean_entropy(log_p)["penalty"] == -mean_entropy(log_p)["entropy"]


def test_gradient_is_finite_where_predictions_disagree_totally():
    p = torch.tensor([[60.0, -60.0]], requires_grad=True)
    scan_loss(p, -p.detach())["loss"].backward()
    assert torch.isfinite(p.grad).all()
    assert p.grad.abs().max() > 0.1  # and there is one


def test_relabeled_clusters_change_nothing():
    a, b, order = logits(30, 4), logits(30, 4, seed=1), [2, 0, 3, 1]
    assert scan_loss(a[:, order], b[:, order])["loss"].item() == pytest.approx(scan_loss(a, b)["loss"].item())


def test_confident_images_teach_and_clusters_count_the_same():
    weak = 20 * torch.eye(3)[[0, 0, 0, 1]]
    strong = logits(4, 3)
    error = functional.cross_entropy(strong, torch.tensor([0, 0, 0, 1]), reduction="none")
    parts = confident_cross_entropy(weak, strong)
    assert parts["loss"].item() == pytest.approx(((error[:3].mean() + error[3]) / 2).item(), rel=1e-5)
    assert parts["sure"] == 1


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_the_surest_of_each_cluster_count_as_sure(share):
    weak, strong = torch.stack([logits(40, 5), logits(40, 5, seed=1)]), torch.stack([logits(40, 5, seed=2)] * 2)
    parts = confident_cross_entropy(weak, strong, 0.9, share)
    for head in range(2):
        surest, cluster = weak[head].softmax(1).max(1)
        error = functional.cross_entropy(strong[head], cluster, reduction="none")
        means, n_sure = [], 0
        for number in cluster.unique():
            members = (cluster == number).nonzero()[:, 0]
            members = members[surest[members].argsort(descending=True)]
            n = max(int((surest[members] >= 0.9).sum()), math.ceil(share * len(members)))
            means.append(error[members[:n]].mean())
            n_sure += n
        assert parts["loss"][head].item() == pytest.approx(torch.stack(means).mean().item(), rel=1e-5)
        assert parts["sure"][head].item() == pytest.approx(n_sure / 40)


def test_shares_are_of_whole_numbers_and_ties_go_to_the_first():
    weak = torch.zeros(60, 3)
    weak[:50, 1] = weak[50:, 2] = 1.0  # equally sure of all, and the first cluster wins none
    strong = logits(60, 3)
    error = functional.cross_entropy(strong, weak.argmax(1), reduction="none")
    parts = confident_cross_entropy(weak, strong, 0.99, 0.3)
    assert parts["sure"].item() == pytest.approx(18 / 60)  # 15 of 50, 3 of 10
    assert parts["loss"].item() == pytest.approx((error[:15].mean() + error[50:53].mean()).item() / 2, rel=1e-5)


def test_where_nothing_is_sure_nothing_is_learned():
    strong = logits(4, 3).requires_grad_()
    parts = confident_cross_entropy(torch.zeros(4, 3), strong)
    parts["loss"].backward()
    assert parts["loss"] == 0
    assert parts["sure"] == 0
    assert (strong.grad == 0).all()


def broken(anchors, neighbors):
    """The loss of a published example: cross-entropy *from logits* of a product that lies in [0, 1], and no entropy.

    It falls from log 2 to 0.3133 = log(1 + 1/e) and no further, and to put all samples in one cluster is enough.
    """
    product = (anchors.softmax(1) * neighbors.softmax(1)).sum(1)
    return functional.binary_cross_entropy_with_logits(product, torch.ones_like(product))


@pytest.mark.parametrize("seed", range(3))
def test_without_the_entropy_all_samples_end_in_one_cluster_and_with_it_none_is_empty(seed):
    X, _ = make_blobs(600, 16, centers=6, cluster_std=16.0, random_state=seed)  # no gaps, as in images
    X = (X - X.mean(0)) / X.std()
    near = NearestNeighbors(n_neighbors=6).fit(X).kneighbors(X, return_distance=False)[:, 1:]
    x = torch.from_numpy(X).float()

    def learned(loss):
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        head = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 6))
        optimizer = torch.optim.Adam(head.parameters(), 0.01)
        for _ in range(400):
            rows = torch.randint(600, (128,), generator=generator)
            others = near[rows, torch.randint(5, (128,), generator=generator)]
            optimizer.zero_grad()
            value = loss(head(x[rows]), head(x[others]))
            value.backward()
            optimizer.step()
        shares = np.bincount(head(x).argmax(1), minlength=6) / 600
        return shares, value.item()

    shares, value = learned(broken)
    assert shares.max() > 0.99
    assert value == pytest.approx(math.log1p(math.exp(-1)), abs=1e-3)
    shares, _ = learned(lambda a, b: scan_loss(a, b)["loss"])
    assert shares.min() > 0.1
