//! Files that TensorBoard shows: scalars, histograms, pictures, text and settings of a run.
//!
//! ```text
//! file       records, one after the other
//! record     u64 length, u32 check of those 8 bytes, the event, u32 check of the event; all little-endian
//! check      rotated right by 15 bits and 0xa282ead8 added: the CRC-32C of the bytes
//! event      a protocol buffer: 1 time, 2 step, 3 version of the file or 5 summary or 7 session
//! summary    1 values: 1 tag, 9 plugin, and 2 scalar, 4 picture, 5 histogram or 8 tensor
//! ```
//!
//! Files are only ever appended to. TensorBoard reads those of a folder in the order of their
//! names. Where a run goes on from an earlier step, its readers forget what they read of that step
//! and of later ones: one of them tag by tag, as soon as a value with a smaller step comes; the
//! other where a session starts, but for the first start it sees, which it takes for the run's
//! beginning. So the first file of a folder has the start of a session at step 0.
//!
//! The plugin of a tag's first value shows all values of the tag, and a value replaces those of
//! its step and of later ones. So a tag is of one kind, and has one value a step.
//!
//! Source: `event.proto`, `summary.proto`, `plugins/hparams/plugin_data.proto` of
//! <https://github.com/tensorflow/tensorboard>.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::io::protobuf::Message;
use crate::{Error, Result};

/// How the names of such files begin; the second at which the file was made follows.
const NAME: &str = "events.out.tfevents.";

/// Bars of a histogram, of equal width.
const BARS: usize = 30;

/// What is kept back is written at the latest when there is so much of it, or after so long.
const MOST: usize = 1 << 20;
const LONGEST: Duration = Duration::from_secs(30);

/// A file of events, open for appending.
///
/// Events are written together, by [`flush`](EventFile::flush), and by themselves when a MiB has
/// gathered or half a minute has passed.
///
/// ```
/// use wavemix::io::tensorboard::EventFile;
/// # let folder = std::env::temp_dir().join(format!("wavemix-events-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let mut events = EventFile::create(&folder)?;
/// for step in 1..=100 {
///     events.scalars(step, &[("loss", 1.0 / step as f64), ("learning_rate", 1e-3)])?;
/// }
/// events.histogram(100, "weights", &[-0.5, 0.25, 0.5])?;
/// events.flush()?;
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wavemix::Error>(())
/// ```
///
/// `tensorboard --logdir FOLDER` (`pip install tensorboard`) then shows it in a browser.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    /// The bytes of the file that are whole records.
    length: u64,
    /// Whole records that are not in the file yet.
    waiting: Vec<u8>,
    written: Instant,
}

impl EventFile {
    /// A new file in this folder, in the order of names after all that are there.
    ///
    /// # Errors
    /// The system refuses.
    pub fn create(folder: impl AsRef<Path>) -> Result<EventFile> {
        let folder = folder.as_ref();
        let is_first = EventFile::find(folder)?.is_empty();
        let path = folder.join(next_name(folder)?);
        let made = OpenOptions::new().write(true).create_new(true).open(&path);
        made.map_err(Error::io("create", &path))?;
        let mut file = EventFile {
            path,
            length: 0,
            waiting: Vec::new(),
            written: Instant::now(),
        };
        file.record(&version())?;
        if is_first {
            file.record(&session_start(0))?;
        }
        file.flush()?;
        Ok(file)
    }

    /// The same for a run that goes on, and whose next step has this number: TensorBoard forgets
    /// what earlier files of the folder have of that step and of later ones.
    ///
    /// # Errors
    /// The system refuses.
    pub fn resume(folder: impl AsRef<Path>, step: u64) -> Result<EventFile> {
        let mut file = EventFile::create(folder)?;
        file.record(&session_start(step))?;
        file.flush()?;
        Ok(file)
    }

