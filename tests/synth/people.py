# ruff: noqa: SIM905 - tables of names
"""Synthetic people and dumps, always the same from one seed."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

SURNAMES = """Martin Bernard Thomas Petit Robert Richard Durand Dubois Moreau Laurent Simon Michel Lefebvre Leroy Roux David
Bertrand Morel Fournier Girard Bonnet Dupont Lambert Fontaine Rousseau Vincent Muller Lefèvre Faure André Mercier Blanc
Guérin Boyer Garnier Chevalier François Legrand Gauthier Garcia Perrin Robin Clément Morin Nicolas Henry Roussel Mathieu
Gautier Masson Marchand Duval Denis Dumont Marie Lemaire Noël Meyer Dufour Meunier Brun Blanchard Giraud Joly Rivière
Lucas Brunet Gaillard Barbier Arnaud Martínez Gérard Roche Renard Schmitt Roy Leroux Colin Vidal Caron Picard Roger
Fabre Aubert Lemoine Renaud Dumas Lacroix Olivier Philippe Bourgeois Pierre Benoît Rey Leclerc Payet Rolland Leclercq
Guillaume Lecomte López Jean Dupuy Guillot Hubert Berger Carpentier Sánchez Dupuis Moulin Louis Deschamps Huet Vasseur
Pérez Boucher Fleury Royer Klein Jacquet Adam Paris Poirier Marty Aubry Guyot Carré Charles Renault Charpentier Ménard
Maillard Baron Bertin Bailly Hervé Schneider Fernandez Collet Léger Bouvier Julien Prévost Millet Perrot Daniel""".split()
FIRSTS = """Jean Marie Pierre Michel André Philippe Nathalie Isabelle Sylvie Catherine Martine Christine Françoise Valérie Sandrine
Stéphanie Véronique Sophie Céline Chantal Patrick Nicolas Christophe Laurent Frédéric Éric Stéphane Pascal David Alain
Thierry Julien Olivier Bruno Daniel Sébastien Didier Thomas Alexandre Vincent Anne Monique Brigitte Julie Aurélie Émilie
Camille Léa Manon Chloé Emma Inès Jade Louise Alice Lina Rose Anna Lucas Hugo Louis Gabriel Arthur Raphaël Léo Adam Paul
Jules Nathan Zoé Lola Élise Margaux Noémie Clémence Mathilde Océane Hélène Agnès Odile Simone Jeanne Yvette Denise Henri
René Marcel Roger Georges Robert Louis-Philippe Jean-Pierre Jean-Luc Marie-Claude Anne-Sophie Jean-Marc""".split()
STREETS = (
    "rue de la Paix",
    "avenue Victor Hugo",
    "place du Marché",
    "chemin des Vignes",
    "boulevard Voltaire",
    "rue des Lilas",
)
TOWNS = ("Lyon", "Nantes", "Lille", "Rennes", "Dijon", "Tours", "Brest", "Pau", "Metz", "Nîmes")
NOTES = (
    "Patient vu en consultation pour suivi de tension artérielle, traitement inchangé.",
    "Contrôle annuel, bilan sanguin normal, prochain rendez-vous dans six mois.",
    "Douleurs lombaires depuis deux semaines, repos et antalgiques prescrits.",
    "Renouvellement d'ordonnance, asthme bien équilibré sous traitement de fond.",
)


@dataclass(frozen=True)
class Person:
    """One invented patient; `nir` has its key, `phone` ten digits."""

    surname: str
    first: str
    dob: date
    sex: str
    nir: str
    email: str
    phone: str
    iban: str
    rpps: str
    address: str
    note: str


def people(seed: int, count: int) -> list[Person]:
    """`count` people with distinct numbers and addresses."""
    dice = random.Random(f"people {seed}")
    serials = dice.sample(range(10**6), count) if count <= 10**6 else list(range(count))
    return [_person(dice, seed, serial) for serial in serials]


def _person(dice: random.Random, seed: int, serial: int) -> Person:
    surname = dice.choice(SURNAMES) if dice.random() > 0.07 else f"{dice.choice(SURNAMES)}-{dice.choice(SURNAMES)}"
    first = dice.choice(FIRSTS)
    dob = date(1930, 1, 1) + timedelta(days=dice.randrange(31_000))
    sex = dice.choice("12")
    body = f"{sex}{dob:%y%m}{dice.randrange(1, 96):02}{serial // 1000 % 1000:03}{serial % 1000:03}"
    nir = f"{body}{97 - int(body) % 97:02}"
    mail = f"{_ascii(first)}.{_ascii(surname)}{serial}.{seed}@{dice.choice(('orange.example', 'free.example', 'wanadoo.example'))}"
    phone = f"0{dice.choice('67')}{serial:06}{dice.randrange(100):02}"
    account = f"{dice.randrange(10**5):05}{dice.randrange(10**5):05}{serial:011}{dice.randrange(100):02}"
    iban = f"FR{98 - int(account + '152700') % 97:02}{account}"
    return Person(
        surname, first, dob, "M" if sex == "1" else "F", nir, mail, phone, iban, f"10{serial:09}",
        f"{dice.randrange(1, 150)} {dice.choice(STREETS)}, {dice.choice(TOWNS)}", dice.choice(NOTES),
    )  # fmt: skip


def _ascii(text: str) -> str:
    import unicodedata

    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower().replace("-", "")


HEADERS = {
    "fr": {
        "surname": "nom", "first": "prenom", "dob": "date_naissance", "sex": "sexe", "nir": "nir", "email": "email",
        "phone": "telephone", "iban": "iban", "rpps": "rpps", "address": "adresse", "note": "observations",
    },
    "en": {
        "surname": "last_name", "first": "first_name", "dob": "birth_date", "sex": "sex", "nir": "ssn", "email": "email",
        "phone": "phone", "iban": "iban", "rpps": "rpps", "address": "address", "note": "notes",
    },
}  # fmt: skip
COLUMNS = ("surname", "first", "dob", "nir", "email", "phone")


def row(person: Person, columns: Sequence[str] = COLUMNS, dates: str = "%d/%m/%Y") -> list[str]:
    """One person's cells."""
    return [f"{person.dob:{dates}}" if name == "dob" else str(getattr(person, name)) for name in columns]


def to_csv(
    crowd: Sequence[Person],
    columns: Sequence[str] = COLUMNS,
    *,
    header: str | None = "fr",
    separator: str = ",",
    dates: str = "%d/%m/%Y",
    encoding: str = "utf-8",
) -> bytes:
    """A table of people; `header` is fr, en or None."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator)
    if header is not None:
        writer.writerow([HEADERS[header][name] for name in columns])
    writer.writerows(row(person, columns, dates) for person in crowd)
    return out.getvalue().encode(encoding)
