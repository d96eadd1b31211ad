"""The texts that a question writer is taught on and asked with: here once, so that both are the same.

A question writer is a LoRA adapter of a small base model. Of a passage it says what people would ask for, writes the
question that has a given answer, and reads the answer to a given question off. All prompts begin with the passage:
engines cache what they share, and the trainer computes it once.
"""

WRITER = "question-writer"
"""What an engine calls its question writer among its models."""


def proposal_prompt(*, title: str, window: str, sentence: str) -> str:
    """What the writer goes on from with a space, words of the sentence that a question could ask for, and a new line.

    `window` is the text before the sentence.
    """
    return f"{_passage(title, window, sentence)}Answer:"


def question_prompt(*, title: str, window: str, sentence: str, answer: str) -> str:
    """What the writer goes on from with a space and a question: a proposal that was made, and asks on."""
    proposed = proposal_prompt(title=title, window=window, sentence=sentence)
    return f"{proposed} {answer}\nQuestion:"


def answer_prompt(*, title: str, window: str, sentence: str, question: str) -> str:
    """What the writer goes on from with a space and words of the sentence."""
    return f"{_passage(title, window, sentence)}Question: {question}\nAnswer:"


def _passage(title: str, window: str, sentence: str) -> str:
    parts = {"Title": title, "Before": window, "Sentence": sentence}
    return "".join(f"{name}: {' '.join(text.split())}\n" for name, text in parts.items() if text)
