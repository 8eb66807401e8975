"""vLLM's own server, run by its own interpreter: its processes sleep half a millisecond at a time while they wait for
each other.

Left alone, each spins for a second after every message, and takes the cores that the tests and the model need. What it
computes and answers is untouched. The processes that it starts import this module again, so it holds for them too.
"""

import functools
import runpy
import time

from vllm.distributed.device_communicators import shm_broadcast  # type: ignore[import-not-found]

shm_broadcast.sched_yield = functools.partial(time.sleep, 0.0005)

if __name__ == "__main__":
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__")
