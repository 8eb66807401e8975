"""The floors of the house: who may import whom, and what no file may do."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PRODUCT = ("classifiers", "corruption", "adapters", "gateway")
GROUND = ("classifiers", "corruption", "adapters")
WEB = {"aiohttp", "fastapi", "starlette", "uvicorn", "httpx"}

# Inside gateway/: each folder, and each file at its top, is a room. A room imports rooms of lower floors alone, so no
# cycle can arise. Imports inside functions and for types count too.
FLOORS = (
    {"__init__", "core", "errors"},
    {"examples", "files"},
    {"arms"},
    {"models", "policy", "prompts", "telemetry"},
    {"methods", "openai_format"},
    {"backends", "packs", "settings"},
    {"screening", "speculation"},
    {"evaluation", "experiments", "pipeline"},
    {"server", "training"},
    {"doctor"},
    {"cli"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
SERVING = {"backends", "pipeline", "policy", "screening", "server", "speculation"}
SEAM = "gateway/server/assembly.py"  # brings experiments/ in, when there are arms to compare


def trees(package: str) -> Iterator[tuple[str, ast.Module]]:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"{package} holds no modules: is this test looking in the right place?"
    for file in files:
        yield str(file.relative_to(ROOT)), ast.parse(file.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> set[str]:
    """Top-level packages that a module imports anywhere, functions and type-checking blocks included."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the floor they reach"
            found.add((node.module or "").split(".")[0])
    return found


class Import(NamedTuple):
    """One import of a file. `loads` is false inside a function, or where only a type checker looks."""

    file: str
    module: str
    loads: bool

    @property
    def room(self) -> str:
        return _room(self.file.removesuffix(".py").replace("/", "."))

    @property
    def target(self) -> str:
        return _room(self.module)

    def __str__(self) -> str:
        return f"{self.file} imports {self.module}"


def _room(module: str) -> str:
    """'packs' of gateway.packs.store; '' of gateway itself and of what is not in gateway."""
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] if package == "gateway" else ""


