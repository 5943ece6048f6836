//! Text functions of Rhai's that could make more than they are given: `replace` and `pad`, within the limit of size.
//!
//! Rhai looks at the size of a value only once it has been made: 256 KiB with each byte replaced by 256 KiB would be 64 GiB by
//! then, and its `pad` copies all text for each character. Takes the same arguments, gives the same results.

use super::budget;
use super::engine::Fallible;
use rhai::{Engine, EvalAltResult, ImmutableString, NativeCallContext, Position};

pub(super) fn register(engine: &mut Engine) {
    type Text = ImmutableString;
    type Context<'a> = NativeCallContext<'a>;
    engine.register_fn("replace", |context: Context<'_>, text: &mut Text, find: &str, with: &str| {
        replace(&context, text, find, with)
    });
    engine.register_fn("replace", |context: Context<'_>, text: &mut Text, find: &str, with: char| {
        replace(&context, text, find, with.encode_utf8(&mut [0; 4]))
    });
    engine.register_fn("replace", |context: Context<'_>, text: &mut Text, find: char, with: &str| {
        replace(&context, text, find.encode_utf8(&mut [0; 4]), with)
    });
    engine.register_fn("replace", |context: Context<'_>, text: &mut Text, find: char, with: char| {
        replace(&context, text, find.encode_utf8(&mut [0; 4]), with.encode_utf8(&mut [0; 4]))
    });
    engine.register_fn("pad", |context: Context<'_>, text: &mut Text, to: i64, with: char| {
        pad(&context, text, to, with.encode_utf8(&mut [0; 4]))
    });
    engine
        .register_fn("pad", |context: Context<'_>, text: &mut Text, to: i64, with: &str| pad(&context, text, to, with));
}

fn replace(context: &NativeCallContext<'_>, text: &mut ImmutableString, find: &str, with: &str) -> Fallible<()> {
    budget::read(text.len())?;
    if text.is_empty() {
        return Ok(());
    }
    if with.len() > find.len() {
        let more = (with.len() - find.len()).saturating_mul(text.matches(find).count());
        fits(context, text.len().saturating_add(more))?;
    }
    *text = text.replace(find, with).into();
    Ok(())
}

/// Lengthens a text to so many characters; of the last copy of `with` only as much as is missing is added.
fn pad(context: &NativeCallContext<'_>, text: &mut ImmutableString, to: i64, with: &str) -> Fallible<()> {
    let to = usize::try_from(to).unwrap_or_default();
    // A text has no fewer bytes than characters.
    fits(context, to)?;
    budget::read(text.len() + to)?;
    let have = text.chars().count();
    if to <= have || with.is_empty() {
        return Ok(());
    }
    let missing = || with.chars().cycle().take(to - have);
    fits(context, text.len() + missing().map(char::len_utf8).sum::<usize>())?;
    let mut padded = String::with_capacity(text.len() + (to - have));
    padded.push_str(text);
    padded.extend(missing());
    *text = padded.into();
    Ok(())
}

fn fits(context: &NativeCallContext<'_>, bytes: usize) -> Fallible<()> {
    if bytes <= context.engine().max_string_size() {
        return Ok(());
    }
    Err(EvalAltResult::ErrorDataTooLarge("Length of string".to_owned(), Position::NONE).into())
}
