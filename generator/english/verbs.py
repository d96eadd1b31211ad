"""Turns one form of an English verb into another: what a question needs behind "did", or with "who" before it."""

import re
from collections.abc import Mapping

from generator.english.tagger import Word, analysed
from generator.english.words import word_set

PAST_FORMS = dict(
    form.split(":")
    for form in word_set(
        """
        took:take gave:give made:make found:find came:come went:go left:leave held:hold kept:keep won:win
        wrote:write built:build lost:lose met:meet sold:sell bought:buy became:become began:begin led:lead ran:run
        set:set cut:cut put:put paid:pay said:say told:tell brought:bring taught:teach fought:fight stood:stand
        sat:sit saw:see drew:draw grew:grow knew:know flew:fly fell:fall rose:rise wore:wear broke:break spoke:speak
        drove:drive sang:sing lay:lie got:get hid:hide shot:shoot sent:send spent:spend meant:mean felt:feel
        slept:sleep swore:swear threw:throw chose:choose ate:eat drank:drink rode:ride hung:hang wove:weave
        sank:sink dug:dig shut:shut bound:bind lent:lend spun:spin swept:sweep bet:bet hit:hit cost:cost bred:breed
        fed:feed fled:flee woke:wake swam:swim stole:steal shook:shake laid:lay blew:blow bit:bite lit:light
        heard:hear bent:bend dealt:deal let:let shed:shed slid:slide stuck:stick struck:strike wound:wind clung:cling
        split:split spread:spread cast:cast hurt:hurt read:read thought:think understood:understand forgot:forget
        rang:ring froze:freeze tore:tear bore:bear caught:catch sought:seek burnt:burn shone:shine burst:burst
        ground:grind crept:creep wept:weep swung:swing stung:sting sprang:spring shrank:shrink rid:rid sped:speed
        united:unite excited:excite disputed:dispute
        """
    )
)
PAST_OF_PARTICIPLE = dict(
    form.split(":")
    for form in word_set(
        """
        written:wrote given:gave taken:took driven:drove known:knew grown:grew shown:showed seen:saw flown:flew
        worn:wore drawn:drew broken:broke spoken:spoke stolen:stole chosen:chose eaten:ate sung:sang woven:wove
        hidden:hid ridden:rode thrown:threw torn:tore done:did sewn:sewed hung:hung sunk:sank shaken:shook run:ran
        begun:began drunk:drank blown:blew bitten:bit beaten:beat forbidden:forbade frozen:froze rung:rang
        forgotten:forgot sworn:swore woken:woke borne:bore gone:went sprung:sprang shrunk:shrank swum:swam
        """
    )
)
_PREFIXES = re.compile(r"(?:for|fore|mis|out|over|re|un|under|up|with)(?=(?!lay$)\w{3})")

_SILENT_E = re.compile(
    r"(?:[vcuze]|[^aeiouwl]l|[rd]g|[^o]ng|[^s]s|ag|[^aeo]id|[^aeo]at|[^aeo]in|[^e]ar|[^a]ir|[^o]ur)$"
)
_DOUBLES = re.compile(r"[^aeiou]*[aeiou][^aeiouwxy]")
_HISSING = ("s", "sh", "ch", "x", "o", "z")


def base_form(verb: str) -> str:
    """ "keeps", "kept" and "reached" are "keep" and "reach"; a form that tells nothing stays."""
    verb = simple_past(verb)
    irregular = _of_form(verb, PAST_FORMS)
    if irregular:
        return irregular
    if verb.endswith(("ies", "ied")):
        return verb[:-1] if len(verb) == 4 else verb[:-3] + "y"
    lemma, part = analysed(verb)
    if part.startswith("VV") and lemma != verb and _is_regular(verb, lemma):
        return lemma
    if verb.endswith("ed"):
        return verb if lemma == verb and verb.endswith("eed") else _without_ed(verb)
    if verb.endswith("s") and not verb.endswith(("ss", "us")):
        return verb[:-2] if verb.endswith(("sses", "shes", "ches", "xes", "oes")) else verb[:-1]
    return verb


def is_past(verb: Word) -> bool:
    """Whether a full verb without a helper is a past form."""
    past = verb.part in {"VVD", "VVN"} and base_form(verb.lower) != verb.lower
    irregular = _of_form(simple_past(verb.lower), PAST_FORMS)
    return past or bool(irregular) or (verb.lower.endswith("ed") and base_form(verb.lower) != verb.lower)


def simple_past(participle: str) -> str:
    """ "written" is "wrote"; most participles are their own past."""
    return _of_form(participle, PAST_OF_PARTICIPLE) or participle


def form_of_be(*, past: bool, many: bool) -> str:
    """Is, are, was or were."""
    if past:
        return "were" if many else "was"
    return "are" if many else "is"


def third_person(participle: str) -> str:
    """ "supplied" is "supplies", "cut" is "cuts"."""
    base = base_form(participle)
    if base.endswith("y") and base[-2:-1] not in "aeiou":
        return base[:-1] + "ies"
    return base + ("es" if base.endswith(_HISSING) else "s")


def _of_form(verb: str, forms: Mapping[str, str]) -> str:
    """What a form stands for, also behind "over" or "re": "rebuilt" is "rebuild"; empty for others."""
    prefix = _PREFIXES.match(verb)
    behind = forms.get(verb[prefix.end() :], "") if prefix else ""
    return forms.get(verb, prefix.group() + behind if prefix and behind else "")


def _is_regular(verb: str, lemma: str) -> bool:
    """Whether a lemma makes the form by English spelling: "rame" does not make "rammed", nor "scrap" "scraped"."""
    doubles = bool(_DOUBLES.fullmatch(lemma))
    ed = lemma + ("d" if lemma.endswith("e") else "ed")
    made = {ed, lemma + lemma[-1] + "ed", lemma + "ked"} - ({ed} if doubles else set())
    return (verb in made or not verb.endswith("ed")) and not lemma.endswith(("v", "u"))


def _without_ed(verb: str) -> str:
    """ "reached" is "reach", "stopped" is "stop", "arrived" is "arrive"; by the letters before the ending."""
    stem = verb[:-2]
    if stem.endswith("ell") and len(stem) > 5:  # "travelled", but "smelled"
        return stem[:-1]
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "lsfze":
        return stem[:-1]
    return stem + "e" if _SILENT_E.search(stem) or _DOUBLES.fullmatch(stem) else stem
