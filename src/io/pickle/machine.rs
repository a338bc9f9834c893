//! The machine that a pickle is a program for; calls are written down, not made.

use std::collections::HashMap;
use std::io::{BufReader, Read, Seek};

use super::values::{Call, Name, Span, Value};

/// What went wrong in a step.
type Step<T> = std::result::Result<T, String>;

/// The most steps that are taken. The files of ImageNet 64x64 have one for each of 128,116 labels; a
/// checkpoint has some 35 for each of its tensors.
const MOST_STEPS: usize = 1 << 20;

/// The most bytes of a text that is kept: names of weights say where in a network they are.
const LONGEST_NAME: u64 = 512;

/// The machine, and where in the program it is.
pub(super) struct Machine<R> {
    reader: BufReader<R>,
    /// The next byte, the first byte of the running step, and the bytes that there are.
    at: u64,
    step_at: u64,
    length: u64,
    allowed: &'static [Name],
    /// All values, in the order they were made in. The stack and the memo hold their numbers, so that
    /// a value may be meant twice without being copied.
    values: Vec<Value>,
    /// Whether another value holds this one. It changes no more then: so no value can hold itself,
    /// for of the holdings in a circle the last one would change a value that is held.
    held: Vec<bool>,
    stack: Vec<usize>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, usize>,
}

impl<R: Read + Seek> Machine<R> {
    pub fn new(reader: BufReader<R>, length: u64, allowed: &'static [Name]) -> Machine<R> {
        Machine {
            reader,
            at: 0,
            step_at: 0,
            length,
            allowed,
            values: Vec::new(),
            held: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    /// Where the last step stands.
    pub fn step_at(&self) -> u64 {
        self.step_at
    }

    /// All values.
    pub fn into_values(self) -> Vec<Value> {
        self.values
    }

    /// Takes all steps; the number of the value that they make, and where they end.
    pub fn run(&mut self) -> Step<(usize, u64)> {
        for _ in 0..MOST_STEPS {
            self.step_at = self.at;
            match self.byte()? {
                b'.' => return Ok((self.top()?, self.at)),
                opcode => self.step(opcode)?,
            }
        }
        Err(format!("it takes more than {MOST_STEPS} steps"))
    }

    /// A step that makes a value, which goes on the stack.
    fn step(&mut self, opcode: u8) -> Step<()> {
        let value = match opcode {
            b'N' => Value::None,
            0x88 | 0x89 => Value::Bool(opcode == 0x88),
            b'K' => Value::Int(self.number(1)? as i64),
            b'M' => Value::Int(self.number(2)? as i64),
            b'J' => Value::Int(i64::from(self.number(4)? as u32 as i32)),
            0x8A => Value::Int(self.long()?),
            b'G' => {
                self.number(8)?;
                Value::Float
            }
            b'U' | b'C' | 0x8C => self.characters(1)?,
            b'T' | b'B' | b'X' => self.characters(4)?,
            0x8D | 0x8E => self.characters(8)?,
            b'}' => Value::Dict(Vec::new()),
            b']' => Value::List(Vec::new()),
            b')' => Value::Tuple(Vec::new()),
            b't' => Value::Tuple(self.above_mark()?),
            0x85..=0x87 => Value::Tuple(self.popped(usize::from(opcode - 0x84))?),
            b'Q' => Value::Persistent(self.popped(1)?[0]),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                Value::Global(self.global(&module, &name)?)
            }
            0x93 => {
                let names = self.popped(2)?;
                Value::Global(self.global(self.name(names[0])?, self.name(names[1])?)?)
            }
            b'R' => self.called()?,
            _ => return self.change(opcode),
        };
        match &value {
            Value::Tuple(held) => self.hold(held),
            Value::Call(call) => self.hold(&[call.arguments]),
            Value::Persistent(held) => self.hold(&[*held]),
            _ => (),
        }
        self.stack.push(self.values.len());
        self.values.push(value);
        self.held.push(false);
        Ok(())
    }

    /// A step that changes what there is.
    fn change(&mut self, opcode: u8) -> Step<()> {
        match opcode {
            b'(' => self.marks.push(self.stack.len()),
            b'q' | b'r' | 0x94 => {
                let key = match opcode {
                    b'q' => self.number(1)?,
                    b'r' => self.number(4)?,
                    _ => self.memo.len() as u64,
                };
                let top = self.top()?;
                self.memo.insert(key, top);
            }
            b'h' | b'j' => {
                let key = self.number(if opcode == b'h' { 1 } else { 4 })?;
                let value = self.memo.get(&key).copied();
                self.stack
                    .push(value.ok_or_else(|| format!("nothing is kept as number {key}"))?);
            }
            b'a' => {
                let value = self.popped(1)?;
                self.append(&value)?;
            }
            b'e' => {
                let values = self.above_mark()?;
                self.append(&values)?;
            }
            b's' => {
                let pair = self.popped(2)?;
                self.set_items(&pair)?;
            }
            b'u' => {
                let pairs = self.above_mark()?;
                self.set_items(&pairs)?;
            }
            b'b' => self.build()?,
            0x80 => match self.number(1)? {
                2..=4 => (),
                protocol => return Err(format!("protocol {protocol}; 2, 3 and 4 are read")),
            },
            0x95 => {
                self.number(8)?;
            }
            _ => {
                return Err(format!(
                    "opcode {opcode:#04x}, which is none of those that are read"
                ));
            }
        }
        Ok(())
    }

    fn byte(&mut self) -> Step<u8> {
        self.number(1).map(|byte| byte as u8)
    }

    /// An unsigned number of so many bytes.
    fn number(&mut self, width: usize) -> Step<u64> {
        let mut bytes = [0; 8];
        let read = self.reader.read_exact(&mut bytes[..width]);
        read.map_err(|_| "the file ends".to_owned())?;
        self.at += width as u64;
        Ok(u64::from_le_bytes(bytes))
    }

    /// A signed number of up to 8 bytes, after their count.
    fn long(&mut self) -> Step<i64> {
        let width = self.number(1)? as usize;
        match width {
            0 => Ok(0),
            1..=8 => {
                let unused = 64 - 8 * width as u32;
                Ok((self.number(width)? << unused) as i64 >> unused)
            }
            _ => Err(format!("a number of {width} bytes")),
        }
    }

    /// A text or bytes, after their count, which has so many bytes.
    fn characters(&mut self, width: usize) -> Step<Value> {
        let size = self.number(width)?;
        let (start, left) = (self.at, self.length.saturating_sub(self.at));
        if size > left {
            return Err(format!("{size} bytes are promised where {left} are left"));
        }
        let name = match size {
            ..=LONGEST_NAME => {
                let mut bytes = vec![0; size as usize];
                let read = self.reader.read_exact(&mut bytes);
                read.map_err(|_| "the file ends".to_owned())?;
                String::from_utf8(bytes).ok()
            }
            _ => {
                let moved = self.reader.seek_relative(size as i64);
                moved.map_err(|e| format!("the file cannot be read: {e}"))?;
                None
            }
        };
        self.at += size;
        let span = Span { start, size };
        Ok(Value::Characters { span, name })
    }

    /// The rest of a line.
    fn line(&mut self) -> Step<String> {
        let mut bytes = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                byte => bytes.push(byte),
            }
            if bytes.len() as u64 > LONGEST_NAME {
                let start = String::from_utf8_lossy(&bytes[..24])
                    .escape_debug()
                    .to_string();
                return Err(format!("it names `{start}..`, which is not allowed"));
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The value on top of the stack, if it is above the last mark.
    fn top(&self) -> Step<usize> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = self.stack.last().filter(|_| self.stack.len() > floor);
        top.copied().ok_or_else(|| "the stack is empty".to_owned())
    }

    /// The last values of the stack, taken from it, the lowest first.
    fn popped(&mut self, count: usize) -> Step<Vec<usize>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let from = self
            .stack
            .len()
            .checked_sub(count)
            .filter(|from| *from >= floor);
        let from = from.ok_or_else(|| "the stack is empty".to_owned())?;
        Ok(self.stack.split_off(from))
    }

