//! Headers that are not ours. They travel on with the record, in bounds: a header that grows with each hop would one
//! day make the record too large to be written at all.

use super::{MAX_OTHER, MAX_OTHER_BYTES, names};

#[derive(Default)]
pub(super) struct Foreign<'a> {
    kept: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Foreign<'a> {
    /// Keeps the header when there is room; a name that repeats has its last value. Ours are none of them.
    pub(super) fn insert(&mut self, name: &'a str, value: &'a [u8]) {
        let printable = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
        if !printable || names::ALL.contains(&name) {
            return;
        }
        let place = self.kept.iter().position(|(known, _)| *known == name);
        let others = self.kept.iter().enumerate().filter(|(index, _)| Some(*index) != place);
        let bytes: usize = others.map(|(_, (name, value))| name.len() + value.len()).sum();
        let fits = bytes + name.len() + value.len() <= MAX_OTHER_BYTES;
        match place {
            Some(index) if fits => self.kept[index].1 = value,
            None if fits && self.kept.len() < MAX_OTHER => self.kept.push((name, value)),
            _ => {}
        }
    }

    pub(super) fn kept(&self) -> &[(&'a str, &'a [u8])] {
        &self.kept
    }
}
