"""The session while its run pauses: the run waits for the turns that it has asked for."""

from __future__ import annotations

from tests.actors.session.test_agent_session import Rig, request


def test_a_turn_that_waits_behind_a_mail_when_the_run_pauses_is_done_and_a_later_mail_is_not(rig: Rig) -> None:
    rig.program.holds, rig.program.can_steer = {"a mail"}, False
    session, listener = rig.start()
    session.deliver("m", "a mail")
    listener.wait_for("say", "holding a mail")
    session.start_turn(request("a"))
    session.deliver("n", "another mail")
    session.hold(held=True, finishing=True)
    session.interrupt("m", "enough")
    assert listener.wait_for("ended")[1:3] == ("a", "finished")  # else the run would be pausing for ever
    session.hold(held=False)
    listener.wait_for("mail", "n", "handled")
    assert rig.prompts() == ["a mail", "do a", "another mail"]
