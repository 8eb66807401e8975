"""The table of keys: after any changes it finds what a plain dictionary would."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.names.table import KeyTable


@dataclass(frozen=True)
class Name:
    scope: str
    number: int


Change = tuple[dict[str, list[list[str]]], set[str]]
KEYS = st.sampled_from("abcdefgh")
CHANGES = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("uvwxyz"), st.lists(st.lists(KEYS, unique=True), max_size=4), max_size=3),
        st.sets(st.sampled_from("uvwxyz"), max_size=3),
    ),
    max_size=12,
)


@settings(max_examples=300)
@given(changes=CHANGES, asked=st.lists(KEYS | st.text(max_size=2), max_size=12))
def test_what_stands_under_keys_after_changes(changes: list[Change], asked: list[str]) -> None:
    table: KeyTable[Name] = KeyTable()
    plain: dict[str, list[tuple[Name, list[str]]]] = {}
    for added, removed in changes:
        rows = {scope: [(Name(scope, n), keys) for n, keys in enumerate(names)] for scope, names in added.items()}
        before, found_before = table, sorted_found(table, asked)
        table = table.updated(rows, removed)
        plain = {scope: names for scope, names in plain.items() if scope not in removed} | rows
        assert sorted_found(before, asked) == found_before
    expected = [
        (number, name.scope, name.number)
        for number, key in enumerate(asked)
        for names in plain.values()
        for name, keys in names
        if key in keys
    ]
    assert sorted_found(table, asked) == sorted(expected)
    assert set(table.held(asked)) == {number for number, _, _ in expected}
    assert bool(table) or not any(keys for names in plain.values() for _, keys in names)


def sorted_found(table: KeyTable[Name], asked: list[str]) -> list[tuple[int, str, int]]:
    return sorted((number, name.scope, name.number) for number, name in table.found(asked))


def test_scopes_added_one_by_one_make_few_parts_and_leave_with_what_they_took() -> None:
    table: KeyTable[Name] = KeyTable()
    for number in range(600):
        table = table.updated({f"s{number}": [(Name(f"s{number}", 0), [f"k{number}", "all"])]}, ())
    assert len(table._parts) <= 10
    assert len(list(table.found(["all", "k5"]))) == 601
    for number in range(599):
        table = table.updated({}, [f"s{number}"])
    assert [name.scope for _, name in table.found(["all"])] == ["s599"]
    assert sum(len(part.entries) for part in table._parts) < 300
