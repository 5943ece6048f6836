#!/usr/bin/env python3
"""Makes fuzz/seeds/ from tests/playbooks/, scripts/, captures/ and iqtap.example.toml.

Run it from anywhere; it writes only below fuzz/seeds/. The same sources make the same seeds. How an input is read stands in
tests/fuzz/<target>.rs.
"""

import re
import shutil
import struct
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SEEDS = ROOT / "fuzz" / "seeds"
BOOKS = sorted((ROOT / "tests" / "playbooks").rglob("*.play"))
SCRIPTS = sorted((ROOT / "scripts").glob("*.rhai"))
CAPTURES = sorted((ROOT / "captures").glob("*.pcapng"))
NAMESPACES = "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
# So many bytes of seeds for each folder of books, and for each target of its own.
PER_SHELF = 5_000


def write(target, name, data):
    """One seed; the same bytes once."""
    folder = SEEDS / target
    folder.mkdir(parents=True, exist_ok=True)
    if data and not any(other.read_bytes() == data for other in folder.iterdir()):
        (folder / name).write_bytes(data)


def lines_of(text):
    """The lines of a book, continuations joined."""
    joined = []
    for line in text.splitlines():
        if line[:1].isspace() and joined:
            joined[-1] += " " + line.strip()
        else:
            joined.append(line)
    return joined


def sent(text):
    """What a peer sends: names that are only known later are anything."""
    text = text.replace("$jid", "juliet@example.org/balcony").replace("$$", "$")
    text = re.sub(r"\\x([0-9a-fA-F]{2})", lambda hit: chr(int(hit[1], 16)), text)
    text = re.sub(r"\\\{\d+\*([^}]*)\}", lambda hit: hit[1].replace("\\#", "1") * 8, text)
    for escape, plain in [("\\r", "\r"), ("\\t", "\t"), ("\\s", " ")]:
        text = text.replace(escape, plain)
    if "<stream:stream" in text and "xmlns" not in text:
        text = text.replace("<stream:stream", "<stream:stream " + NAMESPACES, 1)
    return text


def operation(line):
    """A line of a book as one of tests/fuzz/session.rs, if it is one."""
    word, _, rest = line.partition(" ")
    side = word[:1]
    if word in ("C:", "S:", "C-raw:", "S-raw:"):
        text = sent(rest.strip())
        return (side if "\\n" not in text else side.lower()) + text.replace("\\n", "")
    if word == "inject":
        return rest[:1] + sent(rest[2:].strip())
    if word == "open":
        until = re.search(r"until=(\w+)", rest)
        if until:
            return "@r" if until[1] == "restart" else None
        return "@m" if re.search(r"\bsm\b", rest) else "@b"
    if word == "session":
        return "#" + str(int(rest) - 1)
    if word in ("drop", "eof"):
        return "!" + rest[:1]
    if word == "wait":
        amount = re.match(r"([\d.]+)\s*(ms|s|m|h)", rest)
        scale = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
        return f"+{min(int(float(amount[1]) * scale[amount[2]]), 9999)}" if amount else None
    plain = {"stop": "?", "store-holds": "~h", "store-fails": "~f", "store-goes-on": "~g"}
    if word == "policy-swap":
        return "%1" if "enforce" in rest else "%3"
    return "-" if word in ("tls-fails", "dial-fails") else plain.get(word)


def world(text):
    """Which world of tests/fuzz/worlds.rs a book's policy is most like."""
    script, enforce = "script <<" in text, '"enforce"' in text
    if "client_tls" in text or "server_tls" in text:
        return 7 if "offer" in text or "strip" in text else 6
    if "answer" in text:
        return 9 if script or "fallback" in text else 2
    if "open_iqs" in text or "limits" in text:
        return 8
    if '"normal"' in text:
        return 5
    return 4 if script and enforce else 3 if script else 1 if enforce else 0


def sessions():
    for name, text in LISTS.items():
        write("session", f"list-{name}", text.encode())
    room = {}
    for book in BOOKS:
        text = book.read_text()
        body = re.sub(r"script <<\n.*?\n>>", "", text, flags=re.S)
        ops = [made for made in map(operation, lines_of(body)) if made]
        data = "\n".join([str(world(text))] + ops).encode()
        shelf = book.parent.name
        room[shelf] = room.get(shelf, PER_SHELF) - len(data)
        if len(ops) > 1 and len(data) < 1_500 and room[shelf] > 0:
            write("session", f"{shelf}-{book.stem}", data)


