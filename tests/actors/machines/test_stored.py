"""The names of events in journals: a renamed class keeps the one that is on disk."""

from __future__ import annotations

import pytest

from actors.machines import mail, run, turn
from actors.machines.stored import by_stored_name, stored_name

# What is on the disks of users. A new event is added here; no name ever goes.
ON_DISK = {
    "run": {
        *("RunStarted", "RunResumed", "TurnSettled", "PlanRead", "ChecksEnded", "TreeTaken", "PullRequestLookedFor"),
        *("CooldownEnded", "HookEnded", "FollowUpGiven", "PauseRequested", "ResumeRequested", "StopRequested"),
        *("HumanVerdictGiven", "ReviewRequested", "MailReachedWorker", "UsageGrew", "ContactChanged", "AgentPlaced"),
        *("FindingWaived", "UsageSeen", "TurnWanted", "TimePassed"),
    },
    "turn": {
        *("SessionBegan", "TurnIntended", "TurnSubmitted", "TurnSeen", "TurnReturned", "TurnWithdrawn", "TurnCut"),
        *("TurnDeferred", "TurnMoved", "AccountChosen", "TurnSpent", "TurnHandedOver", "TurnConcluded"),
    },
    "mail": {
        *(
            "MailQueued",
            "MailSuppressed",
            "CallRepeated",
            "DeliveryStarted",
            "DeliveryFailed",
            "MailAccepted",
            "MailSeen",
        ),
        *("MailAnswered", "MailDied", "MailReceived", "HopsReset", "BridgeRestarted", "AgentRestarted", "AgentWorked"),
        *("AgentCame", "AgentAbsent", "MailHeld", "MailReleased", "MailEdited", "MailRequeued", "MailDropped"),
    },
}
STREAMS: dict[str, tuple[type, ...]] = {"run": run.EVENTS, "turn": turn.EVENTS, "mail": mail.EVENTS}


@pytest.mark.parametrize("name", STREAMS)
def test_every_name_that_was_ever_journalled_is_known_and_is_one_events(name: str) -> None:
    names = by_stored_name(STREAMS[name])
    assert set(names) == ON_DISK[name]
    assert len(names) == len(STREAMS[name])


def test_a_name_is_the_class_s_own_unless_the_disk_says_otherwise() -> None:
    assert stored_name(run.RunStarted) == "RunStarted"

    class Renamed(run.RunStarted, frozen=True, kw_only=True):
        stored_as = "Before"

    class Derived(Renamed, frozen=True, kw_only=True):
        pass

    assert (stored_name(Renamed), stored_name(Derived)) == ("Before", "Derived")
