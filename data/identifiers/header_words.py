"""Header words of tables, with the role of the columns that they name.

French and English first, then those of German, Spanish, Italian, Portuguese, Polish, Turkish, Dutch, Swedish, Czech and Romanian.
"""

from __future__ import annotations

import re
from functools import lru_cache

from data.identifiers.normalise import fold

# Regular expressions over folded words. The first role whose pattern fits wins, so that "nom_prenom" is not a surname.
ROLES: tuple[tuple[str, str], ...] = (
    (
        "fullname",
        (
            r"(nom_?(et_?)?prenoms?|prenoms?_?(et_?)?nom|nom_complet|full_?name|patient(_name)?|name|identite"
            r"|beneficiaire|(vor_?(und_?)?)?nachname_?(,_?|und_?)?vorname|name_?(und_?)?vorname|vor(name)?_?und_?(nach|zu)name|patientenname"
            r"|nombres?(_completo|_y_apellidos?)?|apellidos?_?(y_?)?nombres?|paciente|(nome|cognome)_?(e_?)?(cognome|nome)"
            r"|nome(_completo|_do_paciente)?|paziente|(imie|nazwisko)_(i_)?(imie|nazwisko)|pacjent|adi?_?(ve_?)?soyadi?"
            r"|hasta(_adi?(_soyadi?)?)?|naam|namn|nume(_si_prenume)?)"
        ),
    ),
    (
        "first",
        (
            r"(prenoms?(_.*)?|prenom\d|pren(om)?_?pat(ient)?|pren|first_?names?|given_?names?|givens?|fname|firstname|forename"
            r"|vornamen?|rufname|(primer|segundo)_?nombre|nombre_?(de_?)?pila|nome_?proprio|(primeiro|primo)_?nome|imie|imiona"
            r"|adi?|isim|voornam?en?|voornaam|roepnaam|fornamn|fornavn|jmeno|prenume)"
        ),
    ),
    (
        "surname",
        (
            r"(noms?(_?(de_?)?(naiss(ance)?|nais|fam(ille)?|usuel|usage|util(ise)?|marital|jeune_?fille|jf|patient|pat|assure"
            r"|patronymique|patro))?|njf|patronyme?|(sur|last|family|maiden|birth)_?name|family|lname"
            r"|(nach|familien|geburts|zu)_?namen?|(primer_?|segundo_?|1er_?|2o?_?)?apellidos?(_?([12]|paterno|materno))?|cognome"
            r"|sobrenome|apelidos?|ultimo_?nome|nazwisko(_rodowe)?|soya?di?|soyisim|soyad(i|_i)?|achternaam|familienaam|efternamn"
            r"|etternavn|prijmeni)"
        ),
    ),
    (
        "dob",
        (
            r"(ddn|dn|dob|dtn|datn|(date?|dt|d)_?(de_?)?(nai(s(s(ance)?)?)?|nee?)|naiss(ance)?|ne_?e?_?le|birth_?(date|day|time|dt)?"
            r"|date_?of_?birth|bday|ddnaiss?(ance)?|date_?naiss?(ance)?"
            r"|geb(urts?)?_?(datum|dat|dt|tag)?|geboren(_am)?|(fecha|fec|f)_?(de_?)?nac(imiento)?|nacimiento|nacid[oa](_el)?"
            r"|(data|dt|d)_?(di_?|de_?)?nasc(ita|imento)?|nascita|nascimento|nat[oa]_il|nascid[oa](_em)?|data_?ur(odzenia)?|urodzon[ya]"
            r"|dogum(_?tar(ihi?)?)?|dogum_?tarih|geboortedatum|geb_?dat|fodelsedatum|fodt|(datum|dat)_?nar(ozeni)?|data_?nast?erii)"
        ),
    ),
    (
        "email",
        (
            r"(e_?mails?|mails?|courriels?|adresse_?(e_?)?mail|adresse_?electronique|e?_?mail_?address|mel|e_?mail_?adresse"
            r"|correo(_?electronico)?|posta_?elettronica|e_?posta)([_ ]?\d)?"
        ),
    ),
    (
        "phone",
        (
            r"((num(ero)?_?)?(de_?)?(tel(ephone)?s?|portable|mobile|gsm|fixe|phone|cell)(_?[a-z]+)?(_?\d)?|[a-z]+_?phone"
            r"|(telefon[oe]?|telefoon|mobil|handy|movil|cellulare|celular|telemovel|komorka|cep|festnetz|rufnummer)"
            r"(_?(nr|nummer|numarasi|fijo|movil|fisso|fixo|privat|tel(efonu?)?))?(_?\d)?)"
        ),
    ),
    (
        "nir",
        (
            r"((no?|num(ero)?)?_?(de_?)?(nir|nss|secu(rite)?(_?soc(iale)?)?|ss|insee|immat(riculation)?|assure_?social)"
            r"|ssn|social_?security(_?number)?|matricule_?(ins|nir)|ins_?(nir|nia|c|a)?|nir_?(ins|pat(ient)?|assure|od|ben))"
        ),
    ),
    ("iban", r"(iban|compte(_bancaire)?|bank_?account)"),
    ("professional", r"(rpps|adeli|finess|(num(ero)?_?)(rpps|adeli|finess)|id_?(medecin|praticien|ps)|npi)"),
    ("token", r"(token|jeton|canari|canary|marqueur|marker)"),
    (
        "note",
        (
            r"(notes?|observations?|comment(aire)?s?|remarques?|motif|diagnosti[cq](ue|s)?|antecedents?|anamnese|texte"
            r"|history|bemerkung(en)?|notiz(en)?|diagnose[n]?|befund|observaciones|notas|osservazioni|diagnosi|observacoes|uwagi"
            r"|rozpoznanie|aciklama|notlar|opmerkingen)"
        ),
    ),
    (
        "date",
        (
            r"(date|dt|created|updated|le(?![a-z])|rdv|visit|consultation|admission|sortie|entree|datum|fecha|tarih|aufnahme"
            r"|entlass|termin|data_(wizyty|visita|consulta|ricovero|przyjecia|internac)).*"
        ),
    ),
)
_COMPILED = tuple((role, re.compile(pattern)) for role, pattern in ROLES)
# Cells of small tables are asked for their role as well, and most of them have none.
_ANY_ROLE = re.compile("|".join(pattern for _, pattern in ROLES))
_LETTER = re.compile(r"[A-Za-z]")
_OWNER = re.compile(r"^(patient|pat|p|usr|user|client|contact|personne)_")


