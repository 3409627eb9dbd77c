"""Containers that were started with a way out: told once each, from their bundle, used or not."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.support.processes import require, shares_namespace, status
from tests.support.stage import INFO, LOW, MEDIUM, Act, Expected, Outcome, Stage

CAP_SYS_ADMIN, CAP_SYS_MODULE = 21, 16


def shared(kind: str, option: str) -> Callable[[Stage], AbstractContextManager[Outcome]]:
    """A container that was given one of the host's namespaces."""

    @contextmanager
    def perform(stage: Stage) -> Iterator[Outcome]:
        with stage.container(option) as container:
            require(shares_namespace(container.pid, kind), f"it has not got the host's {kind} namespace")
            yield Outcome(container.id)

    return perform


def granted(number: int, name: str) -> Callable[[Stage], AbstractContextManager[Outcome]]:
    """A container that was given one capability with which a host can be taken over."""

    @contextmanager
    def perform(stage: Stage) -> Iterator[Outcome]:
        with stage.container(f"--cap-add={name}") as container:
            require(int(status(container.pid)["CapBnd"], 16) >> number & 1, f"it has not got {name}")
            yield Outcome(container.id, text=name)

    return perform


@contextmanager
def privileged(stage: Stage) -> Iterator[Outcome]:
    """`docker run --privileged`: everything at once."""
    with stage.privileged() as container:
        require(int(status(container.pid)["CapBnd"], 16) >> CAP_SYS_MODULE & 1, "it has not got every capability")
        require(status(container.pid)["Seccomp"] == "0", "it has a seccomp filter")
        yield Outcome(container.id)


ACTS = (
    Act("share_host_pid", shared("pid", "--pid=host"), (Expected("HW-302", LOW),)),
    Act("share_host_ipc", shared("ipc", "--ipc=host"), (Expected("HW-302", LOW),)),
    Act("share_host_uts", shared("uts", "--uts=host"), (Expected("HW-302", LOW),)),
    Act("share_host_net", shared("net", "--network=host"), (Expected("HW-302", INFO),)),
    Act("grant_sys_admin", granted(CAP_SYS_ADMIN, "SYS_ADMIN"), (Expected("HW-303", MEDIUM),)),
    Act("grant_sys_module", granted(CAP_SYS_MODULE, "SYS_MODULE"), (Expected("HW-303", MEDIUM),)),
    Act("privileged", privileged, (Expected("HW-303", MEDIUM),)),
)
