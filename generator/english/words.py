"""The small closed classes of English words by which sentences are taken apart. Other languages match few of them."""

import re

_JOINS = re.compile(r",? (?:and|or) ")


def word_set(listed: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(listed.split())


ARTICLES = word_set("a an the")
DETERMINERS = ARTICLES | word_set(
    "this that these those its his her their our my your each every some any no all both another either neither"
)
QUANTIFIERS = word_set("each every some any all both another either")
"""Determiners without which something else is said: "any shop"."""
PRONOUNS = word_set(
    "he she it they we you i him them us me himself herself itself themselves this these those one who which"
)
SUBJECT_PRONOUNS = word_set("he she it they we i you who")
OWNERS = word_set("his her its their")
PREPOSITIONS = word_set(
    """
    of in on at by for from with to into onto over under beside behind near between through across since until
    till after before during against without within about above below along among around as beyond despite
    inside outside off out per than toward towards up upon down like unlike except beneath underneath amid
    throughout alongside via
    """
)
PLACE_PREPOSITIONS = word_set(
    "in on at into onto under beside behind near between inside outside from to over across above below around"
)
AUXILIARIES = word_set(
    """
    is are was were be been being am has have had do does did can could may might must shall should will would
    isn't aren't wasn't weren't hasn't haven't hadn't don't doesn't didn't can't couldn't cannot mustn't won't
    wouldn't
    """
)
COPULAS = word_set("is are was were")
PAST_HELPERS = word_set("was were had did")
RELATIVE = word_set("who which that")
NAMING = word_set("called named titled entitled nicknamed dubbed")
SAYING = word_set(
    """
    mean means meant show shows showed say says said believe believes believed think thinks thought know knows knew
    hope hopes hoped agree agrees agreed decide decides decided demand demands demanded promise promises promised
    report reports reported find finds found claim claims claimed prove proves proved warn warns warned argue argues
    argued announce announces announced insist insists insisted require requires required order orders ordered
    indicate indicates indicated suggest suggests suggested state states stated
    """
)
IMPERSONAL = SAYING | word_set(
    "take taken cost rain rained raining snow snowed snowing seem happen turn hoped expected"
)
"""Verbs of an "it" that is nothing: "it took a week", "it was agreed that"."""
PREPOSITIONAL = frozenset(
    f"{verb} {preposition}"
    for preposition, verbs in {
        "on": "insist depend rely decide agree remark concentrate focus feed spend comment",
        "over": "quarrel argue preside take",
        "to": "belong listen owe lead refer agree object contribute respond amount adjourn turn apply compare",
        "from": "hide recover suffer wake benefit derive protect accept differ learn descend result",
        "into": "turn divide translate convert develop",
        "in": "believe specialise specialize consist result succeed invest participate engage",
        "at": "laugh aim value estimate",
    }.items()
    for verb in verbs.split()
)
"""Verbs with the preposition of their object, which is no place: "insist on", "belong to"."""
NO_PLACES = word_set(
    """
    past future present row average advice help use work need purpose secret writing plaster fog heat cold rain snow
    wind weather speed setting height depth distance age price cost rate time dispute bill leash pairs danger
    silence peace war life death love anger fear public person general particular detail addition exchange return
    honour favour memory practice theory charge search demand order trial duty ground condition emergency hour way
    manner fact opinion wish request hand foot horseback
    """
)
"""Nouns behind "in", "on", "at" or "from" that say no place."""
TAKING_INFINITIVE = word_set(
    """
    fail try want refuse manage need decide hope intend plan begin start attempt expect forget tend learn wish dare
    afford threaten hesitate
    """
)
"""Verbs behind which "to" begins an infinitive: "failed to light"."""
POINTING = word_set("this that these those such")
CONJUNCTIONS = word_set(
    "and or but nor because while when where who which that whose whom if so though although whether what how why"
)
ADVERBS = word_set(
    """
    only also please today still now never always then there here not ever once twice just too very more most less
    least almost nearly about instead however again soon later
    alone afterwards meanwhile otherwise thereafter usually often sometimes first last at far ago
    """
)
NO_ADVERBS_IN_LY = word_set(
    """
    family assembly supply reply anomaly monopoly ally belly jelly lily bully rally folly homily butterfly dragonfly
    early daily weekly monthly yearly quarterly friendly lonely lovely elderly holy ugly silly costly deadly orderly
    scholarly curly hilly woolly wobbly lively likely unlikely kindly heavenly earthly worldly motherly fatherly
    """
)
SEASONS = word_set("spring summer autumn winter")
TIMES_OF_DAY = word_set("morning afternoon evening night noon midnight dawn dusk sunrise sunset midday weekend")
TIMES = SEASONS | TIMES_OF_DAY | word_set("season day week month year decade century")
ORDINALS = word_set(
    """
    second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth
    sixteenth seventeenth eighteenth nineteenth twentieth
    """
)
FRACTIONS = word_set("half third quarter fifth sixth seventh eighth ninth tenth")
PERSONS = word_set(
    """
    person man woman boy girl child baby king queen prince princess baron baroness duke duchess lord lady mayor
    president minister governor emperor empress monk nun priest bishop abbot pope rabbi imam knight captain general
    admiral sailor soldier guard owner founder leader member maker builder baker butcher brewer tailor cobbler
    carpenter mason miller smith blacksmith watchmaker merchant trader shopkeeper innkeeper landlord farmer shepherd
    fisherman hunter gardener forester keeper warden watchman lawyer judge doctor surgeon nurse midwife dentist
    teacher professor headmaster pupil student scholar scientist engineer architect designer inventor astronomer
    botanist chemist physicist biologist historian philosopher mathematician explorer pilot driver conductor
    painter sculptor artist composer musician singer pianist violinist poet writer author novelist editor publisher
    printer journalist actor actress dancer director producer player coach manager secretary clerk worker
    striker apprentice servant cook chef waiter thief robber diver visitor guest tourist traveller neighbour friend
    husband wife widow widower father mother son daughter brother sister uncle aunt cousin nephew niece
    grandfather grandmother islander villager citizen settler refugee caretaker librarian curator organist guide
    cooper weaver potter plumber electrician miner welder grocer vet trainer instructor lecturer tutor researcher
    programmer accountant treasurer councillor detective goalkeeper cyclist swimmer runner climber volunteer
    customer buyer seller applicant candidate employee employer patient passenger resident tenant holder
    participant adult teenager grandson granddaughter bride groom orphan twin prisoner
    """
)
BODIES = word_set(
    """
    firm company bank club society association trust charity council committee ministry department institute agency
    union orchestra choir band league foundation school college university brewery factory museum library theatre
    """
)
GROUPS = word_set(
    "board staff couple family team crowd jury guild parliament army navy police panel assembly gang tribe"
)
THINGS = BODIES | word_set(
    """
    river lake sea ocean mount mountain island bay beach canal harbour port bridge tunnel pier town city village
    district county region parish province country square market lane road street avenue station airport railway
    house church chapel cathedral abbey monastery castle tower farm inn hotel pub restaurant gallery hospital hall
    park garden stadium office ship boat ferry yacht storm hurricane project programme program festival prize award
    battle war treaty book novel film song opera album magazine newspaper
    """
)
"""What may be called by a name and is no person, by the noun that says so."""
COLOURS = word_set(
    """
    black white grey gray red green blue yellow orange brown purple violet pink golden scarlet crimson turquoise
    indigo beige maroon
    """
)
SHADES = word_set("dark light pale bright deep")
LINKING = word_set("stay remain turn become look seem appear glow shine paint dye")
MAKING = word_set(
    "cast carved built forged knitted woven sewn moulded hewn cut formed constructed spun pressed crafted"
)
BEING_SOMEWHERE = word_set("lie stand sit hang rest located situated kept shown displayed stored")
NAMED_THINGS = word_set(
    """
    river lake sea mount island ship boat ferry firm company village town city port street planet storm hurricane
    project operation hotel fort radio
    """
)
DEVICES = word_set("maker printer conductor player reader")
"""What is no person behind the name of a thing: "a laser printer"."""
DIMENSIONS = word_set("long wide high tall deep old heavy thick away across big")
ANYBODY = word_set(
    "nobody somebody anybody everybody someone anyone everyone nothing something anything everything none"
)
VAGUE_NOUNS = ANYBODY | word_set("half year day week month part time times way place others lot number")
NUMBER_WORDS = word_set(
    """
    zero two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion
    dozen half thirds quarters quarter double
    """
)
MONTHS = word_set("January February March April May June July August September October November December")
WEEKDAYS = word_set("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MEASURES = word_set(
    """
    metres meters kilometres kilometers centimetres centimeters millimetres millimeters miles feet inches yards
    acres hectares tonnes tons kilograms kilogrammes grams grammes pounds ounces litres liters gallons degrees
    percent seconds minutes hours days weeks months years decades centuries knots watts kilowatts volts metre
    kilometre kilogram tonne litre hour minute day week month year mile foot km m cm mm kg g l ha mph
    """
)
LENGTHS = word_set("metre meter kilometre kilometer centimetre centimeter mile foot feet inch yard km cm m")
"""Those of which there are several end in "s" besides."""
DURATIONS = word_set(
    """
    seconds minutes hours days weeks months years decades centuries
    second minute hour day week month year decade century
    """
)
PER = word_set("a an per")
"""Between what is counted and the time in which it is."""
MONEY = word_set("pounds dollars euros cents pence crowns shillings francs yen marks coins roubles rupees")
FUNCTION_WORDS = DETERMINERS | PRONOUNS | PREPOSITIONS | AUXILIARIES | CONJUNCTIONS | ADVERBS


def parts_of_list(text: str) -> list[str]:
    """What a list has, and of another text all of it: "Lyon and Turin" has "Lyon" and "Turin"."""
    return _JOINS.split(text)


def uncapitalised(text: str) -> str:
    """The beginning of a sentence as it stands inside one."""
    return text[0].lower() + text[1:]


def head_noun(phrase: str) -> str:
    """The noun that a noun phrase is about: of "the price of a cup" it is "price", of "a town on the coast" "town"."""
    said = phrase.split()
    return said[next((at for at in range(1, len(said)) if said[at].lower() in PREPOSITIONS), len(said)) - 1]


def unowned(phrase: str) -> str:
    """ "her parcel" is "the parcel": whose it is, only its sentence says."""
    first, _, rest = phrase.partition(" ")
    return f"the {rest}" if first.lower() in OWNERS else phrase


def possessive(name: str) -> str:
    """ "Ada Holm's", "the players'"."""
    return name + ("'" if name.endswith("s") else "'s")


def is_plural(noun: str) -> bool:
    """Whether a noun stands for several, by its ending and a few words that have none."""
    return noun.lower() in {"people", "men", "women", "children", "sheep", "police"} or (
        noun.endswith("s") and not noun.endswith(("ss", "us", "is", "'s"))
    )


def is_person(noun: str) -> bool:
    """Whether it is one of PERSONS, or several of them."""
    many = {"men": "man", "women": "woman", "children": "child", "wives": "wife", "people": "person", "crew": "person"}
    one = many.get(noun.lower(), noun.lower())
    made = ("man", "woman", "men", "women", "maker", "smith", "ologist")
    return any(word in PERSONS or word.endswith(made) for word in (one, one.removesuffix("s")))


def may_act(phrase: str) -> bool:
    """Whether a phrase may stand for somebody: people, a body of them, or whoever does something by its ending."""
    said = phrase.split()
    end = next((at for at in range(1, len(said)) if said[at].lower() in PREPOSITIONS), len(said))
    return any(map(_may_act, said[:end]))


def _may_act(noun: str) -> bool:
    one = noun.lower().removesuffix("s")
    doer = one.endswith(("er", "or", "ist", "ian", "eer", "ant", "ee", "man", "woman", "men", "wife", "wive"))
    return is_person(noun) or one in BODIES or noun.lower() in BODIES | GROUPS or (doer and len(one) > 4)


def is_thing(name: str) -> bool:
    """Whether a name is none of a person: "Mill Lane", "Storm Isha", "HX30-B", "Holt & Sons"."""
    first, head = name.split(maxsplit=1)[0].lower(), head_noun(name).lower()
    is_code = any(letter.isdigit() or letter == "&" for letter in name)
    return is_code or head in THINGS or first in NAMED_THINGS or (name.isupper() and " " not in name)


def is_adverb(word: str) -> bool:
    """Whether it is one of ADVERBS, or made one by "ly" ("eventually"); a capital may belong to a name (Emily)."""
    made = word.endswith("ly") and len(word) > 4 and word[0].islower() and word not in NO_ADVERBS_IN_LY
    return made or word.lower() in ADVERBS
