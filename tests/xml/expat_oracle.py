"""Expat as an oracle: reads documents, says what it sees in them.

Request: 4 bytes (big end first) length, document; a length of 2^32-1 ends the session.
Answer: 4 bytes length, then `A` and the dump of the tree, or `R` and why the document is refused.
Namespaces are on, and what RFC 6120 section 11.1 forbids is refused in the handlers.
"""
import pyexpat
import struct
import sys


class Restricted(Exception):
    pass


def dump(document):
    out = []
    depth = 0

    def name(joined):
        ns, _, local = joined.rpartition(" ")
        return ns + "\2" + local

    def start(element, attributes):
        nonlocal depth
        depth += 1
        out.append("\1" + name(element))
        pairs = [name(attributes[i]) + "\2" + attributes[i + 1] for i in range(0, len(attributes), 2)]
        out.extend("\3" + pair for pair in sorted(pairs))

    def end(_element):
        nonlocal depth
        depth -= 1
        out.append("\5")

    def text(data):
        if depth > 1:
            out.append(data if out and out[-1][0] not in "\1\3\5" else "\4" + data)

    def forbidden(*_arguments):
        raise Restricted("restricted")

    parser = pyexpat.ParserCreate(None, " ")
    parser.ordered_attributes = True
    parser.buffer_text = False
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.CommentHandler = forbidden
    parser.ProcessingInstructionHandler = forbidden
    parser.StartDoctypeDeclHandler = forbidden
    parser.EntityDeclHandler = forbidden
    parser.SkippedEntityHandler = forbidden
    try:
        parser.Parse(document, True)
    except (pyexpat.ExpatError, Restricted, LookupError, ValueError) as error:
        return "R" + str(error)
    return "A" + "".join(out)


def main():
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    while True:
        head = stdin.read(4)
        if len(head) < 4:
            return
        (length,) = struct.unpack(">I", head)
        if length == 0xFFFFFFFF:
            return
        answer = dump(stdin.read(length)).encode("utf-8", "replace")
        stdout.write(struct.pack(">I", len(answer)) + answer)
        stdout.flush()


main()
