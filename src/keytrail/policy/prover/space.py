"""The requests two policies can tell apart: groups of callers by groups of actions, and who is allowed, as formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from keytrail.policy.catalogue import Action, actions_of, catalogue
from keytrail.policy.conditions import consulted
from keytrail.policy.evaluate import names_caller, names_key
from keytrail.policy.model import KeyPolicy, Principal, PrincipalKind, Statement
from keytrail.policy.prover.classes import PrincipalClass
from keytrail.policy.prover.encode import Vocabulary
from keytrail.policy.prover.formulas import FALSE
from keytrail.policy.prover.slots import Free, Setting, Slot
from keytrail.policy.requests import CallerKind

_CALLER_KEYS = frozenset(
    {
        "kms:calleraccount",
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principaltype",
        "aws:username",
        "aws:userid",
        "aws:principalisawsservice",
        "aws:principalservicename",
        "aws:principalservicenameslist",
    }
)
_OWN_KEYS = ("aws:principalorg", "aws:resourceorg")


@dataclass(frozen=True, slots=True)
class Reach:
    """The statements about a class of callers, as bits: without and with IAM of its account, and undocumented."""

    direct: int
    delegated: int
    open: int


class Side:
    """One policy, its statements as bits, indexed by whom and what they name."""

    def __init__(self, policy: KeyPolicy | None, owner: str, key_arn: str | None = None) -> None:
        self.policy = policy
        self.variables = policy is not None and policy.has_variables
        named = [] if policy is None else [(s, names_key(s, owner, key_arn), actions_of(s)) for s in policy.statements]
        kept = [(s, key, actions) for s, key, actions in named if key is not False and actions]
        self.statements: tuple[Statement, ...] = tuple(statement for statement, _, _ in kept)
        self.open_resource = _bits(key is None for _, key, _ in kept)
        self.allows = _bits(statement.effect == "Allow" for statement in self.statements)
        self._by_action = {
            action.name: _bits(action.name in actions for _, _, actions in kept) for action in catalogue().key_actions()
        }
        self._principals: dict[tuple[PrincipalKind, str], int] = {}
        self._others: dict[tuple[PrincipalKind, str], int] = {}
        self._allow_others = self._deny_others = 0
        for index, statement in enumerate(self.statements):
            bit = 1 << index
            if statement.principals is not None:
                for principal in statement.principals:
                    _mark(self._principals, principal, bit)
            elif statement.not_principals is not None and statement.effect == "Allow":
                self._allow_others |= bit
                for principal in statement.not_principals:
                    _mark(self._others, principal, bit)
            elif statement.not_principals is not None:
                self._deny_others |= bit

    def for_action(self, action: str) -> int:
        """The statements about an action."""
        return self._by_action[action]

    def reach(self, group: PrincipalClass) -> Reach:
        """The statements about a class of callers; agrees with `names_caller` (1.2, 1.9)."""
        caller = group.caller
        own = [(PrincipalKind.EVERYONE, "*")]
        if caller.kind is CallerKind.SERVICE:
            own.append((PrincipalKind.SERVICE, caller.name.lower()))
        elif caller.kind is not CallerKind.ROOT:
            own.append((PrincipalKind(caller.kind.value), caller.principal_arn or ""))
            if caller.session is not None:
                own.append((PrincipalKind.SESSION, caller.arn))
        account = (PrincipalKind.ACCOUNT, group.account or "")
        named = _any(self._principals, own)
        delegating = self._principals.get(account, 0)
        spared = _any(self._others, own) | self._others.get(account, 0)
        direct = named | (self._allow_others & ~spared) | (delegating & ~self.allows)
        if caller.kind is CallerKind.ROOT:
            direct |= delegating
        undecided = 0
        for index in each_bit(self._deny_others):
            answer = names_caller(self.statements[index], caller, needs_iam=True)
            if answer is None:
                undecided |= 1 << index
            if answer is not False:
                direct |= 1 << index
        return Reach(direct, direct | delegating, undecided)


def _mark(index: dict[tuple[PrincipalKind, str], int], principal: Principal, bit: int) -> None:
    if principal.kind.names_nobody:
        return
    value = principal.value.lower() if principal.kind is PrincipalKind.SERVICE else principal.value
    key = (principal.kind, value)
    index[key] = index.get(key, 0) | bit


def _any(index: dict[tuple[PrincipalKind, str], int], keys: Iterable[tuple[PrincipalKind, str]]) -> int:
    found = 0
    for key in keys:
        found |= index.get(key, 0)
    return found


def _bits(flags: Iterable[bool]) -> int:
    found = 0
    for index, flag in enumerate(flags):
        if flag:
            found |= 1 << index
    return found


def each_bit(mask: int) -> Iterator[int]:
    """The positions of the bits of a mask, from the lowest."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


