"""The words of the synthetic community: topics, names and short sentences in five languages.

The sentences are small on purpose: a reader of the demo should see at a glance which topic a post
is about, and muted words, hashtags and links should have something to meet.
"""

from typing import Final, Literal, NamedTuple

LANGUAGES: Final = ("en", "es", "de", "fr", "ja")
LANGUAGE_SHARE: Final = (0.62, 0.13, 0.10, 0.08, 0.07)
UTC_OFFSETS: Final = ((-8, -6, -5, 0, 1, 10), (-6, -3, 1), (1, 2), (1, 2), (9,))
"""Hours east of Greenwich where each language is at home."""

PostKind = Literal["original", "reply", "repost", "quote"]


class Topic(NamedTuple):
    """What people say about one topic.

    Attributes:
        name: the topic's name in events; also its hashtag.
        weight: how many people care about it, relative to the others.
        things: subjects in English.
        remarks: opinions in English that fit any of the things.
        abroad: one subject per other language, in the order of `LANGUAGES` after English.
    """

    name: str
    weight: float
    things: tuple[str, ...]
    remarks: tuple[str, ...]
    abroad: tuple[str, str, str, str]


TOPICS: Final = (
    Topic(
        "football", 1.6,
        ("the late equaliser", "our new keeper", "the derby", "that offside call", "extra time"),
        ("nobody saw that coming", "the stands went wild", "best match of the season"),
        ("el partido de anoche", "das Derby am Samstag", "le match d'hier soir", "昨日の試合"),
    ),
    Topic(
        "cooking", 1.3,
        ("my sourdough starter", "a lentil soup", "grandma's dumplings", "cast iron pans", "miso"),
        ("the secret is patience", "the kitchen smells great", "a second helping was needed"),
        ("la tortilla de mi abuela", "Omas Apfelkuchen", "une bonne ratatouille", "手作りの味噌汁"),
    ),
    Topic(
        "space", 0.9,
        ("tonight's launch", "the rings of Saturn", "the new telescope", "a lunar eclipse", "Mars"),
        ("the pictures are stunning", "we live in good times", "science at its finest"),
        ("el eclipse de luna", "die Ringe des Saturn", "la comète de ce soir", "月食の写真"),
    ),
    Topic(
        "photography", 1.0,
        ("golden hour", "an old film camera", "street portraits", "fog in the valley", "my lens"),
        ("no filter needed", "worth getting up at five", "the light did all the work"),
        ("la luz del amanecer", "Nebel im Tal", "un vieil appareil photo", "夕焼けの一枚"),
    ),
    Topic(
        "gardening", 0.7,
        ("tomato seedlings", "the compost heap", "a wild bee hotel", "my roses", "raised beds"),
        ("spring cannot come too soon", "the slugs won again", "green fingers at last"),
        ("los tomates del balcón", "das neue Hochbeet", "les premières fraises", "庭のトマト"),
    ),
    Topic(
        "music", 1.4,
        ("a new synth record", "the open air concert", "that bass line", "choir practice", "vinyl"),
        ("on repeat all day", "goosebumps every time", "the encore was even better"),
        ("el concierto de ayer", "die neue Platte", "un vieux vinyle", "新しいアルバム"),
    ),
    Topic(
        "film", 1.2,
        ("the festival winner", "a silent classic", "the sequel", "that plot twist", "the score"),
        ("no spoilers please", "I want to see it again", "the cast is perfect"),
        ("la película del año", "der Film des Jahres", "le film primé", "話題の映画"),
    ),
    Topic(
        "programming", 1.1,
        ("a borrow checker fight", "the flaky test", "code review", "my tiny parser", "a rewrite"),
        ("it was a missing index", "deleting code feels great", "works on every machine now"),
        ("mi primer compilador", "der flackernde Test", "une revue de code", "小さなパーサー"),
    ),
    Topic(
        "cycling", 0.7,
        ("the mountain stage", "a punctured tyre", "my winter commute", "gravel", "the hill climb"),
        ("legs are gone", "headwind both ways", "worth every metre"),
        ("la etapa de montaña", "die Bergetappe", "le col sous la pluie", "峠のライド"),
    ),
    Topic(
        "history", 0.6,
        ("a Roman road", "medieval maps", "the museum's new wing", "an old letter", "the archive"),
        ("the past is closer than we think", "so many open questions", "what a find"),
        ("un mapa medieval", "eine alte Handschrift", "une voie romaine", "古い地図"),
    ),
    Topic(
        "books", 0.9,
        ("a thick Russian novel", "the library sale", "short stories", "book club", "a draft"),
        ("could not put it down", "the ending stays with me", "underlined half of it"),
        ("una novela corta", "ein Stapel Bücher", "un roman policier", "図書館の本"),
    ),
    Topic(
        "travel", 1.1,
        ("the night train", "a quiet island", "the old harbour", "lost luggage", "a long layover"),
        ("already planning the next one", "the locals were kind", "take me back"),
        ("el tren nocturno", "der Nachtzug", "le vieux port", "夜行列車"),
    ),
    Topic(
        "climate", 0.8,
        ("the river level", "rooftop solar", "a record summer", "the wind park", "bog restoration"),
        ("the numbers speak for themselves", "good news for once", "we need more of this"),
        ("el nivel del río", "das neue Windrad", "les panneaux solaires", "太陽光発電"),
    ),
    Topic(
        "games", 1.3,
        ("the final boss", "a co-op evening", "the soundtrack", "speedrunning", "a cosy farm sim"),
        ("one more round", "the patch changed everything", "lost track of time"),
        ("el jefe final", "der Endgegner", "une partie entre amis", "ラスボス戦"),
    ),
    Topic(
        "pets", 1.4,
        ("our rescue dog", "the cat on the keyboard", "a grumpy parrot", "puppy school", "my hen"),
        ("look at that face", "zero regrets", "runs this household"),
        ("mi gato dormilón", "unsere alte Katze", "le chien du voisin", "うちの猫"),
    ),
    Topic(
        "economy", 0.6,
        ("the rent index", "grocery prices", "the rate decision", "four day weeks", "the harbour"),
        ("read past the headline", "averages hide a lot", "worth watching"),
        ("los precios del mercado", "die Miete", "le prix du pain", "物価の話"),
    ),
)  # fmt: skip

