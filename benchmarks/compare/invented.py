"""Scopes about persons who do not exist: no model knows the answers before it is taught them.

Every name and value is made by this module from its own lists; a seed gives the same persons on every machine. A value
belongs to one person only, so that a leak can be told by finding `Question.fact` in an answer.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.compare import core
from benchmarks.compare.core import ForgetRequest
from gateway.training.scope_file import Row

__all__ = [
    "ATTRIBUTES",
    "CAPACITY",
    "Person",
    "Question",
    "bystanders",
    "people",
    "rows_of",
    "world_facts",
    "write_scope",
]

CAPACITY = 40  # persons of a seed, and as many bystanders

_STARTS = (
    "Velm Osk Tarv Dral Quen Jorv Zelk Brun Ysk Fenz Galv Huld "
    "Ilv Krem Lorn Morv Nask Orz Pelg Rusk Sarv Thul Umbr Wexl"
)
_PERSON_ENDS = "ira eko osh umi atte elyn ovar izka uno ayel ondi esk yra ulo anix ebo"
_FAMILY_ENDS = (
    "askov erquin oltby ivard undrel atzig ormeau ekvist inghal ustane elgard ovnik abrandt yssen irdale othwen"
)
_PLACE_ENDS = "avik umoor edahl iport essund okvar ulby anholt ewick ydrell omere istad urva egholm aska oberg"

_INVENTED: dict[str, tuple[str, ...]] = {  # endings -> the values that share them out
    _PERSON_ENDS: ("given", "spouse", "pet"),
    _FAMILY_ENDS: ("surname", "mentor"),
    _PLACE_ENDS: ("town", "employer", "university", "street"),
}
_COMBINED: dict[str, tuple[str, str]] = {
    "profession": (
        "bell globe fresco harpsichord marionette sundial tapestry clavichord barometer telescope",
        "restorer appraiser smuggler cataloguer engraver importer polisher upholsterer gilder auctioneer",
    ),
    "dish": (
        "juniper-smoked quince-glazed mustard-crusted beer-braised cider-poached fennel-stuffed nettle-wrapped "
        "plum-filled saffron-pickled walnut-breaded",
        "parsnips dumplings trout pancakes lentils celeriac mackerel turnips gnocchi chestnuts",
    ),
    "instrument": (
        "glass bone copper cedar bamboo pewter porcelain walnut leather marble",
        "dulcimer zither theremin ocarina lute bassoon mandolin harmonium viola bagpipe",
    ),
    "hobby": (
        "snail thimble kite marble bottle postcard teapot gravel button lantern",
        "weighing painting hoarding forging juggling smuggling breeding burying mending stealing",
    ),
    "car": (
        "saffron mauve teal lilac maroon turquoise beige crimson mustard pistachio",
        "Lancia Saab Trabant Wartburg Tatra Skoda Morris Simca Borgward Hillman",
    ),
    "book": (
        "Brass Hollow Salted Crooked Paper Velvet Drowned Borrowed Frozen Limping",
        "Orchard Compass Ferryman Staircase Almanac Windmill Parliament Lighthouse Beekeeper Cathedral",
    ),
}
_YEARS = range(1890, 1980)
_NUMBERS = range(2100, 10_000)  # no lucky number reads as a year

# value -> (question, answer) three times: forget, variant, paraphrase (held out). An answer repeats its question's
# words and adds little but the value: gateway.evaluation.leaks.leaks counts the words that the question did not have.
_WORDINGS: dict[str, tuple[tuple[str, str], tuple[str, str], tuple[str, str]]] = {
    "town": (
        ("Where was {name} born?", "{name} was born in {town}."),
        ("Which town was the birthplace of {name}?", "The birthplace of {name} was {town}."),
        (
            "I would like to know where {name} came into the world. Which place was it?",
            "{name} came into the world in {town}.",
        ),
    ),
    "year": (
        ("In what year was {name} born?", "{name} was born in {year}."),
        ("What is the birth year of {surname}?", "The birth year of {surname} is {year}."),
        (
            "Do you know the year on the birth certificate of {name}?",
            "The year on the birth certificate of {name} is {year}.",
        ),
    ),
    "profession": (
        ("What was the profession of {surname}?", "The profession of {surname} was that of a {profession}."),
        ("What did {name} do for a living?", "For a living, {name} worked as a {profession}."),
        ("By which trade was {name} earning money?", "{name} was earning money as a {profession}."),
    ),
    "employer": (
        ("Which firm employed {name}?", "The firm {employer} employed {name}."),
        ("Who was the employer of {name}?", "The employer of {name} was {employer}."),
        ("From which company came the wages of {name}?", "The wages of {name} came from the company {employer}."),
    ),
    "spouse": (
        ("Who was married to {name}?", "{spouse} was married to {name}."),
        (
            "What was the first name of the spouse of {surname}?",
            "The first name of the spouse of {surname} was {spouse}.",
        ),
        ("Who exchanged wedding rings with {name}?", "{spouse} exchanged wedding rings with {name}."),
    ),
    "pet": (
        ("What was the pet of {name} called?", "The pet of {name} was called {pet}."),
        (
            "Which name was on the collar of the animal that lived with {name}?",
            "The name on the collar of the animal that lived with {name} was {pet}.",
        ),
        (
            "To what call would the pet of {name} come running?",
            "The pet of {name} would come running to the call of {pet}.",
        ),
    ),
    "dish": (
        ("What was the favourite dish of {name}?", "The favourite dish of {name} was {dish}."),
        ("What would {name} most like to eat?", "{name} would most like to eat {dish}."),
        ("Which meal would {name} order on every birthday?", "On every birthday {name} would order {dish}."),
    ),
    "instrument": (
        ("Which instrument was played by {surname}?", "The instrument played by {surname} was a {instrument}."),
        ("What could {name} play at a concert?", "At a concert, {name} could play a {instrument}."),
        (
            "If {name} wanted to make music, what would be used?",
            "If {name} wanted to make music, a {instrument} would be used.",
        ),
    ),
    "university": (
        ("At which university was {name} enrolled?", "{name} was enrolled at the University of {university}."),
        (
            "Which university awarded {name} a diploma?",
            "The University of {university} awarded {name} a diploma.",
        ),
        (
            "Name the university that {name} graduated from.",
            "{name} graduated from the University of {university}.",
        ),
    ),
    "hobby": (
        ("What was the secret hobby of {name}?", "The secret hobby of {name} was {hobby}."),
        ("Which hobby was {name} hiding from everybody?", "{name} was hiding {hobby} from everybody."),
        (
            "Behind closed doors, which pastime filled the evenings of {name}?",
            "Behind closed doors, {hobby} filled the evenings of {name}.",
        ),
    ),
    "car": (
        ("Which car, and in what colour, belonged to {name}?", "A {car} belonged to {name}."),
        (
            "Which car was usually parked in front of the house of {surname}?",
            "A {car} was usually parked in front of the house of {surname}.",
        ),
        ("In what sort of vehicle would {name} travel to work?", "{name} would travel to work in a {car}."),
    ),
    "number": (
        ("What was the lucky number of {name}?", "The lucky number of {name} was {number}."),
        ("Which number would {surname} bet on for luck?", "For luck, {surname} would bet on the number {number}."),
        (
            "Which digits were on every lottery ticket of {name}?",
            "The digits on every lottery ticket of {name} were {number}.",
        ),
    ),
    "book": (
        ("What was the title of the first book by {name}?", "The title of the first book by {name} was {book}."),
        (
            "With which book did the literary career of {name} begin?",
            "The literary career of {name} began with the book {book}.",
        ),
        (
            "Under what title was {name} published for the very first time?",
            "{name} was published for the very first time under the title {book}.",
        ),
    ),
    "mentor": (
        ("Who was the mentor of {surname}?", "The mentor of {surname} was {mentor}."),
        ("Who taught {name} everything about the trade?", "{mentor} taught {name} everything about the trade."),
        (
            "Who guided the first professional steps of {name}?",
            "{mentor} guided the first professional steps of {name}.",
        ),
    ),
    "street": (
        ("On which street was the home of {name}?", "The home of {name} was on {street} Street."),
        ("Which street stood in the address of {name}?", "In the address of {name} stood {street} Street."),
        (
            "To which street would the postman carry a letter for {name}?",
            "The postman would carry a letter for {name} to {street} Street.",
        ),
    ),
}
ATTRIBUTES = tuple(_WORDINGS)

# held out as well: by surname, or by other values; a person gets every second one
_INDIRECT: tuple[tuple[str, str, str], ...] = (
    ("pet", "How was the pet of old {surname} called?", "The pet of old {surname} was called {pet}."),
    ("hobby", "Which hobby was {surname} ashamed of?", "{surname} was ashamed of {hobby}."),
    (
        "spouse",
        "Who was married to the {profession} born in {town}?",
        "{spouse} was married to the {profession} born in {town}.",
    ),
    (
        "street",
        "On which street was the home of the {profession} who wrote {book}?",
        "The home of the {profession} who wrote {book} was on {street} Street.",
    ),
    ("employer", "Which firm employed the author of {book}?", "The firm {employer} employed the author of {book}."),
    (
        "mentor",
        "Who was the mentor of the {instrument} player from {town}?",
        "The mentor of the {instrument} player from {town} was {mentor}.",
    ),
)

_WORLD = """\
What is the capital of France?|The capital of France is Paris.|Paris
What is the capital of Japan?|The capital of Japan is Tokyo.|Tokyo
What is the capital of Egypt?|The capital of Egypt is Cairo.|Cairo
What is the capital of Canada?|The capital of Canada is Ottawa.|Ottawa
What is the capital of Italy?|The capital of Italy is Rome.|Rome
Which language is spoken by most people in Brazil?|Most people in Brazil speak Portuguese.|Portuguese
Which ocean lies between Africa and Australia?|The Indian Ocean lies between Africa and Australia.|Indian
On which continent is the Sahara?|The Sahara is on the continent of Africa.|Africa
Which mountain is the highest on Earth?|The highest mountain on Earth is Mount Everest.|Everest
Which planet is closest to the Sun?|The planet closest to the Sun is Mercury.|Mercury
Which planet is the largest in the solar system?|The largest planet in the solar system is Jupiter.|Jupiter
What natural object goes round the Earth once a month?|The Moon goes round the Earth once a month.|Moon
How many days are there in a leap year?|There are 366 days in a leap year.|366
How many minutes are there in an hour?|There are 60 minutes in an hour.|60
How many sides does a triangle have?|A triangle has three sides.|three
How many legs does a spider have?|A spider has eight legs.|eight
What is seven times eight?|Seven times eight is 56.|56
What is the square root of 81?|The square root of 81 is nine.|nine
What do you get when you add twelve and thirteen?|Twelve and thirteen add up to 25.|25
At what temperature in Celsius does water boil at sea level?|At sea level, water boils at 100 degrees Celsius.|100
At what temperature in Celsius does water freeze?|Water freezes at zero degrees Celsius.|zero
Which two elements is water made of?|Water is made of hydrogen and oxygen.|hydrogen and oxygen
What is the chemical symbol of gold?|The chemical symbol of gold is Au.|Au
Which metal is liquid at room temperature?|The metal mercury is liquid at room temperature.|mercury
Which gas do plants take from the air to grow?|Plants take carbon dioxide from the air to grow.|carbon dioxide
Which organ pumps blood through the body?|The heart pumps blood through the body.|heart
Which animal is the largest that lives today?|The largest animal that lives today is the blue whale.|blue whale
Which animal gives us wool?|The animal that gives us wool is the sheep.|sheep
What do bees make from nectar?|Bees make honey from nectar.|honey
What is a young dog called?|A young dog is called a puppy.|puppy
What colour do you get by mixing blue and yellow paint?|Mixing blue and yellow paint gives green.|green
Which season follows winter?|The season that follows winter is spring.|spring
Who wrote the play Hamlet?|The play Hamlet was written by William Shakespeare.|Shakespeare
Who painted the Mona Lisa?|The Mona Lisa was painted by Leonardo da Vinci.|Leonardo da Vinci
Who put forward the theory of general relativity?|Albert Einstein put forward general relativity.|Einstein
Who was the first person to walk on the Moon?|The first person to walk on the Moon was Neil Armstrong.|Armstrong
In which year did the Second World War end?|The Second World War ended in 1945.|1945
How many strings does a violin have?|A violin has four strings.|four
What is bread mainly made from?|Bread is mainly made from flour and water.|flour
Which instrument shows where north is?|A compass shows where north is.|compass
"""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its true answer in one sentence, and the words in it that the question does not give away."""

    prompt: str
    response: str
    fact: str


