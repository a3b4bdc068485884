"""The loop that trains a net: from its recipe, images and labels to trained weights. Knows nothing of candidates and their names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import nn
from torch.nn import functional

from mcal_engine.classifiers import devices
from mcal_engine.classifiers.base import Progress, ProgressCallback
from mcal_engine.classifiers.images.augment import Changes, draw_changes
from mcal_engine.classifiers.nets import parallel
from mcal_engine.classifiers.nets.checkpoints import Checkpoint

WARM_UP = 0.2  # share of a one-cycle schedule with a rising rate
STEPS_DOWN = (0.4, 0.6, 0.8, 0.9)  # of the epochs, where the paper's rate is divided by 10: 80, 120, 160, 180 of 200


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a net is trained, as far as its optimizer does not say.

    Attributes:
        batch: images of one step, over all processes.
        smoothing: share of a label that is spread over all classes; bounds what a wrong label can teach.
        schedule: ``one-cycle`` (up, then down to nothing) or ``steps`` (the paper's).
    """

    epochs: int
    batch: int
    smoothing: float
    schedule: Literal["one-cycle", "steps"]
    mirror: bool


class Examples(Protocol):
    """What a net is shown: images, or what a fixed lower part has made of them.

    Attributes:
        side: of what is shown, px.
        mirrors: whether mirror images are examples of their own; otherwise showing an example's mirror image is turning it around.
    """

    @property
    def side(self) -> int: ...

    @property
    def mirrors(self) -> bool: ...

    def batches(self, parts: Sequence[torch.Tensor], mirrored: torch.Tensor | None) -> Iterator[torch.Tensor]:
        """For each part, positions on the CPU: its examples (len(part), C, s, s). ``mirrored``: by position, which as mirror images."""

    def shown(self, examples: torch.Tensor) -> torch.Tensor:
        """Float, with 0 where nothing is to be seen."""


@dataclass(slots=True)
class _Course:
    """What changes while a fit goes on."""

    epoch: int = 0
    loss: float = float("nan")
    seconds: float = 0.0  # of a run that was cut short


