"""Stores with sessions in them, one kind a row: what the contract is held against."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from contract.toy import Toy
from session_closer.core.model import GatewayView
from session_closer.core.wish import Options
from session_closer.openclaw import runtime as openclaw
from session_closer.openclaw.home import Home
from session_closer.ports.context import Context
from session_closer.ports.store import Store
from session_closer.system.disk import Disk
from support.clock import Brisk
from support.gateway import StubGateway
from support.sqlite import build_sqlite
from support.stores import TOKEN, build
from support.stores import Store as Sample

AGENT = "project-lead"
LEAD = f"agent:{AGENT}:"


class Kit(ABC):
    """A root folder with one store; `facts` are what a user has of it: each key with all that it said.

    `going` are the keys of sessions that are closed; there are others.
    """

    going: tuple[str, str] = (LEAD + "alpha", LEAD + "beta")

    def __init__(self, root: Path, stub: StubGateway) -> None:
        self.root, self.stub = root, stub
        self.make()

    @abstractmethod
    def make(self) -> None:
        """Make a store that has these sessions, and others."""

    @abstractmethod
    def store(self, disk: Disk) -> Store:
        """Return the store as a run with this disk has it."""

    @abstractmethod
    def facts(self) -> Mapping[str, str]:
        """Return the text of each session's transcript, by key."""

    def view(self) -> GatewayView:
        """Return what the gateway says, if there is one."""
        return GatewayView()


class ToyKit(Kit):
    """The toy store."""

    def make(self) -> None:
        folder = self.root / "toys"
        folder.mkdir(parents=True)
        keys = (*self.going, LEAD + "other")
        ids = {key: f"0000000{at}-aaaa-4bbb-8ccc-ddddddddeeee" for at, key in enumerate(keys)}
        (folder / "index.json").write_text(json.dumps(ids))
        for key, own in ids.items():
            (folder / f"{own}.jsonl").write_text(f"said in {key}\n")

    def store(self, disk: Disk) -> Store:
        return Toy(disk, str(self.root / "toys"), AGENT)

    def facts(self) -> Mapping[str, str]:
        ids = json.loads((self.root / "toys/index.json").read_text())
        return {key: (self.root / f"toys/{own}.jsonl").read_text() for key, own in ids.items()}


class FilesKit(Kit):
    """A `sessions.json` whose gateway does not run."""

    going = (LEAD + "after-reset", LEAD + "topics")

    def make(self) -> None:
        self.sample = build(self.root, self.stub.port)

    def store(self, disk: Disk) -> Store:
        where = Home(str(self.root), "--state-dir", os.environ, isolated=True)
        store = openclaw.opened(where, Context(Options(), disk, clock=Brisk())).detect(AGENT)
        assert store is not None
        return store

    def facts(self) -> Mapping[str, str]:
        entries = self.sample.entries(AGENT)
        return {key: self._said(entry) for key, entry in entries.items()}

    def _said(self, entry: Mapping[str, str]) -> str:
        path = self.sample.folder(AGENT) / f"{entry.get('sessionId')}.jsonl"
        return path.read_text() if path.exists() else ""


class DatabaseKit(Kit):
    """A database that a gateway serves."""

    def make(self) -> None:
        self.bases = build_sqlite(Sample(self.root, self.stub.port))
        self.stub.serve(self.root, TOKEN)

    def store(self, disk: Disk) -> Store:
        where = Home(str(self.root), "--state-dir", os.environ, url=f"ws://127.0.0.1:{self.stub.port}")
        store = openclaw.opened(where, Context(Options(), disk, clock=Brisk())).detect(AGENT)
        assert store is not None
        return store

    def facts(self) -> Mapping[str, str]:
        events = self.bases.events(AGENT)
        rows = {key: row for key, row in self.bases.rows(AGENT).items() if row["archived_at"] is None}
        return {
            key: "".join(text for (own, _), text in sorted(events.items()) if own == row["current_session_id"])
            for key, row in rows.items()
        }


# Another kind of store: its kit here is all that the suite has to know of it.
KITS = {"files": FilesKit, "sqlite": DatabaseKit, "toy": ToyKit}
