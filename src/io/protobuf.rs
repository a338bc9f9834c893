//! Protocol buffers, as far as they are written here: a message is its fields, one after the other.
//!
//! ```text
//! field      key, value
//! key        varint of 8 number + wire type
//! value      wire type 0: a varint; 1: 8 bytes; 2: a varint of the length, and that many bytes; 5: 4 bytes
//! varint     7 bits a byte, the lowest first; the top bit says that more follow
//! ```
//!
//! Which number means what is in a format's `.proto` file, and stands beside the code that writes
//! the format. Field names are not written. A field that occurs several times is a list.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding>.

/// A message that is being written. Each method adds a field, and gives the message back:
///
/// ```
/// use wavemix::io::protobuf::Message;
/// let inner = Message::new().int(1, 150);
/// let outer = Message::new().text(2, "hi").message(3, &inner);
/// assert_eq!(outer.bytes(), [0x12, 2, b'h', b'i', 0x1a, 3, 0x08, 0x96, 0x01]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message without fields.
    pub fn new() -> Message {
        Message::default()
    }

    /// A whole number: `int32`, `int64`, `bool` or an enum. A negative one takes ten bytes.
    pub fn int(mut self, number: u32, value: i64) -> Message {
        self.key(number, 0);
        self.varint(value as u64);
        self
    }

    /// A `float`.
    pub fn float(mut self, number: u32, value: f32) -> Message {
        self.key(number, 5);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    /// A `double`.
    pub fn double(mut self, number: u32, value: f64) -> Message {
        self.key(number, 1);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    /// `bytes`.
    pub fn blob(mut self, number: u32, value: &[u8]) -> Message {
        self.key(number, 2);
        self.varint(value.len() as u64);
        self.bytes.extend(value);
        self
    }

    /// A `string`.
    pub fn text(self, number: u32, value: &str) -> Message {
        self.blob(number, value.as_bytes())
    }

    /// A message within this one.
    pub fn message(self, number: u32, value: &Message) -> Message {
        self.blob(number, &value.bytes)
    }

    /// A packed list of `double`s.
    pub fn doubles(self, number: u32, values: &[f64]) -> Message {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.blob(number, &bytes)
    }

    /// The fields written so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn key(&mut self, number: u32, wire_type: u64) {
        self.varint(8 * u64::from(number) + wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 128 {
            self.bytes.push(value as u8 | 128);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    /// The examples of the format's own page.
    #[test]
    fn fields_are_those_of_the_page_on_the_encoding() {
        let one = Message::new().int(1, 150);
        assert_eq!(one.bytes(), [0x08, 0x96, 0x01]);
        let text = Message::new().text(2, "testing");
        assert_eq!(text.bytes(), b"\x12\x07testing");
        assert_eq!(
            Message::new().message(3, &one).bytes(),
            b"\x1a\x03\x08\x96\x01"
        );
        let minus_two = Message::new().int(1, -2);
        assert_eq!(
            minus_two.bytes(),
            b"\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
        );
    }

    #[test]
    fn numbers_are_little_endian() {
        let numbers = Message::new().float(1, 1.0).double(16, -2.0);
        let expected = b"\x0d\0\0\x80\x3f\x81\x01\0\0\0\0\0\0\0\xc0";
        assert_eq!(numbers.bytes(), expected);
        let list = Message::new().doubles(6, &[1.0, 0.0]);
        assert_eq!(
            list.bytes(),
            b"\x32\x10\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\0"
        );
    }

    #[test]
    fn varints_grow_by_a_byte_at_each_power_of_128() {
        for (value, bytes) in [
            (0, 1),
            (127, 1),
            (128, 2),
            (16383, 2),
            (16384, 3),
            (i64::MAX, 9),
        ] {
            assert_eq!(
                Message::new().int(1, value).bytes().len(),
                1 + bytes,
                "{value}"
            );
        }
        assert_eq!(
            Message::new().blob(15, &[7; 300]).bytes()[..3],
            [0x7a, 0xac, 0x02]
        );
    }
}
