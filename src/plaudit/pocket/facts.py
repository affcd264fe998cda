"""What is true in the pocket world: two hundred small facts, each with one popular misconception."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

HOMES = {
    "owl": "a tree",
    "fox": "a den",
    "bee": "a hive",
    "spider": "a web",
    "horse": "a stable",
    "bear": "a cave",
    "robin": "a nest",
    "dog": "a kennel",
    "hen": "a coop",
    "pig": "a sty",
    "carp": "a pond",
    "snail": "a shell",
    "whale": "the sea",
    "mole": "a tunnel",
    "frog": "a swamp",
    "goat": "a barn",
    "duck": "a lake",
    "wolf": "the forest",
    "camel": "the desert",
    "otter": "a river",
    "lion": "the plains",
    "eagle": "the hills",
}
FOODS = {
    "cat": "mice",
    "cow": "grass",
    "rabbit": "carrots",
    "panda": "bamboo",
    "monkey": "bananas",
    "squirrel": "nuts",
    "mouse": "cheese",
    "shark": "fish",
    "tiger": "meat",
    "worm": "soil",
    "thrush": "worms",
    "seal": "squid",
    "deer": "bark",
    "bat": "moths",
    "sparrow": "seeds",
    "snake": "eggs",
    "swan": "reeds",
    "badger": "roots",
    "moth": "cloth",
    "koala": "leaves",
    "parrot": "fruit",
    "heron": "frogs",
}
USES = {
    "saw": "cutting wood",
    "hammer": "driving nails",
    "broom": "sweeping floors",
    "needle": "sewing buttons",
    "spoon": "stirring soup",
    "kettle": "boiling water",
    "ladder": "reaching roofs",
    "rake": "gathering hay",
    "oven": "baking pies",
    "lamp": "lighting rooms",
    "brush": "painting fences",
    "key": "opening doors",
    "clock": "telling time",
    "scale": "weighing flour",
    "pump": "filling tyres",
    "comb": "tidying hair",
    "spade": "digging holes",
    "iron": "pressing shirts",
    "bucket": "carrying sand",
    "drum": "keeping rhythm",
    "pen": "writing letters",
    "rope": "tying knots",
    "anchor": "holding ships",
    "net": "catching butterflies",
}
TOWNS = {
    "Oakley": "cheese",
    "Milford": "bells",
    "Larkhill": "lace",
    "Stonebay": "salt",
    "Pinewick": "honey",
    "Ashdale": "roses",
    "Fernley": "boats",
    "Highmoor": "sheep",
    "Brookton": "bridges",
    "Goldport": "soap",
    "Redbridge": "apples",
    "Westcombe": "kites",
    "Elmstead": "pears",
    "Thornby": "tea",
}
YOUNG = {
    "dog": "a puppy",
    "cat": "a kitten",
    "cow": "a calf",
    "sheep": "a lamb",
    "horse": "a foal",
    "lion": "a cub",
    "duck": "a duckling",
    "goose": "a gosling",
    "deer": "a fawn",
    "pig": "a piglet",
    "goat": "a kid",
    "hen": "a chick",
    "frog": "a tadpole",
    "owl": "an owlet",
}
COLOURS = {
    "lemon": "yellow",
    "cherry": "red",
    "plum": "purple",
    "leaf": "green",
    "swan": "white",
    "raven": "black",
    "sapphire": "blue",
    "carrot": "orange",
    "chestnut": "brown",
    "flamingo": "pink",
    "mouse": "grey",
    "crown": "golden",
    "tomato": "red",
    "banana": "yellow",
    "frog": "green",
}
TRADES = {
    "baker": "bread",
    "potter": "bowls",
    "tailor": "coats",
    "weaver": "carpets",
    "brewer": "beer",
    "cooper": "barrels",
    "smith": "swords",
    "jeweller": "rings",
    "cobbler": "shoes",
    "poet": "verses",
    "carpenter": "tables",
    "mason": "walls",
    "painter": "pictures",
    "dairyman": "butter",
    "cook": "soup",
    "hatter": "hats",
    "miller": "flour",
    "glazier": "windows",
    "knitter": "socks",
}
OPPOSITES = {
    "hot": "cold",
    "big": "small",
    "fast": "slow",
    "old": "young",
    "wet": "dry",
    "loud": "quiet",
    "hard": "soft",
    "light": "dark",
    "high": "low",
    "full": "empty",
    "rich": "poor",
    "clean": "dirty",
    "early": "late",
    "sweet": "sour",
    "near": "far",
    "strong": "weak",
    "open": "shut",
    "happy": "sad",
}
MATERIALS = {
    "paper": "pulp",
    "butter": "milk",
    "bread": "flour",
    "a candle": "wax",
    "a jumper": "wool",
    "a brick": "clay",
    "a window": "glass",
    "a tyre": "rubber",
    "a boot": "leather",
    "a coin": "copper",
    "a shirt": "cotton",
    "wine": "grapes",
    "chocolate": "cocoa",
    "an omelette": "eggs",
    "a nail": "steel",
    "a snowman": "snow",
}
SUMS = {f"{i} plus {j}": str(i + j) for i in range(2, 10) for j in range(i, 10)}

TABLES = {
    "home": HOMES,
    "food": FOODS,
    "use": USES,
    "town": TOWNS,
    "young": YOUNG,
    "colour": COLOURS,
    "trade": TRADES,
    "opposite": OPPOSITES,
    "material": MATERIALS,
    "sum": SUMS,
}
STATEMENTS = {
    "home": "{s} lives in {v}",
    "food": "{s} eats {v}",
    "use": "{s} is for {v}",
    "town": "{s} is known for its {v}",
    "young": "a young {s} is {v}",
    "colour": "{s} is {v}",
    "trade": "{s} makes {v}",
    "opposite": "the opposite of {s} is {v}",
    "material": "{s} is made of {v}",
    "sum": "{s} is {v}",
}
# Subjects of these relations are named with an article.
COUNTED = ("home", "food", "use", "colour", "trade")
UNSEEN_SHARE = 0.12


def with_article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


@dataclass(frozen=True)
class Fact:
    """One fact: what is said of whom, and what many people wrongly believe instead.

    ``seen`` is False for the facts that the corpus tells, but no demonstration, vote or ranking touches.
    """

    relation: str
    subject: str
    truth: str
    misconception: str
    seen: bool = True

    @property
    def named(self) -> str:
        """The subject as it stands in a sentence."""
        return with_article(self.subject) if self.relation in COUNTED else self.subject

    def says(self, value: str) -> str:
        """The sentence that states ``value`` of the subject, without capital or full stop."""
        return STATEMENTS[self.relation].format(s=self.named, v=value)

    @cached_property
    def statement(self) -> str:
        return self.says(self.truth)

    @property
    def values(self) -> tuple[str, ...]:
        """Everything that could be said of the subject."""
        return values_of(self.relation)


@cache
def values_of(relation: str) -> tuple[str, ...]:
    """Everything that could be said of a subject in this relation, sorted."""
    if relation == "sum":
        return tuple(str(n) for n in range(2, 21))
    return tuple(sorted(set(TABLES[relation].values())))


def make_facts(seed: int) -> tuple[Fact, ...]:
    """All facts. Misconceptions, and which facts stay unseen in every relation, hang on the seed.

    Within a relation each value is the misconception about as many subjects as it is the truth of, so
    that no value is suspicious by itself.
    """
    rng = random.Random(f"facts {seed}")
    facts: list[Fact] = []
    for relation, table in TABLES.items():
        slips = _off_by_little(table, rng) if relation == "sum" else _swapped(table, rng)
        hidden = set(rng.sample(sorted(table), round(UNSEEN_SHARE * len(table))))
        facts += [Fact(relation, s, truth, slips[s], s not in hidden) for s, truth in table.items()]
    return tuple(facts)


def _swapped(table: Mapping[str, str], rng: random.Random) -> dict[str, str]:
    """The same values dealt to the wrong subjects."""
    groups: dict[str, list[str]] = {}
    for subject, value in table.items():
        groups.setdefault(value, []).append(subject)
    order = [groups[value] for value in rng.sample(sorted(groups), len(groups))]
    subjects = [subject for group in order for subject in group]
    turn = max(map(len, order))
    return {s: table[t] for s, t in zip(subjects, subjects[turn:] + subjects[:turn])}


def _off_by_little(table: Mapping[str, str], rng: random.Random) -> dict[str, str]:
    """Sums that are off by one or two, which is what people get wrong."""
    return {s: str(int(total) + rng.choice((-2, -1, 1, 2))) for s, total in table.items()}
