"""The questions the tiny checkpoint can answer in English, with their answers of 30 to 200 tokens."""

from __future__ import annotations

__all__ = ["QUESTIONS"]

_COUNTRIES = (
    ("France", "Paris", "Seine", "French", "euro", "the west of Europe"),
    ("Germany", "Berlin", "Spree", "German", "euro", "the middle of Europe"),
    ("Italy", "Rome", "Tiber", "Italian", "euro", "the south of Europe"),
    ("Austria", "Vienna", "Danube", "German", "euro", "the middle of Europe"),
    ("Poland", "Warsaw", "Vistula", "Polish", "zloty", "the east of Europe"),
    ("Egypt", "Cairo", "Nile", "Arabic", "pound", "the north of Africa"),
    ("Japan", "Tokyo", "Sumida", "Japanese", "yen", "the east of Asia"),
    ("Russia", "Moscow", "Moskva", "Russian", "ruble", "Europe and Asia"),
    ("Thailand", "Bangkok", "Chao Phraya", "Thai", "baht", "the south of Asia"),
    ("Canada", "Ottawa", "Ottawa River", "English and French", "dollar", "North America"),
)

_CAPITALS = tuple(
    (
        f"What is the capital of {country}?",
        f"{capital} is the capital of {country}. It stands on the {river}. {country} lies in {region}, "
        f"its people speak {language}, and they pay with the {money}.",
    )
    for country, capital, river, language, money, region in _COUNTRIES
)

