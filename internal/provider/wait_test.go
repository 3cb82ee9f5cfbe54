package provider

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		value, date string
		want        time.Duration
		ok          bool
	}{
		{"", "", 0, false},
		{"0", "", 0, true},
		{"12", "", 12 * time.Second, true},
		{" 12 ", "", 12 * time.Second, true},
		{"1.5", "", 1500 * time.Millisecond, true},
		{"3600", "", time.Hour, true},
		{"3601", "", time.Hour, true},
		{"1e300", "", time.Hour, true},
		{"99999999999999999999", "", time.Hour, true},
		{"-1", "", 0, false},
		{"NaN", "", 0, false},
		{"soon", "", 0, false},
		{"Mon, 23 Nov 2026 12:00:30 GMT", "", 30 * time.Second, true},
		{"Monday, 23-Nov-26 12:00:30 GMT", "", 30 * time.Second, true},
		{"Mon, 23 Nov 2026 11:00:00 GMT", "", 0, true},
		{"Tue, 24 Nov 2026 12:00:00 GMT", "", time.Hour, true},
		{"Mon, 23 Nov 2026 13:00:30 GMT", "Mon, 23 Nov 2026 13:00:00 GMT", 30 * time.Second, true}, // its clock is ahead of ours
	} {
		header := http.Header{}
		header.Set("Retry-After", test.value)
		header.Set("Date", test.date)
		got, ok := retryAfter(header, now)
		if got != test.want || ok != test.ok {
			t.Errorf("Retry-After %q at %q: got %s, %v, want %s, %v", test.value, test.date, got, ok, test.want, test.ok)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("12")
	f.Add("0x1p10")
	f.Add("Mon, 23 Nov 2026 12:00:30 GMT")
	f.Fuzz(func(t *testing.T, value string) {
		got, ok := retryAfter(http.Header{"Retry-After": {value}}, time.Now())
		if got < 0 || got > maxWait || (!ok && got != 0) {
			t.Fatalf("Retry-After %q: got %s, %v", value, got, ok)
		}
	})
}
