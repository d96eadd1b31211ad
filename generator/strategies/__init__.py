"""Ways to write questions, one file each, chosen by name."""

from generator.llm import Endpoint
from generator.pairs import Strategy
from generator.strategies.grounded import GroundedStrategy
from generator.strategies.raw import RawStrategy, RunsStrategy
from generator.strategies.sections import SectionStrategy
from generator.strategies.sentence import SentenceStrategy
from generator.strategies.together import Together
from lift.errors import InvalidOption
from lift.internal.v1 import generator_pb2 as pb
from lift.limits import STRATEGIES

_ASKING = {strategy.name: strategy for strategy in (SentenceStrategy, GroundedStrategy)}


def strategy_of_request(request: pb.GenerateRequest, *, endpoint: Endpoint, default: str) -> Strategy:
    """The strategy that a request names, with its profile and prompt; `default` where it names none. InvalidOption."""
    name = request.strategy or default
    if name not in STRATEGIES:
        raise InvalidOption(option="strategy", value=name[:80], expected=", ".join(STRATEGIES))
    if name == RawStrategy.name:
        return RawStrategy()
    asking, *added = name.split("+")
    strategy = _ASKING[asking].of_request(
        endpoint=endpoint,
        name=request.profile,
        pairs_per_sentence=request.pairs_per_sentence,
        custom_prompt=request.custom_prompt,
    )
    if not added:
        return strategy
    raw = [RunsStrategy()] if RawStrategy.name in added else []  # it costs nothing, so it comes first
    sections = [SectionStrategy(endpoint)] if SectionStrategy.name in added else []
    return Together(name, [*raw, strategy, *sections])
