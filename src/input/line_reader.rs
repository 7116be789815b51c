//! Lines of bounded length. What is longer is counted and skipped without being held.

use std::io::{self, BufRead};
use std::mem;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Splits an input into lines, counted from 1.
pub(super) struct LineReader<R> {
    input: R,
    line_bytes_max: usize,
    /// The line in hand; never longer than `line_bytes_max`.
    line: Vec<u8>,
    lines_read: u64,
    /// How many bytes at the front of the input's buffer are the line handed out last.
    handed_out: usize,
}

/// What stands between two line ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// A line, without its end.
    Line { number: u64, bytes: &'a [u8] },
    /// A line of more bytes than are read into memory.
    TooLong { number: u64, bytes: u64 },
}

impl<R: BufRead> LineReader<R> {
    pub(super) fn new(input: R, line_bytes_max: usize) -> LineReader<R> {
        LineReader { input, line_bytes_max, line: Vec::new(), lines_read: 0, handed_out: 0 }
    }

    /// The next line; `None` at the end. The last line needs no line end. An error tells how many
    /// lines were read before it.
    pub(super) fn next_line(&mut self) -> Result<Option<Next<'_>>, (u64, io::Error)> {
        self.input.consume(mem::take(&mut self.handed_out));
        // Nearly every line lies whole in the buffer, and is handed out where it lies.
        if let Ok(held) = self.input.fill_buf()
            && let Some(line_end) = memchr::memchr(b'\n', held)
            && line_end <= self.line_bytes_max
        {
            self.handed_out = line_end + 1;
            self.lines_read += 1;
            let number = self.lines_read;
            let held = self.input.fill_buf().map_err(|error| (number - 1, error))?;
            return Ok(Some(Next::Line {
                number,
                bytes: without_marks(&held[..line_end], number),
            }));
        }
        self.line.clear();
        let mut line_bytes = 0u64;
        loop {
            let held = match self.input.fill_buf() {
                Ok(held) => held,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err((self.lines_read, error)),
            };
            if held.is_empty() && line_bytes == 0 {
                return Ok(None);
            }
            let ended = held.is_empty();
            let line_end = memchr::memchr(b'\n', held);
            let part = &held[..line_end.unwrap_or(held.len())];
            line_bytes += part.len() as u64;
            if line_bytes <= self.line_bytes_max as u64 {
                self.line.extend_from_slice(part);
            }
            let taken = part.len() + usize::from(line_end.is_some());
            self.input.consume(taken);
            if ended || line_end.is_some() {
                break;
            }
        }
        self.lines_read += 1;
        let number = self.lines_read;
        if line_bytes > self.line_bytes_max as u64 {
            return Ok(Some(Next::TooLong { number, bytes: line_bytes }));
        }
        Ok(Some(Next::Line { number, bytes: without_marks(&self.line, number) }))
    }
}

/// A line without what is not its own: a byte order mark, and what else ends a line.
fn without_marks(mut bytes: &[u8], number: u64) -> &[u8] {
    if number == 1 {
        bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    }
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(input: &[u8], buffer_bytes: usize, line_bytes_max: usize) -> Vec<String> {
        let input = BufReader::with_capacity(buffer_bytes, input);
        let mut reader = LineReader::new(input, line_bytes_max);
        let mut lines = Vec::new();
        while let Some(next) = reader.next_line().unwrap() {
            lines.push(match next {
                Next::Line { number, bytes } => {
                    format!("{number} {}", String::from_utf8_lossy(bytes))
                }
                Next::TooLong { number, bytes } => format!("{number} has {bytes}"),
            });
        }
        lines
    }

    #[test]
    fn lines_are_split_alike_whatever_the_buffer() {
        let input = b"\xEF\xBB\xBFone\r\n\n\r\nfour is long\nfive";
        for buffer_bytes in 1..40 {
            let expected = ["1 one", "2 ", "3 ", "4 has 12", "5 five"];
            assert_eq!(lines(input, buffer_bytes, 8), expected);
        }
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_read() {
        assert_eq!(lines(b"12345678\n123456789\n", 3, 8), ["1 12345678", "2 has 9"]);
        assert_eq!(lines(b"", 3, 8), Vec::<String>::new());
        assert_eq!(lines(b"\n", 3, 8), ["1 "]);
    }

    #[test]
    fn a_long_line_takes_no_memory() {
        let endless = io::repeat(b'x');
        let input = BufReader::new(io::Read::take(endless, 64 << 20));
        let mut reader = LineReader::new(input, 100);
        assert_eq!(reader.next_line().unwrap(), Some(Next::TooLong { number: 1, bytes: 64 << 20 }));
        assert!(reader.line.capacity() < 1_000_000);
    }
}