def imports(file: str, tree: ast.AST, *, loads: bool = True) -> Iterator[Import]:
    """Every import below a node. A string that names a module of ours, as a lazy registry holds it, is one too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(file, alias.name, loads) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = (
                [f"gateway.{alias.name}" for alias in node.names] if node.module == "gateway" else [node.module or ""]
            )
            yield from (Import(file, part, loads) for part in parts)
        elif isinstance(node, ast.Constant) and re.fullmatch(r"gateway(\.\w+)+(:\w+)?", str(node.value)):
            yield Import(file, str(node.value).partition(":")[0], False)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from imports(file, node, loads=False)
        else:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(file, node, loads=loads and not function)


def downward(found: Import) -> bool:
    """A room imports itself and lower floors alone. The lowest floor imports no package of ours, and no torch."""
    package = found.module.partition(".")[0]
    if FLOOR[found.room] == 0:
        return package not in {*PRODUCT, "torch"}
    return not found.target or found.target == found.room or FLOOR[found.target] < FLOOR[found.room]


def serves_alone(found: Import) -> bool:
    """Serving neither trains nor parses a command line."""
    return not (found.room in SERVING and found.target in {"training", "cli"})


def experiments_stay_optional(found: Import) -> bool:
    """Only the seam and the command line bring the online comparison in, and not while they are loaded."""
    if found.target != "experiments" or found.room == "experiments":
        return True
    return not found.loads and (found.file == SEAM or found.room == "cli")


RULES = (downward, serves_alone, experiments_stay_optional)


def forbidden(files: Mapping[str, ast.Module]) -> set[str]:
    """What breaks a rule, as 'FILE imports MODULE'."""
    every = [found for file, tree in files.items() for found in imports(file, tree) if found.room]
    return {str(found) for found in every if not all(rule(found) for rule in RULES)}


def called(tree: ast.Module) -> set[str]:
    """Dotted names of everything called: 'torch.load' in torch.load(path)."""
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def test_the_scanner_sees_imports_and_calls() -> None:
    tree = ast.parse("def f():\n    from gateway.core import Plan\n    import torch\n    return torch.load('x')")
    assert imported(tree) == {"gateway", "torch"}
    assert called(tree) == {"torch.load"}


@pytest.mark.parametrize("package", GROUND)
def test_ground_floor_packages_stand_alone(package: str) -> None:
    above = ({*GROUND, "gateway", "benchmarks", "tests"} | WEB) - {package}
    wrong = {file: imported(tree) & above for file, tree in trees(package) if imported(tree) & above}
    assert wrong == {}


def test_the_gateway_never_reaches_up() -> None:
    above = {"benchmarks", "tests", "pytest", "hypothesis"}
    wrong = {file: imported(tree) & above for file, tree in trees("gateway") if imported(tree) & above}
    assert wrong == {}


def test_every_room_of_the_gateway_has_a_floor() -> None:
    rooms = {_room(file.removesuffix(".py").replace("/", ".")) for file, _ in trees("gateway")}
    assert rooms <= set(FLOOR), "a new room: give it a floor in FLOORS, and say in DESIGN what it is for"


def test_the_gateway_keeps_its_floors() -> None:
    found = forbidden(dict(trees("gateway")))
    assert found == set(), "these imports go up, go sideways, or load what is optional"


@pytest.mark.parametrize(
    ("file", "code", "fits"),
    [
        ("gateway/policy.py", "from gateway.core import Plan", True),
        ("gateway/core.py", "from gateway.policy import decide", False),
        ("gateway/core.py", "from gateway.errors import PackError", False),
        ("gateway/core.py", "from adapters.lora.model import Lora", False),
        ("gateway/errors.py", "def f():\n    import torch", False),
        ("gateway/packs/store.py", "from gateway.packs.files import files_of", True),
        ("gateway/packs/store.py", "from gateway import errors", True),
        ("gateway/packs/store.py", "from gateway import server", False),
        ("gateway/packs/store.py", "def f():\n    from gateway.training.run import train", False),
        ("gateway/packs/store.py", "if TYPE_CHECKING:\n    from gateway.training.run import Training", False),
        ("gateway/packs/store.py", "LATER = {'oz': 'gateway.training.run:train'}", False),
        ("gateway/packs/store.py", "LATER = {'oz': 'gateway.policy:decide'}", True),
        ("gateway/screening/gate.py", "import gateway.server.app", False),
        ("gateway/server/app.py", "def f():\n    from gateway.training.run import train", False),
        ("gateway/server/assembly.py", "def f():\n    from gateway.experiments.runner import Experiment", True),
        ("gateway/server/app.py", "from gateway.experiments.runner import Experiment", False),
        ("gateway/server/app.py", "class A:\n    from gateway.experiments.runner import Experiment", False),
        ("gateway/server/routes.py", "def f():\n    from gateway.experiments.runner import Experiment", False),
        ("gateway/settings.py", "from gateway.experiments.assignment import Mode", False),
        ("gateway/cli/experiments.py", "def f():\n    from gateway.experiments.report import report_on", True),
        ("gateway/cli/experiments.py", "from gateway.experiments.report import report_on", False),
        ("gateway/training/run.py", "import torch\nfrom gateway.packs.store import save_pack", True),
    ],
)
def test_the_rules_tell_good_imports_from_bad(file: str, code: str, fits: bool) -> None:
    assert (forbidden({file: ast.parse(code)}) == set()) == fits


@pytest.mark.parametrize("package", PRODUCT)
def test_nothing_unpickles(package: str) -> None:
    """Reading a pickle runs what it holds. Writing a tensor for vLLM's prompt_embeds is the one use of torch.save."""
    modules = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}
    calls = {"torch.load", "np.load", "numpy.load", "eval", "exec"}
    for file, tree in trees(package):
        assert not imported(tree) & modules, file
        assert not called(tree) & calls, file
        if "torch.save" in called(tree):
            assert file == "gateway/backends/vllm/bodies.py"


@pytest.mark.parametrize("package", PRODUCT)
def test_no_duration_is_measured_with_a_clock_that_somebody_may_set(package: str) -> None:
    """The wall clock tells `created` of an answer; docs/faults.md says so."""
    wall = {"time.time", "time.time_ns", "datetime.datetime.now", "datetime.now", "datetime.datetime.utcnow"}
    found = {file for file, tree in trees(package) if called(tree) & wall}
    created = {
        "gateway/server/routes.py",
        "gateway/openai_format/encoding.py",
        "gateway/openai_format/responses/answer.py",
        "gateway/training/run.py",
    }
    when_it_ended = {"gateway/telemetry/spans.py"}  # how long it took comes from the audit event
    compared_with_a_files_time = {"gateway/packs/watch.py"}  # if the clock jumps, a change is seen in its turn
    assert found <= created | when_it_ended | compared_with_a_files_time


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_readme_names_the_commands_and_the_makefile_has_them(command: str) -> None:
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")
    target = command.removeprefix("make ")
    assert f"\n{target}:" in "\n" + (ROOT / "Makefile").read_text(encoding="utf-8")
