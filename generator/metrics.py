"""What a generator counts for Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

from lift.serving.metrics import SECONDS

DOCUMENTS = Gauge("lift_generator_documents", "Documents that are being written about.")
SENTENCES = Counter(
    "lift_generator_sentences", "Sentences that are done with: covered, without a pair, or failed.", ["outcome"]
)
PAIRS = Counter("lift_generator_pairs", "Pairs written, by kind.", ["kind"])
REFUSED = Counter(
    "lift_generator_pairs_refused",
    "Questions that were written and not kept: unfit to be asked or near another (unfit), not answered with their "
    "answer by the LLM (not_given_back), asked before in the same stream (repeated).",
    ["reason"],
)
LLM_CALL_SECONDS = Histogram(
    "lift_generator_llm_call_seconds",
    "Requests to the endpoint, their retries included: answered, failed, unavailable, or left by who asked.",
    ["outcome"],
    buckets=SECONDS,
)
LLM_TOKENS = Counter(
    "lift_generator_llm_tokens", "What the endpoint says that requests cost: prompt or completion.", ["direction"]
)
