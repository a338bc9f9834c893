//! gzip: members one after the other, and what may stand behind the last.

use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, Read};

/// The contents of all members of a gzip file, one after the other.
///
/// Zeros behind the last member are passed over, as `gzip -d` does: tapes, and programs that write
/// whole blocks, leave them. Whatever else stands there is an error.
pub(crate) struct Gunzip<R> {
    /// The member that is being read; `None` behind the last.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Gunzip<R> {
    pub fn new(compressed: R) -> Self {
        Gunzip {
            member: Some(GzDecoder::new(compressed)),
        }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let rest = self.member.take().map(GzDecoder::into_inner);
            self.member = rest.map(next_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

/// The member that begins where another ended, if there is one.
fn next_member<R: BufRead>(mut rest: R) -> io::Result<Option<GzDecoder<R>>> {
    let mut zeros = false;
    loop {
        let available = match rest.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            available => available?,
        };
        let (count, skipped) = (
            available.len(),
            available.iter().take_while(|&&byte| byte == 0).count(),
        );
        match skipped {
            _ if count == 0 => return Ok(None),
            0 if !zeros => return Ok(Some(GzDecoder::new(rest))),
            _ if skipped < count => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "zeros within it",
                ));
            }
            _ => zeros = true,
        }
        rest.consume(skipped);
    }
}
