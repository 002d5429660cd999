//! What is tried on arbitrary bytes. A target panics when something that must hold does not; refusing
//! the bytes is never wrong. `make fuzz` looks for such bytes, and an ordinary test of xfeed-core
//! (`tests/decoders.rs`) runs the targets on valid bytes that were damaged in many ways.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use xfeed_core::embed::{Dtype, EmbeddingTable, read_header, write_tables};
use xfeed_core::event::{Body, Event, Reject, decode, protobuf};
use xfeed_core::ids::Id;
use xfeed_core::query::Query;
use xfeed_core::thunder::{PostStore, ReadLimits, ReadRequest, Record, StoreSettings};
use xfeed_core::vectors::{self, Entry, VectorIndex};
use xfeed_core::world::{World, WorldSettings};

const LIMITS: ReadLimits = ReadLimits {
    max_results: 50,
    max_originals_per_author: 5,
    max_secondary_per_author: 5,
    max_videos_per_author: 5,
    max_scan_per_author: 20,
};

/// Small, so that every limit is met.
pub(crate) fn settings() -> WorldSettings {
    WorldSettings {
        posts: StoreSettings {
            retention_ms: 100_000,
            max_posts_per_timeline: 4,
            max_bytes: u64::MAX,
            hidden_authors: vec![Id(3)],
        },
        max_history_len: 4,
    }
}

/// Lines of JSON: what is accepted says the same as a protobuf message, and can be folded.
pub(crate) fn json(bytes: &[u8]) {
    let mut events = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        match decode(line, None) {
            Err(reject) => check_reject(&reject),
            Ok(event) => {
                let message = protobuf::encode(line).expect("JSON accepts it");
                let again = protobuf::decode(&message, None);
                assert_eq!(again.as_ref(), Ok(&event));
                events.push(event);
            }
        }
    }
    check_fold(&events);
}

/// One message, and the same bytes as a stream of messages.
pub(crate) fn protobuf(bytes: &[u8]) {
    let whole = std::iter::once(Ok(bytes));
    let mut events = Vec::new();
    for message in whole.chain(protobuf::Delimited::new(bytes)) {
        match message.and_then(|message| protobuf::decode(message, None)) {
            Err(reject) => check_reject(&reject),
            Ok(event) => events.push(event),
        }
    }
    check_fold(&events);
}

/// A snapshot of the world, as it is and with its checksums put right: what is accepted is a state
/// that can be asked, changed, written and read again.
pub(crate) fn snapshot(bytes: &[u8]) {
    for file in [bytes.to_vec(), seal(bytes)] {
        if let Ok((mut world, header)) = World::read_snapshot(&*file, None) {
            let is_whole = world.check_hash(&header).is_ok();
            check_world(&mut world);
            assert!(is_whole || file != bytes, "checksums, but another state");
        }
    }
}

/// The header of a safetensors file: what is accepted lies in the file, without holes, each tensor once.
pub(crate) fn tensors(bytes: &[u8]) {
    let len = bytes.len() as u64;
    let Ok(tensors) = read_header(&mut &*bytes, len) else {
        return;
    };
    let mut ends = Vec::new();
    for tensor in &tensors {
        assert!(tensor.bytes.start <= tensor.bytes.end && tensor.bytes.end <= len);
        ends.push(tensor.bytes.end);
        let same = tensors.iter().filter(|other| other.name == tensor.name);
        assert_eq!(same.count(), 1);
    }
    assert!(
        tensors
            .iter()
            .skip(1)
            .zip(&ends)
            .all(|(next, end)| next.bytes.start == *end)
    );
    assert_eq!(ends.last().copied().unwrap_or(len), len);
}

/// The file of an index of vectors, as it is and with its checksum put right: what is accepted is
/// written again as the same index.
pub(crate) fn index(bytes: &[u8]) {
    for file in [bytes.to_vec(), signed(bytes)] {
        let Ok(index) = VectorIndex::read(&*file) else {
            continue;
        };
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        index.write(&mut once).expect("a vector takes all");
        let again = VectorIndex::read(&*once).expect("it was written");
        again.write(&mut twice).expect("a vector takes all");
        assert_eq!(once, twice);
        assert_eq!(once.len(), file.len());
        assert_eq!(index.ids(), again.ids());
        check_search(&index);
    }
}