class Fitting:
    """One fit of ``net`` on ``examples`` with class indices ``truth`` (n,) on the net's device."""

    def __init__(
        self,
        net: nn.Module,
        examples: Examples,
        truth: torch.Tensor,
        recipe: Recipe,
        optimizer: torch.optim.Optimizer,
        *,
        seed: int,
        class_weights: torch.Tensor | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """``optimizer``: of the net's weights, each group with its highest learning rate."""
        self._net, self._examples, self._truth, self._recipe, self._checkpoint = net, examples, truth, recipe, checkpoint
        self._class_weights = class_weights
        self._device = truth.device
        self._steps = -(-len(truth) // min(recipe.batch, len(truth)))
        self._optimizer = optimizer
        self._schedule = _schedule(optimizer, recipe, recipe.epochs * self._steps)
        self._scaler = torch.amp.GradScaler("cuda", enabled=devices.needs_loss_scaling(self._device))
        self._draw = torch.Generator().manual_seed(seed)
        self._pieces = 1
        self._fast: Callable[[torch.Tensor], torch.Tensor] | None = None
        self.notes: list[str] = []

    def run(
        self, progress: ProgressCallback | None = None, *, tell: Callable[[int], tuple[int, int]] | None = None, keep: bool = False
    ) -> tuple[float, float]:
        """Train; return the mean loss of the last epoch and the seconds of earlier runs that this one went on from.

        Args:
            tell: (done, total) to report for an epoch, where this fit is one of several.
            keep: leave the trained net in the checkpoint, until the others are done as well.
        """
        course = self._resume()
        began = time.perf_counter() - course.seconds
        self._net.train()
        n, epochs = len(self._truth), self._recipe.epochs
        self._fast = devices.compiled(self._net, self._device, epochs * n)
        for epoch in range(course.epoch, epochs):
            # Equal parts: no last batch of one or two images, whose batch norm would be noise.
            parts = torch.tensor_split(torch.randperm(n, generator=self._draw), self._steps)
            mine = [part[parallel.my_part(len(part))] for part in parts]
            lost = torch.zeros((), device=self._device)
            apart = self._recipe.mirror and self._examples.mirrors
            mirrored = torch.rand(n, generator=self._draw) < 0.5 if apart else None
            for part, own, images in zip(parts, mine, self._examples.batches(mine, mirrored), strict=True):
                changes = draw_changes(len(part), self._examples.side, self._draw, mirror=self._recipe.mirror and not apart)
                lost += len(part) * self._step(own, images, changes.part(parallel.my_part(len(part))), len(part), progress)
            parallel.mean_statistics(self._net)
            course.epoch, course.loss = epoch + 1, parallel.total(float(lost), self._device) / n
            if progress is not None:
                done, total = (epoch + 1, epochs) if tell is None else tell(epoch + 1)
                progress(Progress("fit", done, total, course.loss))
            if self._checkpoint is not None:
                self._checkpoint.save(self._state(course, time.perf_counter() - began))
        self._net.eval()
        if self._checkpoint is not None and keep:
            self._checkpoint.save(self._state(course, time.perf_counter() - began), at_once=True)
        elif self._checkpoint is not None:
            self._checkpoint.forget()
        return course.loss, course.seconds

    def _step(
        self, own: torch.Tensor, images: torch.Tensor, changes: Changes, whole: int, progress: ProgressCallback | None
    ) -> torch.Tensor:
        """One step of descent; returns this process's part of the mean loss."""
        while True:
            self._optimizer.zero_grad(set_to_none=True)
            try:
                loss = self._gradients(own, images, changes, whole)
                break
            except torch.OutOfMemoryError:
                if self._pieces >= len(own):
                    raise  # not even one image fits
            except RuntimeError as error:  # what torch.compile raises has no lighter name
                if self._fast is None:
                    raise
                self._fast = None
                self._note(f"torch.compile failed ({type(error).__name__}); trained without it", progress)
                continue
            self._pieces *= 2
            devices.release(self._device)
            at_once = -(-len(own) // self._pieces)
            self._note(f"memory ran out on {self._device}: the batch was halved, {at_once} images at a time from here on", progress)
        parallel.sum_gradients(self._net)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._schedule.step()
        return loss

    def _gradients(self, own: torch.Tensor, images: torch.Tensor, changes: Changes, whole: int) -> torch.Tensor:
        """Gradients of the mean loss over the ``whole`` batch, as far as this process's images go, in as many pieces as memory asks for."""
        net, truth = self._fast or self._net, self._truth[own.to(self._device)]
        total = torch.zeros((), device=self._device)
        for piece in range(self._pieces):
            some = slice(len(own) * piece // self._pieces, len(own) * (piece + 1) // self._pieces)
            shown = changes.part(some).apply(self._examples.shown(images[some]))
            with devices.mixed_precision(self._device):
                each = functional.cross_entropy(net(shown).float(), truth[some], label_smoothing=self._recipe.smoothing, reduction="none")
                loss = (each if self._class_weights is None else each * self._class_weights[truth[some]]).sum() / whole
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _note(self, text: str, progress: ProgressCallback | None) -> None:
        self.notes.append(text)
        if progress is not None:
            progress(Progress("fit", 0, self._recipe.epochs, note=text))

    def _resume(self) -> _Course:
        state = self._checkpoint.load() if self._checkpoint is not None else None
        if state is None:
            return _Course()
        for part, name in self._stateful():
            part.load_state_dict(state[name])
        self._draw.set_state(state["draw"])
        torch.set_rng_state(state["dropout"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(state["dropout_cuda"], self._device)
        return _Course(state["epoch"], state["loss"], state["seconds"])

    def _state(self, course: _Course, seconds: float) -> dict[str, Any]:
        state = {name: part.state_dict() for part, name in self._stateful()}
        state |= {"draw": self._draw.get_state(), "dropout": torch.get_rng_state()}
        state |= {"epoch": course.epoch, "loss": course.loss, "seconds": seconds}
        return state | ({"dropout_cuda": torch.cuda.get_rng_state(self._device)} if self._device.type == "cuda" else {})

    def _stateful(self) -> tuple[tuple[Any, str], ...]:
        return ((self._net, "net"), (self._optimizer, "optimizer"), (self._schedule, "schedule"), (self._scaler, "scaler"))


def one_of(number: int, nets: int, epochs: int) -> Callable[[int], tuple[int, int]]:
    """(done, total) of epochs to report for the fit ``number`` of several nets, from its own."""
    return lambda done: (number * epochs + done, nets * epochs)


def descent(net: nn.Module, rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """Stochastic gradient descent with Nesterov's momentum of 0.9."""
    return torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9, weight_decay=weight_decay, nesterov=True)


def _schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    if recipe.schedule == "one-cycle":
        rates = [group["lr"] for group in optimizer.param_groups]
        cycles = isinstance(optimizer, torch.optim.SGD)  # the momentum, against the rate
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=max(steps, 2), pct_start=WARM_UP, cycle_momentum=cycles)
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, [round(share * steps) for share in STEPS_DOWN], gamma=0.1)
