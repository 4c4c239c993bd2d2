//! The pickle machine: a stack, marks and a memo, over plain data.
//!
//! Opcodes are those of protocols 2 to 5 (Python, `Lib/pickletools.py`), less those that build
//! objects of classes. Objects live in a list of nodes and refer to each other by index, so a value
//! that the memo hands out twice is one node, and one that contains itself is noticed when the tree
//! is made. [`MOST`] bounds how many values a pickle may push or copy, [`SHARED`] how many more the tree
//! may have where shared ones are written out, [`DEEPEST`] how deep they nest.

use super::global::{Global, name_of};
use super::{TensorView, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// More values than any state dict has: one of 10,000 tensors pushes 300,000.
const MOST: usize = 1 << 21;
/// The tree may have so many times the values that were pushed.
const SHARED: usize = 16;
/// More arguments than any call takes.
const MOST_ARGUMENTS: usize = 16;
/// PyTorch's own limit.
const MOST_AXES: usize = 64;
/// Deeper than any configuration nests.
const DEEPEST: usize = 100;

/// A value on the stack.
#[derive(Debug, Clone, Copy)]
enum Item {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Node(u32),
}

/// A value that takes memory of its own, or that may change after it was made.
#[derive(Debug, Clone)]
enum Node {
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    Long(Arc<[u8]>),
    List(Vec<Item>),
    Tuple(Vec<Item>),
    Set(Vec<Item>),
    Dict(Vec<(Item, Item)>),
    Global(Global),
    Storage {
        key: Arc<str>,
        held: u64,
        dtype: Option<::safetensors::Dtype>,
    },
    Tensor(Arc<TensorView>),
    Device(Arc<str>),
    /// NumPy's type of a scalar: kind and width.
    Scalar(char, usize),
}

/// Interprets a pickle. `held` gives the length of the storage of a key.
pub(super) fn run(pickle: &[u8], held: &dyn Fn(&str) -> Option<u64>) -> Result<Value, String> {
    let mut m = Machine::new(pickle, held);
    while m.step()? {}
    let root = m.pop()?;
    let mut left = (SHARED * m.made.max(1000)).min(MOST);
    m.tree(root, 0, &mut left)
}

struct Machine<'a> {
    code: &'a [u8],
    held: &'a dyn Fn(&str) -> Option<u64>,
    stack: Vec<Item>,
    marks: Vec<usize>,
    memo: BTreeMap<u32, Item>,
    nodes: Vec<Node>,
    /// How many values were pushed or copied.
    made: usize,
}

type Step<T> = Result<T, String>;

impl<'a> Machine<'a> {
    fn new(code: &'a [u8], held: &'a dyn Fn(&str) -> Option<u64>) -> Self {
        Self {
            code,
            held,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: BTreeMap::new(),
            nodes: Vec::new(),
            made: 0,
        }
    }

    // The code.

