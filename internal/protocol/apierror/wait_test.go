package apierror

import (
	"net/http"
	"testing"
	"time"
)

func TestNoProviderIsWaitedForLongerThanAnHour(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"12": 12 * time.Second, "30s": 30 * time.Second, "3600": time.Hour, "3601": time.Hour, "1e300": time.Hour,
		"Tue, 24 Nov 2026 12:00:00 GMT": time.Hour,
	} {
		if got, ok := retryAfter(http.Header{"Retry-After": {value}}, now); got != want || !ok {
			t.Errorf("Retry-After %q: got %s, %v, want %s", value, got, ok, want)
		}
	}
}
