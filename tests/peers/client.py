"""A slixmpp client for iqtap's tests: one JSON object in (argv[1]), one JSON object a line out, one line a step.

In:   {"host", "port", "tls": "off" | "starttls" | "direct", "jid", "password", "cafile", "mechanism"?,
       "sm"?: true, "answers"?: true, "steps": [...]}
      A step is a name, or an object {"do": name, "as"?: label, ...its parameters}; see the functions `step_*` here, in
      client_talk.py, in client_sm.py and (with "answers") in client_answers.py.
Out:  {"step": label, "ok": true | false, "seconds", ...what was seen}; after a failed login no other step runs.
      Last comes {"step": "end", "sent", "received": every byte of the streams, decrypted, as text; "streams": the same,
      one object for each connection; "messages": [from, type, body] of each, in order; "complaints": slixmpp's own}.
"""

import asyncio
import json
import logging
import sys
import time
from xml.etree import ElementTree as ET

import client_answers
import client_sm
import client_talk

from slixmpp import JID, ClientXMPP
from slixmpp.exceptions import IqError, IqTimeout
from client_talk import STEP_SECONDS, Failed, iq_seen


class Client(client_talk.Talkative, client_sm.Resumable, client_answers.Answered, ClientXMPP):
    """Keeps what it received and how it ended."""

    def __init__(self, o):
        super().__init__(o["jid"], o["password"])
        self.stream_error = None
        self.streams = []  # one pair of lists for each connection: sent, received
        self.begin_stream()
        self.prepare_to_talk()
        self.prepare_to_resume(o.get("sm", False))
        for plugin in ("xep_0030", "xep_0054", "xep_0092", "xep_0199"):
            self.register_plugin(plugin)
        self.prepare_for_answers(o.get("answers", False))
        self.enable_plaintext = o["tls"] == "off"
        self.enable_starttls = o["tls"] == "starttls"
        self.enable_direct_tls = o["tls"] == "direct"
        if o.get("cafile"):
            self.ca_certs = o["cafile"]
        m = self.plugin["feature_mechanisms"]
        m.unencrypted_scram = m.unencrypted_plain = o["tls"] == "off"
        m.use_mech = o.get("mechanism")
        self.add_event_handler("session_start", lambda _: self.started.set())
        self.add_event_handler("stream_negotiated", lambda _: self.note_negotiated())
        self.add_event_handler("stream_error", self.note_stream_error)
        for event in ("failed_all_auth", "connection_failed", "ssl_invalid_chain", "disconnected"):
            self.add_event_handler(event, lambda e, event=event: self.note_end(event, e))

    def begin_stream(self):
        self.streams.append(([], []))
        self.started, self.negotiated = asyncio.Event(), asyncio.Event()
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data):
        self.streams[-1][1].append(bytes(data))
        super().data_received(data)
        self.poke()

    def send_raw(self, data):
        self.streams[-1][0].append(data.encode() if isinstance(data, str) else bytes(data))
        super().send_raw(data)

    def note_negotiated(self):
        if self.started.is_set():
            self.negotiated.set()
            self.poke()

    def note_stream_error(self, error):
        self.stream_error = error["condition"]

    def note_end(self, event, why):
        # Whatever ended it, it stays ended: slixmpp would go on trying to connect.
        self.cancel_connection_attempt()
        if not self.is_cut and not self.ended.done():
            self.ended.set_result("%s: %s" % (event, why))
        self.poke()

    def tls(self):
        return self.socket.version() if hasattr(self.socket, "version") else None


async def step_login(x, o, s):
    """Connects, authenticates, binds."""
    x.connect(o["host"], o["port"])
    started = asyncio.ensure_future(x.started.wait())
    await asyncio.wait([started, x.ended], return_when=asyncio.FIRST_COMPLETED)
    if not x.started.is_set():
        started.cancel()
        raise Failed(x.ended.result())
    sm = await client_sm.enabled(x)
    return {"mechanism": x.plugin["feature_mechanisms"].mech.name, "tls": x.tls(), "jid": x.boundjid.full} | sm


async def step_disco(x, o, s):
    """disco#info of the server: its identities and how many features."""
    info = (await x.plugin["xep_0030"].get_info(jid=x.boundjid.domain, cached=False))["disco_info"]
    return {"identities": sorted([i[0], i[1], i[3]] for i in info["identities"]), "features": len(info["features"])}


async def step_roster(x, o, s):
    return {"items": len((await x.get_roster())["roster"]["items"])}


async def step_version(x, o, s):
    v = (await x.plugin["xep_0092"].get_version(x.boundjid.domain))["software_version"]
    return {"name": v["name"], "version": v["version"]}