# The last levels of a nested key that do not describe the value: list indexes, and names such as "value" or "text".
_GENERIC_LEVELS = re.compile(
    r"(\.(\d+|value|values|text|valeur|#text|@?value|\$|_text|raw|content)){1,20}$", re.IGNORECASE
)
# the last level of a date that is an object: PHP's DateTime, time stamps of Firestore
_DATE_LEVEL = re.compile(r"\.(date|_?seconds|\$date|iso|millis|timestamp)$")


# Words of a header that say whose value it is: not that of the person of the row.
_OTHERS = re.compile(
    r"(^|_)(cabinets?|medecins?|medical|mt|praticiens?|docteurs?|dr|prescripteurs?|adresseur|correspondant|ps|structure"
    r"|etablissement|etab|hopital|clinique|labo(ratoire)?|pharmacie|secretariat|employeur|centre|service|practice"
    r"|practitioner|doctor|physician|gp|clinic|hospital|provider|organi[sz]ation|(haus|fach)?arzt|arztes|praxis|klinik"
    r"|krankenhaus|medico|doktor|hekim|lekarz|przychodnia|clinica|ospedale|hastane|arts)(_|$)"
)


@lru_cache(4096)
def is_of_others(header: str) -> bool:
    """Whether a header names somebody else than the person of the row: `tel_cabinet`, `nom_medecin`."""
    return bool(_OTHERS.search(_word(header)))


def _word(header: str) -> str:
    """The words of a header, folded, with underscores between them: `dateNaissance` has two."""
    spaced = re.sub(r"(?<=[a-zà-ÿ0-9])(?=[A-Z])", "_", header)
    return re.sub(r"[^a-z0-9]+", "_", fold(spaced)).strip("_")


def role_of(header: str) -> str:
    """The role that a header word names (a word of `ROLES`, where `date` is any other date); '' if it names none."""
    # cells are asked for their role as well, and most of them are numbers
    return _role_of(header) if _LETTER.search(header) or not header.isascii() else ""


# The cache is bounded: an attacker chooses the header words.
@lru_cache(4096)
def _role_of(header: str) -> str:
    word = re.sub(r"[^a-z0-9]+", "_", fold(header)).strip("_")
    if not word.strip("0123456789_"):
        return ""
    # "patient.nom", "hits.0._source.nom" and "p_nom": the header word may stand after the name of the table
    leaf = _GENERIC_LEVELS.sub("", header).rpartition(".")[2] if "." in header else ""
    if "|" in header or "/" in header:
        # paths of openEHR and of files: patient/nom|value
        path = re.sub(r"\|\w{1,20}\Z", "", header).rpartition("/")[2]
        if path and path != header and (role := _role_of(path)):
            return role
    words = _word(header)
    candidates = (
        word,
        _word(leaf) if leaf else words,
        re.sub(r"[^a-z0-9]+", "_", fold(leaf)).strip("_") if leaf else "",
        word.rpartition("__")[2],
        _OWNER.sub("", word),
        _OWNER.sub("", words),
        # Core Data of Apple
        word[1:] if header.startswith("Z") and header.isupper() else "",
    )
    if "." in header and (outer := _DATE_LEVEL.sub("", header)) != header and _role_of(outer) == "dob":
        return "dob"
    for candidate in dict.fromkeys(candidates):
        if _ANY_ROLE.fullmatch(candidate):
            return next(role for role, pattern in _COMPILED if pattern.fullmatch(candidate))
    return ""


# --- record ids ---

_ANY_ID = frozenset(["id", "ident", "identifiant", "identifier", "uid", "uuid", "guid", "rowid", "pk", "oid"])
_OF_PERSON = (
    "patient|pat|personne|person|client|customer|assure|dossier|individu|beneficiaire|member|user|compte|account"
)
_NUMBER = "id|ident|identifiant|num|numero|number|no|code|ref|reference|key|cle"
_PERSON_ID = re.compile(rf"(?:(?:{_NUMBER})_?)?({_OF_PERSON})s?(?:_?(?:{_NUMBER}))?|(ipp|nip)")


def id_of_whom(header: str) -> str | None:
    """Whose id a header word names: `patient` for `id_patient`, '' for a plain `id`; None if it names no id."""
    word = re.sub(r"[^a-z0-9]+", "_", fold(header)).strip("_")
    if word in _ANY_ID:
        return ""
    match = _PERSON_ID.fullmatch(word)
    return match and (match[1] or match[2])
