//! The parts of the protobuf wire format that events use, read and written.
//!
//! Small on purpose: no groups, no recursion, no allocation but for what is returned.

/// One value as it lies on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// What is wrong with the bytes, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) at: usize,
    pub(super) what: &'static str,
}

/// Reads fields one after the other.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn damage<T>(&self, what: &'static str) -> Result<T, Damage> {
        Err(Damage { at: self.at, what })
    }

    /// A number of 7 bits a byte, at most 64 bits.
    pub(super) fn varint(&mut self) -> Result<u64, Damage> {
        let mut value = 0_u64;
        for (i, byte) in self.bytes[self.at..].iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if i == 9 && bits > 1 {
                return self.damage("a number of more than 64 bits");
            }
            value |= bits << (7 * i);
            if byte & 0x80 == 0 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        self.damage("a number without an end")
    }

    /// The next `len` bytes.
    fn take(&mut self, len: u64) -> Result<&'a [u8], Damage> {
        let left = &self.bytes[self.at..];
        match usize::try_from(len).ok().and_then(|len| left.get(..len)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => self.damage("a length beyond the end"),
        }
    }

    /// Bytes that come after their length.
    pub(super) fn sized(&mut self) -> Result<&'a [u8], Damage> {
        let start = self.at;
        let len = self.varint()?;
        self.take(len).map_err(|damage| Damage {
            at: start,
            ..damage
        })
    }

    /// The next field: its number and its value.
    pub(super) fn field(&mut self) -> Result<(u32, Wire<'a>), Damage> {
        let start = self.at;
        let tag = self.varint()?;
        let Some(number) = u32::try_from(tag >> 3).ok().filter(|number| *number > 0) else {
            self.at = start;
            return self.damage("no field has this number");
        };
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => {
                let mut fixed = [0; 8];
                fixed.copy_from_slice(self.take(8)?);
                Wire::Fixed64(u64::from_le_bytes(fixed))
            }
            2 => Wire::Bytes(self.sized()?),
            5 => {
                self.take(4)?;
                Wire::Fixed32
            }
            _ => {
                self.at = start;
                return self.damage("a group or an unknown kind of field");
            }
        };
        Ok((number, wire))
    }
}

/// Appends a number of 7 bits a byte.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let byte = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// Appends a field that is a number.
pub(super) fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    put_varint(out, u64::from(field) << 3);
    put_varint(out, value);
}

/// Appends a field that is a float of 64 bits.
pub(super) fn put_double(out: &mut Vec<u8>, field: u32, value: f64) {
    put_varint(out, u64::from(field) << 3 | 1);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Appends a field that is text, bytes or a message.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_at_every_length() {
        for shift in 0..64 {
            for value in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                let mut reader = Reader::new(&out);
                assert_eq!(reader.varint(), Ok(value));
                assert!(reader.is_at_end());
            }
        }
    }

    #[test]
    fn numbers_of_more_than_64_bits_are_damage() {
        let wide = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert!(Reader::new(&wide).varint().is_err());
        assert!(Reader::new(&[0x80; 11]).varint().is_err());
        assert!(Reader::new(&[0x80; 3]).varint().is_err());
    }

    #[test]
    fn a_length_beyond_the_end_is_damage_and_says_where() {
        let damage = Reader::new(&[0x0a, 0x05, 1, 2]).field().unwrap_err();
        assert_eq!((damage.at, damage.what), (1, "a length beyond the end"));
        let huge = [
            0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
        ];
        assert!(Reader::new(&huge).field().is_err());
    }

    #[test]
    fn groups_and_the_field_number_0_are_damage() {
        for byte in [0x0b, 0x0c, 0x0e, 0x0f, 0x00] {
            assert!(Reader::new(&[byte, 0]).field().is_err(), "{byte}");
        }
    }
}
