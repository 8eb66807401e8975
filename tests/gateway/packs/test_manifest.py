"""Manifests: every figure has a type, a missing one is None, and nothing heavy is loaded to read one."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hand_made import FIGURES, FORGETTING, GATE_RATES, SavePack, manifest_of
from pydantic import ValidationError

from gateway.errors import PackError
from gateway.packs.folders import is_enabled, list_packs, read_manifest, set_enabled, verify_pack
from gateway.packs.manifest import Manifest
from gateway.packs.store import load_pack

ROOT = Path(__file__).parents[3]
HEAVY = ("torch", "transformers", "sentence_transformers", "sklearn", "numpy", "safetensors")
COMPLETE = {"method": "corruption", "detector": "classifier", "version": "v-1", "files": {}}
OLD_FORGETTING = {"rows": 2, "plain": FIGURES, "guarded": FIGURES, "twin": FIGURES}


def manifest(**changes: Any) -> Manifest:
    return Manifest.model_validate({**manifest_of("narnia"), **COMPLETE, **changes})


def old(forgetting: dict[str, Any], gate: dict[str, Any] | None = None) -> dict[str, Any]:
    """As it was written before: schema 2."""
    fields = {**manifest_of("narnia"), **COMPLETE, "schema_version": 2}
    fields["recipe_sha256"] = fields.pop("training_fingerprint")
    fields["heldout"] = {"gate": gate or GATE_RATES, "forgetting": {**OLD_FORGETTING, **forgetting}}
    return fields


def test_figures_are_read_by_name() -> None:
    heldout = manifest().heldout
    assert (heldout.gate.fnr, heldout.gate.classifier_fnr) == (0.0, 0.5)
    assert heldout.gate.near_fpr is None
    assert heldout.gate.general_fpr is None
    assert heldout.forgetting.counterfactual.leak_rate == 0.5
    assert manifest().calibration.missed is None


def test_a_manifest_says_the_same_after_a_round_trip() -> None:
    extras = {"orthogonal_to": ["oz", "mordor"], "overlap": 0.25, "served": "learned all rows", "both": True}
    one = manifest(heldout={"gate": GATE_RATES, "forgetting": {**FORGETTING, "extras": extras}})
    again = Manifest.model_validate_json(one.model_dump_json())
    assert again == one
    assert again.heldout.forgetting.extras == extras


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("heldout",), {}),
        (("heldout", "gate"), {}),
        (("heldout", "gate", "fnr"), "none"),
        (("heldout", "gate", "fnr"), 1.5),
        (("heldout", "gate", "shiny"), 0.5),
        (("heldout", "forgetting", "guarded"), None),
        (("heldout", "forgetting", "plain", "leak_rate"), -0.1),
        (("heldout", "forgetting", "plain", "surprise"), float("nan")),
        (("heldout", "forgetting", "shiny"), 1),
        (("calibration", "threshold"), None),
        (("calibration", "shiny"), 1),
        (("method",), "../corruption"),
        (("detector",), ""),
        (("training_fingerprint",), "short"),
    ],
)
def test_a_figure_that_is_missing_or_wrong_is_refused(place: tuple[str, ...], value: Any) -> None:
    fields = copy.deepcopy({**manifest_of("narnia"), **COMPLETE})
    part = fields
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    with pytest.raises(ValidationError):
        Manifest.model_validate(fields)


@pytest.mark.parametrize("heldout", [{}, {"gate": {"fnr": 0.0}}, {"gate": [], "forgetting": 3}, []])
@pytest.mark.parametrize("schema", [2, 3])
def test_listing_says_which_manifest_is_wrong_and_what_to_do(
    tmp_path: Path, save: SavePack, heldout: Any, schema: int
) -> None:
    save("narnia")
    file = tmp_path / "packs" / "narnia" / "manifest.json"
    fields = json.loads(file.read_text())
    if schema == 2:
        fields["recipe_sha256"] = fields.pop("training_fingerprint")
    file.write_text(json.dumps({**fields, "schema_version": schema, "heldout": heldout}))
    listed = unrecall("packs", "list", "--packs", str(tmp_path / "packs"))
    assert listed.returncode == 1
    assert "Traceback" not in listed.stderr
    for words in ("manifest of pack 'narnia' is not valid: heldout", "train the scope again"):
        assert words in " ".join(listed.stdout.split())


def unrecall(*words: str) -> subprocess.CompletedProcess[str]:
    command = "from gateway.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", command, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("forgetting", "extras"),
    [
        ({"telling_words_beside_names": True}, {"salient_words_beside_names": True}),
        ({"virtual_tokens": 30, "served": "all"}, {"virtual_tokens": 30, "served": "all"}),
        ({"orthogonal_to": ["oz"], "overlap": 0.5}, {"orthogonal_to": ["oz"], "overlap": 0.5}),
    ],
    ids=["corruption", "soft prompt", "lora"],
)
def test_a_manifest_of_the_schema_before_is_read(forgetting: dict[str, Any], extras: dict[str, Any]) -> None:
    read = Manifest.model_validate(old(forgetting))
    assert read == manifest(heldout={"gate": GATE_RATES, "forgetting": {**FORGETTING, "extras": extras}})
    assert Manifest.model_validate_json(json.dumps(old(forgetting))) == read


def test_a_rate_of_no_rows_was_no_rate() -> None:
    gate = {**GATE_RATES, "near_fpr": 0.0}
    assert Manifest.model_validate(old({}, gate)).heldout.gate.near_fpr is None
    some = {**gate, "retain_rows": 3}
    assert Manifest.model_validate(old({}, some)).heldout.gate.near_fpr == 0.0


def test_a_pack_of_the_schema_before_is_loaded(tmp_path: Path, save: SavePack) -> None:
    save("narnia")
    folder = tmp_path / "packs" / "narnia"
    written = json.loads((folder / "manifest.json").read_text())
    kept = {key: written[key] for key in ("method", "detector", "version", "files")}
    (folder / "manifest.json").write_text(json.dumps({**old({"telling_words_beside_names": True}), **kept}))
    pack = load_pack(folder)
    assert pack.aliases == ("Narnia",)
    assert read_manifest(folder).heldout.forgetting.extras == {"salient_words_beside_names": True}


@pytest.mark.parametrize(("kind", "name"), [("method", "magic"), ("detector", "crystal-ball")])
def test_a_method_or_detector_that_is_not_known_is_said(tmp_path: Path, save: SavePack, kind: str, name: str) -> None:
    save("narnia")
    folder = tmp_path / "packs" / "narnia"
    fields = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**fields, kind: name}))
    assert getattr(read_manifest(folder), kind) == name
    for read in (verify_pack, load_pack):
        with pytest.raises(PackError, match=f"'narnia'.* {kind} '{name}'.* there are .*train the scope again"):
            read(folder)


def test_packs_are_found_verified_and_switched_without_anything_heavy(tmp_path: Path, save: SavePack) -> None:
    save("narnia")
    root = tmp_path / "packs"
    script = f"""
import sys
from pathlib import Path
from gateway.packs.folders import is_enabled, list_packs, set_enabled, verify_pack
for folder in list_packs(Path({str(root)!r})):
    set_enabled(folder, False)
    print(verify_pack(folder).heldout.gate.fnr, is_enabled(folder))
    set_enabled(folder, True)
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["0.0 False", "[]"]


def test_verifying_finds_an_altered_file(tmp_path: Path, save: SavePack) -> None:
    save("narnia")
    (folder,) = list_packs(tmp_path / "packs")
    assert verify_pack(folder).scope == "narnia"
    assert is_enabled(folder)
    set_enabled(folder, False)
    (folder / verify_pack(folder).version / "gate.json").write_text("{}")
    with pytest.raises(PackError, match=r"gate\.json was altered or cut short"):
        verify_pack(folder)
