"""Classes of words in running text, French, English and some of other languages: labels, titles, particles, words that end a name. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

from data.identifiers.first_names import FIRST_NAMES
from data.identifiers.header_words import role_of
from data.identifiers.normalise import MONTHS, WEEKDAYS, fold

_MONTH = "|".join(sorted((word for word in MONTHS if len(word) > 2), key=len, reverse=True))
MONTH_PATTERN = (
    _MONTH.replace("fevr", "f[ée]vr")
    .replace("aout", "ao[uû]t")
    .replace("decem", "d[ée]cem")
    .replace("|dec|", "|d[ée]c|")
)
"""Regular expression for the names of months as people type them; the table of months has folded words."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PARTICLES = _words("d de du des la le les l von van der den di da do dos del della el al ben bin ibn ter ten te mac")
_TITLES = _words(
    "m mr mrs ms mme mlle monsieur madame mademoiselle mister miss herr herrn frau senor senora sra signor signora sig pani"
    " senhor senhora bayan sayin mevrouw"
)
_STAFF = _words(
    "dr docteur doctor pr prof professeur maitre me infirmier infirmiere secretaire arzt doktor dott dottore"
)
# words that are never part of a name, capitalised or not
_STOP = (
    _words("""
    a ai ainsi alors an and ans antecedents apres are as assure assuree at au aucun aucune aussi autre aux avant
    avec avenue avons bd before bilan bjr boulevard bonjour but by c cabinet car ce cedex cela centre ces cet cette
    chemin chez cher chere ci clinique comme compte concernant consultation contact contre controle cordialement d
    dans data date dates depuis detail details dossier dump e each elle elles en entre est et ete etes etre extrait
    fiche fichier file for from ham has hello her hi his hopital i id il ils impasse in info infos is it j je l leak
    leur liste lot lui ma madame mais mal medecin merci mes mon n ne no non nos note notre nous objet of on or
    ordonnance ou our par pas patient patiente patients personne place plus pour prochain protected qu quand que qui
    quoi record rdv ref reference rendez-vous route rue resultat sa sans se ses sexe sex si soigne soit son sont
    sous specialite suivi sujet suite sur svp t ta te tel telle tes the this ti to ton total traitement tres tu un
    une user ville vous voici voir vu vue was we with y yes you your masculin feminin homme femme male female age
    ans celibataire marie mariee adresse address code postal cp ipp profession remarque observations observation
    statut envoye recu merci numero num n°
    """)
    | WEEKDAYS
)
# stop words that are also names
_STOP_BUT_NAME = _words("marie")
_BIRTH = _words(
    "ne nee naissance ddn dob born birth birthdate birthday naiss dn datenaissance nele neele geboren nacido nacida nascido nascida"
    " urodzony urodzona urodzonego urodzonej dogum dogumlu anniversaire geburtstag"
)
# words for birth that are something else in capitals
_SMALL_BIRTH = _words("nato nata ur geb")
_OTHER_DATE = _words(
    """
    rdv consultation vu vue visite admission entree sortie le du depuis hospitalise hospitalisee date rendez-vous
    creation created updated modifie deces decede decedee operation opere operee controle prochain prochaine appel
    seen on since joined registered posted edited inscrit inscrite publie poste edite beigetreten registriert gepostet
    bearbeitet registrado publicado editado
    """
)
# words within a label: "nom et prénom du patient", "first name"
LABEL_LINKS = _words("et and of ou or complet usage usuel famille naissance marital jeune fille n° no num numero e le")
_PLACE = _words("""
    adresse address rue avenue av bd boulevard chemin route allee place impasse quai cours square residence
    lotissement lieu-dit ville city commune domicile cedex hameau
    """)
# labels, and their roles; `data.identifiers.header_words` has more words, which `word_class` looks up last
_LABELS = {
    "nom": "surname", "surname": "surname", "patronyme": "surname", "lastname": "surname", "prenom": "first",
    "prenoms": "first", "firstname": "first", "forename": "first", "given": "first", "family": "surname",
    "maiden": "surname", "full": "fullname", "last": "surname", "first": "first",
    "name": "fullname", "identite": "fullname", "fullname": "fullname", "tel": "phone", "telephone": "phone",
    "portable": "phone", "mobile": "phone", "gsm": "phone", "phone": "phone", "port": "phone", "fixe": "phone",
    "fax": "phone", "cell": "phone", "mail": "email", "email": "email", "e-mail": "email", "courriel": "email",
    "mel": "email", "nir": "nir", "nss": "nir", "secu": "nir", "ssn": "nir", "securite": "nir", "sociale": "nir",
    "nome": "fullname", "nombre": "fullname", "imie": "first", "adi": "first", "adı": "first", "soyadı": "surname",
    "soyadi": "surname", "soyad": "surname", "ad": "first", "apelido": "surname", "telefon": "phone", "telefono": "phone", "handy": "phone", "paciente": "fullname",
    "paziente": "fullname", "pacjent": "fullname", "pacjenta": "fullname", "hasta": "fullname",
    "patient": "fullname", "patiente": "fullname", "beneficiaire": "fullname", "usager": "fullname",
}  # fmt: skip


@lru_cache(maxsize=65_536)
def word_class(word: str) -> str:
    """The class of a word; '' for an ordinary word.

    The class of a label is the role that it names. Others are `title` and `staff` (before names of patients and of
    health workers), `birth` and `other` (before a birth date, before other dates), `place` (before an address),
    `particle`, `month`, and `stop` (never part of a name).
    """
    folded = fold(word)
    if folded in _LABELS:
        return _LABELS[folded]
    if folded in _TITLES:
        return "title"
    if folded in _STAFF:
        return "staff"
    if (folded in _BIRTH and word != "ne") or (folded in _SMALL_BIRTH and not word.isupper()):
        return "birth"
    if folded in _PLACE:
        return "place"
    if folded in _PARTICLES:
        return "particle"
    if folded in _OTHER_DATE:
        return "other"
    if folded in MONTHS:
        return "month"
    if folded in _STOP and folded not in _STOP_BUT_NAME:
        return "stop"
    if len(folded) > 3 and role_of(word) in ("surname", "first", "dob"):
        return {"dob": "birth"}.get(role_of(word), role_of(word))
    return ""


@lru_cache(maxsize=65_536)
def is_first_name(word: str) -> bool:
    """Whether a word, or its first part, is a common first name."""
    return re.split(r"[-‐‑]", fold(word), maxsplit=1)[0] in FIRST_NAMES
