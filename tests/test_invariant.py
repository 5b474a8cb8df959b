"""The loss of IIC, the regrouping that goes with it, and pairs of views."""

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

torch = pytest.importorskip("torch")

from selfsort.augment import VIEWS  # noqa: E402
from selfsort.errors import DataError  # noqa: E402
from selfsort.features.bottleneck import (  # noqa: E402
    grouped_information,
    information_groups,
    paired_joint,
    split_and_merge,
)
from selfsort.losses.invariant import invariant_information, log_joint  # noqa: E402
from selfsort.methods.pairs import Pairs  # noqa: E402
from selfsort.methods.trained import Scaling  # noqa: E402
from selfsort.training.session import Session, random_state  # noqa: E402


def logits(*shape, seed=0, scale=3.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def joint_distribution(m, seed=0):
    joint = np.random.default_rng(seed).random((m, m)) ** 4
    return (joint + joint.T) / (2 * joint.sum())


def information(joint):
    return sum(p * math.log(p / (joint[i].sum() * joint[:, j].sum())) for (i, j), p in np.ndenumerate(joint) if p > 0)


def test_it_is_the_papers_equation():
    p, q = (logits(40, 5, seed=seed).double().softmax(1).numpy() for seed in (0, 1))
    joint = sum(np.outer(a, b) for a, b in zip(p, q, strict=True)) / 40
    joint = (joint + joint.T) / 2
    np.testing.assert_allclose(log_joint(logits(40, 5), logits(40, 5, seed=1)).exp(), joint, rtol=1e-5)
    value = invariant_information(logits(40, 5), logits(40, 5, seed=1))
    assert value.item() == pytest.approx(information(joint), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_laws(seed):
    a, b = logits(3, 30, 6, seed=seed), logits(3, 30, 6, seed=seed + 100)
    value = invariant_information(a, b)
    assert (value > -1e-6).all()
    assert (value < math.log(6)).all()
    torch.testing.assert_close(invariant_information(b, a), value)
    order = torch.randperm(6)
    torch.testing.assert_close(invariant_information(a[..., order], b[..., order]), value)
    order = torch.randperm(30)
    torch.testing.assert_close(invariant_information(a[:, order], b[:, order]), value)
    torch.testing.assert_close(torch.stack([invariant_information(*pair) for pair in zip(a, b, strict=True)]), value)


@pytest.mark.parametrize("scale", [0.0, 1.0, 60.0, 1e4])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("k", [1, 2, 10])
def test_value_and_gradient_are_finite_at_extremes(scale, sign, k):
    a = (scale * torch.eye(k).repeat(3, 1)).requires_grad_()
    value = invariant_information(a, sign * a.detach())
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(a.grad).all()
    assert value > -1e-5


def test_a_cluster_that_nobody_is_near_still_has_a_gradient():
    a = logits(20, 4)
    a[:, 3] -= 200  # below what float32 holds as a probability
    a.requires_grad_()
    invariant_information(a, logits(20, 4, seed=1)).backward()
    assert torch.isfinite(a.grad).all()


@pytest.mark.parametrize("m", [1, 4, 7])
def test_grouped_information_is_that_of_the_grouped_joint(m):
    joint = joint_distribution(m)
    groups = np.arange(m) % 3
    small = np.zeros((3, 3))
    for i, j in itertools.product(range(m), repeat=2):
        small[groups[i], groups[j]] += joint[i, j]
    assert grouped_information(joint, groups, 3) == pytest.approx(information(small))


@pytest.mark.parametrize("seed", range(4))
def test_of_seven_small_clusters_nearly_the_best_three_groups_are_found(seed):
    joint = joint_distribution(7, seed)
    every = (grouped_information(joint, np.array(groups), 3) for groups in itertools.product(range(3), repeat=7))
    found = grouped_information(joint, information_groups(joint, 3), 3)
    assert found > 0.95 * max(every)


def test_ten_true_clusters_of_five_small_ones_are_found():
    truth = np.repeat(np.arange(10), 5)
    joint = np.where(truth[:, None] == truth, 1.0, 0.002) + 0.5 * joint_distribution(50)
    joint /= joint.sum()
    order = np.random.default_rng(0).permutation(50)
    groups = information_groups(joint[np.ix_(order, order)], 10)
    assert len(set(zip(groups, truth[order], strict=True))) == 10


def two_views(k=6, n=6000, noise=0.1, seed=0):
    """Return classes, and the fine clusters of two views: five for each class, where noise does not lead elsewhere."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    right = truth * 5 + rng.integers(0, 5, (2, n))
    return truth, np.where(rng.random((2, n)) < noise, rng.integers(0, 5 * k, (2, n)), right)


def moved(cluster_of_fine, fine, k=6):
    """Return the clusters of both views, by their fine clusters, before and after."""
    cluster = cluster_of_fine[fine]
    table = split_and_merge(*np.stack([cluster, fine], 1), k, 5 * k, 0.02)
    return cluster, table[cluster, fine]


@pytest.mark.parametrize("seed", range(4))
def test_a_wrong_merge_and_a_wrong_split_are_undone(seed):
    truth, fine = two_views(seed=seed)
    wrong = np.arange(30) // 5
    wrong[5:10], wrong[10:12] = 0, 1  # 0 joins two classes, 1 and 2 share one
    before, after = moved(wrong, fine)
    for old, new, view in zip(before, after, fine, strict=True):
        assert len(set(zip(view // 5, new, strict=True))) == 6
        right = np.isin(view // 5, (3, 4, 5))
        np.testing.assert_array_equal(new[right], old[right])  # what is right keeps its number
        assert adjusted_rand_score(truth, new) > adjusted_rand_score(truth, old) + 0.1


@pytest.mark.parametrize("seed", range(4))
def test_right_clusters_stay(seed):
    _, fine = two_views(seed=seed)
    before, after = moved(np.arange(30) // 5, fine)
    np.testing.assert_array_equal(before, after)


def test_moves_never_lose_information():
    for seed in range(6):
        _, fine = two_views(noise=0.5, seed=seed)
        start = np.random.default_rng(seed).integers(0, 6, 30)
        before, after = (paired_joint(*view, 6) for view in moved(start, fine))
        assert grouped_information(after, np.arange(6), 6) >= grouped_information(before, np.arange(6), 6)


@pytest.mark.parametrize(("k", "m"), [(1, 1), (2, 2), (2, 1)])
def test_moves_of_few_clusters(k, m):
    views = np.zeros((2, 8), np.int64)
    np.testing.assert_array_equal(split_and_merge(views, views, k, m, 0.01), np.arange(k)[:, None].repeat(m, 1))


def pairs(views, samples):
    samples = np.asarray(samples)
    return Pairs(views, samples, Scaling.of(samples), Session())


def test_neighbors_are_others_and_near():
    X = np.repeat(np.eye(3, dtype=np.float32) * 10, 20, axis=0)
    X += np.random.default_rng(0).normal(size=X.shape).astype(np.float32)
    rows = torch.arange(60)
    draw = pairs("auto", X)
    first, second = draw(torch.from_numpy(X), rows)
    scaled = Scaling.of(X)(torch.from_numpy(X))
    assert torch.equal(first, scaled)
    found = (second[:, None] == scaled[None]).all(2).float().argmax(1)
    assert not (found == rows).any()
    assert (found // 20 == rows // 20).all()
    assert not torch.equal(draw(torch.from_numpy(X), rows)[1], second)


@pytest.mark.parametrize("views", ["auto", *VIEWS])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_second_view_of_an_image_is_another(views, channels):
    images = np.random.default_rng(0).integers(0, 256, (40, channels, 16, 16)).astype(np.uint8)
    with random_state(0):
        first, second = pairs(views, images)(torch.from_numpy(images), torch.arange(40))
    torch.testing.assert_close(first, torch.from_numpy(images) / 255)
    assert second.shape == images.shape
    assert second.dtype == torch.float32
    assert ((first != second).flatten(1).any(1)).sum() >= 36  # few are neither shifted nor mirrored by chance


def test_a_single_sample_is_its_own_neighbor():
    X = np.ones((1, 4), np.float32)
    first, second = pairs("auto", X)(torch.from_numpy(X), torch.arange(1))
    assert torch.equal(first, second)


def test_wrong_input():
    with pytest.raises(DataError, match=r"views='strokes' needs images .* Leave it out"):
        pairs("strokes", np.eye(5, dtype=np.float32))
