"""Mutual information: the laws of the bounds, of the estimates, and what is refused."""

import math
import pickle
import warnings
from functools import partial

import numpy as np
import pytest

import selfsort
from selfsort.errors import DataError

torch = pytest.importorskip("torch")

from selfsort.information import gaussian_mutual_information, gaussian_sample  # noqa: E402
from selfsort.information.binned import binned_information  # noqa: E402
from selfsort.information.bounds import contributions, info_nce_limit  # noqa: E402
from selfsort.information.columns import NormalScores  # noqa: E402
from selfsort.information.critic import Critic  # noqa: E402
from selfsort.information.estimate import ESTIMATORS, mutual_information  # noqa: E402
from selfsort.information.fitting import folds  # noqa: E402
from selfsort.losses.information import (  # noqa: E402
    donsker_varadhan,
    info_nce,
    jensen_shannon,
    joint_and_product,
    nwj,
)

NEURAL = [name for name in ESTIMATORS if name != "binned"]
QUICK = {"n_steps": 200, "hidden": (32,), "batch_size": 64, "random_state": 0, "device": "cpu"}


def law(rho, dim=1):
    return lambda n, seed: gaussian_sample(n, rho, dim, seed)


# --- the losses


def scores(n=40, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=(n, n)), dtype=torch.float32, requires_grad=True)


def test_pairs_are_split_into_true_and_random_ones():
    matrix = scores(5)
    joint, product = joint_and_product(matrix)
    away = ~torch.eye(5, dtype=torch.bool)
    assert torch.equal(joint, matrix.diagonal())
    assert torch.equal(product, matrix[away])


def test_bounds_are_the_papers_equations():
    joint, product = (part.detach().double() for part in joint_and_product(scores()))
    log_mean = product.exp().mean().log()
    assert donsker_varadhan(joint, product)["information"] == pytest.approx(float(joint.mean() - log_mean))
    assert nwj(joint, product)["information"] == pytest.approx(float(joint.mean() - (product - 1).exp().mean()))
    divergence = 2 * math.log(2) - float((1 + (-joint).exp()).log().mean() + (1 + product.exp()).log().mean())
    assert jensen_shannon(joint, product)["divergence"] == pytest.approx(divergence / 2)
    matrix = scores().detach().double()
    shares = [(matrix.diagonal().exp() / matrix.exp().mean(axis)).log().mean() for axis in (0, 1)]
    assert info_nce(matrix)["information"] == pytest.approx(float(sum(shares)) / 2)


def test_the_gradient_of_donsker_varadhan_is_corrected_by_the_moving_average():
    """MINE: mean(dT) - mean(e^T dT) / average, with the average over batches held fixed."""
    matrix = scores()
    joint, product = joint_and_product(matrix)
    parts = donsker_varadhan(joint, product, torch.tensor(1.5), rate=0.1)
    parts["loss"].backward()
    with torch.no_grad():
        average = 0.9 * math.exp(1.5) + 0.1 * product.exp().mean()
        expected = matrix.exp() / len(product) / average
        expected.fill_diagonal_(-1 / len(joint))
    assert parts["log_average"].item() == pytest.approx(average.log().item())
    torch.testing.assert_close(matrix.grad, expected)
    assert parts["loss"].item() == pytest.approx(-parts["information"].item())


@pytest.mark.parametrize("high", [1e4, 100.0])
@pytest.mark.parametrize("sign", ["same", "swapped", "high", "low"])
@pytest.mark.parametrize("bound", [donsker_varadhan, nwj, jensen_shannon, "averaged", info_nce])
def test_gradients_are_finite_at_extremes(bound, sign, high):
    matrix = torch.full((6, 6), -high)
    matrix.fill_diagonal_(high)
    matrix = {"same": matrix, "swapped": -matrix, "high": matrix.abs(), "low": -matrix.abs()}[sign].requires_grad_()
    if bound is info_nce:
        parts = info_nce(matrix)
    elif bound == "averaged":
        parts = donsker_varadhan(*joint_and_product(matrix), torch.tensor(-high))
    else:
        parts = bound(*joint_and_product(matrix))
    parts["loss"].backward()
    assert all(torch.isfinite(value) for value in parts.values())
    assert torch.isfinite(matrix.grad).all()


