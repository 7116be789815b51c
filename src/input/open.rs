//! Opens an input by its name: plain, gzip or Zstandard, or standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// How much is read from a file at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// The name that stands for standard input.
const STDIN: &str = "-";

/// How messages name the input.
pub(super) fn display_name(path: &Path) -> String {
    if path.as_os_str() == STDIN { "stdin".to_owned() } else { path.display().to_string() }
}

/// Opens the input. Compression goes by the name's ending; a file made of several compressed parts
/// joined together (as `cat` and log shippers make them) is read to its end.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    if path.as_os_str() == STDIN {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
    Ok(match path.extension().and_then(|ending| ending.to_str()) {
        Some("gz") => Box::new(BufReader::with_capacity(
            BUFFER_BYTES,
            flate2::bufread::MultiGzDecoder::new(file),
        )),
        Some("zst") => Box::new(BufReader::with_capacity(
            BUFFER_BYTES,
            zstd::stream::read::Decoder::with_buffer(file)?,
        )),
        _ => Box::new(file),
    })
}
