"""Hooks: what is done beside the learning itself, each watching one learner."""

from assignbench.engine.hooks.base import Hook
from assignbench.engine.hooks.checkpoint import Checkpoint
from assignbench.engine.hooks.guard import Guard
from assignbench.engine.hooks.heartbeat import Heartbeat
from assignbench.engine.hooks.idle import Idle
from assignbench.engine.hooks.log import Log, Tell
from assignbench.engine.hooks.probes import Probes

__all__ = ["Checkpoint", "Guard", "Heartbeat", "Hook", "Idle", "Log", "Probes", "Tell"]
