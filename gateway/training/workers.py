"""Training under `accelerate launch` or `torchrun`: the main process trains the scope as it would alone, and the others
take their shares of each batch when it trains by gradients."""

import datetime
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from adapters.optimizers.schedule import Diverged
from adapters.parallel import ALONE, Disconnected, Processes
from gateway.errors import SetupError
from gateway.methods.base import Shareable
from gateway.methods.registry import method
from gateway.methods.sharing import GradientRows, SharedTraining
from gateway.models.folders import fingerprint, resolve
from gateway.models.language_model import load_language_model

if TYPE_CHECKING:
    from gateway.training.config import Training

__all__ = ["assist", "launched", "send_base", "send_end"]

_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_WAIT = datetime.timedelta(days=7)  # the others wait while the main process measures


@contextmanager
def launched() -> Iterator[Processes]:
    """The processes that a launcher started together, connected; this one alone if no launcher did.

    A CUDA process takes the GPU of its local rank. Raises SetupError if the processes do not find each other, or if one
    ends while another waits for it.
    """
    count = int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in _NEEDED) else 1
    if count == 1:
        yield ALONE
        return
    processes = Processes(int(os.environ["RANK"]), count)
    try:
        _connect()
        yield processes
    except Disconnected as error:
        raise SetupError(f"process {processes.rank} of {count}: {error}") from error
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _connect() -> None:
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", os.environ["RANK"])))
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=_WAIT)
    except (RuntimeError, ValueError) as error:
        raise SetupError(
            f"the processes of this training do not find each other ({error}); start them with `accelerate launch` or "
            "`torchrun`, each training on a port of its own (--main_process_port, --master-port)"
        ) from error


def send_base(processes: Processes, training: "Training", base_fingerprint: str) -> None:
    """Tells the other processes to load the base model. Raises SetupError if the method cannot be shared."""
    if processes.count > 1 and not isinstance(method(training.method), Shareable):
        raise SetupError(
            f"{training.method} does not learn by gradients, so that several processes have nothing to share: start it "
            "without a launcher"
        )
    processes.send(json.dumps({"base": base_fingerprint}))


def send_end(processes: Processes) -> None:
    """Tells the other processes that there is nothing left to learn."""
    processes.send(json.dumps(None))


def assist(processes: Processes, training: "Training", model: str) -> None:
    """What a process that is not the main one does: loads the base model when it is told to, takes its share of each
    training, and returns after the last. Raises ModelError, SetupError if the model is another than the main process
    has, and Disconnected.

    Args:
        processes: those that train together.
        training: the same as in the main process.
        model: the base model, as in `train_scope`.
    """
    chosen, base = method(training.method), None
    while (order := json.loads(processes.receive())) is not None:
        if "base" in order:
            base = _loaded(model, order["base"], training)
        elif isinstance(chosen, Shareable):
            try:
                chosen.assist(SharedTraining(base, GradientRows.of(order), processes), training.settings)
            except Diverged:
                return  # the main process says so


def _loaded(name: str, expected: str, training: "Training") -> Any:
    folder = resolve(name)
    if fingerprint(folder) != expected:
        raise SetupError(f"the main process has another model than {folder}: give all processes the same model")
    return load_language_model(folder, loading=training.loading).model
