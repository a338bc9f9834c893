//! A reader of TensorBoard's files of events, made for tests: every length and check must be right.
#![allow(dead_code)] // each test crate uses its part

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A field of a protocol buffer.
pub enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Field {
    pub fn number(&self) -> u64 {
        match self {
            Field::Number(number) => *number,
            Field::Bytes(_) => panic!("no number"),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Field::Bytes(bytes) => bytes,
            Field::Number(_) => panic!("no bytes"),
        }
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let end = bytes.iter().position(|byte| byte & 128 == 0).unwrap();
    let (number, rest) = bytes.split_at(end + 1);
    *bytes = rest;
    number
        .iter()
        .rev()
        .fold(0, |sum, byte| (sum << 7) | u64::from(byte & 127))
}

/// The fields of a message, by their numbers.
pub fn fields(mut bytes: &[u8]) -> Vec<(u64, Field)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                fields.push((key >> 3, Field::Number(varint(&mut bytes))));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            kind => panic!("wire type {kind}"),
        };
        let (value, rest) = bytes.split_at(length);
        fields.push((key >> 3, Field::Bytes(value.to_vec())));
        bytes = rest;
    }
    fields
}

pub fn field(bytes: &[u8], number: u64) -> Option<Field> {
    let mut fields = fields(bytes).into_iter();
    fields.find(|(n, _)| *n == number).map(|(_, field)| field)
}

/// CRC-32C bit by bit, masked.
fn check(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        (0..8).for_each(|_| {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x82f6_3b78
            } else {
                crc >> 1
            }
        });
    }
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The events of a file; a record that ends early ends it.
fn events(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    while let Some((length, rest)) = file.split_at_checked(12) {
        let (length, sum) = length.split_at(8);
        assert_eq!(check(length).to_le_bytes(), sum);
        let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let Some((event, rest)) = rest.split_at_checked(length + 4) else {
            break;
        };
        let (event, sum) = event.split_at(length);
        assert_eq!(check(event).to_le_bytes(), sum);
        events.push(event.to_vec());
        file = rest;
    }
    events
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_one = |path: &PathBuf| path.display().to_string().contains("/events.out.tfevents.");
    let mut files: Vec<PathBuf> = entries.filter(is_one).collect();
    files.sort();
    files
}

/// Which of a value's fields says what it is: a scalar 2, a picture 4, a histogram 5, a tensor 8.
fn kind(value: &[u8]) -> u64 {
    let mut kinds = fields(value).into_iter().map(|(number, _)| number);
    kinds
        .find(|number| [2, 4, 5, 8].contains(number))
        .unwrap_or(0)
}

/// Values by tag, each with its step, as TensorBoard would show them: without what came after the
/// step at which a later file starts. The first file begins with such a start; a tag is of one kind,
/// and within a file its steps grow.
pub fn values(folder: &Path) -> BTreeMap<String, Vec<(u64, Vec<u8>)>> {
    let mut values: BTreeMap<String, Vec<(u64, Vec<u8>)>> = BTreeMap::new();
    for path in files(folder) {
        let events = events(&fs::read(path).unwrap());
        assert_eq!(field(&events[0], 3).unwrap().bytes(), b"brain.Event:2");
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        if values.is_empty() {
            assert!(
                field(&events[1], 7).is_some(),
                "the first session has no start"
            );
        }
        for event in &events[1..] {
            let step = field(event, 2).unwrap().number();
            if let Some(session) = field(event, 7) {
                assert_eq!(field(session.bytes(), 1).unwrap().number(), 1);
                values
                    .values_mut()
                    .for_each(|values| values.retain(|(at, _)| *at < step));
                continue;
            }
            for (_, value) in fields(field(event, 5).unwrap().bytes()) {
                let tag = field(value.bytes(), 1).unwrap();
                let tag = String::from_utf8(tag.bytes().to_vec()).unwrap();
                let before = last.insert(tag.clone(), step);
                assert!(
                    before.is_none_or(|before| before < step),
                    "{tag} at step {step}"
                );
                let values = values.entry(tag.clone()).or_default();
                if let Some((_, first)) = values.first() {
                    assert_eq!(kind(first), kind(value.bytes()), "{tag} is of two kinds");
                }
                values.push((step, value.bytes().to_vec()));
            }
        }
    }
    values
}

pub fn scalars(folder: &Path, tag: &str) -> Vec<(u64, f32)> {
    let values = values(folder).remove(tag).unwrap_or_default();
    let number =
        |value: &[u8]| f32::from_le_bytes(field(value, 2).unwrap().bytes().try_into().unwrap());
    values
        .iter()
        .map(|(step, value)| (*step, number(value)))
        .collect()
}