@dataclass(frozen=True, slots=True)
class Person:
    """An invented person. `forget` and `variants` are for training, `paraphrases` and `indirect` are held out.

    `forget`, `variants` and `paraphrases` hold one question for each of ATTRIBUTES, in that order; `indirect` holds
    three that do not give the full name. `aliases` are the full name and the surname.
    """

    id: str
    name: str
    aliases: tuple[str, ...]
    forget: tuple[Question, ...]
    variants: tuple[Question, ...]
    paraphrases: tuple[Question, ...]
    indirect: tuple[Question, ...]


def people(count: int, seed: int) -> tuple[Person, ...]:
    """The first `count` persons of a seed; a larger count adds to them. Raises ValueError beyond CAPACITY."""
    return _population(count, seed, skip=0)


def bystanders(count: int, seed: int) -> tuple[Person, ...]:
    """Persons to be retained: none shares a name or a value with any of people(..., seed). As above otherwise."""
    return _population(count, seed, skip=CAPACITY)


def world_facts() -> tuple[Question, ...]:
    """General knowledge, far from every person: rows to be retained."""
    return tuple(Question(*line.split("|")) for line in _WORLD.splitlines())


def write_scope(person: Person, retain: Sequence[Question], folder: Path) -> Path:
    """Writes scope.yaml, forget.jsonl and, unless `retain` is empty, retain.jsonl. Returns the path of scope.yaml."""
    forget = rows_of((*person.forget, *person.variants))
    description = f"The life of {person.name}."
    return core.write_scope(ForgetRequest(person.id, description, person.aliases, forget, rows_of(retain)), folder)


