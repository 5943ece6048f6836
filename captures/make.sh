#!/bin/sh
# Makes the captures anew: all of them, or those that are named (captures/make.sh sm-resume).
# Needs the binary (cargo build; or $IQTAP), python3, and for prosody-login a Prosody.
set -eu
cd "$(dirname "$0")"
iqtap=${IQTAP:-../target/debug/iqtap}
all="broken-iqs-enforced disco-vcard-blocklist seven-broken-iqs sm-resume forged-result rewritten-by-script prosody-login"
for name in ${*:-$all}; do
    echo "$name"
    case $name in
    broken-iqs-enforced) "$iqtap" demo --once --record "$name.pcapng" >/dev/null ;;
    *) python3 -B "make/$name.py" ;;
    esac
    chmod 644 "$name.pcapng"
done
