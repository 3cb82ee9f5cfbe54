package webhook

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
)

var made = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func constant(f float64) func() float64 { return func() float64 { return f } }

func TestTheScheduleHasThirteenTriesIn76Hours(t *testing.T) {
	s := NewSchedule(ScheduleConfig{})
	for name, c := range map[string]struct {
		random float64
		want   []time.Duration // of each try after the first
	}{
		"without jitter": {0.5, []time.Duration{
			5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
			time.Hour, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 22*time.Hour + 31*time.Minute + 49*time.Second,
		}},
		"all early": {0, []time.Duration{
			4 * time.Second, 24 * time.Second, 96 * time.Second, 8 * time.Minute, 24 * time.Minute,
			48 * time.Minute, 96 * time.Minute, 4 * time.Hour, 8 * time.Hour, 11*time.Hour + 12*time.Minute, 16 * time.Hour, 19*time.Hour + 12*time.Minute,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			now, got := made, []time.Duration(nil)
			for tries := 1; ; tries++ {
				next, ok := s.Next(made, tries, now, 0, constant(c.random))
				if !ok {
					break
				}
				got, now = append(got, next.Sub(now)), next
			}
			if diff := cmp.Diff(c.want, got, cmp.Transformer("seconds", func(d time.Duration) int { return int(d.Seconds()) })); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
			if now.After(s.End(made)) {
				t.Errorf("the last try is %s after the delivery was made, behind its end", now.Sub(made))
			}
		})
	}
	if len(s.steps) != 12 || s.End(made) != made.Add(76*time.Hour) {
		t.Errorf("got %d tries within %s, want 13 within 76 h", len(s.steps)+1, s.End(made).Sub(made))
	}
}

func TestNextRespectsRetryAfterWithinBounds(t *testing.T) {
	s := NewSchedule(ScheduleConfig{})
	for _, c := range []struct {
		name       string
		tries      int
		retryAfter time.Duration
		random     float64
		want       time.Duration
	}{
		{"one below the step changes nothing", 5, time.Minute, 0.5, 30 * time.Minute},
		{"one above the step is kept", 1, 10 * time.Minute, 0, 10 * time.Minute},
		{"it is spread upwards", 1, 10 * time.Minute, 0.5, 11 * time.Minute},
		{"it is never undercut by jitter", 5, 30 * time.Minute, 0, 30 * time.Minute},
		{"an hour is the bound of short steps", 1, 24 * time.Hour, 0.9, time.Hour},
		{"twice the step is the bound of long ones", 8, 24 * time.Hour, 0.9, 10 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			next, ok := s.Next(made, c.tries, made, c.retryAfter, constant(c.random))
			if got := next.Sub(made); !ok || got != c.want {
				t.Errorf("Next: got %s, %v, want %s", got, ok, c.want)
			}
		})
	}
}

func TestNextAlwaysMovesForwardAndNeverBeyondTheEnd(t *testing.T) {
	s := NewSchedule(ScheduleConfig{})
	rapid.Check(t, func(t *rapid.T) {
		tries := rapid.IntRange(-1, 15).Draw(t, "tries")
		now := made.Add(time.Duration(rapid.Int64Range(0, int64(80*time.Hour)).Draw(t, "age")))
		retryAfter := time.Duration(rapid.Int64Range(0, int64(backoff.Longest)).Draw(t, "retryAfter"))
		next, ok := s.Next(made, tries, now, retryAfter, nil)
		if late := now.Sub(made) > 76*time.Hour; ok && (late || tries < 1 || tries > 12) {
			t.Fatalf("another try after %d tries and %s", tries, now.Sub(made))
		}
		if ok && (!next.After(now) || next.After(s.End(made))) {
			t.Fatalf("the next try is at %s, now is %s, the end %s", next, now, s.End(made))
		}
	})
}

func TestAScheduleCanBeShort(t *testing.T) {
	s := NewSchedule(ScheduleConfig{Steps: []time.Duration{time.Millisecond}, End: time.Second})
	if next, ok := s.Next(made, 1, made, 0, constant(0.5)); !ok || next.Sub(made) != time.Millisecond {
		t.Errorf("Next after the first try: got %s, %v", next.Sub(made), ok)
	}
	if _, ok := s.Next(made, 2, made, 0, nil); ok {
		t.Error("a schedule of one step has a third try")
	}
	if _, ok := s.Next(made, 1, made.Add(time.Second), 0, nil); ok {
		t.Error("there is a try after the end")
	}
	if _, ok := NewSchedule(ScheduleConfig{Steps: []time.Duration{}}).Next(made, 1, made, 0, nil); ok {
		t.Error("a schedule without steps has a second try")
	}
}

func FuzzNextRespectsAnyRetryAfter(f *testing.F) {
	for _, value := range []string{"120", "1m30s", "3600001", "Thu, 01 Jan 2026 00:01:00 GMT", "soon"} {
		f.Add(value)
	}
	s := NewSchedule(ScheduleConfig{})
	f.Fuzz(func(t *testing.T, value string) {
		asked := retryAfter(&http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {value}}}, made)
		if next, ok := s.Next(made, 1, made, asked, nil); !ok || next.Before(made.Add(4*time.Second)) || next.After(made.Add(time.Hour)) {
			t.Fatalf("after Retry-After %q the next try is at %s, %v", value, next, ok)
		}
	})
}

func TestClassify(t *testing.T) {
	for code, want := range map[int]Result{
		200: {Verdict: Delivered}, 204: {Verdict: Delivered}, 299: {Verdict: Delivered},
		101: {Verdict: Retry, Class: ringback.TryStatus},
		300: {Verdict: Retry, Class: ringback.TryRedirect}, 304: {Verdict: Retry, Class: ringback.TryRedirect}, 399: {Verdict: Retry, Class: ringback.TryRedirect},
		400: {Verdict: Retry, Class: ringback.TryStatus}, 401: {Verdict: Retry, Class: ringback.TryStatus}, 404: {Verdict: Retry, Class: ringback.TryStatus}, 429: {Verdict: Retry, Class: ringback.TryStatus},
		410: {Verdict: Dead, Class: ringback.TryStatus}, 413: {Verdict: TooLarge, Class: ringback.TryStatus},
		500: {Verdict: Retry, Class: ringback.TryStatus}, 503: {Verdict: Retry, Class: ringback.TryStatus}, 999: {Verdict: Retry, Class: ringback.TryStatus},
	} {
		got := classify(code)
		if got.Verdict != want.Verdict || got.Class != want.Class || got.StatusCode != code || (got.Error == "") != (want.Verdict == Delivered) {
			t.Errorf("classify(%d): got %+v, want %v %q", code, got, want.Verdict, want.Class)
		}
	}
}

func TestVerdictsHaveNames(t *testing.T) {
	for v, want := range map[Verdict]string{Delivered: "delivered", Retry: "retry", Dead: "dead", Interrupted: "interrupted", 0: "Verdict(0)"} {
		if v.String() != want {
			t.Errorf("String: got %s, want %s", v, want)
		}
	}
}

func TestRetryAfterOfADeliveredWebhookIsNothing(t *testing.T) {
	resp := &http.Response{StatusCode: 200, Header: http.Header{"Retry-After": {"60"}}}
	if d := retryAfter(resp, made); d != 0 {
		t.Errorf("retryAfter: got %s", d)
	}
}
