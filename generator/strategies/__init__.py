"""Ways to write questions, one file each, chosen by name."""

from generator.llm import Endpoint
from generator.pairs import Strategy
from generator.strategies.grounded import GroundedStrategy
from generator.strategies.sentence import SentenceStrategy
from lift.errors import InvalidOption
from lift.internal.v1 import generator_pb2 as pb

STRATEGIES = {strategy.name: strategy for strategy in (SentenceStrategy, GroundedStrategy)}


def strategy_of_request(request: pb.GenerateRequest, *, endpoint: Endpoint, default: str) -> Strategy:
    """The strategy that a request names, with its profile and prompt; `default` where it names none. InvalidOption."""
    name = request.strategy or default
    if name not in STRATEGIES:
        raise InvalidOption(field="strategy", value=name[:80], choices=", ".join(STRATEGIES))
    return STRATEGIES[name].of_request(
        endpoint=endpoint,
        name=request.profile,
        pairs_per_sentence=request.pairs_per_sentence,
        custom_prompt=request.custom_prompt,
    )
