"""The simulated world, whose truth is known: ``kernel simulate``, `phasegraph.testing` and all tests run in it.

| part | modules |
|---|---|
| time | `oscillator`, `local_clock`, `time_base`, `grandmaster`, `card_time` |
| network | `impairments`, `link`, `packet_arrivals`, `network`, `sim_sockets`, `sim_stamped` |
| sound card | `card_callbacks`, `signals`, `tone_signal` |
| nodes | `node_substitution`, `nodes`, `sim_plugin` |
| a run | `scenario`, `simulation_run`, `truth`, `compare` |
| one crossing in numbers | `drift_world`, `tracking_error` |

Nothing here is random but by a seed. Simulated time is trio's: run under a ``trio.testing.MockClock``, or with the
``autojump_clock`` fixture of pytest-trio.
"""
