//! The machine that a pickle is a program for, without the steps that call anything.

use std::collections::HashMap;
use std::io::{BufReader, Read, Seek};
use std::sync::Arc;

use super::values::{Array, Item, Span};

/// What went wrong in a step.
type Step<T> = std::result::Result<T, String>;

/// The most steps that are taken. The published files have one for each of 128,116 labels, and some
/// hundred others.
const MOST_STEPS: usize = 1 << 20;

/// The most axes of an array.
const MOST_AXES: usize = 8;

/// The most bytes of a text that is looked at: those of the longest name that is known, and two.
const LONGEST_NAME: u64 = 24;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Global {
    /// `_reconstruct(ndarray, (0,), b'b')`: an array, to be built.
    Reconstruct,
    /// `dtype('u1', False, True)`: a type, to be given its byte order.
    Dtype,
    /// `_codecs.encode(text, 'latin1')`: the bytes that the characters are.
    Encode,
    /// `ndarray`, only ever an argument.
    Ndarray,
}

/// A value; other values that it holds are meant by their number.
#[derive(Debug)]
enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A text, or bytes, where they lie; and if they are short, what they say.
    Characters {
        span: Span,
        name: Option<String>,
    },
    Tuple(Vec<usize>),
    List(Arc<Vec<i64>>),
    Dict(Vec<(String, usize)>),
    Global(Global),
    Dtype {
        kind: String,
        order: String,
    },
    /// `None` until it is built.
    Array(Option<Array>),
}

/// The machine, and where in the program it is.
pub(super) struct Machine<R> {
    reader: BufReader<R>,
    /// The next byte, the first byte of the running step, and the bytes that there are.
    at: u64,
    step_at: u64,
    length: u64,
    /// All values, in the order they were made in. The stack and the memo hold their numbers, so that
    /// a value may be meant twice without being copied.
    values: Vec<Value>,
    stack: Vec<usize>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, usize>,
}