    /// The files of events in this folder.
    ///
    /// # Errors
    /// The system refuses.
    pub fn find(folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        let folder = folder.as_ref();
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
            let path = entry.map_err(Error::io("read", folder))?.path();
            if second(&path).is_some() {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Numbers of this step, each with its tag. A tag's part before a `/` is the group that it is
    /// shown in.
    ///
    /// # Errors
    /// The system refuses to write what has gathered; so have all that follow.
    pub fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
        let summary = values.iter().fold(Message::new(), |summary, (tag, value)| {
            summary.message(1, &Message::new().text(1, tag).float(2, *value as f32))
        });
        self.record(&event(step).message(5, &summary))
    }

    /// How these numbers are distributed, in 30 bars of equal width. Those that are not finite are
    /// left out; where none is left, nothing is written.
    pub fn histogram(&mut self, step: u64, tag: &str, values: &[f32]) -> Result<()> {
        let finite = || {
            values
                .iter()
                .filter(|x| x.is_finite())
                .map(|&x| f64::from(x))
        };
        let count = finite().count();
        if count == 0 {
            return Ok(());
        }
        let (min, max) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), x| {
            (min.min(x), max.max(x))
        });
        let width = (max - min) / BARS as f64;
        let bars = if width > 0.0 { BARS } else { 1 };
        let mut counts = vec![0.0; bars];
        for x in finite() {
            // All are equal where bars have no width, and 0/0 counts as 0.
            counts[(((x - min) / width) as usize).min(bars - 1)] += 1.0;
        }
        let ends: Vec<f64> = (1..=bars).map(|i| min + width * i as f64).collect();
        let histogram = Message::new()
            .double(1, min)
            .double(2, max)
            .double(3, count as f64)
            .double(4, finite().sum())
            .double(5, finite().map(|x| x * x).sum())
            .doubles(6, &ends)
            .doubles(7, &counts);
        self.value(step, Message::new().text(1, tag).message(5, &histogram))
    }

    /// A picture of `[height, width]`: the bytes of a PNG file in colour. Its tag is not one of
    /// text.
    pub fn png(&mut self, step: u64, tag: &str, size: [usize; 2], png: &[u8]) -> Result<()> {
        let picture = Message::new()
            .int(1, size[0] as i64)
            .int(2, size[1] as i64)
            .int(3, 3)
            .blob(4, png);
        self.value(step, Message::new().text(1, tag).message(4, &picture))
    }

    /// Text, which is shown as Markdown. Its tag is not one of pictures.
    pub fn text(&mut self, step: u64, tag: &str, text: &str) -> Result<()> {
        // A tensor of strings with one element.
        let one = Message::new().message(2, &Message::new().int(1, 1));
        let tensor = Message::new().int(1, 7).message(2, &one).text(8, text);
        let value = Message::new().text(1, tag).message(8, &tensor);
        self.value(step, value.message(9, &plugin("text", &Message::new())))
    }

    /// The settings of a run for the table "HPARAMS", beside the scalar with the tag `metric`, by
    /// which runs are compared. Text that reads as a number is one; what is neither text, number
    /// nor switch is shown as JSON.
    pub fn settings(&mut self, settings: &Map<String, Value>, metric: &str) -> Result<()> {
        let (mut infos, mut start) = (Message::new(), Message::new());
        for (name, value) in settings {
            let (kind, value) = setting(value);
            infos = infos.message(4, &Message::new().text(1, name).int(4, kind));
            start = start.message(1, &Message::new().text(1, name).message(2, &value));
        }
        let metric = Message::new().message(1, &Message::new().text(2, metric));
        self.session("experiment", 2, &infos.message(5, &metric))?;
        self.session("session_start_info", 3, &start.double(5, now()))
    }

    /// Writes that the run whose [`settings`](EventFile::settings) were given has ended well.
    pub fn finished(&mut self) -> Result<()> {
        let end = Message::new().int(1, 1).double(2, now());
        self.session("session_end_info", 4, &end)
    }

    /// Writes what has gathered.
    ///
    /// # Errors
    /// The system refuses, as where a disk is full. What had gathered is lost then; a record of
    /// which a part was written is cut off by the next call. A file that was removed is begun anew.
    pub fn flush(&mut self) -> Result<()> {
        let records = std::mem::take(&mut self.waiting);
        self.written = Instant::now();
        self.append(&records)
            .map_err(Error::io("write", &self.path))
    }

    fn append(&mut self, records: &[u8]) -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.path)?;
        if file.metadata()?.len() < self.length {
            file.set_len(0)?;
            let start = [framed(&version()), framed(&session_start(0))].concat();
            file.write_all(&start)?;
            self.length = start.len() as u64;
        }
        file.set_len(self.length)?;
        file.write_all(records)?;
        self.length += records.len() as u64;
        Ok(())
    }

    fn session(&mut self, tag: &str, field: u32, content: &Message) -> Result<()> {
        let content = Message::new().message(field, content);
        let value = Message::new().text(1, &format!("_hparams_/{tag}"));
        self.value(0, value.message(9, &plugin("hparams", &content)))
    }

    fn value(&mut self, step: u64, value: Message) -> Result<()> {
        self.record(&event(step).message(5, &Message::new().message(1, &value)))
    }

    fn record(&mut self, event: &Message) -> Result<()> {
        self.waiting.extend(framed(event));
        if self.waiting.len() >= MOST || self.written.elapsed() >= LONGEST {
            self.flush()?;
        }
        Ok(())
    }
}

