"""Ways to write questions, one file each, chosen by name."""

from generator.llm import Endpoint
from generator.pairs import Strategy
from generator.strategies.grounded import GroundedStrategy
from generator.strategies.raw import RawStrategy, WithRaw
from generator.strategies.sentence import SentenceStrategy
from lift.errors import InvalidOption
from lift.internal.v1 import generator_pb2 as pb

ASKING = {strategy.name: strategy for strategy in (SentenceStrategy, GroundedStrategy)}
ALSO_RAW = f"+{RawStrategy.name}"
STRATEGIES = (*ASKING, RawStrategy.name, *(f"{name}{ALSO_RAW}" for name in ASKING))


def strategy_of_request(request: pb.GenerateRequest, *, endpoint: Endpoint, default: str) -> Strategy:
    """The strategy that a request names, with its profile and prompt; `default` where it names none. InvalidOption."""
    name = request.strategy or default
    if name not in STRATEGIES:
        raise InvalidOption(field="strategy", value=name[:80], choices=", ".join(STRATEGIES))
    if name == RawStrategy.name:
        return RawStrategy()
    asking = ASKING[name.removesuffix(ALSO_RAW)].of_request(
        endpoint=endpoint,
        name=request.profile,
        pairs_per_sentence=request.pairs_per_sentence,
        custom_prompt=request.custom_prompt,
    )
    return WithRaw(asking) if name.endswith(ALSO_RAW) else asking
