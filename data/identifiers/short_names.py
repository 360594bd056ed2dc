"""French first names with the short forms that stand in their place in address books, in normal form.

Written by hand for this project: pairs in common use, not taken from a list. They are looked up together with a surname
and a birth date only, so that a pair too many ties nobody to a stranger.
"""

from __future__ import annotations

from collections.abc import Mapping

_PAIRS = """
    catherine cathy kathy cath; michel mimi michou; patrick pat patou; frederic fred; christophe chris tophe;
    nicolas nico; stephanie steph stef; stephane steph stef; sandrine sandy; thomas tom thom; benjamin ben benji;
    jeanpierre jp jeanpi; jeanclaude jc; jeanmarc jm; jeanfrancois jef jf; jeanbaptiste jb; jeanlouis jl; jeanpaul jp;
    mohamed momo; mohammed momo; elisabeth babeth lisbeth zabeth babette; veronique vero; delphine del;
    isabelle isa zabou; laurence lolo lau; laurent lolo lau; charlotte charly chacha; maxime max; manuel manu;
    emmanuel manu; emmanuelle manu; gabriel gaby gab; gabrielle gaby gab; raphael raph raf; francoise fanfan soizic;
    francois fanfan; jacqueline jackie jacquie jacky; dominique dom; danielle dany; daniel dany dan; melanie mel;
    alexandre alex sacha; alexandra alex sandra; alexis alex; antoine toine tony; anthony tony antho; antoinette toinette;
    sebastien seb; philippe phil; christian chris; christine chris cricri kiki; christelle chris; guillaume guigui gui;
    mathieu mat matt; matthieu mat matt; vincent vince; olivier oli olive; xavier xav; gregory greg; gregoire greg;
    jeremy jerem; jerome gege jej; bernard nanard; gerard gege; robert bob bobby; roger roro; rene nene;
    andre dede; marcel celo; georges jojo; joseph jo jojo; josephine jo josie fifine; caroline caro; corinne coco;
    valerie val; valentin val; valentine val; nathalie nat nath; natacha nat; virginie virg; sylvie syl; sophie soso;
    sabrina sab; marguerite margot maguy; margaret maggie; madeleine mado; therese tetere; suzanne suzon suzy;
    florence flo; florian flo; mickael mick mike; michael mick mike; ludovic ludo; rodolphe rodo; rodrigue rod;
    theodore theo; timothee tim timeo; samuel sam; samantha sam; julien juju jul; juliette juju; julie juju;
    aurelie lili; aurelien aure; emilie mimi; amelie mel; camille cam; clementine clem; clement clem; eleonore leo;
    leonard leo; leopold leo; pauline popo; helene leny; monique momo; jennifer jenny jen; jessica jess; vanessa vaness;
    geraldine gege; ghislaine ghis; bernadette nadette; bertrand bert; albert bebert; edouard doudou ed; edmond ed;
    fabien fab; fabienne fab; fabrice fab; romain rom; quentin quent; benoit ben; constance coco; constantin costa;
    abdelkader kader abdel; abderrahmane abdel; abdellah abdel; fatima fatou; fatoumata fatou; ibrahima ibra; ibrahim ibra;
    mustapha mus; youssef jo; william will willy bill; elizabeth liz beth; james jim jimmy; joel jo;
"""


def _table() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for line in _PAIRS.split(";"):
        name, *shorts = line.split() or [""]
        for short in shorts:
            found.setdefault(short, []).append(name)
    return {name: tuple(others) for name, others in found.items()}


SHORT_NAMES = _table()
"""For each short form its names. Both samples and releases are looked up by them, so that one direction is enough."""
