"""Invents plausible people who do not exist, to be planted in a client's system."""

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
# size of the range of telephone numbers for fiction
_FICTIONAL_NUMBERS = 10_000


def invent_people(count: int, *, seed: int | None = None, domain: str = "example.org") -> list[dict[str, str]]:
    """Plausible French people whose NIR, date of birth, sex and e-mail address agree.

    Args:
        count: how many people.
        seed: the same seed gives the same people; without it they come from the random source of the system.
        domain: domain of their e-mail addresses. If you own it, a mail to one of them is a further sign of a leak.

    Returns:
        One dict of `INVENTED_COLUMNS` for each person. NIR and e-mail address are distinct. Telephone numbers come from
        the range that the French regulator reserves for fiction (ARCEP: 06 39 98 00 00 to 06 39 98 99 99), and repeat
        after 10,000 people.
    """
    from faker import Faker

    generator: random.Random = secrets.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311 - seeded
    faker = Faker("fr_FR")
    faker.seed_instance(generator.getrandbits(64))
    people: list[dict[str, str]] = []
    seen: set[str] = set()
    # numbers are drawn without repetition: two canaries with the same number would both be hit by one row that has it
    numbers = generator.sample(range(_FICTIONAL_NUMBERS), _FICTIONAL_NUMBERS)
    while len(people) < count:
        born = date(1935, 1, 1) + timedelta(days=generator.randrange(30_000))
        male = generator.random() < 0.5
        postcode = faker.postcode()
        place = f"{generator.randrange(1, 96):02}{generator.randrange(1, 900):03}"
        body = f"{1 if male else 2}{born:%y%m}{place}{generator.randrange(1, 1000):03}"
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
                "telephone": f"063998{numbers[len(people) % _FICTIONAL_NUMBERS]:04}",
                "adresse": faker.street_address(),
                "code_postal": postcode,
                "ville": faker.city(),
            }
        )
    return people
