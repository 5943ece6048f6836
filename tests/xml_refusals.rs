//! Everything the scanner refuses, row by row with its fault, and what looks odd but is legal. Each row is run whole, byte by
//! byte, and cut in two at every place.

mod xml;

use iqtap::xml::Fault::{self, Encoding, Format, Limit, Namespace, Nested, NotWellFormed, Prefix, Restricted};
use iqtap::xml::{Limits, parse_element};
use xml::{HEADER, any_cut, show};

const SMALL: Limits =
    Limits { stanza_bytes: 2000, elements: 8, depth: 4, attributes: 12, name_bytes: 40, value_bytes: 60 };

/// Inside the usual stream, between two good stanzas: the first must come out, nothing else.
const INSIDE: &[(&str, &[u8], Fault)] = &[
    // Characters.
    ("overlong UTF-8", b"<a>\xC0\xAF</a>", NotWellFormed),
    ("overlong NUL", b"<a>\xC0\x80</a>", NotWellFormed),
    ("overlong, three bytes", b"<a>\xE0\x80\xBC</a>", NotWellFormed),
    ("overlong, four bytes", b"<a>\xF0\x80\x80\xBC</a>", NotWellFormed),
    ("surrogate in UTF-8", b"<a>\xED\xA0\x80</a>", NotWellFormed),
    ("surrogate pair (CESU-8)", b"<a>\xED\xA0\xBD\xED\xB8\x80</a>", NotWellFormed),
    ("above U+10FFFF", b"<a>\xF4\x90\x80\x80</a>", NotWellFormed),
    ("lone continuation byte", b"<a>\x80</a>", NotWellFormed),
    ("truncated character swallows a tag", b"<a>\xE2\x82</a>", NotWellFormed),
    ("Latin-1", b"<a>caf\xE9</a>", NotWellFormed),
    ("byte FF", b"<a>\xFF</a>", NotWellFormed),
    ("bad UTF-8 in a name", b"<a\xC3\x28/>", NotWellFormed),
    ("bad UTF-8 in a value", b"<a b='\xC3\x28'/>", NotWellFormed),
    ("bad UTF-8 in a namespace name", b"<a xmlns='u\xC3\x28'/>", NotWellFormed),
    ("bad UTF-8 in an end tag", b"<a></a\xC3\x28>", NotWellFormed),
    ("bad UTF-8 in CDATA", b"<a><![CDATA[\xC3\x28]]></a>", NotWellFormed),
    ("NUL", b"<a>\0</a>", NotWellFormed),
    ("U+0001", b"<a>\x01</a>", NotWellFormed),
    ("backspace", b"<a>\x08</a>", NotWellFormed),
    ("vertical tab", b"<a>\x0B</a>", NotWellFormed),
    ("form feed", b"<a>\x0C</a>", NotWellFormed),
    ("escape", b"<a>\x1B[31m</a>", NotWellFormed),
    ("U+001F", b"<a>\x1F</a>", NotWellFormed),
    ("control character in a value", b"<a b='\x02'/>", NotWellFormed),
    ("control character in a name", b"<a\x02/>", NotWellFormed),
    ("control character in CDATA", b"<a><![CDATA[\x02]]></a>", NotWellFormed),
    ("form feed as white space in a tag", b"<a\x0Cb='c'/>", NotWellFormed),
    ("NEL as white space in a tag", b"<a\xC2\x85b='c'/>", NotWellFormed),
    ("U+FFFE", b"<a>\xEF\xBF\xBE</a>", NotWellFormed),
    ("U+FFFF", b"<a>\xEF\xBF\xBF</a>", NotWellFormed),
    ("U+FFFF in a value", b"<a b='\xEF\xBF\xBF'/>", NotWellFormed),
    // References.
    ("reference to NUL", b"<a>&#0;</a>", NotWellFormed),
    ("reference to U+0001", b"<a>&#x1;</a>", NotWellFormed),
    ("reference to U+001B", b"<a>&#27;</a>", NotWellFormed),
    ("reference to a surrogate", b"<a>&#xD800;</a>", NotWellFormed),
    ("reference to U+FFFE", b"<a>&#xFFFE;</a>", NotWellFormed),
    ("reference to U+FFFF", b"<a>&#65535;</a>", NotWellFormed),
    ("reference above U+10FFFF", b"<a>&#x110000;</a>", NotWellFormed),
    ("reference beyond 32 bits", b"<a>&#x100000041;</a>", NotWellFormed),
    ("reference without digits", b"<a>&#;</a>", NotWellFormed),
    ("hexadecimal reference without digits", b"<a>&#x;</a>", NotWellFormed),
    ("reference with a capital X", b"<a>&#X41;</a>", NotWellFormed),
    ("reference with a sign", b"<a>&#+65;</a>", NotWellFormed),
    ("reference with a space", b"<a>&#65 ;</a>", NotWellFormed),
    ("reference with letters", b"<a>&#6a;</a>", NotWellFormed),
    ("reference without semicolon", b"<a>&amp</a>", NotWellFormed),
    ("reference without semicolon, in a value", b"<a b='&lt'/>", NotWellFormed),
    ("bare ampersand", b"<a>Q & A</a>", NotWellFormed),
    ("bare ampersand in a value", b"<a b='Q & A'/>", NotWellFormed),
    ("ampersand before a tag", b"<a>&</a>", NotWellFormed),
    ("empty reference", b"<a>&;</a>", NotWellFormed),
    ("reference to NUL in a value", b"<a b='&#0;'/>", NotWellFormed),
    ("undefined entity", b"<a>&nbsp;</a>", Restricted),
    ("undefined entity in a value", b"<a b='&nbsp;'/>", Restricted),
    ("predefined entity in capitals", b"<a>&LT;</a>", Restricted),
    ("entity with a very long name", b"<a>&aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;</a>", Restricted),
    ("reference with far too many zeros", b"<a>&#000000000000000000000000000000000000000000000000000000000000000000000000065;</a>", Limit),
    ("reference with nine digits", b"<a>&#000000065;</a>", Limit),
    // Markup XMPP forbids.
    ("comment", b"<a><!-- c --></a>", Restricted),
    ("comment between stanzas", b"<!-- c -->", Restricted),
    ("processing instruction", b"<a><?php echo?></a>", Restricted),
    ("processing instruction between stanzas", b"<?p?>", Restricted),
    ("XML declaration between stanzas", b"<?xml version='1.0'?>", Restricted),
    ("doctype between stanzas", b"<!DOCTYPE a>", Restricted),
    ("doctype in a stanza", b"<a><!DOCTYPE a></a>", Restricted),
    ("entity declaration", b"<a><!ENTITY b 'c'></a>", Restricted),
    ("CDATA between stanzas", b"<![CDATA[ ]]>", Format),
    ("conditional section", b"<a><![INCLUDE[ ]]></a>", NotWellFormed),
    ("CDATA in small letters", b"<a><![cdata[ ]]></a>", NotWellFormed),
    ("<! and a space", b"<a><! ></a>", NotWellFormed),
    // Text between stanzas.
    ("text between stanzas", b"hello", Format),
    ("text after white space", b" \nhello", Format),
    ("reference between stanzas", b"&amp;", Format),
    ("white space by reference between stanzas", b"&#32;", Format),
    ("]]> between stanzas", b"]]>", Format),
    // Tags.
    ("]]> in text", b"<a>]]></a>", NotWellFormed),
    ("]]]> in text", b"<a>x]]]></a>", NotWellFormed),
    ("]]> behind CDATA", b"<a><![CDATA[x]]>]]></a>", NotWellFormed),
    ("< in a value", b"<a b='<'/>", NotWellFormed),
    ("a tag in a value", b"<a b='</a>'/>", NotWellFormed),
    ("no space between attributes", b"<a b='c'd='e'/>", NotWellFormed),
    ("no quotes", b"<a b=c/>", NotWellFormed),
    ("no value", b"<a b/>", NotWellFormed),
    ("no value, then an attribute", b"<a b c='d'/>", NotWellFormed),
    ("no attribute name", b"<a ='b'/>", NotWellFormed),
    ("value alone", b"<a 'b'/>", NotWellFormed),
    ("quotes that differ", b"<a b='c\"/><b d='", NotWellFormed),
    ("backquotes", b"<a b=`c`/>", NotWellFormed),
    ("attribute twice", b"<a b='1' b='2'/>", NotWellFormed),
    ("attribute twice, same value", b"<a b='1' c='' b='1'/>", NotWellFormed),
    ("attribute twice among many", b"<a a='' b='' c='' d='' e='' f='' g='' h='' i='' d=''/>", NotWellFormed),
    ("attribute twice by expanded name", b"<a xmlns:p='u:u' xmlns:q='u:u' p:b='' q:b=''/>", NotWellFormed),
    ("the same with references", b"<a xmlns:p='u:u' xmlns:q='u&#58;u' p:b='' q:b=''/>", NotWellFormed),
    ("the same, bound outside", b"<a xmlns:p='u:u'><c xmlns:q='u:u' p:b='' q:b=''/></a>", NotWellFormed),
    ("the same with the streams namespace", b"<a xmlns:p='http://etherx.jabber.org/streams' p:b='' stream:b=''/>", NotWellFormed),
    ("xml:lang twice", b"<a xml:lang='a' xml:lang='b'/>", NotWellFormed),
    ("xmlns twice", b"<a xmlns='u:u' xmlns='u:u'/>", NotWellFormed),
    ("xmlns:p twice", b"<a xmlns:p='u:u' xmlns:p='v:v'/>", NotWellFormed),
    ("attribute in an end tag", b"<a></a b='c'>", NotWellFormed),
    ("wrong end tag", b"<a></b>", NotWellFormed),
    ("end tag that is a beginning", b"<ab></a>", NotWellFormed),
    ("end tag that is longer", b"<a></ab>", NotWellFormed),
    ("end tag in capitals", b"<a></A>", NotWellFormed),
    ("end tag by another prefix", b"<p:a xmlns:p='u:u' xmlns:q='u:u'></q:a>", NotWellFormed),
    ("end tags crossed", b"<a><b></a></b>", NotWellFormed),
    ("end tag with nothing open", b"</a>", NotWellFormed),
    ("space before the name", b"< a/>", NotWellFormed),
    ("space before the name of an end tag", b"<a></ a>", NotWellFormed),
    ("space inside />", b"<a/ >", NotWellFormed),
    ("slash inside a tag", b"<a /b/>", NotWellFormed),
    ("empty tag", b"<>", NotWellFormed),
    ("empty end tag", b"<a></>", NotWellFormed),
    ("two <", b"<<a/>", NotWellFormed),
    ("tag in a tag", b"<a <b/>", NotWellFormed),
    ("= without a name", b"<a b=='c'/>", NotWellFormed),
    // Names.
    ("name with a digit first", b"<1/>", NotWellFormed),
    ("name with a hyphen first", b"<-a/>", NotWellFormed),
    ("name with a dot first", b"<.a/>", NotWellFormed),
    ("attribute name with a digit first", b"<a 1='b'/>", NotWellFormed),
    ("name with a slash", b"<a b/c='d'/>", NotWellFormed),
    ("name with @", b"<a@b/>", NotWellFormed),
    ("name of one colon", b"<:/>", NotWellFormed),
    ("empty prefix", b"<:a/>", NotWellFormed),
    ("empty local part", b"<stream:/>", NotWellFormed),
    ("two colons", b"<stream:a:b/>", NotWellFormed),
    ("two colons together", b"<stream::b/>", NotWellFormed),
    ("empty prefix of an attribute", b"<a :b=''/>", NotWellFormed),
    ("empty local part of an attribute", b"<a xml:=''/>", NotWellFormed),
    ("two colons in an attribute", b"<a xml:b:c=''/>", NotWellFormed),
    ("xmlns: alone", b"<a xmlns:='u:u'/>", NotWellFormed),
    ("local part with a digit first", b"<p:1 xmlns:p='u:u'/>", NotWellFormed),
    ("local part of an attribute with a digit first", b"<a xml:1=''/>", NotWellFormed),
    ("declared prefix with a digit first", b"<a xmlns:1='u:u'/>", NotWellFormed),
    ("U+00D7 in a name", b"<a\xC3\x97/>", NotWellFormed),
    ("U+037E first in a name", b"<\xCD\xBE/>", NotWellFormed),
    ("combining character first in a name", b"<\xCC\x80/>", NotWellFormed),
    ("fifth edition name, U+037F", b"<\xCD\xBF/>", NotWellFormed),
    ("fifth edition name, U+2C00", b"<\xE2\xB0\x80/>", NotWellFormed),
    ("fifth edition name, U+10400", b"<\xF0\x90\x90\x80/>", NotWellFormed),
    ("fifth edition attribute name", b"<a b\xE2\xB0\x80='c'/>", NotWellFormed),
    ("fifth edition prefix", b"<a xmlns:\xE2\xB0\x80='u:u'/>", NotWellFormed),
    ("U+FEFF before a name", b"<\xEF\xBB\xBFa/>", NotWellFormed),
    ("U+FEFF inside a name", b"<a\xEF\xBB\xBFb/>", NotWellFormed),
    ("U+FEFF between stanzas", b"\xEF\xBB\xBF", Format),
    // Namespaces.
    ("unbound prefix", b"<p:a/>", Prefix),
    ("unbound prefix of an attribute", b"<a p:b=''/>", Prefix),
    ("prefix bound inside only", b"<p:a><b xmlns:p='u:u'/></p:a>", Prefix),
    ("prefix bound in a sibling", b"<a><b xmlns:p='u:u'/><p:c/></a>", Prefix),
    ("prefix in other letters", b"<P:a xmlns:p='u:u'/>", Prefix),
    ("xmlns declared", b"<a xmlns:xmlns='u:u'/>", Prefix),
    ("xmlns declared as what it is", b"<a xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>", Prefix),
    ("element with the prefix xmlns", b"<xmlns:a/>", Prefix),
    ("element with the prefix xml", b"<xml:query/>", Prefix),
    ("xml bound to another name", b"<a xmlns:xml='u:u'/>", Prefix),
    ("xml undeclared", b"<a xmlns:xml=''/>", Prefix),
    ("another prefix bound to the xml name", b"<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", Prefix),
    ("the same with a reference", b"<a xmlns:p='http://www.w3.org/XML/1998/n&#97;mespace'/>", Prefix),
    ("the xml name as default", b"<a xmlns='http://www.w3.org/XML/1998/namespace'/>", Prefix),
    ("another prefix bound to the xmlns name", b"<a xmlns:p='http://www.w3.org/2000/xmlns/'/>", Prefix),
    ("the xmlns name as default", b"<a xmlns='http://www.w3.org/2000/xmlns/'/>", Prefix),
    ("the word xml as default namespace", b"<a xmlns='xml'/>", Prefix),
    ("the word xmlns as default namespace", b"<a xmlns='xmlns'/>", Prefix),
    ("prefix undeclared", b"<a xmlns:p=''/>", Prefix),
    ("stream undeclared", b"<a xmlns:stream=''/>", Prefix),
    ("space in a namespace name", b"<a xmlns='u u'/>", Prefix),
    ("space at the end of a namespace name", b"<a xmlns='u:u '/>", Prefix),
    ("TAB in a namespace name", b"<a xmlns:p='u\tu'/>", Prefix),
    ("LF by reference in a namespace name", b"<a xmlns='u&#10;u'/>", Prefix),
    // First-level elements.
    ("first-level element in no namespace", b"<message xmlns=''/>", Namespace),
    ("first-level element in jabber:server", b"<message xmlns='jabber:server'/>", Namespace),
    ("jabber:server by prefix", b"<s:message xmlns:s='jabber:server'/>", Namespace),
    ("jabber:server by reference", b"<message xmlns='jabber&#58;server'/>", Namespace),
    ("stream header in the stream", b"<stream:stream>", Nested),
    ("the same by another prefix", b"<s:stream xmlns:s='http://etherx.jabber.org/streams'/>", Nested),
    ("stream header in a stanza", b"<message><stream:stream/></message>", Nested),
    ("stream error in a stanza", b"<message><stream:error/></message>", Nested),
    ("streams namespace deep inside", b"<message><b><c xmlns='http://etherx.jabber.org/streams'/></b></message>", Nested),
    // Limits (SMALL).
    ("too many elements", b"<a><b/><b/><b/><b/><b/><b/><b/><b/></a>", Limit),
    ("too deep", b"<a><b><c><d><e/></d></c></b></a>", Limit),
    ("too many attributes", b"<a a='' b='' c='' d='' e='' f='' g='' h='' i='' j='' k='' l='' m=''/>", Limit),
    ("too many declarations", b"<a xmlns:a='u' xmlns:b='u' xmlns:c='u' xmlns:d='u' xmlns:e='u' xmlns:f='u' xmlns:g='u' xmlns:h='u' xmlns:i='u' xmlns:j='u' xmlns:k='u' xmlns:l='u' xmlns:m='u'/>", Limit),
    ("element name too long", b"<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/>", Limit),
    ("element name far too long, and bad", b"<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@/>", Limit),
    ("attribute name too long", b"<a aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=''/>", Limit),
    (
        "attribute value too long",
        b"<a b='bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'/>",
        Limit,
    ),
    (
        "the same before what is wrong behind it",
        b"<a b='bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb<'/>",
        Limit,
    ),
    ("namespace name too long", b"<a xmlns='urn:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'/>", Limit),
];

