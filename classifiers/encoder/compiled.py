"""Makes a compiled 8-bit encoder out of a sentence-transformers folder, for `OpenVinoRuntime`.

Static post-training quantisation (SmoothQuant, arXiv 2211.10438) on the shipped general prompts: the scales are fixed,
so that a text's score does not depend on the texts beside it in a batch, as it does where scales are set while the
model runs.
"""

import base64
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from classifiers.encoder.windows import Cutter
from classifiers.traffic import general_traffic

__all__ = ["RECIPE", "compile_encoder"]

RECIPE = "openvino-int8-1"
"""Names how the model is made. Packs remember it: whoever changes the making changes the name."""

_ROWS = 300
_LONG_ROWS = 60  # several prompts in one text, to fill windows
_ODD_ROWS = 10  # of each kind
_DRESSES: Sequence[Callable[[str], str]] = (
    lambda row: base64.b64encode(row.encode()).decode(),
    lambda row: row.encode().hex(),
    " ".join,
    lambda row: row[::-1],
    lambda row: row.upper() * 3,
    lambda row: json.dumps({"question": row, "n": list(range(20))}),
)
# Both libraries tell their makers about runs of theirs, unless they run in continuous integration.
_NO_TELEMETRY = {"CI": "true", "NNCF_CI": "1"}


def compile_encoder(folder: Path, target: Path) -> None:
    """Writes TARGET and its .bin beside it; takes some seconds.

    Args:
        folder: a sentence-transformers folder.
        target: the file to write, with the suffix .xml.
    """
    with _environment(_NO_TELEMETRY), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, of branches that every input of ours takes alike
        import nncf
        import openvino
        import torch
        from sentence_transformers import SentenceTransformer

        # the attention of the fused kernels cannot be traced
        options = {"attn_implementation": "eager"}
        encoder = SentenceTransformer(str(folder), device="cpu", model_kwargs=options).eval().float()
        cutter = Cutter(folder)

        class Traced(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.encoder = encoder

            def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                output = self.encoder({"input_ids": ids, "attention_mask": mask})
                return torch.nn.functional.normalize(output["sentence_embedding"], dim=1), output["token_embeddings"]

        rows = [cutter.padded([next(cutter.cuts(text))]) for text in _texts()]
        sample = {"ids": torch.from_numpy(rows[0][0]), "mask": torch.from_numpy(rows[0][1])}
        model = openvino.convert_model(Traced(), example_input=sample)
        data = nncf.Dataset([{0: ids, 1: mask} for ids, mask in rows])
        transformer = nncf.ModelType.TRANSFORMER
        compiled = nncf.quantize(model, data, model_type=transformer, subset_size=len(rows))
        openvino.save_model(compiled, target, compress_to_fp16=False)


def _texts() -> list[str]:
    """General prompts, alone and several in one text, and some that no prompt looks like: an attacker's text must not
    lie outside the range of values that the scales cover."""
    rows = general_traffic()
    step = len(rows) // _ROWS
    joined = [" ".join(rows[start : start + 6]) for start in range(0, 6 * _LONG_ROWS, 6)]
    odd = [dress(row) for dress in _DRESSES for row in rows[: step * _ODD_ROWS : step]]
    runs = [letter * 150 for letter in "xaQ0#-.я東"]
    return [*rows[: step * _ROWS : step], *joined, *odd, *runs]


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
