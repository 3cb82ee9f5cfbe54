package node_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/sse"
	"github.com/ringback/ringback/internal/store"
)

// The stored log of a streamed job is enough to render the provider's own stream again.
func TestTheStoredLogOfAJobIsRenderedToAStreamOfItsAnswer(t *testing.T) {
	t.Parallel()
	for _, name := range protocol.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{client: func(c *provider.Config) { c.Protocol = name }})
			speaks, err := protocol.Lookup(name)
			must(t, err)
			for _, model := range []string{"sim/echo", "sim/think", "sim/tool", "sim/blocks", "sim/break-off?times=1"} {
				id := w.submit(streamed(model)).ID
				if job := w.end(id); job.Status != ringback.Completed {
					t.Fatalf("%s: the job is %s: %s", model, job.Status, job.Error)
				}
				c, err := w.store.Content(t.Context(), uuid.MustParse(id), store.PartEvents|store.PartAnswer)
				must(t, err)
				log := live.NewLog(id)
				_, err = log.Load(bytes.NewReader(c.Events))
				must(t, err)
				rendered := bytes.Join(slices.Collect(speaks.Render(log.Pieces())), nil)
				if diff := cmp.Diff(decoded(t, c.Answer), decoded(t, assembled(t, speaks, rendered))); diff != "" {
					t.Errorf("%s: the answer of the rendered stream (-want +got):\n%s", model, diff)
				}
			}
		})
	}
}

func assembled(t *testing.T, d protocol.Dialect, stream []byte) []byte {
	t.Helper()
	a := d.Assemble([]byte(`{}`))
	for event, err := range sse.Read(bytes.NewReader(stream), sse.Limits{}) {
		must(t, err)
		done, err := a.Add(event)
		must(t, err)
		if done {
			break
		}
	}
	return a.Message()
}

func decoded(t *testing.T, text []byte) (v any) {
	t.Helper()
	must(t, json.Unmarshal(text, &v))
	return v
}
