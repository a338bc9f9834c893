//! As much of HTTP/1.1 as a page for one's own browser takes: one request a connection, read by a
//! deadline and within limits, and its reply. What is not understood is refused.
//!
//! Source: RFC 9110 (HTTP Semantics) and RFC 9112 (HTTP/1.1).

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// The longest request line and headers, in bytes.
const LONGEST_HEAD: usize = 8 << 10;

/// Headers of every reply: a page may load and ask nothing but this server, and nothing is kept.
const FIXED: &str = "Content-Security-Policy: default-src 'none'; script-src 'unsafe-inline'; \
                     style-src 'unsafe-inline'; img-src 'self' data:; connect-src 'self'\r\n\
                     X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n";

/// A request that is not served: the status, and the reason as the client is told it.
#[derive(Debug, PartialEq)]
pub struct Refusal(pub u16, pub String);

/// A refusal, for `map_err` and `ok_or`.
pub fn refuse<T>(status: u16, why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(status, why.into()))
}

/// The first lines of a request.
#[derive(Debug, Default, PartialEq)]
pub struct Head {
    /// `GET`.
    pub method: String,
    /// What follows the host in an address, without `?` and what stands behind it.
    pub path: String,
    /// `localhost:8028`.
    pub host: String,
    /// The page that asks, where a browser says it.
    pub origin: Option<String>,
    /// The bytes of the body, where they are told.
    pub length: Option<usize>,
}

impl Head {
    /// From the lines before the empty one.
    ///
    /// # Errors
    /// 400 where these are no request; 411 where the body has no length.
    pub fn parse(bytes: &[u8]) -> Result<Head, Refusal> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return refuse(400, "the head of the request is not UTF-8");
        };
        let mut lines = text.split("\r\n");
        let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let [method, target, "HTTP/1.1" | "HTTP/1.0"] = words[..] else {
            return refuse(400, "the first line is not `METHOD /path HTTP/1.1`");
        };
        if !is_token(method) || !target.starts_with('/') || has_controls(target) {
            return refuse(400, "no such request line");
        }
        let path = target.split('?').next().unwrap_or_default().to_owned();
        let mut head = Head { method: method.to_owned(), path, ..Head::default() };
        let mut seen = Vec::new();
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                return refuse(400, "a header without a colon");
            };
            let (name, value) = (name.to_lowercase(), value.trim_matches([' ', '\t']));
            if !is_token(&name) || has_controls(value) {
                return refuse(400, "a header with characters that it must not have");
            }
            head.add(&name, value)?;
            seen.push(name);
        }
        match seen.iter().filter(|name| *name == "host").count() {
            1 => Ok(head),
            _ => refuse(400, "a request names its host once"),
        }
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        match name {
            "host" => self.host = value.to_owned(),
            "origin" => self.origin = Some(value.to_owned()),
            "transfer-encoding" => return refuse(411, "a body has to say its length first"),
            // Digits alone: `parse` would take a sign as well.
            "content-length" if self.length.is_some() || !value.bytes().all(is_digit) => {
                return refuse(400, "the length of the body is no number, or told twice");
            }
            "content-length" => match value.parse() {
                Ok(length) => self.length = Some(length),
                Err(_) if value.is_empty() => return refuse(400, "the body's length is empty"),
                Err(_) => return refuse(413, "the body is too large"),
            },
            _ => {}
        }
        Ok(())
    }
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

/// A name, as RFC 9110 has it in section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

fn has_controls(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && c != '\t')
}

/// What is sent back.
pub struct Reply {
    pub status: u16,
    /// The type of the body, `text/html`.
    pub kind: &'static str,
    pub body: Vec<u8>,
}

impl Reply {
    /// What was asked for.
    pub fn new(kind: &'static str, body: impl Into<Vec<u8>>) -> Reply {
        Reply { status: 200, kind, body: body.into() }
    }
}

impl From<Refusal> for Reply {
    fn from(Refusal(status, why): Refusal) -> Reply {
        Reply { status, ..Reply::new("text/plain; charset=utf-8", why + "\n") }
    }
}

/// A client with so much time for all that it sends, and then for all that it takes: one that
/// sends a byte now and then is late too.
pub struct Client<'a> {
    stream: &'a TcpStream,
    allowed: Duration,
    deadline: Instant,
    /// Bytes of the body that came with the head.
    rest: Vec<u8>,
}

impl Client<'_> {
    pub fn new(stream: &TcpStream, allowed: Duration) -> Client<'_> {
        Client { stream, allowed, deadline: Instant::now() + allowed, rest: Vec::new() }
    }

    /// Reads the head.
    ///
    /// # Errors
    /// 408 where the client is late, 431 where the head is too long; those of [`Head::parse`].
    pub fn read_head(&mut self) -> Result<Head, Refusal> {
        let mut bytes = Vec::new();
        loop {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            if end.unwrap_or(bytes.len()) > LONGEST_HEAD {
                return refuse(431, "the head of the request is too long");
            }
            if let Some(end) = end {
                self.rest = bytes.split_off(end + 4);
                return Head::parse(&bytes[..end]);
            }
            self.read_more(&mut bytes)?;
        }
    }

    /// Reads a body of at most so many bytes.
    ///
    /// # Errors
    /// 411 without a length, 413 where it is larger, 408 where the client is late.
    pub fn read_body(&mut self, head: &Head, most: usize) -> Result<Vec<u8>, Refusal> {
        let Some(length) = head.length else {
            return refuse(411, "a body has to say its length first");
        };
        if length > most {
            return refuse(413, format!("at most {most} bytes are taken"));
        }
        let mut body = std::mem::take(&mut self.rest);
        while body.len() < length {
            self.read_more(&mut body)?;
        }
        body.truncate(length);
        Ok(body)
    }

    fn read_more(&mut self, bytes: &mut Vec<u8>) -> Result<(), Refusal> {
        let mut some = [0; 16 << 10];
        match self.read(&mut some) {
            Ok(0) => refuse(400, "the request ends in between"),
            Ok(n) => {
                bytes.extend(&some[..n]);
                Ok(())
            }
            Err(_) => refuse(408, "the request did not come in time"),
        }
    }

    /// Sends the reply and ends the connection. Whether it arrives is the client's affair.
    pub fn finish(mut self, reply: &Reply) {
        self.deadline = Instant::now() + self.allowed;
        let Reply { status, kind, body } = reply;
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             {FIXED}Connection: close\r\n\r\n",
            phrase(*status),
            body.len(),
        );
        let sent = self.write_all(head.as_bytes()).and_then(|()| self.write_all(body));
        // Closed with bytes of the request unread, a connection is reset, and a reset may overtake
        // the reply. So what still comes is read, until the client closes or its time is over.
        if sent.is_ok() && self.stream.shutdown(Shutdown::Write).is_ok() {
            while self.read(&mut [0; 16 << 10]).is_ok_and(|n| n > 0) {}
        }
    }

    /// What is left of the client's time.
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Client<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Client<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        _ => "Internal Server Error",
    }
}
