package node_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/ringback/ringback"
)

// age makes the store believe that a time is over. Nobody may have the store open.
func (w *world) age(column string) {
	w.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "ringback.db"))
	must(w.t, err)
	_, err = db.ExecContext(w.t.Context(), "UPDATE jobs SET "+column+" = 1 WHERE "+column+" > 0")
	must(w.t, err)
	must(w.t, db.Close())
}

func TestContentGoesWhenItsTimeIsOverAndTheRowLater(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	var ids []string
	for range 120 { // more than two batches
		ids = append(ids, w.submit(ringback.Request{Events: &[]ringback.EventType{}}).ID)
	}
	for _, id := range ids {
		w.end(id)
	}
	w.stop()
	w.age("content_until")

	w = start(t, setup{dir: w.dir, from: w})
	waiting := w.ask("sim/echo", "still here")
	w.eventually("the end of all contents", func() bool {
		for _, id := range ids {
			if _, err := w.node.Job(t.Context(), "default", id, false); err == nil {
				return false
			}
		}
		return true
	})
	_, err := w.node.Job(t.Context(), "default", ids[0], false)
	fault(t, err, ringback.Gone)
	if got := w.end(waiting.ID); got.Status != ringback.Completed || *got.Result != "still here" {
		t.Errorf("a job whose time is not over: got %s", got.Status)
	}
	w.stop()

	w.age("row_until")
	w = start(t, setup{dir: w.dir, from: w})
	w.eventually("the end of the rows", func() bool {
		_, err := w.node.Job(t.Context(), "default", ids[0], false)
		e, ok := err.(*ringback.Error) //nolint:errorlint // it reaches the API as it is
		return ok && e.Code == ringback.NotFound
	})
}
