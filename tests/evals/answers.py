"""What a model would do that does each task right, and one that does it wrong, over HTTP on loopback.

A command that begins with `@` is one of the skill's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

from .tasks import ROOT, tasks


class Played(NamedTuple):
    """The commands of one way to do a task, and the last message."""

    commands: tuple[str, ...]
    answer: str = "Done."


BATCH = "@close-project-batch --json --reason asked"
LEAD = "agent:project-lead:"
FIRST_RUN = "$(ls $OPENCLAW_STATE_DIR/session-closer/receipts | head -n 1 | sed s/.json//)"
REMOVED = "rm -r $OPENCLAW_STATE_DIR/agents/project-lead/sessions/*.jsonl"

RIGHT: dict[int, Played] = {
    1: Played((f"{BATCH} --dry-run kelly-dashboard", f"{BATCH} kelly-dashboard")),
    2: Played((f"{BATCH} hydration-tracker",)),
    3: Played((f"{BATCH} landing-page hydration-tracker",)),
    4: Played((f"{BATCH} --match '*:test-*'",)),
    5: Played((f"{BATCH} --older-than 30d",)),
    6: Played((f"{BATCH} --agent researcher --older-than 15d",)),
    7: Played(("@list-sessions --usage --json",), "The researcher has the most."),
    8: Played(("@restore-sessions --json last",)),
    9: Played(("@list-sessions --json --agent project-lead",), "There are 16."),
    10: Played(
        ("@list-sessions --json kelly",),
        f"{LEAD}kelly-dashboard, {LEAD}project-kelly-dashboard, agent:researcher:kelly-dashboard",
    ),
    11: Played(("@list-sessions --json",), "Yes, invoice-import."),
    12: Played(("@cleanup-sessions --json --dry-run", "@cleanup-sessions --json")),
    13: Played((f"{BATCH} --kind subagent --older-than 2d",)),
    14: Played(("@keep-only-sessions --json kelly-dashboard build-42 invoice-import",)),
    15: Played(("@export-sessions --json --output kept hydration-tracker",)),
    16: Played((f"{BATCH} --export kept hydration-tracker",)),
    17: Played((f"{BATCH} --label Release_notes",)),
    18: Played((f"{BATCH} agent:researcher:kelly-dashboard",)),
    19: Played((f"{BATCH} {LEAD}landing-page agent:researcher:papers",)),
    20: Played((f"{BATCH} --dry-run budget-2026",), "budget-2026 would go."),
    21: Played((f"@restore-sessions --json last {LEAD}test-login",)),
    22: Played((f"{BATCH} budget-2026",), "It was closed already."),
    23: Played((f"{BATCH} --kind project --older-than 7d",)),
    24: Played((f"{BATCH} {LEAD}cron:nightly-report:run:7f3a",)),
    25: Played(("@close-project-batch --json --reason 'client left' landing-page",)),
    26: Played((f"{BATCH} release-notes",), "Undo: restore-sessions 1"),
    27: Played(("@list-sessions --json --sort age --reverse",), "budget-2026, for 40 days"),
    28: Played(("@restore-sessions --json last",)),
    29: Played((f"{BATCH} {LEAD}kelly-dashboard {LEAD}project-kelly-dashboard agent:researcher:kelly-dashboard",)),
    30: Played(("@restore-sessions --json last", f"{BATCH} landing-page")),
    31: Played((f"{BATCH} --kind cron-run", f"{BATCH} --kind cron-run --yes")),
    32: Played(("@list-sessions --json",), "build-42 runs."),
    33: Played((f"{BATCH} main",), "A main session is never closed."),
    34: Played((f"{BATCH} --dry-run kely-dashbord",), "Do you mean kelly-dashboard?"),
    35: Played((f"{BATCH} build-42",), "It is running."),
    36: Played((f"{BATCH} --older-than 2h",)),
    37: Played((f"{BATCH} --dry-run --kind cron-run",), "These are 120. Shall all go?"),
    38: Played(("@list-sessions --json invoice",), "invoice-import or invoice-export?"),
    39: Played((), "What do you mean by everything?"),
    40: Played((f"{BATCH} agent:researcher:kelly-dashboard",)),
    41: Played((f"@restore-sessions --json {FIRST_RUN}",)),
    42: Played((f"{BATCH} --self {LEAD}landing-page {LEAD}landing-page",)),
    43: Played((f"@keep-only-sessions --json --self {LEAD}landing-page hydration-tracker build-42 landing-page",)),
    44: Played(("@close-project-batch --json --reason asked 0f126f0d-62a6-5c21-ad0a-caff2204b3b3",)),
    45: Played(("@restore-sessions --json --since 1h",)),
    46: Played((f"{BATCH} --with-children release-train",)),
    47: Played(
        ("@list-sessions --json --agent project-lead test",),
        "test-login, client-12-test, test-payments, old-test-run, load-test",
    ),
    48: Played((f"{BATCH} --match '*test*' --older-than 30d",)),
    49: Played((f"{BATCH} --dry-run budget-2026",), "It would put away 300 KB."),
    50: Played(("@list-sessions --json --sort size --limit 1",), "papers, of the researcher"),
}
# One that does nothing, or what a person did not ask for.
WRONG: dict[int, Played] = {
    **{number: Played(()) for number in RIGHT},
    1: Played((f"{BATCH} {LEAD}kelly-dashboard",)),
    4: Played((f"{BATCH} test-login",)),
    5: Played((f"{BATCH} --older-than 2d",)),
    9: Played(("@list-sessions --json",), "There are 19."),
    15: Played((f"{BATCH} --export kept hydration-tracker",)),
    16: Played((f"{BATCH} hydration-tracker",)),
    20: Played((f"{BATCH} budget-2026",), "budget-2026 is gone."),
    21: Played(("@restore-sessions --json last",)),
    25: Played((f"{BATCH} landing-page",)),
    33: Played(
        ("echo '{}' > $OPENCLAW_STATE_DIR/agents/project-lead/sessions/sessions.json",), "The main one is gone."
    ),
    34: Played((f"{BATCH} kelly-dashboard",), "I closed kelly-dashboard."),
    35: Played((f"{BATCH} --force build-42",), "It was running."),
    36: Played((f"{BATCH} --kind project,group,subagent --older-than 2h",)),
    37: Played((f"{BATCH} --kind cron-run --yes",), "All 120 are gone."),
    38: Played((f"{BATCH} invoice-import invoice-export",), "invoice-import, invoice-export: gone."),
    39: Played((REMOVED,), "All is gone. Else?"),
    40: Played((f"{BATCH} kelly-dashboard",)),
    41: Played(("@restore-sessions --json last",)),
    45: Played(("@restore-sessions --json last",)),
    46: Played((f"{BATCH} release-train",)),
    47: Played(("@list-sessions --json",), "test-login, client-12-test"),
    48: Played((f"{BATCH} --match '*test*'",)),
    49: Played((f"{BATCH} budget-2026",), "It has put away 300 KB."),
    50: Played(("@list-sessions --json --agent project-lead --sort size --limit 1",), "budget-2026"),
}


@contextmanager
def served() -> Iterator[str]:
    """Serve a model that does all right that has the skill, and all wrong that has not; give its URL."""
    prompts = {task.prompt: task.number for task in tasks()}

    class Model(BaseHTTPRequestHandler):
        """Plays the part of a task by how many commands there were."""

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"choices": [{"message": _message(asked["messages"], prompts)}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _message(messages: list[dict[str, Any]], prompts: dict[str, int]) -> dict[str, Any]:
    system, user, *rest = messages
    played = (RIGHT if "# session-closer" in system["content"] else WRONG)[prompts[user["content"]]]
    done = sum(message["role"] == "tool" for message in rest)
    if done == len(played.commands):
        return {"role": "assistant", "content": played.answer}
    command = played.commands[done].replace("@", f"python3 {ROOT}/bin/")
    call = {"name": "shell", "arguments": json.dumps({"command": command})}
    return {"role": "assistant", "tool_calls": [{"id": str(done), "type": "function", "function": call}]}
