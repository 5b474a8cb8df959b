"""What training sees and how fast it steps: batches, streaming, learning rates."""

import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from selfsort.training.batches import Batches  # noqa: E402
from selfsort.training.schedule import Plan  # noqa: E402
from training_toys import IMAGES, KilledError, run, same, view  # noqa: E402


@pytest.mark.parametrize(
    ("plan", "rates"),
    [
        (Plan(10, 2.0), [2.0, 2.0, 2.0]),
        (Plan(10, 2.0, schedule="cosine"), [2.0, 1.0, 0.0]),
        (Plan(10, 2.0, schedule="cosine", final=0.5), [2.0, 1.5, 1.0]),
        (Plan(10, 2.0, schedule="step", step_epochs=4, step_factor=0.5), [2.0, 1.0, 0.5]),
        (Plan(10, 2.0, schedule="one-cycle", warmup=0.5), [2.0 / 25, 2.0, 2.0e-4]),
    ],
    ids=lambda value: value.schedule if isinstance(value, Plan) else "",
)
def test_learning_rates(plan, rates):
    assert [plan.rate(step, 100, 10) for step in (0, 50, 100)] == pytest.approx(rates, abs=1e-9)


def test_warm_up_rises_to_the_rate():
    plan = Plan(10, 1.0, schedule="cosine", warmup=0.1)
    rates = [plan.rate(step, 100, 10) for step in range(100)]
    assert rates[0] < 0.2
    assert np.argmax(rates) == 10
    assert np.all(np.diff(rates[:10]) > 0)
    assert np.all(np.diff(rates[10:]) < 0)


def test_one_cycle_is_torchs():
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], 0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=101, pct_start=0.3, final_div_factor=400)
    plan = Plan(1, 0.1, schedule="one-cycle")
    for step in range(100):
        assert plan.rate(step, 100, 100) == pytest.approx(theirs.get_last_lr()[0], rel=0.05, abs=1e-4)
        optimizer.step()
        theirs.step()


def test_every_pass_sees_every_sample_once_in_another_order():
    batches = Batches(IMAGES, 30, 3, view)  # 100 is no multiple: passes run on inside a batch
    rows = torch.cat([batches.rows(step) for step in range(10)]).reshape(3, 100)
    assert all(sorted(order.tolist()) == list(range(100)) for order in rows)
    assert not torch.equal(rows[0], rows[1])
    assert torch.equal(rows, torch.cat([Batches(IMAGES, 30, 3, view).rows(s) for s in range(10)]).reshape(3, 100))
    assert not torch.equal(rows[0], torch.cat([Batches(IMAGES, 30, 4, view).rows(s) for s in range(4)])[:100])


def test_parts_of_several_processes_make_up_the_batch():
    whole = Batches(IMAGES, 30, 3, view).rows(4)
    parts = [Batches(IMAGES, 30, 3, view, rank=rank, world_size=2).rows(4) for rank in range(2)]
    assert sorted(torch.cat(parts).tolist()) == sorted(whole.tolist())


class Lazy:
    """Samples that are read when asked for, and claim to be larger than any memory."""

    dtype = np.dtype(np.uint8)

    def __init__(self, images):
        self.images, self.shape, self.reads = images, (1 << 50, *images.shape[1:]), 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, rows):
        self.reads += 1
        time.sleep(0.002 * int(rows[0]) / len(self.images))  # they come back in another order
        return self.images[rows]


def test_streamed_samples_train_as_those_in_memory():
    lazy = Lazy(IMAGES)
    assert same(run()[0], run(samples=lazy)[0])
    assert lazy.reads == 24


def test_streaming_stops_when_training_does():
    lazy = Lazy(IMAGES)
    with pytest.raises(KilledError):
        run(samples=lazy, stop_at=1)
    assert lazy.reads < 24
