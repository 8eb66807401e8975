"""The device that a model is on, and how much memory is free there."""

import re
from pathlib import Path

import torch

from gateway.errors import SetupError

__all__ = ["check_device", "device_named", "free_bytes"]

_DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,3})?")


def device_named(name: str) -> torch.device:
    """'auto' is the current GPU, or the CPU where there is none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def check_device(name: str, option: str) -> None:
    """Whether the command line's `option` names a device of this machine. Raises SetupError, which says what there
    is."""
    if not _DEVICE.fullmatch(name):
        raise SetupError(f"{option} must be auto, cpu, cuda or cuda:N (the GPU with that number), got {name!r}")
    kind, _, number = name.partition(":")
    if kind != "cuda":
        return
    if not torch.cuda.is_available():
        raise SetupError(
            f"{option} {name}: torch finds no GPU on this machine. If nvidia-smi shows one, torch was installed "
            "without CUDA, or CUDA_VISIBLE_DEVICES hides it; with --device cpu the CPU does the work"
        )
    count = torch.cuda.device_count()
    if number and int(number) >= count:
        raise SetupError(f"{option} {name}: this machine has {count} GPU{'s'[: count != 1]}, counted from cuda:0")


def free_bytes(device: torch.device) -> int | None:
    """Free bytes of a GPU, with those that this process has taken and does not use, or of main memory, as far as a
    container's limit lets it be used. None if the system does not tell."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    found = [size for size in (_free_of_machine(), _free_of_group()) if size is not None]
    return min(found, default=None)


def _free_of_machine() -> int | None:
    lines = _numbers(Path("/proc/meminfo"))
    return lines["MemAvailable:"] * 1024 if "MemAvailable:" in lines else None


def _free_of_group(group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a container's limit leaves; pages of files that were read count as free."""
    try:
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return int(limit) - int(used) + _numbers(group / "memory.stat").get("inactive_file", 0)
    except (OSError, ValueError):
        return None  # no limit, or no such file


def _numbers(path: Path) -> dict[str, int]:
    try:
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return {}
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}
