"""The loop that trains every method; a method differs by its objective."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from selfsort.errors import ModelError
from selfsort.training.batches import Batches
from selfsort.training.guard import Guard
from selfsort.training.memory import memory_kept
from selfsort.training.replay import Replayed
from selfsort.training.schedule import Average, Plan
from selfsort.training.session import Session, random_state

_REPORT_SECONDS = 0.1


def train(
    session: Session,
    stage: str,
    objective: nn.Module,
    batches: Batches,
    plan: Plan,
    *,
    before_epoch: Callable[[int], bool | nn.Module | None] | None = None,
) -> None:
    """Minimize ``objective(*batch)["loss"]``; the rows of mean terms per epoch go to ``session.history``.

    With a folder, the state is kept every minute and at the end; a call with the same session, stage and arguments goes
    on from there, and ends with the same weights, to the bit on a CPU.

    Parameters
    ----------
    session : Session
    stage : str
        Name of the checkpoint and of the rows.
    objective : nn.Module
        Returns scalar tensors by name, ``"loss"`` among them. What it must remember lies in its buffers.
    batches : Batches
    plan : Plan
    before_epoch : callable, optional
        Called as ``before_epoch(epoch)``; may change the objective's buffers (new targets), and ends the training by
        returning True. It may also give weights other values, and returns the module that has them: the optimizer then
        forgets how they moved. It must depend on nothing but the objective and the epoch.

    Raises
    ------
    ModelError
        If the loss is no longer finite: with the step, the learning rate and where the last good checkpoint is.
    KeyboardInterrupt
        After Ctrl-C, once the step at hand is done and the state is kept.
    """
    objective.to(session.fabric.device)
    run = _Run(session, stage, objective, batches, plan)
    if run.restore():
        return
    with random_state(session.seed), memory_kept(), _fastest_convolutions(), _interrupt_between_steps() as interrupted:
        while run.epoch < plan.n_epochs:
            if run.step % len(batches) == 0 and not run.refreshed:
                changed = before_epoch(run.epoch) if before_epoch is not None else None
                if isinstance(changed, nn.Module):
                    run.forget(changed)
                elif changed:
                    break
                run.refreshed = True
            objective.train()
            if run.replayed is not None:
                run.replayed.look()
            for batch in batches.stream(run.step, (run.epoch + 1) * len(batches)):
                run.advance(batch)
                if interrupted.is_set() and run.gradient_used:
                    run.keep()
                    raise KeyboardInterrupt
        run.finish()


class _Run:
    """One stage of training between two steps: what a checkpoint holds."""

    def __init__(self, session: Session, stage: str, objective: nn.Module, batches: Batches, plan: Plan) -> None:
        self.session, self.stage, self.objective, self.batches, self.plan = session, stage, objective, batches, plan
        self.channels_last = session.channels_last and _takes_channels_last(objective, session.fabric.device)
        if self.channels_last:
            objective.to(memory_format=torch.channels_last)
        optimizer = plan.build(objective)
        self.guards = [module for module in objective.modules() if isinstance(module, Guard)]
        self.average = Average(objective, plan.ema) if plan.ema is not None else None
        self.module, self.optimizer = session.fabric.setup(
            torch.compile(objective) if plan.compile else objective, optimizer
        )
        self.replayed = Replayed(objective, session.fabric.device) if self._may_replay() else None
        self.n_steps = plan.n_epochs * len(batches)
        self.step = 0
        self.refreshed = False
        self.sums: dict[str, Tensor] = {}
        self.seconds = 0.0
        self.rows: list[dict[str, Any]] = []
        self.first_bad = torch.full((), -1, dtype=torch.int64, device=session.fabric.device)
        self._started = self._kept = time.monotonic()
        self._reported = 0.0

    @property
    def epoch(self) -> int:
        return self.step // len(self.batches)

    def advance(self, batch: tuple[Tensor, ...]) -> None:
        """Take one step."""
        if self.channels_last:
            batch = tuple(x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x for x in batch)
        rate = self.plan.rate(self.step, self.n_steps, len(self.batches))
        step, self.step, self.refreshed = self.step, self.step + 1, False
        terms = self._passes(batch) if self.replayed is None else self.replayed(self._passes, batch)
        bad = ~torch.isfinite(terms["loss"].detach()) & (self.first_bad < 0)
        self.first_bad = torch.where(bad, step, self.first_bad)  # looked at later: no waiting for the device
        for name, value in terms.items():
            self.sums[name] = self.sums[name] + value.detach() if name in self.sums else value.detach().clone()
        if self.gradient_used:
            self._use_gradient(rate)
        if self.step % len(self.batches) == 0:
            self._end_epoch()
        self._look_up()

    def _passes(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Add the gradient of a batch, and return its terms."""
        with self.session.fabric.no_backward_sync(self.module, enabled=not self.gradient_used):
            terms: dict[str, Tensor] = self.module(*batch)
            self.session.fabric.backward(terms["loss"] / self.plan.accumulate)
        return terms

    def _may_replay(self) -> bool:
        fabric, plan = self.session.fabric, self.plan
        asked = plan.replay and not plan.compile and plan.accumulate == 1
        return asked and fabric.device.type == "cuda" and fabric.world_size == 1

    def forget(self, changed: nn.Module) -> None:
        """Let the optimizer begin anew with the weights of a module."""
        for weight in changed.parameters():
            for value in self.optimizer.state.get(weight, {}).values():
                if isinstance(value, Tensor):
                    value.zero_()

    @property
    def gradient_used(self) -> bool:
        """Whether no gradient waits to be averaged with those of later batches."""
        in_epoch = self.step % len(self.batches)
        return in_epoch % self.plan.accumulate == 0

    def _use_gradient(self, rate: float) -> None:
        if self.plan.clip is not None:
            self.session.fabric.clip_gradients(
                self.module, self.optimizer, max_norm=self.plan.clip, error_if_nonfinite=False
            )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.objective)

    def _look_up(self) -> None:
        """Now and then report progress and keep a checkpoint."""
        now = time.monotonic()
        if now - self._reported >= _REPORT_SECONDS:
            self._reported = now
            self.session.progress(self.stage, self.step, self.n_steps)
        if now - self._kept >= self.session.checkpoint_seconds and self.gradient_used:
            self.keep()

    def _end_epoch(self) -> None:
        """Add a row of mean terms."""
        self._check()
        row: dict[str, Any] = {"stage": self.stage, "epoch": self.epoch, "step": self.step}
        row["lr"] = self.optimizer.param_groups[0]["lr"]
        row |= {name: float(value) / len(self.batches) for name, value in self.sums.items()}
        for guard in self.guards:
            row |= guard.close(self.epoch)
            guard.warn(self.stage, self.epoch)
        row["seconds"] = round(self._elapsed(), 3)
        self.sums, self.seconds, self._started = {}, 0.0, time.monotonic()
        self.rows.append(row)
        self.session.log([row])

    def finish(self) -> None:
        """Put the average in place and keep the final state."""
        if self.average is not None:
            self.average.give(self.objective)
        self.objective.eval()
        self.session.progress(self.stage, self.n_steps, self.n_steps)
        self.session.save(self.stage, {"done": True, "objective": self.objective.state_dict(), "rows": self.rows})

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self._started

    def _check(self) -> None:
        step = int(self.first_bad)
        if step < 0:
            return
        rate = self.plan.rate(step, self.n_steps, len(self.batches))
        path = self.session.path(f"{self.stage}.pt")
        known = path is not None and path.exists()
        kept = f"The last good state is {path}" if known else "No state of this stage was kept"
        raise ModelError(
            f"The loss of stage {self.stage!r} was not finite at step {step} of {self.n_steps} (learning rate "
            f"{rate:.3g}). {kept}. Use a smaller learning rate in it."
        )

    def keep(self) -> None:
        """Write a checkpoint, unless the loss went wrong."""
        self._check()
        self._kept = time.monotonic()
        if self.session.folder is None:
            return
        state: dict[str, Any] = {
            "done": False,
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "refreshed": self.refreshed,
            "sums": self.sums,
            "seconds": self._elapsed(),
            "rows": self.rows,
        }
        if self.average is not None:
            state["average"] = self.average.values
        self.session.save(self.stage, state)

    def restore(self) -> bool:
        """Take up the last checkpoint, if there is one; return whether the stage is done already."""
        state = self.session.load(self.stage)
        if state is None:
            for guard in self.guards:
                guard.reset()
            return False
        self.objective.load_state_dict(state["objective"])
        self.rows = state["rows"]
        self.session.log(self.rows)
        for guard in self.guards:
            guard.warn(self.stage)
        if state["done"]:
            self.objective.eval()
            return True
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load(state["average"])
        self.step, self.refreshed = state["step"], state["refreshed"]
        self.sums, self.seconds = state["sums"], state["seconds"]
        return False


def _takes_channels_last(module: nn.Module, device: torch.device) -> bool:
    """Whether a module has convolutions, and they work in this layout.

    On processors without AVX-512, torch 2.13 writes beyond its memory where one has fewer than 8 channels.
    """
    channels = [part.out_channels for part in module.modules() if isinstance(part, nn.Conv2d)]
    return bool(channels) and (device.type != "cpu" or min(channels) >= 8)


@contextlib.contextmanager
def _fastest_convolutions() -> Iterator[None]:
    """Let cuDNN try its ways to convolve, as batches have few sizes, unless it is asked to be deterministic."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark
    cudnn.benchmark = before or not (cudnn.deterministic or torch.are_deterministic_algorithms_enabled())
    try:
        yield
    finally:
        cudnn.benchmark = before


@contextlib.contextmanager
def _interrupt_between_steps() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C sets, so that no step is cut in two; a second Ctrl-C interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def handle(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
