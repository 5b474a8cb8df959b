"""The training engine: same steps whatever happens around them."""

import gc
import io
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from selfsort.errors import DataError, ModelError  # noqa: E402
from selfsort.files import read_sealed, write_sealed  # noqa: E402
from selfsort.training import loop  # noqa: E402
from selfsort.training.batches import Batches, mixed  # noqa: E402
from selfsort.training.loop import train  # noqa: E402
from selfsort.training.memory import _glibc  # noqa: E402
from selfsort.training.schedule import Plan  # noqa: E402
from selfsort.training.session import METRICS, Session, resolve_device, resolve_precision  # noqa: E402
from training_toys import IMAGES, KilledError, Toy, run, same, view  # noqa: E402


def checkpoint(path):
    return torch.load(io.BytesIO(read_sealed(path)), weights_only=True)


@pytest.fixture
def every_step(monkeypatch):
    monkeypatch.setattr(loop, "_REPORT_SECONDS", 0)


PLANS = [
    Plan(4, 0.01),
    Plan(4, 0.01, optimizer="sgd", schedule="cosine", warmup=0.2, weight_decay=1e-3, clip=0.1),
    Plan(4, 0.01, optimizer="adamw", schedule="one-cycle", ema=0.9),
    Plan(4, 0.01, optimizer="muon", weight_decay=0.05),
    Plan(4, 0.01, schedule="step", step_epochs=2, accumulate=2),
]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.schedule)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_killed_at_any_step_and_resumed_is_the_same_to_the_bit(tmp_path, every_step, plan, precision):
    whole, session = run(plan, precision=precision)
    for stop_at in (1, 5, 6, 7, 12, 17, 24):  # inside an epoch, at its end, at the very end
        folder = tmp_path / str(stop_at)
        with pytest.raises(KilledError):
            run(plan, folder=folder, stop_at=stop_at, precision=precision)
        resumed, again = run(plan, folder=folder, precision=precision)
        assert same(whole, resumed), stop_at
        drop = {"seconds"}
        assert [{k: v for k, v in row.items() if k not in drop} for row in again.history] == [
            {k: v for k, v in row.items() if k not in drop} for row in session.history
        ]


def test_killed_again_and_again(tmp_path, every_step):
    whole, _ = run()
    for stop_at in range(1, 24):
        with pytest.raises(KilledError):
            run(folder=tmp_path, stop_at=stop_at)
    assert same(whole, run(folder=tmp_path)[0])


def test_a_finished_stage_is_not_trained_again(tmp_path, every_step):
    first, session = run(folder=tmp_path)
    second, again = run(folder=tmp_path, stop_at=0)  # any step would raise
    assert same(first, second)
    assert again.history == session.history


