"""A Phasegraph plugin: the sink ``level-meter`` and the compensator ``proportional``."""

from phasegraph import hookimpl


@hookimpl
def register_sinks():
    from .meter import KIND

    return [KIND]


@hookimpl
def register_compensators():
    from .proportional import KIND

    return [KIND]
