"""The wheel holds every file that the commands open, so that they work far from a checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness import NO_THREADS, ROOT
from setuptools import Distribution
from setuptools.config.pyprojecttoml import apply_configuration

PACKAGES = ("adapters", "benchmarks", "classifiers", "corruption", "gateway")
LEFT_OUT = ("benchmarks/results/",)  # the project's own figures; scripts beside them write and print them

# Opens whatever a command opens of what came with it. It runs where the wheel's files are, and nothing else of ours.
OPENING = """
import gateway, classifiers, corruption, benchmarks, adapters
from pathlib import Path
home = Path.cwd() / "site"
assert all(Path(one.__file__).is_relative_to(home) for one in (gateway, classifiers, corruption, benchmarks, adapters))
from benchmarks.attacking.answers import code_fingerprint
from benchmarks.attacks.registry import FAMILIES
from benchmarks.compare.arms import load_arms
from benchmarks.product.rows import heldout, translated
from classifiers.languages.groups import LANGUAGES
from classifiers.languages.prompts import training_prompts
from classifiers.traffic import general_traffic
from corruption.counterfactuals import counterfactual_of
from gateway.cli.demo import questions_beside
from gateway.examples import HARRY_POTTER
from gateway.training.scope_file import load_scope
scope = load_scope(HARRY_POTTER)
opened = (scope.forget, scope.retain, questions_beside(HARRY_POTTER), heldout(), translated(), load_arms("all"))
assert all(opened) and FAMILIES and general_traffic() and all(training_prompts(language) for language in LANGUAGES)
assert counterfactual_of("Who is Harry?", [(7, 12)], named=True, seed=0).text
assert len(code_fingerprint()) == 16
"""


def in_wheel() -> set[str]:
    """Paths in the wheel that `pip wheel .` makes, as setuptools tells them without building it."""
    here = Path.cwd()
    os.chdir(ROOT)
    try:
        described = apply_configuration(Distribution({"script_name": "setup.py"}), ROOT / "pyproject.toml")
        described.include_package_data = False  # there is no MANIFEST.in; looking for one would leave files behind
        building = described.get_command_obj("build_py")
        building.ensure_finalized()
        modules = {Path(path) for _, _, path in building.find_all_modules()}
        data = {Path(folder) / file for _, folder, _, files in building.data_files for file in files}
        return {(path.relative_to(ROOT) if path.is_absolute() else path).as_posix() for path in modules | data}
    finally:
        os.chdir(here)


@pytest.fixture(scope="module")
def listed() -> set[str]:
    return in_wheel()


def test_every_file_of_the_packages_is_in_the_wheel(listed: set[str]) -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert {path for path in found - listed if not path.startswith(LEFT_OUT)} == set()
    assert {path for path in listed if path.startswith(LEFT_OUT)} == set()


def test_the_commands_find_their_files_where_there_is_no_checkout(listed: set[str], tmp_path: Path) -> None:
    site = tmp_path / "site"
    for path in listed:
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, site / path)
    environment = {**os.environ, **NO_THREADS, "PYTHONPATH": str(site)}
    found = subprocess.run(
        [sys.executable, "-P", "-c", OPENING],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr


def test_the_names_of_the_checkout_lead_to_the_same_files() -> None:
    from gateway.examples import HARRY_POTTER

    assert (ROOT / "examples/harry-potter/scope.yaml").samefile(HARRY_POTTER)
