use super::*;

#[test]
fn nearly_all_answers_and_reposts_refer_to_posts_that_are_there_and_older() {
    let workload = Workload::new(1_000, 20_000);
    let records: Vec<Record> = (0..20_000).map(|row| workload.record(row)).collect();
    let ids: HashSet<Id> = records.iter().map(|record| record.id).collect();
    assert_eq!(ids.len(), records.len());
    let mut missing = 0;
    let mut n_replies = 0;
    for record in &records {
        if let Some(repeated) = record.repost_of {
            assert!(ids.contains(&repeated.post));
        }
        if let Some(answered) = record.reply_to {
            n_replies += 1;
            missing += usize::from(!ids.contains(&answered.post));
        }
    }
    assert_eq!(n_replies, 4_000);
    assert!((120..280).contains(&missing), "{missing}");
}

#[test]
fn viewers_follow_distinct_accounts_and_have_seen_posts_by_them() {
    let workload = Workload::new(2_000, 20_000);
    let ranks = workload.ranks();
    let viewer = workload.viewer(3, 100);
    let distinct: HashSet<Id> = viewer.following.iter().copied().collect();
    assert_eq!(distinct.len(), 100);
    let seen = workload.seen(&viewer, &ranks, 50);
    let author = |row: u64| (workload.id(row), workload.record(row).author);
    let authors: std::collections::HashMap<Id, Id> = (0..20_000).map(author).collect();
    assert!(seen.iter().all(|post| distinct.contains(&authors[post])));
}
