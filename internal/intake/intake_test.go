package intake

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// empty is a store without jobs.
type empty struct{ Store }

func (empty) Queued(context.Context) (int, error) { return 0, nil }

func (empty) Submit(_ context.Context, j store.NewJob) (store.Job, bool, error) {
	return j.Job, false, nil
}

// taking returns an intake, and the job that it takes.
func taking() (in *Intake, taken *made) {
	log := slog.New(slog.DiscardHandler)
	disk := supervise.NewDisk(supervise.DiskConfig{Logger: log})
	taken = new(made)
	return New(Config{
		Store: empty{}, Clock: new(clock.Clock), Disk: disk, Refuser: refusal.New(log, metrics.NewNode(nil).Intake.Rejected, disk),
		Routes:       NewRoutes([]Route{{Model: "local/*", Provider: "mine"}}, map[string]string{"anthropic": "anthropic", "openai": "openai", "mine": "openai"}),
		DefaultModel: "claude-sonnet-5-5", MaxQueued: 1, Admission: new(sync.Mutex), Draining: func() bool { return false },
		Insert: func(ctx context.Context, j store.Job, request []byte, put Put) (store.Job, bool, error) {
			*taken = made{j, request}
			return put(ctx, store.NewJob{Job: j})
		},
	}), taken
}

func noEvents() Options {
	return Options{Request: ringback.Request{Events: new([]ringback.EventType{})}}
}

func TestABodyInAProtocolsDialectIsKeptVerbatim(t *testing.T) {
	t.Parallel()
	in, taken := taking()
	const body = `{ "max_tokens":1e3,"model":"claude-x",  "messages":[{"role":"user","content":"\u00e9"}], "new":12345678901234567890}`
	caller := Caller{Project: "theirs", Key: "ci", Role: Operator}
	job, replayed, err := in.Submit(t.Context(), Submission{Caller: caller, Dialect: "anthropic", Body: []byte(body), Options: noEvents()})
	if err != nil || replayed {
		t.Fatalf("got %v, %v", replayed, err)
	}
	if string(taken.request) != body {
		t.Errorf("the request is %s", taken.request)
	}
	if job.ID == uuid.Nil || job.Project != "theirs" || job.Provider != "anthropic" || job.Model != "claude-x" {
		t.Errorf("got job %s of project %s for %s by %s", job.ID, job.Project, job.Model, job.Provider)
	}
}

func TestABodyGoesToNoProviderOfAnotherProtocol(t *testing.T) {
	t.Parallel()
	in, taken := taking()
	const body = `{"model":"local/llama","messages":[{"role":"user","content":"Hi"}]}`
	_, _, err := in.Submit(t.Context(), Submission{Dialect: "anthropic", Body: []byte(body), Options: noEvents()})
	if e, ok := errors.AsType[*ringback.Error](err); !ok || e.Code != ringback.InvalidRequest || e.Field != "model" {
		t.Errorf("got %v, want a fault of the model", err)
	}
	if taken.request != nil {
		t.Error("it was stored all the same")
	}
}

func TestANativeRequestIsEncodedForItsProvider(t *testing.T) {
	t.Parallel()
	in, taken := taking()
	o := noEvents()
	o.Request.Prompt, o.Request.Model = "Hi", "local/llama"
	if _, _, err := in.Submit(t.Context(), Submission{Dialect: Native, Options: o}); err != nil {
		t.Fatal(err)
	}
	if want := `{"model":"local/llama","max_tokens":4096,"messages":[{"role":"user","content":"Hi"}]}`; string(taken.request) != want {
		t.Errorf("got %s, want %s", taken.request, want)
	}
}