# What the script of tests/fuzz/worlds.rs is for, and what stands in no book.
LISTS = {
    "script-sends": "3\n@m\nC<message id='up-down-after-poll' to='a@b'/>\n+2000\nS<message id='ask'/>\n+4000\nC<a xmlns='urn:xmpp:sm:3' h='1'/>",
    "script-holds": "4\n@m\nC<message id='hold'/><message id='x'/><r xmlns='urn:xmpp:sm:3'/>\n+200\n%3\nS<presence/>\n+400",
    "script-edits": "3\n@b\nC<message id='edit'><body>x\n</body></message>\nS<message id='edit'/>\n%5\nC<message id='reply-drop'/>",
    "held-and-resumed": "3\n@m\nC<message id='hold-up'/><message id='y'/>\n!C\n#1\n@r\nC<resume xmlns='urn:xmpp:sm:3' h='0' previd='sm-1'/>\n"
    "S<resumed xmlns='urn:xmpp:sm:3' h='0' previd='sm-1'/>\nC<message id='hold-up'/><message id='y'/>\n+900",
    "two-resume-one": "3\n@m\nS<message id='down'/>\n#1\n@r\nC<resume xmlns='urn:xmpp:sm:3' h='1' previd='sm-1'/>\n#2\n@r\n"
    "C<resume xmlns='urn:xmpp:sm:3' h='2' previd='sm-1'/>\nS<resumed xmlns='urn:xmpp:sm:3' h='0' previd='sm-1'/>\n#1\n"
    "S<resumed xmlns='urn:xmpp:sm:3' h='0' previd='sm-1'/>",
    "store-holds": "2\n@b\n~h\nC<iq type='set' id='1'><vCard xmlns='vcard-temp'><FN>J</FN></vCard></iq>"
    "<iq type='get' id='2'><vCard xmlns='vcard-temp'/></iq>\n!C\n~g\n#1\n@b\n~f\nC<iq type='get' id='3'><vCard xmlns='vcard-temp'/></iq>",
    "blocks": "2\n@b\nC<iq type='get' id='0'><blocklist xmlns='urn:xmpp:blocking'/></iq>\n#1\n@b\nC<presence/><iq type='set' id='1'>"
    "<block xmlns='urn:xmpp:blocking'><item jid='a@b'/></block></iq>\nS<message from='a@b/c'/>\nC<presence to='a@b'/>",
    "tls-fails": "6\n-\n@b\n#1\n@m\n/1\nC<iq type='get' id='1'><a xmlns='u:u'/></iq>\n+9999\n+9999\n!S",
    "direct-tls": "11\n@m\nC<message id='fail'/>\nS<iq type='set' id='reject'><a xmlns='u:u'/></iq>\n!C",
    "sm-stripped": "10\n@m\nC<message id='up'/><iq type='get' id='slow'><a xmlns='u:u'/></iq>\nS<iq type='result' id='slow'/>\n+2000",
    "requests-time-out": "8\n@m\n/3\nC<iq type='get' id='1'><a xmlns='u:u'/></iq><iq type='get' id='1'><a xmlns='u:u'/></iq>\n"
    "S<iq type='get' id='1'><a xmlns='u:u'/></iq>\n+9999\nS<iq type='result' id='1'/><iq type='result' id='1'/>\n+9999\n?",
}


def stanzas(shelf):
    """What peers send in the books of a folder."""
    for book in BOOKS:
        if book.parent.name == shelf:
            for line in lines_of(book.read_text()):
                if re.match(r"[CS](-raw)?: <", line):
                    yield book.stem, sent(line.partition(" ")[2]).replace("\\n", "\n")


def documents():
    for shelf in sorted({book.parent.name for book in BOOKS}):
        room, group = PER_SHELF // 3, []
        for name, text in stanzas(shelf):
            if room < len(text) or len(text) > 1_000 or "<stream:stream" in text:
                continue
            room -= len(text)
            group.append(text)
            if len(group) == 4:
                # Cut after 7 and 60 bytes, under the usual header, with an end.
                write("scanner", f"{shelf}-{name}", b"\x2e\x07\x3c" + "".join(group).encode())
                group = []
    odd = [
        "<a b='1' c=\"2&amp;&#x41;&#10;\t\r\n\"><![CDATA[<&]]]]>&gt;\r\n<x:d xmlns:x='u:u' x:e=''/></a>",
        "<?xml version='1.0' encoding=\"UTF-8\" standalone='yes'?>\n<s:stream xmlns:s='http://etherx.jabber.org/streams' "
        "xmlns='jabber:client' xmlns:p='u:u' to='a'> <message><p:x p:y='&lt;'/></message>\n</s:stream>",
        "<iq xml:lang='en' xmlns:a='u:1'><b xmlns=''><c xmlns='u:2'/></b><\u00e9t\u00e9 a:\u4e2d='\U0001f600'/></iq>",
        "<a xmlns:p='u' p:b='1' b='2' xmlns:q='u' q:b='3'/>",
        "<a><!-- --></a>",
        "<a><?pi?></a>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        "<a>&#0;</a><a>\ufffe</a>",
    ]
    for number, text in enumerate(odd):
        how = 0x02 if "stream xmlns:s" in text or "DOCTYPE" in text else 0x0E
        write("scanner", f"odd-{number}", bytes([how]) + text.encode())


