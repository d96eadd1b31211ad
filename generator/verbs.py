"""Turns one form of an English verb into another: what a question needs behind "did", or with "who" before it."""

import re

from generator.words import word_set

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
        begun:began drunk:drank blown:blew bitten:bit beaten:beat forbidden:forbade
        """
    )
)
IRREGULAR_FORMS = frozenset(PAST_FORMS) | frozenset(PAST_OF_PARTICIPLE)

_SILENT_E = re.compile(
    r"(?:[vcuze]|[^aeiouwl]l|[rd]g|[^o]ng|[^s]s|ag|[^aeo]id|[^aeo]at|[^aeo]in|[^e]ar|[^a]ir|[^o]ur"
    r"|^[^aeiou]*(?:[aiou][kdtmgpb]|or|in))$"
)
_HISSING = ("s", "sh", "ch", "x", "o", "z")


def base_form(verb: str) -> str:
    """ "keeps", "kept" and "reached" are "keep" and "reach"; a form that tells nothing stays."""
    verb = PAST_OF_PARTICIPLE.get(verb, verb)
    if verb in PAST_FORMS:
        return PAST_FORMS[verb]
    if verb.endswith(("ies", "ied")):
        return verb[:-1] if len(verb) == 4 else verb[:-3] + "y"
    if verb.endswith("ed"):
        return _without_ed(verb)
    if verb.endswith("s") and not verb.endswith("ss"):
        return verb[:-2] if verb.endswith(("sses", "shes", "ches", "xes", "oes")) else verb[:-1]
    return verb


def simple_past(participle: str) -> str:
    """ "written" is "wrote"; most participles are their own past."""
    return PAST_OF_PARTICIPLE.get(participle, participle)


def third_person(participle: str) -> str:
    """ "supplied" is "supplies", "cut" is "cuts"."""
    base = base_form(participle)
    if base.endswith("y") and base[-2:-1] not in "aeiou":
        return base[:-1] + "ies"
    return base + ("es" if base.endswith(_HISSING) else "s")


def _without_ed(verb: str) -> str:
    """ "reached" is "reach", "stopped" is "stop", "arrived" is "arrive"; by the letters before the ending."""
    stem = verb[:-2]
    if stem.endswith("ell") and len(stem) > 5:  # "travelled", but "smelled"
        return stem[:-1]
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "lsfze":
        return stem[:-1]
    return stem + "e" if _SILENT_E.search(stem) else stem
