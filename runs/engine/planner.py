"""The planner: from the definition and the state of a run to what has to happen now. Total, deterministic, idempotent."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from runs.engine.commands import (
    CancelStep,
    CloseContainer,
    Command,
    CompleteWait,
    DecideByDefault,
    EndItem,
    Failure,
    FinishRun,
    MoreItems,
    OpenItem,
    SkipStep,
    StartStep,
)
from runs.engine.graph import Graph
from runs.engine.items import Items, ItemStatus
from runs.engine.readiness import Ready, Verdict, has_fired, is_left_behind, readiness
from runs.engine.scopes import ItemPlace, Place, enclosing, item_of
from runs.engine.state import RunState, StepState
from runs.engine.statuses import Intent, RunStatus, Skip, StepStatus, Wait
from workflows.definition.graph import Losers


def plan(
    graph: Graph, state: RunState, now: datetime, touched: Iterable[Place] | None = None
) -> tuple[Command, ...]:
    """What has to happen now.

    `touched` names the places that changed since the last plan was carried out: only they and what follows from them
    are looked at, so that the cost of a step does not grow with the run. None looks at everything; both answer the
    same for a state whose last plan was carried out (a property test holds them to it).

    1. A run that is over wants nothing. Cancelling ends every unfinished step and the run.
    2. A step that ends the run (a filter) ends every other unfinished step and the run, as completed.
    3. A run whose time is up ends every unfinished step and has failed.
    4. Delays that are due complete, also while paused; gates that are due take their default decision, if they have one.
    5. A failure that holds: nothing new starts; when nothing is running any more, the run has failed.
    6. In topological order: steps that are off or that no path can reach are skipped, ready ones started (not while
       paused), and where a join has fired, what can only lead to it is cancelled.
    7. Items whose bodies have come to an end are ended, as many others opened as there are slots, and containers
       that are through with their items closed.
    8. When every step of the top level has come to an end, the run is completed.
    """
    if state.status.is_over:
        return ()
    if state.intent is Intent.CANCEL:
        return (*_cancel_rest(graph, state), FinishRun(RunStatus.CANCELLED))
    look = _all_places(graph, state) if touched is None else _affected(graph, touched)
    for place in look:
        step = state.get(*place)
        if not place.scope and step is not None and step.ends_run and step.status is StepStatus.COMPLETED:
            return (*_cancel_rest(graph, state), FinishRun(RunStatus.COMPLETED, ended_by=step.place))
    if state.deadline is not None and state.deadline <= now:
        return (*_cancel_rest(graph, state), FinishRun(RunStatus.FAILED, failure=Failure.OUT_OF_TIME))
    due = [step for step in state.waiting() if step.due_at is not None and step.due_at <= now]
    due.sort(key=lambda step: (step.due_at or now, step.place))
    timers: list[CompleteWait | DecideByDefault | StartStep] = [
        CompleteWait(step.place, step.round) for step in due if step.wait is Wait.DELAY
    ]
    holding = _holding(graph, state, "")
    if holding:
        if not state.busy and not timers:
            return (FinishRun(RunStatus.FAILED, failed=tuple(step.place for step in holding)),)
        return tuple(timers)
    paused = state.intent is Intent.PAUSE
    if not paused:
        # What a failure holds in its own scope waits for that item's end.
        free = [step for step in due if not step.scope or not _held_scopes(graph, state, step.scope)]
        timers.extend(DecideByDefault(step.place, step.round) for step in free if step.wait is Wait.REVIEW)
        timers.extend(
            StartStep(step.place, step.round, step.attempt + 1, ())
            for step in free
            if step.wait is Wait.RETRY
        )
    pass_ = _Pass(graph, state, starts_allowed=not paused)
    decided = pass_.run(look)
    # A timer that comes due in the moment in which its step loses a race: the race wins, a step ends once.
    lost = {command.place for command in decided if isinstance(command, CancelStep)}
    commands: list[Command] = [timer for timer in timers if timer.place not in lost]
    commands.extend(decided)
    if state.terminal + pass_.ended[""] >= graph.total:
        commands.append(FinishRun(RunStatus.COMPLETED))
    elif not commands and not state.busy and not state.waiting() and touched is None and not pass_.withheld:
        # Cannot happen for a checked definition; if it ever does, the run says so instead of hanging.
        commands.append(FinishRun(RunStatus.FAILED, failure=Failure.STUCK))
    return tuple(commands)


@dataclass(frozen=True, slots=True)
class Rest:
    """Why a run rests: its status, when to look again (None: only when called), and the steps it waits for."""

    status: RunStatus
    wake_at: datetime | None
    waiting: tuple[StepState, ...]
    paused_by_person: bool = False


def resting(graph: Graph, state: RunState) -> Rest:
    """How a run that has nothing in flight rests (07 §4, run status).

    Paused: held by a person, or the only remaining work waits for people. Otherwise running, a lone timer included.
    A gate's own due date does not count as work. While paused by a person delays still complete, the rest is held;
    so it is while a failure holds the run and the last tries end.
    """
    waiting = sorted(state.waiting(), key=lambda step: graph.order.get(step.key, 0))
    paused = state.intent is Intent.PAUSE
    held = paused or bool(_holding(graph, state, ""))
    timers = [
        step.due_at for step in waiting if step.due_at is not None and (step.wait is Wait.DELAY or not held)
    ]
    if state.deadline is not None:
        timers.append(state.deadline)
    wake_at = min(timers) if timers else None
    only_people = bool(waiting) and all(step.wait is Wait.REVIEW for step in waiting)
    status = RunStatus.PAUSED if paused or only_people else RunStatus.RUNNING
    return Rest(status, wake_at, tuple(waiting), paused_by_person=paused)


@dataclass(frozen=True, slots=True)
class Rewind:
    """What a retry sets back: new rounds of steps, containers that open again, and their items that begin again.

    `reopened` containers keep the items that are done; `superseded` ones begin with new items.
    """

    rounds: tuple[StepState, ...] = ()
    reopened: tuple[StepState, ...] = ()
    items: tuple[ItemPlace, ...] = ()
    superseded: tuple[Place, ...] = ()


def rewind(
    graph: Graph,
    state: RunState,
    from_step: str | None,
    items_of: Mapping[str, frozenset[int]] | None = None,
    *,
    anew: Mapping[str, frozenset[int]] | None = None,
) -> Rewind:
    """New rounds for a retry: the failed steps and those that were cut short when the run's time was up; with
    `from_step` also that step and everything after it that has begun.

    Steps that have not begun need no new round: they are planned as ever. Old rounds stay as they were, and so do
    steps that lost a race. A container that failed opens again and keeps its finished items (D11). `items_of`: of these
    containers the items with these indexes and those that never came to an end of their own: of the failed ones only
    these. Items that `anew` names by container begin from their first step, since they got another value.
    """
    lost = {key for losers in graph.losers.values() for key in losers}
    again: set[str] = set()
    if from_step is not None:
        again = {from_step, *graph.definition.descendants(from_step)}
    rounds: list[StepState] = []
    reopened: list[StepState] = []
    items: list[ItemPlace] = []
    superseded: list[Place] = []
    top = sorted((step for step in state if not step.scope), key=lambda step: graph.order.get(step.key, 0))
    for step in top:
        if step.key in again:
            if step.status is not StepStatus.PENDING:
                rounds.append(_fresh(step))
            if graph.body(step.key):
                superseded.append(step.place)
                rounds.extend(_fresh(inner) for inner in state.steps_within(step.place))
        elif _was_cut_short(step, lost):
            if state.items(step.place) is None:
                rounds.append(_fresh(step))
            else:
                only = (items_of or {}).get(step.key)
                _reopen(
                    graph,
                    state,
                    step,
                    lost,
                    rounds,
                    reopened,
                    items,
                    only=only,
                    anew=(anew or {}).get(step.key, frozenset()),
                )
    return Rewind(tuple(rounds), tuple(reopened), tuple(items), tuple(superseded))


def _reopen(
    graph: Graph,
    state: RunState,
    container: StepState,
    lost: set[str],
    rounds: list[StepState],
    reopened: list[StepState],
    items: list[ItemPlace],
    *,
    only: frozenset[int] | None = None,
    anew: frozenset[int] = frozenset(),
) -> None:
    """Open a container again: its items that did not complete begin again where they stopped; of those that failed
    `only` these."""
    found = state.items(container.place)
    assert found is not None
    reopened.append(
        StepState(
            key=container.key,
            scope=container.scope,
            round=container.round + 1,
            status=StepStatus.RUNNING,
            wait=Wait.ITEMS,
        )
    )
    for item in found.items:
        if item.status in (ItemStatus.COMPLETED, ItemStatus.PENDING):
            continue
        # What the container gave up when too many had failed is nobody's choice to leave out.
        if only is not None and item.index not in only and item.status is not ItemStatus.CANCELLED:
            continue
        place = found.item_place(item.index)
        items.append(place)
        if item.index in anew:
            rounds.extend(_all_within(graph, state, container.key, place.scope))
            continue
        for key in graph.body(container.key):
            step = state.get(key, place.scope)
            if step is None or not _was_cut_short(step, lost):
                continue
            if state.items(step.place) is None:
                rounds.append(_fresh(step))
            else:
                _reopen(graph, state, step, lost, rounds, reopened, items)


def rewind_to(graph: Graph, state: RunState, place: Place, *, itself: bool = True) -> Rewind:
    """New rounds of a step and of everything after it in its scope that has begun; without `itself` only of the latter.

    A container among them begins with new items. A join after them waits until they are decided again.
    """
    again = graph.definition.descendants(place.key) | ({place.key} if itself else set())
    rounds: list[StepState] = []
    for key in sorted(again, key=lambda key: graph.order.get(key, 0)):
        step = state.get(key, place.scope)
        if step is None:
            continue
        if step.status is not StepStatus.PENDING:
            rounds.append(_fresh(step))
        if graph.body(key):
            rounds.extend(_begun_within(state, step.place))
    return Rewind(tuple(rounds))


def rewind_items(
    graph: Graph, state: RunState, container: Place, indexes: frozenset[int], *, anew: bool
) -> Rewind:
    """Items of an open container that begin again: those of these that are over. What completed in them is kept,
    unless `anew`. Completed items begin again only `anew`."""
    found = state.items(container)
    assert found is not None
    lost = {key for losers in graph.losers.values() for key in losers}
    rounds: list[StepState] = []
    items: list[ItemPlace] = []
    for item in found.items:
        if item.index not in indexes or not item.status.is_terminal:
            continue
        if item.status is ItemStatus.COMPLETED and not anew:
            continue
        place = found.item_place(item.index)
        items.append(place)
        if anew:
            rounds.extend(_all_within(graph, state, container.key, place.scope))
            continue
        for key in graph.body(container.key):
            step = state.get(key, place.scope)
            if step is not None and _was_cut_short(step, lost):
                rounds.append(_fresh(step))
                rounds.extend(_begun_within(state, step.place) if graph.body(key) else ())
    return Rewind(tuple(rounds), items=tuple(items))


def stop_items(
    graph: Graph, state: RunState, container: Place, only: frozenset[int] | None
) -> tuple[Command, ...]:
    """End the unfinished items of an open container (`only` these) with everything that they have begun: finished ones
    stay, and the container is closed by its own rules in the plan that follows."""
    items = state.items(container)
    pass_ = _Pass(graph, state, starts_allowed=False)
    commands: list[Command] = []
    for item in items.unfinished() if items is not None else ():
        if only is None or item.index in only:
            commands.extend(pass_._cancel_item(ItemPlace(container, item.index)))
    return tuple(commands)


def _all_within(graph: Graph, state: RunState, container: str, scope: str) -> list[StepState]:
    """Fresh rounds of everything that has begun in one item, at any depth."""
    rounds: list[StepState] = []
    for key in graph.body(container):
        step = state.get(key, scope)
        if step is None:
            continue
        if step.status is not StepStatus.PENDING:
            rounds.append(_fresh(step))
        if graph.body(key):
            rounds.extend(_begun_within(state, step.place))
    return rounds


def _begun_within(state: RunState, container: Place) -> list[StepState]:
    return [_fresh(step) for step in state.steps_within(container) if step.status is not StepStatus.PENDING]


def _was_cut_short(step: StepState, lost: set[str]) -> bool:
    if step.status is StepStatus.FAILED:
        return step.port is None
    return step.status is StepStatus.CANCELLED and step.key not in lost


def _fresh(step: StepState) -> StepState:
    return StepState(key=step.key, scope=step.scope, round=step.round + 1)


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A step that was running when its driver was lost; `blamed`: it has stopped its worker too often to try again."""

    step: StepState
    blamed: bool