def test_metrics_are_json_lines(tmp_path):
    run(folder=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [row["step"] for row in rows] == [6, 12, 18, 24]
    assert all(row["stage"] == "toy" and row["loss"] > 0 and row["largest"] > 0 and row["seconds"] >= 0 for row in rows)


def test_what_a_stage_trained_with_goes_when_it_is_done():
    """Optimizers and recorded steps hold memory that the next stage needs: nothing may wait for the collector."""
    seen = []

    class Watched(Toy):
        def before_epoch(self, epoch):
            seen.extend(weakref.ref(x) for x in gc.get_objects() if type(x) is loop._Run)

    toy, collects = Watched(), gc.isenabled()
    gc.disable()
    try:
        train(Session(), "toy", toy, Batches(IMAGES, 16, 7, view), Plan(1, 0.01), before_epoch=toy.before_epoch)
        assert seen
        assert all(ref() is None for ref in seen)
    finally:
        if collects:
            gc.enable()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_replayed_steps_are_as_those_that_are_launched(tmp_path, every_step, precision):
    plan = Plan(4, 0.01, optimizer="adamw", clip=0.1, ema=0.9)
    plain, session = run(plan, device="cuda", precision=precision)
    plan = replace(plan, replay=True)
    replayed, again = run(plan, device="cuda", precision=precision)
    with pytest.raises(KilledError):
        run(plan, device="cuda", precision=precision, folder=tmp_path, stop_at=9)
    resumed, _ = run(plan, device="cuda", precision=precision, folder=tmp_path)
    for name, value in plain.items():
        assert torch.allclose(value.float(), replayed[name].float(), rtol=1e-3, atol=1e-4), name
        assert torch.allclose(value.float(), resumed[name].float(), rtol=1e-3, atol=1e-4), name
    assert [row["loss"] for row in again.history] == pytest.approx([row["loss"] for row in session.history], rel=1e-3)


def test_the_callers_random_state_stays(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run()
    assert torch.equal(before, torch.get_rng_state())


def test_ctrl_c_finishes_the_step_keeps_the_state_and_goes_on(tmp_path, every_step):
    whole, _ = run()
    seen = []

    def progress(stage, done, total):
        seen.append(done)
        if done == 9:
            os.kill(os.getpid(), signal.SIGINT)

    toy = Toy()
    session = Session(folder=tmp_path, progress=progress, checkpoint_seconds=1e9)
    with pytest.raises(KeyboardInterrupt):
        train(session, "toy", toy, Batches(IMAGES, 16, 7, view), Plan(4, 0.01), before_epoch=toy.before_epoch)
    assert seen[-1] == 9
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert checkpoint(tmp_path / "toy.pt")["state"]["step"] == 9
    assert same(whole, run(folder=tmp_path)[0])


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, {tests!r})
from training_toys import run
state, _ = run(folder=Path(sys.argv[1]), samples=np.repeat(np.load(sys.argv[2]), 10, axis=0))
np.savez(sys.argv[3], **{{name: value.numpy() for name, value in state.items()}})
"""


def test_kill_minus_nine(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.format(tests=os.path.dirname(__file__))))  # noqa: PTH120

    def start(folder, result):
        arguments = [sys.executable, script, tmp_path / folder, tmp_path / "images.npy", tmp_path / result]
        return subprocess.Popen(arguments, stderr=subprocess.PIPE)

    assert start("whole", "whole.npz").wait(120) == 0
    for _ in range(2):
        process = start("killed", "killed.npz")
        seen = (tmp_path / "killed/toy.pt").stat().st_mtime_ns if (tmp_path / "killed/toy.pt").exists() else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if (tmp_path / "killed/toy.pt").exists() and (tmp_path / "killed/toy.pt").stat().st_mtime_ns != seen:
                break
        process.kill()
        process.wait(30)
    assert start("killed", "killed.npz").wait(120) == 0
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "killed.npz") as killed:
        assert all(np.array_equal(whole[name], killed[name]) for name in whole.files)


@pytest.mark.parametrize("damage", ["truncated", "empty", "other"])
def test_a_damaged_checkpoint_is_one_clear_error_and_stays(tmp_path, every_step, damage):
    with pytest.raises(KilledError):
        run(folder=tmp_path, stop_at=5)
    path = tmp_path / "toy.pt"
    content = {"truncated": path.read_bytes()[:-100], "empty": b"", "other": b"hello" * 100}[damage]
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"toy\.pt is damaged"):
        run(folder=tmp_path)
    assert path.read_bytes() == content


def test_a_checkpoint_of_another_fit_is_refused(tmp_path, every_step):
    with pytest.raises(KilledError):
        run(folder=tmp_path, stop_at=5, fingerprint="a")
    with pytest.raises(DataError, match="other data or parameters"):
        run(folder=tmp_path, fingerprint="b")


def test_a_checkpoint_of_a_newer_selfsort_is_refused(tmp_path, every_step):
    with pytest.raises(KilledError):
        run(folder=tmp_path, stop_at=5)
    content = io.BytesIO()
    torch.save(checkpoint(tmp_path / "toy.pt") | {"version": 99}, content)
    write_sealed(tmp_path / "toy.pt", content.getvalue())
    with pytest.raises(DataError, match="format 99"):
        run(folder=tmp_path)


class Diverging(nn.Module):
    def __init__(self, bad_step):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.bad_step, self.step = bad_step, 0

    def forward(self, x, rows):
        self.step += 1
        return {"loss": self.weight * (float("nan") if self.step > self.bad_step else 1.0)}


@pytest.mark.parametrize("folder", [True, False])
def test_a_loss_that_is_not_finite_names_step_rate_and_checkpoint(tmp_path, folder):
    session = Session(folder=tmp_path if folder else None, checkpoint_seconds=0, precision="32-true")
    kept = "The last good state is .*bad.pt" if folder else "No state of this stage was kept"
    with pytest.raises(ModelError, match=rf"stage 'bad' was not finite at step 8 of 24 \(learning rate 0.01\). {kept}"):
        train(session, "bad", Diverging(8), Batches(IMAGES, 16, 0, view), Plan(4, 0.01))
    if folder:
        state = checkpoint(tmp_path / "bad.pt")["state"]
        assert state["step"] == 8
        assert all(torch.isfinite(value).all() for value in state["objective"].values())


class Weight(nn.Module):
    """A matrix whose weights are pushed the harder, the larger they are, and some harder than others."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 2))
        self.register_buffer("force", torch.tensor([[1.0, 2.0], [3.0, 5.0]]))

    def forward(self, x, rows):
        return {"loss": (self.force * self.weight.square()).sum()}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "lars", "muon"])
