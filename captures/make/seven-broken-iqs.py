"""One IQ for each of the seven rules of RFC 6120 section 8.2.3, all enforced."""

from wire import JULIET, Stage, close

PING = "<ping xmlns='urn:xmpp:ping'/>"

with Stage("seven-broken-iqs.pcapng", "--rules", "enforce", "--iq-timeout", "400ms") as stage:
    client, server = stage.login()
    # 1: no id. 2: a type that does not exist. 5: two children. All three are answered with an error.
    client.send(f"<iq type='get'>{PING}</iq>")
    client.expect("</iq>")
    client.send(f"<iq type='subscribe' id='type-1'>{PING}</iq>")
    client.expect("</iq>")
    client.send(f"<iq type='get' id='two-1'>{PING}<query xmlns='jabber:iq:version'/></iq>")
    client.expect("</iq>")
    # 4: a result that nobody has asked for ends here.
    client.send("<iq type='result' id='nobody-asked'/>")
    # 6: a result with two children. 7: an error without an <error/>. Each answers a request of romeo's.
    for number, answer in [(1, f"type='result' id='ask-1'>{PING}{PING}</iq>"), (2, "type='error' id='ask-2'/>")]:
        server.send(f"<iq type='get' id='ask-{number}' from='romeo@xmpp.test/orchard' to='{JULIET}'>{PING}</iq>")
        client.expect("</iq>")
        client.send("<iq to='romeo@xmpp.test/orchard' " + answer)
        server.expect(f"ask-{number}")
        server.expect(">")
    # 3: a request that the server does not answer.
    client.send("<iq type='get' id='silence-1'><query xmlns='jabber:iq:roster'/></iq>")
    server.expect("silence-1")
    client.expect("remote-server-timeout")
    client.expect("</iq>")
    close(client, server)