def interrupted(state: RunState, crash_limit: int) -> tuple[Interrupted, ...]:
    """What becomes of steps that were running when their driver was lost: made again under the same number.

    The crash is counted on the step, not as a try. After two the shell makes it alone in a child process, whose end
    blames it; `crash_limit` is for what takes its worker along all the same.
    """
    after: list[Interrupted] = []
    for step in sorted(state.running(), key=lambda s: s.place):
        crashes = step.crashes + 1
        again = step.but(status=StepStatus.QUEUED, crashes=crashes)
        after.append(Interrupted(again, blamed=crashes >= crash_limit))
    return tuple(after)


def _all_places(graph: Graph, state: RunState) -> list[Place]:
    places = [Place(key) for key in (*graph.top_off, *graph.body(None))]
    for container in state.open_containers():
        items = state.items(container.place)
        if items is None:
            continue
        for item in items.items:
            if item.status is ItemStatus.RUNNING:
                scope = items.item_place(item.index).scope
                places.extend(Place(key, scope) for key in graph.body(container.key))
    return places


def _affected(graph: Graph, touched: Iterable[Place]) -> list[Place]:
    places: dict[Place, None] = {}
    for place in touched:
        places[place] = None
        for edge in graph.outgoing(place.key):
            places[Place(edge.target, place.scope)] = None
    return list(places)


