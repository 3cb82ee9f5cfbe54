package e2e_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	_ "github.com/ringback/ringback/internal/store/sqlite" // for its driver
)

// poisonLimit bounds the memory, in MiB, of the server that meets the poison; what it has
// in RAM may be more by the program itself and by what SQLite takes outside Go.
const poisonLimit, poisonPeak = 128, 224

// An older version stored whatever a caller put into events, and whatever a provider put
// into usage.
func TestAServerSurvivesTheStoredJobsThatItCannotRead(t *testing.T) {
	w := newWorld(t, setup{})
	s := w.start()
	var poisoned []string
	tomorrow := &ringback.Time{Time: time.Now().Add(24 * time.Hour)}
	for range 10 {
		poisoned = append(poisoned, w.submit(ringback.Request{Prompt: "poison", Model: "sim/echo", RunAt: tomorrow}))
	}
	innocent := w.submit(ringback.Request{Prompt: "innocent", Model: "sim/echo", RunAt: tomorrow})
	var paid []string
	for range 4 {
		id := w.submit(ringback.Request{Prompt: "paid", Model: "sim/echo"})
		w.ended(id)
		paid = append(paid, id)
	}
	s.kill()
	w.poison(poisoned, paid, innocent)

	w.env = append(w.env, fmt.Sprintf("GOMEMLIMIT=%dMiB", poisonLimit))
	s = w.start()
	if j := w.ended(innocent); j.Status != ringback.Completed {
		t.Errorf("the innocent job is %s: %s", j.Status, j.Error)
	}
	for _, id := range poisoned {
		j := w.ended(id)
		if j.Status != ringback.Failed || j.ErrorDetail == nil || j.ErrorDetail.Code != ringback.CodeInternal || !strings.Contains(j.Error, "its options are too large") {
			t.Errorf("a poisoned job: got %s, %q, %+v", j.Status, j.Error, j.ErrorDetail)
		}
		s.says(id)
	}
	for _, path := range []string{"/api/jobs?limit=100", "/api/jobs?limit=100&model=sim/echo", "/api/deliveries?limit=100", "/api/dead?kind=job"} {
		if code, body := w.fetch(path); code != 200 || len(body) > 1<<20 {
			t.Errorf("%s: got %d with %d bytes", path, code, len(body))
		}
	}
	for _, id := range paid {
		if code, body := w.fetch("/api/jobs/" + id + "/attempts"); code != 200 || len(body) > 1<<20 {
			t.Errorf("the attempts of a job: got %d with %d bytes", code, len(body))
		}
	}
	if peak := s.peak(); peak > poisonPeak {
		t.Errorf("the server had %d MiB in RAM, want at most %d", peak, poisonPeak)
	}
}

// poison writes into the tables of a dead server: into the options of jobs (half of
// them are running), and into what a provider said about others.
func (w *world) poison(poisoned, paid []string, innocent string) {
	w.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "ringback.db"))
	must(w.t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`PRAGMA synchronous = off`)
	must(w.t, err)
	exec := func(id, query string, args ...any) {
		raw := uuid.MustParse(id)
		_, err := db.Exec(query, append(args, raw[:])...)
		must(w.t, err)
	}
	const size = 8 << 20
	options := `{"max_attempts":3,"events":["a"` + strings.Repeat(`,"a"`, size/4) + `]}`
	for i, id := range poisoned {
		runs := ""
		if i%2 == 0 {
			runs = `, status = 1, node = 'dead', fence = 1, started_at = created_at, first_started_at = created_at`
		}
		exec(id, `UPDATE jobs SET options = ?, run_at = created_at`+runs+` WHERE id = ?`, options)
	}
	exec(innocent, `UPDATE jobs SET run_at = created_at WHERE id = ?`)
	usage := `{"input_tokens":1,"output_tokens":1,"note":"` + strings.Repeat("x", size) + `"}`
	for _, id := range paid {
		exec(id, `UPDATE jobs SET usage = ?1, answer_model = ?1 WHERE id = ?2`, usage)
		exec(id, `UPDATE attempts SET usage = ?1, provider_request_id = ?1 WHERE job = ?2`, usage)
	}
}

// peak returns the most that the process ever had in RAM, in MiB.
func (s *server) peak() int {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	must(s.t, err)
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); f[0] == "VmHWM:" {
			kib, err := strconv.Atoi(f[1])
			must(s.t, err)
			return kib >> 10
		}
	}
	s.t.Fatal("the kernel does not report the peak")
	return 0
}

func (w *world) fetch(path string) (int, []byte) {
	w.t.Helper()
	resp, err := w.http.Get(w.url() + path)
	must(w.t, err)
	code, _, body := read(w.t, resp)
	return code, body
}
