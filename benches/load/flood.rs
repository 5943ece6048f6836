//! Floods: one end sends blocks as fast as it can, the other answers the requests in them. Each holds every byte that comes to what
//! must come, and reads it stanza by stanza with quick-xml, as no real peer does faster: so a proxy is measured between peers, and
//! not beside a pipe.

use crate::Outcome;
use crate::speech::{Block, Part, end, flood, id};
use crate::stage::Stage;
use crate::wire::Wire;
use quick_xml::Reader;
use quick_xml::events::Event;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};

/// Reads at most so much at once.
const READ_BYTES: usize = 64 * 1024;

/// What must come: blocks, and then the last word.
struct Expected {
    block: Block,
    at: usize,
    blocks: u64,
    last: Vec<u8>,
}

impl Expected {
    fn new(block: Block) -> Self {
        Self { block, at: 0, blocks: 0, last: Vec::new() }
    }

    /// Takes what came; gives how many blocks are whole now that were not before.
    fn take(&mut self, mut bytes: &[u8]) -> Outcome<u64> {
        let before = self.blocks;
        while let Some(first) = bytes.first() {
            // A block begins with another letter than the last word, or there are none.
            let ends = self.block.bytes.is_empty() || (self.at == 1 && *first == b'p');
            if !self.last.is_empty() || ends {
                if self.last.is_empty() {
                    self.last.extend_from_slice(&self.block.bytes[..self.at]);
                }
                self.last.extend_from_slice(bytes);
                break;
            }
            let rest = &self.block.bytes[self.at..];
            // The first letter alone, so that the second decides.
            let count = if self.at == 0 { 1 } else { rest.len().min(bytes.len()) };
            if rest[..count] != bytes[..count] {
                let (block, at) = (self.blocks, self.at);
                return Err(
                    format!("block {block} of a flood came otherwise than it was sent, from its byte {at} on").into()
                );
            }
            bytes = &bytes[count..];
            self.at += count;
            if self.at == self.block.bytes.len() {
                if stanzas(&self.block.bytes)? != self.block.stanzas {
                    return Err("a block has another number of stanzas".into());
                }
                self.at = 0;
                self.blocks += 1;
                self.block.set(self.blocks);
            }
        }
        Ok(self.blocks - before)
    }

    /// How many blocks the last word tells of, once it is there.
    fn told(&self) -> Outcome<Option<u64>> {
        if !self.last.ends_with(b"/>") {
            return Ok(None);
        }
        let number =
            id(&self.last).and_then(|id| id.strip_prefix(b"end-")).ok_or("a flood ended without its last word")?;
        Ok(Some(std::str::from_utf8(number)?.parse()?))
    }
}

/// How many stanzas there are, as a peer reads them.
fn stanzas(block: &[u8]) -> Outcome<u64> {
    let (mut reader, mut depth, mut count) = (Reader::from_reader(block), 0, 0);
    loop {
        match reader.read_event()? {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            Event::Eof => return Ok(count),
            Event::Empty(_) => {}
            _ => continue,
        }
        count += u64::from(depth == 0);
    }
}

/// Sends blocks until the stage says stop, then the last word; waits for all answers.
pub(crate) async fn source(wire: Wire, part: Part, stage: &Stage) -> Outcome<()> {
    let (mut block, answers) = flood(part);
    let (mut reader, mut writer) = split(wire);
    let sending = async {
        let mut blocks = 0;
        while !stage.stops() {
            block.set(blocks);
            writer.write_all(&block.bytes).await?;
            writer.flush().await?;
            blocks += 1;
        }
        writer.write_all(end(part, blocks).as_bytes()).await?;
        writer.flush().await?;
        Ok(blocks)
    };
    let (sent, told) = tokio::try_join!(sending, answered(&mut reader, answers, stage))?;
    if sent != told {
        return Err(format!("{sent} blocks were sent, of {told} it was said that they came").into());
    }
    hang_up(reader, writer).await
}

async fn answered(reader: &mut ReadHalf<Wire>, answers: Block, stage: &Stage) -> Outcome<u64> {
    let (mut buffer, stanzas) = (vec![0; READ_BYTES], answers.stanzas);
    let mut expected = Expected::new(answers);
    loop {
        let count = reader.read(&mut buffer).await?;
        if count == 0 {
            return Err("the connection ended in a flood, at its source".into());
        }
        stage.count(expected.take(&buffer[..count])? * stanzas);
        if let Some(told) = expected.told()? {
            let whole = expected.blocks == told || expected.block.bytes.is_empty();
            return if whole { Ok(told) } else { Err("some requests of a flood were not answered".into()) };
        }
    }
}

/// Takes blocks, answers the requests in them, until the last word.
pub(crate) async fn sink(wire: Wire, part: Part, already: &[u8], stage: &Stage) -> Outcome<()> {
    let (block, mut answers) = flood(part);
    let (mut buffer, stanzas) = (vec![0; READ_BYTES], block.stanzas);
    let mut expected = Expected::new(block);
    let (mut reader, mut writer) = split(wire);
    let mut count = already.len();
    buffer[..count].copy_from_slice(already);
    loop {
        let whole = expected.take(&buffer[..count])?;
        stage.count(whole * stanzas);
        let mut out = Vec::new();
        for number in expected.blocks - whole..expected.blocks {
            answers.set(number);
            out.extend_from_slice(&answers.bytes);
        }
        let told = expected.told()?;
        if let Some(told) = told {
            if told != expected.blocks || expected.at > 1 {
                return Err(format!("{told} blocks were sent, {} came", expected.blocks).into());
            }
            out.extend_from_slice(end(back(part), told).as_bytes());
        }
        if !out.is_empty() {
            writer.write_all(&out).await?;
            writer.flush().await?;
        }
        if told.is_some() {
            return hang_up(reader, writer).await;
        }
        count = reader.read(&mut buffer).await?;
        if count == 0 {
            return Err("the connection ended in a flood".into());
        }
    }
}

/// The other way.
fn back(part: Part) -> Part {
    if part == Part::Up { Part::Down } else { Part::Up }
}

async fn hang_up(mut reader: ReadHalf<Wire>, mut writer: WriteHalf<Wire>) -> Outcome<()> {
    // Whoever is second finds the other gone: no matter, everything has arrived.
    let _ = writer.shutdown().await;
    let _ = reader.read_to_end(&mut Vec::new()).await;
    Ok(())
}
