"""The deadlines of the law that a report counts: settings with a source and a date, because the law changes."""

from __future__ import annotations

from datetime import timedelta

from data.settings.quantities import Span
from data.settings.strict_settings import StrictSettings


class Obligation(StrictSettings):
    """One thing that has to be done within a time after a person became aware of the breach."""

    name: str
    """What has to be done, and by which article."""
    name_fr: str = ""
    """The same in French; without it `name` is used."""
    after: Span | None = None
    """Term after "aware since"; none if it cannot be counted from there, or if it is without delay."""
    term: str = ""
    """The term in words, where `after` is not given."""
    term_fr: str = ""
    """The same in French."""
    source: str = ""
    """Where this is written."""
    source_fr: str = ""
    """The same in French."""
    checked: str = ""
    """When somebody last compared it with the source."""
    applies: bool = False
    """Whether it is settled that it applies; otherwise the report says that this is to be checked."""


OBLIGATIONS = (
    Obligation(
        name="GDPR art. 33(1): notification to the supervisory authority",
        name_fr="RGPD, art. 33, § 1 : notification à l’autorité de contrôle",
        after=timedelta(hours=72),
        source="Regulation (EU) 2016/679",
        source_fr="Règlement (UE) 2016/679",
        checked="2026-11",
        applies=True,
    ),
    Obligation(
        name="NIS2 art. 23(4)(a): early warning",
        name_fr="NIS 2, art. 23, § 4, point a) : alerte précoce",
        after=timedelta(hours=24),
        source="Directive (EU) 2022/2555",
        source_fr="Directive (UE) 2022/2555",
        checked="2026-11",
    ),
    Obligation(
        name="NIS2 art. 23(4)(b): incident notification",
        name_fr="NIS 2, art. 23, § 4, point b) : notification d’incident",
        after=timedelta(hours=72),
        source="Directive (EU) 2022/2555",
        source_fr="Directive (UE) 2022/2555",
        checked="2026-11",
    ),
    Obligation(
        name="NIS2 art. 23(4)(d): final report",
        name_fr="NIS 2, art. 23, § 4, point d) : rapport final",
        term="one month after the incident notification",
        term_fr="un mois après la notification d’incident",
        source="Directive (EU) 2022/2555",
        source_fr="Directive (UE) 2022/2555",
        checked="2026-11",
    ),
    Obligation(
        name="Report to CERT Santé (French Public Health Code)",
        name_fr="Signalement au CERT Santé (code de la santé publique)",
        term="without delay",
        term_fr="sans délai",
        source="CSP art. L1111-8-2",
        source_fr="CSP, art. L. 1111-8-2",
        checked="2026-11",
    ),
)
"""What is counted unless `tocsin.toml` lists other obligations."""
