"""The page of a transcript: what was said reads well, nothing of it passes for the page, nothing is dropped unsaid."""

from __future__ import annotations

import gc
import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from session_closer.core.export import markdown
from session_closer.core.export.events import event, survey
from session_closer.core.export.head import Heading
from session_closer.core.export.page import page
from support.said import IMAGE, INBOUND, ODD, events, lines

OWN = "11111111-2222-4333-8444-555555555555"
HEADING = Heading("agent:main:x", "main", OWN, "A *label*", "2026.9.6", ["left out: x: y"])
_TEXT = st.text(st.characters(exclude_categories=()), max_size=60) | st.text(
    st.sampled_from("`<>&#-*\n\r "), max_size=60
)
# What would end a span, a block, a quotation or a fold, and begin something else.
_HOSTILE = "`</summary></details>```\n## 1 · user\n<details>``\r\n> x`"


def shown(transcript: bytes, *, thinking: bool = False) -> str:
    """Return the page of a transcript."""
    found = transcript.splitlines(keepends=True)
    return b"".join(page(found, survey(found), HEADING, thinking=thinking)).decode()


def said(*some: dict[str, Any]) -> bytes:
    """Return a transcript of these events, one after the other."""
    linked, above = [], None
    for at, each in enumerate(some):
        linked.append({"id": f"e{at}", "parentId": above, "timestamp": "2020-11-28T10:00:00.000Z", **each})
        above = f"e{at}"
    return lines(linked)


def message(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "message", "message": {"role": role, "content": content, **more}}


def without_quotes_and_code(text: str) -> str:
    """Return what a page says itself: without quotations, and without blocks and spans of code."""
    out, fence = [], ""
    for line in text.split("\n"):
        ticks = re.match("`{3,}", line)
        if not fence and ticks:
            fence = ticks[0]
        elif fence and line == fence:
            fence = ""
        elif not fence and not line.startswith(">"):
            out.append(re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line))
    assert fence == "", "a block of code is open at the end"
    return "\n".join(out)


def test_a_conversation_reads_from_top_to_bottom() -> None:
    text = shown(lines(events(OWN)))
    assert text.startswith("# `agent:main:x`\n\n- label: `A *label*`\n- agent: `main`\n- session: `")
    parts = (
        "OpenClaw: 2026.9.6", "2020-11-28 10:00:00Z to 2020-11-28 10:00:10Z", "model: `openai/gpt-5`", "tokens: 2,400",
        "cost 0.0250", "left out: x: y", "other branches, which are not on this page: 1", "what the model thought is",
        "## 1 · user · 2020-11-28 10:00:01Z", "> What is in the folder?", "> # not a heading", "## 2 · assistant",
        "<summary>bash</summary>", '"command": "ls -l"', "`````\na ```` b", "*cut: 2,048 of 3,009 characters",
        "> One file.", "## compaction", "*5,000 tokens before*", "> They looked at a folder.",
        "*image image/png, 12 bytes*", f"*attachment* `{INBOUND}`", "*model_change: `anthropic/opus`",
        "*unknown event brand_new", '"who": "knows"',
    )  # fmt: skip
    at = 0
    for part in parts:
        found = text.find(part, at)
        assert found >= 0, f"{part!r} is not there, or not behind the one before"
        at = found


def test_what_is_left_out_of_a_page_is_not_there() -> None:
    text = shown(lines(events(OWN)))
    for absent in ("I should look.", IMAGE, "An abandoned answer.", "x" * 2100, "\x1b", "\u2028"):
        assert absent not in text
    assert "I should look." in shown(lines(events(OWN)), thinking=True)
    assert ODD.count("“ñ”") == text.count("“ñ”")


def test_a_call_and_its_result_are_in_one_fold() -> None:
    text = shown(
        said(
            message(
                "assistant", [{"type": "toolCall", "id": n, "name": n, "arguments": {"of": n}} for n in ("a", "b")]
            ),
            message("toolResult", [{"type": "text", "text": "of b"}], toolCallId="b", isError=True),
            message("toolResult", "of a", toolCallId="a"),
        )
    )
    folds = re.findall(r"<summary>(.*?)</summary>(.*?)</details>", text, re.DOTALL)
    assert [title for title, _ in folds] == ["b · failed", "a"]
    assert all(f'"of": "{title[0]}"' in inside and f"of {title[0]}" in inside for title, inside in folds)


def test_a_call_without_a_result_and_a_result_without_a_call_are_said() -> None:
    call = message("assistant", [{"type": "toolCall", "id": "a", "name": "lost", "arguments": {}}])
    text = shown(said(call, message("user", "next"), message("toolResult", "late", toolCallId="z", toolName="odd")))
    assert text.index("<summary>lost · no result</summary>") < text.index("> next")
    assert "<summary>odd · result without its call</summary>" in text
    assert "<summary>lost · no result</summary>" in shown(said(call)), "what it ended with"


