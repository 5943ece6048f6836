"""Service discovery, a nickname for the vCard, a block list that the server does not have."""

from wire import DOMAIN, JULIET, Stage, close, error

DISCO = "http://jabber.org/protocol/disco#info"

with Stage("disco-vcard-blocklist.pcapng") as stage:
    client, server = stage.login()
    client.send(f"<iq type='get' id='disco-1' to='{DOMAIN}'><query xmlns='{DISCO}'/></iq>")
    server.expect("</iq>")
    server.send(
        f"<iq type='result' id='disco-1' from='{DOMAIN}' to='{JULIET}'><query xmlns='{DISCO}'>"
        f"<identity category='server' type='im' name='a sample server'/><feature var='{DISCO}'/>"
        "<feature var='vcard-temp'/><feature var='urn:xmpp:ping'/></query></iq>"
    )
    client.expect("</iq>")
    client.send("<iq type='set' id='vcard-1'><vCard xmlns='vcard-temp'><NICKNAME>Jule</NICKNAME></vCard></iq>")
    server.expect("</iq>")
    server.send(f"<iq type='result' id='vcard-1' to='{JULIET}'/>")
    client.expect("vcard-1")
    client.send("<iq type='get' id='block-1'><blocklist xmlns='urn:xmpp:blocking'/></iq>")
    server.expect("</iq>")
    server.send(
        f"<iq type='error' id='block-1' to='{JULIET}'><blocklist xmlns='urn:xmpp:blocking'/>"
        + error("cancel", "feature-not-implemented", " code='501'")
        + "</iq>"
    )
    client.expect("</iq>")
    close(client, server)
