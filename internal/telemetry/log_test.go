package telemetry_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"regexp"
	"testing"

	"go.uber.org/goleak"

	"github.com/ringback/ringback/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOffATerminalEachLineIsAnObject(t *testing.T) {
	var out bytes.Buffer
	log := telemetry.NewLogger(telemetry.LogConfig{Output: &out, Color: true})
	log.Debug("not at this level")
	log.Info("server is up", "url", "http://127.0.0.1:8080")
	var line struct{ Level, Msg, URL string }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in:\n%s", err, &out)
	}
	if line.Level != "INFO" || line.Msg != "server is up" || line.URL != "http://127.0.0.1:8080" {
		t.Errorf("got %+v", line)
	}
}

func TestOnATerminalALineIsForEyes(t *testing.T) {
	for _, color := range []bool{false, true} {
		var out bytes.Buffer
		log := telemetry.NewLogger(telemetry.LogConfig{Output: &out, Level: slog.LevelDebug, Terminal: true, Color: color})
		log.Debug("request", "status", 202)
		escape := bytes.ContainsRune(out.Bytes(), '\x1b')
		if escape != color {
			t.Errorf("with Color %v the line is %q", color, out.String())
		}
		if plain := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(out.String(), ""); !regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3} DBG request status=202\n$`).MatchString(plain) {
			t.Errorf("the line is %q", plain)
		}
	}
}
