package remote

import (
	"fmt"
	"strings"
	"time"

	"github.com/ringback/ringback"
)

// Past parses a time, or a duration before now. It returns the zero time for "".
func Past(flag, text string, now time.Time) (ringback.Time, error) {
	if text == "" {
		return ringback.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return ringback.Time{Time: now.Add(-d)}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return ringback.Time{}, fmt.Errorf("--%s: %q is neither a time like 2026-11-23T09:00:00Z nor a span like 90m, which is 90 minutes ago", flag, text)
	}
	return ringback.Time{Time: t}, nil
}

// KeyValues parses the values of a flag like key=value.
func KeyValues(flag string, pairs []string) (map[string]string, error) {
	var all map[string]string
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--%s: %q is not like key=value", flag, pair)
		}
		if all == nil {
			all = map[string]string{}
		}
		all[key] = value
	}
	return all, nil
}

// Words returns values of the API as strings.
func Words[T ~string](all []T) []string {
	list := make([]string, len(all))
	for i, w := range all {
		list[i] = string(w)
	}
	return list
}