    /// The values above the last mark, taken from the stack with it.
    fn above_mark(&mut self) -> Step<Vec<usize>> {
        let mark = self.marks.pop();
        let mark = mark.ok_or_else(|| "no mark is on the stack".to_owned())?;
        Ok(self.stack.split_off(mark))
    }

    /// What a short text says.
    fn name(&self, value: usize) -> Step<&str> {
        match &self.values[value] {
            Value::Characters {
                name: Some(name), ..
            } => Ok(name),
            _ => Err("something stands where a short text belongs".to_owned()),
        }
    }

    /// Notes that these are held by another value.
    fn hold(&mut self, values: &[usize]) {
        values.iter().for_each(|&value| self.held[value] = true);
    }

    /// The value on top of the stack, which is to hold these from now on.
    fn holder(&mut self, values: &[usize]) -> Step<&mut Value> {
        self.hold(values);
        let top = self.top()?;
        match self.held[top] {
            true => Err("a value holds itself, or changes once another holds it".to_owned()),
            false => Ok(&mut self.values[top]),
        }
    }

    /// Appends to the list on top of the stack.
    fn append(&mut self, values: &[usize]) -> Step<()> {
        match self.holder(values)? {
            Value::List(list) => list.extend(values),
            _ => return Err("values are appended to what is no list".to_owned()),
        }
        Ok(())
    }

    /// Sets items of the dictionary on top of the stack, or of what a call makes.
    fn set_items(&mut self, pairs: &[usize]) -> Step<()> {
        let (items, rest) = pairs.as_chunks();
        let items = items.iter().map(|&[key, value]| (key, value));
        match self.holder(pairs)? {
            _ if !rest.is_empty() => return Err("a key without a value".to_owned()),
            Value::Dict(dict) => dict.extend(items),
            Value::Call(call) => call.items.extend(items),
            _ => return Err("items are set in what is no dictionary".to_owned()),
        }
        Ok(())
    }

    /// The call of the function below the tuple on top of the stack.
    fn called(&mut self) -> Step<Value> {
        let pair = self.popped(2)?;
        match [&self.values[pair[0]], &self.values[pair[1]]] {
            [Value::Global(function), Value::Tuple(_)] => Ok(Value::Call(Box::new(Call {
                function,
                arguments: pair[1],
                items: Vec::new(),
                state: None,
            }))),
            _ => Err("something is called that is no function".to_owned()),
        }
    }

    /// Gives what the call on top of the stack makes the state above it.
    fn build(&mut self) -> Step<()> {
        let state = self.popped(1)?;
        match self.holder(&state)? {
            Value::Call(call) if call.state.is_none() => call.state = Some(state[0]),
            _ => return Err("a state of something that has none".to_owned()),
        }
        Ok(())
    }

    /// What a name stands for, if it is allowed.
    fn global(&self, module: &str, name: &str) -> Step<&'static str> {
        let found = self.allowed.iter().find(|known| **known == (module, name));
        found.map(|(_, name)| *name).ok_or_else(|| {
            let (module, name) = (module.escape_debug(), name.escape_debug());
            format!("it names `{module}.{name}`, which is not allowed; nothing was called")
        })
    }
}
