"""What a test client asks of its server and its account, with slixmpp's plugins: discovery and its hash, time, uptime,
private storage, blocking; and what it is told unasked: pushes, errors, presence.

`verification` is ours, from XEP-0115 §5, and knows neither slixmpp's nor iqtap's.
"""

import asyncio
import base64
import hashlib
import re
from xml.etree import ElementTree as ET

from slixmpp import JID
from slixmpp.xmlstream import ElementBase, register_stanza_plugin
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath
from client_talk import Failed

PLUGINS = ("xep_0012", "xep_0049", "xep_0115", "xep_0191", "xep_0202")
INFO = "{http://jabber.org/protocol/disco#info}"
CAPS = "{http://jabber.org/protocol/caps}c"
DATA = "{jabber:x:data}"
CLIENT, UPDATE = "{jabber:client}", "{vcard-temp:x:update}"
FEATURES = re.compile(rb"<stream:features\b(?:[^>]*/>|.*?</stream:features>)", re.DOTALL)


class Note(ElementBase):
    """What the tests keep in private storage."""

    name, namespace, plugin_attrib = "note", "urn:iqtap:test:note", "note"
    interfaces = sub_interfaces = {"text"}


class Answered:
    """Answers pushes of the list of those who are blocked, and keeps them; keeps all presence, and each error that no
    request waits for."""

    def prepare_for_answers(self, wanted):
        self.pushes, self.errors, self.presences = [], {}, []
        if not wanted:
            return
        for plugin in PLUGINS:
            self.register_plugin(plugin)
        self.plugin["xep_0049"].register(Note)
        self.add_event_handler("blocked", lambda iq: self.note_push("block", iq))
        self.add_event_handler("unblocked", lambda iq: self.note_push("unblock", iq))
        for kind in ("message", "presence"):
            self.register_handler(Callback("errors of a " + kind, MatchXPath(CLIENT + kind), self.note_error))
        self.register_handler(Callback("each presence", MatchXPath(CLIENT + "presence"), self.note_presence))

    def note_push(self, what, iq):
        self.pushes.append([what] + sorted(str(item["jid"]) for item in iq[what]))
        reply = iq.reply(clear=True)
        reply.send()
        self.poke()

    def note_error(self, stanza):
        if stanza["type"] == "error":
            error = stanza.xml.find(CLIENT + "error")
            seen = {"from": stanza["from"].full, "type": error.get("type")}
            seen["conditions"] = sorted(child.tag for child in error if not child.tag.endswith("}text"))
            self.errors.setdefault(stanza["id"], []).append(seen)
            self.poke()

    def note_presence(self, stanza):
        x = stanza.xml.find(UPDATE + "x")
        photo = None if x is None else x.findtext(UPDATE + "photo", "not ready")
        seen = {"from": stanza["from"].full, "type": stanza.xml.get("type", "available")}
        seen["status"] = stanza.xml.findtext(CLIENT + "status", "")
        self.presences.append(seen | {"photo": photo})
        self.poke()


def verification(query):
    """The verification string of a disco#info query (XEP-0115 §5.1), hashed with SHA-1."""
    lang = "{http://www.w3.org/XML/1998/namespace}lang"
    identities = ["/".join((i.get("category", ""), i.get("type", ""), i.get(lang, ""), i.get("name", "")))
                  for i in query.findall(INFO + "identity")]
    parts = sorted(identities, key=str.encode)
    parts += sorted((f.get("var") for f in query.findall(INFO + "feature")), key=str.encode)
    forms = []
    for form in query.findall(DATA + "x"):
        fields = {f.get("var"): [v.text or "" for v in f.findall(DATA + "value")] for f in form.findall(DATA + "field")}
        forms.append((fields.pop("FORM_TYPE")[0], fields))
    for form_type, fields in sorted(forms, key=lambda form: form[0].encode()):
        parts.append(form_type)
        for var in sorted(fields, key=str.encode):
            parts += [var] + sorted(fields[var], key=str.encode)
    whole = "".join(part + "<" for part in parts)
    return base64.b64encode(hashlib.sha1(whole.encode()).digest()).decode()


