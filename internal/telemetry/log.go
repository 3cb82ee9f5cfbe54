// Package telemetry sets up what the process tells about itself: its log, the
// registry of its metrics, and traces. What is logged, counted and traced is the
// business of those to whom it happens.
//
// On a terminal the log is for eyes (one coloured line for each record), else it
// is JSON, one object a line, for machines. The package knows neither flags nor the
// environment (but for what OpenTelemetry's SDK reads itself): whether the output is a terminal, and
// whether colours are wanted, is said to it.
package telemetry

import (
	"io"
	"log/slog"

	"github.com/lmittmann/tint"
)

// LogConfig sets up a logger.
type LogConfig struct {
	// Output takes the lines. Required.
	Output io.Writer
	// Level is the least that is logged; the zero value is info.
	Level slog.Level
	// Terminal says that a person reads Output as it comes.
	Terminal bool
	// Color allows colours, on a terminal only.
	Color bool
}

const clock = "15:04:05.000"

// NewLogger makes a logger. Of a warning or an error that is repeated it writes
// ten lines in ten seconds, and then how many it left out; at debug it writes all,
// since there the whole life of each job is wanted.
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
