"""Plugins are found here, asked for what they contribute, and told what a run does."""

import functools
import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ..support.errors import MtlError, UnknownNameError
from .checks import Kind, LeftOutError, misfit, reason_of
from .contributions import Contribution, PluginProblem, Source, beginnings, examine, warn
from .entry_points import EntryPoint, distribution_of, import_module_of, installed, normalized
from .given import absent, absent_factory, contribution, is_given
from .guard import Guard, exception_of
from .observing import examine_observer

if TYPE_CHECKING:
    from torch import nn

    from ..data.objectives import Objective
    from ..data.tasks import Suite
    from ..strategies.strategy import Strategy
    from .options import NamedOptions


class Plugins:
    """The plugins in use contribute names and are told what a run does.

    A new object has none; :meth:`load` finds the installed ones, :meth:`register` adds one. It has
    more than a dozen public names because each kind of contribution is asked for by its own name.

    Args:
        on_problem: function that is called with each plugin problem; default:
            :func:`warnings.warn`.

    Attributes:
        problems: all plugin problems so far.
    """

    def __init__(self, on_problem: Callable[[PluginProblem], None] | None = None) -> None:
        self.problems: list[PluginProblem] = []
        self._on_problem = on_problem or warn
        self._manager, self._contributions = beginnings()
        self._installed: dict[str, Source] = {}
        self._guards: dict[str, Guard] = {}

    @classmethod
    def load(cls, on_problem: Callable[[PluginProblem], None] | None = None) -> "Plugins":
        """Import all installed plugins one by one; a broken one is reported and left out."""
        plugins, found = cls(on_problem), installed()
        for entry in found.entries:
            plugins._load(entry)
        for bad in found.unreadable:
            plugins._report(PluginProblem(bad.plugin, bad.distribution, bad.reason))
        return plugins

    def _load(self, entry: EntryPoint) -> None:
        source = Source(entry.name, distribution_of(entry))
        try:
            module = import_module_of(entry)
            contributions, problems = examine(module, source, self._contributions)
        except LeftOutError as error:
            self._report(PluginProblem(source.plugin, source.distribution, str(error)))
            return
        key = f"{source.distribution}:{source.plugin}"
        self._manager.register(module, key)
        self._installed[key] = source
        self._contributions.update({(c.kind, c.name): c for c in contributions})
        for problem in problems:
            self._report(problem)

    def unregister(self, plugin: object) -> None:
        """Stop calling the hooks of a plugin that :meth:`register` has added."""
        self._manager.unregister(plugin)

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin from Python: a module, or any object with hooks.

        Unlike with an installed plugin, nothing about it may be wrong, and what its observing
        hooks raise goes to the caller.

        Raises:
            MtlError: naming the first fault; no plugin has been added then.
        """
        source = Source(name, "this program")
        if self._manager.has_plugin(name) or self._manager.is_registered(plugin):
            raise MtlError(f"{source}: it is registered already")
        try:
            contributions, problems = examine(plugin, source, self._contributions)
        except LeftOutError as error:
            raise MtlError(f"{source}: {error}") from error
        if problems:
            raise MtlError(str(problems[0]))
        self._manager.register(plugin, name)
        self._contributions.update({(c.kind, c.name): c for c in contributions})

    def give(self, kind: Kind, name: str, value: Any) -> None:
        """Add a Python object under its name in configs, ``python:NAME``; see :mod:`.given`.

        Raises:
            MtlError: if the object does not fit its kind.
        """
        self._contributions[kind, name] = contribution(kind, name, value)

    # -- names ---------------------------------------------------------------------------------

    def contributions(self, kind: Kind) -> list[Contribution]:
        """Return all contributions of one kind, sorted by name."""
        found = [c for c in self._contributions.values() if c.kind == kind]
        return sorted(found, key=lambda c: c.name)

    def names(self, kind: Kind) -> list[str]:
        """Return the names of one kind, sorted."""
        return [c.name for c in self.contributions(kind)]

    def strategy(self, name: str) -> "type[Strategy]":
        """Return the class of the strategy of that name.

        Raises:
            MtlError: if no plugin contributes the strategy, or its plugin is broken; with the
                reason.
        """
        if ("strategy", name) not in self._contributions and is_given(name):
            raise absent("strategy", name)
        strategy: type[Strategy] = self._named("strategy", name)
        return strategy

    def name_of(self, strategy: type) -> str | None:
        """Return the name of a class of strategies; ``None`` if no plugin contributes it."""
        place = f"{strategy.__module__}:{strategy.__qualname__}"
        names = [c.name for c in self.contributions("strategy") if c.value in (strategy, place)]
        return names[0] if names else None

    def backbone(self, name: str) -> "Callable[..., nn.Module] | None":
        """Return a plugin's factory of that name; ``None`` where timm has the model.

        Raises:
            MtlError: if neither knows the name.
        """
        import timm

        found = self._contributions.get(("backbone", name))
        if found is not None:
            factory: Callable[..., nn.Module] = self.resolved(found)
            return factory
        if is_given(name):
            return absent_factory("backbone", name)
        if timm.is_model(name):
            base, dot, _ = name.partition(".")
            tagged = timm.list_models(f"{base}.*", pretrained=True) if dot else [name]
            if name in tagged:
                return None
            raise self._unknown("backbone", name, [base, *tagged])
        raise self._unknown("backbone", name, [*self.names("backbone"), *timm.list_models()])

    @contextmanager
    def guarded_backbone(self, name: str) -> "Iterator[Callable[..., nn.Module] | None]":
        """Give what :meth:`backbone` returns; a guard watches its plugin inside the block."""
        factory = self.backbone(name)
        if ("backbone", name) not in self._contributions:  # timm's, or an object that is not there
            yield factory
            return
        with self.guard("backbone", name)("the backbone"):
            yield factory

    def suite(self, name: str) -> "Callable[..., Suite]":
        """Return a function that makes the suite of that name from options, which it checks.

        Raises:
            MtlError: if no plugin contributes the suite, or its plugin is broken; with the reason.
        """
        from ..data.tasks import Suite
        from ..support.arguments import check_arguments

        found = self._contributions.get(("suite", name))
        if found is None and is_given(name):
            return absent_factory("suite", name)
        if found is None:
            raise self._unknown("suite", name, self.names("suite"))
        factory: Callable[..., Suite] = self.resolved(found)
        guard = self.guard("suite", name)

        @functools.wraps(factory)
        def build(**options: Any) -> Suite:
            checked = check_arguments(factory, options, ("suite",))
            with guard("the suite's factory"):
                suite = factory(**checked)
            if not isinstance(suite, Suite):
                kind = type(suite).__name__
                raise MtlError(f"suite {name!r} of {found.source} should be a Suite, found {kind}")
            return suite

        return build

    def guard(self, kind: Kind, name: str) -> Guard:
        """Make the guard that calls the code of a contributed class or factory."""
        source = self._contributions[kind, name].source
        return self._guard_for(f"{kind} {name!r} of {source}", source)

    def observer(self, name: str) -> Callable[..., object]:
        """Return the factory of an observer, of its options; raises as :meth:`objective`."""
        factory: Callable[..., object] = self._named("observer", name)
        return factory

    def objective(self, name: str) -> "Callable[..., Objective]":
        """Return the factory of an objective: a function of a task and options.

        Raises:
            MtlError: if neither the framework nor a plugin has the objective, or its plugin is
                broken.
        """
        factory: Callable[..., Objective] = self._named("objective", name)
        return factory

    def head(self, name: str) -> "Callable[..., nn.Module]":
        """Return the factory of a head, see :func:`mtl_heads`; raises as :meth:`objective`."""
        factory: Callable[..., nn.Module] = self._named("head", name)
        return factory

    def _named(self, kind: Kind, name: str) -> Any:
        """Return the class or factory of a contribution, by its name."""
        found = self._contributions.get((kind, name))
        if found is None:
            raise self._unknown(kind, name, self.names(kind))
        return self.resolved(found)

    def _unknown(self, kind: Kind, name: str, known: list[str]) -> MtlError:
        for problem in self.problems:
            if problem.missing == (kind, name) or normalized(problem.plugin) == normalized(name):
                return MtlError(f"{kind} {name!r} is missing because of {problem}")
        broken = [str(p) for p in self.problems if p.missing is None]
        hint = f"see `mtl list {kind[:-1]}ies`" if kind == "strategy" else f"see `mtl list {kind}s`"
        if broken:
            hint += f"; not loaded: {'; '.join(broken)}"
        return UnknownNameError(kind, name, known, hint)

    def resolved(self, found: Contribution) -> Any:
        """Return the class or factory of a contribution, imported where only its place is known.

        Raises:
            MtlError: if the import fails, or the object does not fit its kind.
        """
        value = found.value
        what = f"{found.kind} {found.name!r} of {found.source}"
        if isinstance(value, str):
            module, _, attribute = value.partition(":")
            try:
                value = getattr(importlib.import_module(module), attribute)
            except (Exception, SystemExit) as error:
                raise MtlError(f"{what} cannot be imported: {reason_of(error)}") from error
        wrong = misfit(found.kind, value)
        if wrong:
            raise MtlError(f"{what} {wrong}")
        return value

    # -- telling -------------------------------------------------------------------------------

    def notify(self, hook: str, **values: Any) -> None:
        """Call an observing hook of every plugin that has it.

        An installed plugin that raises is reported once and gets no further calls: what only
        watches must not stop a run. Errors of plugins from :meth:`register` pass through.
        """
        implementations = getattr(self._manager.hook, hook).get_hookimpls()
        for implementation in reversed(implementations):  # pluggy's order: the last one first
            try:
                with self._guard_of(implementation.plugin_name)(hook):
                    implementation.function(*(values[name] for name in implementation.argnames))
            except Exception as error:
                source = self._installed.get(implementation.plugin_name)
                if source is None:
                    raise
                self._manager.unregister(implementation.plugin)
                reason = f"{hook} raised {reason_of(exception_of(error))}; it gets no further calls"
                self._report(PluginProblem(source.plugin, source.distribution, reason))

    @contextmanager
    def observing(self, wanted: "Sequence[NamedOptions]") -> Iterator[None]:
        """Tell the named observers what a run does, too, until the block ends.

        An observer that has a method ``close`` is closed then, however the block ends.

        Raises:
            MtlError: if an observer is unknown, has no hook, or does not accept its options.
        """
        from ..support.arguments import check_arguments

        with ExitStack() as stack:
            for position, named in enumerate(wanted):
                factory, key = self.observer(named.name), ("observers", str(position))
                options = check_arguments(factory, named.options, key)
                with self.guard("observer", named.name)("the observer's factory"):
                    observer = factory(**options)
                source = self._contributions["observer", named.name].source
                examine_observer(observer, f"observer {named.name!r} of {source}")
                label = f"observer {position}: {named.name}"
                self._manager.register(observer, label)
                self._installed[label] = source
                stack.callback(self._dismiss, observer, label)
            yield

    def _dismiss(self, observer: object, label: str) -> None:
        del self._installed[label]
        if self._manager.is_registered(observer):
            self._manager.unregister(observer)
        if hasattr(observer, "close"):
            observer.close()

    # -- asking --------------------------------------------------------------------------------

    def collect(
        self, hook: str, on_failure: Callable[[str], None], **values: Any
    ) -> list[tuple[Source, Any]]:
        """Return what every plugin with this hook gives, without ``None``, in order of loading.

        If an installed plugin raises, ``on_failure`` is called with one line; errors of plugins
        from :meth:`register` pass through.
        """
        found = []
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            source = self._installed.get(implementation.plugin_name)
            try:
                with self._guard_of(implementation.plugin_name)(hook):
                    given = implementation.function(*(values[n] for n in implementation.argnames))
                    if isinstance(given, Iterator):  # which raises only when it is asked
                        given = list(given)
            except Exception as error:
                if source is None:
                    raise
                on_failure(f"{source}: {hook} raised {reason_of(exception_of(error))}")
                continue
            if given is not None:
                found.append((source or Source(implementation.plugin_name, "this program"), given))
        return found

    def _guard_of(self, plugin_name: str) -> Guard:
        """Return the guard of a registered plugin's hooks; it is kept, so that it tells once."""
        if plugin_name not in self._guards:
            source = self._installed.get(plugin_name) or Source(plugin_name, "this program")
            self._guards[plugin_name] = self._guard_for(str(source), source)
        return self._guards[plugin_name]

    def _guard_for(self, who: str, source: Source) -> Guard:
        return Guard(who, lambda text: self._report(source.problem(text)), source.distribution)

    def _report(self, problem: PluginProblem) -> None:
        self.problems.append(problem)
        self._on_problem(problem)
