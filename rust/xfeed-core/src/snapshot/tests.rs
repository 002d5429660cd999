//! Unit tests of the container.

use std::io::{Read, Write};

use super::*;

fn header() -> Header {
    Header {
        kind: Kind::Store,
        source: "a log".into(),
        offsets: [
            ("posts/0".into(), u64::MAX),
            ("posts/1".into(), 1 << 53 | 1),
        ]
        .into(),
        state_hash: "00".into(),
        counts: [("posts".into(), 3)].into(),
        settings: [("retention_ms".into(), 5)].into(),
        last_ms: i64::MIN,
    }
}

/// A snapshot with one section of `bytes` and an empty one.
fn snapshot(bytes: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    writer.section("one", |out| out.write_all(bytes)).unwrap();
    writer.section("two", |_| Ok(())).unwrap();
    writer.finish().unwrap()
}

/// The bytes of both sections.
fn read(file: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    fn all(input: &mut impl Read) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
    let mut reader = Reader::new(file)?;
    let one = reader.section("one", |input| all(input))?;
    let two = reader.section("two", |input| all(input))?;
    assert_eq!(reader.finish()?, header());
    Ok((one, two))
}

#[test]
fn what_went_in_comes_out_at_every_length_around_a_frame() {
    for length in [
        0,
        1,
        MAX_CONTENT - 1,
        MAX_CONTENT,
        MAX_CONTENT + 1,
        3 * MAX_CONTENT,
    ] {
        let bytes: Vec<u8> = (0..length).map(|i| i.to_le_bytes()[0]).collect();
        assert_eq!(
            read(&snapshot(&bytes)).unwrap(),
            (bytes, vec![]),
            "{length}"
        );
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let whole = snapshot(b"some bytes");
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut file = whole.clone();
            file[at] ^= 1 << bit;
            let error = read(&file).expect_err("a flipped bit");
            assert!(error.code.starts_with("bad_snapshot"), "{at} {bit} {error}");
        }
    }
}

#[test]
fn a_file_that_was_cut_or_has_more_is_found_at_every_length() {
    let whole = snapshot(b"some bytes");
    for length in 0..whole.len() {
        let error = read(&whole[..length]).expect_err("cut");
        assert!(error.message.contains("ends too early"), "{length} {error}");
    }
    let error = read(&[&whole[..], &[0]].concat()).expect_err("more");
    assert!(error.message.contains("bytes follow the end"), "{error}");
}

#[test]
fn frames_do_not_change_places_and_none_is_left_out_or_taken_from_another_file() {
    let bytes: Vec<u8> = (0..3 * MAX_CONTENT)
        .map(|i| (i >> 20).to_le_bytes()[0])
        .collect();
    let whole = snapshot(&bytes);
    let frame = HEAD_LEN + MAX_CONTENT + size_of::<Checksum>();
    let first = whole.windows(2).position(|pair| pair == [DATA, 0]).unwrap();
    let (a, b) = (first..first + frame, first + frame..first + 2 * frame);
    let rest = first + 2 * frame;
    let parts = |middle: &[&[u8]]| {
        [&[&whole[..first]], middle, &[&whole[rest..]]]
            .concat()
            .concat()
    };
    assert!(read(&parts(&[&whole[a.clone()], &whole[b.clone()]])).is_ok());
    assert!(read(&parts(&[&whole[b.clone()], &whole[a.clone()]])).is_err());
    assert!(read(&parts(&[&whole[a.clone()]])).is_err());
    assert!(read(&parts(&[&whole[a.clone()], &whole[a.clone()]])).is_err());
    let other = snapshot(&vec![9; 3 * MAX_CONTENT]);
    assert!(read(&parts(&[&whole[a], &other[b]])).is_err());
}

#[test]
fn sections_come_by_name_and_are_used_up() {
    let file = snapshot(b"some bytes");
    let error = Reader::new(&*file)
        .unwrap()
        .section("two", |_| Ok(()))
        .unwrap_err();
    assert!(error.message.contains("`one` is in its place"), "{error}");
    let error = Reader::new(&*file)
        .unwrap()
        .section("one", |_| Ok(()))
        .unwrap_err();
    assert!(error.message.contains("left over"), "{error}");
    assert!(Reader::new(&*file).unwrap().finish().is_err());
}

