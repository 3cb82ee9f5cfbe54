// Package telemetry sets up the process's log, the registry of its metrics, and traces.
// The other packages decide what is logged, counted and traced.
//
// On a terminal the log is for people (one coloured line for each record), otherwise it is
// JSON, one object per line, for machines. The package knows neither flags nor the
// environment (except for what OpenTelemetry's SDK reads itself): the caller says whether
// the output is a terminal, and whether colours are wanted.
package telemetry

import (
	"io"
	"log/slog"

	"github.com/lmittmann/tint"
)

// LogConfig sets up a logger.
type LogConfig struct {
	// Output is where the lines are written. Required.
	Output io.Writer
	// Level is the lowest level that is logged; the zero value is info.
	Level slog.Level
	// Terminal means that a person reads Output live.
	Terminal bool
	// Color allows colours, on a terminal only.
	Color bool
}

const clock = "15:04:05.000"

// NewLogger makes a logger. It writes at most ten lines in ten seconds of a repeated
// warning or error, and then how many it left out; at debug it writes all, since there the
// whole life of each job is wanted.
func NewLogger(c LogConfig) *slog.Logger {
	h := newHandler(c)
	if c.Level > slog.LevelDebug {
		h = sampled(h)
	}
	return slog.New(h)
}

func newHandler(c LogConfig) slog.Handler {
	if !c.Terminal {
		return slog.NewJSONHandler(c.Output, &slog.HandlerOptions{Level: c.Level})
	}
	return tint.NewTextHandler(c.Output, &tint.Options{Level: c.Level, TimeFormat: clock, NoColor: !c.Color})
}
