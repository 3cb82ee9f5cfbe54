package telemetry_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringback/ringback/internal/telemetry"
)

// lines counts a JSON log's lines by message.
func lines(t *testing.T, log *bytes.Buffer) map[string]int {
	t.Helper()
	count := map[string]int{}
	for line := range strings.Lines(log.String()) {
		var l struct {
			Msg string
			Of  string
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		count[l.Msg]++
	}
	return count
}

func TestARepeatedErrorIsWrittenTenTimesAndThenCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := telemetry.NewLogger(telemetry.LogConfig{Output: &out})
		other := log.With("node", "n")
		for range 500 {
			log.Error("disk failed")
			other.Error("disk failed")
			log.Warn("another thing")
			log.Info("a life event")
		}
		want := map[string]int{"disk failed": 10, "another thing": 10, "a life event": 500}
		got := lines(t, &out)
		for msg, n := range want {
			if got[msg] != n {
				t.Errorf("%q: got %d lines, want %d", msg, got[msg], n)
			}
		}

		out.Reset()
		time.Sleep(10 * time.Second)
		log.Info("anything")
		if !strings.Contains(out.String(), `"level":"ERROR","msg":"lines were left out","of":"disk failed","count":990}`) ||
			!strings.Contains(out.String(), `"level":"WARN","msg":"lines were left out","of":"another thing","count":490}`) {
			t.Errorf("the log does not say what was left out:\n%s", &out)
		}

		out.Reset()
		other.With("a", 1).WithGroup("g").Error("disk failed", "b", 2)
		if !strings.Contains(out.String(), `"msg":"disk failed","node":"n","a":1,"g":{"b":2}}`) {
			t.Errorf("afterwards the line is %s", &out)
		}
	})
}

func TestRareErrorsAllPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := telemetry.NewLogger(telemetry.LogConfig{Output: &out})
		for range 100 {
			log.Error("now and then")
			time.Sleep(2 * time.Second)
		}
		if got := lines(t, &out); got["now and then"] != 100 || len(got) != 1 {
			t.Errorf("got %v", got)
		}
	})
}

func TestAtDebugNothingIsLeftOut(t *testing.T) {
	var out bytes.Buffer
	log := telemetry.NewLogger(telemetry.LogConfig{Output: &out, Level: slog.LevelDebug})
	for range 500 {
		log.Warn("webhook is a dead letter")
	}
	if got := lines(t, &out); got["webhook is a dead letter"] != 500 {
		t.Errorf("got %v", got)
	}
}
