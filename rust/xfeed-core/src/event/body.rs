//! From checked fields to what happened: the rules that need more than one field.

use crate::action::{ACTIONS, Origin, idx};
use crate::clock::UnixMs;
use crate::event::fields::Checked;
use crate::event::reject::{Reject, nearest};
use crate::event::{
    Action, Body, EdgeKind, MEDIA_KINDS, Post, Profile, Related, Target, has_duration,
};
use crate::ids::Id;

impl Checked<'_> {
    fn surface(&self) -> u8 {
        self.int("surface")
            .and_then(|value| u8::try_from(value).ok())
            .unwrap_or(0)
    }

    pub(super) fn body(
        &self,
        at_ms: UnixMs,
        names: &mut Vec<(Id, String)>,
    ) -> Result<Body, Reject> {
        let edge = |kind, on, names: &mut Vec<(Id, String)>| self.edge(kind, on, names);
        match self.spec.name {
            "post" => self.post(names),
            "edit" => self.edit(names),
            "delete" => Ok(Body::Delete {
                post: self.need("post_id", names)?,
                undo: false,
            }),
            "undelete" => Ok(Body::Delete {
                post: self.need("post_id", names)?,
                undo: true,
            }),
            "follow" => edge(EdgeKind::Follow, true, names),
            "unfollow" => edge(EdgeKind::Follow, false, names),
            "block" => edge(EdgeKind::Block, true, names),
            "unblock" => edge(EdgeKind::Block, false, names),
            "mute" => edge(EdgeKind::Mute, true, names),
            "unmute" => edge(EdgeKind::Mute, false, names),
            "mute_word" => self.word(at_ms, true, names),
            "unmute_word" => self.word(at_ms, false, names),
            "profile" => self.profile(names),
            "impression" => Ok(Body::Impression {
                viewer: self.need("viewer_id", names)?,
                post: self.need("post_id", names)?,
                request: self.id("request_id", names),
                surface: self.surface(),
            }),
            "action" => self.action(names),
            "label" => self.label(at_ms, true, names),
            _ => self.label(at_ms, false, names),
        }
    }

    fn related(
        &self,
        post: &'static str,
        author: &'static str,
        names: &mut Vec<(Id, String)>,
    ) -> Result<Option<Related>, Reject> {
        let author_id = self.id(author, names);
        match self.id(post, names) {
            Some(id) => Ok(Some(Related {
                post: id,
                author: author_id,
            })),
            None if author_id.is_some() => Err(Reject::missing(
                post,
                &format!("it must come with `{author}`"),
            )),
            None => Ok(None),
        }
    }

    fn post(&self, names: &mut Vec<(Id, String)>) -> Result<Body, Reject> {
        let media = self.text("media_kind");
        let media_kind = media.as_deref().map_or(0, |media| {
            MEDIA_KINDS
                .iter()
                .position(|kind| *kind == media)
                .and_then(|position| u8::try_from(position).ok())
                .unwrap_or(0)
        });
        let duration = self.int("media_duration_ms");
        if duration.is_some() && !has_duration(media_kind) {
            let message = "goes with `media_kind` video, animation or audio only";
            let shown = self.shown("media_duration_ms");
            return Err(Reject::field(
                "does_not_apply",
                "media_duration_ms",
                &shown,
                message,
            ));
        }
        // An answer to somebody may come without the post that it answers.
        let reply_to_author = if self.get("reply_to_id").is_none() {
            self.id("reply_to_author_id", names)
        } else {
            None
        };
        let reply_to = match reply_to_author {
            Some(_) => None,
            None => self.related("reply_to_id", "reply_to_author_id", names)?,
        };
        let post = Post {
            id: self.need("post_id", names)?,
            author: self.need("author_id", names)?,
            text: self.text("text").unwrap_or_default(),
            language: self.text("language"),
            media_kind,
            media_duration_ms: duration.and_then(|ms| u32::try_from(ms).ok()).unwrap_or(0),
            topics: self.texts("topics").unwrap_or_default(),
            reply_to,
            reply_to_author,
            root: self.related("root_id", "root_author_id", names)?,
            repost_of: self.related("repost_of_id", "repost_of_author_id", names)?,
            quote_of: self.related("quote_of_id", "quote_of_author_id", names)?,
            nullcast: self.bool("nullcast").unwrap_or(false),
        };
        match post.fault() {
            None => Ok(Body::Post(Box::new(post))),
            Some(fault) if fault.code == "missing_field" => {
                Err(Reject::missing(fault.field, fault.message))
            }
            Some(fault) => {
                let shown = self.shown(fault.field);
                Err(Reject::field(
                    fault.code,
                    fault.field,
                    &shown,
                    fault.message,
                ))
            }
        }
    }

    fn edit(&self, names: &mut Vec<(Id, String)>) -> Result<Body, Reject> {
        let post = self.need("post_id", names)?;
        let text = self.text("text");
        let language = self.text("language");
        let topics = self.texts("topics");
        if text.is_none() && language.is_none() && topics.is_none() {
            return Err(Reject::missing(
                "text",
                "an edit changes `text`, `language` or `topics`",
            ));
        }
        Ok(Body::Edit {
            post,
            text,
            language,
            topics,
        })
    }

    fn edge(
        &self,
        kind: EdgeKind,
        on: bool,
        names: &mut Vec<(Id, String)>,
    ) -> Result<Body, Reject> {
        let from = self.need("user_id", names)?;
        let to = self.need("target_id", names)?;
        if from == to {
            let message = "must be somebody else than `user_id`";
            let shown = self.shown("target_id");
            return Err(Reject::field(
                "points_at_itself",
                "target_id",
                &shown,
                message,
            ));
        }
        Ok(Body::Edge { kind, from, to, on })
    }

    fn expiry(&self, at_ms: UnixMs) -> Result<Option<UnixMs>, Reject> {
        match self.int("expires_at_ms") {
            Some(expires) if expires <= at_ms => {
                let message = format!("must be after `at_ms` ({at_ms})");
                let shown = expires.to_string();
                Err(Reject::field(
                    "already_over",
                    "expires_at_ms",
                    &shown,
                    &message,
                ))
            }
            expires => Ok(expires),
        }
    }

    fn word(&self, at_ms: UnixMs, on: bool, names: &mut Vec<(Id, String)>) -> Result<Body, Reject> {
        let viewer = self.need("user_id", names)?;
        let word = self.text("word").unwrap_or_default();
        if crate::keywords::Keyword::parse(&word).is_none() {
            let message = "must hold at least one letter or digit";
            return Err(Reject::field("empty_word", "word", &word, message));
        }
        Ok(Body::Word {
            viewer,
            word,
            expires_ms: self.expiry(at_ms)?,
            on,
        })
    }

    fn profile(&self, names: &mut Vec<(Id, String)>) -> Result<Body, Reject> {
        let profile = Profile {
            handle: self.text("handle"),
            name: self.text("name"),
            language: self.text("language"),
            created_ms: self.int("created_at_ms"),
            protected: self.bool("protected"),
            follower_count: self
                .int("follower_count")
                .and_then(|count| u64::try_from(count).ok()),
        };
        Ok(Body::Profile {
            user: self.need("user_id", names)?,
            profile: Box::new(profile),
        })
    }

    fn action(&self, names: &mut Vec<(Id, String)>) -> Result<Body, Reject> {
        let name = self.text("action").unwrap_or_default();
        let sent = || {
            ACTIONS
                .iter()
                .filter(|action| action.origin != Origin::Derived)
        };
        let known = ACTIONS.iter().position(|action| action.name == name);
        let action = match known {
            Some(action) if ACTIONS[action].origin != Origin::Derived => action,
            Some(_) => {
                let message = "is worked out by xfeed and cannot be sent";
                return Err(Reject::field("derived_action", "action", &name, message));
            }
            None => {
                let near = nearest(&name, sent().map(|action| action.name));
                let message = match near {
                    Some(near) => format!("is not in the action table (did you mean `{near}`?)"),
                    None => {
                        let all: Vec<&str> = sent().map(|action| action.name).collect();
                        format!("must be one of {}", all.join(", "))
                    }
                };
                return Err(Reject::field("unknown_action", "action", &name, &message));
            }
        };
        let seconds = self.number("seconds");
        let timed = ACTIONS[action].origin == Origin::SentWithSeconds;
        if timed && seconds.is_none() {
            return Err(Reject::missing("seconds", &format!("`{name}` needs it")));
        }
        if !timed && seconds.is_some() {
            let message = format!("does not apply to `{name}`");
            let shown = self.shown("seconds");
            return Err(Reject::field("does_not_apply", "seconds", &shown, &message));
        }
        let author = self.id("author_id", names);
        let viewer = self.need("viewer_id", names)?;
        if matches!(
            action,
            idx::FOLLOW_AUTHOR | idx::MUTE_AUTHOR | idx::BLOCK_AUTHOR
        ) {
            match author {
                None => {
                    let message = format!("`{name}` needs to say which author");
                    return Err(Reject::missing("author_id", &message));
                }
                Some(author) if author == viewer => {
                    let message = "must be somebody else than `viewer_id`";
                    let shown = self.shown("author_id");
                    return Err(Reject::field(
                        "points_at_itself",
                        "author_id",
                        &shown,
                        message,
                    ));
                }
                Some(_) => {}
            }
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most 86,400 by the schema"
        )]
        let seconds = seconds.unwrap_or(0.0) as f32;
        Ok(Body::Action(Box::new(Action {
            viewer,
            post: self.need("post_id", names)?,
            action,
            seconds,
            request: self.id("request_id", names),
            surface: self.surface(),
            author,
        })))
    }

    fn label(
        &self,
        at_ms: UnixMs,
        on: bool,
        names: &mut Vec<(Id, String)>,
    ) -> Result<Body, Reject> {
        let target = match (self.id("post_id", names), self.id("user_id", names)) {
            (Some(post), None) => Target::Post(post),
            (None, Some(user)) => Target::User(user),
            (None, None) => {
                return Err(Reject::missing(
                    "post_id",
                    "or `user_id`: what the label is for",
                ));
            }
            (Some(_), Some(_)) => {
                let message = "and `post_id` cannot both be given";
                let shown = self.shown("user_id");
                return Err(Reject::field("contradiction", "user_id", &shown, message));
            }
        };
        let label = self.text("label").unwrap_or_default();
        Ok(Body::Label {
            target,
            label,
            expires_ms: self.expiry(at_ms)?,
            on,
        })
    }
}