def test_bounds_of_the_true_ratio_are_the_mutual_information():
    rho, exact = 0.7, gaussian_mutual_information(0.7)
    x, y = (torch.from_numpy(column) for column in gaussian_sample(3000, rho, seed=1))
    ratio = exact + (rho * x * y.T - rho**2 / 2 * (x**2 + y.T**2)) / (1 - rho**2)
    joint, product = joint_and_product(ratio)
    error = 4 * rho / math.sqrt(3000)
    assert donsker_varadhan(joint, product)["information"] == pytest.approx(exact, abs=error)
    assert nwj(joint + 1, product + 1)["information"] == pytest.approx(exact, abs=error)
    assert info_nce(ratio)["information"] == pytest.approx(exact, abs=error)
    assert donsker_varadhan(joint - 9, product - 9)["information"] == pytest.approx(exact, abs=error)


# --- what a critic is worth on samples


@pytest.mark.parametrize("estimator", NEURAL)
@pytest.mark.parametrize("n", [400, 700])
def test_contributions_average_to_the_bound_of_all_pairs_in_a_block(estimator, n):
    torch.manual_seed(0)
    critic = Critic(2, 3, (8,))
    x, y = torch.randn(n, 2), torch.randn(n, 3)
    parts = contributions(estimator, critic, x, y)
    assert parts.shape == (n,)
    with torch.no_grad():
        blocks_of = (x.tensor_split(-(-n // 512)), y.tensor_split(-(-n // 512)))
        blocks = [critic(a, b).double() for a, b in zip(*blocks_of, strict=True)]
    joint, product = (torch.cat(part) for part in zip(*map(joint_and_product, blocks), strict=True))
    wanted = {
        "nwj": lambda: nwj(joint, product)["information"],
        "info-nce": lambda: sum(info_nce(block)["information"] * len(block) for block in blocks) / n,
    }.get(estimator, lambda: donsker_varadhan(joint, product)["information"])
    assert parts.mean() == pytest.approx(float(wanted()), abs=1e-6)


def test_a_ceiling_cuts_scores_off():
    torch.manual_seed(0)
    critic, x = Critic(1, 1, (8,)), 9 * torch.randn(200, 1)
    with torch.no_grad():
        joint, product = joint_and_product(critic(x, x).double().clamp(max=0.1))
    wanted = donsker_varadhan(joint, product)["information"]
    assert contributions("dv", critic, x, x, 0.1).mean() == pytest.approx(float(wanted), abs=1e-6)
    assert contributions("dv", critic, x, x).mean() != pytest.approx(float(wanted), abs=1e-3)


def test_folds_hold_out_every_sample_once_and_train_on_none_of_those():
    x, y = gaussian_sample(300, 0.5)
    parts = list(folds(x, y, seed=1))
    assert sum(len(part.held_out[0]) for part in parts) == 300
    assert all(len(part.train[0]) + len(part.check[0]) + len(part.held_out[0]) == 300 for part in parts)
    assert len(list(folds(*gaussian_sample(10_000, 0.5), seed=1))) == 2


def test_normal_scores_are_of_ranks_alone():
    column = np.random.default_rng(0).standard_cauchy((1001, 1))
    once, again = (NormalScores(values)(values) for values in (column, np.arctan(column)))
    np.testing.assert_allclose(once, again, atol=1e-6)
    assert abs(np.median(once)) < 1e-6
    assert once.std() == pytest.approx(1, abs=0.02)
    ties = np.array([[0.0], [0.0], [1.0], [5.0]])
    assert np.array_equal(NormalScores(ties)(ties)[:2, 0], [NormalScores(ties)(ties)[0, 0]] * 2)
    outside = NormalScores(column)(np.array([[-1e300], [1e300]]))
    assert np.isfinite(outside).all()
    assert outside[1] == once.max()


# --- estimates


def test_the_known_law():
    x, y = gaussian_sample(200_000, -0.8, dim=2, seed=3)
    assert np.corrcoef(x[:, 0], y[:, 0])[0, 1] == pytest.approx(-0.8, abs=0.01)
    assert np.corrcoef(x[:, 0], y[:, 1])[0, 1] == pytest.approx(0, abs=0.01)
    assert gaussian_mutual_information(-0.8, 2) == pytest.approx(-math.log(1 - 0.64))
    assert gaussian_mutual_information(0.0) == 0
    assert np.array_equal(gaussian_sample(5, 0.3, 2, 7)[1], gaussian_sample(5, 0.3, 2, 7)[1])


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_comes_near_the_truth(estimator):
    exact = gaussian_mutual_information(0.8)
    found = mutual_information(estimator=estimator, sample=law(0.8), n_samples=20_000, **QUICK | {"n_steps": 400})
    assert found.value == pytest.approx(exact, rel=0.04)
    assert 0 <= found.low < found.value < found.high
    assert found.n_samples == 20_000
    assert found.estimator == estimator
    assert len(found.curve) == (0 if estimator == "binned" else 21)
    assert not found.warnings
    assert found.note


def test_a_table_of_several_columns():
    x, y = gaussian_sample(3000, 0.7, dim=3, seed=1)
    exact = gaussian_mutual_information(0.7, 3)
    found = mutual_information(x, y, **QUICK)
    assert 0.85 * exact < found.value < 1.05 * exact
    assert found.n_samples == 3000
    other = mutual_information(y, x, **QUICK)  # of x and y as much as of y and x
    assert found.value == pytest.approx(other.value, rel=0.05)


def test_dependence_that_no_correlation_shows():
    """y = 1 or -1, as x1 and x2 have the same sign or not: log 2, though neither alone tells anything."""
    x = np.random.default_rng(0).normal(size=(4000, 2))
    y = np.sign(x[:, 0] * x[:, 1])
    found = mutual_information(x, y, **QUICK | {"n_steps": 600, "hidden": (64, 64)})
    assert 0.85 * math.log(2) < found.value < 1.02 * math.log(2)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_independent_columns_share_nothing(estimator):
    x, y = gaussian_sample(1000, 0.0, seed=2)
    found = mutual_information(x, y, estimator, **QUICK | {"n_steps": 60})
    assert 0 <= found.value < 0.02
    assert found.low < 0.001


def test_what_is_learned_by_heart_is_not_reported():
    rng = np.random.default_rng(0)
    found = mutual_information(rng.normal(size=(150, 20)), rng.normal(size=(150, 20)), **QUICK)
    assert found.value < 0.2
    negative = [value for _, value in found.curve if value < 0]
    assert negative
    if found.value == 0:
        assert "never below 0" in found.note


@pytest.mark.parametrize("estimator", ["auto", "binned"])
def test_only_ranks_count(estimator):
    x, y = gaussian_sample(600, 0.8, seed=4)
    settings = QUICK | {"n_steps": 60}
    found = mutual_information(x, y, estimator, **settings)
    same = mutual_information(np.exp(5 * x), np.cbrt(y), estimator, **settings)
    assert same.value == pytest.approx(found.value, rel=1e-3)
    scaled = mutual_information(1e9 * x + 7, y.ravel(), estimator, **settings)
    assert scaled.value == pytest.approx(found.value, rel=1e-3)


def test_counting_a_known_table():
    joint = np.array([[0.3, 0.1], [0.2, 0.4]])
    x, y = (index.ravel().repeat((joint * 1000).astype(int).ravel()) for index in np.indices(joint.shape))
    exact = (joint * np.log(joint / np.outer(joint.sum(1), joint.sum(0)))).sum()
    found = mutual_information(x, y, "binned")
    assert found.value == pytest.approx(exact, abs=1e-3)
    parts, gain = binned_information(x[:, None], y[:, None])
    assert gain == 0
    assert found.low == pytest.approx(found.value - 1.96 * parts.std() / math.sqrt(1000))
    assert found.high == pytest.approx(found.value + 1.96 * parts.std() / math.sqrt(1000))


def test_what_chance_adds_is_taken_away():
    means = [binned_information(*gaussian_sample(2000, 0.0, seed=seed)).contributions.mean() for seed in range(20)]
    assert abs(np.mean(means)) < 0.01


def on_a_circle(n, rng):
    """x anywhere on a circle of length 1, y within a tenth of it further on: log 10."""
    x = rng.random(n)
    return x, (x + 0.1 * rng.random(n)) % 1


def of_a_sum(n, rng):
    """Two exponential numbers: x is the first, y their sum. Euler's constant."""
    x = rng.exponential(size=n)
    return x, x + rng.exponential(size=n)


def of_three_and_noise(n, rng):
    x = rng.integers(0, 3, n)
    return x, x + 1.5 * rng.random(n)


@pytest.mark.parametrize(
    ("law", "exact"),
    [
        (lambda n, rng: gaussian_sample(n, 0.9, seed=int(rng.integers(1 << 30))), gaussian_mutual_information(0.9)),
        (lambda n, rng: gaussian_sample(n, 0.99, seed=int(rng.integers(1 << 30))), gaussian_mutual_information(0.99)),
        (lambda n, rng: gaussian_sample(n, 0.3, seed=int(rng.integers(1 << 30))), gaussian_mutual_information(0.3)),
        (on_a_circle, math.log(10)),
        (of_a_sum, 0.57722),
        (of_three_and_noise, 0.79053),
    ],
)
@pytest.mark.parametrize("n", [1000, 5000])
def test_the_interval_of_bins_holds_the_truth(law, exact, n):
    found = [mutual_information(*law(n, np.random.default_rng(seed)), "binned") for seed in range(20)]
    assert sum(one.low <= exact <= one.high for one in found) >= 15
    assert np.mean([one.high - one.low for one in found]) < 0.25 * exact + 0.8


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1e-30, 1e19, 1e300])
def test_units_change_nothing_for_bins(scale):
    x, y = gaussian_sample(300, 0.8, seed=4)
    found = mutual_information(x, y, "binned").value
    assert mutual_information(x * scale, y, "binned").value == pytest.approx(found, abs=0.1 if scale < 1e-310 else 1e-9)


def test_the_interval_holds_the_truth_in_most_seeds():
    exact, settings = gaussian_mutual_information(0.5), QUICK | {"n_steps": 150}
    found = [
        mutual_information(sample=law(0.5), n_samples=3000, **settings | {"random_state": seed}) for seed in range(12)
    ]
    assert sum(one.low <= exact <= one.high for one in found) >= 9
    spread = np.std([one.value for one in found])
    claimed = np.mean([one.high - one.low for one in found]) / 2 / 1.96
    assert 0.5 < claimed / spread < 2


def test_the_same_seed_gives_the_same_value():
    x, y = gaussian_sample(400, 0.5, seed=1)
    first, again = (mutual_information(x, y, **QUICK | {"n_steps": 40}) for _ in range(2))
    assert first.value == again.value
    assert np.array_equal(first.curve, again.curve)
    other = mutual_information(x, y, **QUICK | {"n_steps": 40, "random_state": 1})
    assert other.value != first.value
    assert mutual_information(x, y, **QUICK | {"n_steps": 20, "random_state": None}).value >= 0


def test_random_states_of_the_caller_stay_and_nothing_is_printed(capfd, recwarn):
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    before = pickle.dumps(np.random.get_state()), torch.get_rng_state()  # noqa: NPY002
    given = gaussian_sample(300, 0.5)
    kept = [column.copy() for column in given]
    seen = []
    mutual_information(*given, **QUICK, progress=lambda *call: seen.append(call))
    assert pickle.dumps(np.random.get_state()) == before[0]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])
    assert all(np.array_equal(a, b) for a, b in zip(given, kept, strict=True))
    assert capfd.readouterr() == ("", "")
    assert not recwarn
    assert {stage for stage, _, _ in seen} == {f"critic {i} of 5" for i in range(1, 6)}


