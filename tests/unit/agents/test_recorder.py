"""What is kept of a sample's calls."""

from __future__ import annotations

from swarmd.agents.recorder import MAX_CALLS, MAX_TEXT, MAX_TOTAL, Recorder
from swarmd.bus.spool import MAX_PROPOSAL
from swarmd.messages import ChatCall, ChatMessage, ChatReply, Proposal, Usage, dump


def call(text: str) -> ChatCall:
    messages = [ChatMessage(role="system", content="Edit."), ChatMessage(role="user", content=text)]
    return ChatCall(tier="fast", messages=messages, max_tokens=9, temperature=0.7, seed=3, purpose="edit")


def reply(text: str) -> ChatReply:
    return ChatReply(
        text=text, model="m", provider="p", finish="stop", usage=Usage(prompt_tokens=5), latency_ms=12
    )


def test_a_call_is_kept_word_by_word() -> None:
    recorder = Recorder()
    recorder.add(call("Mend it ✓"), reply("done"))
    (one,) = recorder.calls
    assert [message.content for message in one.messages] == ["Edit.", "Mend it ✓"]
    assert (one.reply, one.model, one.temperature, one.seed, one.cut) == ("done", "m", 0.7, 3, False)
    assert (one.usage.prompt_tokens, one.latency_ms, one.finish) == (5, 12, "stop")


def test_a_call_without_an_answer_says_why() -> None:
    recorder = Recorder()
    recorder.add(call("Mend it"), None, "E-MODEL-DOWN: gone \ud800")
    assert (recorder.calls[0].error, recorder.calls[0].finish) == ("E-MODEL-DOWN: gone ?", None)


def test_what_is_kept_always_fits_into_a_proposal() -> None:
    recorder = Recorder()
    for _ in range(MAX_CALLS + 5):
        recorder.add(call("\x01" * MAX_TEXT * 2), reply("\ud800é" * MAX_TEXT))
    assert len(recorder.calls) == MAX_CALLS
    assert recorder.calls[0].cut
    kept = sum(len(m.content) for one in recorder.calls for m in one.messages)
    assert kept <= MAX_TOTAL
    proposal = Proposal(order_id="o", agent_id="a", packet_id="p", epoch=1, kind="none", calls=recorder.calls)
    assert len(dump(proposal)) < MAX_PROPOSAL
