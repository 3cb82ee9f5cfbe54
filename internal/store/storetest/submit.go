package storetest

import (
	"encoding/json"
	"errors"
	"sync"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func exerciseSubmit(s suite) {
	s.promise("a submitted job is read back as it was", func(w *world) {
		n := w.newJob(at(0))
		w.same("Submit", w.submit(n), n.Job)
		j, c, err := w.Store().Job(w.ctx(), project, n.Job.ID, allParts)
		w.ok(err)
		w.same("Job", j, n.Job)
		w.same("Content", c, store.Content{Request: requestOf(n.Job)})
	})

	s.promise("a job keeps options that are unset", func(w *world) {
		n := w.newJob(at(0), func(j *store.Job) {
			j.Options = store.Options{}
			j.Metadata = json.RawMessage(`{}`)
			j.Fallbacks = []string{"b", "c"}
		})
		w.submit(n)
		w.same("Job", w.read(n.Job.ID), n.Job)
	})

	s.promise("text of any kind comes back as it was", func(w *world) {
		n := w.newJob(at(0), func(j *store.Job) {
			j.Metadata = json.RawMessage(`{"nul":"a\u0000b","line":"` + "\u2028" + `","quote":"'\"\\","big":12345678901234567890,"é":"😀"}`)
			j.Options.CallbackHeaders = map[string]string{"X-Note": "it's \"quoted\"; --"}
			j.RequestedModel = "o'model\x01"
		})
		w.submit(n)
		got := w.read(n.Job.ID)
		w.same("Job", got, n.Job)
		w.same("Metadata", string(got.Metadata), string(n.Job.Metadata))
	})

	s.promise("a job that is claimed on insert is running, under fence 1", func(w *world) {
		n := w.newJob(at(0), claimedOn(w.node))
		got := w.submit(n)
		w.same("Submit", got, n.Job)
		w.same("Attempts", w.ledger(got.ID), []ringback.Attempt{{
			Number: 1, Node: w.node, Provider: "sim", Model: "sim/echo", StartedAt: ringback.Time{Time: at(0)},
		}})
		w.same("Claim", w.claim(at(1), lane, 1), []store.Job(nil))
	})

	s.promise("a job survives a crash as soon as Submit has returned", func(w *world) {
		n := w.newJob(at(0))
		w.submit(n)
		w.crash()
		w.same("Job", w.read(n.Job.ID), n.Job)
		w.same("Content", w.content(n.Job.ID), store.Content{Request: requestOf(n.Job)})
	})

	exerciseResubmit(s)
	exerciseIdempotency(s)
}

func exerciseResubmit(s suite) {
	s.promise("a second Submit of the same id is done already", func(w *world) {
		n := w.newJob(at(0))
		w.submit(n)
		w.same("Submit again", w.submit(n), n.Job)
		w.same("Waiting", w.waiting().Jobs, 1)
	})

	s.promise("a second Submit of the same id gives the job as it stands", func(w *world) {
		n := w.newJob(at(0), withKey("key", "hash"))
		w.submit(n)
		running := w.claimOne(at(1))
		w.same("Submit again", w.submit(n), running)
		ended := w.settle(running, completed(at(2), "hello"))
		w.same("Submit again", w.submit(n), ended)
		w.same("Waiting", w.waiting().Jobs, 0)
	})
}

func exerciseIdempotency(s suite) {
	s.promise("a taken idempotency key gives the first job, and stores nothing", func(w *world) {
		first := w.submitNew(at(0), withKey("key", "hash"))
		second := w.newJob(at(1), withKey("key", "hash"))
		got, replayed, err := w.Store().Submit(w.ctx(), second)
		w.ok(err)
		w.same("replayed", replayed, true)
		w.same("Submit", got, first)
		_, _, err = w.Store().Job(w.ctx(), project, second.Job.ID, 0)
		w.fails(err, store.ErrNotFound)
		w.noContent(second.Job.ID)
		w.same("Waiting", w.waiting().Jobs, 1)
	})

	s.promise("a replay shows what has become of the first job", func(w *world) {
		w.submitNew(at(0), withKey("key", "hash"))
		ended := w.settle(w.claimOne(at(1)), completed(at(2), "hello"))
		got, replayed, err := w.Store().Submit(w.ctx(), w.newJob(at(3), withKey("key", "hash")))
		w.ok(err)
		w.same("replayed", replayed, true)
		w.same("Submit", got, ended)
	})

	s.promise("an idempotency key of another request is a mismatch", func(w *world) {
		w.submitNew(at(0), withKey("key", "hash"))
		second := w.newJob(at(1), withKey("key", "another"))
		_, _, err := w.Store().Submit(w.ctx(), second)
		w.fails(err, store.ErrMismatch)
		_, _, err = w.Store().Job(w.ctx(), project, second.Job.ID, 0)
		w.fails(err, store.ErrNotFound)
	})

	s.promise("each project has idempotency keys of its own", func(w *world) {
		w.submitNew(at(0), withKey("key", "hash"))
		other := lane
		other.Project = "other"
		w.submitNew(at(1), withKey("key", "another"), in(other))
	})

	s.promise("jobs without a key are never taken for each other", func(w *world) {
		w.submitNew(at(0))
		w.submitNew(at(0))
		w.same("Waiting", w.waiting().Jobs, 2)
	})

	s.promise("a key holds over a crash", func(w *world) {
		first := w.submitNew(at(0), withKey("key", "hash"))
		w.crash()
		got, replayed, err := w.Store().Submit(w.ctx(), w.newJob(at(1), withKey("key", "hash")))
		w.ok(err)
		w.same("replayed", replayed, true)
		w.same("Submit", got, first)
	})

	s.promise("of many who come with one key at once, one wins", oneKeyManyCallers)
}

func oneKeyManyCallers(w *world) {
	const callers = 16
	var (
		wg      sync.WaitGroup
		jobs    [callers]store.Job
		replays [callers]bool
		errs    [callers]error
	)
	for i := range callers {
		n := w.newJob(at(0), withKey("key", "hash"))
		wg.Go(func() { jobs[i], replays[i], errs[i] = w.Store().Submit(w.ctx(), n) })
	}
	wg.Wait()
	w.ok(errors.Join(errs[:]...))
	first := 0
	for i := range callers {
		w.same("the job of a caller", jobs[i], jobs[0])
		if !replays[i] {
			first++
		}
	}
	w.same("callers who were first", first, 1)
	w.same("Waiting", w.waiting().Jobs, 1)
}
