"""The adapters of a stub of vLLM: its answers to loading and unloading are those recorded from vLLM 0.32."""

from pathlib import Path
from typing import Any

import httpx
import orjson

Json = dict[str, Any]


class Loras:
    """`runtime` False: started without the variable; `enabled` False: without --enable-lora. `loaded` has the paths
    by name. Where a path begins with `sees[0]`, that stands for `sees[1]` on this machine."""

    def __init__(self, *, runtime: bool = True, enabled: bool = True, max_rank: int = 16) -> None:
        self.runtime = runtime
        self.enabled = enabled
        self.max_rank = max_rank
        self.sees = ("", "")
        self.loaded: dict[str, str] = {}

    def answer(self, path: str, body: Json) -> httpx.Response:
        if not self.runtime:
            return httpx.Response(404, json={"detail": "Not Found"})
        name = body["lora_name"]
        status, words = self._load(name, body["lora_path"]) if path == "/v1/load_lora_adapter" else self._unload(name)
        return httpx.Response(200, text=words) if status == 200 else error_answer(status, words)

    def _load(self, name: str, path: str) -> tuple[int, str]:
        config = Path(path.replace(*self.sees, 1)) / "adapter_config.json"
        if name in self.loaded:
            return (
                400,
                f"The lora adapter '{name}' has already been loaded. If you want to load it in place...",
            )
        if not self.enabled:
            return 500, "Worker failed with error 'LoRA is not enabled. Use --enable-lora to enable LoRA.'"
        if not config.exists():
            return 404, f"Loading lora {name} failed: No adapter found for <path>"
        if (rank := orjson.loads(config.read_bytes())["r"]) > self.max_rank:
            return 500, f"Worker failed with error 'LoRA rank {rank} is greater than max_lora_rank {self.max_rank}.'"
        self.loaded[name] = path
        return 200, f"Success: LoRA adapter '{name}' added successfully."

    def _unload(self, name: str) -> tuple[int, str]:
        if self.loaded.pop(name, None) is None:
            return 404, f"The lora adapter '{name}' cannot be found."
        return 200, f"Success: LoRA adapter '{name}' removed successfully."


def error_answer(status: int, message: str, param: str | None = None) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message, "param": param, "code": status}})
