//! A zstd stream of any number of frames, skippable ones among them (RFC 8878, sections 3 and
//! 3.1.2); `ruzstd` reads single frames.

use super::compression::WINDOW_MAX;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, ErrorKind, Read};

pub struct Decoder<R> {
    input: R,
    frame: FrameDecoder,
}

impl<R: BufRead> Decoder<R> {
    pub fn new(input: R) -> Decoder<R> {
        let mut frame = FrameDecoder::new();
        frame.set_max_window_size(WINDOW_MAX.into());
        Decoder { input, frame }
    }

    /// Begins the next frame that holds data; whether there is one.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            match self.frame.reset(&mut self.input) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = (&mut self.input).take(length.into());
                    if io::copy(&mut { skipped }, &mut io::sink())? < length.into() {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(FrameDecoderError::WindowSizeTooBig { .. }) => {
                    return Err(ErrorKind::OutOfMemory.into());
                }
                Err(_) => return Err(ErrorKind::InvalidData.into()),
            }
        }
        Ok(false)
    }

    /// The frame's own checksum, where it has one, must be that of its data.
    fn check(&self) -> io::Result<()> {
        match (self.frame.get_checksum_from_data(), self.frame.get_calculated_checksum()) {
            (Some(told), Some(got)) if told != got => Err(ErrorKind::InvalidData.into()),
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.frame.can_collect() == 0 {
            if self.frame.is_finished() {
                self.check()?;
                if !self.next_frame()? {
                    return Ok(0);
                }
                continue;
            }
            let strategy = BlockDecodingStrategy::UptoBlocks(1);
            let decoded = self.frame.decode_blocks(&mut self.input, strategy);
            decoded.map_err(|_| ErrorKind::InvalidData)?;
        }
        self.frame.read(buffer)
    }
}
