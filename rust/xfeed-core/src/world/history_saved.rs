//! Histories in a snapshot.

use std::io;

use hashbrown::HashMap;

use super::{Histories, Row, Viewer};
use crate::action::{ACTIONS, ActionSet};
use crate::error::Result;
use crate::ids::Id;
use crate::snapshot::{Decoder, Encoder};

impl Row {
    fn encode(&self, out: &mut Encoder<'_>) -> io::Result<()> {
        out.ms(self.at_ms)?;
        out.id(self.post)?;
        out.option(self.request, Encoder::id)?;
        out.option(self.author, Encoder::id)?;
        out.u8(self.surface)?;
        out.flag(self.impression)?;
        out.u64(self.actions.0)?;
        out.f32(self.dwell_secs)?;
        out.f32(self.click_dwell_secs)?;
        out.ms(self.acted_ms)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self> {
        let row = Self {
            at_ms: input.ms()?,
            post: input.id()?,
            request: input.option(Decoder::id)?,
            author: input.option(Decoder::id)?,
            surface: input.u8()?,
            impression: input.flag()?,
            actions: ActionSet(input.u64()?),
            dwell_secs: input.f32()?,
            click_dwell_secs: input.f32()?,
            acted_ms: input.ms()?,
        };
        if row.actions.0 >> ACTIONS.len() != 0 {
            return Err(Decoder::wrong("an action that is not in the table"));
        }
        Ok(row)
    }
}

impl Viewer {
    fn encode(&self, out: &mut Encoder<'_>) -> io::Result<()> {
        out.count(self.rows.len())?;
        for row in &self.rows {
            row.encode(out)?;
        }
        let mut seen: Vec<_> = self.seen.iter().collect();
        seen.sort_unstable();
        out.count(seen.len())?;
        for (post, at_ms) in seen {
            out.id(*post)?;
            out.ms(*at_ms)?;
        }
        Ok(())
    }

    fn decode(input: &mut Decoder<'_>, max_rows: usize) -> Result<Self> {
        let rows = input.list(Row::decode)?;
        if rows.len() > max_rows {
            return Err(Decoder::wrong(format!(
                "a history of {} rows, at most {max_rows} are kept",
                rows.len()
            )));
        }
        if !rows.is_sorted_by_key(Row::key) {
            return Err(Decoder::wrong("a history that is not in order"));
        }
        let mut seen = HashMap::new();
        let read = |input: &mut Decoder<'_>| Ok((input.id()?, input.ms()?));
        input.entries(read, |post, at_ms| {
            seen.insert(post, at_ms);
        })?;
        Ok(Self { rows, seen })
    }
}

impl Histories {
    pub(in crate::world) fn encode(&self, out: &mut Encoder<'_>) -> io::Result<()> {
        let mut all: Vec<(&Id, &Viewer)> = self.viewers.iter().collect();
        all.sort_unstable_by_key(|(viewer, _)| **viewer);
        out.count(all.len())?;
        for (viewer, history) in all {
            out.id(*viewer)?;
            history.encode(out)?;
        }
        Ok(())
    }

    pub(in crate::world) fn decode(input: &mut Decoder<'_>, max_rows: usize) -> Result<Self> {
        let mut histories = Self::new(max_rows);
        let read = |input: &mut Decoder<'_>| Ok((input.id()?, Viewer::decode(input, max_rows)?));
        input.entries(read, |viewer, history| {
            histories.viewers.insert(viewer, history);
        })?;
        Ok(histories)
    }
}