def test_of_weights_that_are_set_anew_the_optimizer_forgets_how_they_moved(optimizer):
    def trained(n_epochs, again):
        objective = Weight()

        def before_epoch(epoch):
            if epoch != 2:
                return None
            nn.init.ones_(objective.weight)
            return objective if again else None

        batches = Batches(IMAGES, 50, 0, view, steps_per_epoch=1)
        train(Session(), "toy", objective, batches, Plan(n_epochs, 0.1, optimizer), before_epoch=before_epoch)
        return objective.weight.detach()

    torch.testing.assert_close(trained(4, again=True), trained(2, again=False))
    assert not torch.allclose(trained(4, again=False), trained(2, again=False))


def test_before_epoch_ends_training():
    session, toy = Session(), Toy()
    train(session, "toy", toy, Batches(IMAGES, 16, 0, view), Plan(9, 0.01), before_epoch=lambda epoch: epoch == 2)
    assert [row["epoch"] for row in session.history] == [1, 2]


def test_accumulating_equal_batches_is_one_large_batch():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(64))

        def forward(self, x, rows):
            return {"loss": (x.flatten(1) @ self.weight).square().mean()}

    states = []
    for batch_size, accumulate in ((16, 1), (4, 4)):
        objective = Mean()
        plan = Plan(3, 1e-3, optimizer="sgd", accumulate=accumulate)
        batches = Batches(IMAGES[:64], batch_size, 0, view)
        train(Session(precision="32-true"), "mean", objective, batches, plan)
        states.append(objective.weight.detach())
    torch.testing.assert_close(*states)


def test_the_average_replaces_the_weights():
    plain, _ = run(Plan(1, 0.01))
    averaged, _ = run(Plan(1, 0.01, ema=0.5))
    start = Toy().state_dict()
    name = "net.0.weight"
    assert (averaged[name] - start[name]).norm() < (plain[name] - start[name]).norm()


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "cuda" if not torch.cuda.is_available() else "cuda:98"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(DataError, match="device"):
        resolve_device(name)


def test_precisions():
    assert resolve_precision("32-true", torch.device("cpu")) == "32-true"
    assert resolve_precision("auto", torch.device("cpu")) in ("32-true", "bf16-mixed")
    with pytest.raises(DataError, match="precision"):
        resolve_precision("bf8", torch.device("cpu"))


def test_mixed_numbers_differ():
    numbers = {mixed(seed, step) for seed in range(30) for step in range(30)}
    assert len(numbers) == 900
    assert all(0 <= number < 2**63 for number in numbers)