impl Drop for EventFile {
    fn drop(&mut self) {
        // Where this fails there is nobody left to tell.
        let _ = self.flush();
    }
}

/// The record of an event.
fn framed(event: &Message) -> Vec<u8> {
    let length = (event.bytes().len() as u64).to_le_bytes();
    let parts = [&length, event.bytes()];
    let framed = parts.map(|part| [part, &masked_crc(part).to_le_bytes()].concat());
    framed.concat()
}

/// The event that each file begins with.
fn version() -> Message {
    event(0).text(3, "brain.Event:2")
}

/// The start of a session whose next step has this number.
fn session_start(step: u64) -> Message {
    event(step).message(7, &Message::new().int(1, 1))
}

/// An event of this step, to which what happened is added.
fn event(step: u64) -> Message {
    Message::new().double(1, now()).int(2, step as i64)
}

/// Metadata that give a value to a plugin.
fn plugin(name: &str, content: &Message) -> Message {
    let plugin = Message::new().text(1, name).message(2, content);
    Message::new().message(1, &plugin)
}

/// A setting's type (text 1, switch 2, number 3) and value.
fn setting(value: &Value) -> (i64, Message) {
    let number = |x: f64| (3, Message::new().double(2, x));
    match value {
        Value::Bool(on) => (2, Message::new().int(4, i64::from(*on))),
        Value::Number(x) => number(x.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => match text.parse::<f64>() {
            Ok(x) if x.is_finite() => number(x),
            _ => (1, Message::new().text(3, text)),
        },
        other => (1, Message::new().text(3, &other.to_string())),
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |time| time.as_secs_f64())
}

/// The second in the name of a file of events.
fn second(path: &Path) -> Option<u64> {
    let rest = path.file_name()?.to_str()?.strip_prefix(NAME)?;
    rest.split('.').next()?.parse().ok()
}

/// A name with the present second, or the one after the last that is there.
fn next_name(folder: &Path) -> Result<String> {
    let there = EventFile::find(folder)?;
    let after = there.iter().filter_map(|path| second(path)?.checked_add(1));
    let second = after.fold(now() as u64, u64::max);
    Ok(format!("{NAME}{second}.wavemix.{}.0", std::process::id()))
}

/// The CRC-32C, made unlike that of data which hold a CRC themselves.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The cyclic redundancy check with Castagnoli's polynomial, bits in reverse: 0x82f63b78.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8)
    })
}

/// What eight steps of the division make of each byte.
static TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = (crc >> 1) ^ ((crc & 1) * 0x82f6_3b78);
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The format's check values.
    #[test]
    fn checks_are_crc32c() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b""), 0);
        assert_eq!(masked_crc(b""), 0xa282_ead8);
    }

    #[test]
    fn a_disk_that_is_full_is_an_error_that_names_the_file() {
        let mut file = EventFile {
            path: "/dev/full".into(),
            length: 0,
            waiting: Vec::new(),
            written: Instant::now(),
        };
        file.scalars(1, &[("loss", 0.5)]).unwrap();
        if cfg!(target_os = "linux") {
            let error = file.flush().unwrap_err().to_string();
            assert!(error.starts_with("cannot write /dev/full: "), "{error}");
        }
        let missing = EventFile::create("no/such/folder").unwrap_err().to_string();
        assert!(
            missing.starts_with("cannot read no/such/folder: "),
            "{missing}"
        );
    }
}
