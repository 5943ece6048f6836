"""A real server: SCRAM-SHA-1, binding, roster, presence, discovery, a vCard, a ping, through iqtap to a Prosody of our own.

Needs `prosody` (Debian's will do). It listens on 127.0.0.1 only and keeps all it writes in a folder that goes afterwards.
"""

import base64
import hashlib
import hmac
import pathlib
import socket
import subprocess
import tempfile
import time

from wire import BIND, DOMAIN, SASL, Stage, header

USER, PASSWORD = "juliet", "r0m30myr0m30"

CONFIG = """
run_as_root = true
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
plugin_paths = {{ }}
certificates = "{folder}"
admin_socket = "{folder}/prosody.sock"
log = {{ error = "{folder}/prosody.log" }}
interfaces = {{ "127.0.0.1" }}
local_interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ }}
legacy_ssl_ports = {{ }}
s2s_ports = {{ }}
s2s_direct_tls_ports = {{ }}
http_ports = {{ }}
https_ports = {{ }}
c2s_require_encryption = false
authentication = "internal_plain"
storage = "internal"
modules_disabled = {{ "s2s"; "s2s_auth_certs"; "tls"; }}
modules_enabled = {{ "roster"; "saslauth"; "disco"; "posix"; "ping"; "vcard_legacy"; "pep"; "smacks"; "blocklist"; }}
VirtualHost "{domain}"
"""


def prosody(folder):
    """Starts it; gives the process and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    accounts = folder / "data" / DOMAIN.replace(".", "%2e") / "accounts"
    accounts.mkdir(parents=True)
    (accounts / f"{USER}.dat").write_text(f'return {{ ["password"] = "{PASSWORD}"; }};\n')
    config = folder / "prosody.cfg.lua"
    config.write_text(CONFIG.format(folder=folder, port=port, domain=DOMAIN))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(["prosody", "--config", str(config), "-F"], cwd=folder, **quiet)
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return process, port
        except OSError:
            time.sleep(0.1)
    raise SystemExit("Prosody does not listen")


def scram(client):
    """Logs in by SCRAM-SHA-1 (RFC 5802)."""
    first = f"n={USER},r=a-nonce-for-a-sample"
    start = base64.b64encode(f"n,,{first}".encode()).decode()
    client.send(f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'>{start}</auth>")
    text = client.expect("</challenge>").rsplit(">", 2)[1].split("<")[0]
    challenge = base64.b64decode(text).decode()
    parts = dict(part.split("=", 1) for part in challenge.split(","))
    salted = hashlib.pbkdf2_hmac("sha1", PASSWORD.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
    key = hmac.digest(salted, b"Client Key", "sha1")
    without = f"c=biws,r={parts['r']}"
    message = ",".join([first, challenge, without]).encode()
    signature = hmac.digest(hashlib.sha1(key).digest(), message, "sha1")
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
    answer = base64.b64encode(f"{without},p={proof}".encode()).decode()
    client.send(f"<response xmlns='{SASL}'>{answer}</response>")
    client.expect("</success>")


def iq(client, number, kind, payload, to=""):
    """Asks the server; waits for its answer."""
    client.send(f"<iq type='{kind}' id='ask-{number}'{to}>{payload}</iq>")
    while f"ask-{number}" not in client.seen:
        client.seen += client.sock.recv(65536).decode()
    client.expect(f"ask-{number}")


with tempfile.TemporaryDirectory() as name:
    process, port = prosody(pathlib.Path(name))
    try:
        with Stage("prosody-login.pcapng", upstream=port) as stage:
            client = stage.client()
            client.send(header(f"to='{DOMAIN}'"))
            client.expect("</stream:features>")
            scram(client)
            client.send(header(f"to='{DOMAIN}'"))
            client.expect("</stream:features>")
            bind = f"<bind xmlns='{BIND}'><resource>balcony</resource></bind>"
            server = f" to='{DOMAIN}'"
            iq(client, 1, "set", bind)
            iq(client, 2, "get", "<query xmlns='jabber:iq:roster'/>")
            client.send("<presence/>")
            iq(client, 3, "get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", server)
            iq(client, 4, "get", "<vCard xmlns='vcard-temp'/>")
            iq(client, 5, "set", "<vCard xmlns='vcard-temp'><NICKNAME>Jule</NICKNAME></vCard>")
            iq(client, 6, "get", "<blocklist xmlns='urn:xmpp:blocking'/>")
            iq(client, 7, "get", "<ping xmlns='urn:xmpp:ping'/>", server)
            iq(client, 8, "get", "<query xmlns='urn:example:unknown'/>", server)
            client.send("</stream:stream>")
            client.expect("</stream:stream>")
            client.wait_for_end()
    finally:
        process.terminate()
        process.wait()
