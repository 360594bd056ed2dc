"""The words of alerts in French, for people who do not work with Tocsin every day."""

from __future__ import annotations

from collections.abc import Mapping

PHRASES: Mapping[str, str | tuple[str, str]] = {
    # --- how numbers and fields are written
    "colon": " : ",
    "percent": "{number} %",
    "more": "et {n} de plus",
    "and_more": " et {n} de plus",
    "left_out": " ({n} lignes ne sont pas reprises ici)",
    "noun.person": ("{n} personne", "{n} personnes"),
    "noun.known_person": ("{n} personne connue", "{n} personnes connues"),
    "noun.client": ("{n} client", "{n} clients"),
    "noun.canary": ("{n} témoin", "{n} témoins"),
    "noun.record": ("{n} fiche", "{n} fiches"),
    "noun.row": ("{n} ligne", "{n} lignes"),
    "noun.file": ("{n} fichier", "{n} fichiers"),
    "noun.byte": ("{n} octet", "{n} octets"),
    "noun.source": ("{n} source", "{n} sources"),
    "noun.post": ("{n} publication", "{n} publications"),
    "noun.part": ("{n} partie de publication", "{n} parties de publications"),
    "noun.sample": ("{n} échantillon", "{n} échantillons"),
    "noun.rule": ("{n} règle", "{n} règles"),
    "noun.place": ("{n} endroit", "{n} endroits"),
    "noun.alert": ("{n} alerte", "{n} alertes"),
    "noun.event": ("{n} événement", "{n} événements"),
    "noun.critical_alert": ("{n} alerte critique n'est", "{n} alertes critiques ne sont"),
    # --- labels
    "label.advice": "À faire",
    "label.take": "S’en charger (une fois, sous 24 heures)",
    "label.more": "Tout voir",
    "label.record": "Empreinte du registre",
    "label.worst": "Les plus touchés",
    "label.clients": "Clients",
    "label.address": "Adresse",
    "label.source": "Source",
    "label.incident": "Incident",
    "label.case": "Dossier",
    "label.sample": "Échantillon",
    "label.preview": "Avis d'après l'aperçu",
    "label.files": "Fichiers",
    "label.parents": "Déjà vu dans",
    "label.outcome": "Suite",
    "label.verdict": "Avis",
    "label.people": "Personnes",
    "label.genuine": "Authentique",
    "label.added": "Nouvelles données sur des personnes connues",
    "label.reason": "Raison",
    "label.about": "Concerne",
    "label.channel": "Canal",
    "label.began": "Début",
    "label.since": "Depuis",
    "label.deadlines": "Annoncé pour",
    "label.rules": "Règles concernées",
    "label.changed": "Changements",
    "label.previews": "Aperçu précédent",
    "label.unexamined": "Non examiné",
    "label.incomplete": "Pas examiné jusqu'au bout",
    "label.thread": "Fait suite à",
    "label.places": "Vu aussi sur",
    "label.severities": "Gravité",
    "label.kinds": "Quoi",
    "label.sources": "Sources",
    "label.incidents": "Incidents",
    "label.worst_events": "Les plus graves",
    "label.retro": "Trouvé après coup",
    # --- what a verdict means
    "verdict.re-post": "republication : tout était déjà connu",
    "verdict.re-packaged": "données connues sous une autre forme",
    "verdict.subset": "une partie de données connues",
    "verdict.superset": "données connues, avec d'autres qui ne l'étaient pas",
    "verdict.overlap": "en partie connu, en partie nouveau",
    "verdict.new": "dans aucune diffusion connue",
    "verdict.padded": "personnes connues mêlées à des personnes inventées",
    "verdict.recombined": "valeurs connues attribuées à d'autres personnes : les colonnes ont été mélangées",
    "verdict.unrelated": "d'autres personnes, sans lien avec les diffusions connues",
    "verdict.undecided": "indécis",
    "verdict.no_records": "ces données ne contiennent aucune fiche",
    "verdict.new_data": "les personnes sont connues, les données sur elles sont en partie nouvelles",
    "verdict.sure": ", sûr à {share} %",
    "verdict.very_sure": ", sûr à plus de {share} %",
    "genuine.genuine": "oui : la plupart des lignes sont des fiches de personnes connues",
    "genuine.recombined": "recomposé : valeurs connues de différentes personnes sur une même ligne",
    "genuine.padded": "gonflé : personnes connues mêlées à des lignes ou des champs inventés ou recomposés",
    "genuine.invented": (
        "inventé, ou colonnes de données inconnues mélangées : les valeurs d'une même ligne se contredisent"
    ),
    "genuine.open": "indécis",
    "likelihood.practically certain": "pratiquement certain",
    "likelihood.very likely": "très probable",
    "likelihood.likely": "probable",
    "likelihood.not decided": "indécis",
    "column.names": "noms",
    "column.dob": "dates de naissance",
    "column.nir": "numéros de sécurité sociale",
    "column.email": "adresses e-mail",
    "column.phone": "numéros de téléphone",
    "added.note": "notes médicales ou autre texte libre",
    "added.nir": "numéros de sécurité sociale",
    "added.email": "adresses e-mail",
    "added.phone": "numéros de téléphone",
    "added.iban": "comptes bancaires",
    "added.professional": "numéros professionnels",
    "outcome.confirmed": "confirmé par l'examen complet",
    "outcome.corrected": "corrigé par l'examen complet : {verdict}",
    "outcome.open": "l'examen complet n'a pas tranché",
    "outcome.torrent": "reste ouvert : Tocsin ne rejoint aucun torrent, leur contenu n'est donc jamais examiné",
    "outcome.short.confirmed": "confirmé",
    "outcome.short.corrected": "corrigé",
    "outcome.short.open": "ouvert",
    # --- fields
    "clients.share": "{hit} sur {clients}",
    "clients.found": "{share} ; {canaries} dans {records} ; chaque témoin est confirmé par une deuxième empreinte à clé",
    "clients.few": " ; si peu peuvent venir d'un autre organisme qui a des données des mêmes personnes",
    "clients.hit": "{client} : {records} avec {canaries}",
    "files.locked": "inconnus : l'archive chiffre les noms de ses fichiers",
    "files.known": "connus : {known} sur {files} ({known_bytes} sur {bytes})",
    "files.by_name": " ; dont {n} par leur nom et leur taille seulement",
    "files.incomplete": " ; la liste est incomplète",
    "parent.share": "{release} ({share} de ces données)",
    "people.counts": "{people} dans ces données ; {new} jamais vues auparavant{bounds} ; {known} connues{mistyped}",
    "people.bounds": " (entre {low} et {high})",
    "people.mistyped": " ; {n} sans doute connues, avec des fautes de frappe",
    "incomplete.no_reason": "aucune raison n'est donnée",
    "incomplete.higher": "{reasons} ; tous les nombres peuvent être plus élevés",
    "deadline.day": "{date} (au jour près)",
    "deadline.days": "{date} (à {n} jours près)",
    "deadline.before": ", auparavant : {time}",
    # --- first lines
    "title.reminder": "Toujours d'actualité : {title}",
    "title.reminder_since": "Toujours d'actualité depuis le {since} : {title}",
    "title.new_people": "{people} jamais vues{bounds}",
    "title.bounds": " ({low} à {high})",
    "title.client": "client {client}",
    "title.no_canary": "aucun témoin d'un client",
    "title.added": "nouvelles données sur {people} ({kinds})",
    "title.further_release": "Nouvelle diffusion",
    "title.canary_hit": "Données de clients publiées",
    "title.leak_records": "{what} : {records}, {whose}",
    "title.leak_added": "{what} : {added}, {whose}",
    "title.leak_new": "{what} : {new}, {whose} ; {known} connues",
    "title.shared_plain": "Patients connus dans des données d'origine incertaine : {whose}",
    "title.shared": "Patients connus dans {origin} : {known} sur {people} dans une diffusion enregistrée, {whose} ; {further}",
    "title.origin_other": "les données d'un autre organisme",
    "title.origin_open": "des données d'origine incertaine",
    "title.repost_plain": "Des données connues ont été republiées : {whose}",
    "title.repost": "Données connues republiées : {known} sur {people} connues, {whose} ; {new}",
    "title.all_registered": "Avis changé : toutes les personnes de ces données sont dans la diffusion {release}, enregistrée à présent",
    "title.part_registered": "Avis changé : environ {share} des personnes de ces données sont dans la diffusion {release}, enregistrée à présent",
    "title.correction": "Correction : un aperçu précédent était faux ; l'examen complet dit : {verdict}",
    "title.preview_locked": (
        "Simple aperçu : une archive dont les noms de fichiers sont chiffrés ; on ne sait encore rien de son contenu"
    ),
    "title.preview_list": "Aperçu d'une liste de fichiers ; les données elles-mêmes ne sont pas encore examinées",
    "title.preview": "Simple aperçu, données pas encore examinées : connus : {known} sur {files} ; {verdict}",
    "title.changed_plain": "Une publication connue a changé",
    "title.changed": "Une publication connue a changé : {changes}{more}",
    "title.announced": "Une diffusion est annoncée pour le {time}{about}",
    "title.announced_rules": " ; la publication correspond à {rules} de l'incident",
    "title.words": "Une publication parle de l'incident : {rules}",
    "title.announced_plain": "Une diffusion est annoncée",
    "title.walled": "Illisible pour les visiteurs sur {source} : {what} ; des données de clients peuvent s'y trouver",
    "title.unexamined": "Non examiné sur {source} : {what} ; des données de clients peuvent s'y trouver",
    "title.linked_files": (
        "{source} : {posts} avec des liens vers {files} qu'aucune règle ne lit ; des données de clients peuvent s'y trouver"
    ),
    "title.some_data": "des données",
    "title.a_source": "une source",
    "title.the_source": "Une source",
    "title.gap_lost": "Des publications de {source} ont été manquées : sa liste ne montre plus rien de connu",
    "title.gap": "Des publications de {source} ont pu être manquées : sa liste n'a pas été relue jusqu'à du connu",
    "title.no_new_post": "{source} ne montre aucune nouvelle publication",
    "title.no_new_post_for": "{source} ne montre aucune nouvelle publication depuis {days} jours",
    "title.silent": "{source} est illisible : ses nouvelles publications ne sont pas vues",
    "title.source_changed": "{source} n'est plus lu correctement, des publications peuvent être manquées{rows}",
    "title.rows_expected": " : {rows}, au moins {least} attendues",
    "title.tor_down": "Tor est en panne : les sources qui en ont besoin ne sont pas surveillées",
    "title.delivery_failed": "Le canal {channel} n'accepte pas les alertes : ses lecteurs ne sont pas prévenus",
    "title.selftest_examiner": "Tocsin ne reconnaît peut-être plus les données de clients : son autotest a échoué",
    "title.selftest": "Tocsin lui-même demande votre attention",
    "title.selftest_of": "Tocsin lui-même demande votre attention : {subject}",
    "title.heartbeat": "Veille :",
    "title.heartbeat_failing": "Veille, mais {work} échoue :",
    "title.heartbeat_sources": "{fine} lues, {late} en retard, {blind} aveugles",
    "title.heartbeat_posts": "{posts} examinées depuis le {since}",
    "title.heartbeat_outbox": "{waiting} alertes en attente, {refused} refusées",
    "title.unacknowledged_plain": "Des alertes critiques ne sont pas prises en charge",
    "title.unacknowledged": "{alerts} pas prises en charge, la plus ancienne depuis le {since}",
    "title.trial": "Message d'essai : il ne s'est rien passé",
    "title.recovered": "Retour à la normale",
    "title.recovered_what": "Retour à la normale : {what}",
    "title.also": "Aussi sur {source}, déjà {places} : {title}",
    "title.retro": "Trouvé dans des données vues le {seen} : {title}",
    "title.retro_plain": "Trouvé dans des données déjà vues : {title}",
    "title.digest": "{alerts} en un seul message, dont {critical} critiques : {kinds}",
    "ended.gap": "la liste est relue jusqu'à des publications connues",
    "ended.lost_posts": "la liste montre des publications connues ; ce qui a été manqué n'a pas été lu",
    "ended.source_silent": "la source est lisible",
    "ended.source_changed": "la source est lue correctement",
    "ended.tor_down": "Tor fonctionne",
    "ended.delivery_failed": "le canal accepte les alertes",
    "ended.selftest_failed": "le problème a disparu",
    "ended.unacknowledged": "toutes les alertes critiques sont prises en charge",
    "ended.unexamined": "les publications ont été examinées",
    # --- kinds and severities, in digests
    "kind.further_release": "nouvelle diffusion",
    "kind.canary_hit": "données de clients publiées",
    "kind.shared_people": "patients connus, origine incertaine",
    "kind.repost": "données connues republiées",
    "kind.early_look": "aperçu",
    "kind.listing_changed": "publication changée",
    "kind.announcement": "annonce",
    "kind.unexamined": "non examiné",
    "kind.gap": "publications manquées",
    "kind.source_silent": "source illisible",
    "kind.source_changed": "source mal lue",
    "kind.tor_down": "Tor en panne",
    "kind.delivery_failed": "canal en panne",
    "kind.selftest_failed": "Tocsin demande votre attention",
    "kind.unacknowledged": "alertes critiques pas prises en charge",
    "kind.digest": "récapitulatif",
    "kind.recovered": "retour à la normale",
    "kind.heartbeat": "signe de vie",
    "severity.critical": "critique",
    "severity.warning": "avertissement",
    "severity.notice": "à noter",
    "severity.info": "information",
    "digest.count": "{what} : {n}",
    "digest.event": "{title} ({id})",
    # --- what to do
    "advice.clients_list": " La liste des clients : {command}",
    "advice.further_release": (
        "Prévenez les clients{unknown} et conservez la preuve : elle est scellée pour la clé privée de l'équipe et"
        " contient l'adresse de la publication. Lancez : {proof} puis, avec la clé : {opened}"
    ),
    "advice.clients_unknown": ", dès que vous savez lesquels",
    "advice.canary_hit": (
        "Prévenez les clients. Quand une personne a confirmé les données, enregistrez-les comme connues avec"
        " tocsin release add. L'adresse de la publication, avec la clé privée : {opened}"
    ),
    "advice.shared_people": (
        "Cherchez à qui sont ces données : des patients en commun ne le disent pas. Si la fuite vient d'un autre"
        " organisme, les cabinets devront peut-être tout de même prévenir leurs patients. L'adresse de la publication,"
        " avec la clé privée : {opened}."
    ),
    "advice.repost": (
        "Aucun client n'est à prévenir de nouveau, s'il l'a été à la première publication."
        " Vous pouvez demander le retrait au site."
    ),
    "advice.repost_open": "Regardez la publication : on n'a pas pu dire si elle contient du nouveau.",
    "advice.baseline": (
        "Il n'y a rien à faire : ce que vous avez enregistré est connu à présent. Voyez qui a déjà été prévenu."
    ),
    "advice.also": (
        "Personne n'est à prévenir de nouveau. Si vous demandez le retrait, ajoutez cette adresse à la première."
    ),
    "advice.correction": (
        "Prévenez ceux qui ont agi d'après l'aperçu. L'alerte sur l'examen complet donne les nombres."
    ),
    "advice.torrent": (
        "Attendez une source qui a les données elles-mêmes : le contenu d'un torrent n'est jamais téléchargé."
    ),
    "advice.early_look": (
        "Attendez l'examen complet : cet avis ne repose que sur des noms, des tailles et des sommes de contrôle."
    ),
    "advice.listing_changed": ("Regardez la publication : la suite d'une fuite est souvent annoncée de cette façon."),
    "advice.announcement": (
        "Regardez la publication et préparez-vous : sa source est lue plus souvent à mesure que l'heure approche."
    ),
    "advice.unexamined": "Vérifiez la publication à la main ; le site l'a peut-être déjà retirée.",
    "advice.address": "L'adresse de la publication, avec la clé privée : {opened}",
    "advice.linked_files": (
        "Voyez sur quels serveurs ils sont : tocsin source hosts {source}. Les fichiers de serveurs qu'une source déclare"
        " sont lus ; pour en déclarer un, écrivez une source de plateforme `linked`."
    ),
    "advice.gap": (
        "Lisez ce qui a été manqué : tocsin source backfill {source}. La lacune dure jusqu'à ce qu'une lecture atteigne"
        " une publication connue. Réduisez ensuite `every` dans sources/{source}.yaml, pour une lecture plus fréquente."
    ),
    "advice.gap_lost": (
        "La liste n'a pas d'autres pages : regardez le site à la main. Réduisez `every` dans sources/{source}.yaml,"
        " pour une lecture plus fréquente."
    ),
    "advice.source_silent": (
        "Ouvrez le site à la main : il est peut-être en panne, ou a déménagé. Lancez ensuite :"
        " tocsin source check {source}"
    ),
    "advice.no_new_post": (
        "Ouvrez le site à la main. S'il montre des publications plus récentes, la source ne les lit plus ; lancez :"
        " tocsin source check {source}"
    ),
    "advice.source_look": "Comparez le site à son fichier de source. Lancez : tocsin source check {source}. S'il est bien lu,"
    " lancez : tocsin source accept {source}. La page, avec la clé privée : {page}",
    "advice.source_page": "Comparez le site à son fichier de source. Lancez : tocsin source check {source}. La page telle qu'elle"
    " était, avec la clé privée : {page}",
    "advice.source_changed": "Comparez le site à son fichier de source. Lancez : tocsin source check {source}",
    "advice.tor_down": "Cherchez la raison. Lancez : tocsin doctor",
    "advice.delivery_failed": (
        "Corrigez le canal. Lancez : tocsin alert test {channel} puis : tocsin alert retry --all"
    ),
    "advice.unacknowledged": (
        "Voyez-les : tocsin alert list --triage new. Prenez-en une en charge : tocsin alert ack ID, ou toutes celles"
        " d'un incident : tocsin alert ack --incident NAME"
    ),
    "advice.selftest_failed": "Tant que ce n'est pas réparé, le silence ne prouve rien. Lancez : tocsin doctor",
    "advice.digest": (
        "Tant d'alertes sont arrivées à la fois qu'elles tiennent en un message ; aucune n'est perdue. Commencez par"
        " les critiques : tocsin alert list --digest {id}"
    ),
    "advice.retro": (
        "Vos témoins ont été enregistrés après que ces données ont été vues. Regardez si elles sont encore accessibles,"
        " et prévenez les clients."
    ),
    "retro.field": "des témoins enregistrés le {enrolled} se trouvent dans des données vues le {seen}",
    # --- words of the phrases of `data.store.post_changes`
    "change.the post, which had hits, is gone from the site": "la publication, qui contenait des témoins, a disparu du site",
    "change.appeared": "apparu",
    "change.is gone": "disparu",
    "change.changed": "changé",
    "change.new": "en plus",
    "change.gone": "en moins",
    "change.countdown": "compte à rebours",
    "change.put off by": "repoussé de",
    "change.brought forward by": "avancé de",
    "change.links": "liens",
    "change.files": "fichiers",
    "change.part": "partie",
    "change.records": "fiches",
    "change.percent": "pourcentage",
    "change.price": "prix",
    "change.state": "état",
    "change.timer": "compte à rebours",
    "change.magnet": "lien magnet",
    "change.title": "titre",
    "change.text": "texte",
    "change.address": "adresse",
    "change.size": "taille",
    "change.an exact number": "un nombre exact",
    "change.extra": "champ",
    "change.page": "page",
}
