"""Turns the seconds that a job's stages took into spans: which stage ran from when to when."""

from dataclasses import dataclass

from lift import values


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One stage of a job, in seconds since the job was accepted."""

    stage: str
    start_seconds: float
    end_seconds: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end_seconds - self.start_seconds


def spans(seconds: values.StageSeconds) -> tuple[Span, ...]:
    """The stages that have begun, in order; one that is running ends where the job last said so.

    Up to training, each stage starts where the one before it ended. The end of a job that is ready is known exactly, so
    the last three stages are placed from there.
    """
    claimed = seconds.queue
    read = claimed + seconds.extract
    warm = read + seconds.warm_up
    trained_from = warm + (seconds.first_step or seconds.first_pair)
    trained = max(trained_from + seconds.train, warm + seconds.generate)
    loaded = seconds.total - seconds.measure
    published = (loaded - seconds.load) if seconds.total else trained + seconds.publish
    publishing_from = max(published - seconds.publish, 0.0) if seconds.total else trained
    placed = (
        ("queue", 0.0, claimed),
        ("extract", claimed, read),
        ("warm up", read, warm),
        ("first pair", warm, warm + seconds.first_pair),
        ("generate", warm, warm + seconds.generate),
        ("train", trained_from, trained_from + seconds.train),
        ("publish", publishing_from, publishing_from + seconds.publish),
        ("load", published, published + seconds.load),
        ("measure", published + seconds.load, published + seconds.load + seconds.measure),
    )
    return tuple(Span(stage=stage, start_seconds=start, end_seconds=end) for stage, start, end in placed if end > start)
