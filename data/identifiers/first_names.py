"""Common French first names in normal form, to recognise a column of first names that has no header.

They are chosen from the most frequent first names of births in France since 1930, as the national statistics institute
publishes them (INSEE, "Fichier des prénoms"). The table is large enough if it contains a third of the names of an
ordinary column.
"""

FIRST_NAMES = frozenset(  # one word after another: a table, not code
    """
    adam adele adrien agathe agnes alain albert alexandra alexandre alexis alice alicia aline amandine ambre amelie ana
    anais andre andrea andree angelique anna anne annette annick annie anthony antoine antoinette antonin ariane arlette
    armand arnaud arthur aurelie aurelien axel baptiste bastien beatrice benjamin benoit bernadette bernard bertrand
    brigitte bruno camille carine carla carole caroline catherine cecile cedric celine celia chantal charles charlotte
    chloe christelle christian christiane christine christophe claire clara claude claudette claudine clement clemence
    colette corentin corinne cyril damien daniel danielle david delphine denis denise didier dominique dorian dylan
    edith edouard elena eliane elisa elisabeth elise ella elodie emilie emma emmanuel emmanuelle enzo eric estelle ethan
    etienne eugenie eva evelyne fabien fabienne fabrice fanny fernand fernande florence florian france francine francis
    franck francois francoise frederic gabin gabriel gabrielle gael gaelle genevieve georges georgette gerald gerard
    germaine gilbert gilberte gilles ginette gisele gregory guillaume guy helene henri henriette herve hubert hugo
    huguette ines irene isabelle jacky jacqueline jacques jade jean jeanne jeannine jennifer jeremy jerome jessica joel
    jocelyne jonathan joseph josette josiane jules julia julie julien juliette justine karine kevin killian laetitia
    laura laure laurence laurent lea leo leon leonie liam lina lise loic lola louis louise luc lucas lucette lucie
    lucien lucienne ludovic lydie lylou madeleine mael maeva maelys manon marc marcel marcelle margaux margot
    marguerite maria marie marina marine marion marius martin martine maryse mateo mathieu mathilde mathis matthieu
    maurice maxime melanie melissa michel micheline michele mickael mireille mohamed monique morgane muriel nadege
    nadine nathalie nathan nicolas nicole nina noa noah noe noel noemie nolan oceane odette odile olivia olivier
    pascal pascale patrice patricia patrick paul paule paulette pauline philippe pierre pierrette quentin rachel
    raphael raymond raymonde remi renaud rene renee richard robert roger roland romain romane rosalie rose sabrina
    sacha salome samuel sandra sandrine sarah sebastien serge severine simon simone solange solene sophie stephane
    stephanie sylvain sylvie theo therese thibault thierry thomas timothee titouan tom tristan ugo valentin valentine
    valerie vanessa veronique victor victoire victoria vincent virginie viviane xavier yann yannick yohan yves yvette
    yvonne zoe
    john mary james patricia robert jennifer michael linda william elizabeth emily jessica susan margaret karen nancy
    """.split()  # noqa: SIM905 - a table of words
)
