package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errLease = errors.New("no lease")

// supervised returns a supervisor with its log.
func supervised() (*Supervisor, *bytes.Buffer) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	m := metrics.NewNode(prometheus.NewRegistry())
	return New(Config{
		Logger: logger, Clock: new(clock.Clock), Disk: NewDisk(DiskConfig{Logger: logger}), Panics: m.Panics, Shortages: m.Shortages,
		NoLease:    func(err error) bool { return errors.Is(err, errLease) },
		Quarantine: func(store.Job) store.Outcome { return store.Outcome{Error: "quarantined"} },
	}), &log
}

func TestWhatManyStepsMeetIsLoggedOnce(t *testing.T) {
	t.Parallel()
	for err, text := range map[error]string{
		store.ErrUnavailable: "the database can't be reached",
		store.ErrBusy:        "another program holds the database",
		store.ErrFull:        "",
		errLease:             "",
	} {
		s, log := supervised()
		for i := range 30 {
			s.KeepHouse(t.Context(), fmt.Sprintf("step %d", i%3), func() error { return fmt.Errorf("do it: %w", err) })
		}
		if lines := strings.Count(log.String(), "\n"); text == "" && lines != 0 || text != "" && (lines != 1 || !strings.Contains(log.String(), text)) {
			t.Errorf("%v: the log has\n%s", err, log)
		}
	}
}

func TestAnOutageIsOverWhenNoStepFails(t *testing.T) {
	t.Parallel()
	var o outage
	for _, step := range []string{"a", "b", "a"} {
		o.note(step, true)
	}
	if _, over := o.note("a", false); over != 0 {
		t.Error("it is over while another step fails")
	}
	if _, over := o.note("c", false); over != 0 {
		t.Error("a step that never failed ends it")
	}
	if _, over := o.note("b", false); over == 0 {
		t.Error("it is not over, though no step fails")
	}
	if begins, _ := o.note("b", true); !begins {
		t.Error("the next one does not begin")
	}
}

func TestAPanicEndsItsStepAlone(t *testing.T) {
	t.Parallel()
	s, log := supervised()
	err := s.Guarded("do something", func() error { panic("a mistake") }, "job_id", 17)
	if !errors.Is(err, ErrPanic) {
		t.Errorf("got %v, want a panic", err)
	}
	for _, want := range []string{`step="do something"`, `panic="a mistake"`, "stack=", "job_id=17"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	if o := s.Careful(func(store.Job) store.Outcome { panic("a mistake") })(store.Job{}); o.Error != "quarantined" {
		t.Errorf("a Decide that panics: got %q, want the job in quarantine", o.Error)
	}
}

func TestASpellIsOverWhenItHasBeenQuiet(t *testing.T) {
	t.Parallel()
	var spells Spells
	now := time.Now()
	for i := range 3 {
		if begins := spells.Note("disk", now.Add(time.Duration(i)*time.Second)); begins != (i == 0) {
			t.Errorf("time %d: begins is %v", i, begins)
		}
	}
	last := now.Add(2 * time.Second)
	if over := spells.Over(last.Add(quiet - 1)); over != nil {
		t.Errorf("over too early: %v", over)
	}
	over := spells.Over(last.Add(quiet))
	if len(over) != 1 || over[0].Reason != "disk" || over[0].Count != 3 || over[0].Took() != 2*time.Second {
		t.Errorf("got %+v, want 3 in 2 s", over)
	}
	if !spells.Note("disk", last.Add(time.Minute)) {
		t.Error("the next spell does not begin")
	}
}
