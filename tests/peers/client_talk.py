"""What a test client does with others: messages in bursts, IQs asked and answered when the test says so."""

import asyncio
import sys
from xml.etree import ElementTree as ET

from slixmpp.exceptions import IqError
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

STEP_SECONDS = 20
# A request of this kind is answered by `step_answer_held` only.
SLOW = "urn:iqtap:test:slow"


class Failed(Exception):
    """A step saw something else than it wanted."""


class Talkative:
    """Keeps every message; holds the requests of namespace SLOW until told to answer."""

    def prepare_to_talk(self):
        self.news = asyncio.Event()
        self.messages, self.traps = [], {}
        self.asked, self.held = {}, []
        self.orders = None
        self.register_handler(Callback("each message", MatchXPath("{jabber:client}message"), self.note_message))
        self.register_handler(Callback("slow", MatchXPath("{jabber:client}iq/{%s}query" % SLOW), self.note_slow))

    def note_message(self, message):
        self.messages.append([message["from"].full, message["type"], message["body"]])
        trap = self.traps.pop(message["body"], None)
        if trap:
            trap()
        self.poke()

    def note_slow(self, iq):
        if iq["type"] == "get":
            self.held.append(iq)
            self.poke()

    def has_message(self, body):
        return any(message[2] == body for message in self.messages)

    def on_message(self, body, do):
        """Does it while the message is being read, or now if it was."""
        if self.has_message(body):
            do()
        else:
            self.traps[body] = do

    def poke(self):
        """Something happened that `until` may wait for."""
        self.news.set()

    async def until(self, ready):
        """Waits until `ready()`; fails as soon as the stream has ended."""
        while not ready():
            if self.ended.done():
                raise Failed("it ended: %s (%s)" % (self.ended.result(), self.stream_error))
            self.news.clear()
            await self.news.wait()

    def say(self, items, to, pad=0):
        """Sends each of `items`: a string is the body of a message to `to`, an object a request (see `ask`)."""
        for item in items:
            if isinstance(item, dict):
                self.ask(item)
            else:
                self.send_message(mto=to, mbody=item, mtype="chat", msubject="x" * pad or None)

    def ask(self, item):
        """Sends a request {"ask": its id, "ns", "to"?}; `step_answers` waits for what becomes of it."""
        iq = self.Iq()
        iq["type"], iq["id"], iq["to"] = "get", item["ask"], item.get("to", self.boundjid.domain)
        iq.xml.append(ET.Element("{%s}query" % item["ns"]))
        self.asked[item["ask"]] = answer = iq.send(timeout=3 * STEP_SECONDS)
        answer.add_done_callback(lambda _: self.poke())


def iq_seen(iq):
    seen = {"type": iq["type"], "id": iq["id"], "xml": str(iq)}
    if iq["type"] == "error":
        seen["condition"] = iq["error"]["condition"]
    return seen


async def step_say(x, o, s):
    """Sends `items`, messages of them to `to`."""
    x.say(s["items"], s.get("to"), s.get("pad", 0))
    return {}


async def step_answers(x, o, s):
    """Waits for the answers to the requests `of`: their types, by id."""
    await x.until(lambda: all(x.asked[label].done() for label in s["of"]))
    error = {label: x.asked[label].exception() for label in s["of"]}
    unheard = [label for label, e in error.items() if e is not None and not isinstance(e, IqError)]
    if unheard:
        raise Failed("no answer to %s" % unheard)
    return {"answers": {label: "error" if e else x.asked[label].result()["type"] for label, e in error.items()}}


async def step_wait(x, o, s):
    """Waits for a message with this body; one that is there already will do."""
    await x.until(lambda: x.has_message(s["body"]))
    return {}


async def step_held(x, o, s):
    """Waits until somebody has asked slowly, `count` times."""
    await x.until(lambda: len(x.held) >= s.get("count", 1))
    return {"id": x.held[0]["id"], "from": x.held[0]["from"].full}


async def step_answer_held(x, o, s):
    """Answers the oldest such request."""
    await x.until(lambda: x.held)
    answer = x.held.pop(0).reply()
    answer.xml.append(ET.Element("{%s}query" % SLOW))
    answer.send()
    return {}


async def step_go(x, o, s):
    """Waits until the test says so: a line on the standard input."""
    if x.orders is None:
        x.orders = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(x.orders), sys.stdin)
    if not await x.orders.readline():
        raise Failed("the test is over")
    return {}
