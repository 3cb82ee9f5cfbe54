package config

import (
	"fmt"
	"net/url"
	"slices"
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

// TracesWanted reports whether the environment asks for traces. The default is no.
func TracesWanted(getenv func(string) string) (bool, error) {
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
