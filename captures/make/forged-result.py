"""Mallory answers what was asked of romeo, then the true answer comes; a roster push of mallory's comes to nothing too."""

from wire import JULIET, Stage, close

VERSION = "jabber:iq:version"

with Stage("forged-result.pcapng", "--rules", "enforce") as stage:
    client, server = stage.login()
    client.send(f"<iq type='get' id='version-1' to='romeo@xmpp.test/orchard'><query xmlns='{VERSION}'/></iq>")
    server.expect("</iq>")
    server.send(
        f"<iq type='result' id='version-1' from='mallory@xmpp.test/cell' to='{JULIET}'>"
        f"<query xmlns='{VERSION}'><name>nothing to see</name><version>6.6.6</version></query></iq>"
    )
    server.send(
        f"<iq type='result' id='version-1' from='romeo@xmpp.test/orchard' to='{JULIET}'>"
        f"<query xmlns='{VERSION}'><name>Orchard</name><version>1.0</version></query></iq>"
    )
    answer = client.expect("</iq>")
    if "mallory" in answer:
        raise SystemExit("the forged answer went through")
    server.send(
        f"<iq type='set' id='push-1' from='mallory@xmpp.test/cell' to='{JULIET}'>"
        "<query xmlns='jabber:iq:roster'><item jid='mallory@xmpp.test' name='Romeo' subscription='both'/></query></iq>"
    )
    server.expect("push-1")
    server.expect("</iq>")
    close(client, server)
