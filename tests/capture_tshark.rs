//! The real tshark, without any option, sees XMPP in what a recorder writes, and finds nothing to complain of.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test that cannot run tshark says why")]

mod capture_support;

use capture_support::Tape;
use iqtap::session::{Dir, Happened, Note, TlsInfo};
use iqtap::xmpp::Side;
use std::env;
use std::path::Path;
use std::process::Command;

/// One client's whole session, STARTTLS and all, forwarded in both directions.
fn record(tape: &mut Tape) {
    let header = "<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xmlns='jabber:client' \
                  xmlns:stream='http://etherx.jabber.org/streams'>";
    let (c, s) = (Side::Client, Side::Server);
    let tls = TlsInfo { version: "TLSv1.3".into(), cipher: "CIPHER".into(), ..TlsInfo::default() };
    tape.item(c, Dir::In, header);
    tape.item(c, Dir::Out, header.replace("to=", "id='x1' from="));
    tape.item(c, Dir::Out, "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>");
    tape.item(c, Dir::In, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    tape.item(c, Dir::Out, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    tape.note(1, &Note::Tls(c, tls.clone()));
    tape.note(1, &Note::Tls(s, tls));
    tape.item(c, Dir::In, header);
    both(tape, s, header.replace("to=", "id='x1' from="));
    let features = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                    <mechanism>PLAIN</mechanism></mechanisms></stream:features>";
    both(tape, s, features);
    both(tape, c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>");
    both(tape, s, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    both(tape, c, header);
    both(tape, s, header.replace("to=", "id='x2' from="));
    both(tape, c, "<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    both(tape, c, "<iq type='get' id='p1' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>");
    both(tape, s, "<iq type='result' id='p1' from='example.org' to='juliet@example.org/balcony'/>");
    both(tape, c, "<iq type='get' id='p2' xmlns='jabber:client'><a:vCard xmlns:a='vcard-temp'/></iq>");
    for happened in [Happened::Policy(2), Happened::Waits(c), Happened::Stored(1)] {
        tape.note(1, &Note::Happened(happened));
    }
    both(tape, c, "<presence/>");
    both(tape, c, " ");
    both(tape, s, format!("<message from='a@b'><body>{}</body></message>", "grüße > 🦀 ".repeat(15_000)));
    both(tape, s, "<message from='a@b' id='m2'><body>short</body></message>");
    both(tape, c, "<r xmlns='urn:xmpp:sm:3'/>");
    both(tape, c, "<iq type='set' id='a1'><query xmlns='jabber:iq:auth'><password>secret</password></query></iq>");
    both(tape, c, "</stream:stream>");
    both(tape, s, "</stream:stream>");
    tape.note(1, &Note::Over(Box::default()));
}

/// In on one leg, out on the other.
fn both(tape: &mut Tape, from: Side, bytes: impl Into<String>) {
    let bytes = bytes.into();
    tape.item(from, Dir::In, bytes.clone());
    tape.item(from.other(), Dir::Out, bytes);
}

/// Lines tshark prints; `None` if it is not installed, which is a failure where CI says so.
fn tshark(path: &Path, arguments: &[&str]) -> Option<Vec<String>> {
    match Command::new("tshark").arg("-r").arg(path).args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
        }
        Err(e) if env::var_os("CI").is_some_and(|ci| ci == "true") => panic!("tshark does not run: {e}"),
        Err(e) => {
            eprintln!("skipped: tshark does not run here ({e}); install it to run this test");
            None
        }
    }
}

#[test]
fn tshark_reads_it_without_options() {
    let mut tape = Tape::new();
    record(&mut tape);
    let (_dir, path) = tape.finish();

    let Some(all) = tshark(&path, &["-Y", "tcp", "-T", "fields", "-e", "_ws.col.Protocol", "-e", "tcp.len"]) else {
        return;
    };
    let payloads = all.iter().filter(|line| !line.ends_with("\t0"));
    let foreign: Vec<_> = payloads.filter(|line| !line.starts_with("XMPP") && !line.ends_with("60000")).collect();
    assert!(foreign.is_empty(), "not seen as XMPP: {foreign:?}");

    let iqs = tshark(&path, &["-Y", "xmpp.iq", "-T", "fields", "-e", "xmpp.type", "-e", "xmpp.id"]).unwrap();
    let twice = ["set\tb1", "get\tp1", "result\tp1", "get\tp2", "set\ta1"].map(|line| [line, line]);
    assert_eq!(iqs, twice.concat());
    let messages = tshark(&path, &["-Y", "xmpp.message"]).unwrap();
    assert_eq!(messages.len(), 4, "{messages:?}");

    // Every `</stream:stream>` is malformed to tshark's XML dissector, which saw no opening tag in that packet.
    assert_eq!(tshark(&path, &["-Y", "_ws.malformed && !xmpp.stream_end"]).unwrap(), [""; 0]);
    assert_eq!(tshark(&path, &["-Y", "tcp.analysis.flags"]).unwrap(), [""; 0]);
    let sums = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"];
    let wrong = [&sums[..], &["-Y", "ip.checksum.status != 1 || tcp.checksum.status != 1"]].concat();
    assert_eq!(tshark(&path, &wrong).unwrap(), [""; 0]);

    let happened = tshark(&path, &["-Y", "ip.proto == 253", "-T", "fields", "-e", "frame.comment"]).unwrap();
    let told = ["policy 2 is in force", "an item of the client waits", "the store has done #1"];
    assert_eq!(happened, told.map(|told| format!("session 1: {told}")));
    assert_eq!(tshark(&path, &["-Y", "ip.checksum.status != 1", "-o", "ip.check_checksum:TRUE"]).unwrap(), [""; 0]);

    let comments = tshark(&path, &["-Y", "xmpp.ping", "-T", "fields", "-e", "frame.comment"]).unwrap();
    assert!(comments[0].ends_with("client->iqtap passed"), "{comments:?}");
    assert!(comments[1].contains("iqtap->server forwarded from #"), "{comments:?}");
    let legs = tshark(&path, &["-Y", "xmpp.ping", "-T", "fields", "-e", "frame.interface_name"]).unwrap();
    assert_eq!(legs, ["client leg", "server leg"]);
}