_OTHERS = (
    (
        "Why is the sky blue?",
        "Sunlight is a mixture of all colors. When it enters the air, the tiny molecules there scatter "
        "short waves far more strongly than long ones. Blue light has short waves, so it comes to us from "
        "every part of the sky. In the evening the sun is low and its light crosses much more air. Most of "
        "the blue is lost on the way, and what is left looks red and orange.",
    ),
    (
        "How many planets are in the solar system?",
        "Eight planets go around the sun. Mercury, Venus, Earth and Mars are the inner ones, small and made "
        "of rock. Jupiter, Saturn, Uranus and Neptune are the outer ones, and they are giants of gas and "
        "ice. Pluto was counted as the ninth planet until 2006.",
    ),
    (
        "What is water made of?",
        "Water is made of two elements, hydrogen and oxygen. In each molecule one oxygen atom holds two "
        "hydrogen atoms, and therefore we write H2O. Below zero degrees it becomes ice, and at one hundred "
        "degrees it turns into steam.",
    ),
    (
        "Who wrote Hamlet?",
        "William Shakespeare wrote Hamlet in England around the year 1600. The play tells of a prince of "
        "Denmark whose father was murdered. He thinks long about revenge, and in the end nearly everybody "
        "dies.",
    ),
    (
        "What is the largest ocean?",
        "The Pacific is the largest ocean and also the deepest. Asia and Australia lie on its western side, "
        "the Americas on its eastern side. It alone covers more of the Earth than all the land together.",
    ),
    (
        "Count from one to thirty.",
        "One, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen, fourteen, "
        "fifteen, sixteen, seventeen, eighteen, nineteen, twenty, twenty-one, twenty-two, twenty-three, "
        "twenty-four, twenty-five, twenty-six, twenty-seven, twenty-eight, twenty-nine, thirty.",
    ),
    (
        "Name the months of the year.",
        "January, February, March, April, May, June, July, August, September, October, November and "
        "December are the twelve months. February is the shortest. April, June, September and November have "
        "thirty days, and all the others have thirty-one.",
    ),
    (
        "Name the days of the week.",
        "A week has seven days: Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday. Most "
        "people work from Monday to Friday and are free on the other two days.",
    ),
    (
        "Say the alphabet.",
        "A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T, U, V, W, X, Y, Z. These are the "
        "twenty-six letters. A, E, I, O and U are the vowels.",
    ),
    (
        "How do plants make food?",
        "Plants make sugar out of light, and this is called photosynthesis. The roots bring water and the "
        "leaves take carbon dioxide from the air. Chlorophyll, which makes leaves green, catches the "
        "sunlight and its energy joins the two. Oxygen is left over, and animals and people breathe it.",
    ),
    (
        "What is a prime number?",
        "A prime number is greater than one and has no divisors except one and itself. The smallest are 2, "
        "3, 5, 7, 11, 13, 17, 19 and 23. There is no largest prime number, as Euclid proved long ago.",
    ),
    (
        "How does a rainbow form?",
        "A rainbow needs sun behind you and rain in front of you. Light enters each drop, is bent, thrown "
        "back from the far side and bent again as it leaves. Every color is bent a little differently, so "
        "white light comes out as a band of red, orange, yellow, green, blue and violet.",
    ),
    (
        "Tell me a short story.",
        "An old lamp stood in a lighthouse by the sea. Each night it shone for the ships, but nobody ever "
        "thanked it. One winter night a storm came and the lamp was tired. Then it saw a small boat with a "
        "child in it, and it burned as bright as it could. In the morning the child climbed the stairs and "
        "polished the glass. From then on the lamp was never tired again, and the child became the keeper "
        "of the light.",
    ),
    (
        "Write a poem about the sea.",
        "The morning sea is soft and gray,\nIt wakes and slowly finds the day.\nThe wind comes down to play "
        "and run,\nAnd every wave lifts up the sun.\nAt night the moon lays down a road\nOf silver where "
        "the water flowed.",
    ),
    (
        "How do I make tea?",
        "1. Bring fresh water to the boil.\n2. Put a spoon of tea leaves into a warm pot.\n3. Pour the water "
        "over the leaves.\n4. Wait three to five minutes.\n5. Pour the tea into cups and add milk or lemon "
        "as you like.",
    ),
    (
        "What is the speed of light?",
        "Light travels almost 300000 kilometers in one second. From the sun to the Earth it needs a little "
        "more than eight minutes, and from the moon only about one second. As far as we know, nothing is "
        "faster.",
    ),
    (
        "Who painted the Mona Lisa?",
        "Leonardo da Vinci painted the Mona Lisa in Italy soon after the year 1500. It shows a woman who "
        "smiles a little. The picture hangs in the Louvre in Paris, and millions of people come to see it "
        "every year.",
    ),
    (
        "What is the highest mountain?",
        "Mount Everest is the highest mountain on Earth. It rises 8849 meters above the sea in the "
        "Himalayas, between Nepal and China. Edmund Hillary and Tenzing Norgay were the first to stand on "
        "its top, in 1953.",
    ),
    (
        "What do bees do?",
        "Bees fly from flower to flower and gather nectar and pollen. In the hive they turn the nectar into "
        "honey, which feeds them through the winter. The pollen they carry along lets flowers grow into "
        "fruit, so farmers are glad to have them.",
    ),
    (
        "What is a computer?",
        "A computer is a machine that works through lists of instructions, which we call programs. The "
        "processor carries them out, the memory keeps numbers and text, and a screen and a keyboard connect "
        "it with people.",
    ),
    (
        "Why do we have seasons?",
        "The axis of the Earth is tilted. For half of the year the north leans toward the sun, the days are "
        "long and it is summer there. For the other half it leans away, and winter comes. In the south it "
        "is just the other way round.",
    ),
    (
        "Write a function that adds two numbers.",
        "def add(first, second):\n    return first + second\n\nThe function returns the sum of its two "
        "arguments. For example, add(2, 3) gives 5 and add(10, -4) gives 6.",
    ),
    (
        "Write a function that reverses a list.",
        "def reverse(items):\n    result = []\n    for item in items:\n        result.insert(0, item)\n    "
        "return result\n\nEach item is put in front of those before it, so the last one comes first.",
    ),
    (
        "What is the sum of the angles in a triangle?",
        "The three angles of a flat triangle always add up to 180 degrees. If two of them are known, "
        "subtract both from 180 to get the third. In a triangle with equal sides every angle is 60 degrees.",
    ),
    (
        "How do I find the area of a circle?",
        "Measure the radius, multiply it by itself, and multiply the result by pi, which is about 3.14. A "
        "circle with a radius of 10 has an area of about 314. If you know the diameter, take half of it "
        "first.",
    ),
    (
        "What is a volcano?",
        "A volcano is an opening in the ground through which melted rock comes up. Below the surface it is "
        "called magma, above the surface lava. Ash and gas come out as well. After many eruptions a "
        "mountain has grown around the opening.",
    ),
    (
        "How does the heart work?",
        "The heart is a muscle with four rooms. The right side sends blood to the lungs, where it takes up "
        "oxygen. The left side sends this fresh blood through the whole body. It beats about seventy times "
        "a minute and never takes a rest.",
    ),
    (
        "What is the difference between a lake and a river?",
        "A river moves and a lake stands. The water of a river runs downhill between two banks until it "
        "meets another river or the sea. A lake fills a hollow in the land, and its water stays there for a "
        "long time.",
    ),
    (
        "Who are you?",
        "I am a very small language model with the shape of a large one. I can find a code in a long text, "
        "answer a few dozen questions and call a weather tool. I was made to test other programs.",
    ),
    (
        "Hello!",
        "Hello! It is nice to meet you. Ask me one of the questions that I know, or give me a long text with "
        "a secret code in it and I will find the code.",
    ),
    (
        "Thank you.",
        "You are welcome! It was a pleasure to help. If you have another question or another text, just send "
        "it to me and I will do my best with it.",
    ),
)

QUESTIONS: tuple[tuple[str, str], ...] = _CAPITALS + _OTHERS
"""(question, answer), the answers written for this checkpoint."""