def test_a_law_is_drawn_with_new_samples_each_time():
    seeds = []

    def sample(n, seed):
        seeds.append(seed)
        return gaussian_sample(n, 0.5, seed=seed)

    mutual_information(sample=sample, n_samples=1000, **QUICK | {"n_steps": 40})
    assert len(set(seeds)) == len(seeds) == 42


def test_info_nce_says_that_it_is_near_its_ceiling():
    with pytest.warns(UserWarning, match="InfoNCE cannot exceed"):
        found = mutual_information(estimator="info-nce", sample=law(0.95, 5), n_samples=5000, **QUICK)
    assert found.value < info_nce_limit(5000) <= math.log(512)
    assert "Use the estimator auto" in found.warnings[0]


def test_more_than_samples_can_show_is_warned_of():
    x, _ = gaussian_sample(200, 0.5, dim=20)
    with pytest.warns(UserWarning, match="40 held-out samples cannot show more than"):
        mutual_information(x, x, **QUICK)


def test_the_public_name():
    assert selfsort.mutual_information is mutual_information
    assert selfsort.MutualInformation.__name__ == "MutualInformation"


# --- what is refused

GOOD = gaussian_sample(200, 0.5)
HOLES = np.where(np.arange(200) == 7, np.nan, GOOD[0][:, 0])


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ((GOOD[0], GOOD[1][:150]), {}, r"200 and 150 rows"),
        ((HOLES, GOOD[1]), {}, r"x must be finite: got nan in row 7, column 0 \(1 such"),
        ((GOOD[0], np.full(200, np.inf)), {}, r"y must be finite: got inf"),
        ((GOOD[0], np.c_[GOOD[1], np.ones(200)]), {}, r"Column 1 of y is constant \(1\)"),
        ((GOOD[0][:99], GOOD[1][:99]), {}, r"at least 100 samples: got 99"),
        ((np.array(["a", "b"] * 100), GOOD[1]), {}, r"x must hold real numbers"),
        ((GOOD[0].astype(complex), GOOD[1]), {}, r"x must hold real numbers"),
        ((np.zeros((200, 2, 2)), GOOD[1]), {}, r"x must have the shape .* got \(200, 2, 2\)"),
        ((np.zeros((200, 0)), GOOD[1]), {}, r"x must have the shape"),
        ((3.0, GOOD[1]), {}, r"x must have the shape"),
        ((GOOD[0],), {}, r"pass both"),
        ((), {}, r"pass both"),
        (GOOD, {"sample": law(0.5)}, r"pass both"),
        (GOOD, {"estimator": "mine"}, r"no estimator 'mine'.*auto, dv, nwj"),
        ((np.c_[GOOD], GOOD[1]), {"estimator": "binned"}, r"one column against one: got 1 and 1|got 2 and 1"),
        (GOOD, {"batch_size": 141}, r"batch_size=141 and 134 samples.*Pass 134 or less"),
        (GOOD, {"batch_size": 1}, r"batch_size must be a whole number from 2: got 1"),
        (GOOD, {"n_steps": 0}, r"n_steps must be a whole number from 1: got 0"),
        (GOOD, {"n_steps": 1.5}, r"n_steps must be a whole number"),
        (GOOD, {"hidden": (8, 0)}, r"hidden\[1\] must be"),
        (GOOD, {"learning_rate": 0.0}, r"learning rate must be a number above 0"),
        (GOOD, {"learning_rate": math.nan}, r"learning rate must be"),
        (GOOD, {"random_state": -1}, r"random_state must be a whole number from 0"),
        (GOOD, {"device": "tpu"}, r"device 'tpu'"),
        ((), {"sample": law(0.5), "n_samples": 50}, r"n_samples must be a whole number from 100"),
        ((), {"sample": law(1.0)}, r"between -1 and 1, both excluded: got rho=1.0"),
        ((), {"sample": law(0.5, 0)}, r"at least one dimension: got dim=0"),
        ((), {"sample": lambda n, seed: gaussian_sample(n - 1, 0.5)}, r"must return n samples: got 19999"),
        ((), {"sample": lambda n, seed: (np.zeros(n), np.zeros(n))}, r"Column 0 of x is constant"),
    ],
)
def test_what_cannot_work_is_said_before_work_starts(given, options, message):
    with pytest.raises(DataError, match=message):
        mutual_information(*given, **options, progress=partial(pytest.fail, "work started"))


@pytest.mark.parametrize("rho", [1.0, -1.0, 2.0, math.nan])
def test_no_gaussian_has_such_a_correlation(rho):
    with pytest.raises(DataError, match="between -1 and 1"):
        gaussian_mutual_information(rho)
    with pytest.raises(DataError, match="between -1 and 1"):
        gaussian_sample(10, rho)
    with pytest.raises(DataError, match="at least one row"):
        gaussian_sample(0, 0.5)


def test_extreme_scores_of_a_critic_leave_a_finite_estimate():
    torch.manual_seed(0)
    critic = Critic(1, 1, (8,))
    with torch.no_grad():
        for weights in critic.parameters():
            weights.mul_(30)
    x, y = (torch.from_numpy(column).float() for column in gaussian_sample(600, 0.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for estimator in NEURAL:
            assert np.isfinite(contributions(estimator, critic, x, y)).all()
