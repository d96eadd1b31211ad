"""Models that some methods need beside the stack: they run here, by packages that `lift-server` does not install.

Each is used by one thread at a time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TypeAlias

from lift.errors import InvalidOption

CHUNK_TOKENS = 128


class Compressor:
    """Leaves out of a text what a language model finds easy to guess (LLMLingua: Jiang et al., 2023)."""

    def __init__(self, model: str) -> None:
        """`model`: a causal language model's folder or Hugging Face id. Raises what its package does."""
        import torch
        from llmlingua import PromptCompressor

        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._compressor = PromptCompressor(model, device, model_config={"trust_remote_code": False})
        self._lock = Lock()

    def compressed(self, text: str, rate: float) -> str:
        """About that share of the text's tokens, whole paragraphs left out first."""
        with self._lock:
            found = self._compressor.compress_prompt(text.split("\n\n"), rate=rate)
        return str(found["compressed_prompt"])


class Embedder:
    """Makes indexes of texts with LlamaIndex, by the vectors of an embedding model."""

    def __init__(self, model: str) -> None:
        """`model`: a folder or Hugging Face id that sentence-transformers can load. Raises as Compressor does."""
        from llama_index.embeddings.huggingface import HuggingFaceEmbedding

        self._embedding = HuggingFaceEmbedding(model)
        self._lock = Lock()

    def best(self, text: str, count: int) -> Callable[[str], tuple[str, ...]]:
        """Finds for a question the `count` chunks of the text whose vectors are nearest, in the order of the text."""
        from llama_index.core import Document, VectorStoreIndex
        from llama_index.core.node_parser import SentenceSplitter

        nodes = SentenceSplitter(chunk_size=CHUNK_TOKENS, chunk_overlap=0)([Document(text=text)])
        with self._lock:
            index = VectorStoreIndex(nodes, embed_model=self._embedding)
        retriever = index.as_retriever(similarity_top_k=count)

        def found(question: str) -> tuple[str, ...]:
            with self._lock:
                ranked = retriever.retrieve(question)
            chosen = {each.node.node_id for each in ranked}
            return tuple(node.get_content() for node in nodes if node.node_id in chosen)

        return found


LocalModel: TypeAlias = Compressor | Embedder


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """What a method needs: the option that names its model, the package that runs it, and what loads it."""

    option: str
    package: str
    load: Callable[[str], LocalModel]


NEEDED = {
    "llamaindex": Needed(option="embedding-model", package="llama-index-embeddings-huggingface", load=Embedder),
    "llmlingua": Needed(option="compressor-model", package="llmlingua", load=Compressor),
}
"""By method."""


def loaded(models: Mapping[str, str]) -> Mapping[str, LocalModel]:
    """The models of methods, by method. InvalidOption: one cannot be had."""
    return {method: _loaded(NEEDED[method], model) for method, model in models.items()}


def _loaded(needed: Needed, model: str) -> LocalModel:
    try:
        return needed.load(model)
    except ImportError as error:
        needs = f"the package {needed.package}, of a version that fits the others"
        raise InvalidOption(option=needed.option, value=model, needs=needs) from error
    except (OSError, ValueError, RuntimeError) as error:
        problem = next(iter(str(error).splitlines()), type(error).__name__)
        raise InvalidOption(option=needed.option, value=model, problem=problem) from error
