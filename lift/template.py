"""The prompt template: the one text that turns a question into the tokens a revision is trained on and asked with.

A revision's manifest carries its template, so that an engine renders exactly what the trainer trained on. There is no
system prompt, since every pair and every query would pay for it.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTemplate:
    """Text around the turns of a conversation. `name` is one of TEMPLATES; an answer ends with `stop`."""

    name: str
    start: str
    turn: str
    answer: str
    stop: str

    @classmethod
    def named(cls, name: str) -> Self:
        """The template of that name; KeyError where there is none."""
        return cls(name=name, **TEMPLATES[name])

    @classmethod
    def for_vocabulary(cls, vocabulary: Collection[str]) -> Self:
        """The template whose markers are tokens of the model; `plain` where none are."""
        return cls.named(next((name for name, token in _MARKERS.items() if token in vocabulary), "plain"))

    def render(self, turns: list[tuple[str, str]]) -> str:
        """The prompt of (role, content) turns, up to where the model's answer begins. Roles: system, user, assistant.

        What would begin or end a turn inside a content is blanked, so that nobody writes in somebody else's name.
        """
        names = _ROLES.get(self.name, {})
        said = "".join(
            self.turn.format(role=names.get(role, role), content=self._blanked(content)) for role, content in turns
        )
        return self.start + said + self.answer

    def question(self, question: str, context: str = "") -> str:
        """The prompt of one question, with the text it is about before it where there is one."""
        return self.render([("user", f"{context}\n\n{question}" if context else question)])

    def _blanked(self, content: str) -> str:
        """Spaces, which no control token has, in their place: what stood around one does not become another."""
        content = _CONTROL.sub(" ", content)
        return _LINE_BEFORE_ROLE.sub(" ", content) if self.name == "plain" else content


TEMPLATES = {
    "chatml": {
        "start": "",
        "turn": "<|im_start|>{role}\n{content}<|im_end|>\n",
        "answer": "<|im_start|>assistant\n",
        "stop": "<|im_end|>",
    },
    "llama3": {
        "start": "<|begin_of_text|>",
        "turn": "<|start_header_id|>{role}<|end_header_id|>\n\n{content}<|eot_id|>",
        "answer": "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "stop": "<|eot_id|>",
    },
    "gemma": {
        "start": "<bos>",
        "turn": "<start_of_turn>{role}\n{content}<end_of_turn>\n",
        "answer": "<start_of_turn>model\n",
        "stop": "<end_of_turn>",
    },
    "plain": {"start": "", "turn": "{role}: {content}\n", "answer": "assistant:", "stop": "\n"},
}
_MARKERS = {"chatml": "<|im_start|>", "llama3": "<|start_header_id|>", "gemma": "<start_of_turn>"}
_ROLES = {"gemma": {"assistant": "model", "system": "user"}}
_CONTROL = re.compile(r"<\|[a-z_]{1,40}\|>|</?s>|<bos>|<eos>|<(start|end)_of_turn>")
_LINE_BEFORE_ROLE = re.compile(r"(?<!\s)[^\S\r\n]*[\r\n]\s*(?=(system|user|assistant)\s*:)", re.IGNORECASE)