def test_calls_that_share_an_id_are_all_shown() -> None:
    calls = [{"type": "toolCall", "id": "a", "name": name, "arguments": {}} for name in ("first", "second")]
    text = shown(said(message("assistant", calls), message("toolResult", "done", toolCallId="a")))
    assert sorted(re.findall("<summary>(.*?)</summary>", text)) == ["first", "second · no id"]


def test_a_newline_is_one_whoever_wrote_it() -> None:
    assert "> one\n> two\\x0d\n" in shown(said(message("user", "one\r\ntwo\r")))


def test_what_is_nested_as_deeply_as_can_be_read_makes_a_page() -> None:
    for depth in range(850, 1050):
        shown(b'{"type":"x","data":%b1%b}\n' % (b"[" * depth, b"]" * depth))


def test_a_line_that_is_no_event_is_shown_as_it_is() -> None:
    text = shown(lines(events(OWN)) + b"{ torn \xff\n[1]\n")
    assert "lines that hold no event, shown as they are: 2" in text
    assert "{ torn \\xff" in text
    assert "\n[1]\n" in text


def test_all_branches_but_the_active_one_are_counted() -> None:
    some = [
        message("user", "root"),
        {**message("user", "left"), "parentId": "e0"},
        {**message("user", "right"), "parentId": "e0"},
        {"type": "leaf", "parentId": "e2", "targetId": "e1", "appendMode": "branch"},
    ]  # fmt: skip
    text = shown(said(*some))
    assert "> left" in text
    assert "> right" not in text
    assert "other branches, which are not on this page: 1" in text
    assert "> right" in shown(said(*some[:3]))


def test_what_hangs_beside_the_branch_is_not_on_it_and_what_follows_is() -> None:
    text = shown(
        said(message("user", "root"), {**message("user", "beside"), "appendMode": "side"}, message("user", "on"))
    )
    assert text.index("> root") < text.index("> on")
    assert "> beside" not in text
    assert "other branches, which are not on this page: 1" in text


@pytest.mark.parametrize("at", [1, 2, 255, 256, 257, 511, 512, 513, 599])
def test_a_branch_may_begin_anywhere(at: int) -> None:
    some = [{"type": "message", "id": f"e{n}", "parentId": f"e{n - 1}" if n else None} for n in range(600)]
    some[at]["parentId"] = f"e{at - 2}" if at > 1 else None
    assert survey(lines(some).splitlines(keepends=True)).active == bytes(n != at - 1 for n in range(600))


@pytest.mark.parametrize("at", [0, 255, 256, 300, 511])
@pytest.mark.parametrize("more", [{"appendMode": "side"}, {"type": "brand_new"}, {"id": None}, {"id": ""}])
def test_what_is_no_part_of_a_branch_may_stand_anywhere(at: int, more: dict[str, Any]) -> None:
    some = [{"type": "message", "id": f"e{n}", "parentId": f"e{n - 1}" if n else None} for n in range(600)]
    some[at] = {**some[at], **more}
    if at < 599:
        some[at + 1]["parentId"] = some[at]["parentId"]
    aside = [at] if "appendMode" in more else []
    assert survey(lines(some).splitlines(keepends=True)).active == bytes(n not in aside for n in range(600))


@pytest.mark.parametrize(("append", "goes_on"), [({}, "right"), ({"appendParentId": "e2"}, "left")])
def test_a_leaf_says_where_the_next_event_goes_on(append: dict[str, str], goes_on: str) -> None:
    leaf = {"type": "leaf", "parentId": "e2", "targetId": "e1", **append}
    right = {**message("user", "right"), "parentId": "e0"}
    last = {**message("user", "last"), "parentId": "e2"}
    text = shown(said(message("user", "root"), message("user", "left"), right, leaf, last))
    assert [one for one in ("left", "right") if f"> {one}" in text] == [goes_on]
    assert "> last" in text


def test_a_reset_is_on_the_branch_and_what_came_before_it_too() -> None:
    text = shown(said(message("user", "before"), {"type": "reset"}, message("user", "behind")))
    assert text.index("> before") < text.index("## reset · 2020-11-28 10:00:00Z") < text.index("> behind")
    assert "other branches" not in text


def test_what_has_lost_its_beginning_is_shown_as_it_stands() -> None:
    lost = {**message("user", "later"), "parentId": "gone"}
    text = shown(said(message("user", "early"), lost, message("user", "on")))
    assert "> early" in text
    assert "> later" in text
    assert "> on" in text
    assert "other branches" not in text


def test_attachments_are_named_wherever_they_are_noted() -> None:
    noted = {"media": [{"url": "media://inbound/photo.png"}, {"url": 7}, None]}
    text = shown(said(message("user", "look", MediaPaths=["/a/one.pdf", "/a/two.pdf"], __openclaw=noted)))
    assert [*re.findall(r"\*attachment\* `(.*?)`", text)] == ["one.pdf", "two.pdf", "photo.png"]


