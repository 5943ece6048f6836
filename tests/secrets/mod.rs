//! The rows of the redaction list (protocol.md C5): items with a secret planted in each.
#![allow(unreachable_pub, reason = "several tests use this")]

/// Planted in every row; never to be seen in the file, nor in pieces.
pub const SECRET: &str = "hunter2-Zq9";

/// What must be left, and the item.
pub const ROWS: &[(&str, &str)] = &[
    // SASL (RFC 6120 §6.4)
    ("<auth", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>SECRET</auth>"),
    ("mechanism", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>SECRET</auth>"),
    ("<response", "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>SECRET</response>"),
    ("<challenge", "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>SECRET</challenge>"),
    ("<success", "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>SECRET</success>"),
    // SASL2 (XEP-0388), SCRAM upgrade (XEP-0480), FAST (XEP-0484)
    (
        "initial-response",
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>SECRET</initial-response></authenticate>",
    ),
    (
        "user-agent",
        "<authenticate xmlns='urn:xmpp:sasl:2'><user-agent id='SECRET'><software>X</software></user-agent></authenticate>",
    ),
    (
        "software",
        "<authenticate xmlns='urn:xmpp:sasl:2'><user-agent id='SECRET'><software>X</software></user-agent></authenticate>",
    ),
    ("<response", "<response xmlns='urn:xmpp:sasl:2'>SECRET</response>"),
    ("<challenge", "<challenge xmlns='urn:xmpp:sasl:2'>SECRET</challenge>"),
    ("additional-data", "<success xmlns='urn:xmpp:sasl:2'><additional-data>SECRET</additional-data></success>"),
    ("additional-data", "<continue xmlns='urn:xmpp:sasl:2'><additional-data>SECRET</additional-data></continue>"),
    ("hash", "<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>SECRET</hash></task-data>"),
    (
        "iterations",
        "<task-data xmlns='urn:xmpp:sasl:2'><salt xmlns='urn:xmpp:scram-upgrade:0' iterations='4096'>SECRET</salt></task-data>",
    ),
    ("<next", "<next xmlns='urn:xmpp:sasl:2' task='X'><a xmlns='b'><c>SECRET</c></a></next>"),
    (
        "expiry",
        "<success xmlns='urn:xmpp:sasl:2'><token xmlns='urn:xmpp:fast:0' expiry='2030-01-01T00:00:00Z' token='SECRET'/></success>",
    ),
    // Stream management (XEP-0198)
    ("<enabled", "<enabled xmlns='urn:xmpp:sm:3' id='SECRET' resume='true'/>"),
    ("<enabled", "<enabled xmlns='urn:xmpp:sm:2' id='SECRET' resume='true'/>"),
    ("<resume", "<resume xmlns='urn:xmpp:sm:3' previd='SECRET' h='3'/>"),
    ("<resumed", "<resumed xmlns='urn:xmpp:sm:3' previd='SECRET' h='3'/>"),
    (
        "<resume",
        "<authenticate xmlns='urn:xmpp:sasl:2'><resume xmlns='urn:xmpp:sm:3' previd='SECRET' h='3'/></authenticate>",
    ),
    // Non-SASL authentication (XEP-0078), registration (XEP-0077)
    (
        "<username>bill</username>",
        "<iq type='set' id='1'><query xmlns='jabber:iq:auth'><username>bill</username><password>SECRET</password></query></iq>",
    ),
    ("<digest", "<iq type='set' id='1'><query xmlns='jabber:iq:auth'><digest>SECRET</digest></query></iq>"),
    ("<password", "<iq type='set' id='1'><query xmlns='jabber:iq:register'><password>SECRET</password></query></iq>"),
    ("<key", "<iq type='result' id='1'><query xmlns='jabber:iq:register'><key>SECRET</key></query></iq>"),
    // Data forms (XEP-0004)
    (
        "<value",
        "<iq type='set' id='1'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'><field var='password'><value>SECRET</value></field></x></query></iq>",
    ),
    (
        "label",
        "<iq type='result' id='1'><command xmlns='http://jabber.org/protocol/commands'><x xmlns='jabber:x:data' type='form'><field var='z' type='text-private' label='L'><value>SECRET</value></field></x></command></iq>",
    ),
    (
        "<reported",
        "<iq type='result' id='1'><q xmlns='q'><x xmlns='jabber:x:data' type='result'><reported><field var='z' type='text-private'/></reported><item><field var='z'><value>SECRET</value></field></item></x></q></iq>",
    ),
    (
        "muc#roomconfig_roomsecret",
        "<iq type='set' id='1'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_roomsecret'><value>SECRET</value></field></x></query></iq>",
    ),
    // Components (XEP-0114), dialback (XEP-0220)
    ("handshake", "<handshake xmlns='jabber:component:accept'>SECRET</handshake>"),
    ("result", "<db:result xmlns:db='jabber:server:dialback' to='a' from='b'>SECRET</db:result>"),
    ("verify", "<db:verify xmlns:db='jabber:server:dialback' to='a' from='b' id='c'>SECRET</db:verify>"),
    // Rooms (XEP-0045, XEP-0249), bookmarks (XEP-0048, XEP-0402)
    (
        "muc",
        "<presence to='room@muc/me'><x xmlns='http://jabber.org/protocol/muc'><password>SECRET</password></x></presence>",
    ),
    (
        "invite",
        "<message to='r@muc'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='a@b'/><password>SECRET</password></x></message>",
    ),
    (
        "jabber:x:conference",
        "<message to='a@b'><x xmlns='jabber:x:conference' jid='r@muc' password='SECRET'/></message>",
    ),
    (
        "storage:bookmarks",
        "<iq type='set' id='1'><query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><conference jid='r@muc'><nick>N</nick><password>SECRET</password></conference></storage></query></iq>",
    ),
    (
        "<nick>N</nick>",
        "<iq type='set' id='1'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:xmpp:bookmarks:1'><item id='r@muc'><conference xmlns='urn:xmpp:bookmarks:1' autojoin='1'><nick>N</nick><password>SECRET</password></conference></item></publish></pubsub></iq>",
    ),
    (
        "conference",
        "<iq type='result' id='1'><storage xmlns='storage:bookmarks'><conference jid='r@muc' password='SECRET'/></storage></iq>",
    ),
    // Services (XEP-0215, XEP-0363, XEP-0357, XEP-0124)
    (
        "turn",
        "<iq type='result' id='1'><services xmlns='urn:xmpp:extdisco:2'><service type='turn' host='h' username='u' password='SECRET'/></services></iq>",
    ),
    (
        "<header",
        "<iq type='result' id='1'><slot xmlns='urn:xmpp:http:upload:0'><put url='https://x/'><header name='Authorization'>Basic SECRET</header></put></slot></iq>",
    ),
    (
        "<header",
        "<iq type='result' id='1'><slot xmlns='urn:xmpp:http:upload:0'><put url='https://x/'><header name='cookie'>k=SECRET</header></put></slot></iq>",
    ),
    (
        "publish-options",
        "<iq type='set' id='1'><enable xmlns='urn:xmpp:push:0' jid='p@q' node='n'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#publish-options</value></field><field var='secret'><value>SECRET</value></field></x></enable></iq>",
    ),
    ("<body", "<body xmlns='http://jabber.org/protocol/httpbind' sid='SECRET'/>"),
    // The same where other protocols carry it: SASL2 with Bind 2, archives, ad-hoc commands, a room's invitation.
    (
        "<bound",
        "<success xmlns='urn:xmpp:sasl:2'><bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' id='SECRET' resume='true'/></bound></success>",
    ),
    ("<resumed", "<success xmlns='urn:xmpp:sasl:2'><resumed xmlns='urn:xmpp:sm:3' previd='SECRET' h='1'/></success>"),
    (
        "<stanza-id",
        "<message from='r@muc'><result xmlns='urn:xmpp:mam:2' id='1'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><x xmlns='jabber:x:conference' jid='r@muc' password='SECRET'/><stanza-id xmlns='urn:xmpp:sid:0' id='2'/></message></forwarded></result></message>",
    ),
    (
        "accountjid",
        "<iq type='set' id='1'><command xmlns='http://jabber.org/protocol/commands' node='http://jabber.org/protocol/admin#add-user'><x xmlns='jabber:x:data' type='submit'><field var='accountjid'><value>a@b</value></field><field var='password-verify'><value>SECRET</value></field></x></command></iq>",
    ),
    (
        "#user",
        "<message from='r@muc'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'><reason>r</reason></invite><password>SECRET</password></x></message>",
    ),
    (
        "<items",
        "<message from='a@b'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='storage:bookmarks'><item><storage xmlns='storage:bookmarks'><conference jid='r@muc'><password>SECRET</password></conference></storage></item></items></event></message>",
    ),
];
