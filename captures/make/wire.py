"""A client, a server and iqtap between them, all in one thread: what is said when is written down, so that every run is the same.

The samples beside this are made with it. Only the standard library; $IQTAP names the binary (else target/debug/iqtap),
$IQTAP_CAPTURES the folder for the captures (else the one above this).
"""

import base64
import os
import pathlib
import socket
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
CAPTURES = pathlib.Path(os.environ.get("IQTAP_CAPTURES", HERE.parent))
IQTAP = os.environ.get("IQTAP", str(HERE.parent.parent / "target/debug/iqtap"))
DOMAIN = "xmpp.test"
JULIET = "juliet@xmpp.test/balcony"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
SM = "urn:xmpp:sm:3"
SECONDS = 10


class Peer:
    """One end of a connection to iqtap."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.seen = ""

    def send(self, xml):
        self.sock.sendall(xml.encode())

    def expect(self, text):
        """Waits until this has come; what came before it is done with."""
        while text not in self.seen:
            more = self.sock.recv(65536)
            if not more:
                raise SystemExit(f"the connection ended before {text!r}: {self.seen!r}")
            self.seen += more.decode()
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def gone(self):
        """Lost, without a word."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()

    def wait_for_end(self):
        while self.sock.recv(65536):
            pass
        self.sock.close()


class Stage:
    """iqtap with a place for a server behind it; `with Stage("name.pcapng", ...) as stage`."""

    def __init__(self, name, *arguments, upstream=None):
        self.name, self.arguments = name, arguments
        self.listener = None
        self.upstream = upstream
        if upstream is None:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.listener.settimeout(SECONDS)
            self.upstream = self.listener.getsockname()[1]

    def __enter__(self):
        command = [IQTAP, "run", "--listen", "127.0.0.1:0", "--upstream", f"127.0.0.1:{self.upstream}"]
        command += ["--client-tls", "off", "--server-tls", "off", "--no-reload"]
        command += [*self.arguments, "--record", str(CAPTURES / self.name)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        self.iqtap = subprocess.Popen(command, cwd=HERE, text=True, **quiet)
        greeting = self.iqtap.stderr.readline()
        if "listens on" not in greeting:
            raise SystemExit(f"iqtap does not listen: {greeting}")
        self.port = int(greeting.rsplit(":", 1)[1])
        return self

    def __exit__(self, kind, *_):
        self.iqtap.terminate()
        self.iqtap.communicate(timeout=SECONDS)
        if kind is None and self.iqtap.returncode != 0:
            raise SystemExit(f"iqtap ended with {self.iqtap.returncode}")

    def client(self):
        return Peer(socket.create_connection(("127.0.0.1", self.port)))

    def server(self):
        return Peer(self.listener.accept()[0])

    def connect(self, stream):
        """A client and its server, logged in; `stream` numbers the stream."""
        client = self.client()
        client.send(header(f"to='{DOMAIN}'"))
        server = self.server()
        server.expect("<stream:stream")
        server.expect(">")
        server.send(header(f"from='{DOMAIN}' id='stream-{stream}-1'"))
        server.send(f"<stream:features><mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism></mechanisms></stream:features>")
        client.expect("</stream:features>")
        proof = base64.b64encode(b"\0juliet\0r0m30myr0m30").decode()
        client.send(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{proof}</auth>")
        server.expect("</auth>")
        server.send(f"<success xmlns='{SASL}'/>")
        client.expect("<success")
        client.expect(">")
        client.send(header(f"to='{DOMAIN}'"))
        server.expect("<stream:stream")
        server.expect(">")
        server.send(header(f"from='{DOMAIN}' id='stream-{stream}-2'"))
        server.send(f"<stream:features><bind xmlns='{BIND}'/><sm xmlns='{SM}'/></stream:features>")
        client.expect("</stream:features>")
        return client, server

    def login(self):
        """The same, bound as juliet."""
        client, server = self.connect(1)
        client.send(f"<iq type='set' id='bind-1'><bind xmlns='{BIND}'><resource>balcony</resource></bind></iq>")
        server.expect("</iq>")
        server.send(f"<iq type='result' id='bind-1'><bind xmlns='{BIND}'><jid>{JULIET}</jid></bind></iq>")
        client.expect("</iq>")
        return client, server


def header(attributes):
    return (
        f"<?xml version='1.0'?><stream:stream {attributes} version='1.0' xml:lang='en' xmlns='jabber:client' "
        "xmlns:stream='http://etherx.jabber.org/streams'>"
    )


def close(client, server):
    """Both say goodbye."""
    client.send("</stream:stream>")
    server.expect("</stream:stream>")
    server.send("</stream:stream>")
    client.expect("</stream:stream>")
    client.wait_for_end()
    server.wait_for_end()


def error(kind, condition, legacy=""):
    return f"<error type='{kind}'{legacy}><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
