"""Our extension of the Agent Client Protocol. Pure: names only; imports nothing, so that an agent starts quickly.

The protocol has no message id chosen by the client, and a replayed session does not show how a turn ended. Both are
needed after a crash: was a prompt never sent, is it unfinished, or is it done? An agent that announces `TURN_IDS` in
the `_meta` of its capabilities promises:

- the `_meta` of a prompt carries its id under `TURN_ID`; the agent gives it back in the `_meta` of the user message,
  when it has stored the message and whenever it replays it;
- the end of a turn is reported, live and replayed, in a session_info_update whose `_meta` has `TURN_ENDED`:
  `{"turnId": …, "stopReason": …}`, or with `error` (a JSON-RPC error object) in place of `stopReason`.
- what it does not report of its usage is zero, not unknown.

The embedded agent does so. For other agents the adapter falls back on a marker line in the prompt (acp_history.py).
"""

TURN_IDS = "loop/turnIds"
TURN_ID = "loop/turnId"
TURN_ENDED = "loop/turnEnded"
RESETS_AT_MS = "resetsAtMs"  # in the data of an error with code 429: when the usage limit ends, Unix ms
USAGE_LIMIT_CODE = 429  # error code of a prompt that met a usage limit; Gemini's own agent uses it too
