package node_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/simulate"
)

// logLines keeps the lines of a log.
type logLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// Loops that fail once a second, and calls whose answers can't be stored, must not log a
// thousand lines.
func TestAnOutageIsOneLineWhenItBeginsAndOneWhenItIsOver(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	var way *link
	var logged logLines
	w := start(t, setup{
		node: newCluster().joining(&way, func(c *node.Config) {
			c.Logger = slog.New(slog.NewTextHandler(&logged, nil))
		}),
		hold: func(simulate.Call) <-chan struct{} { return answer },
	})
	var running []ringback.Job
	for range 10 {
		running = append(running, w.ask("sim/echo", "held"))
	}
	w.called("held", 10)
	way.down.Store(true)
	close(answer)
	w.eventually("the end of the lease", func() bool { return !w.node.Leased() })
	w.eventually("each loop to fail more than once", func() bool {
		return way.refusals("Expire") > 2 && way.refusals("Renew") > 2 && way.refusals("Settle") > 2*len(running)
	})
	way.down.Store(false)
	for _, j := range running {
		w.end(j.ID)
	}
	w.eventually("the end of the outage", func() bool { return logged.count("the database is reached again") > 0 })
	for text, want := range map[string]int{
		"the database can't be reached: running calls go on": 1,
		"the database is reached again":                      1,
		"level=ERROR":                                        0,
	} {
		if got := logged.count(text); got != want {
			t.Errorf("%q: got %d times, want %d in\n%s", text, got, want, logged.b.String())
		}
	}
}
