"""The chat as its README starts it: the page in Chromium, and clients of Go nano."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
import pytest_asyncio

from examples.chat.chat import web as chat_web
from examples.chat.chat.web import PageService
from nano import NodeInfo
from nano.errors import UsageError
from nano.local.ports import free_ports
from tests.js.browser import CURE, Browser, Tab, browser, find_chromium

from .nanopages import nano_examples, nano_pages
from .running import Running, running

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text()
NANO_LINES = "v.messages.map((it) => [it.name, it.content])"
ENOUGH_TABS = (
    12  # that two of them are at the same gate each time is out of the question
)
TRAFFIC = r"""/^[1-9]\d* online · [1-9]\d* in, [1-9]\d* out a minute$/
    .test(document.querySelector('#traffic').textContent)"""
LINES = """[...document.querySelectorAll('.line:not(.pending)')]
    .map((it) => it.querySelector('.bubble').textContent)"""


class Chat(NamedTuple):
    """The example, running.

    Attributes:
        cluster: Its processes.
        page: Where its page is.
        port: That of its gates.
    """

    cluster: Running
    page: str
    port: int


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chat]:
    gates, page = free_ports(2)
    env = {"CHAT_PAGE_PORT": str(page), "CHAT_SECRET": ""}  # it makes one
    folder = tmp_path_factory.mktemp("examples")
    recipe = re.search(r"^run:.*\n\t.*chat/cluster.yaml (--try.*)$", MAKEFILE, re.M)
    assert recipe is not None
    first = recipe[1].split()
    with running("chat", folder, {3250: gates}, env, *first) as cluster:
        yield Chat(cluster, f"http://127.0.0.1:{page}/", gates)


@pytest_asyncio.fixture
async def chrome(tmp_path: Path) -> AsyncIterator[Browser]:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(CURE)
    async with browser(chromium, tmp_path / "profile") as running:
        yield running


def test_the_last_line_of_make_run_says_where_the_page_is(chat: Chat) -> None:
    answer = f'PageService.Where answered {{"page":"{chat.page}"}} after'
    chat.cluster.wait_for(re.escape(answer))


async def knock(chrome: Browser, chat: Chat, name: str) -> Tab:
    """A window whose user has typed a name."""
    tab = await chrome.open(chat.page)
    await tab.until("document.querySelector('#login button:enabled') !== null")
    await tab.evaluate(
        f"document.querySelector('#nickname').value = {json.dumps(name)};"
        "document.querySelector('#login button').click()"
    )
    return tab


async def enter(chrome: Browser, chat: Chat, name: str) -> Tab:
    """A window whose user is in."""
    tab = await knock(chrome, chat, name)
    await tab.until("document.body.dataset.screen === 'chat'")
    return tab


async def gate_of(tab: Tab) -> str:
    return str(await tab.evaluate("document.querySelector('#gate').textContent"))


async def say(tab: Tab, text: str) -> None:
    """Type and send."""
    await tab.evaluate(
        f"document.querySelector('#text').value = {json.dumps(text)};"
        "document.querySelector('.send').click()"
    )


async def heard(tab: Tab, text: str) -> str:
    """Wait until a window shows *text*; return the room backend that has taken it."""
    shown = f"({LINES}).includes({json.dumps(text)})"
    await tab.until(shown)
    return str(await tab.evaluate("document.querySelector('#backend').textContent"))


async def two_windows(chrome: Browser, chat: Chat, name: str) -> tuple[Tab, Tab]:
    """Two users at two gates; the system chooses the gate of each connection."""
    one = await enter(chrome, chat, f"{name} 1")
    for number in range(2, ENOUGH_TABS):
        other = await enter(chrome, chat, f"{name} {number}")
        if await gate_of(other) != await gate_of(one):
            return one, other
    pytest.fail("all windows are at one gate")


async def test_two_windows_chat_over_two_gates_while_a_room_backend_is_killed(
    chrome: Browser, chat: Chat
) -> None:
    ann, bob = await two_windows(chrome, chat, "Killer")
    await say(ann, "before 😀")
    backend = await heard(bob, "before 😀")
    assert await heard(ann, "before 😀") == backend
    killed = chat.cluster.kill(backend)
    await say(ann, "after")
    await heard(bob, "after")  # by the other one, or by what was started in its place
    await say(bob, "and back")
    await heard(ann, "and back")
    # the killed one has started again, and knows from the other what was said
    chat.cluster.wait_for(rf"{killed} +\| .*is ready", len(chat.cluster.said))
    late = await enter(chrome, chat, "Late")
    lines = await late.evaluate(LINES)
    assert lines[-3:] == ["before 😀", "after", "and back"]


async def test_a_window_shows_rooms_members_and_who_comes_and_goes(
    chrome: Browser, chat: Chat
) -> None:
    ann = await enter(chrome, chat, "Ann")
    await ann.evaluate("document.querySelectorAll('#rooms button')[2].click()")
    await ann.until("document.querySelector('#room').textContent === 'garden'")
    bob = await enter(chrome, chat, "Bob")
    await bob.evaluate("document.querySelectorAll('#rooms button')[2].click()")
    await ann.until("document.querySelector('#members').textContent.includes('Bob')")
    await say(ann, "hello")
    await ann.until(TRAFFIC)
    await ann.until("document.querySelector('#balance').textContent.startsWith('999')")
    await bob.evaluate("document.querySelector('#leave').click()")
    await ann.until("!document.querySelector('#members').textContent.includes('Bob')")
    notices = "[...document.querySelectorAll('.system')].map((it) => it.textContent)"
    assert await ann.evaluate(notices) == ["Bob has come in", "Bob has left"]
    assert await bob.evaluate("document.body.dataset.screen") == "login"


async def test_a_window_comes_back_when_its_gate_is_killed(
    chrome: Browser, chat: Chat
) -> None:
    ann, bob = await two_windows(chrome, chat, "Gate")
    await ann.evaluate("document.querySelectorAll('#rooms button')[3].click()")
    await bob.evaluate("document.querySelectorAll('#rooms button')[3].click()")
    for tab in (ann, bob):
        await tab.until("document.querySelectorAll('#members li').length === 2")
    await say(ann, "before the fall")
    await heard(bob, "before the fall")
    gate = await gate_of(ann)
    killed = chat.cluster.kill(gate)
    # what is said meanwhile waits in the page, or is seen in the history
    await say(ann, "during the fall")
    await heard(bob, "during the fall")
    await say(bob, "after the fall")
    await heard(ann, "after the fall")
    assert await ann.evaluate("document.querySelector('#state').textContent") == (
        "connected"
    )
    await ann.until("document.querySelectorAll('#members li').length === 2")
    assert (await ann.evaluate(LINES))[-3:] == [
        "before the fall",
        "during the fall",
        "after the fall",
    ]
    chat.cluster.wait_for(rf"{killed} +\| .*is ready", len(chat.cluster.said))


async def test_a_name_that_is_here_already_is_refused(
    chrome: Browser, chat: Chat
) -> None:
    await enter(chrome, chat, "Only me")
    tab = await knock(chrome, chat, "Only me")
    said = await tab.until("document.querySelector('#login-error').textContent")
    assert said == "nickname: Only me is here already; choose another"


async def test_a_reload_keeps_the_name(chrome: Browser, chat: Chat) -> None:
    tab = await enter(chrome, chat, "Reloader")
    await tab.evaluate("window.before = true; location.reload()")
    await tab.until("!window.before && document.body?.dataset.screen === 'chat'")
    name: Any = await tab.evaluate("document.querySelector('#my-name').textContent")
    assert name == "Reloader"


async def test_what_a_user_writes_is_text_and_no_html(
    chrome: Browser, chat: Chat
) -> None:
    tab = await enter(chrome, chat, "<img src=x>")
    text = "<script>window.bad = 1</script><b onclick=x>b</b>"
    await say(tab, text)
    await heard(tab, text)
    assert await tab.evaluate("[window.bad, document.querySelector('b')]") == [
        None,
        None,
    ]


@pytest.mark.peers
@pytest.mark.parametrize("page", ["theirs", "ours"])
async def test_nanos_own_page_works(
    chrome: Browser, chat: Chat, tmp_path: Path, page: str
) -> None:
    """*ours*: with the script tag of our client in place of its own two."""
    folder = nano_examples() / "cluster" / "master" / "web"
    ann = await enter(chrome, chat, f"Ann of {page}")
    async with nano_pages(folder, tmp_path / "nano", {34590: chat.port}) as pages:
        one = await pages.open(page)
        await one.until(f"({NANO_LINES})[0]")
        here = await one.evaluate(f"({NANO_LINES})[0]")
        assert here == ["system", f"members: Ann of {page}"]
        two = await pages.open(page)
        await one.until("v.messages.some((it) => it.content?.includes('user join'))")
        nickname = await two.evaluate("v.nickname")
        assert ["system", f"User user join: {nickname}"] in await one.evaluate(
            NANO_LINES
        )
        await two.until("v.messages.length === 2")  # members, and that it is in
        await two.evaluate("v.inputMessage = 'hi from nano 😀'; v.sendMessage()")
        await heard(ann, "hi from nano 😀")
        await say(ann, "hi from Ann 😀")
        said = [[nickname, "hi from nano 😀"], [f"Ann of {page}", "hi from Ann 😀"]]
        for tab in (one, two):
            await tab.until("v.messages.some((it) => it.content === 'hi from Ann 😀')")
            assert (await tab.evaluate(NANO_LINES))[-2:] == said
        await two.until("v.balance === 999")
        assert await one.evaluate("v.balance") == 1000


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{}", 400, "the body is a JSON object with a nickname: .*nickname"),
        (b"no json", 400, "the body is a JSON object with a nickname"),
        (b'{"nickname": " "}', 400, "nickname: 1 to 24 characters"),
        (b'{"nickname": "guest7"}', 400, "nickname: one that begins with guest"),
        (b"x" * 5000, 413, ""),
    ],
)
async def test_the_door_says_what_is_wrong(
    chat: Chat, body: bytes, status: int, said: str
) -> None:
    async with (
        aiohttp.ClientSession() as web,
        web.post(f"{chat.page}login", data=body) as response,
    ):
        assert response.status == status
        assert re.search(said, await response.text())
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]


async def test_who_logs_in_all_the_time_is_told_to_wait(chat: Chat) -> None:
    async with aiohttp.ClientSession() as web:
        for _ in range(200):
            async with web.post(f"{chat.page}login", data=b"{}") as response:
                if response.status == 429:
                    assert "too many logins" in (await response.json())["msg"]
                    return
    pytest.fail("nobody was told to wait")


async def test_a_port_that_is_in_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("CHAT_PAGE_PORT", str(port))
        monkeypatch.setenv("CHAT_SECRET", "a secret for this test")
        page = PageService()
        page.node = NodeInfo("127.0.0.1:7650", "backend", "web", "default/chat")
        said = f"the page cannot have 127.0.0.1:{port}: Address already in use; set"
        with pytest.raises(UsageError, match=re.escape(said)):
            await page.start()


async def test_a_copy_without_the_client_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(chat_web, "CLIENTS", (tmp_path / "client",))
    with pytest.raises(UsageError, match="the page's client is missing: copy"):
        await PageService().start()