def _holding(graph: Graph, state: RunState, scope: str) -> list[StepState]:
    """Failures that hold one scope, apart from those of steps that lost a race which goes on without them."""
    failed = state.failed_without_way_out(scope)
    if not failed:
        return []
    lookup = _lookup(state, scope)
    return sorted(
        (step for step in failed if not is_left_behind(graph, step.key, lookup)), key=lambda step: step.place
    )


def _held_scopes(graph: Graph, state: RunState, scope: str) -> bool:
    """Whether a failure holds this scope or one around it."""
    return any(_holding(graph, state, level) for level in enclosing(scope))


def _lookup(state: RunState, scope: str) -> Callable[[str], StepState | None]:
    return lambda key: state.get(key, scope)


def _cancel_rest(graph: Graph, state: RunState) -> list[Command]:
    """Cancel commands for everything that has begun and not ended; what never began needs no row."""
    commands: list[Command] = []
    for container in sorted(state.open_containers(), key=lambda step: step.place):
        items = state.items(container.place)
        for item in items.unfinished() if items is not None else ():
            commands.append(EndItem(items.item_place(item.index), cancelled=True))  # type: ignore[union-attr]
    open_steps = [step for step in state if not step.status.is_terminal]
    open_steps.sort(key=lambda step: (graph.order.get(step.key, 0), step.scope))
    commands.extend(CancelStep(step.place, step.round) for step in open_steps)
    return commands


