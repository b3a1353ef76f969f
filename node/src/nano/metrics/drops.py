"""What ``nano_dropped_total`` counts: each stage and reason, and what it means.

For the reference page; a test looks in the code for what is not here, and for what is
here and nowhere counted.
"""

from __future__ import annotations

from typing import Final

__all__ = ["DROPS", "STATUS"]

STATUS: Final = "a status, as 503"
"""Stands for the reasons that are the status of an error."""

DROPS: Final[dict[tuple[str, str], str]] = {
    ("answer", "closed"): "An answer for a client whose gate was lost meanwhile; that "
    "gate has answered for us.",
    ("answer", "errors-not-announced"): "An error for a client that would take it for "
    "an answer, as nano's own do: it gets none, as from nano.",
    ("answer", "go-error"): "The same for a client of a Go gate, where payloads are "
    "not JSON.",
    ("answer", "go-failed"): "A Go gate did not take an answer.",
    ("answer", "late"): "An answer that came after its request was answered 504, or "
    "was promised by `defer()` and is given too late.",
    ("answer", "second"): "A handler answered what it had answered before; the log "
    "names the route.",
    ("call", "late"): "The result of a call between nodes, after its deadline.",
    ("call", "stranger"): "A result from another node than was asked.",
    ("call", "too-many"): "So many calls between nodes are open that one was refused "
    "with 503.",
    ("client", "closed"): "Something for a client whose connection is being closed.",
    (
        "client",
        "internal-route",
    ): "A client asked for a handler that is for nodes only; "
    "it is answered 404 as for any unknown route.",
    ("client", "pipeline"): "A function of the listener's pipeline failed on something "
    "for a client; the log has its traceback.",
    ("forward", "no-member"): "A message for a service that no node serves now; a "
    "request is answered 503.",
    (
        "forward",
        "overloaded",
    ): "A message for a node for which too much waits; a request is answered 503.",
    (
        "forward",
        "too-large",
    ): "A message that is larger than a Go node takes; a request is answered 413.",
    ("go", "internal-route"): "A Go gate asked for a handler that is for nodes only, "
    "and Go nodes are not trusted.",
    ("go", "no-member"): "A message of a gate that is not in the list of members.",
    ("go", "no-route"): "A message of a Go gate for what is not served here.",
    ("go", "no-session"): "A Go backend spoke to a client that is not here any more.",
    ("go", "too-many"): "This node holds as many sessions of Go gates as it may.",
    ("go", "too-many-questions"): "A question whether a client of a Go gate is still "
    "there was put off.",
    ("go-notify", STATUS): "A client's notify that a Go backend did not take.",
    (
        "group",
        "apart",
    ): "A publish for members at a gate to which there is no link now.",
    ("group", "closed"): "A change of a group's members for a gate that does not come "
    "back.",
    ("group", "link-full"): "A publish for a gate for which too much waits.",
    (
        "group",
        "no-session",
    ): "A backend put a client into a group, or took it out, that "
    "is not here any more.",
    ("group", "unsupported"): "A change of a group's members for a node of a version "
    "without groups.",
    ("kick", "go-failed"): "A Go gate did not take a kick.",
    ("link", "again"): "A change that came again after a link was made anew; it was "
    "taken the first time.",
    ("link", "duplicate"): "A batch that came twice; it was taken the first time.",
    ("link", "ended"): "What came on a link that has ended.",
    ("link", "gone"): "Changes for a node that is gone for good.",
    ("link", "no-session"): "Something for a client that is not here any more.",
    ("link", "too-many-changes"): "Changes for a node that was away, more than are "
    "kept for it.",
    ("link", "unsupported"): "Something of a newer version; the sender is told.",
    ("move", "client-gone"): "Messages that waited for a move, of a client that went.",
    ("move", "late"): "What a node handed over after the move was given up; the log "
    "tells how much.",
    ("move", "no-member"): "State that was handed over, and nobody is left to take it; "
    "the log names the session.",
    (
        "move",
        "too-many",
    ): "A message of a client that sends more during a move than may "
    "wait; a request is answered 503.",
    ("move", "too-old"): "State that was handed over, and the node that takes the "
    "session is of a version that takes none.",
    (
        "notify",
        STATUS,
    ): "A notify between nodes that came to nothing; the log names the route.",
    ("push", "closed"): "A push for a client whose gate is lost.",
    ("push", "does-not-fit"): "A push larger than clients are sent, or than its wire "
    "can hold.",
    ("push", "go-failed"): "A Go gate did not take a push.",
    ("push", "go-full"): "A push for a Go gate for which too much waits.",
    ("push", "link-full"): "A push for a gate for which too much waits; if it was "
    "`must`, the client is closed.",
    ("push", "not-greeted"): "A push for a client that is not let in yet.",
    (
        "push",
        "slow-client",
    ): "A push of class `drop` or `latest` for a client that reads too slowly.",
    (
        "push",
        "superseded",
    ): "A push of class `latest`, in whose place a newer one waits.",
    (
        "route",
        "function-chose-nobody",
    ): "A route function chose no member; a request is answered 503.",
    ("route", "function-failed"): "A route function raised; the log has its traceback.",
    ("route", "function-refused"): "A route function refused the message by a "
    "RequestError.",
    ("route", "function-wrong"): "A route function returned what is no member; the log "
    "tells what.",
    ("session", "closed"): "Messages that waited for their turn, of a session that "
    "ended.",
    ("session", "data-too-large"): "A backend wrote more into a session's data than it "
    "may hold; the log names it.",
    ("session", "queue-full"): "A client sent more than waits for a handler; a request "
    "is answered 503.",
    ("session", "signed-in-elsewhere"): "A session whose uid signed in anew, with "
    "`oneSessionPerUid`.",
    (
        "session",
        "unknown-member",
    ): "A backend bound a session to a member that does not "
    "serve it; the log names it.",
    ("thread", "queue-full"): "A call from another thread, refused: too many wait.",
    (
        "thread",
        "stopped",
    ): "Calls from other threads that waited when the node stopped.",
    ("users", "late"): "A gate's answer to a question about users, after its time.",
    ("users", "link-full"): "A question for a gate for which too much waits.",
    ("users", "silent"): "A gate that did not answer in time; whoever asked is told "
    "which.",
    (
        "users",
        "too-many",
    ): "So many questions about users are open that one was refused with 503.",
}