fn check_search(index: &VectorIndex) {
    let query = vec![0.5; index.width()];
    let found = index.search(&vectors::Search {
        vectors: &query,
        k: index.len() + 1,
        times: &[(i64::MIN, i64::MAX)],
        excluded: &[Vec::new()],
        kinds: &[u64::MAX],
        threads: 1,
    });
    let found = found.expect("the query fits");
    assert_eq!(found[0].len(), index.len());
    assert!(found[0].iter().all(|(score, _)| score.is_finite()));
}

/// The bytes with the SHA-256 of all but the last 32 of them in place of those.
fn signed(file: &[u8]) -> Vec<u8> {
    let content = &file[..file.len().saturating_sub(32)];
    [content, Sha256::digest(content).as_slice()].concat()
}

/// A store by itself, without and with a limit of its memory.
pub(crate) fn store(bytes: &[u8]) {
    for max_bytes in [u64::MAX, 1 << 20] {
        let settings = StoreSettings {
            max_bytes,
            ..settings().posts
        };
        if let Ok(store) = PostStore::decode(&mut &*bytes, settings) {
            check_new_store(store);
        }
    }
}

fn check_new_store(mut store: PostStore) {
    assert!(store.used_bytes() <= store.settings().max_bytes);
    let live = store.live();
    assert_eq!(store.counts().posts, live.len() as u64);
    let following: Vec<Id> = live.iter().map(|post| post.author).collect();
    for videos_only in [false, true] {
        let found = store.newest(&ReadRequest {
            viewer: Some(Id(1)),
            following: &following,
            excluded: &[],
            oldest_ms: 0,
            newest_ms: i64::MAX,
            videos_only,
            limits: LIMITS,
            start: 0,
            expired: None,
        });
        assert!(found.posts.iter().all(|id| store.get(*id).is_some()));
    }
    check_store(&store);
    for post in &live {
        store.set_deleted(post.id, i64::MAX, true);
        assert_eq!(store.get(post.id), None);
    }
    check_store(&store);
    store.trim(i64::MAX);
    assert_eq!(store.counts().posts, 0);
}

fn check_store(store: &PostStore) {
    let mut bytes = Vec::new();
    store.encode(&mut bytes).expect("a vector takes all");
    let again = PostStore::decode(&mut &*bytes, store.settings().clone());
    assert_eq!(again.expect("it was written").digest(), store.digest());
}

fn check_reject(reject: &Reject) {
    assert!(!reject.code.is_empty() && !reject.message.is_empty());
    assert!(reject.message.len() < 2000, "{}", reject.message);
}

/// Folding the same events again changes nothing but their number.
fn check_fold(events: &[Event]) {
    if events.is_empty() {
        return;
    }
    let mut world = World::new(settings());
    for event in events {
        world.apply(event);
    }
    let digest = world.digest();
    check_world(&mut world);
    assert_eq!(world.digest(), digest);
}

fn check_world(world: &mut World) {
    let mut bytes = Vec::new();
    let header = world.write_snapshot("fuzz", BTreeMap::new(), &mut bytes);
    let header = header.expect("a vector takes all");
    let (mut again, _) = World::read_snapshot(&*bytes, None).expect("it was written");
    again.check_hash(&header).expect("it is the same");
    let query = Query::new(Id(1), world.last_ms());
    world.in_network(&query, 0, LIMITS);
    world.popular(&query, 0, 10);
    let line = br#"{"type":"post","at_ms":9,"post_id":9,"author_id":9}"#;
    again.apply(&decode(line, None).expect("it is valid"));
    again.digest();
}

