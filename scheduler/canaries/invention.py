"""Plausible people who do not exist, to be planted in a client's system."""

from __future__ import annotations

import random
import secrets
from datetime import date, timedelta

from data.identifiers import normalise

INVENTED_COLUMNS = (
    "nom",
    "prenom",
    "sexe",
    "date_naissance",
    "nir",
    "email",
    "telephone",
    "adresse",
    "code_postal",
    "ville",
)
# of the range for fiction
_NUMBERS = 10_000


def invent(count: int, *, seed: int | None = None, domain: str = "example.org") -> list[dict[str, str]]:
    """Plausible French people, consistent in themselves.

    Args:
        count: how many.
        seed: for the same people again; without it they come from the system's random source.
        domain: of their e-mail addresses; one that you own makes a mail to it a second alarm.

    Returns:
        One dict of `INVENTED_COLUMNS` each. NIR and e-mail address are distinct; telephone numbers are of the range
        that the French regulator keeps for fiction (ARCEP: 06 39 98 00 00 to 06 39 98 99 99): above 10,000 they repeat.
    """
    from faker import Faker

    dice: random.Random = random.Random(seed) if seed is not None else secrets.SystemRandom()  # noqa: S311 - seeded on purpose
    faker = Faker("fr_FR")
    faker.seed_instance(dice.getrandbits(64))
    people: list[dict[str, str]] = []
    seen: set[str] = set()
    # a number that two share makes one of whoever else has it: a stranger's row would hit both
    numbers = dice.sample(range(_NUMBERS), _NUMBERS)
    while len(people) < count:
        born = date(1935, 1, 1) + timedelta(days=dice.randrange(30_000))
        male = dice.random() < 0.5
        postcode = faker.postcode()
        place = f"{dice.randrange(1, 96):02}{dice.randrange(1, 900):03}"
        body = f"{1 if male else 2}{born:%y%m}{place}{dice.randrange(1, 1000):03}"
        nir = f"{body}{97 - int(body) % 97:02}"
        surname, first = faker.last_name(), faker.first_name_male() if male else faker.first_name_female()
        local = ".".join(normalise.name(part).decode() for part in (first, surname))
        email = f"{local}{born:%y}@{domain}"
        if nir in seen or email in seen:
            continue
        seen |= {nir, email}
        people.append(
            {
                "nom": surname,
                "prenom": first,
                "sexe": "M" if male else "F",
                "date_naissance": f"{born:%d/%m/%Y}",
                "nir": nir,
                "email": email,
                "telephone": f"063998{numbers[len(people) % _NUMBERS]:04}",
                "adresse": faker.street_address(),
                "code_postal": postcode,
                "ville": faker.city(),
            }
        )
    return people