#[test]
fn another_format_or_another_file_is_named() {
    let mut file = snapshot(b"");
    file[8] = 2;
    assert_eq!(read(&file).unwrap_err().code, "bad_snapshot_format");
    assert!(
        read(b"SQLite format 3\0")
            .unwrap_err()
            .message
            .contains("byte 0")
    );
}

#[test]
fn a_claimed_length_is_not_believed() {
    let mut file = snapshot(b"");
    file[13..17].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(read(&file).unwrap_err().message.contains("at most"));
    for claim in [&[0xff; 9][..], &[0xff; 10]] {
        let bytes = [claim, &[1]].concat();
        let mut input = &bytes[..];
        let mut decoder = Decoder::new(&mut input);
        assert!(decoder.list(Decoder::u64).is_err());
    }
}

#[test]
fn values_keep_their_exact_value() {
    let numbers = [0, 1, 127, 128, u64::MAX - 1, u64::MAX, 1 << 63];
    let times = [0, 1, -1, 63, 64, i64::MIN, i64::MAX];
    let texts = ["", "ä", &"x".repeat(200_000)];
    let mut bytes = Vec::new();
    let mut out = Encoder::new(&mut bytes);
    for number in numbers {
        out.u64(number).unwrap();
    }
    for at_ms in times {
        out.ms(at_ms).unwrap();
    }
    for text in texts {
        out.text(text).unwrap();
    }
    out.f32(-0.0).unwrap();
    out.option(Some(true), Encoder::flag).unwrap();
    out.option(None, Encoder::flag).unwrap();
    out.finish().unwrap();
    let mut input = &bytes[..];
    let mut decoder = Decoder::new(&mut input);
    assert_eq!(numbers.map(|_| decoder.u64().unwrap()), numbers);
    assert_eq!(times.map(|_| decoder.ms().unwrap()), times);
    assert_eq!(texts.map(|_| decoder.text().unwrap()), texts);
    assert_eq!(decoder.f32().unwrap().to_bits(), (-0.0_f32).to_bits());
    assert_eq!(decoder.option(Decoder::flag).unwrap(), Some(true));
    assert_eq!(decoder.option(Decoder::flag).unwrap(), None);
    decoder.finish().unwrap();
}

#[test]
#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method is of one lifetime, the closure of any"
)]
fn values_that_cannot_be_are_refused() {
    fn decode<T>(
        mut bytes: &[u8],
        read: impl for<'a, 'b> FnOnce(&'a mut Decoder<'b>) -> Result<T>,
    ) -> Result<T> {
        read(&mut Decoder::new(&mut bytes))
    }
    assert!(decode(&[2], |input| input.flag()).is_err());
    assert!(decode(&f32::NAN.to_le_bytes(), |input| input.f32()).is_err());
    assert!(decode(&[1, 0xff], |input| input.text()).is_err());
    assert!(decode(&[0xff; 11], |input| input.u64()).is_err());
    assert!(decode(&[], |input| input.u8()).is_err());
    assert!(decode(&[7], |input| input.tally(7)).is_err());
    for keys in [[3, 3], [4, 3]] {
        let bytes = [2, keys[0], keys[1]];
        let read = |input: &mut Decoder<'_>| Ok((input.u8()?, ()));
        assert!(decode(&bytes, |input| input.entries(read, |_, ()| ())).is_err());
    }
}

#[test]
fn a_failing_output_is_told_with_its_own_words() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let needed = snapshot(b"x").len();
    for room in 0..needed {
        let written = || -> Result<()> {
            let mut writer = Writer::new(Full(room), &header())?;
            writer.section("one", |out| out.write_all(b"x"))?;
            writer.section("two", |_| Ok(()))?;
            writer.finish()?;
            Ok(())
        };
        let error = written().expect_err("a full disk");
        assert_eq!(
            (error.code, error.message.as_str()),
            ("io_failed", "no storage space")
        );
    }
}
