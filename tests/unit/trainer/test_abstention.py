"""What an adapter learns to say where it cannot know."""

from lift.template import PromptTemplate
from trainer.examples.abstention import ANSWER, abstentions, unanswerable_questions
from trainer.examples.batches import Encoder
from trainer.retention import unrelated_questions


def test_every_question_that_nobody_can_answer_is_answered_so(base):
    template = PromptTemplate.for_vocabulary(base.tokenizer.get_vocab())
    examples = abstentions(Encoder(base.tokenizer, template, max_pair_tokens=512))
    said = [base.tokenizer.decode(example.tokens[: example.answer_start]) for example in examples]
    assert said == [template.question(question) for question in unanswerable_questions()]
    answers = {base.tokenizer.decode(example.tokens[example.answer_start :]) for example in examples}
    assert len(answers) == 1
    assert answers.pop().startswith(ANSWER)


def test_no_question_is_asked_twice_and_none_is_among_the_unrelated_ones():
    questions = unanswerable_questions()
    assert len(set(questions)) == len(questions) >= 100
    assert not set(questions) & set(unrelated_questions())