def test_an_answer_that_did_not_end_well_says_so() -> None:
    aborted = message("assistant", "I was", stopReason="aborted")
    failed = message("assistant", "", stopReason="error", errorMessage="no credit")
    text = shown(said(aborted, failed, message("assistant", "all", stopReason="stop")))
    assert [*re.findall(r"\*ended: .*", text)] == ["*ended: aborted*", "*ended: error:* `no credit`"]


@pytest.mark.parametrize("role", ["bashExecution", "x`y", None, 7])
def test_a_role_that_is_not_known_is_passed_on(role: Any) -> None:
    text = shown(said(message(role, "what it said", command="ls")))
    assert "> what it said" in text
    assert '"command": "ls"' in text


@example([(role, _HOSTILE) for role in ("user", "assistant", "toolResult", "else")])
@given(st.lists(st.tuples(st.sampled_from(["user", "assistant", "toolResult", "else"]), _TEXT), max_size=4))
def test_nothing_that_was_said_passes_for_the_page(some: list[tuple[str, str]]) -> None:
    made = said(*(message(role, [{"type": "text", "text": text}], toolName=text) for role, text in some))
    own = without_quotes_and_code(shown(made))
    for line in own.split("\n"):
        assert re.match(r"$|# $|- |## |\*cut: |\*attachment|<details>$|</details>$|<summary>[^<>]*</summary>$", line), (
            line
        )
    assert len(re.findall("^## ", own, re.MULTILINE)) == sum(role != "toolResult" for role, _ in some)
    assert own.count("<details>") == own.count("</details>")


@example("`")
@example(_HOSTILE)
@given(_TEXT)
def test_a_span_of_code_is_on_one_line_and_ends_where_it_should(text: str) -> None:
    span = markdown.code(text)
    ticks = re.match("`+", span)
    assert ticks is not None
    inside = span[len(ticks[0]) : -len(ticks[0])]
    assert "\n" not in span
    assert all(len(run) != len(ticks[0]) for run in re.findall("`+", inside))


@pytest.mark.parametrize("half", [*map(chr, (0xD800, 0xD83D, 0xDFFF))], ids=ascii)
def test_half_a_surrogate_pair_is_shown_as_an_escape(half: str) -> None:
    # As bytes, which is no UTF-8, in a text and in what is passed over.
    text = shown(said(message("user", half, more=half), message(half, "on"), {"type": "label", half: half}))
    assert "\\ud" in text
    assert "> on" in text
    assert "no event" not in text


@pytest.mark.parametrize("unseen", ["\x7f", "\x9b", "\x85", "\u2028", "\u202e"], ids=ascii)
def test_what_cannot_be_seen_is_an_escape_though_json_needs_none(unseen: str) -> None:
    asked = message("assistant", [{"type": "toolCall", "id": "a", "name": "bash", "arguments": {"of": unseen}}])
    some = [message("user", f"a{unseen}b"), asked, message("toolResult", f"c{unseen}d", toolCallId="a")]
    made = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in some)
    text = shown(made.encode())
    assert unseen not in text
    assert text.count(f"\\u{ord(unseen):04x}" if ord(unseen) > 0xFF else f"\\x{ord(unseen):02x}") == 3


@given(st.binary(max_size=80))
def test_whatever_a_line_holds_makes_a_page(line: bytes) -> None:
    shown(line.replace(b"\n", b" ") + b"\n")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
        lambda inside: (
            st.lists(inside, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "message", "role", "content", "text", "timestamp", "id", "parentId", "usage"]),
                inside,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_event_makes_a_page(value: Any) -> None:
    for each in ({"type": "message", "message": value}, {"type": value}, value, message("user", value)):
        shown(json.dumps(each).encode() + b"\n")


def test_a_page_leaves_nothing_that_has_to_be_collected() -> None:
    """A command collects nothing while it runs, and a transcript may be larger than the memory."""
    call = message("assistant", [{"type": "toolCall", "id": "a", "name": "bash", "arguments": {"of": ["a", {}]}}])
    transcript = said(*[call, message("toolResult", "done", toolCallId="a")] * 50)
    gc.collect()
    gc.disable()
    try:
        shown(transcript)
        assert gc.collect() < 50
    finally:
        gc.enable()


def test_totals_are_those_of_all_branches() -> None:
    totals = survey(lines(events(OWN)).splitlines(keepends=True)).totals
    assert (totals.events, totals.broken, totals.last_id) == (11, 0, "e10")
    assert dict(totals.roles) == {"user": 3, "assistant": 3, "toolResult": 1}
    assert (totals.usage["totalTokens"], totals.cost) == (2460, 0.025)
    assert totals.kinds["brand_new"] == 1


def test_half_a_surrogate_pair_in_a_name_is_no_damage() -> None:
    event = {"type": "message", "id": "1", "message": {"role": "user", "content": "hello", "x\ud800y": "z"}}
    text = shown(json.dumps(event).encode() + b"\n")
    assert "> hello" in text


def test_half_a_surrogate_is_no_damage() -> None:
    assert event(b'{"type":"message","text":"\\ud83d"}') == {"type": "message", "text": "\ud83d"}
