"""Who of a group hears where replicas would be in each other's way: the eldest hears all, the others stand by."""

import time
from collections.abc import Iterable, Mapping

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

PATIENCE_SECONDS = 30
"""For how long a batch of who hears waits for a fault to pass: one of the others may have what this one lacks."""


class EldestHears(AbstractPartitionAssignor):  # type: ignore[misc]
    """All partitions of all topics for the member that began first; when it goes, for the next one.

    Who hears goes on hearing when replicas come: its cache knows the streams.

    `name`: of the assignor that all other groups have, and this one had before it: Kafka lets nobody join under another
    name than all members know, and while a service is rolled out it has members of both kinds. Whoever leads the group
    shares out, as it sees fit. (With two names for one member aiokafka would ask to join once for each, and every
    rebalance would follow upon itself.) Members that do not say when they began are the eldest.

    One object for one member. `since`: when it began, or last stepped aside. Hosts' clocks may be apart: for who began,
    any order is good that all members see alike, and who steps aside is behind all that the last assignment told of.
    """

    name = "roundrobin"
    version = 0

    def __init__(self) -> None:
        self.since = time.time_ns()
        self._youngest = 0
        self._changed_at = time.monotonic()

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Member → its partitions. A topic that the eldest does not know yet goes to the eldest who does."""
        found: dict[str, list[tuple[str, list[int]]]] = {member: [] for member in members}
        by_age = sorted(members, key=lambda member: (members[member].user_data, member))
        for topic in sorted({topic for member in members.values() for topic in member.subscription}):
            eldest = next(member for member in by_age if topic in members[member].subscription)
            found[eldest].append((topic, sorted(cluster.partitions_for_topic(topic) or ())))
        youngest = members[by_age[-1]].user_data
        return {
            member: ConsumerProtocolMemberAssignment(cls.version, topics, youngest) for member, topics in found.items()
        }

    def step_aside(self) -> bool:
        """From the next joining on this member is the youngest: whoever else is there hears.

        False less than PATIENCE_SECONDS after it began or did so last: nobody joins anew more often than that.
        """
        now = time.monotonic()
        if now - self._changed_at < PATIENCE_SECONDS:
            return False
        self._changed_at, self.since = now, max(time.time_ns(), self._youngest + 1, self.since + 1)
        return True

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What the others are told of this member."""
        return ConsumerProtocolMemberMetadata(self.version, list(topics), b"%020d" % self.since)

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Note who is the youngest; a leader of the version before does not say."""
        told = bytes(assignment.user_data or b"")
        self._youngest = max(self._youngest, int(told) if told.isdigit() else 0)
