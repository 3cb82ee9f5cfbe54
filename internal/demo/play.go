package demo

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/simulate"
)

// stayUp keeps everything up for the user until ctx is done.
func (d *demo) stayUp(ctx context.Context) error {
	d.screen.text(fmt.Sprintf(`Up until Ctrl-C; jobs show here as they run. Try:
  curl http://%s/api/generate -H 'Content-Type: application/json' \
    -d '{"prompt":"Hello","model":"sim/slow","callback_url":"%s"}'
Other models: %s
With your key:  EZAI_API_KEY=… ringback serve      Your receiver:  ringback listen
`, d.addr, d.callback, strings.Join(simulate.Models, ", ")))
	select {
	case <-ctx.Done():
		return nil
	case <-d.server.dead:
		return fmt.Errorf("the server ended by itself (%w); its last lines:\n%s", cmp.Or(d.server.err, errEnded), d.server.tail)
	}
}

// showCall shows the provider call of a job of the user's.
func (d *demo) showCall(c simulate.Call) {
	switch {
	case c.End == simulate.Running && c.Status == 0:
		d.screen.sayf("provider", "call %d: %s %s", c.Number, c.Model, excerpt(c.Prompt))
	case c.End == simulate.Answered:
		d.screen.sayf("provider", "call %d: %d of %d words", c.Number, c.Words, cmp.Or(c.Of, c.Words))
	case c.End == simulate.Refused:
		d.screen.sayf("provider", "call %d: answers %d", c.Number, c.Status)
	case c.End != simulate.Running:
		d.screen.sayf("provider", "call %d: %s after %d words", c.Number, c.End, c.Words)
	}
}

// sawDelivery shows a webhook of a job of the user's. The story shows its own.
func (d *demo) sawDelivery(got simulate.Delivery) {
	if !d.told.Load() || got.JobID == *d.job.Load() {
		return
	}
	d.screen.sayf("receiver", "%s · %s · job %s · answers %d", plain.Printable(got.Type), signatures(got), plain.Printable(short(got.JobID)), got.Answer.Status)
}

// excerpt returns the beginning of a prompt, in quotation marks.
func excerpt(s string) string {
	runes := []rune(s)
	if len(runes) > 40 {
		return fmt.Sprintf("%q", string(runes[:40])+"…")
	}
	return fmt.Sprintf("%q", s)
}