/// Whole documents.
const DOCUMENTS: &[(&str, &[u8], Fault)] = &[
    ("byte order mark", b"\xEF\xBB\xBF<stream xmlns='u:u'>", NotWellFormed),
    ("byte order mark before the declaration", b"\xEF\xBB\xBF<?xml version='1.0'?><stream xmlns='u:u'>", NotWellFormed),
    ("UTF-16, little end first, with mark", b"\xFF\xFE<\0?\0x\0", Encoding),
    ("UTF-16, big end first, with mark", b"\xFE\xFF\0<\0?\0x", Encoding),
    ("UTF-16, little end first", b"<\0?\0x\0m\0l\0", Encoding),
    ("UTF-16, big end first", b"\0<\0?\0x\0m\0l", Encoding),
    ("UTF-32", b"\0\0\0<\0\0\0?", Encoding),
    ("text, then a NUL: no encoding", b".\0body", NotWellFormed),
    ("declared Latin-1", b"<?xml version='1.0' encoding='ISO-8859-1'?><stream>", Encoding),
    ("declared UTF-16", b"<?xml version='1.0' encoding='UTF-16'?><stream>", Encoding),
    ("declared UTF8 without hyphen", b"<?xml version='1.0' encoding='UTF8'?><stream>", Encoding),
    ("declared no encoding at all", b"<?xml version='1.0' encoding=''?><stream>", Encoding),
    ("XML 1.1", b"<?xml version='1.1'?><stream>", NotWellFormed),
    ("XML 1", b"<?xml version='1'?><stream>", NotWellFormed),
    ("XML 2.0", b"<?xml version='2.0'?><stream>", NotWellFormed),
    ("declaration without version", b"<?xml encoding='UTF-8'?><stream>", NotWellFormed),
    ("declaration with nothing", b"<?xml?><stream>", NotWellFormed),
    ("declaration with white space only", b"<?xml ?><stream>", NotWellFormed),
    (
        "declaration in the wrong order",
        b"<?xml version='1.0' standalone='yes' encoding='UTF-8'?><stream>",
        NotWellFormed,
    ),
    ("declaration, version twice", b"<?xml version='1.0' version='1.0'?><stream>", NotWellFormed),
    ("declaration with something unknown", b"<?xml version='1.0' foo='bar'?><stream>", NotWellFormed),
    ("declaration, no space before encoding", b"<?xml version='1.0'encoding='UTF-8'?><stream>", NotWellFormed),
    ("declaration, bad standalone", b"<?xml version='1.0' standalone='maybe'?><stream>", NotWellFormed),
    ("declaration, standalone in capitals", b"<?xml version='1.0' standalone='YES'?><stream>", NotWellFormed),
    ("declaration without quotes", b"<?xml version=1.0?><stream>", NotWellFormed),
    ("declaration, quotes that differ", b"<?xml version='1.0\"?><stream>", NotWellFormed),
    ("declaration that ends with >", b"<?xml version='1.0'><stream>", NotWellFormed),
    ("declaration after white space", b" <?xml version='1.0'?><stream>", NotWellFormed),
    ("declaration twice", b"<?xml version='1.0'?><?xml version='1.0'?><stream>", NotWellFormed),
    ("declaration in capitals", b"<?XML version='1.0'?><stream>", Restricted),
    ("processing instruction first", b"<?p?><stream>", Restricted),
    ("style sheet first", b"<?xml-stylesheet href='a'?><stream>", Restricted),
    ("processing instruction after the declaration", b"<?xml version='1.0'?><?p?><stream>", Restricted),
    ("comment first", b"<!-- c --><stream>", Restricted),
    ("doctype", b"<!DOCTYPE stream><stream>", Restricted),
    ("doctype with entities", b"<?xml version='1.0'?><!DOCTYPE s [<!ENTITY a 'b'>]><stream>", Restricted),
    ("CDATA first", b"<![CDATA[x]]><stream>", NotWellFormed),
    ("text first", b"hello<stream>", NotWellFormed),
    ("HTTP", b"GET / HTTP/1.1\r\n", NotWellFormed),
    ("TLS", b"\x16\x03\x01\x02\0", NotWellFormed),
    ("text after the declaration", b"<?xml version='1.0'?>hello<stream>", NotWellFormed),
    ("end tag first", b"</stream>", NotWellFormed),
    ("self-closing root", b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams'/>", Format),
    ("root with an unbound prefix", b"<stream:stream>", Prefix),
    ("root with an unbound attribute prefix", b"<stream p:a='' xmlns='u:u'>", Prefix),
    ("root with an attribute twice", b"<stream xmlns='u:u' to='a' to='b'>", NotWellFormed),
    ("root with xmlns twice", b"<stream xmlns='u:u' xmlns='u:u'>", NotWellFormed),
    ("root binding the xml name", b"<stream xmlns:p='http://www.w3.org/XML/1998/namespace'>", Prefix),
    ("root with white space in a namespace name", b"<stream xmlns='u u'>", Prefix),
    ("root with an undefined entity", b"<stream xmlns='u:u' to='&host;'>", Restricted),
    ("root with bad UTF-8", b"<stream xmlns='u:u' to='\xFF'>", NotWellFormed),
    ("root closed by another name", b"<s:stream xmlns:s='u:u'></s:stre>", NotWellFormed),
    ("root closed without its prefix", b"<s:stream xmlns:s='u:u'></stream>", NotWellFormed),
    ("text behind the end", b"<s xmlns='u:u'></s>hello", NotWellFormed),
    ("element behind the end", b"<s xmlns='u:u'></s><s/>", NotWellFormed),
    ("comment behind the end", b"<s xmlns='u:u'></s><!-- -->", NotWellFormed),
    ("NUL behind the end", b"<s xmlns='u:u'></s>\0", NotWellFormed),
    ("first-level element in no namespace", b"<s:s xmlns:s='u:u'><a/>", Namespace),
];

/// Inside the usual stream; the number is that of the elements in the tree.
const LEGAL: &[(&str, &str, u32)] = &[
    ("empty element", "<a/>", 1),
    ("white space in tags", "<a  b = 'c'\n\td\r=\r\n\"e\" ><f\n/></a\t>", 2),
    ("> in text", "<a>1 > 0</a>", 1),
    ("> and quotes in text", "<a>'\">]] ></a>", 1),
    ("> in a value", "<a b='>'/>", 1),
    ("/> in a value", "<a b='/>'/>", 1),
    ("]]> in a value", "<a b=']]>'/>", 1),
    ("the other quote in a value", "<a b='\"' c=\"'\"/>", 1),
    ("CDATA", "<a><![CDATA[<b> & ]] > ]]></a>", 1),
    ("empty CDATA", "<a><![CDATA[]]></a>", 1),
    ("CDATA with brackets", "<a><![CDATA[]]]]><![CDATA[>]]></a>", 1),
    ("CDATA with brackets before its end", "<a><![CDATA[]]]]]></a>", 1),
    ("CDATA with a comment", "<a><![CDATA[<!-- -->]]></a>", 1),
    ("> behind CDATA", "<a><![CDATA[x]]>></a>", 1),
    ("]] behind CDATA", "<a><![CDATA[x]]>]] ></a>", 1),
    ("] by reference before ]>", "<a>]&#93;></a>", 1),
    ("numeric references", "<a b='&#10;&#x41;'>&#65;&#x10FFFF;&#x1F600;&#13;</a>", 1),
    ("leading zeros", "<a>&#00000065;&#x00000041;</a>", 1),
    ("the five entities", "<a b='&lt;&gt;&amp;&apos;&quot;'>&lt;&gt;&amp;&apos;&quot;</a>", 1),
    ("reference to a reference", "<a>&amp;lt;</a>", 1),
    ("LF, TAB and CR in a value", "<a b='1\n2\t3\r\n4\r5'/>", 1),
    ("CR in text", "<a>1\r\n2\r3</a>", 1),
    ("DEL and C1", "<a>\u{7F}\u{80}\u{9F}\u{85}</a>", 1),
    ("U+FEFF in text", "<a>\u{FEFF}</a>", 1),
    ("U+FFFD, private use, non-characters XML allows", "<a>\u{FFFD}\u{E000}\u{FDD0}\u{1FFFF}\u{10FFFF}</a>", 1),
    ("emoji", "<a b='\u{1F600}'>\u{1F468}\u{200D}\u{1F469}</a>", 1),
    (
        "fourth edition names",
        "<\u{E9}t\u{E9}\u{B7} \u{4E2D}='1' _='2' A-.9='3'><\u{AC00}\u{300}/></\u{E9}t\u{E9}\u{B7}>",
        2,
    ),
    ("jabber:client by prefix", "<c:message xmlns:c='jabber:client'><c:body>hi</c:body></c:message>", 2),
    ("stream features", "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>", 2),
    ("stream error", "<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", 2),
    ("features with the streams namespace as default", "<features xmlns='http://etherx.jabber.org/streams'/>", 1),
    ("no namespace inside a stanza", "<message><body xmlns=''><c/></body></message>", 3),
    ("jabber:server inside a stanza", "<message><message xmlns='jabber:server'/></message>", 2),
    ("attribute of the streams namespace", "<message stream:a='b'/>", 1),
    ("prefix bound anew", "<p:a xmlns:p='u:u'><p:a xmlns:p='v:v'/><p:a/></p:a>", 3),
    ("prefix used before its declaration", "<p:a p:b='' xmlns:p='u:u'/>", 1),
    ("same local names, other namespaces", "<a xmlns:p='u:u' xmlns:q='v:v' b='' p:b='' q:b=''/>", 1),
    ("default and prefix the same name", "<a xmlns='u:u' xmlns:p='u:u' b='' p:b=''/>", 1),
    ("xml bound to its own name", "<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang='en'/>", 1),
    ("xml attributes", "<a xml:lang='en' xml:space='preserve' xml:id='a' xml:base='b'/>", 1),
    ("attributes that begin with xmlns", "<a xmlnsx='' xmln=''/>", 1),
    ("stream bound anew", "<stream:a xmlns:stream='u:u'/>", 1),
    ("stanza errors", "<iq type='error'><ping xmlns='urn:xmpp:ping'/><error/></iq>", 3),
    ("just so many elements", "<a><b/><b/><b/><b/><b/><b/><b/></a>", 8),
    ("just so deep", "<a><b><c><d/></c></b></a>", 4),
    ("just so many attributes", "<a a='' b='' c='' d='' e='' f='' g='' h='' i='' j='' k='' l=''/>", 1),
    ("just so long a name", "<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/>", 1),
];

/// Headers that are taken.
const HEADERS: &[(&str, &str)] = &[
    ("the usual one", HEADER),
    ("with declaration", "<?xml version='1.0'?><stream xmlns='u:u'>"),
    ("declaration with all", "<?xml version=\"1.0\" encoding=\"utf-8\" standalone='no' ?>\n<stream xmlns='u:u'>"),
    ("declaration with much white space", "<?xml\n version =\t'1.0'\r\nencoding = 'UTF-8'?><stream xmlns='u:u'>"),
    ("declaration, standalone only", "<?xml version='1.0' standalone='yes'?><stream xmlns='u:u'>"),
    ("white space first", " \r\n\t<stream xmlns='u:u'>"),
    ("in no namespace", "<stream>"),
    ("many declarations", "<s:stream xmlns:s='u:u' xmlns='v:v' xmlns:a='a:a' a:b='c' xml:lang='en' to='a&amp;b'>"),
];

#[test]
fn refused_inside() {
    for (name, bad, fault) in INSIDE {
        let good = "<presence/>";
        let document = [HEADER.as_bytes(), good.as_bytes(), bad, b"<good/>"].concat();
        let out = any_cut(SMALL, &document);
        assert_eq!(out.refused.map(|r| r.0), Some(*fault), "{name}: {} gave {:?}", show(bad), out.refused);
        let given: Vec<_> = out.elements().map(|(bytes, _)| bytes).collect();
        assert_eq!(given, [good.as_bytes()], "{name}");
        let at = out.refused.map_or(0, |r| r.2);
        assert!((HEADER.len() + good.len()..=document.len()).contains(&at), "{name}: refused at {at}");
    }
}

#[test]
fn refused_documents() {
    for (name, bad, fault) in DOCUMENTS {
        let out = any_cut(SMALL, bad);
        assert_eq!(out.refused.map(|r| r.0), Some(*fault), "{name}: {} gave {:?}", show(bad), out.refused);
    }
}

#[test]
fn legal_elements() {
    for (name, good, elements) in LEGAL {
        let document = format!("{HEADER}{good} \n{good}</stream:stream>\n");
        let out = any_cut(SMALL, document.as_bytes());
        assert_eq!((out.refused, out.left), (None, 0), "{name}: {good}");
        let given: Vec<_> = out.elements().collect();
        assert_eq!(given.len(), 2, "{name}");
        for (bytes, head) in given {
            assert_eq!((bytes, head.elements), (good.as_bytes(), *elements), "{name}");
            parse_element(bytes, &out.root, head).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}

#[test]
fn legal_headers() {
    for (name, header) in HEADERS {
        let out = any_cut(SMALL, header.as_bytes());
        assert_eq!((out.refused, out.left, out.items.len()), (None, 0, 1), "{name}: {out:?}");
    }
}

/// A stanza of exactly the limit is taken, one byte more is not, and an unfinished one is refused without waiting for its end.
#[test]
fn stanza_bytes() {
    let limits = Limits { stanza_bytes: 200, ..SMALL };
    let stanza = |len: usize, fill: &str| format!("<a>{}</a>", fill.repeat((len - 7) / fill.len()));
    for fill in ["x", "\u{1F600}", "&amp;", "<b/>"] {
        let (fits, over) = (200 - (200 - 7) % fill.len(), 201 + fill.len());
        let header = "<s xmlns='u:u'>";
        let limits = Limits { elements: 1000, ..limits };
        let out = any_cut(limits, format!("{header}{}", stanza(fits, fill)).as_bytes());
        assert_eq!((out.refused, out.elements().count()), (None, 1), "{fill}");
        let out = any_cut(limits, format!("{header}{}", stanza(over, fill)).as_bytes());
        assert_eq!(out.refused.map(|r| (r.0, r.2)), Some((Limit, header.len() + 200)), "{fill}");
    }
    let unfinished = format!("<s xmlns='u:u'><a>{}", "x".repeat(197));
    assert_eq!(any_cut(limits, unfinished.as_bytes()).refused.map(|r| r.0), Some(Limit));
    let header = format!("<s xmlns='u:u' to='{}", "x".repeat(200));
    assert_eq!(any_cut(limits, header.as_bytes()).refused.map(|r| r.0), Some(Limit));
    let space = format!("<s xmlns='u:u'>{}<a/>", " ".repeat(1000));
    assert_eq!(any_cut(limits, space.as_bytes()).refused, None);
}

/// What stands before a fault in the same chunk comes out first.
#[test]
fn good_stanzas_before_a_bad_one() {
    let document = [HEADER.as_bytes(), &b"<a/>".repeat(4), b"<a>\xFF</a>"].concat();
    let out = any_cut(SMALL, &document);
    assert_eq!(out.elements().count(), 4);
    assert_eq!(out.refused, Some((NotWellFormed, "not UTF-8", HEADER.len() + 4 * 4 + 3)));
}
