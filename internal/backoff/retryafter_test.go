package backoff

import (
	"net/http"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

var values = []struct {
	value string
	want  time.Duration
	ok    bool
}{
	{"0", 0, true},
	{"12", 12 * time.Second, true},
	{" 12 ", 12 * time.Second, true},
	{"007", 7 * time.Second, true},
	{"1.5", 1500 * time.Millisecond, true},
	{"1e3", 1000 * time.Second, true},
	{"30s", 30 * time.Second, true},
	{"1.5s", 1500 * time.Millisecond, true},
	{"1m30s", 90 * time.Second, true},
	{"6m0s", 6 * time.Minute, true},
	{"500ms", 500 * time.Millisecond, true},
	{"2h", 2 * time.Hour, true},
	{"1d", 24 * time.Hour, true},
	{"30 seconds", 30 * time.Second, true},
	{"1 minute 30 secs", 90 * time.Second, true},
	{"Mon, 23 Nov 2026 12:00:30 GMT", 30 * time.Second, true},
	{"Monday, 23-Nov-26 12:00:30 GMT", 30 * time.Second, true},
	{"Mon Nov 23 12:00:30 2026", 30 * time.Second, true},
	{"Mon, 23 Nov 2026 13:00:30 +0100", 30 * time.Second, true},
	{"2026-11-23T12:00:30Z", 30 * time.Second, true},
	{"2026-11-23T12:00:30.5Z", 30500 * time.Millisecond, true},
	{"Mon, 23 Nov 2026 11:00:00 GMT", 0, true},
	{"1795435230", 30 * time.Second, true},
	{"1795435230.5", 30500 * time.Millisecond, true},
	{"1795435230000", 30 * time.Second, true},
	{"1700000000", 0, true},
	{"3600001", Longest, true},
	{"1e300", Longest, true},
	{"1e999", Longest, true},
	{"99999999999999999999", Longest, true},
	{"99999999999h99999999h", Longest, true},
	{"Fri, 31 Dec 9999 23:59:59 GMT", Longest, true},
	{"", 0, false},
	{" ", 0, false},
	{"-1", 0, false},
	{"+1", 0, false},
	{"-30s", 0, false},
	{"30s ago", 0, false},
	{"30 parsecs", 0, false},
	{"s", 0, false},
	{"1.2.3", 0, false},
	{"0x10", 0, false},
	{"Inf", 0, false},
	{"NaN", 0, false},
	{"soon", 0, false},
	{"1, 2", time.Second, true},
	{"1 2", 0, false},
}

func TestATimeToWaitIsReadInEveryForm(t *testing.T) {
	for _, test := range values {
		got, ok := RetryAfter(http.Header{"Retry-After": {test.value}}, now)
		if got != test.want || ok != test.ok {
			t.Errorf("Retry-After %q: got %s, %v, want %s, %v", test.value, got, ok, test.want, test.ok)
		}
	}
}

func TestMillisecondsComeBeforeSeconds(t *testing.T) {
	for ms, want := range map[string]time.Duration{
		"250": 250 * time.Millisecond, "1500.5": 1500500 * time.Microsecond, "1e999": Longest,
		"": 7 * time.Second, "soon": 7 * time.Second, "-1": 7 * time.Second,
	} {
		got, ok := RetryAfter(http.Header{"Retry-After-Ms": {ms}, "Retry-After": {"7"}}, now)
		if got != want || !ok {
			t.Errorf("Retry-After-Ms %q: got %s, %v, want %s", ms, got, ok, want)
		}
	}
}

func TestADateGoesByTheClockOfTheServer(t *testing.T) {
	header := http.Header{"Date": {"Mon, 23 Nov 2026 13:00:00 GMT"}, "Retry-After": {"Mon, 23 Nov 2026 13:00:30 GMT"}}
	if got, ok := RetryAfter(header, now); got != 30*time.Second || !ok {
		t.Errorf("an hour ahead of ours: got %s, %v, want 30s", got, ok)
	}
}

func TestADurationIsCutOffTheTextThatFollowsIt(t *testing.T) {
	for text, want := range map[string]struct {
		length time.Duration
		rest   string
		ok     bool
	}{
		"5.289s. Need more tokens?": {5289 * time.Millisecond, ". Need more tokens?", true},
		"1m2s":                      {62 * time.Second, "", true},
		"37.5s.":                    {37500 * time.Millisecond, ".", true},
		"2 minutes, please":         {2 * time.Minute, ", please", true},
		"20 megabytes":              {0, "20 megabytes", false},
		"an hour":                   {0, "an hour", false},
	} {
		length, rest, ok := Duration(text)
		if length != want.length || rest != want.rest || ok != want.ok {
			t.Errorf("%q: got %s, %q, %v, want %s, %q, %v", text, length, rest, ok, want.length, want.rest, want.ok)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, test := range values {
		f.Add(test.value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, ok := RetryAfter(http.Header{"Retry-After": {value}}, now)
		if got < 0 || got > Longest || !ok && got != 0 {
			t.Fatalf("Retry-After %q: got %s, %v", value, got, ok)
		}
	})
}
