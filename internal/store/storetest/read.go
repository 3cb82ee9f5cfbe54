package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func exerciseRead(s suite) {
	s.promise("only the parts that are asked for are read", func(w *world) {
		running := w.running(at(0))
		broken := retried(at(1), at(1))
		broken.Partial = store.Pack([]byte("hel"))
		w.settle(running, logged(broken, "broken"))
		w.settle(w.claimOne(at(1)), notified(running, at(2)))
		webhook, _ := w.delivery(running.ID)
		whole := store.Content{Request: requestOf(running), Answer: []byte("hello"), Partial: []byte("hel"), Events: []byte("broken"), Webhook: &webhook}
		for parts := range allParts + 1 {
			want := whole
			if parts&store.PartRequest == 0 {
				want.Request = nil
			}
			if parts&store.PartAnswer == 0 {
				want.Answer = nil
			}
			if parts&store.PartPartial == 0 {
				want.Partial = nil
			}
			if parts&store.PartEvents == 0 {
				want.Events = nil
			}
			if parts&store.PartWebhook == 0 {
				want.Webhook = nil
			}
			_, got, err := w.Store().Job(w.ctx(), project, running.ID, parts)
			w.ok(err)
			w.same("Job", got, want)
			got, err = w.Store().Content(w.ctx(), running.ID, parts)
			w.ok(err)
			w.same("Content", got, want)
		}
	})

	s.promise("one project never sees another's job", func(w *world) {
		j := w.delivering(at(0))
		_, _, err := w.Store().Job(w.ctx(), "other", j.ID, allParts)
		w.fails(err, store.ErrNotFound)
		_, err = w.Store().Attempts(w.ctx(), "other", j.ID, 0, 10)
		w.fails(err, store.ErrNotFound)
		_, _, err = w.Store().JobDeliveries(w.ctx(), "other", j.ID)
		w.fails(err, store.ErrNotFound)
	})

	s.promise("what does not exist is not found", func(w *world) {
		id := w.newID(at(0))
		_, _, err := w.Store().Job(w.ctx(), project, id, allParts)
		w.fails(err, store.ErrNotFound)
		_, err = w.Store().Attempts(w.ctx(), project, id, 0, 10)
		w.fails(err, store.ErrNotFound)
		_, _, err = w.Store().JobDeliveries(w.ctx(), project, id)
		w.fails(err, store.ErrNotFound)
		_, err = w.Store().Payload(w.ctx(), id)
		w.fails(err, store.ErrNotFound)
	})

	s.promise("webhooks of jobs whose ids begin alike are told apart", func(w *world) {
		first, second := w.delivering(at(0)), w.delivering(at(0))
		for _, j := range []store.Job{first, second} {
			d, _ := w.delivery(j.ID)
			w.same("JobID", d.JobID, j.ID)
			p, err := w.Store().Payload(w.ctx(), d.ID)
			w.ok(err)
			w.same("Body", string(p.Body), string(webhookOf(j, ringback.Completed, at(0))))
		}
	})

	s.promise("which jobs have ended, or are gone, is told of any project", func(w *world) {
		other := lane
		other.Project = "other"
		waiting, running := w.submitNew(at(0), in(other)), w.running(at(0))
		again := w.settle(w.running(at(0)), retried(at(1), at(1)))
		unknown := w.newID(at(0))
		var ended []uuid.UUID
		for _, o := range []store.Outcome{completed(at(1), "hello"), failed(at(1)), cancelled(at(1))(running)} {
			ended = append(ended, w.settle(w.running(at(0), in(other)), o).ID)
		}
		gone := w.settle(w.running(at(0), func(j *store.Job) { j.Options.ResultTTL = time.Minute }), completed(at(1), "hello"))
		w.prune(at(100))
		w.gone(gone.ID)
		ended = append(ended, gone.ID, unknown)
		got, err := w.Store().Ended(w.ctx(), append([]uuid.UUID{waiting.ID, running.ID, again.ID}, ended...))
		w.ok(err)
		w.same("Ended", sorted(got), sorted(ended))
		got, err = w.Store().Begun(w.ctx(), append([]uuid.UUID{waiting.ID, running.ID, again.ID}, ended...))
		w.ok(err)
		w.same("Begun", sorted(got), sorted(append([]uuid.UUID{running.ID}, ended...)))
		for _, none := range [][]uuid.UUID{nil, {waiting.ID, running.ID, again.ID}} {
			got, err = w.Store().Ended(w.ctx(), none)
			w.ok(err)
			w.same("Ended", got, []uuid.UUID(nil))
		}
		w.prune(at(40 * day))
		got, err = w.Store().Ended(w.ctx(), []uuid.UUID{gone.ID})
		w.ok(err)
		w.same("Ended, when its row is gone", got, []uuid.UUID{gone.ID})
	})

	exerciseAttempts(s)
}

func exerciseAttempts(s suite) {
	s.promise("the ledger is read oldest first, the running attempt last", func(w *world) {
		first := w.running(at(0))
		w.settle(first, retried(at(1), at(1)))
		second := w.claimOne(at(2))
		w.settle(second, refused(at(3), at(3)))
		third := w.claimOne(at(4))
		whole := []ringback.Attempt{
			entry(first, retried(at(1), at(1))),
			entry(second, refused(at(3), at(3))),
			{Number: third.Fence, Node: w.node, Provider: "sim", Model: "sim/echo", StartedAt: ringback.Time{Time: at(4)}},
		}
		w.same("Attempts", w.ledger(first.ID), whole)

		var paged []ringback.Attempt
		for after := int64(0); ; {
			page, err := w.Store().Attempts(w.ctx(), project, first.ID, after, 2)
			w.ok(err)
			if len(page) > 2 {
				w.Fatalf("Attempts: got %d, want at most 2", len(page))
			}
			if len(page) == 0 {
				break
			}
			paged = append(paged, page...)
			after = page[len(page)-1].Number
		}
		w.same("in pages", paged, whole)
	})
}

// exerciseClose is about a store that is closed, or that many callers leave at once.
func exerciseClose(s suite) {
	s.promise("a closed store does nothing any more", func(w *world) {
		running := w.running(at(0))
		st := w.Store()
		w.ok(st.Close())
		_, _, err := st.Submit(w.ctx(), w.newJob(at(1)))
		w.fails(err, store.ErrClosed)
		_, err = st.Settle(w.ctx(), running.Ref(), always(completed(at(1), "hello")))
		w.fails(err, store.ErrClosed)
		w.crash() // opens it again
		w.same("Job", w.read(running.ID), running)
	})

	s.promise("a caller that has gone is not served", func(w *world) {
		ctx, leave := context.WithCancel(w.ctx())
		leave()
		n := w.newJob(at(0))
		if _, _, err := w.Store().Submit(ctx, n); !errors.Is(err, context.Canceled) {
			w.Errorf("Submit: got error %v, want %q", err, context.Canceled)
		}
		_, _, err := w.Store().Job(w.ctx(), project, n.Job.ID, 0)
		w.fails(err, store.ErrNotFound)
	})
}