impl<R: Read + Seek> Machine<R> {
    pub fn new(reader: BufReader<R>, length: u64) -> Machine<R> {
        Machine {
            reader,
            at: 0,
            step_at: 0,
            length,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    /// Where the last step stands.
    pub fn step_at(&self) -> u64 {
        self.step_at
    }

    /// Takes all steps; the items of the dictionary that they make.
    pub fn run(&mut self) -> Step<Vec<(String, Item)>> {
        for _ in 0..MOST_STEPS {
            self.step_at = self.at;
            match self.byte()? {
                b'.' => return self.result(),
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
            b'U' | b'C' | 0x8C => self.characters(1)?,
            b'T' | b'B' | b'X' => self.characters(4)?,
            0x8D | 0x8E => self.characters(8)?,
            b'}' => Value::Dict(Vec::new()),
            b']' => Value::List(Arc::default()),
            b')' => Value::Tuple(Vec::new()),
            b't' => Value::Tuple(self.above_mark()?),
            0x85..=0x87 => Value::Tuple(self.popped(usize::from(opcode - 0x84))?),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                Value::Global(global(&module, &name)?)
            }
            0x93 => {
                let names = self.popped(2)?;
                Value::Global(global(self.name(names[0])?, self.name(names[1])?)?)
            }
            b'R' => self.called()?,
            _ => return self.change(opcode),
        };
        self.stack.push(self.values.len());
        self.values.push(value);
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
                    "opcode {opcode:#04x}, which arrays and lists do without"
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
        let is_text = false;
        let span = Span {
            start,
            size,
            is_text,
        };
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
                let start = String::from_utf8_lossy(&bytes).escape_debug().to_string();
                return Err(format!("the name `{start}..`, which is none that is known"));
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

    /// Appends to the list on top of the stack. A list of anything but integers is refused: so no
    /// list holds itself.
    fn append(&mut self, values: &[usize]) -> Step<()> {
        let number = |&value: &usize| match self.values[value] {
            Value::Int(number) => Ok(number),
            _ => Err("a list of other things than integers".to_owned()),
        };
        let numbers = values.iter().map(number).collect::<Step<Vec<i64>>>()?;
        let top = self.top()?;
        match &mut self.values[top] {
            Value::List(list) => Arc::make_mut(list).extend(numbers),
            _ => return Err("values are appended to what is no list".to_owned()),
        }
        Ok(())
    }

    /// Sets items of the dictionary on top of the stack. Values that hold others are refused: so no
    /// dictionary holds itself.
    fn set_items(&mut self, pairs: &[usize]) -> Step<()> {
        let mut items = Vec::new();
        for pair in pairs.chunks(2) {
            let &[key, value] = pair else {
                return Err("a key without a value".to_owned());
            };
            let key = self.name(key)?.to_owned();
            match &self.values[value] {
                Value::Dict(_) | Value::Tuple(_) | Value::Global(_) | Value::Dtype { .. } => {
                    let key = key.escape_debug();
                    return Err(format!("the item `{key}` is neither an array nor a list"));
                }
                Value::Array(None) => return Err("an array without values".to_owned()),
                _ => items.push((key, value)),
            }
        }
        let top = self.top()?;
        match &mut self.values[top] {
            Value::Dict(dict) => dict.extend(items),
            _ => return Err("items are set in what is no dictionary".to_owned()),
        }
        Ok(())
    }

    /// What a call of the function below the tuple on top of the stack would give.
    fn called(&mut self) -> Step<Value> {
        let pair = self.popped(2)?;
        let [Value::Global(function), Value::Tuple(arguments)] =
            [&self.values[pair[0]], &self.values[pair[1]]]
        else {
            return Err("something is called that is no function".to_owned());
        };
        let arguments: Vec<&Value> = arguments.iter().map(|i| &self.values[*i]).collect();
        match (function, &arguments[..]) {
            (
                Global::Reconstruct,
                [
                    Value::Global(Global::Ndarray),
                    Value::Tuple(_),
                    Value::Characters { .. },
                ],
            ) => Ok(Value::Array(None)),
            (
                Global::Dtype,
                [
                    Value::Characters {
                        name: Some(kind), ..
                    },
                    _,
                    _,
                ],
            ) => Ok(Value::Dtype {
                kind: kind.clone(),
                order: "|".to_owned(),
            }),
            (
                Global::Encode,
                [
                    Value::Characters { span, name },
                    Value::Characters {
                        name: Some(code), ..
                    },
                ],
            ) if code == "latin1" => Ok(Value::Characters {
                span: Span {
                    is_text: true,
                    ..*span
                },
                name: name.clone(),
            }),
            _ => Err(format!("other arguments of {function:?} than NumPy writes")),
        }
    }

    /// Gives the array or type on top of the stack the state above it.
    fn build(&mut self) -> Step<()> {
        let state = self.popped(1)?[0];
        let object = self.top()?;
        let Value::Tuple(state) = &self.values[state] else {
            return Err("a state that is no tuple".to_owned());
        };
        let state: Vec<&Value> = state.iter().map(|i| &self.values[*i]).collect();
        let built = match (&self.values[object], &state[..]) {
            (Value::Dtype { kind, .. }, [Value::Int(_), Value::Characters { name, .. }, ..]) => {
                match name.as_deref() {
                    Some(order @ ("|" | "<" | ">")) => Value::Dtype {
                        kind: kind.clone(),
                        order: order.to_owned(),
                    },
                    _ => return Err("a byte order that is none of NumPy's".to_owned()),
                }
            }
            (
                Value::Array(None),
                [
                    Value::Int(1),
                    Value::Tuple(shape),
                    Value::Dtype { kind, order },
                    rows_first,
                    values,
                ],
            ) => {
                let (Value::Bool(false), Value::Characters { span, .. }) = (rows_first, values)
                else {
                    return Err("an array whose values are not bytes, rows first".to_owned());
                };
                Value::Array(Some(Array {
                    dtype: format!("{order}{kind}"),
                    shape: self.sizes(shape)?,
                    bytes: *span,
                }))
            }
            _ => return Err("a state of something that has none".to_owned()),
        };
        self.values[object] = built;
        Ok(())
    }

    /// The sizes of a shape.
    fn sizes(&self, shape: &[usize]) -> Step<Vec<usize>> {
        let size = |&value: &usize| match self.values[value] {
            Value::Int(size) => usize::try_from(size).ok(),
            _ => None,
        };
        let shape = Some(shape).filter(|shape| shape.len() <= MOST_AXES);
        let sizes = shape.and_then(|shape| shape.iter().map(size).collect());
        sizes.ok_or_else(|| "a shape that is not of sizes".to_owned())
    }

    /// The items of the dictionary that is left on the stack.
    fn result(&mut self) -> Step<Vec<(String, Item)>> {
        let top = self.top()?;
        let Value::Dict(items) = &self.values[top] else {
            return Err("it holds something other than a dictionary".to_owned());
        };
        let item = |(key, value): &(String, usize)| {
            let item = match &self.values[*value] {
                Value::List(list) => Item::Integers(list.clone()),
                Value::Array(Some(array)) => Item::Array(array.clone()),
                _ => Item::Other,
            };
            (key.clone(), item)
        };
        Ok(items.iter().map(item).collect())
    }
}

/// What a name stands for, if it is one of the four that NumPy writes.
fn global(module: &str, name: &str) -> Step<Global> {
    match (module, name) {
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
            Ok(Global::Reconstruct)
        }
        ("numpy", "dtype") => Ok(Global::Dtype),
        ("numpy", "ndarray") => Ok(Global::Ndarray),
        ("_codecs", "encode") => Ok(Global::Encode),
        _ => {
            let (module, name) = (module.escape_debug(), name.escape_debug());
            Err(format!(
                "it asks for `{module}.{name}`, which arrays do without; nothing was called"
            ))
        }
    }
}
