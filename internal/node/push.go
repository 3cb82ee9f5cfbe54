package node

import (
	"context"
	"net/http"
	"time"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/telemetry"
	"github.com/ringback/ringback/internal/webhook"
)

// push is what one attempt sends of itself while it runs: webhooks, and the stream
// that the caller wants somewhere. All of it is best effort, and none of it stays in
// the way of what is stored.
type push struct {
	quiet func() // ends the webhooks, and waits for the one that is on its way
	leave func() // tells the stream that the attempt is over
}

// push begins to send what an attempt is to send of itself. Quiet must be called
// before the attempt is settled, leave when it is.
func (n *Node) push(j *store.Job, f *logWriter, t *callPermit) push {
	return push{quiet: n.notifyReceiver(j, f, t.session), leave: n.pushStream(j)}
}

// pushHeader are the headers that the caller adds to what goes to a host: those for
// the callback URL go nowhere else.
func pushHeader(j *store.Job, host string) http.Header {
	header := webhook.HeadersOf(j.Options.HeadersFor(host))
	if header.Get(telemetry.HeaderTraceParent) == "" {
		telemetry.SetTrace(header, j.Options.TraceParent, j.Options.TraceState)
	}
	return header
}

// until sleeps until a time of this process's clock; false if ctx ends first.
func until(ctx context.Context, at time.Time) bool {
	if d := time.Until(at); d > 0 {
		return backoff.Sleep(ctx, d)
	}
	return ctx.Err() == nil
}