async def info(x, to, node):
    """A disco#info query, as it came."""
    answer = await x.plugin["xep_0030"].get_info(jid=to, node=node, cached=False, local=False)
    query = answer.xml.find(INFO + "query")
    features = sorted(f.get("var") for f in query.findall(INFO + "feature"))
    seen = {"features": features, "node": query.get("node"), "hash": verification(query)}
    seen["identities"] = [[i.get("category"), i.get("type"), i.get("name")] for i in query.findall(INFO + "identity")]
    return answer, seen


async def step_info(x, o, s):
    """What `to`, or else the server, says of itself."""
    return (await info(x, s.get("to", x.boundjid.domain), s.get("node")))[1]


async def step_caps(x, o, s):
    """What the features of the stream advertise (null: nothing); what is said of that node, and what it hashes to: as we
    reckon, as slixmpp does, and what slixmpp has come to believe by itself."""
    last = FEATURES.findall(b"".join(x.streams[-1][1]))[-1].replace(b"stream:features", b"features")
    c = ET.fromstring(last).find(CAPS)
    if c is None:
        return {"advertised": None}
    caps, domain = x.plugin["xep_0115"], x.boundjid.domain
    answer, seen = await info(x, domain, "%s#%s" % (c.get("node"), c.get("ver")))
    slixmpp = caps.generate_verstring(answer["disco_info"], c.get("hash"))
    # It asks by itself, and nobody tells when it has made up its mind.
    for _ in range(100):
        believed = await caps.get_verstring(JID(domain))
        if believed:
            break
        await asyncio.sleep(0.05)
    return {"advertised": c.get("ver"), "c": c.attrib, "slixmpp": slixmpp, "believed": believed} | seen


async def step_time(x, o, s):
    t = (await x.plugin["xep_0202"].get_entity_time(x.boundjid.domain)).xml.find("{urn:xmpp:time}time")
    return {child.tag.split("}")[1]: child.text for child in t}


async def step_last(x, o, s):
    """For how many seconds `to`, or else the server, has been there (the server) or away (anybody else)."""
    r = await x.plugin["xep_0012"].get_last_activity(JID(s.get("to", x.boundjid.domain)))
    return {"ago": r["last_activity"]["seconds"]}


async def step_private_set(x, o, s):
    note = Note()
    note["text"] = s["text"]
    await x.plugin["xep_0049"].store(note)
    return {}


async def step_private_get(x, o, s):
    r = await x.plugin["xep_0049"].retrieve("note")
    return {"text": r["private"]["note"]["text"]}


async def step_blocked(x, o, s):
    """The list; from now on the client is told of changes."""
    return {"jids": sorted(jid.full for jid in await x.plugin["xep_0191"].get_blocked_jids())}


async def step_block(x, o, s):
    await x.plugin["xep_0191"].block({JID(jid) for jid in s["jids"]})
    return {}


async def step_unblock(x, o, s):
    await x.plugin["xep_0191"].unblock({JID(jid) for jid in s["jids"]})
    return {}


async def step_unblock_all(x, o, s):
    """What slixmpp has no function for."""
    iq = x.make_iq_set()
    iq.enable("unblock")
    await iq.send()
    return {}


async def step_pushes(x, o, s):
    """Waits for so many pushes in all, and tells them."""
    await x.until(lambda: len(x.pushes) >= s["count"])
    return {"pushes": x.pushes}


async def step_refused(x, o, s):
    """Waits for the error that a message or presence of this id has led to."""
    await x.until(lambda: s["id"] in x.errors)
    if len(x.errors[s["id"]]) > 1:
        raise Failed("more than one error: %s" % x.errors[s["id"]])
    return x.errors[s["id"]][0]


async def step_sees(x, o, s):
    """Waits until this text has come, whatever it stands in."""
    await x.until(lambda: s["text"].encode() in b"".join(x.streams[-1][1]))
    return {}


async def step_heard(x, o, s):
    """Waits for presence like this, `count` times since the session began."""
    def like():
        return [seen for seen in x.presences if all(seen[key] == value for key, value in s["like"].items())]
    await x.until(lambda: len(like()) >= s.get("count", 1))
    return {}


async def step_presences(x, o, s):
    """All presence so far."""
    return {"presences": x.presences}
