package api

import (
	"bytes"
	"context"
	"fmt"

	"github.com/prometheus/common/expfmt"
)

// GET /metrics: what Prometheus scrapes, in its text format.
func (h monitoring) showMetrics(context.Context, *call) (reply, error) {
	families, err := h.metrics.Gather()
	if err != nil {
		return reply{}, fmt.Errorf("gather the metrics: %w", err)
	}
	var text bytes.Buffer
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	encoder := expfmt.NewEncoder(&text, format)
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return reply{}, fmt.Errorf("write the metrics: %w", err)
		}
	}
	return reply{raw: &rawBody{contentType: string(format), bytes: text.Bytes()}}, nil
}
