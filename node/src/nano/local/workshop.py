"""What ``nanoctl dev`` adds to ``nanoctl up``: it follows what is saved.

Python files and the manifest are taken up as ``nanoctl reload`` does; a change of the
page lets browsers load it again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nano.local.pages import Pages

if TYPE_CHECKING:
    from watchfiles import Change

__all__ = ["Workshop", "WorkshopOptions"]

MOST_NAMES: Final = 3  # of files that were saved at once
PASSED_OVER: Final = ("venv", "site-packages", "build", "dist")  # beside hidden ones


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkshopOptions:
    """What is asked of ``nanoctl dev``.

    Attributes:
        page: The folder with the page; ``None``: there is none.
        ports: Where the page is served, at the first that is not in use; 0: at one
            that is free.
        opened: Called with the page's address when all is ready.
    """

    page: Path | None
    ports: Sequence[int]
    opened: Callable[[str], object]


class Workshop:
    """The watcher of the files, and the server of the page.

    Args:
        options: What is asked.
        manifest: The file; all in its folder is watched.
        host: Where the page is served.
        urls: Where clients connect, by listener.
        say: Told what happens.
    """

    def __init__(
        self,
        options: WorkshopOptions,
        manifest: Path,
        host: str,
        urls: Callable[[], Mapping[str, str]],
        say: Callable[[str], None],
    ) -> None:
        self._options = options
        self._manifest = manifest.resolve()
        self._page = options.page.resolve() if options.page else None
        self._say = say
        self._pages = (
            Pages(self._page, host, options.ports, urls) if self._page else None
        )
        self._address = ""
        self._saved: set[Path] = set()
        self._more = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch, and serve the page; nothing is taken up yet.

        Raises:
            UsageError: The port of the page cannot be had.
        """
        if self._pages is not None:
            self._address = await self._pages.start()
        self._watching = asyncio.create_task(self._watch(), name="watch files")

    async def stop(self) -> None:
        """Watch and serve no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._pages is not None:
            await self._pages.stop()

    async def follow(self, take_up: Callable[[], Awaitable[None]]) -> None:
        """Let *take_up* be called after each save of code or manifest, until cancelled.

        What is saved in the meantime is taken up next, all at once.
        """
        self._say(f"  saved files are taken up: {self._manifest.parent}")
        if self._address:
            self._say(f"  page: {self._address}")
            self._options.opened(self._address)
        while True:
            await self._more.wait()
            self._more.clear()
            saved, self._saved = self._saved, set()
            page = {it for it in saved if self._is_of_page(it)}
            if page and self._pages is not None:
                self._say(f"saved: {self._names(page)}; the page is loaded again")
                self._pages.saved()
            if code := saved - page:
                self._say(f"saved: {self._names(code)}")
                await take_up()

    async def _watch(self) -> None:
        # here, as every other command does without
        from watchfiles import DefaultFilter, awatch

        ignored = (*DefaultFilter.ignore_dirs, *PASSED_OVER)
        usual = DefaultFilter(ignore_dirs=ignored)

        def concerns(change: Change, name: str) -> bool:
            inside = name.removeprefix(str(self._manifest.parent))
            return usual(change, inside) and self._concerns(Path(name))

        folders = [self._manifest.parent]
        if self._page and not self._page.is_relative_to(folders[0]):
            folders.append(self._page)
        try:
            async for changes in awatch(*folders, watch_filter=concerns):
                self._saved.update(Path(name) for _, name in changes)
                self._more.set()
        except (OSError, RuntimeError) as error:
            text = f"files are watched no more: {error}; `nanoctl reload` takes up "
            text += "changes, and with WATCHFILES_FORCE_POLLING=true they are polled"
            self._say(text)

    def _concerns(self, path: Path) -> bool:
        return path.suffix == ".py" or path == self._manifest or self._is_of_page(path)

    def _is_of_page(self, path: Path) -> bool:
        return self._page is not None and path.is_relative_to(self._page)

    def _names(self, paths: set[Path]) -> str:
        names = []
        for path in sorted(paths):
            with contextlib.suppress(ValueError):
                path = path.relative_to(self._manifest.parent)
            names.append(str(path))
        more = len(names) - MOST_NAMES
        return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
