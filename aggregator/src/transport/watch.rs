//! The events that a watch brings.

use super::client::Response;
use super::error::{ErrorKind, TransportError};

/// One event may not be larger.
///
/// DIFFERENCE: Go has no limit.
const MAX_EVENT: usize = 16 << 20;

/// The events of a watch, one JSON document per line.
pub struct WatchStream {
    response: Response,
    buffer: Vec<u8>,
    /// Length of the line handed out last, newline included.
    consumed: usize,
}

impl WatchStream {
    pub(super) fn new(response: Response) -> Self {
        Self {
            response,
            buffer: Vec::new(),
            consumed: 0,
        }
    }

    /// The next event; `None` when the server ended the watch. Cancelling
    /// loses nothing.
    ///
    /// # Errors
    ///
    /// If the stream breaks, or an event is too large.
    pub async fn next(&mut self) -> Result<Option<&[u8]>, TransportError> {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        let mut searched = 0;
        loop {
            if let Some(found) = memchr::memchr(b'\n', &self.buffer[searched..]) {
                let end = searched + found;
                self.consumed = end + 1;
                return Ok(Some(&self.buffer[..end]));
            }
            searched = self.buffer.len();
            if searched > MAX_EVENT {
                return Err(TransportError::new(
                    ErrorKind::Malformed,
                    "watch event is too large",
                ));
            }
            match self.response.chunk().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(TransportError::new(ErrorKind::Reset, "unexpected EOF")),
            }
        }
    }
}