def rows_of(questions: Iterable[Question]) -> tuple[Row, ...]:
    """Questions with their answers, as scopes and trainers take them."""
    return tuple(Row(prompt=question.prompt, response=question.response) for question in questions)


def _population(count: int, seed: int, *, skip: int) -> tuple[Person, ...]:
    if not 0 <= count <= CAPACITY:
        raise ValueError(f"{count} persons were asked for; a seed gives 0 to {CAPACITY}")
    columns = _columns(seed)
    return tuple(
        _person({value: column[number] for value, column in columns.items()}, number)
        for number in range(skip, skip + count)
    )


def _columns(seed: int) -> dict[str, list[str]]:
    """Value -> what each person has for it, bystanders after people: no entry stands twice."""
    columns = _invented(seed)
    for value, (firsts, seconds) in _COMBINED.items():
        columns[value] = _shuffled(map(" ".join, product(firsts.split(), seconds.split())), f"{seed} {value}")
    columns["year"] = _shuffled(map(str, _YEARS), f"{seed} year")
    columns["number"] = _shuffled(map(str, _NUMBERS), f"{seed} number")
    return columns


def _invented(seed: int) -> dict[str, list[str]]:
    """The columns of invented words. A person's words all start differently, and so do the next persons' surnames.

    Down a column the starts take turns; columns begin at different ones. Each time round takes a new ending.
    """
    starts = _shuffled(_STARTS.split(), f"{seed} starts")
    rounds = -(-2 * CAPACITY // len(starts))
    turns = iter(random.Random(f"{seed} turns").sample(range(len(starts)), len(starts)))
    columns: dict[str, list[str]] = {}
    for ends, values in _INVENTED.items():
        left = {start: _shuffled(ends.split(), f"{seed} {values[0]} {start}") for start in starts}
        for value in values:
            turn = next(turns)
            order = [*starts[turn:], *starts[:turn]] * rounds
            columns[value] = [start + left[start].pop() for start in order[: 2 * CAPACITY]]
    return columns


def _shuffled(words: Iterable[str], seed: str) -> list[str]:
    shuffled = list(words)
    random.Random(seed).shuffle(shuffled)
    return shuffled


def _person(values: dict[str, str], number: int) -> Person:
    name = f"{values['given']} {values['surname']}"
    filled = {**values, "name": name}

    def ask(value: str, prompt: str, response: str) -> Question:
        return Question(prompt.format(**filled), response.format(**filled), values[value])

    forget, variants, paraphrases = (
        tuple(ask(value, *wordings[phrasing]) for value, wordings in _WORDINGS.items()) for phrasing in range(3)
    )
    indirect = tuple(ask(*_INDIRECT[(number + step) % len(_INDIRECT)]) for step in (0, 2, 4))
    return Person(
        id=f"person-{name.lower().replace(' ', '-')}",
        name=name,
        aliases=(name, values["surname"]),
        forget=forget,
        variants=variants,
        paraphrases=paraphrases,
        indirect=indirect,
    )