def test_nothing_to_train():
    class Fixed(nn.Module):
        def forward(self, x, rows):
            return {"loss": x.mean()}

    with pytest.raises(DataError, match="nothing to train"):
        train(Session(), "fixed", Fixed(), Batches(IMAGES, 16, 0, view), Plan(1))


def test_an_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot be made"):
        run(folder=tmp_path / "file" / "run")


def test_kept_arrays_are_computed_once(tmp_path):
    session = Session(folder=tmp_path, fingerprint="f")
    first = session.keep("start", lambda: {"a": np.arange(3)})
    again = Session(folder=tmp_path, fingerprint="f").keep("start", lambda: pytest.fail("computed again"))
    assert np.array_equal(first["a"], again["a"])
    assert np.array_equal(Session(folder=tmp_path, fingerprint="g").keep("start", lambda: {"a": np.ones(1)})["a"], [1])


def test_gaussian_loss_falls():
    _, session = run(Plan(8, 0.01))
    losses = [row["loss"] for row in session.history]
    assert math.isfinite(losses[-1])
    assert losses[-1] < losses[0]


PROCESSES = """
import sys
from pathlib import Path
import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn
from selfsort.training.loop import train
from selfsort.training.schedule import Plan
from selfsort.training.session import Session

torch.set_num_threads(1)
n_processes = int(sys.argv[1])
strategy = {"strategy": "ddp"} if n_processes > 1 else {}
fabric = Fabric(accelerator="cpu", devices=n_processes, precision="32-true", **strategy)
fabric.launch()

class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 2))

    def forward(self, x):
        return {"loss": self.net(x).square().mean()}

session, toy = Session(given_fabric=fabric, folder=Path(sys.argv[2]), checkpoint_seconds=0), Toy()
images = np.load(sys.argv[3])
train(session, "toy", toy, session.batches(images, 16, lambda x, _: (x.float() / 255,)), Plan(3, 0.01))
if fabric.is_global_zero:
    np.savez(sys.argv[4], **{name: value.numpy() for name, value in toy.state_dict().items()})
"""


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    """Each sees half of every batch and the gradients are averaged, so the steps are the same up to rounding."""
    np.save(tmp_path / "images.npy", IMAGES)
    (tmp_path / "script.py").write_text(PROCESSES)
    results = []
    for n in (1, 2):
        arguments = [str(n), *(str(tmp_path / name) for name in (f"folder-{n}", "images.npy", f"{n}.npz"))]
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"] if n > 1 else []
        subprocess.run([sys.executable, *launcher, tmp_path / "script.py", *arguments], check=True, timeout=300)
        results.append(dict(np.load(tmp_path / f"{n}.npz")))
    for name, value in results[0].items():
        np.testing.assert_allclose(value, results[1][name], atol=2e-3)


@pytest.mark.parametrize(("deterministic", "tried"), [(False, True), (True, False)])
def test_ways_to_convolve_are_tried_while_training_unless_determinism_is_asked_for(monkeypatch, deterministic, tried):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", deterministic)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    seen = []

    def looks(x, rows):
        seen.append(torch.backends.cudnn.benchmark)
        return view(x, rows)

    train(Session(), "toy", Toy(), Batches(IMAGES, 16, 0, looks), Plan(1))
    assert set(seen) == {tried}
    assert not torch.backends.cudnn.benchmark


def test_freed_memory_is_taken_again_while_a_network_runs_and_goes_back_after_it():
    if _glibc() is None:
        pytest.skip("the C library is not glibc")
    script = textwrap.dedent("""
        import resource, torch
        from selfsort.training.memory import memory_kept

        def faults():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(5):
                torch.ones(10_000_000)
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        def megabytes():
            return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6

        with memory_kept():
            faults()
            with memory_kept():
                faults()
            kept = faults()
            torch.ones(50_000_000)
            inside = megabytes()
        print(kept, faults(), inside - megabytes())
    """)  # in a process of its own: what others leave in the heap is unknown
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    kept, given_back, shrunk = map(float, output.split())
    assert kept < given_back / 2
    assert shrunk > 150