class _Pass:
    """One sweep over the places that may have changed; what it decides feeds what follows.

    Steps first, in topological order scope by scope; then the items whose scopes were looked at, then their
    containers, which may open further items, whose first steps are looked at in turn.
    """

    def __init__(self, graph: Graph, state: RunState, *, starts_allowed: bool) -> None:
        self.graph = graph
        self.state = state
        self.starts_allowed = starts_allowed
        self.overlay: dict[Place, StepState] = {}
        self.ended: Counter[str] = Counter()
        self.started: Counter[str] = Counter()
        self.withheld = 0
        self.heap: list[tuple[int, Place]] = []
        self.queued: set[Place] = set()
        self.scopes: dict[str, None] = {}
        self.containers: dict[Place, None] = {}
        self.ended_items: dict[ItemPlace, ItemStatus] = {}
        self.opened_items: dict[ItemPlace, None] = {}
        self.held: dict[str, bool] = {}
        self.closed: set[Place] = set()
        # Items that were opened and ended in one breath: they never held a slot.
        self.passed_through: set[ItemPlace] = set()

    def run(self, places: Iterable[Place]) -> list[Command]:
        commands: list[Command] = []
        for place in places:
            self._look_at(place)
        while self.heap or self.scopes or self.containers:
            if self.heap:
                _, place = heapq.heappop(self.heap)
                self.queued.discard(place)
                commands.extend(self._decide(place))
            elif self.scopes:
                scope = max(self.scopes, key=lambda scope: (scope.count("["), scope))
                del self.scopes[scope]
                commands.extend(self._end_item(scope))
            else:
                # Inner ones first: what they begin gives the item around them its slot back.
                container = max(self.containers, key=lambda place: (place.scope.count("["), place))
                del self.containers[container]
                commands.extend(self._work_through(container))
        return commands

    def state_of(self, place: Place) -> StepState | None:
        return self.overlay.get(place) or self.state.get(*place)

    def _lookup(self, scope: str) -> Callable[[str], StepState | None]:
        return lambda key: self.state_of(Place(key, scope))

    def _look_at(self, place: Place) -> None:
        if place not in self.queued:
            self.queued.add(place)
            heapq.heappush(self.heap, (self.graph.order.get(place.key, -1), place))
        # What goes on in an item decides whether it has ended or holds a slot, and the same of the items around it.
        for level in enclosing(place.scope):
            item = item_of(level)
            assert item is not None
            self.scopes[level] = None
            self.containers[item.container] = None

    def _is_held(self, scope: str) -> bool:
        """Whether a failure holds this scope or one around it: nothing new starts there."""
        if scope not in self.held:
            self.held[scope] = _held_scopes(self.graph, self.state, scope)
        return self.held[scope]

    def _item_is_open(self, scope: str) -> bool:
        """Whether the item whose body this is has begun and not ended (at the top level: always)."""
        item = item_of(scope)
        if item is None:
            return True
        if item in self.ended_items or item.container in self.closed:
            return False
        if item in self.opened_items:
            return True
        container = self.state_of(item.container)
        items = self.state.items(item.container)
        return (
            container is not None
            and container.is_open
            and items is not None
            and item.index < len(items.items)
            and items.items[item.index].status is ItemStatus.RUNNING
        )

    # --- steps -----------------------------------------------------------------------------------

    def _decide(self, place: Place) -> list[Command]:
        key, scope = place
        now = self.state_of(place)
        if now is not None and now.is_open:
            self.containers[place] = None
        if now is not None and now.status not in (StepStatus.PENDING, StepStatus.QUEUED):
            return self._cancel_losers(place) if key in self.graph.losers and has_fired(now) else []
        round_ = now.round if now is not None else 0
        if key in self.graph.off:
            return self._skip(place, round_, Skip.OFF)
        if key not in self.graph.order or not self._item_is_open(scope) or self._is_held(scope):
            return []
        verdict = readiness(self.graph, key, self._lookup(scope))
        if verdict is Verdict.WAIT:
            return []
        if verdict is Verdict.SKIP:
            reason = Skip.JOIN if len(self.graph.incoming(key)) > 1 else Skip.BRANCH
            return self._skip(place, round_, reason)
        assert isinstance(verdict, Ready)
        if self._is_lost(place):
            return self._cancel(place, round_)
        if not self.starts_allowed:
            self.withheld += 1
            return []
        # A queued step is made again under its number: the try before was cut short, or never got a slot.
        attempt = now.attempt if now is not None and now.status is StepStatus.QUEUED else 1
        attempt = max(attempt, 1)
        self.overlay[place] = StepState(
            key=key, scope=scope, round=round_, status=StepStatus.RUNNING, attempt=attempt
        )
        for level in enclosing(scope):
            self.started[level] += 1
        return [StartStep(place, round_, attempt, verdict.inputs), *self._cancel_losers(place)]

    def _skip(self, place: Place, round_: int, reason: Skip) -> list[Command]:
        self._end(place, round_, StepStatus.SKIPPED)
        return [SkipStep(place, round_, reason)]

    def _cancel(self, place: Place, round_: int) -> list[Command]:
        before = self.state_of(place)
        inside = self._cancel_inside(place) if before is not None and before.is_open else []
        self._end(place, round_, StepStatus.CANCELLED)
        return [*inside, CancelStep(place, round_)]

    def _end(self, place: Place, round_: int, status: StepStatus) -> None:
        self.overlay[place] = StepState(key=place.key, scope=place.scope, round=round_, status=status)
        self.ended[place.scope] += 1
        for edge in self.graph.outgoing(place.key):
            self._look_at(Place(edge.target, place.scope))
        if place.scope:
            self.scopes[place.scope] = None

    def _cancel_inside(self, container: Place) -> list[Command]:
        """End the items of an open container and everything that they have begun."""
        self.closed.add(container)
        commands: list[Command] = []
        items = self.state.items(container)
        for item in items.unfinished() if items is not None else ():
            place = ItemPlace(container, item.index)
            if place not in self.ended_items:
                commands.extend(self._cancel_item(place))
        return commands

    def _cancel_item(self, item: ItemPlace) -> list[Command]:
        self.ended_items[item] = ItemStatus.CANCELLED
        return [*self._cancel_scope(item.scope), EndItem(item, cancelled=True)]

    def _cancel_scope(self, scope: str) -> list[Command]:
        """Cancel what has begun and not ended in one scope, and in the scopes within it."""
        commands: list[Command] = []
        item = item_of(scope)
        assert item is not None
        for key in self.graph.body(item.container.key):
            step = self.state_of(Place(key, scope))
            if step is not None and not step.status.is_terminal and step.status is not StepStatus.PENDING:
                commands.extend(self._cancel(step.place, step.round))
        return commands

    def _is_lost(self, place: Place) -> bool:
        """Whether a race that this step could only lead to is over, with losers cancelled."""
        return any(
            place.key in losers
            and self.graph.step(join).join.losers is Losers.CANCEL
            and has_fired(self.state_of(Place(join, place.scope)))
            for join, losers in self.graph.losers.items()
        )

    def _cancel_losers(self, join: Place) -> list[Command]:
        """When a racing join has fired, everything that can only lead to it is ended (unless it may finish)."""
        key, scope = join
        if key not in self.graph.losers or self.graph.step(key).join.losers is not Losers.CANCEL:
            return []
        commands: list[Command] = []
        for lost in sorted(self.graph.losers[key], key=lambda k: self.graph.order[k]):
            place = Place(lost, scope)
            loser = self.state_of(place)
            if loser is None or not loser.status.is_terminal:
                commands.extend(self._cancel(place, loser.round if loser is not None else 0))
        return commands

    # --- items and containers --------------------------------------------------------------------

    def _end_item(self, scope: str) -> list[Command]:
        """End an item whose body has come to an end, was ended by a filter, or is held by a failure."""
        item = item_of(scope)
        assert item is not None
        if not self._item_is_open(scope) or item in self.opened_items:
            return []
        body = self.graph.body(item.container.key)
        for key in body:
            step = self.state.get(key, scope)
            if step is not None and step.ends_run and step.status is StepStatus.COMPLETED:
                commands = self._cancel_scope(scope)
                return [*commands, self._ends(item, EndItem(item, ended_by=step.place), ItemStatus.COMPLETED)]
        holding = _holding(self.graph, self.state, scope)
        if holding:
            if self.state.busy_in(scope) or self.started[scope]:
                return []
            commands = self._cancel_scope(scope)
            failed = tuple(step.place for step in holding)
            return [*commands, self._ends(item, EndItem(item, failed=failed), ItemStatus.FAILED)]
        if self.state.terminal_in(scope) + self.ended[scope] >= len(body):
            return [self._ends(item, EndItem(item), ItemStatus.COMPLETED)]
        # It may have come to wait at a gate or timer, and so have left its slot to another.
        self.containers[item.container] = None
        return []

    def _ends(self, item: ItemPlace, command: EndItem, status: ItemStatus) -> EndItem:
        self.ended_items[item] = status
        self.containers[item.container] = None
        return command

    def _work_through(self, place: Place) -> list[Command]:
        """Close a container that is through, else open as many items as there are slots."""
        container, items = self.state_of(place), self.state.items(place)
        if container is None or not container.is_open or items is None or place in self.closed:
            return []
        ended = Counter(status for item, status in self.ended_items.items() if item.container == place)
        completed = items.count(ItemStatus.COMPLETED) + ended[ItemStatus.COMPLETED]
        failed = items.count(ItemStatus.FAILED) + ended[ItemStatus.FAILED]
        rules, total = items.rules, len(items.items)
        open_now = items.open - sum(ended.values())
        if rules.patient:
            # What nobody asked for again has no result either: a half result must not look whole.
            failed += items.count(ItemStatus.CANCELLED) + ended[ItemStatus.CANCELLED]
        if not rules.tolerance.allows(failed, total) and not (rules.patient and open_now):
            return [*self._cancel_inside(place), CloseContainer(place, container.round, failed=True)]
        if rules.needed is not None and completed >= rules.needed:
            return [*self._cancel_inside(place), CloseContainer(place, container.round)]
        if open_now == 0 and not rules.more:
            short = rules.needed is not None and completed < rules.needed
            return [CloseContainer(place, container.round, failed=short)]
        if self._is_held(place.scope):
            return []
        if not self.starts_allowed:
            self.withheld += 1
            return []
        if open_now == 0:
            return [MoreItems(place, container.round)]
        return self._open_items(place, items)

    def _open_items(self, place: Place, items: Items) -> list[Command]:
        opened = sum(1 for item in self.opened_items if item.container == place)
        ended = [
            item for item in self.ended_items if item.container == place and item not in self.passed_through
        ]
        running = items.count(ItemStatus.RUNNING) - len(ended) + opened
        if items.rules.in_order:
            free = 1 - running
        else:
            # An item that only waits leaves its slot to another.
            parked = sum(
                1
                for scope in self.state.parked_scopes(place)
                if not self.started[scope] and item_of(scope) not in self.ended_items
            )
            free = items.rules.concurrency - (running - parked)
        commands: list[Command] = []
        after = -1
        while free > 0 and (item := items.next_pending(after)) is not None:
            after = item.index
            found = ItemPlace(place, item.index)
            if found in self.opened_items or found in self.ended_items:
                continue
            commands.append(OpenItem(found))
            body = self.graph.body(place.key)
            if not body:
                # Every step inside is off: the item passes through.
                commands.append(self._ends(found, EndItem(found), ItemStatus.COMPLETED))
                self.passed_through.add(found)
                continue
            self.opened_items[found] = None
            free -= 1
            for key in body:
                self._look_at(Place(key, found.scope))
        return commands
