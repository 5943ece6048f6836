"""A script (alias.rhai) readdresses a message, drops a typing notification and answers a question itself."""

from wire import JULIET, Stage, close

with Stage("rewritten-by-script.pcapng", "--script", "alias.rhai") as stage:
    client, server = stage.login()
    client.send("<message id='m-1' type='chat' to='montague@xmpp.test'><body>Wherefore art thou?</body></message>")
    sent = server.expect("</message>")
    if "romeo@xmpp.test" not in sent:
        raise SystemExit(f"the message was not readdressed: {sent}")
    client.send(
        "<message id='m-2' type='chat' to='montague@xmpp.test'>"
        "<composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
    )
    server.send(
        f"<iq type='get' id='version-1' from='nurse@xmpp.test/house' to='{JULIET}'><query xmlns='jabber:iq:version'/></iq>"
    )
    server.expect("version-1")
    server.expect("</iq>")
    client.send("<message id='m-3' type='chat' to='nurse@xmpp.test'><body>Three words, dear.</body></message>")
    server.expect("</message>")
    close(client, server)