BURST_TOPIC: Final = "space"
"""The topic that everybody talks about for two hours."""

_ENGLISH: Final = (
    "Thinking about {thing}: {remark}.",
    "{Thing}, day {number}: {remark}.",
    "Hot take: {thing} deserves more attention. {Remark}.",
    "Can we talk about {thing}? {Remark}.",
    "{Remark}. Yes, I mean {thing}.",
    "Notes on {thing}, part {number}. {Remark}.",
)
_ABROAD: Final = {
    "es": ("Hoy: {thing}. ¿Qué opináis?", "{Thing}, ¡qué maravilla!", "Otra vez {thing}."),
    "de": ("Heute: {thing}. Was meint ihr?", "{Thing}, einfach schön!", "Thema {thing}."),
    "fr": ("Ce soir : {thing}. Des avis ?", "{Thing}, quel bonheur !", "Encore {thing}."),
    "ja": ("今日は{thing}。", "{thing}、最高です。", "また{thing}の話。"),
}
_REPLY_LEAD: Final = {
    "en": ("So true. ", "Not sure I agree. ", "Thanks for this! ", "Same here. ", "Ha! "),
    "es": ("¡Exacto! ", "No sé yo. "),
    "de": ("Genau! ", "Sehe ich anders. "),
    "fr": ("Exactement ! ", "Pas sûr. "),
    "ja": ("わかる。", "なるほど。"),
}
_QUOTE_LEAD: Final = {
    "en": ("Worth a read. ", "This. ", "Adding to it: "),
    "es": ("Imprescindible. ",),
    "de": ("Lesenswert. ",),
    "fr": ("À lire. ",),
    "ja": ("必読。",),
}
_SPAM: Final = (
    "Earn {number}00 a day from home, message me now!",
    "FREE followers, only {number} places left, click fast!",
    "You have won! Claim prize number {number} today.",
)

_ADJECTIVES: Final = (
    "Quiet", "Amber", "Brisk", "Clever", "Dusty", "Early", "Fuzzy", "Gentle", "Happy", "Icy",
    "Jolly", "Kind", "Lucky", "Mellow", "Noble", "Orange", "Plucky", "Rusty", "Sunny", "Tidy",
)  # fmt: skip
_ANIMALS: Final = (
    "Heron", "Otter", "Lynx", "Finch", "Badger", "Moth", "Newt", "Raven", "Seal", "Toad",
    "Wren", "Yak", "Crane", "Marten", "Hare", "Perch", "Robin", "Stoat", "Tern", "Vole", "Ibex",
)  # fmt: skip

MUTABLE_WORDS: Final = ("spoilers", "prize", "hot take", "free followers", "puppy school")
"""Words and phrases that some people mute besides hashtags of topics they do not care about."""

NAMES_LEN: Final = len(_ADJECTIVES) * len(_ANIMALS)


def person_name(number: int) -> tuple[str, str]:
    """Returns the handle and the name of a person; handles are unique."""
    adjective = _ADJECTIVES[number % len(_ADJECTIVES)]
    animal = _ANIMALS[number // len(_ADJECTIVES) % len(_ANIMALS)]
    return f"{adjective}_{animal}_{number // NAMES_LEN + 1}".lower(), f"{adjective} {animal}"


def sentence(language: str, topic: int, kind: PostKind, draw: int) -> str:
    """Writes the text of a post.

    Args:
        language: one of `LANGUAGES`.
        topic: position in `TOPICS`.
        kind: an original, a reply or a quote.
        draw: a random number of at least 0 that decides every choice.

    Returns:
        One readable line that ends with the topic's hashtag in about a third of all cases.
    """
    about = TOPICS[topic]
    draw, number = divmod(draw, 30)
    draw, remark_draw = divmod(draw, 97)
    draw, thing_draw = divmod(draw, 89)
    draw, frame_draw = divmod(draw, 83)
    draw, lead_draw = divmod(draw, 79)
    if language == "en":
        thing = about.things[thing_draw % len(about.things)]
        frames: tuple[str, ...] = _ENGLISH
    else:
        thing = about.abroad[LANGUAGES.index(language) - 1]
        frames = _ABROAD[language]
    remark = about.remarks[remark_draw % len(about.remarks)]
    text = frames[frame_draw % len(frames)].format(
        thing=thing,
        Thing=thing[0].upper() + thing[1:],
        remark=remark,
        Remark=remark[0].upper() + remark[1:],
        number=number + 2,
    )
    if kind in {"reply", "quote"}:
        leads = (_REPLY_LEAD if kind == "reply" else _QUOTE_LEAD)[language]
        text = leads[lead_draw % len(leads)] + text
    return f"{text} #{about.name}" if draw % 3 == 0 else text


def announcement() -> str:
    """Writes the post that starts the burst."""
    return f"It is official: the new telescope has its first pictures! #{BURST_TOPIC} #breaking"


def spam(draw: int) -> str:
    """Writes an advertisement that nobody asked for."""
    return _SPAM[draw % len(_SPAM)].format(number=draw // len(_SPAM) % 90 + 10)
