"""The text of sessions.json: what is not cut keeps its bytes, and only what OpenClaw can read is accepted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_closer.core.errors import CorruptStore
from session_closer.openclaw.files import document, quickscan
from session_closer.openclaw.files import values as json_values
from session_closer.openclaw.files.document import edit, merge, nothing, same_value, scan, with_members, without

# Deeper than any Python follows: from 3.14 on the size of its stack decides.
DEEP = b"[" * 3_000_000 + b"]" * 3_000_000
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
stores = st.dictionaries(keys, values, max_size=7)
layouts = st.sampled_from([{"indent": 2}, {"indent": None}, {"separators": (",", ":")}, {"indent": 4}])


@pytest.fixture(scope="module", params=["each by each", "quickly"], autouse=True)
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Scan all stores, of whatever size, in one of the two ways."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "QUICK", 0 if request.param == "quickly" else 1 << 40)
        yield request.param


def text_of(store: dict[str, Any], layout: dict[str, Any], *, plain: bool) -> bytes:
    try:
        return json.dumps(store, ensure_ascii=plain, **layout).encode()
    except UnicodeEncodeError:
        return json.dumps(store, ensure_ascii=True, **layout).encode()


@given(stores, layouts, st.booleans())
def test_every_member_is_found_where_it_stands(store: dict[str, Any], layout: dict[str, Any], plain: bool) -> None:
    raw = text_of(store, layout, plain=plain)
    document = scan(raw, nothing)
    assert list(document.members) == list(json.loads(raw))
    for key, value in json.loads(raw).items():
        assert json.loads(b"{" + document.member_bytes(key) + b"}") == {key: value}
        assert json.loads(document.value_bytes(key) or b"") == value


entries = st.dictionaries(st.sampled_from(["a", "b", "c", "é"]), values, max_size=4)


@given(st.dictionaries(keys, entries | values, max_size=5), layouts, st.booleans())
def test_of_each_entry_the_fields_are_picked(store: dict[str, Any], layout: dict[str, Any], plain: bool) -> None:
    raw = text_of(store, layout, plain=plain)
    document = scan(raw, lambda key, found: (key, found), ("a", "c"))
    for key, entry in json.loads(raw).items():
        expected = (entry.get("a"), entry.get("c")) if isinstance(entry, dict) else None
        # By its look: 1, 1.0 and true are equal.
        assert repr(document.members[key].row) == repr((key, expected))


@given(stores, layouts, st.booleans(), st.data())
def test_a_cut_leaves_the_other_members_byte_for_byte(
    store: dict[str, Any], layout: dict[str, Any], plain: bool, data: st.DataObject
) -> None:
    raw = text_of(store, layout, plain=plain)
    document = scan(raw, nothing)
    gone = data.draw(st.sets(st.sampled_from(sorted(store)))) if store else set()
    after = edit(document, remove=gone)
    kept = scan(after, nothing)
    assert list(kept.members) == [key for key in document.members if key not in gone]
    for key in kept.members:
        assert kept.member_bytes(key) == document.member_bytes(key)
    if layout == {"indent": 2} and plain:
        left = {key: value for key, value in json.loads(raw).items() if key not in gone}
        assert after == json.dumps(left, indent=2).encode()
    if not gone:
        assert after == raw


def test_an_empty_store_is_written_as_openclaw_writes_it() -> None:
    document = scan(b'{\n  "a": {}\n}', nothing)
    assert edit(document, remove={"a"}) == b"{}"


@given(stores, stores, stores)
def test_a_merge_keeps_what_others_wrote_and_what_we_did(
    base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    documents = [scan(json.dumps(store, indent=2).encode(), nothing) for store in (base, ours, theirs)]
    merged = json.loads(merge(*documents).raw)
    base, ours, theirs = (json.loads(document.raw) for document in documents)
    missing = object()
    for key in {*base, *ours, *theirs}:
        was, our, their = (store.get(key, missing) for store in (base, ours, theirs))
        changed = our is not was and (our is missing or was is missing or json.dumps(our) != json.dumps(was))
        untouched = their is was or (missing not in (their, was) and json.dumps(their) == json.dumps(was))
        expected = our if changed and untouched else their
        if expected is missing:
            assert key not in merged
        else:
            assert json.dumps(merged[key]) == json.dumps(expected)


@pytest.mark.parametrize(
    ("ours", "theirs", "merged", "contested"),
    [
        (b'{"a": 2, "b": 1}', b'{"a": 3, "b": 1}', {"a": 3, "b": 1}, ("a",)),
        (b'{"b": 1}', b'{"a": 3, "b": 1}', {"a": 3, "b": 1}, ("a",)),
        (b'{"a": 2, "b": 1}', b'{"b": 1}', {"b": 1}, ("a",)),
        (b'{"a": 2, "b": 1}', b'{"b": 1, "a":2}', {"a": 2, "b": 1}, ()),
        (b'{"b": 1}', b'{"b": 1}', {"b": 1}, ()),
        (b'{"a": 1, "b": 1}', b'{"a": 3, "b": 1}', {"a": 3, "b": 1}, ()),
    ],
)
def test_what_both_sides_have_changed_is_theirs_and_named_unless_it_is_the_same(
    ours: bytes, theirs: bytes, merged: dict[str, int], contested: tuple[str, ...]
) -> None:
    found = merge(*(scan(raw, nothing) for raw in (b'{"a": 1, "b": 1}', ours, theirs)))
    assert (json.loads(found.raw), found.contested) == (merged, contested)


def test_a_merge_that_may_take_nothing_out_leaves_what_we_have_left_out() -> None:
    base, ours, theirs = (scan(raw, nothing) for raw in (b'{"a": 1}', b'{"b": 2}', b'{"a": 1, "c": 3}'))
    assert json.loads(merge(base, ours, theirs).raw) == {"b": 2, "c": 3}
    assert json.loads(merge(base, ours, theirs, deletions=False).raw) == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": 1e400}',
        b'{"a": -0.0, "b": 1E+2}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"__proto__": {"sessionId": "x"}, "constructor": {}}',
        b'{"a": "\\ud800"}',
        '{"a": "\u2028\U0001f600"}'.encode(),
        b' \n\t{ "a" : 1 , "b" : [ ] } \n',
        b"{}",
    ],
)
def test_whatever_node_reads_is_accepted_and_kept(raw: bytes) -> None:
    document = scan(raw, nothing)
    assert edit(document) == raw


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "is empty"),
        (b" \n ", "holds only blanks"),
        (b"\0" * 4096, "holds NUL bytes"),
        (b'{"a": {"b": 1', "is cut off"),
        (b'{"a": {}', "is cut off"),
        (b'{"a": "x', "is cut off"),
        (b'{"a": "x\\', "is cut off"),
        (b"{", "is cut off"),
        (b'{"a"', "is cut off"),
        (b'{"a": ', "is cut off"),
        (b'{"a": {}, ', "is cut off"),
        (b'{"a": tr', "is cut off"),
        (b'{"a": trx', "is not valid JSON"),
        (b'{"a": {}' + b"\0" * 9, "holds NUL bytes"),
        (b'{"a": {}}' + b"\0" * 9, "holds NUL bytes"),
        (b'{"a": ' + b"\0" * 9, "holds NUL bytes"),
        (b'{"a": "' + b"\0" * 9, "holds NUL bytes"),
        (b"{} {}", "goes on after its object"),
        (b'{"a": 1} x', "goes on after its object"),
        (b'{"a": 1,}', "a key was expected"),
        (b'{"a": 1 // c\n}', "is not valid JSON"),
        (b'{"a" 1}', "a colon was expected"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": {"b": Infinity}}', "Infinity"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'"x"', "is not a JSON object"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": 1, "\\u0061": 2}', "twice"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ("\ufeff{}".encode("utf-16-le"), "byte order mark"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "UTF-8"),
        (b'{"a": "\n"}', "is not valid JSON"),
        (b'{"a": 01}', "is not valid JSON"),
        (b'{"a":' + DEEP + b"}", "nested"),
    ],
)
def test_whatever_the_gateway_would_take_for_empty_is_refused(raw: bytes, what: str) -> None:
    with pytest.raises(CorruptStore, match=what):
        scan(raw, nothing)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_and_what_is_read_is_json(raw: bytes) -> None:
    try:
        document = scan(raw, nothing)
    except CorruptStore:
        return
    assert set(json.loads(raw)) == set(document.members)


def test_two_layouts_of_one_value_are_the_same() -> None:
    assert same_value(b'{"a": 1}', b'{\n "a":1}')
    assert same_value(b'{"a": 1, "b": 2}', b'{"b": 2, "a": 1}')
    assert not same_value(b'{"a": 1}', b'{"a": 2}')
    assert not same_value(b'{"a": 1}', b'{"a": true}')
    assert not same_value(b"{}", None)


def test_what_is_too_deep_to_be_compared_is_not_the_same() -> None:
    assert not same_value(b'{"a": ' + DEEP + b"}", b'{"a":' + DEEP + b"}")
    assert same_value(DEEP, DEEP), "that is the same text"


@pytest.mark.parametrize("value", ["1e400", "9" * 5000, '"\\ud800"', "-0", "0.10000000000000000000001", "[ 1,\n2 ]"])
def test_an_entry_gets_members_and_the_others_stay_as_they_stand_there(value: str) -> None:
    text = f'{{ "kept" :{value}, "path": null}}'
    assert with_members(text, {"path": "/é", "own": "s"}) == f'{{ "kept" :{value}, "path": "/\\u00e9", "own": "s"}}'
    assert with_members(text, {}) == text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('"a string"', "is not a JSON object"),
        ("null", "is not a JSON object"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": ' + DEEP.decode() + "}", "nested"),
    ],
)
def test_what_cannot_get_members_is_refused(text: str, what: str) -> None:
    with pytest.raises(CorruptStore, match=what):
        with_members(text, {"own": "s"})


def outcome(raw: bytes, window: int) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_values, "_WINDOW", window)
        try:
            return scan(raw, lambda key, values: (key, values), ("a", "b"))
        except CorruptStore as problem:
            return problem.message


@given(stores, layouts, st.booleans(), st.integers(1, 40), st.data())
def test_the_window_of_text_makes_no_difference(
    store: dict[str, Any], layout: dict[str, Any], plain: bool, window: int, data: st.DataObject
) -> None:
    raw = json.dumps(store, ensure_ascii=plain, **layout).encode()
    cut = raw[: data.draw(st.integers(0, len(raw)))]
    at = data.draw(st.integers(0, len(raw)))
    spoilt = (
        raw[:at] + data.draw(st.sampled_from([b'"', b"{", b"}", b",", b"7", b"-", b"\\", b"\0", b"NaN"])) + raw[at:]
    )
    for text in (raw, cut, spoilt):
        assert outcome(text, window) == outcome(text, 1 << 20)


@pytest.mark.parametrize(
    "value",
    ["1234567890", "1e400", "0.0", "1.5e+20", "-1E-7", '"' + "x" * 50 + '"', "[" * 20 + "]" * 20, "true", "-0.5"],
)
def test_a_value_longer_than_the_window_is_read_whole(value: str) -> None:
    raw = f'{{"a": {value}, "b": {value}}}'.encode()
    assert all(outcome(raw, window) == outcome(raw, 1 << 20) for window in range(1, 30))


@given(stores, layouts, st.booleans(), st.data())
def test_what_is_left_is_what_a_scan_of_it_finds(
    store: dict[str, Any], layout: dict[str, Any], plain: bool, data: st.DataObject
) -> None:
    before = scan(text_of(store, layout, plain=plain), nothing)
    gone = data.draw(st.sets(st.sampled_from(sorted(before.members)))) if before.members else set()
    left = without(before, gone)
    assert left == scan(edit(before, remove=gone), nothing)
    assert list(left.members) == [key for key in before.members if key not in gone]


@pytest.mark.parametrize(
    "spoiled", [b'{"a": 1, "c": 4}', b'{"a": 1 "c": 3}', b'{"a": 1}', b'{"a": 1, "c": 3} ', b'{"a": 1, "c": 33}']
)
def test_a_cut_that_went_wrong_is_noticed(spoiled: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    before = scan(b'{"a": 1, "b": 2, "c": 3}', nothing)
    monkeypatch.setattr(document, "edit", lambda *_, **__: spoiled)
    with pytest.raises(AssertionError):
        without(before, {"b"})


def both_ways(raw: bytes) -> list[str]:
    found = []
    for large in (0, 1 << 40):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(document, "QUICK", large)
            try:
                # By its look: 1, 1.0 and true are equal.
                found.append(repr(scan(raw, lambda key, values: (key, values), ("a", "c"))))
            except CorruptStore as problem:
                found.append(problem.message)
    return found


SCRAPS = [
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"7", b"-", b".", b"e", b"0", b"\\", b"\\u", b"\\ud800", b"\0", b"\x7f",
    b"NaN", b"true", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"/**/", b"1e400", b'"a":1,', b" ",
]  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """Give the text of a store, as somebody may have spoilt it."""
    raw = text_of(draw(st.dictionaries(keys, entries, max_size=4)), draw(layouts), plain=draw(st.booleans()))
    for _ in range(draw(st.integers(0, 3))):
        at, end = sorted(draw(st.tuples(*[st.integers(0, len(raw))] * 2)))
        scrap = draw(st.sampled_from([*SCRAPS, raw[at:end]]))
        raw = raw[:at] + scrap + raw[draw(st.sampled_from([at, min(at + 1, len(raw)), end])) :]
    return raw


@given(spoilt())
def test_both_ways_find_the_same_in_whatever_somebody_has_spoilt(raw: bytes) -> None:
    one, other = both_ways(raw)
    assert one == other


def glanced(raw: bytes) -> list[tuple[str, Any, Any, bytes]] | None:
    """Return of each entry its key, one of its members, several of them and its bytes, None where that is not told."""
    values = quickscan.entries(raw)
    column = None if values is None else quickscan.column(values.values(), "a")
    if values is None or column is None:
        return None
    return [
        (key, one, quickscan.picked(value, ("a", "c")), bytes(value))
        for (key, value), one in zip(values.items(), column, strict=True)
    ]


@given(spoilt())
def test_what_is_glanced_at_is_what_a_scan_finds_of_whatever_somebody_has_spoilt(raw: bytes) -> None:
    try:
        document.check_text(raw)
    except CorruptStore:
        return
    found = glanced(raw)
    if found is not None:
        whole = scan(raw, lambda key, values: values, ("a", "c"))
        rows = [(key, one.row[0], one.row, raw[one.value : one.end]) for key, one in whole.members.items()]
        # By their look: 1, 1.0 and true are equal.
        assert repr(found) == repr(rows)


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b'{"x": {"a": 1, "c": [2]}, "y": {"b": "1"}}',
        '{"\\u0078\\n": {}, "é": {"a": 1.5, "a": 2}}'.encode(),
        b'{"x": {"a": 1, "c": 1e400}, "y": {"c": ' + b"9" * 5000 + b"}}",
    ],
)
def test_an_ordinary_store_can_be_glanced_at(raw: bytes) -> None:
    assert glanced(raw) is not None


@pytest.mark.parametrize(
    "raw", [b'{"x": []}', b'{"x": {"a": 1e400}}', b'{"x": null}', b'{"x": {}} ,', b"[]", b'{"x": {}']
)
def test_what_cannot_be_told_at_a_glance_is_left_to_a_scan(raw: bytes) -> None:
    assert glanced(raw) is None


def test_an_ordinary_store_is_scanned_quickly() -> None:
    raw = json.dumps({"agent:a:é": {"a": 1, "text": "ü\n"}, "b": {}}, ensure_ascii=False, indent=2).encode()
    assert quickscan.scan(raw, nothing, ("a", "c")) is not None


@pytest.mark.parametrize(
    "raw",
    [
        b'{"x": {"a": 1}, "x": {"a": 1}}',
        b'{"x": {"a": 1}, "y": {}, "x": {"a": 1}}',
        b'{"x": {"a": 1}, "x": {"a": 2}}',
        b'{"\\u0078": {}, "x": {}}',
        b'{"x": {}, "\\u0078": {}}',
        # So long that the walk over it would end at the end: by the second x it is in the middle of y.
        b'{"x":1,"y":{"a":1,      "y":2},"x":"0123456789"}',
    ],
)
def test_a_key_that_stands_there_twice_does_not_pass_the_quick_way(raw: bytes) -> None:
    assert quickscan.scan(raw, nothing, ()) is None
    assert quickscan.entries(raw) is None
    with pytest.raises(CorruptStore, match="twice"):
        scan(raw, nothing)