async def step_vcard_set(x, o, s):
    """Publishes a vCard with the full name `fn`; with the bytes of a `photo`, if there is one."""
    v = x.plugin["xep_0054"].make_vcard()
    v["FN"] = s["fn"]
    if "photo" in s:
        v["PHOTO"]["TYPE"], v["PHOTO"]["BINVAL"] = "image/png", s["photo"].encode()
    await x.plugin["xep_0054"].publish_vcard(vcard=v)
    return {}


async def step_vcard_get(x, o, s):
    """Fetches the own vCard: from the server, never from slixmpp's cache."""
    r = await x.plugin["xep_0054"].get_vcard(jid=JID(x.boundjid.bare), local=False, cached=False)
    return {"fn": r["vcard_temp"]["FN"]}


async def step_ping(x, o, s):
    r = await x.plugin["xep_0199"].send_ping(x.boundjid.domain)
    return {"type": r["type"]}


async def step_message(x, o, s):
    """A message to oneself, awaited."""
    got = asyncio.get_running_loop().create_future()

    def note(m):
        if m["body"] == s["body"] and not got.done():
            got.set_result(m)
    x.add_event_handler("message", note)
    try:
        x.send_message(mto=x.boundjid.full, mbody=s["body"], mtype="chat")
        return {"from": (await got)["from"].full}
    finally:
        x.del_event_handler("message", note)


async def step_presence(x, o, s):
    """Initial presence, and its echo."""
    got = asyncio.get_running_loop().create_future()

    def note(p):
        if p["from"] == x.boundjid and not got.done():
            got.set_result(None)
    x.add_event_handler("presence_available", note)
    x.send_presence()
    await got
    return {}


async def step_iq(x, o, s):
    """An IQ made and awaited by slixmpp, with any number of `children`.

    `wire` overwrites attributes (null: removes them) behind slixmpp's back, after it took note of the request.
    What slixmpp tells its user is in the answer: `condition` is IqError.condition.
    """
    iq = x.Iq()
    iq["type"], iq["to"] = s.get("type", "get"), s.get("to", x.boundjid.domain)
    if "id" in s:
        iq["id"] = s["id"]
    for child in s["children"]:
        iq.xml.append(ET.fromstring(child))
    wire = s.get("wire", {})
    if wire.get("id", "") is None:
        iq["id"] = ""  # the answer will have no id, or an empty one: slixmpp takes both for the same
    answer = iq.send(timeout=STEP_SECONDS)
    for name, value in wire.items():
        iq.xml.attrib.pop(name, None)
        if value is not None:
            iq.xml.attrib[name] = value
    try:
        return iq_seen(await answer)
    except IqError as e:
        return {**iq_seen(e.iq), "condition": e.condition, "error_type": e.etype, "text": e.text}


async def step_raw(x, o, s):
    """Bytes as they are, nothing awaited."""
    x.send_raw(s["xml"])
    return {}


async def step_wait_end(x, o, s):
    """Waits until the other side ends it."""
    return {"how": await x.ended, "stream_error": x.stream_error}


async def run(x, o):
    for s in o["steps"]:
        s = {"do": s} if isinstance(s, str) else s
        line = {"step": s.get("as", s["do"]), "ok": True}
        begun = time.monotonic()
        try:
            line |= await asyncio.wait_for(STEPS["step_" + s["do"]](x, o, s), STEP_SECONDS)
        except IqError as e:
            line |= {"ok": False, "error": "IqError", "condition": e.condition, "error_type": e.etype, "text": e.text}
        except IqTimeout:
            line |= {"ok": False, "error": "IqTimeout"}
        except (Failed, asyncio.TimeoutError) as e:
            line |= {"ok": False, "error": "%s: %s" % (type(e).__name__, e)}
        line["seconds"] = time.monotonic() - begun
        if not line["ok"]:
            mech = x.plugin["feature_mechanisms"].mech
            line |= {"stream_error": x.stream_error, "attempted": mech and mech.name, "tls": x.tls()}
        print(json.dumps(line), flush=True)
        if not line["ok"] and s["do"] == "login":
            break


class Complaints(logging.Handler):
    """What slixmpp calls an error."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.all = []

    def emit(self, record):
        self.all.append(record.getMessage())


async def main(o):
    complaints = Complaints()
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger().addHandler(complaints)
    x = Client(o)
    await run(x, o)
    x.cancel_connection_attempt()
    if x.transport:
        await x.disconnect(wait=5)
    streams = [
        {"sent": b"".join(sent).decode(), "received": b"".join(received).decode("utf-8", "replace")}
        for sent, received in x.streams
    ]
    both = {way: "".join(stream[way] for stream in streams) for way in ("sent", "received")}
    rest = {"streams": streams, "messages": x.messages, "complaints": complaints.all}
    print(json.dumps({"step": "end", "ok": True} | both | rest), flush=True)


STEPS = vars(client_talk) | vars(client_sm) | vars(client_answers) | globals()
asyncio.run(main(json.loads(sys.argv[1])))
