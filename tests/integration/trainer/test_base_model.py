import torch

from lift.processor import dtype_for
from lift.template import PromptTemplate
from trainer import base_model


def test_the_embedded_base_model_is_prepared_from_its_wheel_and_answers(tmp_path):
    base_model.prepare_embedded(tmp_path / "model")
    base = base_model.load(str(tmp_path / "model"), "cpu", 0)
    assert base.model.dtype == getattr(torch, dtype_for("auto", on_cpu=True))
    template = PromptTemplate.for_vocabulary(base.tokenizer.get_vocab())
    prompt = base.tokenizer(template.question("What is the capital of France?"), return_tensors="pt")
    written = base.model.generate(**prompt, max_new_tokens=12, do_sample=False, pad_token_id=0)
    assert "Paris" in base.tokenizer.decode(written[0])
