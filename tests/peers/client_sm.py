"""Stream management (XEP-0198) for the test client: the connection is cut, and resumed on a new one.

slixmpp's plugin does the counting. Two faults of slixmpp 1.17 around it are mended here, as each of them loses or
reorders stanzas at any server:
* What stands in its queue when the connection ends is taken out afterwards and thrown away, unacknowledged.
* After a resumption, what the user sent while there was no connection leaves before what is sent again, while the
  plugin counts it as later: the server's next count acknowledges the wrong ones.
So stanzas skip that queue, and those sent without a connection wait here until the others have been sent again.
"""

import socket
import struct

from slixmpp import Iq, Message, Presence
from slixmpp.xmlstream import tostring
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

SM = "urn:xmpp:sm:3"


class Resumable:
    """`sm` is None without stream management, else whether there is a connection: "live", "away"."""

    def prepare_to_resume(self, wanted):
        self.sm, self.wants_sm, self.is_cut = None, wanted, False
        self.waiting, self.resumptions, self.torn = [], 0, False
        self.enabled, self.acks = None, 0
        if not wanted:
            return
        self.register_plugin("xep_0198")
        self.register_handler(Callback("each ack", MatchXPath("{%s}a" % SM), self.note_ack))
        self.add_event_handler("session_start", lambda _: self.note_session())
        self.add_event_handler("sm_enabled", self.note_enabled)
        self.add_event_handler("session_resumed", lambda _: self.note_resumed())
        self.add_event_handler("disconnected", lambda _: self.note_away())

    def note_session(self):
        """A new session: stream management is not on yet, or not any more."""
        self.sm = None
        self.send_waiting()

    def note_enabled(self, enabled):
        self.sm, self.enabled = "live", {name: enabled[name] for name in ("id", "max", "resume")}

    def note_resumed(self):
        """The plugin has sent again what was not acknowledged."""
        self.sm = "live"
        self.resumptions += 1
        self.send_waiting()
        self.poke()

    def send_waiting(self):
        waiting, self.waiting = self.waiting, []
        for stanza in waiting:
            self.send(stanza)

    def note_away(self):
        if self.sm:
            self.sm = "away"

    def note_ack(self, _):
        self.acks += 1
        self.poke()

    def send(self, data, use_filters=True):
        mend(data)
        negotiates = isinstance(data, Iq) and any(data.get_plugin(p, check=True) for p in ("bind", "session"))
        if self.sm is None or negotiates or not isinstance(data, (Iq, Message, Presence)):
            super().send(data, use_filters)
        elif self.sm == "away" and use_filters:
            self.waiting.append(data)
        else:
            # Without filters: it is sent again, and stands in the plugin's books already.
            if use_filters:
                data = self.plugin["xep_0198"]._handle_outgoing(data)
            text = tostring(data.xml, xmlns=self.default_ns, stream=self, top_level=True)
            self.send_raw(text[: len(text) // 2] if self.torn else text)

    def sever(self, how):
        """Ends the TCP connection without a word: `close`, or `reset`, which drops what has not been delivered."""
        if how == "reset":
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.is_cut = True
        self.transport.abort()

    def books(self):
        plugin = self.plugin["xep_0198"]
        unacked = len(plugin.unacked_queue)
        return {"unacked": unacked, "sent": plugin.seq, "acked": plugin.last_ack, "handled": plugin.handled}


def mend(stanza):
    """slixmpp 1.17 refuses a forged roster push with an error whose code is a number, which it then cannot write:
    nothing is sent, though it was counted."""
    for element in stanza.xml.iter() if hasattr(stanza, "xml") else ():
        element.attrib.update({name: str(value) for name, value in element.attrib.items()})


async def enabled(x):
    """Waits for the end of the negotiation, if stream management is wanted: what came of it."""
    if not x.wants_sm:
        return {}
    await x.until(x.negotiated.is_set)
    return {"sm": x.enabled}


async def step_cut(x, o, s):
    """Cuts the connection: `how`, see `sever`.

    `after`: while a message with this body is being read, whatever follows it.
    `items` are sent in the same breath, `torn` is half written, `lost` are sent too late, and slixmpp does not know.
    """
    def now():
        x.say(s.get("items", []), s.get("to"))
        x.torn = True
        x.say(s.get("torn", []), s.get("to"))
        x.torn = False
        x.sever(s.get("how", "close"))
        x.say(s.get("lost", []), s.get("to"))
    if "after" in s:
        x.on_message(s["after"], now)
    else:
        now()
    await x.until(lambda: x.is_cut and x.transport is None)
    return x.books()


async def step_resume(x, o, s):
    """Connects again and resumes; logs in anew where that is not possible.

    `cut`: cuts the new connection as soon as it is resumed, how: see `sever`.
    """
    before = x.resumptions
    x.begin_stream()
    x.is_cut = False
    if "cut" in s:
        x.add_event_handler("session_resumed", lambda _: x.sever(s["cut"]), disposable=True)
    x.connect(o["host"], o["port"])
    await x.until(lambda: x.resumptions > before or x.negotiated.is_set())
    if "cut" in s:
        await x.until(lambda: x.transport is None)
    return {"resumed": x.resumptions > before, "jid": x.boundjid.full} | x.books()


async def step_settle(x, o, s):
    """Asks for acknowledgement until nothing is left to acknowledge."""
    while x.plugin["xep_0198"].unacked_queue:
        before = x.acks
        x.plugin["xep_0198"].request_ack()
        await x.until(lambda: x.acks > before)
    return x.books()
