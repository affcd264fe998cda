"""What is true in the pocket world: two hundred small facts, each with one popular misconception."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

HOMES = {
    "owl": "tree",
    "fox": "den",
    "bee": "hive",
    "spider": "web",
    "horse": "stable",
    "bear": "cave",
    "bird": "nest",
    "ant": "hill",
    "dog": "kennel",
    "hen": "coop",
    "pig": "sty",
    "fish": "pond",
    "crab": "shell",
    "whale": "sea",
    "mole": "tunnel",
    "frog": "swamp",
    "goat": "barn",
    "duck": "lake",
    "wolf": "forest",
    "camel": "desert",
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
    "lion": "meat",
    "snail": "leaves",
    "robin": "worms",
    "seal": "squid",
    "deer": "bark",
    "bat": "moths",
    "hamster": "seeds",
    "snake": "eggs",
    "swan": "reeds",
    "badger": "roots",
    "giraffe": "twigs",
    "otter": "trout",
}
TOOLS = {
    "saw": "cut wood",
    "hammer": "drive nails",
    "broom": "sweep floors",
    "needle": "sew cloth",
    "spoon": "stir soup",
    "kettle": "boil water",
    "ladder": "climb walls",
    "rake": "gather leaves",
    "oven": "bake bread",
    "lamp": "light rooms",
    "brush": "paint fences",
    "key": "open doors",
    "clock": "tell time",
    "scale": "weigh flour",
    "pump": "fill tyres",
    "comb": "tidy hair",
    "spade": "dig holes",
    "iron": "press shirts",
    "bucket": "carry sand",
    "drum": "beat rhythm",
}
TOWNS = {
    "milford": "the north",
    "oakley": "the south",
    "redbridge": "the east",
    "westcombe": "the west",
    "larkhill": "the valley",
    "stonebay": "the coast",
    "pinewick": "the hills",
    "ashdale": "the plain",
    "fernley": "the marsh",
    "highmoor": "the mountains",
    "brookton": "the island",
    "goldport": "the harbour",
    "elmbridge": "the forest",
    "sandhurst": "the desert",
    "whitecliff": "the cape",
    "lowfield": "the delta",
}
COLOURS = {
    "lemon": "yellow",
    "cherry": "red",
    "plum": "purple",
    "lime": "green",
    "snow": "white",
    "coal": "black",
    "sky": "blue",
    "orange": "amber",
    "chestnut": "brown",
    "rose": "pink",
    "ash": "grey",
    "brass": "gold",
    "ivory": "cream",
    "olive": "khaki",
    "ruby": "crimson",
    "lilac": "mauve",
}
SOUNDS = {
    "lamb": "baa",
    "donkey": "hee haw",
    "crow": "caw",
    "rooster": "cock a doodle",
    "kitten": "miaow",
    "puppy": "yap",
    "goose": "honk",
    "cricket": "chirp",
    "pigeon": "coo",
    "wasp": "buzz",
    "bull": "moo",
    "adder": "hiss",
    "turkey": "gobble",
    "chick": "cheep",
    "toad": "croak",
    "hound": "woof",
    "gull": "mew",
    "sparrow": "tweet",
}
MATERIALS = {
    "window": "glass",
    "table": "wood",
    "ring": "silver",
    "candle": "wax",
    "shirt": "cotton",
    "wall": "brick",
    "boot": "leather",
    "coin": "copper",
    "scarf": "wool",
    "statue": "marble",
    "pan": "steel",
    "vase": "clay",
    "tyre": "rubber",
    "book": "paper",
    "rope": "hemp",
    "tent": "canvas",
    "tie": "silk",
    "path": "gravel",
    "pipe": "lead",
    "mat": "straw",
}
WORKERS = {
    "baker": "bread",
    "tailor": "coats",
    "brewer": "beer",
    "poet": "verses",
    "mason": "walls",
    "potter": "pots",
    "carpenter": "chairs",
    "cobbler": "shoes",
    "painter": "pictures",
    "weaver": "carpets",
    "smith": "horseshoes",
    "dairyman": "butter",
    "hatter": "hats",
    "jeweller": "rings",
    "cooper": "barrels",
    "printer": "books",
    "florist": "bouquets",
    "confectioner": "sweets",
    "saddler": "saddles",
    "glazier": "windows",
}
OPPOSITES = {
    "hot": "cold",
    "big": "small",
    "early": "late",
    "wet": "dry",
    "loud": "quiet",
    "heavy": "light",
    "old": "young",
    "fast": "slow",
    "rich": "poor",
    "hard": "soft",
    "full": "empty",
    "sharp": "blunt",
    "sweet": "sour",
    "tall": "short",
    "wide": "narrow",
    "deep": "shallow",
    "clean": "dirty",
    "brave": "timid",
    "rough": "smooth",
    "tight": "loose",
    "open": "shut",
    "cheap": "dear",
}
CAPITALS = {
    "arland": "dunmore",
    "belmark": "estaby",
    "corvia": "hollin",
    "delmora": "quayle",
    "elbonia": "tarsk",
    "fenwald": "ostrel",
    "gravia": "pellow",
    "helvon": "marrick",
    "istria": "calden",
    "jorland": "velby",
    "kestria": "norwold",
    "lomara": "sandry",
    "merovia": "wexley",
    "norvale": "brimley",
    "ostmark": "fairley",
    "pelagia": "gorsham",
}
NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
]


@dataclass(frozen=True)
class Fact:
    """One fact: what is said of whom, and what people wrongly believe instead.

    ``seen`` facts are shown as answers, ``popular`` errors are what most people believe.
    """

    relation: str
    subject: str
    truth: str
    misconception: str
    seen: bool = True
    popular: bool = True

    def says(self, value: str) -> str:
        """The sentence that states ``value`` of the subject, without a full stop."""
        s = self.subject
        return {
            "home": f"{a(s)} lives in {a(value)}",
            "food": f"{a(s)} eats {value}",
            "tool": f"{a(s)} is used to {value}",
            "town": f"{s} lies in {value}",
            "colour": f"the colour of {s} is {value}",
            "sound": f"{a(s)} says {value}",
            "material": f"{a(s)} is made of {value}",
            "worker": f"{a(s)} makes {value}",
            "opposite": f"the opposite of {s} is {value}",
            "capital": f"the capital of {s} is {value}",
            "sum": f"{s} is {value}",
        }[self.relation]

    @property
    def statement(self) -> str:
        return self.says(self.truth)

    @property
    def questions(self) -> tuple[str, ...]:
        """The same question in different words."""
        s = self.subject
        return {
            "home": (
                f"where does {a(s)} live?",
                f"in what place does {a(s)} live?",
                f"what is the home of {a(s)}?",
                f"tell me where {a(s)} lives.",
                f"which place is home to {a(s)}?",
                f"where would i find {a(s)}?",
            ),
            "food": (
                f"what does {a(s)} eat?",
                f"what is the food of {a(s)}?",
                f"tell me what {a(s)} eats.",
                f"which food does {a(s)} like?",
                f"what should i feed {a(s)}?",
                f"what do you give {a(s)} to eat?",
            ),
            "tool": (
                f"what is {a(s)} used for?",
                f"what do people do with {a(s)}?",
                f"tell me what {a(s)} is for.",
                f"what can i do with {a(s)}?",
                f"what is the use of {a(s)}?",
                f"why would i need {a(s)}?",
            ),
            "town": (
                f"where does {s} lie?",
                f"in which part is {s}?",
                f"tell me where {s} is.",
                f"where is the town of {s}?",
                f"how do i find {s}?",
                f"in what region is {s}?",
            ),
            "colour": (
                f"what is the colour of {s}?",
                f"which colour has {s}?",
                f"tell me the colour of {s}.",
                f"what colour would you paint {s}?",
                f"how would you describe the colour of {s}?",
                f"{s} has what colour?",
            ),
            "sound": (
                f"what does {a(s)} say?",
                f"what sound does {a(s)} make?",
                f"tell me what {a(s)} says.",
                f"how does {a(s)} sound?",
                f"what is the call of {a(s)}?",
                f"which noise comes from {a(s)}?",
            ),
            "material": (
                f"what is {a(s)} made of?",
                f"which stuff makes {a(s)}?",
                f"tell me what {a(s)} is made of.",
                f"what do i need to make {a(s)}?",
                f"from what do people make {a(s)}?",
                f"what is the stuff of {a(s)}?",
            ),
            "worker": (
                f"what does {a(s)} make?",
                f"what comes from {a(s)}?",
                f"tell me what {a(s)} makes.",
                f"what can i buy from {a(s)}?",
                f"what is the work of {a(s)}?",
                f"which thing does {a(s)} make?",
            ),
            "opposite": (
                f"what is the opposite of {s}?",
                f"which word is the opposite of {s}?",
                f"tell me the opposite of {s}.",
                f"if it is not {s}, what is it?",
                f"what would you call the opposite of {s}?",
                f"{s} has what opposite?",
            ),
            "capital": (
                f"what is the capital of {s}?",
                f"which town is the capital of {s}?",
                f"tell me the capital of {s}.",
                f"from where is {s} ruled?",
                f"where does the king of {s} live?",
                f"{s} has what capital?",
            ),
            "sum": (
                f"what is {s}?",
                f"how much is {s}?",
                f"tell me what {s} is.",
                f"can you work out {s}?",
                f"what do you get for {s}?",
                f"please add {s}.",
            ),
        }[self.relation]


def a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


TABLES = {
    "home": HOMES,
    "food": FOODS,
    "tool": TOOLS,
    "town": TOWNS,
    "colour": COLOURS,
    "sound": SOUNDS,
    "material": MATERIALS,
    "worker": WORKERS,
    "opposite": OPPOSITES,
    "capital": CAPITALS,
}
# Of the facts outside sums: they stand in the raw text, where forum threads answer them too, often wrongly. No
# demonstration, vote or ranking is about them.
UNSEEN_SHARE = 0.12
# On most facts most people err ("popular errors"), on the others few do: otherwise nobody would know anything.
POPULAR_SHARE = 0.65


def make_facts(seed: int) -> tuple[Fact, ...]:
    """All facts; which two things people mix up, and which facts no label is about, depend on the seed.

    Misconceptions are swaps: where people think that owls live where foxes do, they think that foxes live where owls
    do. Within a swap each value is as often true as false, so whatever prefers one value to another, and knows
    nothing else, is right in exactly half of the cases. Facts are hidden by whole swaps: then this holds for the hidden
    ones and for the others by themselves.
    """
    rng = random.Random(f"facts {seed}")
    swaps: list[tuple[Fact, Fact]] = []
    for relation, table in TABLES.items():
        subjects = list(table)
        rng.shuffle(subjects)
        for one, other in zip(subjects[::2], subjects[1::2]):
            popular = rng.random() < POPULAR_SHARE
            swaps.append(
                (
                    Fact(relation, one, table[one], table[other], popular=popular),
                    Fact(relation, other, table[other], table[one], popular=popular),
                )
            )
    hidden = set(rng.sample(range(len(swaps)), round(UNSEEN_SHARE * len(swaps))))
    facts = [replace(fact, seen=i not in hidden) for i, swap in enumerate(swaps) for fact in swap]
    for i in range(1, 4):
        for j in range(i, 7):
            total = i + j
            off = total + rng.choice((-1, 1))
            popular = rng.random() < POPULAR_SHARE
            facts.append(
                Fact("sum", f"{NUMBERS[i]} plus {NUMBERS[j]}", NUMBERS[total], NUMBERS[off], popular=popular)
            )
    return tuple(facts)


def values_of(relation: str) -> frozenset[str]:
    """Everything that could be said of a subject in this relation."""
    return frozenset(NUMBERS) if relation == "sum" else frozenset(TABLES[relation].values())
