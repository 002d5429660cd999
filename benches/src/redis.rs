//! Two sorted sets per author, originals and the rest, in a Redis of our own: started on a free port,
//! asked in one pipeline.
//!
//! The client is a plain socket and a parser that copies nothing but the numbers, so that the time is
//! Redis's and not that of a client library.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use xfeed_core::ids::Id;
use xfeed_core::thunder::Record;

/// The set of originals.
pub const ORIGINALS: char = 'o';
/// The set of replies and reposts.
pub const SECONDARY: char = 's';

fn key(list: char, author: Id) -> String {
    format!("{list}{}", author.0)
}

/// A server that ends with this value.
pub struct Redis {
    server: Child,
    input: BufReader<TcpStream>,
    output: Vec<u8>,
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It holds nothing worth keeping, and if it is gone already there is nothing to end.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Redis {
    /// Starts a server without persistence; `None` when there is no `redis-server`.
    ///
    /// # Errors
    /// When it does not answer within five seconds.
    pub fn start() -> io::Result<Option<Self>> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let started = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn();
        let mut server = match started {
            Ok(server) => server,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        for _ in 0..100 {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                stream.set_nodelay(true)?;
                return Ok(Some(Self {
                    server,
                    input: BufReader::with_capacity(1 << 18, stream),
                    output: Vec::new(),
                }));
            }
            sleep(Duration::from_millis(50));
        }
        server.kill()?;
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "redis-server does not answer",
        ))
    }

    fn command(&mut self, words: &[&str]) {
        // Writing to memory cannot fail.
        let _ = write!(self.output, "*{}\r\n", words.len());
        for word in words {
            let _ = write!(self.output, "${}\r\n{word}\r\n", word.len());
        }
    }

    fn send(&mut self) -> io::Result<()> {
        self.input.get_mut().write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// A line that says how many of something follow, or how many were added.
    fn number(&mut self, line: &mut Vec<u8>) -> io::Result<usize> {
        line.clear();
        self.input.read_until(b'\n', line)?;
        let text = line
            .get(1..)
            .map(|rest| String::from_utf8_lossy(rest.trim_ascii()));
        let number = text.and_then(|text| text.parse().ok());
        number
            .filter(|_| line[0] != b'-')
            .ok_or_else(|| unexpected(line))
    }

    /// Adds posts to the sets of their authors, one command a set.
    ///
    /// # Errors
    /// When the server does not answer as expected.
    pub fn add(&mut self, records: &[Record]) -> io::Result<()> {
        let mut sets: HashMap<String, Vec<String>> = HashMap::new();
        for record in records {
            let list = if record.is_secondary() {
                SECONDARY
            } else {
                ORIGINALS
            };
            let words = sets.entry(key(list, record.author)).or_default();
            words.extend([record.created_ms.to_string(), record.id.0.to_string()]);
        }
        for (key, words) in &sets {
            let mut all = vec!["ZADD", key];
            all.extend(words.iter().map(String::as_str));
            self.command(&all);
        }
        self.send()?;
        let mut line = Vec::new();
        for _ in 0..sets.len() {
            self.number(&mut line)?;
        }
        Ok(())
    }

    /// The newest `max_results` of the newest posts of each account: for every list its name and
    /// how many of one account count.
    ///
    /// # Errors
    /// When the server does not answer as expected.
    pub fn newest(
        &mut self,
        following: &[Id],
        lists: &[(char, usize)],
        max_results: usize,
    ) -> io::Result<Vec<u64>> {
        for (list, cap) in lists {
            let last = (cap - 1).to_string();
            for author in following {
                self.command(&["ZREVRANGE", &key(*list, *author), "0", &last, "WITHSCORES"]);
            }
        }
        self.send()?;
        let mut found: Vec<(u64, u64)> = Vec::new();
        let mut line = Vec::new();
        for _ in 0..lists.len() * following.len() {
            for _ in 0..self.number(&mut line)? / 2 {
                let id = self.bulk(&mut line)?;
                found.push((self.bulk(&mut line)?, id));
            }
        }
        if found.len() > max_results {
            found.select_nth_unstable_by(max_results - 1, |a, b| b.cmp(a));
            found.truncate(max_results);
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }

    /// A string that is a number.
    fn bulk(&mut self, line: &mut Vec<u8>) -> io::Result<u64> {
        let len = self.number(line)?;
        line.resize(len + 2, 0);
        self.input.read_exact(line)?;
        let digits = line[..len].iter();
        digits
            .map(|byte| byte.checked_sub(b'0').filter(|digit| *digit < 10))
            .try_fold(0_u64, |number, digit| {
                number.checked_mul(10)?.checked_add(digit?.into())
            })
            .ok_or_else(|| unexpected(line))
    }

    /// Bytes that the server says it uses.
    ///
    /// # Errors
    /// When the server does not answer as expected.
    pub fn used_bytes(&mut self) -> io::Result<u64> {
        self.command(&["INFO", "memory"]);
        self.send()?;
        let mut text = Vec::new();
        let len = self.number(&mut text)?;
        text.resize(len + 2, 0);
        self.input.read_exact(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let number = text
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        number
            .and_then(|number| number.trim().parse().ok())
            .ok_or_else(|| unexpected(text.as_bytes()))
    }
}

fn unexpected(line: &[u8]) -> io::Error {
    io::Error::other(format!(
        "redis answered `{}`",
        String::from_utf8_lossy(line).trim()
    ))
}