@dataclass(frozen=True)
class Callers:
    """Classes of callers that no statement and no condition tells apart."""

    classes: tuple[PrincipalClass, ...]
    reaches: tuple[Reach, ...]  # per side
    local: bool  # of the owner's account, or a service: no second side is needed

    @property
    def first(self) -> PrincipalClass:
        """The class that stands for all."""
        return self.classes[0]


@dataclass(frozen=True)
class Actions:
    """Actions that no statement and no presence of a key tells apart."""

    actions: tuple[Action, ...]
    masks: tuple[int, ...]  # per side

    @property
    def first(self) -> Action:
        """The action that stands for all."""
        return self.actions[0]


class Space:
    """Everything a comparison of `sides` can tell apart."""

    def __init__(
        self,
        sides: Sequence[Side],
        classes: Sequence[PrincipalClass],
        owner: str,
        organisation: str | None,
        floor: int,
    ) -> None:
        self.sides = tuple(sides)
        self.owner = owner
        self.organisation = organisation
        self._floor = floor
        self.vocabulary = Vocabulary(_type_of)
        self._keys = tuple(
            tuple(
                frozenset().union(*(consulted(c, variables=side.variables) for c in statement.conditions))
                for statement in side.statements
            )
            for side in sides
        )
        self.keys = tuple(sorted(frozenset().union(*(keys for side in self._keys for keys in side))))
        self.spellings = {
            condition.name: condition.key
            for side in reversed(self.sides)
            for statement in side.statements
            for condition in statement.conditions
        }
        self._caller_keys = tuple(key for key in self.keys if key in _CALLER_KEYS or key.startswith(_OWN_KEYS))
        for key in self.keys:
            if catalogue().key(key) is None:
                self.vocabulary.notes[f"the condition key {key} is not in the catalogue of {catalogue().date}"] = None
        self.callers = self._group_callers(classes)
        self.actions = self._group_actions()
        self._slots: dict[tuple[int, int], Callable[[str], Slot]] = {}
        self._formulas: dict[tuple[int, int, int, int], int] = {}
        self._content_sets: dict[tuple[int, int], frozenset[int]] = {}
        self._content: dict[tuple[object, ...], int] = {}
        self._contents = tuple(
            tuple(
                self._content.setdefault(
                    (
                        statement.effect,
                        frozenset(statement.conditions),
                        side.variables and any("${" in v for c in statement.conditions for v in c.values),
                        statement.resources if side.open_resource >> index & 1 else None,
                        statement.not_resources if side.open_resource >> index & 1 else None,
                    ),
                    len(self._content),
                )
                for index, statement in enumerate(side.statements)
            )
            for side in sides
        )

    def _group_callers(self, classes: Sequence[PrincipalClass]) -> tuple[Callers, ...]:
        groups: dict[tuple[object, ...], list[PrincipalClass]] = {}
        details: dict[tuple[object, ...], tuple[tuple[Reach, ...], bool]] = {}
        for group in classes:
            reaches = tuple(side.reach(group) for side in self.sides)
            own = group.account == self.owner
            local = own or group.caller.kind is CallerKind.SERVICE
            setting = Setting(group, "kms:Decrypt", self.owner, self.organisation, self._floor)
            slots = tuple(setting.slot(key) for key in self._caller_keys)
            several = any(isinstance(slot, Free) and slot.base == "principal" for slot in slots)
            undecided = group.caller if any(reach.open for reach in reaches) else None
            stranger = group.account is None and not local
            service = group.caller.kind is CallerKind.SERVICE
            key = (reaches, own, local, stranger, service, slots, group if several else None, undecided)
            groups.setdefault(key, []).append(group)
            details[key] = (reaches, local)
        return tuple(Callers(tuple(members), *details[key]) for key, members in groups.items())

    def _group_actions(self) -> tuple[Actions, ...]:
        limited = [key for key in map(catalogue().key, self.keys) if key is not None and key.actions is not None]
        groups: dict[tuple[object, ...], list[Action]] = {}
        order = {name: index for index, name in enumerate(catalogue().groups)}
        for action in sorted(catalogue().key_actions(), key=lambda each: order[each.group]):
            masks = tuple(side.for_action(action.name) for side in self.sides)
            if not any(masks):
                continue
            key = (masks, action.cross_account, *(key.present_on(action.name) for key in limited))
            groups.setdefault(key, []).append(action)
        return tuple(
            Actions(tuple(actions), tuple(side.for_action(actions[0].name) for side in self.sides))
            for actions in groups.values()
        )

    def setting(self, callers: Callers, actions: Actions) -> Setting:
        """What the values of keys depend on."""
        return Setting(callers.first, actions.first.name, self.owner, self.organisation, self._floor)

    def relevant(self, side: int, callers: Callers, actions: Actions, *, iam: bool) -> tuple[int, int]:
        """The Allow and the Deny statements of a side that are about these callers and actions, as bits."""
        policy = self.sides[side]
        if not callers.local and not (iam and actions.first.cross_account):
            return 0, 0
        reach = callers.reaches[side]
        mask = (reach.delegated if iam else reach.direct) & actions.masks[side]
        return mask & policy.allows, mask & ~policy.allows

    def keys_of(self, side: int, callers: Callers, actions: Actions, *, iam: bool) -> frozenset[str]:
        """The condition keys, in lower case, that decide about these callers and actions."""
        allow, deny = self.relevant(side, callers, actions, iam=iam)
        keys = self._keys[side]
        return frozenset().union(*(keys[index] for index in each_bit(allow | deny)))

    def contents(self, side: int, mask: int) -> frozenset[int]:
        """What statements say, whoever and whatever they name: equal numbers for equal conditions."""
        known = self._content_sets.get((side, mask))
        if known is None:
            table = self._contents[side]
            known = self._content_sets[side, mask] = frozenset(table[index] for index in each_bit(mask))
        return known

    def statement(self, side: int, index: int, callers: Callers, actions: Actions) -> int:
        """The formula of a statement that is about these callers and actions."""
        key = (side, index, id(callers), id(actions))
        known = self._formulas.get(key)
        if known is None:
            known = self._formulas[key] = self._statement(side, index, callers, actions)
        return known

    def _statement(self, side: int, index: int, callers: Callers, actions: Actions) -> int:
        policy = self.sides[side]
        statement = policy.statements[index]
        place = (id(callers), id(actions))
        slot_of = self._slots.get(place)
        if slot_of is None:
            slot_of = self._slots[place] = _Slots(self.setting(callers, actions))
        parts = [
            self.vocabulary.condition(condition, slot_of, variables=policy.variables)
            for condition in statement.conditions
        ]
        if policy.open_resource >> index & 1:
            what = ("resource", statement.resources, statement.not_resources)
            note = f"{statement.label}: its Resource may or may not be this key"
            parts.append(self.vocabulary.unknown(what, note))
        if callers.reaches[side].open >> index & 1:
            what = ("principal", frozenset(statement.not_principals or ()), callers.first.caller)  # type: ignore[assignment]
            note = f"{statement.label}: whether it spares sessions of a role that NotPrincipal lists is not documented"
            parts.append(self.vocabulary.unknown(what, note))
        return self.vocabulary.formulas.all(parts)

    def allowed(self, side: int, callers: Callers, actions: Actions, *, iam: bool) -> int:
        """The formula of being allowed."""
        allow, deny = self.relevant(side, callers, actions, iam=iam)
        formulas = self.vocabulary.formulas
        if not allow:
            return FALSE
        denied = [formulas.negate(self.statement(side, index, callers, actions)) for index in each_bit(deny)]
        if FALSE in denied:
            return FALSE
        given = formulas.any(self.statement(side, index, callers, actions) for index in each_bit(allow))
        return formulas.all([given, *denied])

    def difference(self, gaining: int, other: int, callers: Callers, actions: Actions, *, iam: bool) -> int:
        """The formula of being allowed by one side and not by the other."""
        allow, deny = self.relevant(gaining, callers, actions, iam=iam)
        if not allow:
            return FALSE
        other_allow, other_deny = self.relevant(other, callers, actions, iam=iam)
        undecided = callers.reaches[gaining].open & deny or callers.reaches[other].open & other_deny
        if (
            not undecided
            and self.contents(gaining, allow) <= self.contents(other, other_allow)
            and self.contents(other, other_deny) <= self.contents(gaining, deny)
        ):
            return FALSE
        formulas = self.vocabulary.formulas
        return formulas.all(
            [
                self.allowed(gaining, callers, actions, iam=iam),
                formulas.negate(self.allowed(other, callers, actions, iam=iam)),
            ]
        )


class _Slots:
    """The slots of one setting, each worked out once."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._known: dict[str, Slot] = {}

    def __call__(self, name: str) -> Slot:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._setting.slot(name)
        return known


def _type_of(name: str) -> str | None:
    known = catalogue().key(name)
    return None if known is None else known.type