def blocks(data):
    """The blocks of a little-endian pcapng file, with their types."""
    at = 0
    while at + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        yield kind, data[at : at + length]
        at += length


def slices():
    """Parts of each capture, 2,500 bytes each: the beginning, and something from the middle behind the same file header."""
    for path in CAPTURES:
        head, packets = b"", []
        for kind, block in blocks(path.read_bytes()):
            if kind in (0x0A0D0D0A, 1) and not packets:
                head += block
            else:
                packets.append(block)
        for name, start in (("begin", 0), ("middle", len(packets) // 2)):
            part = head
            for block in packets[start:]:
                if len(part) + len(block) > 2_500:
                    break
                part += block
            yield f"{path.stem}-{name}", part


def pcap(part):
    """The packets of a slice as a pcap file, Ethernet or raw as the first interface says."""
    link, packets = 1, []
    for kind, block in blocks(part):
        if kind == 1:
            link = struct.unpack_from("<H", block, 8)[0]
        elif kind == 6:
            size = struct.unpack_from("<I", block, 20)[0]
            packets.append(block[28 : 28 + size])
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    for second, packet in enumerate(packets):
        out += struct.pack("<IIII", 1_700_000_000 + second, 0, len(packet), len(packet)) + packet
    return out


FILTERS = [
    'stanza.kind == "iq"',
    'stanza.type == "error" && stanza.ns != "urn:xmpp:ping"',
    'stanza.text("body") != () && stanza.count("*") > 1',
    "jid(stanza.to).domain == \"example.org\"",
    'stanza.find("{u:u}x") == () || stanza.size > 100',
    'stanza.id.matches(regex("^[a-z]+"))',
]


def captures():
    for number, (name, part) in enumerate(slices()):
        write("capture", name, part)
        if number % 4 == 0:
            write("capture", f"{name}-pcap", pcap(part))
            write("check", name, b"\n" + part)
        elif number % 4 == 1:
            write("check", name, FILTERS[number % len(FILTERS)].encode() + b"\n" + part)
    for number, shelf in enumerate(("iq", "rules", "attacks", "answers", "sm", "relay")):
        text = "".join(text for _, text in stanzas(shelf) if "stream:" not in text and len(text) < 600)[:2_500]
        text = text[: text.rfind(">") + 1]
        write("check", f"stanzas-{shelf}", FILTERS[number].encode() + b"\n" + text.encode())
    for number, text in enumerate(FILTERS):
        write("check", f"filter-{number}", text.encode() + b"\n<message to='a' id='m'><body>x</body></message><iq/>")


def configs():
    part, number = [], 0
    for line in (ROOT / "iqtap.example.toml").read_text().splitlines() + ["# ---- end"]:
        if line.startswith("# ----"):
            write("config", f"example-{number}", "\n".join(part).encode())
            part, number = [], number + 1
        elif line and not re.match(r"# [^=]*$|#  ", line):
            part.append(line.removeprefix("# ").split("   #")[0].rstrip())
    for book in BOOKS:
        policies = [line.removeprefix("policy ") for line in lines_of(book.read_text()) if line.startswith("policy ")]
        data = "\n".join(re.sub(r",\s*(?=[\w-]+ = )", "\n", policy) for policy in policies).encode()
        if data and not data.startswith(b"answer = { \"urn:xmpp:ping\"") and len(data) < 400:
            room = sum(other.stat().st_size for other in (SEEDS / "config").iterdir())
            if room < 16_000:
                write("config", f"{book.parent.name}-{book.stem}", data)


def scripts():
    for path in SCRIPTS:
        text = re.sub(r"(?m)^\s*//.*\n", "", path.read_text())
        if not path.name.endswith(".d.rhai") and "list" not in text:
            write("script", path.stem, text.encode())
    room = 24_000
    for book in BOOKS:
        inline = re.search(r"script <<\n(.*?\n)>>", book.read_text(), flags=re.S)
        if inline and "list" not in inline[1] and len(inline[1]) < min(room, 1_500):
            shown = [t for n, t in stanzas(book.parent.name) if n == book.stem and "stream:" not in t][:3]
            data = (inline[1] + "\n----\n" + "".join(shown)[:600]).encode()
            room -= len(data)
            write("script", f"{book.parent.name}-{book.stem}", data)
    for number, text in enumerate(FILTERS + ['stanza.ns == "vcard-temp"=not-allowed', 'true=stanza.set_text("body", "x")']):
        write("script", f"line-{number}", text.encode())


def main():
    shutil.rmtree(SEEDS, ignore_errors=True)
    for make in (sessions, documents, captures, configs, scripts):
        make()
    for target in sorted(SEEDS.iterdir()):
        files = [path for path in target.iterdir()]
        print(f"{target.name:8} {len(files):4} seeds, {sum(path.stat().st_size for path in files):7} bytes")


main()