/// A snapshot with lengths and checksums that fit its content; without them nothing behind the first
/// changed byte would ever be looked at. The format is described in `xfeed_core::snapshot`.
pub(crate) fn seal(file: &[u8]) -> Vec<u8> {
    const START_LEN: usize = 12;
    const HEAD_LEN: usize = 5;
    const CHECKSUM_LEN: usize = 32;
    let Some((start, mut rest)) = file.split_at_checked(START_LEN) else {
        return file.to_vec();
    };
    let mut sealed = start.to_vec();
    let mut checksum = Sha256::digest(start);
    let mut section_len = 0_u64;
    while let Some((head, after)) = rest.split_at_checked(HEAD_LEN) {
        let claimed = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (content, after) = after.split_at(claimed.min(after.len()));
        rest = after.get(CHECKSUM_LEN..).unwrap_or_default();
        let content = match head[0] {
            b'E' => section_len.to_le_bytes().to_vec(),
            b'Z' => (sealed.len() as u64).to_le_bytes().to_vec(),
            _ => content.to_vec(),
        };
        section_len = match head[0] {
            b'D' => section_len + content.len() as u64,
            b'S' => 0,
            _ => section_len,
        };
        let len = u32::try_from(content.len()).expect("it comes from a u32");
        let frame = [&[head[0]], &len.to_le_bytes()[..], &content].concat();
        checksum = Sha256::new()
            .chain_update(checksum)
            .chain_update(&frame)
            .finalize();
        sealed.extend_from_slice(&frame);
        sealed.extend_from_slice(&checksum);
    }
    sealed
}

/// Valid bytes for each target, made of lines of JSON: name of the target, bytes.
pub(crate) fn seeds(lines: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = vec![("json", lines.as_bytes().to_vec())];
    let mut world = World::new(settings());
    let mut posts = PostStore::new(settings().posts);
    let mut stream = Vec::new();
    for line in lines.lines() {
        seeds.push(("json", line.as_bytes().to_vec()));
        let message = protobuf::encode(line.as_bytes()).expect("a seed is valid");
        let len = u8::try_from(message.len()).expect("a seed is short");
        stream.extend_from_slice(&[len | 0x80, len >> 7]);
        stream.extend_from_slice(&message);
        seeds.push(("protobuf", message));
        let event = decode(line.as_bytes(), None).expect("a seed is valid");
        world.apply(&event);
        match &event.body {
            Body::Post(post) => {
                posts.insert(&Record::of(post, event.at_ms));
            }
            Body::Delete { post, undo } => posts.set_deleted(*post, event.at_ms, !undo),
            _ => {}
        }
    }
    seeds.push(("protobuf", stream));
    let (mut file, mut alone) = (Vec::new(), Vec::new());
    let offsets = BTreeMap::from([("posts/0".to_owned(), 7)]);
    let written = world.write_snapshot("seeds", offsets, &mut file);
    written.expect("a vector takes all");
    posts.encode(&mut alone).expect("a vector takes all");
    seeds.extend([("snapshot", file), ("store", alone), ("tensors", tables())]);
    for dtype in ["float32", "bfloat16", "int8"] {
        seeds.push(("index", index_of_three(dtype)));
    }
    seeds
}

/// A file of three vectors.
fn index_of_three(dtype: &str) -> Vec<u8> {
    let dtype = vectors::Dtype::from_name(dtype).expect("it is one");
    let mut index = VectorIndex::new(5, dtype).expect("a width");
    for n in 1..4 {
        let entry = Entry {
            id: Id(n),
            author: Id(n % 2),
            created_ms: 7,
            kind: 1,
        };
        let vector = [0.25, -1.0, 0.0, 3.5, 0.125];
        index.insert(&entry, &vector).expect("it fits");
    }
    let mut file = Vec::new();
    index.write(&mut file).expect("a vector takes all");
    file
}

/// A safetensors file of two tables.
fn tables() -> Vec<u8> {
    let mut file = Vec::new();
    let table = |dtype| EmbeddingTable::from_f32(&[1.0; 4], 2, dtype).expect("it fits");
    let (whole, small) = (table(Dtype::Float32), table(Dtype::Int8));
    let written = write_tables(&[("whole", &whole), ("small", &small)], &mut file);
    written.expect("a vector takes all");
    file
}
