"""A connection is lost and its session resumed (XEP-0198): what was on its way comes again, once."""

from wire import DOMAIN, JULIET, SM, Stage, close


def message(number, body):
    return f"<message id='m-{number}' type='chat' from='romeo@xmpp.test/orchard' to='{JULIET}'><body>{body}</body></message>"


with Stage("sm-resume.pcapng") as stage:
    client, server = stage.login()
    client.send(f"<enable xmlns='{SM}' resume='true'/>")
    server.expect("<enable")
    server.expect(">")
    server.send(f"<enabled xmlns='{SM}' id='secret-sm-id-1' resume='true' max='300'/>")
    client.expect("<enabled")
    client.expect(">")
    client.send("<presence/>")
    server.expect("<presence/>")
    client.send(f"<r xmlns='{SM}'/>")
    server.expect("<r ")
    server.send(f"<a xmlns='{SM}' h='1'/>")
    client.expect("h='1'")
    server.send(message(1, "But soft!"))
    client.expect("</message>")
    # The second is on its way when the connection is lost: the client has counted one.
    server.send(message(2, "What light through yonder window breaks?"))
    client.expect("</message>")
    client.gone()
    try:
        server.wait_for_end()
    except OSError:
        pass
    client, server = stage.connect(2)
    client.send(f"<resume xmlns='{SM}' previd='secret-sm-id-1' h='1'/>")
    server.expect("<resume")
    server.expect(">")
    server.send(f"<resumed xmlns='{SM}' previd='secret-sm-id-1' h='1'/>")
    server.send(message(2, "What light through yonder window breaks?"))
    client.expect("<resumed")
    client.expect("</message>")
    client.send("<message id='m-3' type='chat' to='romeo@xmpp.test/orchard'><body>O Romeo!</body></message>")
    server.expect("</message>")
    client.send(f"<iq type='get' id='ping-1' to='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>")
    server.expect("</iq>")
    server.send(f"<iq type='result' id='ping-1' from='{DOMAIN}' to='{JULIET}'/>")
    client.expect("ping-1")
    close(client, server)
