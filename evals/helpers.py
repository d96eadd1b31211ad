"""Models that some methods need beside the stack: they run here, by packages that `lift-server` does not install.

Each is used by one thread at a time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from lift.errors import InvalidOption

OPTIONS = {"llamaindex": "embedding-model", "llmlingua": "compressor-model"}
"""Methods, and the option that names the model of each."""

CHUNK_TOKENS = 128


class Compressor:
    """Leaves out of a text what a language model finds easy to guess (LLMLingua: Jiang et al., 2023)."""

    def __init__(self, model: str) -> None:
        """`model`: a causal language model's folder or Hugging Face id. InvalidOption: it cannot be had."""
        self._compressor = _had("llmlingua", model, "llmlingua", _llmlingua)
        self._lock = Lock()

    def compressed(self, text: str, rate: float) -> str:
        """About that share of the text's tokens, whole paragraphs left out first."""
        with self._lock:
            found = self._compressor.compress_prompt(text.split("\n\n"), rate=rate)
        return str(found["compressed_prompt"])


class Embedder:
    """Makes indexes of texts with LlamaIndex, by the vectors of an embedding model."""

    def __init__(self, model: str) -> None:
        """`model`: a folder or Hugging Face id that sentence-transformers can load. InvalidOption: it cannot be had."""
        self._embedding = _had("llamaindex", model, "llama-index-embeddings-huggingface", _embedding)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Helpers:
    """Those that were named."""

    compressor: Compressor | None = None
    embedder: Embedder | None = None


NO_HELPERS = Helpers()


def helpers(models: Mapping[str, str]) -> Helpers:
    """Those of the methods whose model is given. InvalidOption: one cannot be had."""
    return Helpers(
        compressor=Compressor(models["llmlingua"]) if "llmlingua" in models else None,
        embedder=Embedder(models["llamaindex"]) if "llamaindex" in models else None,
    )


def _had(method: str, model: str, package: str, load: Callable[[str], Any]) -> Any:
    try:
        return load(model)
    except ImportError as error:
        needs = f"the package {package}, of a version that fits the others"
        raise InvalidOption(option=OPTIONS[method], value=model, needs=needs) from error
    except (OSError, ValueError, RuntimeError) as error:
        problem = next(iter(str(error).splitlines()), type(error).__name__)
        raise InvalidOption(option=OPTIONS[method], value=model, problem=problem) from error


def _llmlingua(model: str) -> Any:
    import torch
    from llmlingua import PromptCompressor

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return PromptCompressor(model, device, model_config={"trust_remote_code": False})


def _embedding(model: str) -> Any:
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    return HuggingFaceEmbedding(model)
