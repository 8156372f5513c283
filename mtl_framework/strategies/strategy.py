"""Every way to share weights is a subclass of :class:`Strategy`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from ..networks.model import MultiTaskModel
from ..support.errors import MtlError
from .recipe import Recipe
from .recipe_optimizer import RecipeOptimizer
from .state import is_stateful, restored, snapshot
from .step import Step

if TYPE_CHECKING:
    from ..backbones.backbone import Backbone, PlainBackbone
    from ..data.tasks import Suite
    from .context import TrainedRun, TrainingRun


class StrategyConfig(BaseModel):
    """These are options of a strategy; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def options_before(cls, saved: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a run did whose saved options lack some of today's.

        It is for options whose default changes what a strategy does. A subclass adds its own to
        those of ``super()``.

        Args:
            saved: options as a run's ``config.yaml`` has them.
        """
        return {}


class Strategy(ABC):
    """A strategy decides which tasks use which weights, and drives their optimisation.

    A subclass names its options in ``Config``, builds its networks and optimisers in
    :meth:`build`, and owns its training loop in :meth:`optimize`. Everything that a resumed run
    needs lives on the object: networks, optimisers, schedulers, generators and other objects with
    ``state_dict`` are found among its attributes and saved. Every tensor, number or container that
    training changes is named by :meth:`register_state` in :meth:`build`.

    ``presets`` holds complete settings by name, e.g. those of the paper: dictionaries with the
    keys of a run's config file, which the user's own keys override. A strategy that compares tasks
    on the same examples sets ``needs_common_input``; the host then refuses other suites.
    ``check_options`` holds options with which ``mtl check-strategy`` tries it on its small network,
    for a strategy that cannot run there with its defaults.
    """

    Config: ClassVar[type[StrategyConfig]] = StrategyConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    needs_common_input: ClassVar[bool] = False
    check_options: ClassVar[Mapping[str, Any]] = {}

    network: MultiTaskModel

    def __init__(self, config: StrategyConfig | None = None, seed: int = 0) -> None:
        self.config: Any = self.Config() if config is None else config
        self.seed = seed
        self.recipe = Recipe()  # the host gives the run's before build

    @abstractmethod
    def build(self, backbone: Backbone, suite: Suite) -> MultiTaskModel:
        """Build the networks, and the optimisers over their parameters.

        The host calls it once, on the CPU, with torch's global generator seeded, and moves the
        networks to the device afterwards (parameters keep their identity).
        """

    def build_each(self, backbones: Sequence[PlainBackbone], suite: Suite) -> MultiTaskModel:
        """Build networks as :meth:`build` does, for tasks with backbones of their own.

        The host calls this instead of :meth:`build` where ``suite.common_backbone`` is False.

        Args:
            backbones: the backbones, one for each task, in the order of ``suite.tasks``.
            suite: the tasks; their inputs may differ in shape and dtype.

        Raises:
            MtlError: unless a subclass overrides this.
        """
        raise needs_one_backbone(type(self).__name__, suite)

    def warm_start(self, load: Callable[[str], TrainedRun]) -> None:  # noqa: B027  # most need none
        """Take over weights of earlier runs, for strategies that can.

        The host calls it once, when a run begins, after :meth:`build` and before anything is
        written; not when a run is resumed or loaded, so that the earlier runs may be gone by then.

        Args:
            load: loads the run in a folder, like :func:`load_run`.

        Raises:
            MtlError: if the earlier runs are not there or do not fit.
        """

    def make_optimizer(
        self,
        network: MultiTaskModel,
        name: str = "adam",
        learning_rate: float = 1e-3,
        **choices: Any,
    ) -> RecipeOptimizer:
        """Make an optimiser with everything that the section ``training`` of a run's config says.

        A strategy makes it in :meth:`build`, keeps it as an attribute, and uses it as any of
        torch's: ``zero_grad()``, gradients, ``step()``. What the config leaves out is as the
        strategy says here.

        Args:
            network: the network whose weights it moves.
            name: name of an optimiser in timm.
            learning_rate: learning rate of the weights.
            choices: ``groups``, ``weight_decay`` and the optimiser's own options, see
                :meth:`Recipe.make_optimizer`.

        Raises:
            MtlError: naming the key of ``training`` that does not fit.
        """
        return self.recipe.make_optimizer(network, name, learning_rate, **choices)

    @abstractmethod
    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Train: do one iteration, yield a :class:`Step`, and so on.

        The host stops asking after ``run.iterations`` steps. Returning earlier ends the run well,
        as ``run.stop(reason)`` does, which says why. After a resume this starts from its
        top, with :meth:`load_state_dict` done before: nothing that matters may live in local
        variables across a yield. Whenever it yields, ``self.network`` predicts with the
        strategy's current best choice.
        """

    def length_options(self) -> list[str]:
        """Name the options by which training depends on how many iterations the run has.

        A finished run that is given more iterations then differs from a run that had them from the
        start, and its user is told so. A strategy that reads ``run.iterations`` while it trains
        overrides this.
        """
        return []

    @classmethod
    def control_options(cls, config: StrategyConfig) -> Mapping[str, Any] | None:
        """Say what controls of a run have beside the options that bear the same names there.

        Controls train the assignment that a run has found, or tasks that roam
        (:mod:`mtl_framework.comparisons.controls`). A strategy overrides this if a time of its own
        is called otherwise there (``settle`` of ``roaming``), or if its assignments mean nothing to
        other strategies.

        Args:
            config: the options of the run.

        Returns:
            Options by name; those that a control's strategy does not have are left out. ``None``:
            no other strategy trains a control of a run.
        """
        return {}

    @classmethod
    def given_options(
        cls, config: StrategyConfig, matrix: Sequence[Sequence[int]]
    ) -> Mapping[str, Any] | None:
        """Say with which options this strategy itself trains an assignment as it is given.

        A strategy overrides this if it assigns other weights than units as a whole. Its controls
        *retrained* and *permuted* are then runs of its own, and it has no *roaming*, which would be
        of whole units; :meth:`control_options` is not asked.

        Args:
            config: the options of a run that has found an assignment.
            matrix: a row a unit, a column a task: tasks with equal numbers in a row share weights.

        Returns:
            All options, as a config has them, one of which gives the assignment
            (:class:`GivenAssignment`). ``None``: another strategy trains it.
        """
        return None

    def register_state(self, name: str, value: Any, *, persistent: bool = True) -> None:
        """Set an attribute, and save it with every checkpoint from now on.

        Call it in :meth:`build`; assign to the attribute as to any other afterwards.

        Args:
            name: name of the attribute.
            value: a tensor, number, string or ``None``, or a dict, list or tuple of them; networks,
                optimisers and generators may be among them, and then number and order of entries
                stay as they are.
            persistent: False for what changes but can be computed again from the rest of the
                strategy; it is not saved.

        Raises:
            MtlError: if it is no name of an attribute.
        """
        if not name.isidentifier():
            raise MtlError(f"register_state: {name!r} should be the name of an attribute")
        self._registered()[name] = persistent
        setattr(self, name, value)

    def _registered(self) -> dict[str, bool]:
        """Return the names of registered attributes, and whether each is saved."""
        registered: dict[str, bool] = vars(self).setdefault("_registered_state", {})
        return registered

    def state_dict(self) -> dict[str, Any]:
        """Return the state of every attribute that has one, in nested dicts and lists."""
        registered = self._registered()
        return {
            name: snapshot(value, f"{type(self).__name__}.{name}")
            for name, value in vars(self).items()
            if name != "_registered_state" and registered.get(name, is_stateful(value))
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned.

        A registered value that the state does not hold, because it was saved by an earlier version
        of the strategy, stays what :meth:`build` made it.

        Raises:
            MtlError: if the state does not name the same attributes, or holds something else than
                they do.
        """
        mine, registered = set(self.state_dict()), self._registered()
        odd = {name for name in mine ^ set(state) if name not in registered or name in state}
        if odd:
            names = ", ".join(sorted(map(str, odd)))
            raise MtlError(f"the saved state does not fit {type(self).__name__}: {names}")
        for name, saved in state.items():
            setattr(self, name, restored(getattr(self, name), saved, name))


def needs_one_backbone(strategy: str, suite: Suite) -> MtlError:
    """Make the error of a strategy whose tasks should have one backbone, but do not."""
    own = [task.name for task in suite.tasks if task.backbone is not None]
    shown = ", ".join(own[:3]) + (f" and {len(own) - 3} more" if len(own) > 3 else "")
    return MtlError(
        f"strategy {strategy!r} needs one backbone for all tasks; in suite {suite.name!r} {shown} "
        f"{'has its' if len(own) == 1 else 'have their'} own"
    )
