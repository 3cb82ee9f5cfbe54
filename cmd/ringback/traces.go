package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/telemetry"
)

// The standard variables of OpenTelemetry that decide whether there are traces.
// The others are read by its SDK itself.
const (
	otelDisabled       = "OTEL_SDK_DISABLED"
	otelExporter       = "OTEL_TRACES_EXPORTER"
	otelEndpoint       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	otelTracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	otelProtocol       = "OTEL_EXPORTER_OTLP_PROTOCOL"
	otelTracesProtocol = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
)

// tracesWanted tells whether the environment asks for traces. Off is the default.
func tracesWanted(getenv func(string) string) (bool, error) {
	if getenv(otelDisabled) == "true" || getenv(otelExporter) == "none" {
		return false, nil
	}
	wanted := false
	for _, name := range []string{otelEndpoint, otelTracesEndpoint} {
		endpoint := getenv(name)
		if endpoint == "" {
			continue
		}
		wanted = true
		// The SDK would send to localhost instead.
		if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return false, fmt.Errorf("%s: is not the address of a collector; write it like http://127.0.0.1:4318", name)
		}
	}
	if !wanted {
		return false, nil
	}
	for name, can := range map[string]string{otelExporter: "otlp", otelProtocol: "http/protobuf", otelTracesProtocol: "http/protobuf"} {
		if value := getenv(name); !slices.Contains([]string{"", can}, value) {
			return false, fmt.Errorf("%s: %q is not supported; set it to %s, or leave it out", name, value, can)
		}
	}
	return true, nil
}

// tracesGrace is what is given to the collector at the end to take what is left.
const tracesGrace = 5 * time.Second

// openTraces gives a tracer, nil where there are to be no traces, and the function
// that sends what is left.
func openTraces(ctx context.Context, c config, log *slog.Logger) (trace.Tracer, func(), error) {
	if !c.traces {
		return nil, func() {}, nil
	}
	traces, err := telemetry.OpenTraces(ctx, telemetry.TraceConfig{Build: build(), Logger: log})
	if err != nil {
		return nil, nil, exit.Errorf(exit.Usage, "%w", err)
	}
	log.Info("traces are sent")
	return traces.Tracer(), func() {
		ctx, cancel := context.WithTimeoutCause(context.Background(), tracesGrace, errors.New("the collector did not take the last traces in time"))
		defer cancel()
		if err := traces.Close(ctx); err != nil {
			log.Warn("traces not sent", "err", err)
		}
	}, nil
}
