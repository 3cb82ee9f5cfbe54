package main

import (
	"log/slog"
	"strconv"
	"time"

	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/provider"
)

// warnOfRetired logs a warning for each model in the configuration whose end its maker has
// announced.
func warnOfRetired(c config.Config, log *slog.Logger) {
	warn := func(setting, model string) {
		r, known := provider.RetirementOf(model)
		if !known {
			return
		}
		about := []any{"setting", setting, "model", model, "retired_on", r.Date.Format(time.DateOnly)}
		if r.Successor != "" {
			about = append(about, "successor", r.Successor)
		}
		log.Warn("this model is being retired by its maker; requests for it will fail from that day on", about...)
	}
	warn("default_model", c.DefaultModel)
	for i, r := range c.Routes {
		warn("routes["+strconv.Itoa(i)+"].model", r.Model)
	}
}
