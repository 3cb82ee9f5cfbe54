// Package webhook talks to receivers: it decides where a webhook may go, makes its bytes,
// sends one try of it and classifies the answer.
//
//   - May this URL be called? [Guard.CheckNewURL] or [Guard.CheckNewStreamURL] at
//     submission, [Guard.Control] at each dial (guard.go, own.go, embedded.go, url.go,
//     names.go, ports.go). Neither replaces the other: the first sees spellings of an
//     address that a dialler would only map later, the second sees what a name resolves to
//     at that moment.
//   - What may the caller add? [Headers].
//   - Which id does it have? [ID].
//   - Which bytes are sent? [Body]: what JavaScript would write, see
//     [strictjson.JavaScript].
//   - One try: [Sender.Send] (send.go, dial.go), classified by verdict.go and classify.go.
//   - When is the next one? [Schedule.Next].
//   - A stream of events, held open: [Sender.Push] (push.go), as one request (push_post.go)
//     or as messages (push_messages.go, push_socket.go).
//
// The package knows nothing of jobs, stores, projects, slots or holds: a caller passes a
// message and gets a [Result] that says what it means for the delivery.
//
// Invariants: no connection is opened to an address that the guard has not allowed; no
// redirect is followed; only the first 64 KiB of an answer are read; no text meant for a
// tenant contains an address that a name resolved to; and a receiver holds a try no longer
// than its timeout.
package webhook