    fn bytes(&mut self, count: u64) -> Step<&'a [u8]> {
        let split = usize::try_from(count).ok().and_then(|n| self.code.split_at_checked(n));
        let (taken, rest) = split
            .ok_or_else(|| format!("an opcode wants {count} bytes, {} follow", self.code.len()))?;
        self.code = rest;
        Ok(taken)
    }

    fn number(&mut self, width: u64) -> Step<u64> {
        Ok(self.bytes(width)?.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
    }

    fn line(&mut self) -> Step<&'a str> {
        let end = self.code.iter().position(|&b| b == b'\n').ok_or("a name does not end")?;
        let line = self.bytes(end as u64)?;
        self.bytes(1)?;
        std::str::from_utf8(line).map_err(|_| "a name is not UTF-8".into())
    }

    // The stack.

    fn push(&mut self, item: Item) -> Step<()> {
        self.charge(1)?;
        self.stack.push(item);
        Ok(())
    }

    /// Counts values that are made.
    fn charge(&mut self, count: usize) -> Step<()> {
        self.made = self.made.saturating_add(count);
        match self.made {
            0..=MOST => Ok(()),
            _ => Err(format!("it makes more than {MOST} values")),
        }
    }

    fn push_node(&mut self, node: Node) -> Step<()> {
        let index = u32::try_from(self.nodes.len()).map_err(|_| "too many values")?;
        self.nodes.push(node);
        self.push(Item::Node(index))
    }

    fn push_text(&mut self, width: u64) -> Step<()> {
        let count = self.number(width)?;
        let bytes = self.bytes(count)?;
        // Python writes lone surrogates as UTF-8 cannot; they are no part of a name that is used.
        self.push_node(Node::Text(String::from_utf8_lossy(bytes).into()))
    }

    fn push_bytes(&mut self, width: u64) -> Step<()> {
        let count = self.number(width)?;
        let bytes = self.bytes(count)?;
        self.push_node(Node::Bytes(bytes.into()))
    }

    fn push_long(&mut self, width: u64) -> Step<()> {
        let count = self.number(width)?;
        let bytes = self.bytes(count)?;
        let sign = bytes.last().map_or(0, |b| if b & 0x80 == 0 { 0 } else { 0xff });
        if bytes.len() > 8 {
            return self.push_node(Node::Long(bytes.into()));
        }
        let mut wide = [sign; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        self.push(Item::Int(i64::from_le_bytes(wide)))
    }

    fn pop(&mut self) -> Step<Item> {
        // What lies below a mark is not for an opcode above it.
        match self.marks.last() {
            Some(&mark) if mark >= self.stack.len() => {
                Err("a value is missing after a mark".into())
            }
            _ => self.stack.pop().ok_or_else(|| "a value is missing on the stack".into()),
        }
    }

    fn pop_mark(&mut self) -> Step<Vec<Item>> {
        let mark = self.marks.pop().ok_or("no mark on the stack")?;
        if mark > self.stack.len() {
            return Err("a mark lies above the stack".into());
        }
        Ok(self.stack.split_off(mark))
    }

    fn top(&self) -> Step<Item> {
        self.stack.last().copied().ok_or_else(|| "the stack is empty".into())
    }

    /// The object on top of the stack, to be changed.
    fn target(&mut self) -> Step<&mut Node> {
        match self.top()? {
            Item::Node(i) => self.nodes.get_mut(i as usize).ok_or_else(|| "no such value".into()),
            other => Err(format!("{other:?} cannot be changed")),
        }
    }

    fn node(&self, item: Item) -> Option<&Node> {
        if let Item::Node(i) = item { self.nodes.get(i as usize) } else { None }
    }

    fn tuple(&self, item: Item) -> Option<&[Item]> {
        match self.node(item) {
            Some(Node::Tuple(items) | Node::List(items)) => Some(items),
            _ => None,
        }
    }

    fn text(&self, item: Item) -> Option<&Arc<str>> {
        if let Some(Node::Text(t)) = self.node(item) { Some(t) } else { None }
    }

    fn memoize(&mut self, at: u32) -> Step<()> {
        let top = self.top()?;
        self.memo.insert(at, top);
        Ok(())
    }

    fn recall(&mut self, at: u32) -> Step<()> {
        let item = self.memo.get(&at).copied().ok_or_else(|| format!("nothing in memo {at}"))?;
        self.push(item)
    }

    /// One opcode; false at the end.
    fn step(&mut self) -> Step<bool> {
        let opcode = self.number(1)? as u8;
        match opcode {
            b'.' => return Ok(false),
            // PROTO and FRAME: which protocol, and how far to read ahead.
            0x80 => match self.number(1)? {
                0..=5 => {}
                n => return Err(format!("protocol {n}; up to 5 is read")),
            },
            0x95 => drop(self.number(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => self.push(self.top()?)?,
            b'N' => self.push(Item::None)?,
            0x88 => self.push(Item::Bool(true))?,
            0x89 => self.push(Item::Bool(false))?,
            b'J' => {
                let n = self.number(4)? as u32;
                self.push(Item::Int(n.cast_signed().into()))?;
            }
            b'K' | b'M' => {
                let n = self.number(if opcode == b'K' { 1 } else { 2 })?;
                self.push(Item::Int(n as i64))?;
            }
            0x8a => self.push_long(1)?,
            0x8b => self.push_long(4)?,
            b'G' => {
                let bits = self.number(8)?.swap_bytes();
                self.push(Item::Float(f64::from_bits(bits)))?;
            }
            // Python 2 had one type for text and bytes; names are what it is used for.
            b'X' | b'T' => self.push_text(4)?,
            0x8c | b'U' => self.push_text(1)?,
            0x8d => self.push_text(8)?,
            b'B' => self.push_bytes(4)?,
            b'C' => self.push_bytes(1)?,
            0x8e | 0x96 => self.push_bytes(8)?,
            b']' => self.push_node(Node::List(Vec::new()))?,
            b')' => self.push_node(Node::Tuple(Vec::new()))?,
            b'}' => self.push_node(Node::Dict(Vec::new()))?,
            0x8f => self.push_node(Node::Set(Vec::new()))?,
            b'l' | b't' | 0x91 => {
                let items = self.pop_mark()?;
                self.push_node(match opcode {
                    b'l' => Node::List(items),
                    b't' => Node::Tuple(items),
                    _ => Node::Set(items),
                })?;
            }
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0x85..=opcode {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push_node(Node::Tuple(items))?;
            }
            b'd' => {
                let pairs = pairs(self.pop_mark()?)?;
                self.push_node(Node::Dict(pairs))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.extend(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![(key, value)])?;
            }
            b'u' => {
                let pairs = pairs(self.pop_mark()?)?;
                self.set(pairs)?;
            }
            b'q' | b'r' => {
                let at = self.number(if opcode == b'q' { 1 } else { 4 })? as u32;
                self.memoize(at)?;
            }
            0x94 => self.memoize(self.memo.len() as u32)?,
            b'h' | b'j' => {
                let at = self.number(if opcode == b'h' { 1 } else { 4 })? as u32;
                self.recall(at)?;
            }
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.global(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let both = self.text(module).cloned().zip(self.text(name).cloned());
                let (module, name) = both.ok_or("a name that is no text")?;
                self.global(&module, &name)?;
            }
            b'Q' => {
                let id = self.pop()?;
                let node = self.storage(id)?;
                self.push_node(node)?;
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.call(function, arguments)?;
            }
            b'b' => self.build()?,
            other => return Err(refused(other)),
        }
        Ok(true)
    }

    fn extend(&mut self, items: Vec<Item>) -> Step<()> {
        match self.target()? {
            Node::List(list) | Node::Set(list) => list.extend(items),
            other => return Err(format!("{} takes no items", kind(other))),
        }
        Ok(())
    }

    fn set(&mut self, pairs: Vec<(Item, Item)>) -> Step<()> {
        match self.target()? {
            Node::Dict(dict) => dict.extend(pairs),
            other => return Err(format!("{} takes no keys", kind(other))),
        }
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Step<()> {
        let global = Global::find(module, name).ok_or_else(|| {
            format!(
                "it refers to '{module}.{name}', which only running Python could build; hint: save \
                 plain data instead, as torch.save(model.state_dict(), path) does"
            )
        })?;
        self.push_node(Node::Global(global))
    }

    /// BUILD gives an object its state: a dict's attributes are not kept (`_metadata` of a state
    /// dict), a NumPy type says its order of bytes.
    fn build(&mut self) -> Step<()> {
        let state = self.pop()?;
        let order = self.tuple(state).and_then(|s| self.text(*s.get(1)?)).cloned();
        match self.target()? {
            Node::Dict(_) => Ok(()),
            Node::Scalar(..) if order.as_deref().is_some_and(|o| o != ">") => Ok(()),
            Node::Scalar(..) => Err("a NumPy type that is not little-endian".into()),
            other => Err(format!("{} takes no state", kind(other))),
        }
    }

    /// ('storage', type, key, location, elements).
    fn storage(&self, id: Item) -> Step<Node> {
        let parts = self.tuple(id).unwrap_or_default();
        let known = match parts {
            [tag, kind, key, ..] => match (self.text(*tag), self.node(*kind), self.text(*key)) {
                (Some(tag), Some(Node::Global(Global::Storage(dtype))), Some(key)) => {
                    (&**tag == "storage").then_some((*dtype, key.clone()))
                }
                _ => None,
            },
            _ => None,
        };
        let (dtype, key) = known.ok_or("it refers to something outside that is no storage")?;
        let held = (self.held)(&key).ok_or_else(|| format!("no storage '{key}' in the archive"))?;
        Ok(Node::Storage { key, held, dtype })
    }

    fn call(&mut self, function: Item, arguments: Item) -> Step<()> {
        let Some(&Node::Global(global)) = self.node(function) else {
            return Err("it calls something that has no name".into());
        };
        let wrong = || format!("{global:?} is called with arguments that it does not take");
        let arguments = self.tuple(arguments).filter(|a| a.len() <= MOST_ARGUMENTS);
        let arguments = arguments.ok_or_else(wrong)?.to_vec();
        let first = arguments.first().copied();
        // What a call copies counts: a short code may call many times on one long value.
        let copied = match first.and_then(|f| self.node(f)) {
            Some(Node::List(items) | Node::Tuple(items)) => items.len(),
            Some(Node::Text(t)) => t.len() / 16,
            _ => 0,
        };
        self.charge(copied)?;
        let node = match global {
            Global::OrderedDict => {
                let listed = first.map(|list| {
                    let pair = |&p: &Item| match self.tuple(p) {
                        Some(&[k, v]) => Some((k, v)),
                        _ => None,
                    };
                    self.tuple(list).and_then(|l| l.iter().map(pair).collect::<Option<Vec<_>>>())
                });
                listed.unwrap_or(Some(Vec::new())).map(Node::Dict)
            }
            Global::Set => {
                let items = first.and_then(|l| self.tuple(l)).unwrap_or_default();
                Some(Node::Set(items.to_vec()))
            }
            Global::Size => {
                let items = first.and_then(|l| self.tuple(l)).unwrap_or_default();
                Some(Node::Tuple(items.to_vec()))
            }
            Global::Bytearray => match first.map(|b| self.node(b)) {
                None => Some(Node::Bytes([].into())),
                Some(Some(Node::Bytes(b))) => Some(Node::Bytes(b.clone())),
                Some(_) => None,
            },
            Global::Encode => first
                .and_then(|t| self.text(t))
                .and_then(|t| t.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>())
                .map(|b| Node::Bytes(b.into())),
            Global::Device => first.and_then(|t| self.text(t)).cloned().map(Node::Device),
            Global::Tensor => Some(Node::Tensor(self.view(&arguments)?.into())),
            Global::Parameter => match first.and_then(|t| self.node(t)) {
                Some(Node::Tensor(t)) => Some(Node::Tensor(t.clone())),
                _ => None,
            },
            Global::NumpyDtype => first.and_then(|t| self.text(t)).and_then(|t| {
                let mut letters = t.chars();
                let kind = letters.next().filter(|k| "fiub".contains(*k))?;
                let width = letters.as_str().parse().ok().filter(|w| matches!(w, 1 | 2 | 4 | 8))?;
                Some(Node::Scalar(kind, width))
            }),
            Global::NumpyScalar => {
                let item = match arguments.as_slice() {
                    &[kind, bytes] => self.scalar(kind, bytes),
                    _ => None,
                };
                return self.push(item.ok_or_else(wrong)?);
            }
            Global::Storage(_) | Global::Dtype(_) => None,
        };
        self.push_node(node.ok_or_else(wrong)?)
    }

    /// (storage, offset, shape, strides, ...); version 3 ends with the type of elements.
    fn view(&self, arguments: &[Item]) -> Step<TensorView> {
        let wrong = || "a tensor is built of other things than a storage and a view".to_string();
        let &[storage, offset, shape, strides, ..] = arguments else { return Err(wrong()) };
        let Some(Node::Storage { key, held, dtype }) = self.node(storage) else {
            return Err(wrong());
        };
        let count = |i: &Item| match i {
            Item::Int(n) => usize::try_from(*n).ok(),
            _ => None,
        };
        let counts = |t: Item| {
            let axes = self.tuple(t).filter(|t| t.len() <= MOST_AXES)?;
            axes.iter().map(count).collect::<Option<_>>()
        };
        let said = arguments.get(6).and_then(|d| match self.node(*d) {
            Some(Node::Global(Global::Dtype(d))) => Some(*d),
            _ => None,
        });
        let dtype = said.or(*dtype).ok_or_else(wrong)?;
        let offset = count(&offset).ok_or_else(wrong)? as u64;
        let (shape, strides) =
            (counts(shape).ok_or_else(wrong)?, counts(strides).ok_or_else(wrong)?);
        TensorView::new(key.clone(), *held, dtype, offset, shape, strides)
    }

    /// A number of NumPy from its little-endian bytes.
    fn scalar(&self, kind: Item, bytes: Item) -> Option<Item> {
        let (Some(Node::Scalar(kind, width)), Some(Node::Bytes(bytes))) =
            (self.node(kind), self.node(bytes))
        else {
            return None;
        };
        if bytes.len() != *width {
            return None;
        }
        let bits = bytes.iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b));
        let unused = 64 - 8 * *width as u32;
        Some(match (kind, width) {
            ('b', _) => Item::Bool(bits != 0),
            ('u', _) => Item::Int(i64::try_from(bits).ok()?),
            ('i', _) => Item::Int((bits << unused).cast_signed() >> unused),
            ('f', 8) => Item::Float(f64::from_bits(bits)),
            ('f', 4) => Item::Float(f32::from_bits(bits as u32).into()),
            ('f', 2) => Item::Float(crate::format::raw::f16((bits as u16).to_le_bytes()).into()),
            _ => return None,
        })
    }

    /// The value with all that it contains.
    fn tree(&self, item: Item, depth: usize, left: &mut usize) -> Step<Value> {
        *left = left
            .checked_sub(1)
            .ok_or_else(|| "it shares its parts so often that it would fill memory".to_string())?;
        if depth > DEEPEST {
            return Err(format!("a value contains itself or nests deeper than {DEEPEST}"));
        }
        let mut all = |items: &[Item]| -> Step<Vec<Value>> {
            let mut out = Vec::with_capacity(items.len().min(*left));
            for &item in items {
                out.push(self.tree(item, depth + 1, left)?);
            }
            Ok(out)
        };
        Ok(match item {
            Item::None => Value::None,
            Item::Bool(b) => Value::Bool(b),
            Item::Int(n) => Value::Int(n),
            Item::Float(x) => Value::Float(x),
            Item::Node(i) => match self.nodes.get(i as usize).ok_or("no such value")? {
                Node::Text(t) => Value::Text(t.clone()),
                Node::Bytes(b) => Value::Bytes(b.clone()),
                Node::Long(b) => Value::Long(b.clone()),
                Node::List(items) => Value::List(all(items)?),
                Node::Tuple(items) => Value::Tuple(all(items)?),
                Node::Set(items) => Value::Set(all(items)?),
                Node::Dict(pairs) => {
                    let mut out = Vec::with_capacity(pairs.len().min(*left));
                    for &(k, v) in pairs {
                        out.push((self.tree(k, depth + 1, left)?, self.tree(v, depth + 1, left)?));
                    }
                    Value::Dict(out)
                }
                Node::Tensor(t) => Value::Tensor(t.clone()),
                Node::Device(name) => Value::Named(name.clone()),
                Node::Global(Global::Dtype(d)) => Value::Named(name_of(*d).into()),
                other => return Err(format!("{} stands where a value is wanted", kind(other))),
            },
        })
    }
}

fn pairs(items: Vec<Item>) -> Step<Vec<(Item, Item)>> {
    let (pairs, rest) = items.as_chunks();
    match rest {
        [] => Ok(pairs.iter().map(|&[k, v]| (k, v)).collect()),
        _ => Err("a key without a value".into()),
    }
}

/// What a node is, for errors.
fn kind(node: &Node) -> &'static str {
    match node {
        Node::Text(_) => "a text",
        Node::Bytes(_) => "bytes",
        Node::Long(_) => "a number",
        Node::List(_) => "a list",
        Node::Tuple(_) => "a tuple",
        Node::Set(_) => "a set",
        Node::Dict(_) => "a dict",
        Node::Global(_) => "a name",
        Node::Storage { .. } => "a storage",
        Node::Tensor(_) => "a tensor",
        Node::Device(_) => "a device",
        Node::Scalar(..) => "a type",
    }
}

/// The error of an opcode that is not interpreted.
fn refused(opcode: u8) -> String {
    let name = match opcode {
        0x81 => "NEWOBJ",
        0x92 => "NEWOBJ_EX",
        b'i' => "INST",
        b'o' => "OBJ",
        b'P' => "PERSID",
        0x82..=0x84 => "EXT",
        _ => return format!("opcode {opcode:#04x}, which no pickle of protocols 2 to 5 has"),
    };
    format!(
        "opcode {name}, which builds an object of a class; hint: save plain data instead, as \
         torch.save(model.state_dict(), path) does"
    )
}
