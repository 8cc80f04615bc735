"""What an application of the soak is."""
from dataclasses import dataclass, field
from typing import Callable


@dataclass(frozen=True)
class Application:
    """`run(stage)` drives it once; what it says there must be the same bare and recorded.

    `needs` are commands; `processes` is how many are recorded at least. `namespaces`: its processes have ids of their own, so that
    they cannot be told by them. `user`: runs as nobody if the soak is root's. `deep`: it loads libraries with RTLD_DEEPBIND, whose frees
    go past every preloaded library, so that blocks of the rest of the program seem to be handed out twice.
    """

    name: str
    needs: list[str]
    run: Callable
    packages: list[str] = field(default_factory=list)
    processes: int = 1
    user: bool = False
    namespaces: bool = False
    deep: bool = False
