"""The option of commands that write a page of what they show."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from plumbum import cli

from ..core.errors import UsageProblem
from ..system.clock import Clock
from .arguments import word

if TYPE_CHECKING:
    from ..core.report import Report
    from ..core.selection import Listing
    from ..ports.runtime import Place
    from ..render.page import Page


class Paged(cli.Application):
    """What the commands share that can show what they say as a page."""

    clock: ClassVar[Clock]
    page = word("--report FILE.html", "write it as a page for a browser, which is not there yet")

    def check_page(self) -> None:
        """Refuse a path at which no page can be written, ahead of all work."""
        if self.page is not None:
            from ..operations import pages  # few runs write one

            pages.check(self.page)

    def made(self) -> str:
        """Return when a page is made, in words."""
        return f"{self.clock.now():%Y-%m-%d %H:%M} UTC"

    def write(self, page: Page) -> str:
        """Write a page; return its whole path."""
        from ..operations import pages
        from ..render.page import as_html

        return pages.write(self.page, as_html(page))


class PlanPaged(Paged):
    """What the commands share that write a page of what they would do."""

    dry_run: Any
    rehearse: Any
    verbose: Any

    def check_plan_page(self) -> None:
        """Refuse a page of what is done for good, and one that cannot be written."""
        if self.page is not None and not (self.dry_run or self.rehearse):
            raise UsageProblem("--report shows what would be done", "--dry-run, or --rehearse")
        self.check_page()

    def paged(self, found: Report, place: Callable[[], Place]) -> Report:
        """Return a report once its page is written, with the path of that; `place` gives the state directory."""
        if self.page is None or (found.error is not None and not (found.results or found.artifacts)):
            return found
        from ..core.status import Status
        from ..render import pages

        if found.artifacts is None:
            return found._replace(page=self.write(pages.of_plan(found, self._all(found, place()), self.made())))
        path = self.write(pages.of_artifacts(found, self.made()))
        rows = tuple(row for row in found.artifacts if self.verbose or row.status is not Status.KEPT)
        return found._replace(page=path, artifacts=rows)

    def _all(self, found: Report, place: Place) -> Listing:
        """Return the list of all sessions in the stores that a plan is about."""
        from ..core.wanted import Wanted
        from ..operations import list as listing
        from ..operations import runtimes

        agents = {store.agent for store in found.stores}
        wanted = Wanted(agent=next(iter(agents)) if len(agents) == 1 else None, limit=None)
        seen = listing.look(runtimes.apart(place) if self.rehearse else place, wanted, self.clock)
        return seen._replace(rows=tuple(row for row in seen.rows if row.agent in agents))
