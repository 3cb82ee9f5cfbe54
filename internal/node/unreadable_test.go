package node_test

import (
	"bytes"
	"database/sql"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/reading"
)

// plant writes into the tables of a store that nothing has open.
func plant(t *testing.T, dir, query string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "ringback.db"))
	must(t, err)
	defer db.Close()
	_, err = db.Exec(query, args...)
	must(t, err)
}

func TestAJobThatCannotBeReadFailsAloneAndAnOperatorSeesIt(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	tomorrow := &ringback.Time{Time: time.Now().Add(24 * time.Hour)}
	large := w.submit(ringback.Request{RunAt: tomorrow})
	broken := w.submit(ringback.Request{RunAt: tomorrow})
	metadata := w.submit(ringback.Request{RunAt: tomorrow})
	good := w.submit(ringback.Request{RunAt: tomorrow})
	w.stop()
	for id, set := range map[string]string{
		large.ID:    `options = '{"events":["` + strings.Repeat("x", 1<<20) + `"]}'`,
		broken.ID:   `options = '{"events":'`,
		metadata.ID: `metadata = '{"order":'`,
		good.ID:     `priority = 0`,
	} {
		raw := uuid.MustParse(id)
		plant(t, w.dir, `UPDATE jobs SET run_at = created_at, `+set+` WHERE id = ?`, raw[:])
	}

	var log bytes.Buffer
	s, metrics := measured(setup{dir: w.dir, from: w, node: func(c *node.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }})
	w = start(t, s)
	if j := w.end(good.ID); j.Status != ringback.Completed {
		t.Errorf("the job beside them is %s: %s", j.Status, j.Error)
	}
	for id, why := range map[string]string{
		large.ID: "its options are too large", broken.ID: "its options are broken", metadata.ID: "its metadata are broken",
	} {
		j := w.end(id)
		if j.Status != ringback.Failed || j.ErrorDetail == nil || j.ErrorDetail.Code != ringback.CodeInternal || !strings.Contains(j.Error, why) {
			t.Errorf("%s: got %s, %q, %+v", why, j.Status, j.Error, j.ErrorDetail)
		}
		_, err := w.node.Replay(t.Context(), "default", id, intake.Patch{})
		if e := fault(t, err, ringback.Conflict); !strings.Contains(e.Message, "can't be replayed") {
			t.Errorf("a replay: got %q", e.Message)
		}
	}
	if e := event(t, w.webhook(metadata.ID)); e.Status != ringback.Failed || string(e.Metadata) != "{}" {
		t.Errorf("the webhook of what has readable options: got %+v", e)
	}
	if page, err := w.node.Jobs(t.Context(), "default", reading.JobQuery{Limit: 10}); err != nil || len(page.Data) != 4 {
		t.Errorf("the list: got %d jobs, %v", len(page.Data), err)
	}
	n := values(t, metrics)["ringback_jobs_quarantined_total"]
	w.stop() // the log is whole
	if n != 3 {
		t.Errorf("ringback_jobs_quarantined_total: got %v, want 3", n)
	}
	for _, id := range []string{large.ID, broken.ID, metadata.ID} {
		if !strings.Contains(log.String(), `job_id=`+id+` reason=`) {
			t.Errorf("no line of the log is about %s", id)
		}
	}
}
