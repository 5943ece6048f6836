//! What the words of a line say: quotes, durations, escapes.

/// The words of a line; what stands in double quotes is one word.
pub(super) fn quoted(text: &str) -> Vec<String> {
    text.split('"')
        .enumerate()
        .flat_map(|(i, part)| {
            if i % 2 == 1 { vec![part] } else { part.split_whitespace().collect() }.into_iter().map(str::to_owned)
        })
        .collect()
}

/// `31s`, `250ms`, `2m` to microseconds.
pub(super) fn duration(text: &str) -> Result<u64, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number: u64 = number.parse().map_err(|_| format!("'{text}' is no duration"))?;
    match unit {
        "ms" => Ok(number * 1_000),
        "s" => Ok(number * 1_000_000),
        "m" => Ok(number * 60_000_000),
        _ => Err(format!("'{text}': a duration ends with ms, s or m")),
    }
}

/// Resolves `\xHH`, `\r`, `\n`, `\t`, `\s` (a space), `\\` and `\{COUNT*TEXT}`, in which `\#` is the round, from 1.
pub(super) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.extend_from_slice(plain.as_bytes());
        let kind = escape.chars().next().ok_or("a lone \\ at the end")?;
        rest = &escape[kind.len_utf8()..];
        match kind {
            'r' => out.push(b'\r'),
            'n' => out.push(b'\n'),
            't' => out.push(b'\t'),
            's' => out.push(b' '),
            '\\' => out.push(b'\\'),
            'x' => {
                let hex = rest.get(..2).ok_or("\\x needs two digits")?;
                out.push(u8::from_str_radix(hex, 16).map_err(|_| format!("\\x{hex} is no byte"))?);
                rest = &rest[2..];
            }
            '{' => {
                let (inner, after) = rest.split_once('}').ok_or("\\{ has no }")?;
                let (count, what) = inner.split_once('*').ok_or("\\{COUNT*TEXT}")?;
                let count: usize = count.parse().map_err(|_| format!("'{count}' is no count"))?;
                for round in 1..=count {
                    out.extend_from_slice(&unescape(&what.replace("\\#", &round.to_string()))?);
                }
                rest = after;
            }
            other => return Err(format!("there is no escape \\{other}")),
        }
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_escapes() {
        assert_eq!(unescape(r"a\x00\xff\r\n\t\s\\b").unwrap(), b"a\0\xff\r\n\t \\b");
        assert_eq!(unescape(r"<a\{3* b\#='\x41'}/>").unwrap(), b"<a b1='A' b2='A' b3='A'/>");
    }
}
